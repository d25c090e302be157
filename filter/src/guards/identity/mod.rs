//! Who is calling?
//!
//! The guard finds the one credential. Of a token, the issuer chooses among the route's providers, and the token is checked against that
//! provider's rules; an API key is looked up among the policy's. What comes out is a [`Caller`], which only this folder can make.
//!
//! What it does not protect against: a caller who may do what they do ([`super::access`] decides that), and a bearer
//! credential in the wrong hands (a token that is bound to its sender, [`confirmation`], is of no use there).

pub mod api_key;
mod asked;
pub mod attempt;
pub mod caller;
pub mod certificate;
pub mod challenge;
pub mod claim_headers;
pub mod claim_path;
pub mod config;
pub mod confirmation;
pub mod credential;
pub mod introspection;
pub mod jwt;
mod outside;
pub mod revoked;
pub mod rules;
pub mod spent;
pub mod step_up;
mod stop;

#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use caller::{ApiKey, Caller, Certificate, Token};
pub use challenge::challenge;
pub use claim_headers::IdentityHeader;
pub use confirmation::Witness;
pub use rules::{Authentication, Providers};
pub use spent::Spent;
pub use stop::{Need, Stop, What};

use self::api_key::ApiKeys;
use self::attempt::Attempt;
use self::credential::Found;
use self::introspection::Introspection;
use self::jwt::{Compact, Known, compact};
use self::rules::{CredentialRule, Provider, ProviderId};
use crate::decision::{Detail, Reason, Refusal};
use crate::host::Verifier;
use crate::http::Head;
pub use crate::http::target;
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
    pub headers: Rc<[IdentityHeader]>,
}

impl Identified {
    fn anonymous() -> Self {
        Self { caller: Caller::Anonymous, spent: None, headers: Rc::default() }
    }
}

/// Identifies the caller of a request. `query` is what stands behind the `?` of `:path`, raw. `witness` is asked only if the token is
/// bound to its sender.
pub fn identify(
    rules: &Authentication,
    providers: &Providers,
    head: &Head,
    query: Option<&[u8]>,
    now: Timestamp,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<Identified, Stop> {
    let rule = match rules {
        Authentication::Open => return Ok(Identified::anonymous()),
        Authentication::Credential(rule) => rule,
    };
    let api_keys = providers.api_keys.as_ref().filter(|_| rule.api_keys);
    let token = credential::find(&rule.places, head, query)?;
    let api_key = match api_keys {
        Some(keys) => credential::find(&keys.places, head, query)?.map(|found| (keys, found)),
        None => None,
    };
    match (token, api_key) {
        (Some(_), Some(_)) => Err(credential::conflict("a token and an API key").into()),
        (Some(found), None) => by_token(rule, providers, (head, &found), now, verifier, witness),
        (None, Some((keys, found))) => {
            witness.gate.open(Attempt::by_key(found.value))?;
            by_api_key(keys, &found, now).map_err(Stop::from)
        }
        (None, None) => match by_certificate(rule, providers, now, verifier, witness)? {
            Some(identified) => Ok(identified),
            None if rule.optional => Ok(Identified::anonymous()),
            None => Err(Reason::CredentialMissing.into()),
        },
    }
}

/// By the certificate of the connection, if the route takes any and one was presented.
fn by_certificate(
    rule: &CredentialRule,
    providers: &Providers,
    now: Timestamp,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<Option<Identified>, Refusal> {
    let (Some(accepted), Some(certificates)) = (&rule.certificates, &providers.certificates) else {
        return Ok(None);
    };
    let Some(certificate) = certificates.identify(accepted, witness.presented, now, verifier)? else {
        // Whoever has shown one that nobody can read has not shown none (host fact H11).
        let is_untold = (witness.certificate)()?.is_some_and(|digest| !digest.is_empty());
        let untold = Detail::Fact("the proxy does not tell the certificate, only its digest");
        return if is_untold { Err(Refusal::because(Reason::CertificateInvalid, untold)) } else { Ok(None) };
    };
    let header = certificates.header.iter();
    let headers = header.map(|header| (Rc::clone(header), certificate.name().as_bytes().to_vec())).collect();
    Ok(Some(Identified { caller: Caller::Certificate(certificate), spent: None, headers }))
}

fn by_token(
    rule: &CredentialRule,
    providers: &Providers,
    (head, found): (&Head, &Found<'_, '_>),
    now: Timestamp,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<Identified, Stop> {
    let (provider, token, headers) = match providers.verified.find(rule, providers, found, now) {
        // Whoever has a token that holds guesses nothing.
        Some((provider, Known::Held(token, headers))) => {
            provider.tallies.known.count();
            (provider, token, Ok(headers))
        }
        Some((provider, Known::Forged)) => {
            provider.tallies.known_forged.count();
            if witness.gate.watches() {
                witness.gate.open(Attempt::by_token(&Compact::parse(found.value)?))?;
            }
            return Err(jwt::forged(provider).into());
        }
        None => first_seen(rule, providers, found, now, verifier, witness)?,
    };
    step_up::check(rule, providers, provider, &token, now)?;
    let headers = headers?;
    // Last: a proof of possession is used up here.
    confirmation::check(&token, provider, found, head, now, verifier, witness)?;
    let spent = (!provider.forward).then(|| Spent::at(found.place));
    Ok(Identified { caller: Caller::Token(token), spent, headers })
}

/// A token, whose it is, and the headers that tell of it, if any could.
type Judged<'p> = (&'p Provider, Rc<Token>, Result<Rc<[IdentityHeader]>, Refusal>);

/// Looks at a token of which nothing is known, and keeps what does not depend on the request.
fn first_seen<'p>(
    rule: &CredentialRule,
    providers: &'p Providers,
    found: &Found<'_, '_>,
    now: Timestamp,
    verifier: &impl Verifier,
    witness: &Witness<'_>,
) -> Result<Judged<'p>, Stop> {
    let keep = |id, grounds, known| providers.verified.keep(found.value, id, grounds, known);
    match by_issuer(rule, providers, found)? {
        Bearer::Signed(id, provider, token) => {
            witness.gate.open(Attempt::by_token(&token))?;
            match jwt::check(*token, provider, now, verifier) {
                Ok((token, grounds)) => {
                    provider.tallies.checked.count();
                    let headers = claim_headers::of(&token, provider);
                    let token = Rc::new(token);
                    if let Ok(headers) = &headers {
                        keep(id, grounds, Known::Held(Rc::clone(&token), Rc::clone(headers)));
                    }
                    Ok((provider, token, headers))
                }
                Err(jwt::Fault::Forged(grounds)) => {
                    provider.tallies.forged.count();
                    keep(id, *grounds, Known::Forged);
                    Err(jwt::forged(provider).into())
                }
                Err(jwt::Fault::Stopped(stop)) => Err(stop),
            }
        }
        Bearer::Opaque(provider, introspection) => {
            witness.gate.open(Attempt::default())?;
            let claims = introspection.claims(found.value, now)?;
            let token = jwt::check_said(&claims, provider, now)?;
            let headers = claim_headers::of(&token, provider);
            Ok((provider, Rc::new(token), headers))
        }
    }
}

