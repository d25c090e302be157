//! What does the upstream get that proves where a request came from?
//!
//! An assertion: a signed token of seconds (RFC 7519) in a header, that says who calls, and that is bound to the method, the authority, the path
//! and the query of this one request. It is the last check, since it speaks of what all others found out: without a key
//! that can sign, there is no proof, and the request is refused.
//!
//! What it does *not* protect against: the upstream itself, or whoever reads its traffic, can send the same request again for as long as the
//! assertion serves. The body is not bound: it has not been read when the head goes on.

mod cache;
pub mod claims;
mod config;
mod ecdsa;
pub mod key;
mod private;
mod ring;
mod shapes;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use claims::Target;
pub use config::{Around, Signer, read_signing, read_upstream};
pub use key::Algorithm;
pub use ring::{Ring, Signing};
pub use shapes::{SIGNING, UPSTREAM};

use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::limits;

/// What a route's upstream is told beside the headers of claims.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    /// Proof of where the request came from.
    pub assertion: Option<Rc<Assertion>>,
}

/// What a route's assertion says, and how.
#[derive(Debug)]
pub struct Assertion {
    /// The header, in lower case.
    pub header: Rc<str>,
    /// `aud`: the upstream.
    audience: Box<str>,
    /// For how long it serves, in nanoseconds.
    ttl: u64,
    reuse: Reuse,
    /// What signs it; any public-key algorithm if it does not say.
    algorithm: Option<Algorithm>,
    include: Include,
}

/// For how many requests one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// For one, which it names.
    Off,
    /// For all that are the same in all that it says, for so many nanoseconds.
    For(u64),
}

/// What it says of the caller.
#[derive(Clone, Debug, Default)]
struct Include {
    /// Claims of the caller's token.
    claims: Vec<Rc<str>>,
    /// The scopes that go into it, if the caller has them; all of the caller's if it does not say.
    scopes: Option<Vec<Box<str>>>,
}

impl Assertion {
    /// For how long it serves, in nanoseconds.
    pub fn ttl(&self) -> u64 {
        self.ttl
    }
}

/// Why there is no assertion.
fn unavailable(detail: Detail) -> Refusal {
    let advice = Advice::RetryAfter(limits::KEYS_RETRY_SECONDS);
    Refusal::because(Reason::AssertionUnavailable, detail).advise(advice)
}
