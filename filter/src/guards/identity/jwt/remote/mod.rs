//! Which keys does an issuer have right now?
//!
//! One worker fetches, all use what it got. The keys are fetched anew before they are stale, and once more when a token names a `kid`
//! that they lack. If the issuer cannot be reached the keys at hand serve for `staleGrace`; after that, and before the first
//! keys, requests are refused with 503, never with 401: we cannot tell whether their tokens are good.
//!
//! What it does *not* protect against: an issuer, or whoever answers in its place, that publishes a key of its own. The cluster's TLS
//! settings say who may answer; they are the host's.

pub mod fetch;
pub mod record;
mod worker;

#[cfg(test)]
pub(in crate::guards::identity) mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use self::fetch::Fault;
use self::record::{Record, Shelf};
use super::KeySet;
use crate::audit::Rotation;
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::guards::identity::target::Target;
use crate::host::{CallId, Host, Level, Metrics};
use crate::limits;
use crate::metrics::{Metric, Tally};
use crate::time::{SECOND, Timestamp};

/// What the policy says of a remote key set. Durations are nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The provider's name.
    pub provider: Rc<str>,
    /// `iss`
    pub issuer: Box<str>,
    /// The host's name for where the issuer is.
    pub cluster: Box<str>,
    /// Where the keys are; `None` if the issuer's metadata says so.
    pub uri: Option<Target>,
    /// How long keys are fresh, at most.
    pub cache: u64,
    /// The first pause after a failure; it doubles with each one that follows.
    pub refetch: u64,
    /// For one call.
    pub timeout: u64,
    /// How long keys serve that are not fresh any more.
    pub stale_grace: u64,
}

/// A remote key set as one worker knows it.
#[derive(Debug)]
pub struct Remote {
    source: Source,
    shelf: Shelf,
    state: RefCell<State>,
    fetched: Tally,
    failed: Tally,
}

#[derive(Debug, Default)]
struct State {
    /// Who we are to the other workers.
    me: u64,
    record: Record,
    keys: Option<Rc<KeySet>>,
    /// The generation of `keys`.
    generation: u64,
    call: Option<(CallId, Step)>,
    /// Whether this fetch has begun a second time.
    again: bool,
    /// A token named a `kid` that the keys lack.
    wanted: bool,
    /// `kid`s that fresh keys lacked, and until when they cause no fetch.
    absent: VecDeque<(Box<str>, u64)>,
    /// Calls to the host that failed, which count as outcomes: whoever waits must hear of them.
    broken: u64,
    /// What our last fetch has changed, until it is told.
    rotation: Option<Rotation>,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Metadata,
    Keys,
}

/// What there is for a request.
#[derive(Debug)]
pub enum Found {
    /// Keys, fresh or within their grace.
    Keys(Rc<KeySet>),
    /// None yet; they are on their way.
    Wait(Wait),
    /// None, and none are expected soon.
    Nothing(Refusal),
}

/// What becomes of a token whose `kid` the keys lack.
#[derive(Debug)]
pub enum Newer {
    /// There may be newer keys; they are on their way.
    Wait(Wait),
    /// The keys are as new as they need be: no key has this name.
    No,
    /// The issuer cannot be asked.
    Nothing(Refusal),
}

/// What waiting for keys amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many outcomes are known at the moment; one more ends it.
    pub outcomes: u64,
    /// Nanoseconds.
    pub patience: u64,
}

impl Remote {
    /// A key set that nobody has asked for yet.
    pub fn new(source: Source) -> Self {
        let uri = source.uri.as_ref().map(|uri| format!("{}://{}{}", uri.scheme, uri.authority, uri.path));
        let shelf = Shelf::new(&[&source.issuer, &source.cluster, uri.as_deref().unwrap_or_default()]);
        Self { source, shelf, state: RefCell::default(), fetched: Tally::default(), failed: Tally::default() }
    }

    /// Makes the record that the workers share. `me` is random, and this worker's own.
    pub fn prepare(&self, host: &impl Host, me: u64) {
        self.state.borrow_mut().me = me.max(1);
        if let Err(error) = self.shelf.prepare(host) {
            self.report(host, Level::Error, &error.to_string());
        }
    }