/// A token, and whose it is.
enum Bearer<'p, 't> {
    Signed(ProviderId, &'p Provider, Box<Compact<'t>>),
    Opaque(&'p Provider, &'p Introspection),
}

/// What is no signed token is opaque, where the route takes such; a signed one is its issuer's, who is asked about it if we have no keys.
fn by_issuer<'p, 't>(
    rule: &CredentialRule,
    providers: &'p Providers,
    found: &Found<'_, 't>,
) -> Result<Bearer<'p, 't>, Refusal> {
    let asks = rule.asks.and_then(|id| providers.provider(id));
    let asks = asks.and_then(|provider| Some((provider, provider.introspection.as_deref()?)));
    let Some((asking, introspection)) = asks else {
        credential::check_token(found.value)?;
        let token = Compact::parse(found.value)?;
        let (id, provider) = provider_of(&token, rule, providers, found)?;
        return Ok(Bearer::Signed(id, provider, Box::new(token)));
    };
    credential::check_opaque(found.value)?;
    match Compact::parse(found.value) {
        Ok(token) => {
            let (id, provider) = provider_of(&token, rule, providers, found)?;
            if provider.has_no_keys() && core::ptr::eq(provider, asking) {
                return Ok(Bearer::Opaque(asking, introspection));
            }
            Ok(Bearer::Signed(id, provider, Box::new(token)))
        }
        // An issuer that reads less strictly would say `active` of what the keys refuse.
        Err(refusal) if !asking.has_no_keys() && compact::passes_for_signed(found.value) => Err(refusal),
        Err(refusal) if refusal.reason == Reason::TokenMalformed => {
            stands_where_taken(asking, found)?;
            Ok(Bearer::Opaque(asking, introspection))
        }
        Err(refusal) => Err(refusal),
    }
}

fn by_api_key(keys: &ApiKeys, found: &Found<'_, '_>, now: Timestamp) -> Result<Identified, Refusal> {
    let key = keys.check(found.value, found.place, now)?;
    let header = keys.client_header.iter();
    let headers = header.map(|header| (Rc::clone(header), key.client().as_bytes().to_vec())).collect();
    let spent = (!keys.forward).then(|| Spent::at(found.place));
    Ok(Identified { caller: Caller::ApiKey(key), spent, headers })
}

/// The provider that the token's `iss` chooses among the route's. No two of them have one issuer.
fn provider_of<'p>(
    token: &Compact<'_>,
    rule: &CredentialRule,
    providers: &'p Providers,
    found: &Found<'_, '_>,
) -> Result<(ProviderId, &'p Provider), Refusal> {
    let issuer = match token.claims.get("iss") {
        Some(Json::Text(issuer)) => issuer,
        Some(_) => return Err(Refusal::because(Reason::ClaimInvalid, Detail::Fact("iss"))),
        None => return Err(Refusal::because(Reason::IssuerUnknown, Detail::Fact("no iss"))),
    };
    let (id, provider) = rule
        .providers
        .iter()
        .filter_map(|id| Some((*id, providers.provider(*id)?)))
        .find(|(_, provider)| *provider.issuer == **issuer)
        .ok_or_else(|| {
            Refusal::because(Reason::IssuerUnknown, Detail::Fact("no provider of the route has this issuer"))
        })?;
    stands_where_taken(provider, found)?;
    Ok((id, provider))
}

/// A provider takes tokens only in its own places, whatever else the route takes them for.
fn stands_where_taken(provider: &Provider, found: &Found<'_, '_>) -> Result<(), Refusal> {
    if provider.places.contains(found.place) {
        return Ok(());
    }
    let detail = Detail::Named("a token where this provider does not take one:", Rc::clone(&provider.name));
    Err(Refusal::because(Reason::IssuerUnknown, detail))
}
