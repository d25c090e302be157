//! Who is calling?
//!
//! The guard finds the one credential, lets the token's issuer choose among the route's providers, and checks the token
//! against that provider's rules. What comes out is a [`Caller`], which only this folder can make.
//!
//! What it does not protect against: a caller who may do what they do ([`super::access`] decides that), and a bearer
//! token in the wrong hands.

pub mod caller;
pub mod challenge;
pub mod claim_headers;
pub mod config;
pub mod credential;
pub mod jwt;
pub mod rules;
pub mod spent;

#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use caller::{Caller, Token};
pub use challenge::challenge;
pub use claim_headers::IdentityHeader;
pub use rules::{Authentication, Providers};
pub use spent::Spent;

use self::credential::Found;
use self::jwt::Compact;
use self::rules::{Provider, TokenRule};
use crate::decision::{Detail, Reason, Refusal};
use crate::host::Verifier;
use crate::http::Head;
use crate::json::Json;
use crate::time::Timestamp;

/// What the guard found out, and what follows for the request.
#[derive(Debug)]
pub struct Identified {
    /// The caller.
    pub caller: Caller,
    /// The credential to take off the request, if one was used and its provider does not forward it.
    pub spent: Option<Spent>,
    /// Headers to set, after [`Providers::identity_headers`] were cleared.
    pub headers: Vec<IdentityHeader>,
}

impl Identified {
    fn anonymous() -> Self {
        Self { caller: Caller::Anonymous, spent: None, headers: Vec::new() }
    }
}

/// Identifies the caller of a request. `query` is what stands behind the `?` of `:path`, raw.
pub fn identify(
    rules: &Authentication,
    providers: &Providers,
    head: &Head,
    query: Option<&[u8]>,
    now: Timestamp,
    verifier: &impl Verifier,
) -> Result<Identified, Refusal> {
    let rule = match rules {
        Authentication::Open => return Ok(Identified::anonymous()),
        Authentication::Token(rule) => rule,
    };
    let found = match credential::find(&rule.places, head, query)? {
        Some(found) => found,
        None if rule.optional => return Ok(Identified::anonymous()),
        None => return Err(Reason::CredentialMissing.into()),
    };
    let token = Compact::parse(found.token)?;
    let provider = provider_of(&token, rule, providers, &found)?;
    let token = jwt::check(token, provider, now, verifier)?;
    let headers = claim_headers::of(&token, provider)?;
    let spent = (!provider.forward).then(|| Spent::at(found.place));
    Ok(Identified { caller: Caller::Token(Rc::new(token)), spent, headers })
}

/// The provider that the token's `iss` chooses among the route's. No two of them have one issuer.
fn provider_of<'p>(
    token: &Compact<'_>,
    rule: &TokenRule,
    providers: &'p Providers,
    found: &Found<'_, '_>,
) -> Result<&'p Provider, Refusal> {
    let issuer = match token.claims.get("iss") {
        Some(Json::Text(issuer)) => issuer,
        Some(_) => return Err(Refusal::because(Reason::ClaimInvalid, Detail::Fact("iss"))),
        None => return Err(Refusal::because(Reason::IssuerUnknown, Detail::Fact("no iss"))),
    };
    let provider = rule
        .providers
        .iter()
        .filter_map(|id| providers.provider(*id))
        .find(|provider| *provider.issuer == **issuer)
        .ok_or_else(|| {
            Refusal::because(Reason::IssuerUnknown, Detail::Fact("no provider of the route has this issuer"))
        })?;
    if provider.places.contains(found.place) {
        return Ok(provider);
    }
    let detail = Detail::Named("a token where this provider does not take one:", Rc::clone(&provider.name));
    Err(Refusal::because(Reason::IssuerUnknown, detail))
}
