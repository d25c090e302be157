//! How often may they?
//!
//! Each rule keeps a token bucket for each key (`gcra`, `key`) in a table of fixed size that all workers of the process share
//! (`slot`, `table`). Never more than the limit passes, whatever the number of keys, workers and races: a bucket that cannot be
//! charged is a refusal, and what the table must forget it remembers as spent.
//!
//! One limit for several proxies is a service's (`global`), which is asked after all of this.
//!
//! What it does *not* protect against: several proxies with a table each admit the limit each; a client with many
//! addresses, subjects or header values is as many clients. A header that a client can choose is a key that a client can choose.

pub mod concurrency;
mod config;
mod due;
pub mod failures;
pub mod gcra;
pub mod global;
mod key;
pub mod meter;
mod rules;
pub mod slot;
mod table;
#[cfg(test)]
mod tests;
pub mod window;

use core::net::IpAddr;
use std::rc::Rc;

pub use config::{RATE_LIMIT, read};
pub use due::Due;
pub use key::Part;
pub use rules::{Rules, Scope, Unit};
pub use table::Table;

use super::identity::attempt::Attempt;
use super::identity::caller::Caller;
use crate::decision::{Advice, Detail, Limited, Mode, Reason, Refusal};
use crate::host::SharedData;
use crate::http::Head;
use crate::time::Timestamp;
use gcra::Outcome;
use rules::{Plan, Rule};
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
    /// What the credential claimed, where that was all there was to know.
    pub attempt: Attempt<'a>,
}

/// The evidence that every rule admitted the request, and was charged for it; of [`admit`] that every local one did, of
/// [`global::Global::verdict`] that the service did.
#[derive(Debug, Default)]
pub struct Permit {
    shadowed: Option<Refusal>,
    /// What the caller is told in the response: each rule's state. Empty unless the rules say `Always`.
    pub standings: Vec<Limited>,
    /// What is paid when the response is there.
    pub dues: Vec<Due>,
}

impl Permit {
    /// What the first `Shadow` rule would have refused the request with.
    pub fn shadowed(&self) -> Option<&Refusal> {
        self.shadowed.as_ref()
    }

    /// A request that passes in Shadow: nothing is settled, and no client sees what its response has cost.
    pub fn unpaid(rules: &Rules) -> Self {
        let mut permit = Self::default();
        rules.local.iter().for_each(|rule| permit.leave_unpaid(rule));
        permit
    }

    fn shadow(&mut self, rule: &Rule, refusal: Refusal) {
        self.shadowed.get_or_insert(refusal);
        self.leave_unpaid(rule);
    }

    fn leave_unpaid(&mut self, rule: &Rule) {
        self.dues.extend(rule.cost.response.as_ref().map(|header| Due::unpaid(Rc::clone(header))));
    }

    fn note(&mut self, rules: &Rules, ask: &Ask<'_>, tat: u64, remaining: u64) {
        let Ask { rule, plan, charge } = ask;
        if rules.telling.always && rule.mode == Mode::Enforce {
            let resets_in = charge.meter.resets_in(tat, charge.now.nanos());
            self.standings.push(plan.limited(&rule.name, remaining, resets_in));
        }
        if let Some(header) = &rule.cost.response {
            self.dues.push(Due::new(*charge, tat, Rc::clone(header)));
        }
    }
}

