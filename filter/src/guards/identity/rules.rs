//! Whose tokens are taken, and what must hold of them? What [`super::config`] reads from the policy.

use std::rc::Rc;

use super::api_key::ApiKeys;
pub use super::asked::{Authentication, CredentialRule};
use super::certificate::Certificates;
use super::confirmation::Confirmation;
use super::introspection::Introspection;
use super::jwt::remote::{Found, Newer, Remote, Wait};
use super::jwt::{Algorithm, KeySet, Verified};
use super::revoked::Revoked;
use super::stop::{Need, Stop, What};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::host::Metrics;
use crate::limits;
use crate::metrics::{Metric, Tally};
use crate::secret::Secret;
use crate::time::Timestamp;

/// A provider of [`Providers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderId(pub(super) usize);

/// Who vouches for callers: `jwt.providers`, `apiKeyAuth` and `clientCertificates`.
#[derive(Debug, Default)]
pub struct Providers {
    pub(super) list: Vec<Provider>,
    /// The API keys, if the document has the section; with problems too.
    pub(super) api_keys: Option<ApiKeys>,
    /// Who vouches for client certificates, if the document has the section; with problems too.
    pub(super) certificates: Option<Certificates>,
    /// Every name the document gave to a provider, those with problems too, so that one mistake is reported once.
    pub(super) names: Vec<Rc<str>>,
    /// See [`Providers::identity_headers`].
    pub(super) identity_headers: Vec<Rc<str>>,
    /// Tokens that have been checked.
    pub(super) verified: Verified,
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
    /// The keys, or why there are none; of no meaning where they are fetched.
    pub(super) keys: Result<Rc<KeySet>, Detail>,
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
    /// Whether a token must be its sender's.
    pub(super) confirmation: Confirmation,
    pub(super) revoked: Revoked,
    /// Asked about tokens that are not signed.
    pub(super) introspection: Option<Box<Introspection>>,
    pub(super) tallies: Tallies,
}

/// What was found of a provider's signed tokens.
#[derive(Debug, Default)]
pub struct Tallies {
    pub(super) known: Tally,
    pub(super) known_forged: Tally,
    pub(super) checked: Tally,
    pub(super) forged: Tally,
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
#[derive(Debug)]
pub enum KeySource {
    /// They stand in the policy.
    Inline,
    /// A JWK set in a variable of the plugin's environment.
    Environment(Rc<str>),
    /// A shared secret in a variable of the plugin's environment, and the one that comes after it.
    Secret {
        /// The variable.
        name: Rc<str>,
        /// That of the next one.
        next: Option<Rc<str>>,
    },
    /// The issuer publishes them.
    Remote(Box<Remote>),
    /// There are none: the issuer is asked about each token.
    None,
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

impl Place {
    /// Whether it is that of a token behind the scheme `DPoP` (RFC 9449 §7.1).
    pub fn is_dpop(&self) -> bool {
        matches!(self, Place::Header { name, prefix } if **name == *"authorization" && prefix.trim_end_matches(' ') == "dpop")
    }
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
    /// The keys. Errors: `KeysUnavailable`, with the reason that [`Providers::resolve`] or the last fetch found; or the wait for the first ones.
    pub fn keys(&self, now: Timestamp) -> Result<Rc<KeySet>, Stop> {
        let KeySource::Remote(remote) = &self.source else {
            return self.keys.as_ref().map(Rc::clone).map_err(|why| {
                let advice = Advice::RetryAfter(limits::KEYS_RETRY_SECONDS);
                Refusal::because(Reason::KeysUnavailable, why.clone()).advise(advice).into()
            });
        };
        match remote.keys(now) {
            Found::Keys(keys) => Ok(keys),
            Found::Nothing(refusal) => Err(refusal.into()),
            Found::Wait(wait) => Err(self.wait(wait, remote.refusal())),
        }
    }

    /// What becomes of a token for which [`KeySet::choose`] found no key: `refusal`, or the wait for newer keys that may have it.
    pub fn without_key(&self, kid: Option<&str>, refusal: Refusal, now: Timestamp) -> Stop {
        let KeySource::Remote(remote) = &self.source else {
            return refusal.into();
        };
        if refusal.reason != Reason::KeyUnknown {
            return refusal.into();
        }
        match remote.newer(kid, now) {
            Newer::No => refusal.into(),
            Newer::Nothing(refusal) => refusal.into(),
            Newer::Wait(wait) => self.wait(wait, remote.refusal()),
        }
    }

    /// Tells the host what was found of tokens and keys.
    pub(super) fn measure(&self, host: &impl Metrics, began: Timestamp, now: Timestamp) {
        let Tallies { known, known_forged, checked, forged } = &self.tallies;
        for (outcome, tally) in
            [("known", known), ("known_forged", known_forged), ("checked", checked), ("forged", forged)]
        {
            Metric::Tokens.add(host, &[&self.name, outcome], tally.take());
        }
        if let Some(remote) = self.remote() {
            remote.measure(host, began, now);
        }
        if let Some(introspection) = &self.introspection {
            introspection.measure(host);
        }
    }

    fn wait(&self, wait: Wait, otherwise: Refusal) -> Stop {
        let what = What::Keys { provider: Rc::clone(&self.name), outcomes: wait.outcomes };
        Stop::Wait(Box::new(Need { what, patience: wait.patience, otherwise }))
    }

    /// Whether its issuer is asked about every token.
    pub(super) fn has_no_keys(&self) -> bool {
        matches!(self.source, KeySource::None)
    }

