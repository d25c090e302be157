//! Does the request carry a proof that its sender has the key of the token? RFC 9449 §4.3.
//!
//! The order of the lines of `check` is the order of the checks: all that cost nothing come before the signature, and the
//! proof is remembered last, when nothing else is left to ask of it. A request that a later guard refuses has used up its proof.

pub mod memory;
pub mod nonce;
mod proof;
mod target;
pub(super) mod thumbprint;

pub use memory::Memory;
pub use target::Origin;

use super::{Witness, because};
use crate::decision::{Detail, Reason, Refusal};
use crate::guards::identity::jwt::Algorithm;
use crate::host::{HostError, Verifier};
use crate::http::Head;
use crate::limits;
use crate::time::{SECOND, Timestamp};
use memory::Remembered;
use proof::Proof;

/// What must hold of a proof.
#[derive(Debug)]
pub struct ProofRules {
    /// Never empty, never HMAC.
    pub(in crate::guards::identity) algorithms: Vec<Algorithm>,
    /// Nanoseconds for which a proof serves after its `iat`.
    pub(in crate::guards::identity) lifetime: u64,
    /// Whether a proof must hold a nonce of ours.
    pub(in crate::guards::identity) nonce: bool,
    /// What `htu` may begin with; empty: what the request itself says.
    pub(in crate::guards::identity) origins: Vec<Origin>,
}

impl Default for ProofRules {
    fn default() -> Self {
        let lifetime = limits::PROOF_LIFETIME_SECONDS.saturating_mul(SECOND);
        Self { algorithms: Algorithm::asymmetric(), lifetime, nonce: false, origins: Vec::new() }
    }
}

/// What a proof must be of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// `cnf.jkt` of the token.
    pub(super) jkt: &'a str,
    /// The token as it came.
    pub(super) token: &'a [u8],
    /// The request.
    pub(super) head: &'a Head,
    /// When.
    pub(super) now: Timestamp,
    /// How far ahead of us the client's clock may be, in nanoseconds.
    pub(super) skew: u64,
}

/// Checks the one proof of a request, and remembers it so that it serves once.
pub(super) fn check(
    asked: &Asked<'_>,
    rules: &ProofRules,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<(), Refusal> {
    let proof = Proof::parse(the_proof(asked.head)?)?;
    proof.check_header(rules)?;
    proof.check_request(asked, rules)?;
    let remaining = proof.check_times(asked, rules)?;
    let jti = proof.jti()?;
    let memory = memory_of(witness)?;
    if rules.nonce {
        nonce::check(memory, &proof, asked.now)?;
    }
    proof.check_key(asked.jkt, verifier)?;
    let until = asked.now.nanos().saturating_add(remaining);
    match memory.remember(witness.data, [asked.jkt, jti], asked.now, Timestamp::from_nanos(until))? {
        Remembered::First => Ok(()),
        Remembered::Before => Err(Reason::ProofReplayed.into()),
        Remembered::Not(why) => Err(because(Reason::ProofMemoryBusy, why)
            .advise(crate::decision::Advice::RetryAfter(limits::PROOF_RETRY_SECONDS))),
    }
}

/// RFC 9449 §4.3 step 1: not more than one header. A comma in it means that a proxy joined two.
fn the_proof(head: &Head) -> Result<&[u8], Refusal> {
    let invalid = |fact| because(Reason::ProofInvalid, fact);
    let proof = match head.only("dpop") {
        Ok(Some(proof)) => proof,
        Ok(None) => return Err(because(Reason::ProofMissing, "no DPoP header")),
        Err(_) => return Err(invalid("the DPoP header stands twice")),
    };
    if proof.len() > limits::PROOF_BYTES {
        let (got, limit) = (proof.len() as u64, limits::PROOF_BYTES as u64);
        return Err(Refusal::because(
            Reason::ProofInvalid,
            Detail::Over { what: "bytes of proof", got, limit },
        ));
    }
    if proof.contains(&b',') {
        return Err(invalid("the DPoP header holds a comma: it was sent twice"));
    }
    Ok(proof)
}

/// Without a memory a proof could serve twice, and so serves not at all.
fn memory_of<'w>(witness: &Witness<'w>) -> Result<&'w Memory, Refusal> {
    const NEVER_MADE: HostError = HostError { call: "set_shared_data", status: 0 };
    match witness.memory {
        Some(Ok(memory)) => Ok(memory),
        Some(Err(error)) => Err((*error).into()),
        None => Err(NEVER_MADE.into()),
    }
}
