//! Is the request well-formed, within its limits, and free of headers that only the gateway may set?
//!
//! Not here: whether the body is what its `content-type` says, and what the path means to the upstream.

mod config;
mod forwarded;
mod rules;
#[cfg(test)]
mod tests;

pub use config::{REQUEST, read};
pub use forwarded::{FORWARDED, Forwarded};
pub use rules::{Limits, RequiredHeader, within_path};

use self::rules::within;

use crate::decision::{Detail, Reason, Refusal};
use crate::http::head::HeadFault;
use crate::http::path::PathFault;
use crate::http::{Authority, Head, Path, trim};
use crate::limits;

/// The parts of a request that have one reading. Evidence: only [`examine`] makes one.
#[derive(Debug)]
pub struct Wellformed<'h> {
    method: &'h [u8],
    host: Authority<'h>,
    path: Path<'h>,
}

impl<'h> Wellformed<'h> {
    /// `:method`, a token.
    pub fn method(&self) -> &'h [u8] {
        self.method
    }

    /// The host, in lower case.
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The path and the query.
    pub fn path(&self) -> &Path<'h> {
        &self.path
    }
}

/// Takes the head apart; what could be read in two ways is refused.
pub fn examine(head: &Head) -> Result<Wellformed<'_>, Refusal> {
    let method = head.method();
    if method.is_empty() || !method.iter().all(|&b| crate::http::is_token_byte(b)) {
        return Err(Refusal::because(Reason::MalformedRequest, Detail::Fact("the method is not a token")));
    }
    refuse_hops(head)?;
    let host = Authority::parse(head.authority()).map_err(|_| Reason::AuthorityInvalid)?;
    within(Reason::UriTooLong, "bytes of target", head.target().len(), limits::TARGET_BYTES as u64)?;
    let path = Path::parse(head.target()).map_err(|fault| match fault {
        PathFault::Invalid => Refusal::new(Reason::PathInvalid),
        PathFault::Ambiguous(what) => Refusal::because(Reason::PathAmbiguous, Detail::Fact(what)),
    })?;
    Ok(Wellformed { method, host, path })
}

/// RFC 9110 §7.6.1: whoever passes a request on takes off the fields that `Connection` names. A client that names one of ours, or one that a check of ours reads,
/// would have it taken off behind us. Envoy takes such fields off, and `Connection` with them, before any filter sees the request, and answers or
/// ignores upgrades that it is not told to pass; where a host does not, we refuse.
fn refuse_hops(head: &Head) -> Result<(), Refusal> {
    const PLAIN: [&[u8]; 4] = [b"close", b"keep-alive", b"te", b"upgrade"];
    let forbidden = |fact| Refusal::because(Reason::HeaderForbidden, Detail::Fact(fact));
    let options = head.all("connection").flat_map(|value| value.split(|&b| b == b',').map(trim));
    for option in options.filter(|option| !option.is_empty()) {
        if !PLAIN.iter().any(|plain| option.eq_ignore_ascii_case(plain)) {
            return Err(forbidden("`connection` names a header field"));
        }
    }
    // Over it, requests would come to the upstream that nobody here has seen.
    let h2c = |value: &[u8]| {
        value.split(|&b| b == b',').any(|protocol| trim(protocol).eq_ignore_ascii_case(b"h2c"))
    };
    if head.all("upgrade").any(h2c) {
        return Err(forbidden("an upgrade to `h2c`"));
    }
    Ok(())
}

/// What a header map that is no request is refused with.
pub fn unreadable(fault: HeadFault) -> Refusal {
    match fault {
        HeadFault::TooLarge => Reason::HeadersTooLarge.into(),
        HeadFault::Unreadable => {
            Refusal::because(Reason::MalformedRequest, Detail::Fact("the header map cannot be read"))
        }
        HeadFault::Incomplete(name) | HeadFault::Doubled(name) => {
            Refusal::because(Reason::MalformedRequest, Detail::Named("pseudo header", name.into()))
        }
    }
}
