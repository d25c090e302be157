//! Is this one of the policy's API keys?
//!
//! The policy holds hashes of keys, never keys. A presented key is hashed once for each form of hash and each pepper that the policy has (at most three times),
//! and looked up in a table, so ten thousand keys cost a request what ten cost.
//!
//! Why no slow hash (PBKDF2, Argon2) is offered: they make guessing expensive by making every check expensive, and here the
//! proxy's worker would pay for every check, those of an attacker's requests first. What they are for, secrets that a person made
//! up, does not belong here: a key of 256 random bits cannot be guessed from its SHA-256. For keys that are weaker than that,
//! or whose origin nobody knows, there is the keyed form: without the pepper, which stands in the environment and not in the policy,
//! the hash is of no use to whoever reads the policy.
//!
//! What it does not protect against: a key that was stolen (it is a bearer credential), and a weak key that is guessed
//! through the front door.

pub mod config;
pub mod hash;
pub mod shapes;
mod table;

#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use hash::KeyHash;

use self::table::Table;
use super::caller::ApiKey;
use super::rules::Place;
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::limits;
use crate::secret::Secret;
use crate::time::Timestamp;

/// `apiKeyAuth`
#[derive(Debug)]
pub struct ApiKeys {
    /// Where a key may stand.
    pub(super) places: Vec<Place>,
    /// The header in which the upstream gets the client's id; lower case.
    pub(super) client_header: Option<Rc<str>>,
    /// Whether the key goes on to the upstream.
    pub(super) forward: bool,
    keys: Table,
    /// The pepper, and while it is changed the next one. Nobody asks for them unless a hash is keyed.
    peppers: Vec<Pepper>,
}

/// A secret under which hashes of keys were made.
#[derive(Debug)]
struct Pepper {
    /// The variable that holds it.
    source: Rc<str>,
    /// It, or why it is not there.
    value: Result<Secret<Vec<u8>>, Detail>,
}

impl Pepper {
    fn unread(source: Rc<str>) -> Self {
        let value = Err(Detail::Named("not read yet: environment variable", Rc::clone(&source)));
        Self { source, value }
    }

    fn read(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        let fault = |what| Err(Detail::Named(what, Rc::clone(&self.source)));
        self.value = match env(&self.source).map(Secret::new) {
            None => fault("missing environment variable"),
            Some(pepper) if pepper.expose().len() < limits::PEPPER_BYTES_MIN => {
                fault("pepper shorter than 32 bytes in environment variable")
            }
            Some(pepper) => Ok(pepper),
        };
    }
}

/// What the policy says of one key.
#[derive(Debug)]
pub struct Entry {
    pub(super) client: Rc<str>,
    pub(super) scopes: Vec<Rc<str>>,
    pub(super) tier: Option<Rc<str>>,
    pub(super) fingerprint: Rc<str>,
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl ApiKeys {
    /// Checks a presented key. Errors: `ApiKeyInvalid`, `ApiKeyExpired`, and `KeysUnavailable` for a key that only the
    /// keyed hashes could know while there is no pepper.
    pub fn check(&self, key: &[u8], place: &Place, now: Timestamp) -> Result<ApiKey, Refusal> {
        check_form(key, place)?;
        let entry = self.find(key)?;
        let named = |what| Detail::Named(what, Rc::clone(&entry.client));
        // The policy's author wrote these times down for our clock, so no skew is allowed for: there is no second clock.
        if entry.not_before.is_some_and(|from| now < from) {
            return Err(Refusal::because(Reason::ApiKeyInvalid, named("not valid yet: a key of client")));
        }
        if entry.expires_at.is_some_and(|until| now >= until) {
            return Err(Refusal::because(Reason::ApiKeyExpired, named("a key of client")));
        }
        Ok(ApiKey::new(Rc::clone(entry)))
    }

    fn find(&self, key: &[u8]) -> Result<&Rc<Entry>, Refusal> {
        if let Some(entry) = self.keys.plain(key) {
            return Ok(entry);
        }
        if !self.keys.has_keyed() {
            return Err(invalid("no such key"));
        }
        let mut present = self.peppers.iter().filter_map(|pepper| pepper.value.as_ref().ok());
        if let Some(entry) = present.find_map(|pepper| self.keys.keyed(key, pepper.expose())) {
            return Ok(entry);
        }
        // Under one that is missing it may be a key.
        Err(self.without_pepper().next().map_or_else(
            || invalid("no such key"),
            |why| {
                let advice = Advice::RetryAfter(limits::KEYS_RETRY_SECONDS);
                Refusal::because(Reason::KeysUnavailable, why.clone()).advise(advice)
            },
        ))
    }

    /// Reads the peppers. That one is missing is no fault of the document (host fact H1): it becomes a state in which keys
    /// that only a keyed hash could know are refused with `KeysUnavailable`.
    pub(super) fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        self.peppers.iter_mut().for_each(|pepper| pepper.read(&env));
    }

    /// Why a keyed hash may not be checked, if there are any: each pepper that is missing.
    pub(super) fn without_pepper(&self) -> impl Iterator<Item = &Detail> {
        let missing = self.peppers.iter().filter_map(|pepper| pepper.value.as_ref().err());
        missing.filter(|_| self.keys.has_keyed())
    }
}

fn invalid(fact: &'static str) -> Refusal {
    Refusal::because(Reason::ApiKeyInvalid, Detail::Fact(fact))
}

/// What cannot be a key is not hashed. A key holds visible ASCII but for the comma, by which a proxy joins two headers. In a query it
/// stands as it is: a `%` or a `+` there means one key to us and another to a reader that decodes.
fn check_form(key: &[u8], place: &Place) -> Result<(), Refusal> {
    if key.len() > limits::API_KEY_BYTES {
        let (got, limit) = (key.len() as u64, limits::API_KEY_BYTES as u64);
        let detail = Detail::Over { what: "bytes of API key", got, limit };
        return Err(Refusal::because(Reason::ApiKeyInvalid, detail));
    }
    if key.len() < limits::API_KEY_BYTES_MIN {
        return Err(invalid("shorter than any key"));
    }
    let in_query = matches!(place, Place::Param(_));
    let holds = |b: &u8| b.is_ascii_graphic() && *b != b',' && !(in_query && matches!(b, b'%' | b'+'));
    if key.iter().all(holds) { Ok(()) } else { Err(invalid("a byte that no key holds")) }
}
