//! How often may they?
//!
//! Each rule keeps a token bucket for each key (`gcra`, `key`) in a table of fixed size that all workers of the process share
//! (`slot`, `table`). Never more than the limit passes, whatever the number of keys, workers and races: a bucket that cannot be
//! charged is a refusal, and what the table must forget it remembers as spent.
//!
//! What it does *not* protect against: several proxies with a table each admit the limit each; a client with many
//! addresses, subjects or header values is as many clients. A header that a client can choose is a key that a client can choose.

mod config;
pub mod gcra;
mod key;
mod rules;
pub mod slot;
mod table;
#[cfg(test)]
mod tests;

use core::net::IpAddr;

pub use config::{RATE_LIMIT, read};
pub use key::Part;
pub use rules::{Rules, Scope, Unit};
pub use table::Table;

use super::identity::caller::Caller;
use crate::decision::{Advice, Detail, Mode, Reason, Refusal};
use crate::host::SharedData;
use crate::http::Head;
use crate::time::Timestamp;
use gcra::Outcome;
use rules::Rule;
use table::{Charge, Draft, Fault};

/// What a key may be made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Where the request comes from, as far as the proxy knows.
    pub client_address: Option<IpAddr>,
    /// The name of the route that matched.
    pub route: &'a str,
    /// Method and headers.
    pub head: &'a Head,
    /// Who is calling.
    pub caller: &'a Caller,
}

/// The evidence that every rule admitted the request, and was charged for it.
#[derive(Debug)]
pub struct Permit {
    shadowed: Option<Refusal>,
}

impl Permit {
    /// What the first `Shadow` rule would have refused the request with.
    pub fn shadowed(&self) -> Option<&Refusal> {
        self.shadowed.as_ref()
    }
}

/// Charges every rule's bucket at `now`, or none: when one refuses, nothing is spent.
///
/// `now` must be fresh: a worker that waited between reading the clock and this call has one that is late (see
/// [`crate::limits::RATE_CLOCK_APART`]). Of several rules that refuse, the one with the longest wait is reported.
pub fn admit(
    rules: &Rules,
    facts: &Facts<'_>,
    now: Timestamp,
    data: &impl SharedData,
    table: &Table,
) -> Result<Permit, Refusal> {
    let mut shadowed = None;
    let drafts = consult(rules, facts, now, data, table, &mut shadowed)?;
    let mut taken: Vec<(Charge<'_>, u64)> = Vec::with_capacity(drafts.len());
    for (rule, charge, draft) in drafts {
        // Where a race changed the answer since, the charges made so far are taken back.
        match rule.verdict(table.settle(data, &charge, draft)) {
            Ok(tat) => taken.push((charge, tat)),
            Err(refusal) if rule.mode == Mode::Shadow => {
                shadowed.get_or_insert(refusal);
            }
            Err(refusal) => {
                for (charge, written) in taken {
                    table.refund(data, &charge, written);
                }
                return Err(refusal);
            }
        }
    }
    Ok(Permit { shadowed })
}

type Drafts<'r> = Vec<(&'r Rule, Charge<'r>, Draft)>;

/// Asks every rule, and writes nothing but the mending of a clock. So a request that is refused costs a read a rule, and the
/// rules before the one that refuses need no refund.
fn consult<'r>(
    rules: &'r Rules,
    facts: &Facts<'_>,
    now: Timestamp,
    data: &impl SharedData,
    table: &Table,
    shadowed: &mut Option<Refusal>,
) -> Result<Drafts<'r>, Refusal> {
    let mut drafts = Vec::with_capacity(rules.rules.len());
    let mut worst: Option<Refusal> = None;
    for rule in &rules.rules {
        let charge = Charge {
            bucket: key::bucket(table.seed(), &rule.scope, &rule.by, facts),
            rate: &rule.rate,
            cost: 1,
            now,
        };
        let refusal = match consulted(rule, &charge, data, table) {
            Ok(draft) => {
                drafts.push((rule, charge, draft));
                continue;
            }
            Err(refusal) => refusal,
        };
        if rule.mode == Mode::Shadow {
            shadowed.get_or_insert(refusal);
        } else if worst.as_ref().is_none_or(|worst| wait(worst) < wait(&refusal)) {
            worst = Some(refusal);
        }
    }
    worst.map_or(Ok(drafts), Err)
}

fn consulted(
    rule: &Rule,
    charge: &Charge<'_>,
    data: &impl SharedData,
    table: &Table,
) -> Result<Draft, Refusal> {
    let draft = table.draft(data, charge)?;
    match rule.verdict(Ok(draft.outcome())) {
        Ok(_) => Ok(draft),
        Err(refusal) => {
            Table::mend(data, &draft);
            Err(refusal)
        }
    }
}

/// Seconds until it is worth coming back.
fn wait(refusal: &Refusal) -> u64 {
    match &refusal.advice {
        Advice::Limited(limited) => limited.retry_after,
        Advice::RetryAfter(seconds) => *seconds,
        _ => 0,
    }
}

impl Rule {
    /// The bucket's new state, or why the request may not pass.
    fn verdict(&self, outcome: Result<Outcome, Fault>) -> Result<u64, Refusal> {
        let named = || Detail::Named("rule", self.name.clone());
        match outcome {
            Ok(Outcome::Taken { tat, .. }) => Ok(tat),
            Ok(Outcome::Refused { retry_after, .. }) => {
                let advice = Advice::Limited(self.limited(retry_after));
                Err(Refusal::because(Reason::RateLimited, named()).advise(advice))
            }
            Err(Fault::Busy) => {
                Err(Refusal::because(Reason::LimiterBusy, named()).advise(Advice::RetryAfter(1)))
            }
            Err(Fault::Host(error)) => Err(error.into()),
        }
    }
}
