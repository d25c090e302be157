//! How often may they, all gateways together? Envoy's rate limit service protocol, spoken to whoever keeps the counters.
//!
//! The last question of all, asked only about a request that every other guard has passed, the local limits among them: who is over a local
//! limit costs no call. The request waits for the answer, and then goes on where it stood (`gateway/stream.rs`): nothing is
//! charged twice. A service that does not answer is what `failureMode` says, and never an admission by accident.
//!
//! It is asked by a plain HTTP call that carries gRPC, and not by the ABI's `grpc_call`: the former gives us the trailers with their
//! `grpc-status`, a bound on what we read, and the same cluster name for both; the latter reads a cluster's name as a message first,
//! and hosts without it refuse a plugin that names it.
//!
//! What it does *not* protect against: a service that counts wrongly, or that somebody else can ask. What a local limit took for
//! a request that the service then refuses is not given back.

mod answer;
mod asker;
mod config;
mod descriptor;
mod fallback;
mod lease;
pub mod message;
mod refused;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use answer::{Fault, frame, read as read_answer};
pub use asker::Asker;
pub(super) use config::{GLOBAL, read};

use super::gcra::Outcome;
use super::{Facts, Part, Permit, Table, table};
use crate::decision::{Advice, Detail, Limited, Mode, Reason, Refusal};
use crate::host::{Answer, Call, CallId, Host, HostError, Level, SharedData};
use crate::time::{SECOND, Timestamp};
use descriptor::{Rule, Source};
use fallback::Fallback;
use lease::Turn;
use message::{Code, Descriptor, Response};
use refused::Over;

/// The limit of one route that is kept elsewhere.
#[derive(Clone, Debug)]
pub struct Global {
    /// The host's name for the service.
    cluster: Rc<str>,
    /// `:authority` of the question.
    authority: Box<str>,
    domain: Rc<str>,
    /// For one question, in nanoseconds.
    timeout: u64,
    failure: FailureMode,
    /// What holds with [`FailureMode::Local`], beside the local limits.
    fallback: Option<Fallback>,
    /// `hits_addend`
    cost: u64,
    /// How much may be asked for at once; zero: each request asks for itself.
    lease: u64,
    /// For how long a *no* holds at the least, in nanoseconds; zero: nobody remembers it.
    refusal_holds: u64,
    mode: Mode,
    /// At least one.
    rules: Vec<Rule>,
}

/// What holds when the service does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureMode {
    /// The request is refused.
    Deny,
    /// It passes.
    Allow,
    /// It passes, since the local limits have admitted it, if the fallback does too. There is one of these that is enforced: without it the
    /// policy is refused.
    Local,
}

impl FailureMode {
    /// The words of the policy.
    pub const WORDS: [(&'static str, FailureMode); 3] =
        [("Deny", FailureMode::Deny), ("Allow", FailureMode::Allow), ("Local", FailureMode::Local)];

    const fn consequence(self) -> &'static str {
        match self {
            Self::Deny => "requests are refused",
            Self::Allow => "requests pass",
            Self::Local => "the limits of this gateway alone hold",
        }
    }
}

/// Which counters a question is about: the SHA-256 of where and what is asked, without how much.
type Key = [u8; 32];

/// A question on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// To which the answer belongs.
    pub call: CallId,
    /// For how long it is waited for, in nanoseconds: the host gives up at the timeout, and a little later so do we.
    pub patience: u64,
    key: Key,
    /// If it asks in the name of others too: for how much.
    lease: Option<u64>,
}

/// What came of the wish to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is on its way.
    Sent(Question),
    /// There is no need: the service has counted this request before.
    Before,
}

impl Global {
    /// Whether it counts by the client's address.
    pub fn needs_address(&self) -> bool {
        self.rules
            .iter()
            .flat_map(|rule| &rule.by)
            .any(|entry| matches!(&entry.source, Source::Part(part) if part.is_network()))
    }

