//! How often may they fail? Guessing, stuffing and floods of forged tokens are slowed down and then stopped before they cost anything.
//!
//! Each rule keeps a bucket of failures for each key, in the table of all limits. A failed attempt takes one; an attempt that finds the bucket
//! empty is refused before its signature is looked at or its key is looked up, whatever it would have shown. What comes in
//! again at the rule's rate is the slow lane: so many attempts an hour may still be made. Where the rule has a penalty, the bucket stays
//! empty for so long first. Both end by themselves.
//!
//! Every rule counts by the client's network, whatever else it counts by. So nobody can lock another one's account from elsewhere.
//!
//! What it does *not* protect against: a guesser with many networks, and one who shares a network with honest callers slows them
//! down, too.

mod config;
#[cfg(test)]
mod tests;

use core::cell::RefCell;
use std::rc::Rc;

pub use config::{FAILURES, read};

use super::gcra::Outcome;
use super::rules::{Plan, Rules};
use super::table::{Charge, Table};
use super::{Facts, key};
use crate::decision::{Advice, Detail, Mode, Reason, Refusal};
use crate::guards::identity::attempt::{Attempt, Gate};
use crate::host::SharedData;
use crate::time::{SECOND, Timestamp};

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    name: Rc<str>,
    by: Vec<key::Part>,
    plan: Plan,
    /// Of the bucket that knows whether a subject has failed already; `None` if every failure counts.
    once: Option<Plan>,
    /// In attempts' worth of time.
    penalty: u64,
    /// The same in nanoseconds.
    holds: u64,
    mode: Mode,
}

/// The rules at work on one request.
#[derive(Debug)]
pub struct Watch<'a, D> {
    rules: &'a Rules,
    facts: Facts<'a>,
    now: Timestamp,
    data: &'a D,
    table: &'a Table,
    /// The buckets of the attempt that was let through.
    tried: RefCell<Vec<Tried<'a>>>,
    shadowed: RefCell<Option<Rc<str>>>,
}

#[derive(Debug)]
struct Tried<'a> {
    rule: &'a Rule,
    charge: Charge,
    once: Option<Charge>,
}

impl<'a, D: SharedData> Watch<'a, D> {
    /// Watches over a request. `facts` need no caller.
    pub fn new(rules: &'a Rules, facts: Facts<'a>, now: Timestamp, data: &'a D, table: &'a Table) -> Self {
        let (tried, shadowed) = (RefCell::default(), RefCell::default());
        Self { rules, facts, now, data, table, tried, shadowed }
    }

    /// The attempt has failed for that reason: it is counted, if it is one of those that guessing brings about. What cannot be counted is
    /// not: the request is refused in any case. The rules whose penalties begin with it, and for how many nanoseconds they hold.
    pub fn failed(&self, reason: Reason) -> Vec<(Rc<str>, u64)> {
        if !counts(reason) {
            return Vec::new();
        }
        if self.tried.borrow().is_empty() {
            // It was too broken to claim anything.
            let asked = self.rules.failures.iter().map(|rule| self.tried(rule, Attempt::default()));
            self.tried.borrow_mut().extend(asked);
        }
        let tried = self.tried.borrow();
        let begun = tried.iter().filter(|tried| tried.count(self.data, self.table));
        begun.map(|tried| (Rc::clone(&tried.rule.name), tried.rule.holds)).collect()
    }

    /// The rule in `Shadow` that would have refused the attempt.
    pub fn shadowed(&self) -> Option<Rc<str>> {
        self.shadowed.borrow().clone()
    }

    fn tried(&self, rule: &'a Rule, attempt: Attempt<'_>) -> Tried<'a> {
        let facts = Facts { attempt, ..self.facts };
        let charge = |plan: &Plan, by: &[key::Part]| Charge {
            bucket: key::bucket(self.table.seed(), &plan.scope, by, &facts),
            meter: plan.meter,
            cost: 1,
            now: self.now,
        };
        let once = rule.once.as_ref().map(|plan| {
            let by: Vec<key::Part> = rule.by.iter().cloned().chain([key::Part::ClaimedSubject]).collect();
            charge(plan, &by)
        });
        Tried { rule, charge: charge(&rule.plan, &rule.by), once }
    }
}

impl<D: SharedData> Gate for Watch<'_, D> {
    fn watches(&self) -> bool {
        true
    }

    fn open(&self, attempt: Attempt<'_>) -> Result<(), Refusal> {
        let mut tried = Vec::with_capacity(self.rules.failures.len());
        for rule in &self.rules.failures {
            let asked = self.tried(rule, attempt);
            let draft = self.table.draft(self.data, &asked.charge)?;
            if let Outcome::Refused { retry_after, .. } = draft.outcome() {
                if rule.mode == Mode::Enforce {
                    Table::mend(self.data, &draft);
                    let advice = Advice::RetryAfter(retry_after.div_ceil(SECOND).max(1));
                    let named = Detail::Named("rule", Rc::clone(&rule.name));
                    return Err(Refusal::because(Reason::TooManyFailures, named).advise(advice));
                }
                self.shadowed.borrow_mut().get_or_insert_with(|| Rc::clone(&rule.name));
            }
            tried.push(asked);
        }
        *self.tried.borrow_mut() = tried;
        Ok(())
    }
}

impl Tried<'_> {
    /// Whether a penalty begins with it.
    fn count(&self, data: &impl SharedData, table: &Table) -> bool {
        if let Some(once) = &self.once
            && !matches!(take(once, data, table), Some(Outcome::Taken { .. }))
        {
            return false;
        }
        let Some(Outcome::Taken { remaining: 0, .. }) = take(&self.charge, data, table) else { return false };
        // If this fails, the rate alone holds.
        let owed = self.rule.penalty > 0
            && table.owe(data, &Charge { cost: self.rule.penalty, ..self.charge }).is_ok();
        if owed {
            table.count_penalty();
        }
        owed && self.rule.mode == Mode::Enforce
    }
}

fn take(charge: &Charge, data: &impl SharedData, table: &Table) -> Option<Outcome> {
    let mut draft = table.draft(data, charge).ok()?;
    table.settle(data, charge, &mut draft).ok()
}

/// Whether a refusal for that reason is what guessing, stuffing and forging bring about. A token that has expired, or that is for somebody
/// else, was once somebody's; and who brings nothing guesses nothing.
pub const fn counts(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TokenMalformed
            | Reason::TokenTooLarge
            | Reason::TokenCritical
            | Reason::AlgorithmUnaccepted
            | Reason::IssuerUnknown
            | Reason::KeyUnknown
            | Reason::SignatureInvalid
            | Reason::ApiKeyInvalid
            | Reason::TokenRevoked
            | Reason::TokenInactive
            | Reason::TokenBindingMismatch
            | Reason::ProofInvalid
            | Reason::ProofReplayed
    )
}
