//! When does this worker fetch, and what do the others hear of it?

use std::rc::Rc;

use super::fetch::{self, Fault, Fetched};
use super::record::Record;
use super::{Remote, State, Step};
use crate::audit::Rotation;
use crate::guards::identity::jwt::KeySet;
use crate::guards::identity::target::Target;
use crate::host::{Answer, Call, CallId, Host, HostError, Level, Swap};
use crate::limits;
use crate::time::{SECOND, Timestamp};

impl Remote {
    /// Looks at what the others have done, and fetches if it is time and nobody else does.
    pub fn tick(&self, host: &impl Host, now: Timestamp) {
        self.heed(host, self.try_tick(host, now));
    }

    /// A call to the host that failed is an outcome too: whoever waits must hear of it.
    fn heed(&self, host: &impl Host, outcome: Result<(), HostError>) {
        if let Err(error) = outcome {
            let mut state = self.state.borrow_mut();
            state.broken = state.broken.saturating_add(1);
            self.report(host, Level::Error, &error.to_string());
        }
    }

    fn try_tick(&self, host: &impl Host, now: Timestamp) -> Result<(), HostError> {
        let (record, cas) = self.shelf.read(host)?;
        self.learn(host, record)?;
        let mut state = self.state.borrow_mut();
        if state.call.is_some() && record.holder == state.me && now.nanos() < record.held_until {
            return Ok(());
        }
        state.call = None;
        let Some(forced) = Self::due(&state, now) else {
            return Ok(());
        };
        let lease = self.longest().saturating_add(5 * SECOND);
        let mut next = record;
        next.holder = state.me;
        next.held_until = now.nanos().saturating_add(lease);
        if forced {
            next.forced_at = now.nanos();
        }
        if self.shelf.write(host, &next, cas)? == Swap::Lost {
            return Ok(());
        }
        state.record = next;
        state.wanted = false;
        state.again = false;
        drop(state);
        self.begin(host).map_or_else(|fault| self.finish(host, &Err(fault), now), Ok)
    }

    fn begin(&self, host: &impl Host) -> Result<(), Fault> {
        match &self.source.uri {
            Some(uri) => self.send(host, uri, Step::Keys),
            None => {
                let target = fetch::metadata_of(&self.source.issuer).ok_or(Fault::NotMetadata)?;
                self.send(host, &target, Step::Metadata)
            }
        }
    }

    /// Whether it is time to fetch, and whether for the sake of an unknown `kid` only.
    fn due(state: &State, now: Timestamp) -> Option<bool> {
        let (record, now) = (&state.record, now.nanos());
        if now < record.held_until || (record.failures > 0 && now < record.next_try) {
            return None;
        }
        // A fifth of the time that keys are fresh is left for attempts that fail.
        let fresh = record.fresh_until.saturating_sub(record.fetched_at);
        if record.generation == 0 || now >= record.fresh_until.saturating_sub(fresh / 5) {
            return Some(false);
        }
        (state.wanted && now >= record.forced_at.saturating_add(limits::KID_COOLDOWN)).then_some(true)
    }

    fn send(&self, host: &impl Host, target: &Target, step: Step) -> Result<(), Fault> {
        let call = Call {
            cluster: &self.source.cluster,
            method: "GET",
            scheme: target.scheme,
            authority: &target.authority,
            path: &target.path,
            fields: &[("accept", "application/json"), ("user-agent", "portcullis")],
            body: &[],
            timeout: self.source.timeout,
        };
        let id = host.call(&call).map_err(|_| Fault::NotSent)?;
        self.state.borrow_mut().call = Some((id, step));
        Ok(())
    }

    /// An answer to a call; whether it was ours.
    pub fn answered(&self, host: &impl Host, id: CallId, answer: &mut Answer, now: Timestamp) -> bool {
        let ours = self.state.borrow_mut().call.take_if(|(ours, _)| *ours == id);
        let Some((_, step)) = ours else { return false };
        let answer = core::mem::take(answer);
        let outcome = match step {
            Step::Metadata => {
                let target = fetch::jwks_uri(answer, &self.source.issuer);
                match target.and_then(|target| self.send(host, &target, Step::Keys)) {
                    Ok(()) => return true,
                    Err(fault) => Err(fault),
                }
            }
            Step::Keys => fetch::keys(answer),
        };
        if matches!(outcome, Err(Fault::Unreachable)) && self.may_begin_again() && self.begin(host).is_ok() {
            return true;
        }
        self.heed(host, self.finish(host, &outcome, now));
        true
    }

    /// A request that meets the end of a connection which the issuer was just closing fails, and another connection serves: so a fetch
    /// begins again at once, but only once, and not where the last one failed too. A timeout is no such end.
    fn may_begin_again(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.record.failures == 0 && !core::mem::replace(&mut state.again, true)
    }

