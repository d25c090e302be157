//! What does the issuer say of a token that says nothing itself? RFC 7662.
//!
//! A token that is not known yet is asked about, once for all who wait for it. What is said is believed for `cacheDuration`, and never beyond
//! the token's `exp`. A service that cannot be asked is a 503: nobody knows whether the token is good. What one token brings about, which a client may
//! choose, is that token's alone: a service rests when it fails for several in a row, or says that it is not to be asked.
//!
//! What it does *not* protect against: a token that was revoked a moment ago, for as long as the answer is cached; and a flood of
//! random tokens, each of which costs the service a question (at most [`limits::INTROSPECTIONS`] at a time and worker). Limits on who may come
//! at all belong before the gateway.

pub mod answer;
pub mod cache;
mod pending;
mod question;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use self::answer::{Fault, Said, expiry};
use self::cache::{Cache, Key, Known};
pub use self::pending::Pending;
use self::question::{basic, form};
use super::stop::{Need, Stop, What};
use super::target::Target;
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::host::{Answer, Call, CallId, Host, Level, Metrics};
use crate::json::Json;
use crate::limits;
use crate::metrics::{Metric, Tally};
use crate::secret::Secret;
use crate::time::{SECOND, Timestamp};

/// What the policy says of an introspection endpoint. Durations are nanoseconds.
#[derive(Clone, Debug)]
pub struct Source {
    /// The provider's name.
    pub provider: Rc<str>,
    /// The endpoint.
    pub uri: Target,
    /// The host's name for where it is.
    pub cluster: Box<str>,
    /// Who asks.
    pub client_id: Box<str>,
    /// The variable of the environment that holds the secret.
    pub secret: Rc<str>,
    /// The one that holds the secret that comes after it.
    pub next_secret: Option<Rc<str>>,
    /// For one question.
    pub timeout: u64,
    /// How long `active` is believed, at most.
    pub cache: u64,
}

/// An introspection endpoint as one worker knows it.
#[derive(Debug)]
pub struct Introspection {
    source: Source,
    /// The value of `authorization`, or why there is none.
    authorization: Result<Secret<String>, Detail>,
    /// Another one, which may be the right one: the secret is being changed.
    other: Option<Secret<String>>,
    state: RefCell<State>,
    tallies: Tallies,
}

/// What was found of tokens.
#[derive(Debug, Default)]
struct Tallies {
    cached: Tally,
    active: Tally,
    inactive: Tally,
    failed: Tally,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// Tokens of `queue` and of `asked`, so that all who wait for one wait for one answer.
    pending: HashMap<Key, Weak<Pending>>,
    /// Tokens that nobody has asked about yet. Whoever waits holds the answer's place, and nobody else does.
    queue: VecDeque<(Weak<Pending>, Secret<Vec<u8>>)>,
    /// Questions on their way.
    asked: Vec<Asked>,
    /// Whether the other secret is the one that the service took last.
    by_other: bool,
    /// Failures in a row.
    failures: u32,
    /// After so many: until when nobody asks, and why.
    rest: Option<(u64, Fault)>,
    /// When a failure was last written to the log.
    told: Option<u64>,
}

/// A question on its way.
#[derive(Debug)]
struct Asked {
    call: CallId,
    about: Rc<Pending>,
    /// When it is given up.
    until: u64,
    /// Whether it was asked with the other secret.
    by_other: bool,
    token: Secret<Vec<u8>>,
    /// In which ways it can be asked about once more: with the secret that it was not asked with, and over another connection.
    again: Again,
}

#[derive(Clone, Copy, Debug)]
struct Again {
    by_other: bool,
    over_another: bool,
}

impl Introspection {
    /// An endpoint that nobody has asked yet, and whose secret is not read.
    pub fn new(source: Source) -> Self {
        let unread = Detail::Named("not read yet: environment variable", Rc::clone(&source.secret));
        let (state, tallies) = (RefCell::default(), Tallies::default());
        Self { source, authorization: Err(unread), other: None, state, tallies }
    }

