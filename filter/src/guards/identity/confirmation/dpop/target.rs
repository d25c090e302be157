//! Is this URL that one? RFC 9449 §4.3 step 9: without query and fragment, after the normalisation of RFC 3986 §6.2.2 and §6.2.3.
//!
//! Case of scheme and host, the default port, an empty path, and percent-encoding are evened out. Dot segments are not: the
//! request has none (see [`crate::http::Path`]), and a proof with some is of no request that passes.

use crate::hex;
use crate::http::Authority;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    https: bool,
    host: Box<str>,
    port: u32,
}

/// A URL without query and fragment.
#[derive(Debug)]
pub(super) struct Target<'u> {
    pub(super) origin: Origin,
    path: &'u [u8],
}

impl Origin {
    /// Of a scheme and an authority. `None` for another scheme than `http` and `https`, and for what is no host.
    pub fn parse(scheme: &[u8], authority: &[u8]) -> Option<Self> {
        let https = scheme.eq_ignore_ascii_case(b"https");
        if !https && !scheme.eq_ignore_ascii_case(b"http") {
            return None;
        }
        let authority = Authority::parse(authority).ok()?;
        let port = authority.port().unwrap_or(if https { 443 } else { 80 });
        Some(Self { https, host: authority.as_str().into(), port })
    }

    /// Of a URL that is an origin and nothing more; one slash behind it is allowed.
    pub fn of_url(url: &str) -> Option<Self> {
        let target = Target::parse(url).filter(|target| matches!(target.path, b"" | b"/"))?;
        (!url.contains(['?', '#'])).then_some(target.origin)
    }
}

impl<'u> Target<'u> {
    /// Of an absolute URL.
    pub(super) fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let rest = rest.split(['?', '#']).next()?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let origin = Origin::parse(scheme.as_bytes(), authority.as_bytes())?;
        Some(Self { origin, path: path.as_bytes() })
    }

    /// Whether its path is that of a request target.
    pub(super) fn is_path_of(&self, target: &[u8]) -> bool {
        let path = target.split(|&b| b == b'?').next().unwrap_or_default();
        path == self.path
            || matches!((normal(self.path), normal(path)), (Some(ours), Some(theirs)) if ours == theirs)
    }
}

/// RFC 3986 §6.2.2.1 and §6.2.2.2: hexadecimal digits in upper case, unreserved characters not encoded; §6.2.3: an empty path is `/`.
/// `None` for broken encoding.
fn normal(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len().max(1));
    let mut rest = path;
    loop {
        match rest {
            [] => break,
            [b'%', high, low, tail @ ..] => {
                let byte = hex::byte(*high, *low)?;
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    out.push(byte);
                } else {
                    out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
                }
                rest = tail;
            }
            [b'%', ..] => return None,
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Origin, Target};
    use crate::testing::test;

    #[test]
    fn urls_that_are_one_and_urls_that_are_not() {
        for (htu, same) in [
            ("https://api.example.com/a/b", true),
            ("HTTPS://API.Example.COM/a/b", true),
            ("https://api.example.com:443/a/b", true),
            ("https://api.example.com:/a/b", true),
            ("https://api.example.com./a/b", true),
            ("https://api.example.com/%61/b", true),
            ("https://api.example.com/a/b?c=d", true),
            ("https://api.example.com/a/b#c", true),
            ("https://api.example.com/a/b?", true),
            ("http://api.example.com/a/b", false),
            ("https://api.example.com:80/a/b", false),
            ("https://api.example.com:8443/a/b", false),
            ("https://api.example.org/a/b", false),
            ("https://u@api.example.com/a/b", false),
            ("https://api.example.com/A/b", false),
            ("https://api.example.com/a/b/", false),
            ("https://api.example.com/a//b", false),
            ("https://api.example.com/a/./b", false),
            ("https://api.example.com/a/c/../b", false),
            ("https://api.example.com/a%2Fb", false),
            ("https://api.example.com/a/b%", false),
            ("https://api.example.com/a/b%zz", false),
            ("https://api.example.com", false),
            ("https:///a/b", false),
            ("//api.example.com/a/b", false),
            ("/a/b", false),
            ("ftp://api.example.com/a/b", false),
            (" https://api.example.com/a/b", false),
            ("https://api.example.com\\/a/b", false),
            ("", false),
        ] {
            let ours = Origin::parse(b"https", b"api.example.com").unwrap();
            let is_ours = Target::parse(htu).is_some_and(|t| t.origin == ours && t.is_path_of(b"/a/b?x=/y"));
            assert_eq!(is_ours, same, "{htu}");
        }
        let path = |htu: &str, target: &str| Target::parse(htu).unwrap().is_path_of(target.as_bytes());
        assert!(path("http://a", "/") && path("http://a/", "/") && path("http://a?x", "/?y"));
        assert!(path("http://a/%7e%c3%a9", "/~%C3%A9") && !path("http://a/%2525", "/%25"));
        assert_eq!(Origin::parse(b"http", b"[::1]:80"), Origin::parse(b"http", b"[::1]"));
    }

    #[test]
    fn an_origin_is_no_more_than_an_origin() {
        for (url, sound) in [
            ("https://a.example", true),
            ("https://a.example:8443/", true),
            ("https://a.example/x", false),
            ("https://a.example?x", false),
            ("https://a.example/#x", false),
            ("a.example", false),
            ("*", false),
        ] {
            assert_eq!(Origin::of_url(url).is_some(), sound, "{url}");
        }
    }
}
