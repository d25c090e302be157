//! Does this token hold?
//!
//! The order of the lines of [`check`] is the order of the checks: all that cost nothing come before the signature, so
//! that a flood of bad tokens buys little work. Until the signature has held, nothing that was read leaves this module.
//!
//! What it does not protect against: a token that was stolen (it is a bearer token), or revoked before its `exp` and not in `revoked`.

pub mod algorithm;
pub mod claims;
pub mod compact;
mod der;
mod grounds;
pub mod keys;
pub mod remote;
mod rsa;
pub mod signature;
pub mod verified;

#[cfg(test)]
mod claim_rows;
#[cfg(test)]
mod key_sets;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::guards) mod vectors;

use std::rc::Rc;

pub use algorithm::Algorithm;
pub use compact::Compact;
pub use grounds::Grounds;
pub use keys::KeySet;
pub use verified::{Known, Verified};

use super::caller::Token;
use super::rules::Provider;
use super::stop::Stop;
use crate::decision::{Detail, Reason, Refusal};
use crate::host::Verifier;
use crate::json::Json;
use crate::time::Timestamp;

/// Why a token does not hold.
#[derive(Debug)]
pub enum Fault {
    /// It was not looked at to its end.
    Stopped(Stop),
    /// It is not signed by its provider's key.
    Forged(Box<Grounds>),
}

impl Fault {
    /// What becomes of the request.
    pub fn into_stop(self, provider: &Provider) -> Stop {
        match self {
            Self::Stopped(stop) => stop,
            Self::Forged(_) => forged(provider).into(),
        }
    }
}

impl<S: Into<Stop>> From<S> for Fault {
    fn from(stop: S) -> Self {
        Self::Stopped(stop.into())
    }
}

/// What a token is refused with that is not signed by its provider's key.
pub fn forged(provider: &Provider) -> Refusal {
    named(Reason::SignatureInvalid, provider)
}

/// Checks a token against the provider that its `iss` has chosen. Tells on what the answer rests, for [`Verified`].
pub fn check(
    token: Compact<'_>,
    provider: &Provider,
    now: Timestamp,
    verifier: &impl Verifier,
) -> Result<(Token, Grounds), Fault> {
    check_issuer(&token, provider)?;
    check_algorithm(&token, provider)?;
    check_type(&token, provider)?;
    let window = claims::check(&token.claims, provider, now)?;
    check_key_name(token.kid.as_deref(), provider)?;
    let keys = provider.keys(now)?;
    let key = match keys.choose(token.kid.as_deref(), token.algorithm) {
        Ok(key) => key,
        Err(unknown) => return Err(provider.without_key(token.kid.as_deref(), unknown, now).into()),
    };
    check_key_name(key.kid(), provider)?;
    let grounds = Grounds::new(window, &keys, key, token.kid.as_deref(), token.algorithm);
    if !signature::holds(key, token.algorithm, token.text, &token.signature, verifier) {
        return Err(Fault::Forged(Box::new(grounds)));
    }
    provider.revoked.check(&token.claims)?;
    Ok((Token::new(Rc::clone(&provider.name), token.kid, token.claims), grounds))
}

/// Checks what an issuer says of an opaque token by the rules for a token's own claims. `iss` may be left out (RFC 7662 §2.2): it was the issuer
/// that said it, so it is filled in. Else names of two issuers, and of API keys, which have none, would be one.
pub fn check_said(claims: &Json, provider: &Provider, now: Timestamp) -> Result<Token, Refusal> {
    let is_named = match claims.get("iss") {
        None | Some(Json::Null) => false,
        Some(Json::Text(issuer)) if **issuer == *provider.issuer => true,
        Some(_) => return Err(named(Reason::IssuerUnknown, provider)),
    };
    check_use(claims, provider)?;
    claims::check(claims, provider, now)?;
    provider.revoked.check(claims)?;
    let mut claims = claims.clone();
    if !is_named && let Json::Map(fields) = &mut claims {
        let issuer = Json::Text(provider.issuer.to_string());
        match fields.iter_mut().find(|(name, _)| name == "iss") {
            Some((_, null)) => *null = issuer,
            None => fields.push(("iss".to_owned(), issuer)),
        }
    }
    Ok(Token::new(Rc::clone(&provider.name), None, claims))
}

/// RFC 7662 §2.2: `active` may be said of a refresh token, too. `token_use` says what a token is for. `typ` and `token_type` may also say how
/// it is presented (`Bearer`, `DPoP`, `N_A`), so there only the words for another use are refused. A service that says nothing is believed.
fn check_use(claims: &Json, provider: &Provider) -> Result<(), Refusal> {
    let Json::Map(fields) = claims else { return Ok(()) };
    for (name, value) in fields {
        let is_use = name == "token_use";
        if !is_use && name != "typ" && name != "token_type" {
            continue;
        }
        let is_access = match value {
            Json::Null => true,
            Json::Text(word) if is_use => is_one_of(word, &["access_token", "access"]),
            Json::Text(word) => !is_one_of(
                word,
                &["refresh", "refresh_token", "offline", "id", "id_token", "logout", "logout+jwt"],
            ),
            _ => false,
        };
        if !is_access {
            return Err(named(Reason::TokenTypeUnaccepted, provider));
        }
    }
    Ok(())
}

/// Not for each word anew, which would be larger.
#[inline(never)]
fn is_one_of(word: &str, known: &[&str]) -> bool {
    known.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn named(reason: Reason, provider: &Provider) -> Refusal {
    Refusal::because(reason, Detail::Named("provider", Rc::clone(&provider.name)))
}

/// RFC 7519 §4.1.1, byte by byte: a provider's keys vouch for its own issuer only.
fn check_issuer(token: &Compact<'_>, provider: &Provider) -> Result<(), Refusal> {
    let issuer = token.claims.get("iss").and_then(|iss| iss.as_text());
    if issuer == Some(&*provider.issuer) {
        return Ok(());
    }
    Err(named(Reason::IssuerUnknown, provider))
}

/// A revoked key is to the client as if it were not there. It is asked twice: what the token names, before any key is looked for, and
/// what was chosen, since a token need not name a key.
fn check_key_name(kid: Option<&str>, provider: &Provider) -> Result<(), Refusal> {
    if !provider.revoked.holds_key(kid) {
        return Ok(());
    }
    Err(Refusal::because(Reason::KeyUnknown, Detail::Fact("the key is revoked")))
}

/// RFC 8725 §3.1: the provider says which algorithms may come; the token only says which of them it took.
fn check_algorithm(token: &Compact<'_>, provider: &Provider) -> Result<(), Refusal> {
    if provider.algorithms.contains(&token.algorithm) {
        return Ok(());
    }
    Err(named(Reason::AlgorithmUnaccepted, provider))
}

/// RFC 8725 §3.11, explicit typing: what was made for another purpose (an ID token's `typ`, a proof of possession) is no access token.
fn check_type(token: &Compact<'_>, provider: &Provider) -> Result<(), Refusal> {
    if provider.token_types.accept(token.typ.as_deref()) {
        return Ok(());
    }
    Err(named(Reason::TokenTypeUnaccepted, provider))
}