    /// Reads the secret. Loading a policy does not look there (host fact H1).
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        let authorization = |name: &Rc<str>| {
            let secret = env(name).map(Secret::new).filter(|secret| !secret.expose().is_empty());
            Some(Secret::new(basic(&self.source.client_id, &secret?)))
        };
        let name = &self.source.secret;
        let next = self.source.next_secret.as_ref().and_then(authorization);
        let (authorization, other) = match (authorization(name), next) {
            (None, next) => (next, None),
            both => both,
        };
        self.authorization =
            authorization.ok_or_else(|| Detail::Named("missing environment variable", Rc::clone(name)));
        self.other = other;
    }

    /// Where the secret is being changed, which of the two is not there.
    pub fn without_one_of_two(&self, env: impl Fn(&str) -> Option<Vec<u8>>) -> impl Iterator<Item = Detail> {
        let both = self.source.next_secret.iter().flat_map(|next| [&self.source.secret, next]);
        let is_there = move |name: &str| env(name).map(Secret::new).is_some_and(|it| !it.expose().is_empty());
        let missing = both.filter(move |name| !is_there(name));
        missing.map(|name| Detail::Named("missing environment variable", Rc::clone(name)))
    }

    /// Why nothing can be asked, if so.
    pub fn without_secret(&self) -> Option<&Detail> {
        self.authorization.as_ref().err()
    }

    /// What a token says, in the issuer's words. Errors: `TokenInactive`; `KeysUnavailable` without a secret; `IntrospectionUnavailable`;
    /// or the wait for the answer.
    pub fn claims(&self, token: &[u8], now: Timestamp) -> Result<Rc<Json>, Stop> {
        let key = hmac_sha256::Hash::hash(token);
        let mut state = self.state.borrow_mut();
        let known = state.cache.get(&key, now);
        if matches!(known, Some(Known::Active(_) | Known::Inactive)) {
            self.tallies.cached.count();
        }
        match known {
            Some(Known::Active(claims)) => return Ok(claims),
            Some(Known::Inactive) => return Err(Reason::TokenInactive.into()),
            Some(Known::Failed(fault)) => return Err(self.unavailable(fault.words()).into()),
            None => {}
        }
        if let Err(why) = &self.authorization {
            let advice = Advice::RetryAfter(limits::KEYS_RETRY_SECONDS);
            return Err(Refusal::because(Reason::KeysUnavailable, why.clone()).advise(advice).into());
        }
        if let Some(fault) = state.resting(now) {
            return Err(self.unavailable(fault.words()).into());
        }
        let others = state.pending.get(&key).and_then(Weak::upgrade);
        let about = match others.filter(|others| others.is_on_its_way()) {
            Some(others) => others,
            None if state.queue.len() >= limits::WAITERS => {
                return Err(self.unavailable("too many tokens to ask about: provider").into());
            }
            None => {
                let about = Rc::new(Pending::about(key));
                state.pending.insert(key, Rc::downgrade(&about));
                state.queue.push_back((Rc::downgrade(&about), Secret::new(token.to_vec())));
                about
            }
        };
        let what = What::Token(about);
        let patience = self.source.timeout.saturating_add(SECOND / 4);
        let otherwise = self.unavailable(Fault::Timeout.words());
        Err(Stop::Wait(Box::new(Need { what, patience, otherwise })))
    }

    fn unavailable(&self, why: &'static str) -> Refusal {
        let detail = Detail::Named(why, Rc::clone(&self.source.provider));
        Refusal::because(Reason::IntrospectionUnavailable, detail).advise(Advice::RetryAfter(1))
    }

    /// Whether any answer is on its way.
    pub fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        !state.queue.is_empty() || !state.asked.is_empty()
    }

    /// Asks about the tokens that are waited for, as many as may be asked about at a time.
    pub fn tick(&self, host: &impl Host, now: Timestamp) {
        self.state.borrow_mut().forget(now);
        loop {
            let mut state = self.state.borrow_mut();
            if state.resting(now).is_some() {
                // Whoever waits hears that nobody asks.
                for (about, _) in state.queue.drain(..) {
                    about.upgrade().inspect(|about| about.end());
                }
                return;
            }
            if state.asked.len() >= limits::INTROSPECTIONS {
                return;
            }
            let Some((about, token)) = state.queue.pop_front() else { return };
            let Some(about) = about.upgrade() else { continue };
            let by_other = state.by_other;
            drop(state);
            let again = Again { by_other: self.other.is_some(), over_another: true };
            if let Err(fault) = self.put(host, &about, token, by_other, again, now) {
                self.fail(host, &about, fault, now);
            }
        }
    }

    /// Puts the question, with that secret.
    fn put(
        &self,
        host: &impl Host,
        about: &Rc<Pending>,
        token: Secret<Vec<u8>>,
        by_other: bool,
        again: Again,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let call = self.ask(host, &token, by_other)?;
        // The host gives up at the timeout; an answer that never comes is forgotten a little later.
        let until = now.nanos().saturating_add(self.source.timeout).saturating_add(SECOND / 8);
        let about = Rc::clone(about);
        self.state.borrow_mut().asked.push(Asked { call, about, until, by_other, token, again });
        Ok(())
    }

    fn ask(&self, host: &impl Host, token: &Secret<Vec<u8>>, by_other: bool) -> Result<CallId, Fault> {
        let other = self.other.as_ref().filter(|_| by_other);
        let Some(authorization) = other.or(self.authorization.as_ref().ok()) else {
            return Err(Fault::NotSent);
        };
        let mut body = Secret::new("token=".to_owned());
        body.expose_mut().push_str(&form(token.expose()));
        body.expose_mut().push_str("&token_type_hint=access_token");
        let uri = &self.source.uri;
        let call = Call {
            cluster: &self.source.cluster,
            method: "POST",
            scheme: uri.scheme,
            authority: &uri.authority,
            path: &uri.path,
            fields: &[
                ("authorization", authorization.expose()),
                ("content-type", "application/x-www-form-urlencoded"),
                ("accept", "application/json"),
                ("user-agent", "portcullis"),
            ],
            body: body.expose().as_bytes(),
            timeout: self.source.timeout,
        };
        host.call(&call).map_err(|_| Fault::NotSent)
    }

    /// An answer to a call; whether it was ours.
    pub fn answered(&self, host: &impl Host, id: CallId, answer: &mut Answer, now: Timestamp) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(place) = state.asked.iter().position(|asked| asked.call == id) else {
            return false;
        };
        let Asked { about, by_other, token, again, .. } = state.asked.swap_remove(place);
        let said = answer::read(answer);
        let rests = state.resting(now).is_some();
        let second = if again.by_other && answer.status == UNAUTHORIZED {
            // It may be that the issuer has changed to the other secret. If it takes neither, that is found out with the second question.
            state.by_other = !by_other;
            Some((!by_other, Again { by_other: false, ..again }))
        } else if again.over_another && !rests && matches!(said, Err(Fault::Unreachable)) {
            // The service may just have been closing the connection. If there is none, that is found out with the second question.
            Some((by_other, Again { over_another: false, ..again }))
        } else {
            None
        };
        if let Some((by_other, again)) = second {
            drop(state);
            if self.put(host, &about, token, by_other, again, now).is_ok() {
                return true;
            }
            state = self.state.borrow_mut();
        }
        about.end();
        let key = about.key();
        let bytes = answer.body.as_ref().map_or(0, Vec::len);
        if said.is_ok() {
            state.failures = 0;
        }
        match said {
            Ok(Said::Active(claims)) => {
                self.tallies.active.count();
                let until = now.nanos().saturating_add(self.source.cache).min(expiry(&claims));
                // Without a cache it answers for those who wait for it now, who ask again at once.
                let until = until.max(now.nanos().saturating_add(limits::INTROSPECTED_MIN));
                state.cache.put(key, Known::Active(Rc::new(claims)), bytes.saturating_mul(4), until);
            }
            Ok(Said::Inactive) => {
                self.tallies.inactive.count();
                let kept = limits::INACTIVE_KEPT.min(self.source.cache).max(limits::INTROSPECTED_MIN);
                state.cache.put(key, Known::Inactive, 0, now.nanos().saturating_add(kept));
            }
            Err(fault) => {
                drop(state);
                self.fail(host, &about, fault, now);
            }
        }
        true
    }

    /// Tells the host what was found of tokens.
    pub fn measure(&self, host: &impl Metrics) {
        let Tallies { cached, active, inactive, failed } = &self.tallies;
        for (outcome, tally) in
            [("cached", cached), ("active", active), ("inactive", inactive), ("failed", failed)]
        {
            Metric::Introspections.add(host, &[&self.source.provider, outcome], tally.take());
        }
    }

    /// Nobody can tell about that token now: whoever waits for it hears so, and for a moment it is not asked about again.
    fn fail(&self, host: &impl Host, about: &Pending, fault: Fault, now: Timestamp) {
        about.end();
        self.tallies.failed.count();
        let until = now.nanos().saturating_add(limits::INTROSPECTION_REST);
        let mut state = self.state.borrow_mut();
        state.cache.put(about.key(), Known::Failed(fault), 0, until);
        state.failures = state.failures.saturating_add(fault.weight());
        if fault.weight() > 0 && state.failures >= limits::INTROSPECTION_FAILURES {
            state.rest = Some((until, fault));
        }
        // Clients may make it fail as often as they like.
        let told = state.told.replace(now.nanos());
        if told.is_some_and(|told| now.nanos().abs_diff(told) < limits::INTROSPECTION_REST) {
            state.told = told;
            return;
        }
        drop(state);
        host.log(Level::Warn, &format!("portcullis: {} `{}`", fault.words(), self.source.provider));
    }
}

impl State {
    /// Why nobody asks, if so. What worked ends it, and so does a clock that was set back.
    fn resting(&self, now: Timestamp) -> Option<Fault> {
        let (until, fault) = self.rest.filter(|_| self.failures >= limits::INTROSPECTION_FAILURES)?;
        let left = until.saturating_sub(now.nanos());
        (left > 0 && left <= limits::INTROSPECTION_REST).then_some(fault)
    }

    /// Gives up on answers that never came (the host answers at the timeout at the latest), and on questions whose answer nobody waits for
    /// any more: whoever comes and leaves takes nobody's place.
    fn forget(&mut self, now: Timestamp) {
        self.asked.retain(|asked| {
            if now.nanos() >= asked.until {
                asked.about.end();
            }
            asked.about.is_on_its_way()
        });
        self.queue.retain(|(about, _)| about.strong_count() > 0);
        self.pending.retain(|_, about| about.strong_count() > 0);
    }
}

/// RFC 6749 §5.2: the service does not know the client by this secret.
const UNAUTHORIZED: u16 = 401;