    /// Asks, if somebody can wait for the answer. In `table` are the buckets of a `fallback`.
    pub fn ask(
        self: &Rc<Self>,
        facts: &Facts<'_>,
        asker: &Asker,
        table: &Result<Table, HostError>,
        host: &impl Host,
        now: Timestamp,
        may_wait: bool,
    ) -> Result<Asked, Fault> {
        let descriptors: Vec<Descriptor<'_>> = self.rules.iter().map(|rule| rule.descriptor(facts)).collect();
        let patience = self.timeout.saturating_add(SECOND / 8);
        let mut message = message::about(&self.domain, &descriptors);
        let key = self.key(&message);
        let lease = match self.turn(key, asker, patience, now) {
            Some(Turn::Passes) => {
                asker.tallies.leased.count();
                return Ok(Asked::Before);
            }
            Some(Turn::AsksFor(size)) => Some(size),
            Some(Turn::Asks) | None => None,
        };
        let known =
            if self.refusal_holds > 0 { asker.refusals.borrow().find(key, self.cost, now) } else { None };
        let sent = match known {
            Some(over) => Err(Fault::Over(over)),
            None if may_wait => {
                message::ask_for(lease.unwrap_or(self.cost), &mut message);
                self.send(&message, asker, host, now)
            }
            None => Err(Fault::Crowded),
        };
        match sent {
            Ok(call) => {
                let question = Question { call, patience, key, lease };
                asker.sent(question, self, now.nanos().saturating_add(patience));
                Ok(Asked::Sent(question))
            }
            Err(fault) => {
                match fault {
                    Fault::Over(_) => &asker.tallies.remembered,
                    Fault::Crowded | Fault::Resting => &asker.tallies.unasked,
                    _ => &asker.tallies.failed,
                }
                .count();
                self.settle_lease(&key, lease, None, asker, now);
                Err(self.instead(fault, &key, table, host, now))
            }
        }
    }

    /// The same question to the same service is the same counter, whichever route asks it.
    fn key(&self, message: &[u8]) -> Key {
        let mut hash = hmac_sha256::Hash::new();
        for part in [&*self.cluster, &*self.authority] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(message);
        hash.finalize()
    }

    /// Whether this request asks, and for how much, where more may be asked for at once.
    fn turn(&self, key: Key, asker: &Asker, patience: u64, now: Timestamp) -> Option<Turn> {
        (self.lease > 0).then(|| asker.leases.borrow_mut().turn(key, self.cost, self.lease, patience, now))
    }

    fn settle_lease(
        &self,
        key: &Key,
        lease: Option<u64>,
        granted: Option<bool>,
        asker: &Asker,
        now: Timestamp,
    ) {
        if let Some(size) = lease {
            asker.leases.borrow_mut().settle(key, size, self.cost, granted, now);
        }
    }

    fn send(&self, message: &[u8], asker: &Asker, host: &impl Host, now: Timestamp) -> Result<CallId, Fault> {
        asker.admit(&self.cluster, self.timeout, now)?;
        let milliseconds = format!("{}m", self.timeout.div_ceil(SECOND / 1000));
        let call = Call {
            cluster: &self.cluster,
            method: "POST",
            scheme: "http",
            authority: &self.authority,
            path: "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
            fields: &[
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                ("grpc-timeout", &milliseconds),
                ("user-agent", "portcullis"),
            ],
            body: &frame(message),
            timeout: self.timeout,
        };
        let sent = host.call(&call).map_err(|_| Fault::NotSent);
        sent.inspect_err(|fault| self.failed(asker, host, *fault, now))
    }

    /// What the service answered to a question; `None` if it did not.
    pub fn hear(
        &self,
        question: Question,
        answer: Option<Answer>,
        asker: &Asker,
        table: &Result<Table, HostError>,
        host: &impl Host,
        now: Timestamp,
    ) -> Result<Response, Fault> {
        let said = self.heard(question, answer, asker, host, now);
        said.map_err(|fault| self.instead(fault, &question.key, table, host, now))
    }

    /// The same for a question of a request that is gone: what was asked for in the name of others, too, is theirs, and how the service fares
    /// is everybody's.
    pub fn heard(
        &self,
        question: Question,
        answer: Option<Answer>,
        asker: &Asker,
        host: &impl Host,
        now: Timestamp,
    ) -> Result<Response, Fault> {
        let said = answer.ok_or(Fault::Late).and_then(|answer| answer::read(answer, self.rules.len()));
        let said =
            said.and_then(|said| if said.overall == Code::Unknown { Err(Fault::Unknown) } else { Ok(said) });
        let granted = said.as_ref().ok().map(|said| said.overall == Code::Ok);
        let Question { key, lease, .. } = question;
        self.settle_lease(&key, lease, granted, asker, now);
        match &said {
            Ok(said) => {
                let over = said.overall != Code::Ok;
                if over { &asker.tallies.over_limit } else { &asker.tallies.ok }.count();
                asker.worked(&self.cluster);
                // Where so many are refused as others wanted too, there may be room for one.
                if over && self.refusal_holds > 0 && lease.is_none_or(|size| size == self.cost) {
                    let (cost, least) = (self.cost, self.refusal_holds);
                    asker.refusals.borrow_mut().note(key, cost, self.found(said), least, now);
                }
            }
            Err(fault) => {
                asker.tallies.failed.count();
                self.failed(asker, host, *fault, now);
            }
        }
        said
    }

