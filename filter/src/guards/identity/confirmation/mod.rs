//! Is whoever sends a token the one that it was made for?
//!
//! A token with a `cnf` claim (RFC 7800 §3.1) is bound: to a client certificate (`x5t#S256`, RFC 8705 §3.1) or to a key
//! of which each request carries a proof (`jkt`, RFC 9449 §6). Members of `cnf` that we do not know are ignored, as RFC 7800 asks.
//! A bound token is never taken as a bearer token unless the policy says so in words (`Off`).
//!
//! What it does *not* protect against: a client whose key was stolen with its token, and a request whose headers or body were
//! changed on the way: a proof covers method, URL and token only.

pub mod challenge;
pub mod config;
pub mod dpop;
mod mtls;

#[cfg(test)]
pub(super) mod tests;

use super::attempt::Gate;
use super::caller::Token;
use super::certificate::Presented;
use super::credential::Found;
use super::rules::Provider;
use crate::decision::{Detail, Reason, Refusal};
use crate::host::{HostError, SharedData, Verifier};
use crate::http::Head;
use crate::json::Json;
use crate::time::Timestamp;
use dpop::{Asked, Memory, ProofRules};

/// What a provider asks of one kind of binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// The policy says nothing: unbound tokens pass, and a bound one is refused, since nobody here checks it.
    #[default]
    Unwritten,
    /// The policy says that it is not checked: a bound token is taken as a bearer token.
    Off,
    /// Checked where a token has it.
    Optional,
    /// Checked, and a token without it is refused.
    Required,
}

impl Binding {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Binding); 3] =
        [("Off", Binding::Off), ("Optional", Binding::Optional), ("Required", Binding::Required)];

    /// Whether it is checked at all.
    pub const fn is_checked(self) -> bool {
        matches!(self, Binding::Optional | Binding::Required)
    }
}

/// `jwt.providers[].confirmation`
#[derive(Debug, Default)]
pub struct Confirmation {
    pub(super) mtls: Binding,
    pub(super) dpop: Binding,
    pub(super) proof: ProofRules,
}

impl Confirmation {
    /// Whether proofs of possession are checked.
    pub fn takes_proofs(&self) -> bool {
        self.dpop.is_checked()
    }
}

/// What the guard asks of the world around a request, and only when a credential calls for it.
#[derive(Clone, Copy)]
pub struct Witness<'a> {
    /// Whether the credential may be tried at all.
    pub gate: &'a dyn Gate,
    /// The SHA-256 of the client's certificate, in hexadecimal: `connection.sha256_peer_certificate_digest` (host fact H7).
    pub certificate: &'a dyn Fn() -> Result<Option<Vec<u8>>, HostError>,
    /// The same certificate whole, as PEM: `connection.peer_certificate`.
    pub presented: &'a Presented<'a>,
    /// Where proofs are remembered.
    pub data: &'a dyn SharedData,
    /// How they are; `None` if no provider of the policy takes proofs.
    pub memory: Option<&'a Result<Memory, HostError>>,
}

/// Checks every binding of a token that held, and that what must be bound is.
pub(super) fn check(
    token: &Token,
    provider: &Provider,
    found: &Found<'_, '_>,
    head: &Head,
    now: Timestamp,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<(), Refusal> {
    let rules = &provider.confirmation;
    if let Some(thumbprint) = due(rules.mtls, token, "x5t#S256")? {
        mtls::check(thumbprint, witness.certificate)?;
    }
    let behind_scheme = rules.takes_proofs() && found.place.is_dpop();
    match (due(rules.dpop, token, "jkt")?, behind_scheme) {
        (None, false) => Ok(()),
        // RFC 9449 §7.1: the scheme says that the token is bound. A token that is not was not made for it.
        (None, true) => Err(because(Reason::TokenBindingMissing, "an unbound token behind the scheme DPoP")),
        // RFC 9449 §7.2: "MUST reject a DPoP-bound access token received as a bearer token".
        (Some(_), false) => {
            Err(because(Reason::ProofMissing, "a token bound to a key, not behind the scheme DPoP"))
        }
        (Some(jkt), true) => {
            let asked = Asked { jkt, token: found.value, head, now, skew: provider.clock_skew };
            dpop::check(&asked, &rules.proof, verifier, witness)
        }
    }
}

/// The member of `cnf` that is to be checked, if one is.
fn due<'t>(binding: Binding, token: &'t Token, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    if binding == Binding::Off {
        return Ok(None);
    }
    match (member(token.claims(), name)?, binding) {
        (None, Binding::Required) => Err(because(Reason::TokenBindingMissing, name)),
        (Some(_), Binding::Unwritten) => Err(because(Reason::TokenBindingUnchecked, name)),
        (member, _) => Ok(member),
    }
}

/// RFC 7800 §3.1: "cnf" is an object. What we know in it is a string; anything else cannot be checked.
fn member<'c>(claims: &'c Json, name: &'static str) -> Result<Option<&'c str>, Refusal> {
    let member = match claims.get("cnf") {
        None => return Ok(None),
        Some(cnf @ Json::Map(_)) => cnf.get(name),
        Some(_) => return Err(because(Reason::ClaimInvalid, "cnf")),
    };
    match member {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(because(Reason::ClaimInvalid, "cnf")),
    }
}

fn because(reason: Reason, fact: &'static str) -> Refusal {
    Refusal::because(reason, Detail::Fact(fact))
}
