//! Whose tokens are taken, and what must hold of them? What [`super::config`] reads from the policy.

use std::rc::Rc;

use super::jwt::{Algorithm, KeySet};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::limits;
use crate::secret::Secret;

/// What a route asks of its callers.
#[derive(Debug)]
pub enum Authentication {
    /// Nothing; nobody is identified, and no credential is looked for.
    Open,
    /// A token.
    Token(TokenRule),
}

/// Which tokens a route takes.
#[derive(Debug)]
pub struct TokenRule {
    /// Whose; no two of one issuer.
    pub(super) providers: Vec<ProviderId>,
    /// Where they may stand: all places of those providers, each once.
    pub(super) places: Vec<Place>,
    /// Whether a request without a credential passes as anonymous (`anyOf` with `open`). A bad credential never does.
    pub(super) optional: bool,
}

/// A provider of [`Providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderId(pub(super) usize);

/// `jwt.providers`
#[derive(Debug, Default)]
pub struct Providers {
    pub(super) list: Vec<Provider>,
    /// Every name the document gave to a provider, those with problems too, so that one mistake is reported once.
    pub(super) names: Vec<Rc<str>>,
    /// See [`Providers::identity_headers`].
    pub(super) identity_headers: Vec<Rc<str>>,
}

/// One issuer of tokens, and what must hold of them.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the policy.
    pub(super) name: Rc<str>,
    /// `iss`, byte by byte.
    pub(super) issuer: Box<str>,
    pub(super) audience: Audience,
    /// Never empty, never HMAC beside others.
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) token_types: TokenTypes,
    pub(super) source: KeySource,
    /// The keys, or why there are none.
    pub(super) keys: Result<KeySet, Detail>,
    pub(super) places: Vec<Place>,
    /// Whether the token goes on to the upstream.
    pub(super) forward: bool,
    /// Nanoseconds, at most [`limits::CLOCK_SKEW_SECONDS`].
    pub(super) clock_skew: u64,
    pub(super) require_expiration: bool,
    /// Nanoseconds.
    pub(super) max_lifetime: Option<u64>,
    pub(super) required_claims: Vec<Rc<str>>,
    pub(super) claim_headers: Vec<ClaimHeader>,
}

/// For whom a token must be.
#[derive(Debug)]
pub enum Audience {
    /// One of these must be in `aud`.
    OneOf(Vec<Box<str>>),
    /// `allowAnyAudience`, with its reason in the policy.
    Any,
}

/// Which `typ` a token may have.
#[derive(Debug)]
pub struct TokenTypes {
    /// Whether `typ` may be absent.
    pub(super) absent: bool,
    /// In the form of [`super::jwt::compact::media_type`].
    pub(super) named: Vec<String>,
}

impl TokenTypes {
    /// Whether a token of this type (`None`: it names none) is taken.
    pub fn accept(&self, typ: Option<&str>) -> bool {
        typ.map_or(self.absent, |typ| self.named.iter().any(|named| named == typ))
    }
}

/// Where a provider's keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// They stand in the policy.
    Inline,
    /// A JWK set in a variable of the plugin's environment.
    Environment(Rc<str>),
    /// A shared secret in a variable of the plugin's environment.
    Secret(Rc<str>),
}

/// Where a credential may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a header of this name (lower case), behind this prefix.
    Header {
        /// The field's name.
        name: Rc<str>,
        /// Compared without case; may be empty.
        prefix: Rc<str>,
    },
    /// In a cookie of this name.
    Cookie(Rc<str>),
    /// In a query parameter of this name.
    Param(Rc<str>),
}

/// A claim that goes to the upstream as a header.
#[derive(Clone, Debug)]
pub struct ClaimHeader {
    /// As [`super::caller::claim`] finds it.
    pub(super) claim: Rc<str>,
    /// Lower case.
    pub(super) header: Rc<str>,
}

impl Provider {
    /// The keys. Errors: `KeysUnavailable`, with the reason that [`Providers::resolve`] found.
    pub fn keys(&self) -> Result<&KeySet, Refusal> {
        self.keys.as_ref().map_err(|why| {
            let advice = Advice::RetryAfter(limits::KEYS_RETRY_SECONDS);
            Refusal::because(Reason::KeysUnavailable, why.clone()).advise(advice)
        })
    }
}

impl Authentication {
    /// The names of the providers whose tokens it takes; none if it is open.
    pub fn accepted(&self, providers: &Providers) -> Vec<Rc<str>> {
        let Self::Token(rule) = self else {
            return Vec::new();
        };
        let known = rule.providers.iter().filter_map(|id| providers.provider(*id));
        known.map(|provider| Rc::clone(&provider.name)).collect()
    }
}

impl Providers {
    /// Every name that the document gave to a provider.
    pub fn names(&self) -> &[Rc<str>] {
        &self.names
    }

    /// The provider.
    pub fn provider(&self, id: ProviderId) -> Option<&Provider> {
        self.list.get(id.0)
    }

    /// Every place in which some provider takes a credential.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.list.iter().flat_map(|provider| &provider.places)
    }

    /// Every header that some provider's `claimToHeaders` may set, once each, in lower case. What a client sends under these
    /// names is taken away on every route, open ones too: else it would look to the upstream like our word.
    pub fn identity_headers(&self) -> &[Rc<str>] {
        &self.identity_headers
    }

    /// Reads what the policy refers to from the environment. Loading a policy does not look there: the main thread and
    /// the workers must come to the same answer (host-facts §0.1). A variable that is missing or cannot be used is no
    /// fault of the document; it becomes a state in which this provider's tokens are refused with `KeysUnavailable`.
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        for provider in &mut self.list {
            let keys = match &provider.source {
                KeySource::Inline => continue,
                KeySource::Environment(name) => key_set(name, &env),
                KeySource::Secret(name) => shared_secret(name, &provider.algorithms, &env),
            };
            provider.keys = keys;
        }
    }

    /// Why a provider has no keys, for each that has none: its name and the reason. For the log after a load.
    pub fn without_keys(&self) -> impl Iterator<Item = (&str, &Detail)> {
        self.list.iter().filter_map(|provider| Some((&*provider.name, provider.keys.as_ref().err()?)))
    }
}

fn key_set(name: &Rc<str>, env: impl Fn(&str) -> Option<Vec<u8>>) -> Result<KeySet, Detail> {
    let jwks = env(name).ok_or_else(|| Detail::Named("missing environment variable", Rc::clone(name)))?;
    match KeySet::read(&jwks) {
        Ok((keys, _)) => Ok(keys),
        Err(_) => Err(Detail::Named("no usable key set in environment variable", Rc::clone(name))),
    }
}

/// RFC 7518 §3.2: "A key of the same size as the hash output … or larger MUST be used".
fn shared_secret(
    name: &Rc<str>,
    algorithms: &[Algorithm],
    env: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<KeySet, Detail> {
    let bytes = env(name).ok_or_else(|| Detail::Named("missing environment variable", Rc::clone(name)))?;
    let secret = Secret::new(bytes);
    let shortest = algorithms.iter().map(|algorithm| algorithm.hash().size()).max().unwrap_or(0);
    if secret.expose().len() < shortest {
        return Err(Detail::Named(
            "secret shorter than the algorithm's hash in environment variable",
            Rc::clone(name),
        ));
    }
    Ok(KeySet::secret(secret))
}
