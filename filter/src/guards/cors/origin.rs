//! Is this origin one that the policy names? RFC 6454 §7, as browsers write it.

use crate::http::Authority;

/// An origin as a policy names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Every one: `*`.
    Any,
    /// The origin of pages that have none: `null`.
    Null,
    /// This one.
    Exact(Box<str>),
    /// Every host below one: `https://*.example.com`.
    Below {
        /// `https://`
        scheme: Box<str>,
        /// `.example.com`, with a port if there is one.
        suffix: Box<str>,
    },
}

/// Why a text names no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFault {
    /// No scheme, `://` and host.
    Form,
    /// A port that browsers leave out, since it is the scheme's own.
    DefaultPort,
    /// A `*` that is not the whole first label.
    Star,
}

impl Origin {
    /// Reads what stands in a policy.
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        let (scheme, host) = text.split_once("://").ok_or(OriginFault::Form)?;
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(good) {
            return Err(OriginFault::Form);
        }
        let (below, host) = host.strip_prefix("*.").map_or((false, host), |rest| (true, rest));
        if host.contains('*') {
            return Err(OriginFault::Star);
        }
        if !is_host(host) || (below && host.starts_with('[')) {
            return Err(OriginFault::Form);
        }
        if matches!((scheme, host.rsplit_once(':')), ("https", Some((_, "443"))) | ("http", Some((_, "80"))))
        {
            return Err(OriginFault::DefaultPort);
        }
        Ok(if below {
            Self::Below { scheme: format!("{scheme}://").into(), suffix: format!(".{host}").into() }
        } else {
            Self::Exact(text.into())
        })
    }

    /// Whether a request's `origin` is this one. Browsers write one form only, so it is compared byte by byte.
    pub fn is(&self, sent: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Null => sent == "null",
            Self::Exact(origin) => **origin == *sent,
            Self::Below { scheme, suffix } => {
                let host = sent.strip_prefix(&**scheme).filter(|host| is_host(host));
                let label = host.and_then(|host| host.strip_suffix(&**suffix));
                label.is_some_and(|label| !label.is_empty() && !label.contains([':', '[']))
            }
        }
    }
}

/// A host with or without a port, in the form in which browsers write it.
fn is_host(text: &str) -> bool {
    Authority::parse(text.as_bytes()).is_ok()
        && !text.bytes().any(|b| b.is_ascii_uppercase())
        && !text.ends_with(['.', ':'])
}
