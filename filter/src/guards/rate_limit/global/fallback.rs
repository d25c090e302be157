//! How often may they while the service is away? A bucket of this gateway's own for each question, in the table of the local limits.
//!
//! It is charged in the place of an answer that did not come, and at no other time: it is full when the service goes away. What is
//! refused here is refused as by a limit; a bucket that cannot be charged is a refusal too.

use super::super::gcra::Outcome;
use super::super::key;
use super::super::rules::Plan;
use super::super::table::{Charge, Fault, Table};
use super::Key;
use crate::host::{HostError, SharedData};
use crate::time::Timestamp;

/// A `fallback`.
#[derive(Clone, Debug)]
pub(super) struct Fallback {
    /// Its scope has the policy's name and its own numbers. The question is the rest of the key, so that routes that share a counter of the
    /// service share its fallback, and a fallback that changes begins anew.
    pub plan: Plan,
}

impl Fallback {
    /// Charges the bucket of that question.
    pub(super) fn take(
        &self,
        question: &Key,
        cost: u64,
        data: &impl SharedData,
        table: &Result<Table, HostError>,
        now: Timestamp,
    ) -> Result<Outcome, Fault> {
        let table = table.as_ref().map_err(|error| *error)?;
        let bucket = key::of_text(table.seed(), &self.plan.scope, question);
        let charge = Charge { bucket, meter: self.plan.meter, cost, now };
        let mut draft = table.draft(data, &charge)?;
        table.settle(data, &charge, &mut draft)
    }
}
