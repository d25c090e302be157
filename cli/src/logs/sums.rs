//! What is kept of the requests of a log: how they ended, why, for whom, where, and when.

use std::collections::BTreeMap;

use portcullis_filter::time::Timestamp;

use super::event::{Decision, Request};
use super::report::{NO_ROUTE, Span};
use super::table::{Table, cut};
use super::timeline::{Counts, Timeline};

/// Routes whose exposure is held: a policy has fewer.
const EXPOSURES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) count: u64,
    pub(super) skipped: u64,
    pub(super) span: Option<Span>,
    /// As in [`Decision::ALL`].
    pub(super) decisions: Counts,
    pub(super) reasons: Table,
    pub(super) callers: Table,
    pub(super) routes: Table,
    /// For whom the routes are, of those that say so.
    exposures: BTreeMap<String, String>,
    pub(super) addresses: Table,
    pub(super) timeline: Timeline,
}

impl Sums {
    pub(super) fn add(&mut self, time: Timestamp, request: &Request) {
        self.count += 1;
        Span::add(&mut self.span, time);
        let place = Decision::ALL.iter().position(|decision| *decision == request.decision).unwrap_or(0);
        if let Some(count) = self.decisions.get_mut(place) {
            *count += 1;
        }
        self.timeline.count(time.nanos(), place);
        if let Some(reason) = &request.reason {
            self.reasons.count(reason);
        }
        self.callers.count(request.caller.as_deref().unwrap_or("(nobody known)"));
        self.routes.count(request.route.as_deref().unwrap_or(NO_ROUTE));
        self.addresses.count(request.address.as_deref().unwrap_or("(none)"));
        if let (Some(route), Some(exposure)) = (&request.route, &request.exposure)
            && self.exposures.len() < EXPOSURES
        {
            // The last word is that of the policy in force.
            self.exposures.insert(cut(route).to_owned(), cut(exposure).to_owned());
        }
    }

    /// Those that were read, asked for or not.
    pub(super) fn read(&self) -> u64 {
        self.count + self.skipped
    }

    /// For whom a route is.
    pub(super) fn exposure(&self, route: &str) -> Option<&str> {
        self.exposures.get(route).map(String::as_str)
    }
}
