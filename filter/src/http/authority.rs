//! Which host does the client mean?

use std::borrow::Cow;

use crate::limits;

/// A host name or address in lower case, without port and without the dot of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    host: Cow<'a, str>,
    port: Option<u32>,
}

/// The authority is no host, or could be two: two `Host` headers arrive as `a,b` (host fact H6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityFault;

impl<'a> Authority<'a> {
    /// Reads `:authority`. User information (`u@h`), commas, blanks and bytes outside a host name are refused.
    pub fn parse(authority: &'a [u8]) -> Result<Self, AuthorityFault> {
        if authority.len() > limits::AUTHORITY_BYTES {
            return Err(AuthorityFault);
        }
        let text = core::str::from_utf8(authority).map_err(|_| AuthorityFault)?;
        let (host, port) = split_port(text)?;
        if !port.bytes().all(|b| b.is_ascii_digit()) || port.len() > 5 {
            return Err(AuthorityFault);
        }
        // Five digits fit.
        let port = port.parse().ok();
        let host = if host.starts_with('[') { literal(host)? } else { name(host)? };
        let host = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(host.to_ascii_lowercase())
        } else {
            Cow::Borrowed(host)
        };
        Ok(Self { host, port })
    }

    /// The port, if it is named. Five digits at most, and not always a port that there could be.
    pub fn port(&self) -> Option<u32> {
        self.port
    }

    /// The host.
    pub fn as_str(&self) -> &str {
        &self.host
    }
}

fn split_port(text: &str) -> Result<(&str, &str), AuthorityFault> {
    if text.starts_with('[') {
        let (host, rest) = text.split_once(']').ok_or(AuthorityFault)?;
        let port = if rest.is_empty() { "" } else { rest.strip_prefix(':').ok_or(AuthorityFault)? };
        // The bracket that `split_once` took is put back by length: `[::1` and one more byte.
        return Ok((text.get(..host.len().saturating_add(1)).ok_or(AuthorityFault)?, port));
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

fn literal(host: &str) -> Result<&str, AuthorityFault> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).ok_or(AuthorityFault)?;
    inner.parse::<core::net::Ipv6Addr>().map(|_| host).map_err(|_| AuthorityFault)
}

/// RFC 1123 §2.1, with `_` since it is in use. `example.com.` and `example.com` are one host.
fn name(host: &str) -> Result<&str, AuthorityFault> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let good = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if host.split('.').all(good) { Ok(host) } else { Err(AuthorityFault) }
}

#[cfg(test)]
mod tests {
    use super::{Authority, AuthorityFault};
    use crate::testing::test;

    #[test]
    fn authorities() {
        let long = "a".repeat(64);
        for (authority, host) in [
            ("api.example.com", Some("api.example.com")),
            ("API.Example.COM:443", Some("api.example.com")),
            ("api.example.com.", Some("api.example.com")),
            ("127.0.0.1:10000", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("[2001:DB8::1]:80", Some("[2001:db8::1]")),
            ("my_service", Some("my_service")),
            ("", None),
            (".", None),
            ("a..b", None),
            ("a,b", None),
            ("a, b", None),
            ("u@h", None),
            ("h:80:80", None),
            ("h:port", None),
            ("h:123456", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[zz]", None),
            ("h/x", None),
            ("h\\x", None),
            ("h%2e", None),
            ("hé", None),
            ("h\u{0}", None),
            (&long, None),
        ] {
            let parsed = Authority::parse(authority.as_bytes());
            assert_eq!(
                parsed.as_ref().map(Authority::as_str).map_err(|_| AuthorityFault),
                host.ok_or(AuthorityFault),
                "{authority}"
            );
        }
        assert!(Authority::parse(b"h\xff").is_err());
        assert!(Authority::parse("a.".repeat(200).as_bytes()).is_err());
    }
}
