//! Which key signs now, and which are published?
//!
//! The clock decides at each request: of the keys that may sign, the one that began last does. The next one is published from the moment on at which
//! the policy is loaded, and one that has signed for as long as what it signed may be taken, so that whoever checks always knows the key.

use core::cell::{Cell, RefCell};
use core::num::NonZeroU64;
use std::rc::Rc;

use super::cache::Cache;
use super::claims::{Identity, Target, push_about, push_base64, push_rest};
use super::key::SigningKey;
use super::{Algorithm, Assertion, Reuse, unavailable};
use crate::decision::{Advice, Answered, Detail, Reason, Refusal};
use crate::guards::identity::Caller;
use crate::host::Verifier;
use crate::http::Head;
use crate::limits;
use crate::redaction;
use crate::time::{SECOND, Timestamp};

/// `signing`, as it is written.
#[derive(Debug)]
pub struct Signing {
    pub(super) issuer: Box<str>,
    pub(super) keys: Vec<SigningKey>,
    /// Where the public keys are shown, and for how long they may be kept, in nanoseconds.
    pub(super) published: Option<(Box<str>, u64)>,
}

/// `signing`, as one worker uses it.
#[derive(Debug)]
pub struct Ring {
    signing: Signing,
    /// The longest time for which an assertion of some route serves, in nanoseconds.
    longest: u64,
    state: RefCell<State>,
    made: Cell<u64>,
    seed: [u8; 16],
}

#[derive(Debug)]
struct State {
    cache: Cache,
    /// What is asked for, written here each time.
    about: Vec<u8>,
}

impl Ring {
    /// Keys that are not read yet. `longest` is the longest `ttl` of a route.
    pub fn new(signing: Signing, longest: u64) -> Self {
        let seed = [0; 16];
        let state = RefCell::new(State { cache: Cache::new(seed), about: Vec::new() });
        Self { signing, longest, state, made: Cell::new(0), seed }
    }