/// What is asked of one rule for one request.
#[derive(Clone, Copy, Debug)]
struct Ask<'r> {
    rule: &'r Rule,
    plan: &'r Plan,
    charge: Charge,
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
    let mut permit = Permit::default();
    // One rule, as nearly everywhere: there is nothing that could be taken back, and nothing to compare.
    if let [rule] = &*rules.local {
        let ask = Ask::of(rule, facts, now, table);
        let draft = ask.consult(data, table);
        let charged = draft.and_then(|mut draft| ask.verdict(table.settle(data, &ask.charge, &mut draft)));
        match charged {
            Ok((tat, remaining)) => permit.note(rules, &ask, tat, remaining),
            Err(refusal) if rule.mode == Mode::Shadow => permit.shadow(rule, refusal),
            Err(refusal) => return Err(refusal),
        }
        return Ok(permit);
    }
    let mut drafts = consult(rules, facts, now, data, table, &mut permit)?;
    let mut left = drafts.len();
    let mut taken: Vec<(Charge, u64)> = Vec::new();
    for (ask, draft) in &mut drafts {
        left = left.saturating_sub(1);
        // Where a race changed the answer since, the charges made so far are taken back.
        match ask.verdict(table.settle(data, &ask.charge, draft)) {
            Ok((tat, remaining)) => {
                permit.note(rules, ask, tat, remaining);
                // Nothing comes after the last that could take it back.
                if left > 0 {
                    taken.push((ask.charge, tat));
                }
            }
            Err(refusal) if ask.rule.mode == Mode::Shadow => permit.shadow(ask.rule, refusal),
            Err(refusal) => {
                for (charge, written) in taken {
                    table.refund(data, &charge, written);
                }
                return Err(refusal);
            }
        }
    }
    Ok(permit)
}

/// Asks every rule, and writes nothing but the mending of a clock. So a request that is refused costs a read a rule, and the
/// rules before the one that refuses need no refund.
fn consult<'r>(
    rules: &'r Rules,
    facts: &Facts<'_>,
    now: Timestamp,
    data: &impl SharedData,
    table: &Table,
    permit: &mut Permit,
) -> Result<Vec<(Ask<'r>, Draft)>, Refusal> {
    let mut drafts = Vec::with_capacity(rules.local.len());
    let mut worst: Option<Refusal> = None;
    for rule in &rules.local {
        let ask = Ask::of(rule, facts, now, table);
        let refusal = match ask.consult(data, table) {
            Ok(draft) => {
                drafts.push((ask, draft));
                continue;
            }
            Err(refusal) => refusal,
        };
        if rule.mode == Mode::Shadow {
            permit.shadow(rule, refusal);
        } else if worst.as_ref().is_none_or(|worst| wait(worst) < wait(&refusal)) {
            worst = Some(refusal);
        }
    }
    worst.map_or(Ok(drafts), Err)
}

/// Seconds until it is worth coming back.
fn wait(refusal: &Refusal) -> u64 {
    match &refusal.advice {
        Advice::Limited(limited) => limited.reset,
        Advice::RetryAfter(seconds) => *seconds,
        _ => 0,
    }
}

impl<'r> Ask<'r> {
    fn of(rule: &'r Rule, facts: &Facts<'_>, now: Timestamp, table: &Table) -> Self {
        let plan = rule.plan(facts.caller);
        let charge = Charge {
            bucket: key::bucket(table.seed(), &plan.scope, &rule.by, facts),
            meter: plan.meter,
            cost: rule.cost.of(facts.head),
            now,
        };
        Self { rule, plan, charge }
    }

    fn consult(&self, data: &impl SharedData, table: &Table) -> Result<Draft, Refusal> {
        let draft = table.draft(data, &self.charge)?;
        match self.verdict(Ok(draft.outcome())) {
            Ok(_) => Ok(draft),
            Err(refusal) => {
                Table::mend(data, &draft);
                Err(refusal)
            }
        }
    }

    /// The bucket's new state and what is left in it, or why the request may not pass.
    fn verdict(&self, outcome: Result<Outcome, Fault>) -> Result<(u64, u64), Refusal> {
        let named = || Detail::Named("rule", self.rule.name.clone());
        match outcome {
            Ok(Outcome::Taken { tat, remaining }) => Ok((tat, remaining)),
            Ok(Outcome::Refused { retry_after, .. }) => {
                let advice = Advice::Limited(self.plan.limited(&self.rule.name, 0, retry_after));
                Err(Refusal::because(Reason::RateLimited, named()).advise(advice))
            }
            Err(Fault::Busy) => {
                Err(Refusal::because(Reason::LimiterBusy, named()).advise(Advice::RetryAfter(1)))
            }
            Err(Fault::Host(error)) => Err(error.into()),
        }
    }
}
