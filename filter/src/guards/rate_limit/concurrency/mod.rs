//! How many at once? Requests under way of one key, over all workers of the process.
//!
//! What a request holds it gives back when its stream is over, however it ends. What a worker held that is gone ends by itself
//! ([`slot`]).
//!
//! What it does *not* protect against: several proxies admit the limit each. After a policy update, requests of the policy before count for
//! [`crate::limits::LEASE`] seconds more and then no longer.

mod config;
mod ledger;
pub mod slot;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use config::{CONCURRENCY, read};
pub use ledger::{Fault, Ledger};

use super::Facts;
use super::key::{self, Bucket, Part};
use super::rules::{Rules, ScopeId};
use crate::decision::{Advice, Detail, Mode, Reason, Refusal};
use crate::host::SharedData;
use crate::time::Timestamp;

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) name: Rc<str>,
    pub(super) scope: ScopeId,
    pub(super) by: Vec<Part>,
    pub(super) most: u32,
    pub(super) mode: Mode,
}

/// What a request occupies until it is over.
#[derive(Debug, Default)]
pub struct Seats {
    buckets: Vec<Bucket>,
    shadowed: Option<Rc<str>>,
}

impl Seats {
    /// The first rule in `Shadow` that would have refused the request.
    pub fn shadowed(&self) -> Option<&Rc<str>> {
        self.shadowed.as_ref()
    }

    /// Whether there is nothing to give back.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// Gives all of it back.
    pub fn end(self, ledger: &Ledger, data: &impl SharedData, now: Timestamp) {
        for bucket in self.buckets {
            ledger.end(data, bucket, now);
        }
    }
}

/// A request begins, if every rule has room for it; else nothing is held.
pub fn begin(
    rules: &Rules,
    facts: &Facts<'_>,
    now: Timestamp,
    data: &impl SharedData,
    ledger: &Ledger,
) -> Result<Seats, Refusal> {
    let mut seats = Seats::default();
    for rule in &rules.concurrency {
        let bucket = key::bucket(ledger.seed(), &rule.scope, &rule.by, facts);
        match ledger.begin(data, bucket, rule.most, now) {
            Ok(()) => seats.buckets.push(bucket),
            Err(_) if rule.mode == Mode::Shadow => {
                seats.shadowed.get_or_insert_with(|| Rc::clone(&rule.name));
            }
            Err(fault) => {
                seats.end(ledger, data, now);
                return Err(rule.refusal(fault));
            }
        }
    }
    Ok(seats)
}

impl Rule {
    fn refusal(&self, fault: Fault) -> Refusal {
        let named = Detail::Named("rule", Rc::clone(&self.name));
        match fault {
            Fault::Limit => Refusal::because(Reason::ConcurrencyLimited, named).advise(Advice::RetryAfter(1)),
            Fault::Busy => Refusal::because(Reason::LimiterBusy, named).advise(Advice::RetryAfter(1)),
            Fault::Host(error) => error.into(),
        }
    }
}