    /// The key set that is fetched, if it is.
    pub(super) fn remote(&self) -> Option<&Remote> {
        match &self.source {
            KeySource::Remote(remote) => Some(remote),
            _ => None,
        }
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
        let of_keys = self.api_keys.iter().flat_map(|keys| &keys.places);
        self.list.iter().flat_map(|provider| &provider.places).chain(of_keys)
    }

    /// Whether some provider takes proofs of possession, which must be remembered.
    pub fn takes_proofs(&self) -> bool {
        self.list.iter().any(|provider| provider.confirmation.takes_proofs())
    }

    /// Every header that some provider's `claimToHeaders`, or `forwardClientIDHeader`, may set, once each, in lower case. What a client sends under these
    /// names is taken away on every route, open ones too: else it would look to the upstream like our word.
    pub fn identity_headers(&self) -> &[Rc<str>] {
        &self.identity_headers
    }

    /// Adds a header that the gateway alone may set, in lower case.
    pub fn add_identity_header(&mut self, name: &Rc<str>) {
        if let Err(place) = self.identity_headers.binary_search(name) {
            self.identity_headers.insert(place, Rc::clone(name));
        }
    }

    /// Reads what the policy refers to from the environment. Loading a policy does not look there: the main thread and
    /// the workers must come to the same answer (host fact H1). A variable that is missing or cannot be used is no
    /// fault of the document; it becomes a state in which this provider's tokens are refused with `KeysUnavailable`.
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        for provider in &mut self.list {
            if let Some(introspection) = &mut provider.introspection {
                introspection.resolve(&env);
            }
            let keys = match &provider.source {
                KeySource::Inline | KeySource::Remote(_) | KeySource::None => continue,
                KeySource::Environment(name) => key_set(name, &env),
                KeySource::Secret { name, next } => {
                    shared_secrets(name, next.as_ref(), &provider.algorithms, &env)
                }
            };
            provider.keys = keys.map(Rc::new);
        }
        if let Some(keys) = &mut self.api_keys {
            keys.resolve(env);
        }
    }

    /// Why hashes of API keys that are keyed may not all be checked, if there are any: each pepper that is missing. For the log after a load.
    pub fn without_pepper(&self) -> impl Iterator<Item = &Detail> {
        self.api_keys.iter().flat_map(ApiKeys::without_pepper)
    }

    /// Where a secret is being changed, which of the two is not there: the provider's name and why. One of them serves, so nobody else would
    /// tell before the issuer takes the other. For the log after a load.
    pub fn without_one_of_two(&self, env: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<(&str, Detail)> {
        let mut missing = Vec::new();
        for provider in &self.list {
            if let KeySource::Secret { name, next: Some(next) } = &provider.source {
                let faults = [name, next].map(|name| shared_secret(name, &provider.algorithms, &env).err());
                missing.extend(faults.into_iter().flatten().map(|why| (&*provider.name, why)));
            }
            let introspection = provider.introspection.iter();
            let faults = introspection.flat_map(|introspection| introspection.without_one_of_two(&env));
            missing.extend(faults.map(|why| (&*provider.name, why)));
        }
        missing
    }

    /// Why a provider has no keys, for each that has none: its name and the reason. For the log after a load.
    pub fn without_keys(&self) -> impl Iterator<Item = (&str, &Detail)> {
        self.list.iter().filter_map(|provider| {
            let silent =
                provider.introspection.as_ref().and_then(|introspection| introspection.without_secret());
            let held = provider.remote().is_none() && !provider.has_no_keys();
            let keyless = provider.keys.as_ref().err().filter(|_| held);
            Some((&*provider.name, silent.or(keyless)?))
        })
    }
}

fn key_set(name: &Rc<str>, env: impl Fn(&str) -> Option<Vec<u8>>) -> Result<KeySet, Detail> {
    let jwks = env(name).ok_or_else(|| Detail::Named("missing environment variable", Rc::clone(name)))?;
    match KeySet::read(&jwks) {
        Ok((keys, _)) => Ok(keys),
        Err(_) => Err(Detail::Named("no usable key set in environment variable", Rc::clone(name))),
    }
}

/// Those of the two that can be used; the first one's fault if none can.
fn shared_secrets(
    name: &Rc<str>,
    next: Option<&Rc<str>>,
    algorithms: &[Algorithm],
    env: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<KeySet, Detail> {
    let first = shared_secret(name, algorithms, &env);
    let next = next.and_then(|next| shared_secret(next, algorithms, &env).ok());
    match (first, next) {
        (Ok(first), next) => Ok(KeySet::secret(core::iter::once(first).chain(next).collect())),
        (Err(_), Some(next)) => Ok(KeySet::secret(vec![next])),
        (Err(why), None) => Err(why),
    }
}

/// RFC 7518 §3.2: "A key of the same size as the hash output … or larger MUST be used".
fn shared_secret(
    name: &Rc<str>,
    algorithms: &[Algorithm],
    env: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Secret<Vec<u8>>, Detail> {
    let bytes = env(name).ok_or_else(|| Detail::Named("missing environment variable", Rc::clone(name)))?;
    let secret = Secret::new(bytes);
    let shortest = algorithms.iter().map(|algorithm| algorithm.hash().size()).max().unwrap_or(0);
    if secret.expose().len() < shortest {
        return Err(Detail::Named(
            "secret shorter than the algorithm's hash in environment variable",
            Rc::clone(name),
        ));
    }
    Ok(secret)
}