    /// The keys for a request.
    pub fn keys(&self, now: Timestamp) -> Found {
        let state = self.state.borrow();
        let usable_until = state.record.fresh_until.saturating_add(self.source.stale_grace);
        if let Some(keys) = state.keys.as_ref().filter(|_| now.nanos() < usable_until) {
            return Found::Keys(Rc::clone(keys));
        }
        if Self::rests(&state, now) {
            return Found::Nothing(self.refusal_in(&state, now));
        }
        Found::Wait(self.wait_in(&state))
    }

    /// Whether newer keys may have the `kid` that these lack. A `kid` that fresh keys lacked is remembered, and one fetch answers for all of them
    /// for a while, so that random ones cost the issuer next to nothing.
    pub fn newer(&self, kid: Option<&str>, now: Timestamp) -> Newer {
        let mut state = self.state.borrow_mut();
        let Some(kid) = kid.filter(|kid| kid.len() <= limits::KID_BYTES) else {
            return Newer::No;
        };
        if state.absent.iter().any(|(known, until)| **known == *kid && now.nanos() < *until) {
            return Newer::No;
        }
        if Self::rests(&state, now) {
            return Newer::Nothing(self.refusal_in(&state, now));
        }
        let asked = state.record.forced_at;
        if now.nanos() < asked.saturating_add(limits::KID_COOLDOWN) && asked <= state.record.fetched_at {
            if state.absent.len() >= limits::KIDS_ABSENT {
                state.absent.pop_front();
            }
            state.absent.push_back((kid.into(), now.nanos().saturating_add(limits::KID_ABSENT)));
            return Newer::No;
        }
        state.wanted = true;
        Newer::Wait(self.wait_in(&state))
    }

    /// Tells the host how old the keys are, and what came of fetches. As long as there are no keys they are as old as we are.
    pub fn measure(&self, host: &impl Metrics, began: Timestamp, now: Timestamp) {
        let provider = &*self.source.provider;
        Metric::KeyFetches.add(host, &[provider, "ok"], self.fetched.take());
        Metric::KeyFetches.add(host, &[provider, "failed"], self.failed.take());
        let (fetched, fresh) = match self.state.borrow().record {
            Record { generation: 0, .. } => (began.nanos(), began.nanos()),
            Record { fetched_at, fresh_until, .. } => (fetched_at, fresh_until),
        };
        let since = |then: u64| now.nanos().saturating_sub(then) / SECOND;
        Metric::KeysAge.set(host, &[provider], since(fetched));
        Metric::KeysOverdue.set(host, &[provider], since(fresh));
    }

    /// What our last fetch has changed, if that was not asked before.
    pub fn rotation(&self) -> Option<Rotation> {
        self.state.borrow_mut().rotation.take()
    }

    /// How many fetches have ended.
    pub fn outcomes(&self) -> u64 {
        self.state.borrow().outcomes()
    }

    /// Whether a fetch is under way, or should be.
    pub fn is_busy(&self) -> bool {
        let state = self.state.borrow();
        state.call.is_some() || state.wanted
    }

    /// What holds of a request that could not wait, or waited in vain.
    pub fn refusal(&self) -> Refusal {
        self.refusal_in(&self.state.borrow(), Timestamp::from_nanos(u64::MAX))
    }

    /// Whether the last fetch failed and it is too early for another.
    fn rests(state: &State, now: Timestamp) -> bool {
        state.record.failures > 0 && now.nanos() < state.record.next_try
    }

    fn wait_in(&self, state: &State) -> Wait {
        // A little more than the calls themselves may take: who waits should hear why they failed.
        let patience = self.longest().saturating_add(SECOND / 4);
        Wait { outcomes: state.outcomes(), patience }
    }

    /// How long a fetch may take.
    fn longest(&self) -> u64 {
        if self.source.uri.is_some() { self.source.timeout } else { self.source.timeout.saturating_mul(2) }
    }

    fn refusal_in(&self, state: &State, now: Timestamp) -> Refusal {
        let why = state.record.fault.map_or("no keys yet: provider", Fault::words);
        let pause = state.record.next_try.saturating_sub(now.nanos()).div_ceil(SECOND).max(1);
        Refusal::because(Reason::KeysUnavailable, Detail::Named(why, Rc::clone(&self.source.provider)))
            .advise(Advice::RetryAfter(pause))
    }

    fn report(&self, host: &impl Host, level: Level, what: &str) {
        host.log(level, &format!("portcullis: provider `{}`: {what}", self.source.provider));
    }
}

impl State {
    fn outcomes(&self) -> u64 {
        self.record.outcomes.saturating_add(self.broken)
    }
}
