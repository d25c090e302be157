//! Which URL does the policy, or an issuer's metadata, name?

use super::Authority;
use crate::limits;

/// An absolute `http` or `https` URL, in the parts that a call takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and, where it stands, port.
    pub authority: Box<str>,
    /// Path and query; begins with `/`.
    pub path: Box<str>,
}

impl Target {
    /// Reads a URL (RFC 3986 §3, RFC 9110 §4.2). User information and fragments are refused, and every byte that is not visible ASCII.
    pub fn parse(url: &str) -> Option<Self> {
        if url.len() > limits::URL_BYTES || !url.bytes().all(|b| b.is_ascii_graphic()) || url.contains('#') {
            return None;
        }
        let (scheme, rest) = [("https", "https://"), ("http", "http://")]
            .into_iter()
            .find_map(|(scheme, prefix)| Some((scheme, url.strip_prefix(prefix)?)))?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(at)?;
        Authority::parse(authority.as_bytes()).ok()?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Some(Self { scheme, authority: authority.to_ascii_lowercase().into(), path: path.into() })
    }

    /// Whether both are served by the same origin.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.authority == other.authority
    }
}

#[cfg(test)]
mod tests {
    use super::Target;
    use crate::testing::test;

    #[test]
    fn urls() {
        let parts =
            |url: &str| Target::parse(url).map(|t| (t.scheme, t.authority.to_string(), t.path.to_string()));
        let is = |scheme, authority: &str, path: &str| Some((scheme, authority.to_owned(), path.to_owned()));
        assert_eq!(parts("https://ID.example.com/jwks.json"), is("https", "id.example.com", "/jwks.json"));
        assert_eq!(parts("http://127.0.0.1:8080"), is("http", "127.0.0.1:8080", "/"));
        assert_eq!(parts("https://[::1]:1/a?b=c"), is("https", "[::1]:1", "/a?b=c"));
        assert_eq!(parts("https://a?b"), is("https", "a", "/?b"));
        for url in [
            "",
            "a/b",
            "ftp://a/b",
            "https://",
            "https://u@h/",
            "https://a b/",
            "https://a/#f",
            "//a/b",
            "https:///x",
            "HTTPS://é/",
        ] {
            assert_eq!(parts(url), None, "{url}");
        }
        assert_eq!(parts(&format!("https://a/{}", "b".repeat(4096))), None);
        let target = |url| Target::parse(url).unwrap();
        assert!(target("https://a/b").is_beside(&target("https://A/c")));
        assert!(
            !target("https://a/b").is_beside(&target("http://a/b"))
                && !target("https://a").is_beside(&target("https://a:1"))
        );
    }
}
