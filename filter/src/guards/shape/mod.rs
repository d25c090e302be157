//! Is the request well-formed, within its limits, and free of headers that only the gateway may set?
//!
//! Not here: whether the body is what its `content-type` says, and what the path means to the upstream.

mod config;
mod rules;
#[cfg(test)]
mod tests;

pub use config::{REQUEST, read};
pub use rules::{Limits, RequiredHeader, within_path};

use self::rules::within;

use crate::decision::{Detail, Reason, Refusal};
use crate::http::head::HeadFault;
use crate::http::path::PathFault;
use crate::http::{Authority, Head, Path};
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
    let host = Authority::parse(head.authority()).map_err(|_| Reason::AuthorityInvalid)?;
    within(Reason::UriTooLong, "bytes of target", head.target().len(), limits::TARGET_BYTES as u64)?;
    let path = Path::parse(head.target()).map_err(|fault| match fault {
        PathFault::Invalid => Refusal::new(Reason::PathInvalid),
        PathFault::Ambiguous(what) => Refusal::because(Reason::PathAmbiguous, Detail::Fact(what)),
    })?;
    Ok(Wellformed { method, host, path })
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