    /// Tells the others what came of the fetch, and learns it.
    fn finish(
        &self,
        host: &impl Host,
        outcome: &Result<Fetched, Fault>,
        now: Timestamp,
    ) -> Result<(), HostError> {
        for _ in 0..limits::RATE_TRIES {
            let (record, cas) = self.shelf.read(host)?;
            // The lease has passed to somebody else, whose answer is younger.
            if record.holder != self.state.borrow().me {
                return Ok(());
            }
            let next = match outcome {
                Ok(fetched) => self.success(host, record, fetched, now)?,
                Err(fault) => self.failure(record, *fault, now),
            };
            if self.shelf.write(host, &next, cas)? == Swap::Done {
                if outcome.is_ok() { &self.fetched } else { &self.failed }.count();
                self.tell(host, &record, &next, outcome);
                return self.learn(host, next);
            }
        }
        Err(HostError { call: "set_shared_data", status: 8 })
    }

    fn success(
        &self,
        host: &impl Host,
        record: Record,
        fetched: &Fetched,
        now: Timestamp,
    ) -> Result<Record, HostError> {
        let known = self.shelf.keys(host, record.generation)?;
        let generation = if known.is_some_and(|known| known == fetched.text) {
            record.generation
        } else {
            let generation = record.generation.saturating_add(1);
            self.shelf.put(host, generation, &fetched.text)?;
            generation
        };
        let shortest = limits::JWKS_FRESH_MIN.min(self.source.cache);
        let fresh = fetched.max_age.unwrap_or(self.source.cache).clamp(shortest, self.source.cache);
        Ok(Record {
            generation,
            outcomes: record.outcomes.saturating_add(1),
            fetched_at: now.nanos(),
            fresh_until: now.nanos().saturating_add(fresh),
            failures: 0,
            holder: 0,
            held_until: 0,
            fault: None,
            ..record
        })
    }

    fn failure(&self, record: Record, fault: Fault, now: Timestamp) -> Record {
        let doubled =
            1_u64.checked_shl(u32::try_from(record.failures).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
        let pause =
            self.source.refetch.saturating_mul(doubled).min(limits::REFETCH_MAX.max(self.source.refetch));
        Record {
            outcomes: record.outcomes.saturating_add(1),
            failures: record.failures.saturating_add(1),
            next_try: now.nanos().saturating_add(pause),
            holder: 0,
            held_until: 0,
            fault: Some(fault),
            ..record
        }
    }

    /// Takes over what the record says, and the keys if they are others than ours.
    fn learn(&self, host: &impl Host, record: Record) -> Result<(), HostError> {
        let mut state = self.state.borrow_mut();
        if state.record.outcomes != record.outcomes {
            state.wanted = false;
        }
        if record.generation != state.generation {
            // Another generation may lie there already; the next look will find its record.
            let Some(text) = self.shelf.keys(host, record.generation)? else {
                return Ok(());
            };
            // Whoever put it there has read it, with the same code.
            if let Ok((mut keys, _)) = KeySet::read_fetched(&text) {
                if let Some(older) = &state.keys {
                    keys.adopt(older);
                }
                state.keys = Some(Rc::new(keys));
                state.absent.clear();
            }
            state.generation = record.generation;
        }
        state.record = record;
        Ok(())
    }

    /// The log hears of what changes, not of every fetch.
    fn tell(&self, host: &impl Host, before: &Record, after: &Record, outcome: &Result<Fetched, Fault>) {
        match outcome {
            Ok(fetched) if before.generation != after.generation => {
                let (count, generation) = (fetched.keys.count(), after.generation);
                self.report(host, Level::Info, &format!("{count} keys fetched, set {generation}"));
                let mut state = self.state.borrow_mut();
                let older = state.keys.as_deref();
                let removed = older.map(|older| older.names_beyond(Some(&fetched.keys))).unwrap_or_default();
                let provider = Rc::clone(&self.source.provider);
                let rotation = Rotation { provider, added: fetched.keys.names_beyond(older), removed };
                state.rotation = Some(rotation);
                drop(state);
                for note in &fetched.skipped {
                    let whose = note.key.map_or(String::new(), |key| format!("keys[{key}] "));
                    self.report(host, Level::Warn, &format!("{whose}skipped: {}", note.what));
                }
            }
            Ok(_) if before.failures > 0 => self.report(host, Level::Info, "keys fetched again"),
            Ok(_) => {}
            Err(fault) => {
                let what = fault.words();
                host.log(
                    Level::Warn,
                    &format!("portcullis: {what} `{}`, attempt {}", self.source.provider, after.failures),
                );
            }
        }
    }
}