    /// Reads the keys from the environment. `seed` is random, and of this worker alone.
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>, seed: [u8; 16]) {
        self.seed = seed;
        self.state = RefCell::new(State { cache: Cache::new(seed), about: Vec::new() });
        for key in &mut self.signing.keys {
            key.resolve(&env);
        }
    }

    /// Keys that cannot sign, whatever the time: their names and why. For the log after a load.
    pub fn without_key(&self) -> impl Iterator<Item = (&str, &Detail)> {
        self.signing.keys.iter().filter_map(|key| Some((&*key.kid, key.material.as_ref().err()?)))
    }

    /// The assertion about a request, as the header's value. Errors: `AssertionUnavailable`; `HeadersTooLarge`.
    pub fn assert(
        &self,
        rules: &Rc<Assertion>,
        caller: &Caller,
        target: &Target<'_>,
        head: &Head,
        now: Timestamp,
        host: &impl Verifier,
    ) -> Result<Vec<u8>, Refusal> {
        let (number, key) = self.signs(rules.algorithm, now)?;
        let mut state = self.state.borrow_mut();
        let State { cache, about } = &mut *state;
        about.clear();
        push_about(rules, caller, target, about);
        let claims = about.len();
        let Reuse::For(reuse) = rules.reuse else {
            let request = head.only("x-request-id").ok().flatten().and_then(redaction::request_id);
            return self.sign(key, about, target, rules, request.as_ref(), now, host);
        };
        // No query is a claim of its own here: the hash of it is, and takes longer than to compare it.
        about.push(b'?');
        about.extend_from_slice(target.query());
        if let Some(kept) = cache.find(rules, number, about, now) {
            return Ok(kept.expose().clone());
        }
        let assertion =
            self.sign(key, about.get(..claims).unwrap_or_default(), target, rules, None, now, host)?;
        // `iat` is a whole second, so `exp` comes up to one earlier than `ttl` from here.
        let exp = Timestamp::from_seconds(now.seconds().saturating_add(rules.ttl.div_ceil(SECOND)));
        let until = Timestamp::from_nanos(now.nanos().saturating_add(reuse)).min(exp);
        cache.keep(rules, number, about, (now, until), &assertion);
        Ok(assertion)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a part of what is signed")]
    fn sign(
        &self,
        key: &SigningKey,
        about: &[u8],
        target: &Target<'_>,
        rules: &Assertion,
        request: Option<&redaction::Redacted>,
        now: Timestamp,
        host: &impl Verifier,
    ) -> Result<Vec<u8>, Refusal> {
        let iat = now.seconds();
        let exp = iat.saturating_add(rules.ttl.div_ceil(SECOND));
        let jti = self.number();
        let jti = jti.get(..16).unwrap_or_default();
        let mut payload = b"{\"iss\":".to_vec();
        super::claims::push_text(&self.signing.issuer, &mut payload);
        payload.push(b',');
        payload.extend_from_slice(about);
        push_rest(target.query(), &Identity { jti, request, iat, exp }, &mut payload);
        payload.push(b'}');
        let mut text = key.header().into_bytes();
        text.push(b'.');
        push_base64(&payload, &mut text);
        let signature = key.sign(&text, host).map_err(unavailable)?;
        text.push(b'.');
        push_base64(&signature, &mut text);
        if text.len() > limits::ASSERTION_BYTES {
            let (what, got) = ("bytes of the assertion", text.len() as u64);
            let limit = limits::ASSERTION_BYTES as u64;
            return Err(Refusal::because(Reason::HeadersTooLarge, Detail::Over { what, got, limit }));
        }
        Ok(text)
    }

    /// What nobody guesses and no other assertion has.
    fn number(&self) -> [u8; 32] {
        let made = self.made.get().wrapping_add(1);
        self.made.set(made);
        hmac_sha256::HMAC::mac(made.to_le_bytes(), self.seed)
    }

    /// The key that signs at this time, and its place in the list.
    fn signs(&self, wanted: Option<Algorithm>, now: Timestamp) -> Result<(usize, &SigningKey), Refusal> {
        let fits = |key: &&SigningKey| match wanted {
            Some(algorithm) => key.algorithm == algorithm,
            None => key.algorithm.is_public(),
        };
        let mut why = Detail::Fact("no key of `signing` is valid at this time");
        let mut best: Option<(usize, &SigningKey)> = None;
        for (number, key) in self.signing.keys.iter().enumerate() {
            if !fits(&key) || !key.signs_at(now) {
                continue;
            }
            match &key.material {
                Err(missing) => why = missing.clone(),
                Ok(_) if best.is_none_or(|(_, other)| other.not_before < key.not_before) => {
                    best = Some((number, key));
                }
                Ok(_) => {}
            }
        }
        best.ok_or_else(|| unavailable(why))
    }

    /// The answer to whoever asks for the public keys; `None` if that is not asked for. Errors: `MethodNotAllowed`.
    pub fn answer(&self, path: &str, method: &[u8], now: Timestamp) -> Option<Result<Answered, Refusal>> {
        let (published, _) = self.signing.published.as_ref()?;
        if **published != *path {
            return None;
        }
        if !matches!(method, b"GET" | b"HEAD") {
            let refusal = Refusal::new(Reason::MethodNotAllowed).advise(Advice::Allow("GET, HEAD".into()));
            return Some(Err(refusal));
        }
        let (set, age) = self.published(now);
        Some(Ok(Answered {
            what: "public keys",
            status: 200,
            headers: vec![
                ("content-type", "application/jwk-set+json".to_owned()),
                ("cache-control", format!("public, max-age={age}")),
            ],
            body: set.into(),
            in_shadow: true,
        }))
    }

    /// The public keys as a JWK set (RFC 7517 §5), and for how many seconds they may be kept: not beyond the time at which the next of them goes.
    pub fn published(&self, now: Timestamp) -> (String, u64) {
        let most = self.signing.published.as_ref().map_or(0, |(_, age)| *age);
        let mut age = most;
        let mut set = String::from("{\"keys\":[");
        let mut separator = "";
        for key in &self.signing.keys {
            let gone = key.not_after.map(|until| {
                let serves = self.longest.saturating_add(limits::SIGNING_SKEW);
                Timestamp::from_nanos(until.nanos().saturating_add(serves))
            });
            if gone.is_some_and(|gone| gone <= now) {
                continue;
            }
            let Some(jwk) = key.jwk() else { continue };
            age = gone.map_or(age, |gone| age.min(gone.since(now)));
            set.push_str(separator);
            set.push_str(&jwk);
            separator = ",";
        }
        set.push_str("]}");
        let age = NonZeroU64::new(age.checked_div(SECOND).unwrap_or(0)).map_or(1, NonZeroU64::get);
        (set, age)
    }
}