    /// What holds in the place of an answer that did not come.
    fn instead(
        &self,
        fault: Fault,
        key: &Key,
        table: &Result<Table, HostError>,
        data: &impl SharedData,
        now: Timestamp,
    ) -> Fault {
        let Some(fallback) = self.fallback.as_ref().filter(|_| !matches!(fault, Fault::Over(_))) else {
            return fault;
        };
        match fallback.take(key, self.cost, data, table, now) {
            Ok(Outcome::Taken { .. }) => fault,
            Ok(Outcome::Refused { retry_after, .. }) => Fault::Spent(retry_after),
            Err(unpaid) => Fault::Unpaid(unpaid),
        }
    }

    fn failed(&self, asker: &Asker, host: &impl Host, fault: Fault, now: Timestamp) {
        if asker.failed(&self.cluster, now) {
            let (words, cluster, then) = (fault.words(), &self.cluster, self.failure.consequence());
            host.log(Level::Warn, &format!("portcullis: {words}: cluster `{cluster}`; {then}"));
        }
    }

    /// What becomes of the request.
    pub fn verdict(&self, said: Result<Response, Fault>) -> Result<Permit, Refusal> {
        let refusal = match (said, self.failure) {
            (Ok(Response { overall: Code::Ok, .. }), _) => return Ok(Permit::default()),
            (Ok(response), _) => self.over(self.found(&response)),
            (Err(Fault::Over(over)), _) => self.over(over),
            (Err(Fault::Spent(nanos)), _) => self.spent(nanos),
            (Err(Fault::Unpaid(table::Fault::Busy)), _) => {
                Refusal::because(Reason::LimiterBusy, self.named(None)).advise(Advice::RetryAfter(1))
            }
            // A check that could not be made: Shadow does not cover it.
            (Err(Fault::Unpaid(table::Fault::Host(error))), _) => return Err(error.into()),
            (Err(_), FailureMode::Allow | FailureMode::Local) => return Ok(Permit::default()),
            (Err(fault), FailureMode::Deny) => {
                let detail = Detail::Named(fault.words(), Rc::clone(&self.cluster));
                Refusal::because(Reason::LimiterUnavailable, detail).advise(Advice::RetryAfter(1))
            }
        };
        match self.mode {
            Mode::Enforce => Err(refusal),
            Mode::Shadow => {
                let detail =
                    if refusal.reason == Reason::RateLimited { refusal.detail } else { self.named(None) };
                Ok(Permit { shadowed: Some(Refusal { detail, ..refusal }), ..Permit::default() })
            }
        }
    }

    /// Of several limits that are passed, the one with the longest wait: until then it is no, whatever becomes of the others.
    fn found(&self, response: &Response) -> Over {
        let statuses = response.statuses.iter().enumerate().take(self.rules.len());
        let passed = statuses.filter(|(_, status)| status.code == Code::OverLimit);
        let worst = passed.max_by_key(|(_, status)| status.reset);
        Over {
            rule: worst.map(|(at, _)| at),
            limit: worst.and_then(|(_, status)| status.limit),
            reset: worst.and_then(|(_, status)| status.reset).or(response.reset),
        }
    }

    /// The service has said no, now or a moment ago.
    fn over(&self, Over { rule, limit, reset }: Over) -> Refusal {
        let rule = rule.and_then(|at| self.rules.get(at));
        let reset = reset.unwrap_or_default().max(1);
        let limited = rule.zip(limit).map(|(rule, (quota, window))| Limited {
            rule: Rc::clone(&rule.name),
            quota,
            window,
            remaining: 0,
            reset,
        });
        let advice = limited.map_or(Advice::RetryAfter(reset), Advice::Limited);
        Refusal::because(Reason::RateLimited, self.named(rule)).advise(advice)
    }

    /// The fallback has nothing left for so many nanoseconds.
    fn spent(&self, nanos: u64) -> Refusal {
        let seconds = nanos.div_ceil(SECOND).max(1);
        let (what, name, advice) = match (self.rules.as_slice(), &self.fallback) {
            ([rule], Some(Fallback { plan, .. })) => {
                ("fallback of rule", &rule.name, Advice::Limited(plan.limited(&rule.name, 0, nanos)))
            }
            _ => ("fallback of rate limit domain", &self.domain, Advice::RetryAfter(seconds)),
        };
        Refusal::because(Reason::RateLimited, Detail::Named(what, Rc::clone(name))).advise(advice)
    }

    /// The rule that refused; the domain, if the service does not say which of several.
    fn named(&self, rule: Option<&Rule>) -> Detail {
        match (rule, self.rules.as_slice()) {
            (Some(rule), _) | (None, [rule]) => Detail::Named("rule", Rc::clone(&rule.name)),
            _ => Detail::Named("rate limit domain", Rc::clone(&self.domain)),
        }
    }
}
