//! How is it told what becomes of requests? One count a request, when it is over, and what guards have counted once a second.
//!
//! The count goes to the host at once and not with the rest, so that a VM that dies takes no more with it than the requests that it was busy
//! with. The numbers of the series are kept by route and outcome, and made when the first such request ends: as many as the
//! policy has routes (at most [`limits::METRIC_ROUTES`]) times what can become of a request, whatever clients send.

use std::cell::{Cell, RefCell};

use super::Gateway;
use crate::audit::Decision;
use crate::decision::Reason;
use crate::host::{Host, Level, MetricId, Metrics};
use crate::limits;
use crate::metrics::{Metric, NONE, OTHER, OfPolicy};
use crate::policy::Policy;
use crate::time::Timestamp;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) decision: Decision,
    pub(super) reason: Option<Reason>,
}

/// What one policy in one VM counts with.
#[derive(Debug, Default)]
pub(super) struct Meters {
    /// By route, then by outcome.
    requests: RefCell<Vec<Option<Box<Row>>>>,
    /// Of the histogram, once it was asked for.
    decision: Cell<Option<Series>>,
    decided: Cell<u32>,
    /// When the guards' counts were first told, and when last.
    told: Cell<Option<(Timestamp, Timestamp)>>,
}

/// The series of one route.
type Row = [Option<Series>; OUTCOMES];

/// A series that was asked for, and its number unless the host has none for us.
type Series = Option<MetricId>;

/// Each decision with no reason, and with each reason.
const OUTCOMES: usize = 4 * REASONS;
const REASONS: usize = 1 + Reason::ALL.len();

impl Outcome {
    fn place(self) -> usize {
        let decision = match self.decision {
            Decision::Allowed => 0_usize,
            Decision::Refused => 1,
            Decision::Shadow => 2,
            Decision::Answered => 3,
        };
        // A reason is its place in the table.
        let reason = self.reason.map_or(0, |reason| (reason as usize).saturating_add(1));
        decision.saturating_mul(REASONS).saturating_add(reason)
    }

    fn words(self) -> [&'static str; 2] {
        let decision = match self.decision {
            Decision::Allowed => "allowed",
            Decision::Refused => "refused",
            Decision::Shadow => "shadow",
            Decision::Answered => "answered",
        };
        [decision, self.reason.map_or(NONE, Reason::code)]
    }
}

impl Meters {
    /// One head was decided on, which began at `began`: every so often it is told how long that took.
    pub(super) fn decided(&self, host: &impl Host, began: Timestamp) {
        let decided = self.decided.get().wrapping_add(1);
        self.decided.set(decided);
        if !decided.is_multiple_of(limits::METRICS_TIMED) {
            return;
        }
        let series = self.decision.get().unwrap_or_else(|| Metric::Decision.define(host, &[]).ok());
        self.decision.set(Some(series));
        if let (Some(id), Ok(now)) = (series, host.now()) {
            let _ = host.record(id, now.since(began) / 1000);
        }
    }
}

/// The name of a route is the policy's; the policy has checked that it can stand in a name.
fn define(host: &impl Metrics, policy: Option<&Policy>, at: Option<usize>, outcome: Outcome) -> Series {
    let route = at.and_then(|at| policy?.routes.get(at));
    let name = match (at, route) {
        (None, _) => NONE,
        (Some(at), Some(route)) if at < limits::METRIC_ROUTES => &route.name,
        _ => OTHER,
    };
    let exposure = route.and_then(|route| route.exposure.level()).unwrap_or(NONE);
    let policy = policy.map_or(NONE, |policy| &policy.name);
    let [decision, reason] = outcome.words();
    Metric::Requests.define(host, &[name, decision, reason, exposure, policy]).ok()
}

/// As audit events say a digest.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or_default()
}

/// Something that the policy asks for is not there. The log says what, and a metric that something is.
pub(super) fn degraded(host: &impl Host, policy: &str, digest: &str, what: &str, told: &str) {
    host.log(Level::Error, told);
    Metric::Degraded.set(host, &[policy, short(digest), what], 1);
}

impl Gateway {
    /// Counts a request that is over.
    pub(super) fn count(&self, host: &impl Metrics, route: Option<usize>, outcome: Outcome) {
        let policy = self.policy.as_ref();
        // The first place is that of no route, the last are those of all others, one for each exposure.
        let at = match route {
            None => 0,
            Some(at) if at < limits::METRIC_ROUTES => at.saturating_add(1),
            Some(at) => {
                let level =
                    policy.and_then(|policy| policy.routes.get(at)).map_or(0, |route| route.exposure.place());
                limits::METRIC_ROUTES.saturating_add(1).saturating_add(level)
            }
        };
        let mut rows = self.meters.requests.borrow_mut();
        if rows.len() <= at {
            rows.resize_with(at.saturating_add(1), || None);
        }
        let Some(row) = rows.get_mut(at) else { return };
        let row = row.get_or_insert_with(|| Box::new([None; OUTCOMES]));
        let Some(series) = row.get_mut(outcome.place()) else { return };
        if let Some(id) = *series.get_or_insert_with(|| define(host, policy, route, outcome)) {
            let _ = host.increment(id, 1);
        }
    }

    /// Makes the series of requests that pass, since the first one on a route matters: an increase is seen only where there was a number before.
    pub(super) fn announce(&self, host: &impl Host) {
        for outcome in ["loaded", "refused"] {
            let _ = Metric::PolicyLoads.define(host, &[outcome]);
        }
        let Some(policy) = &self.policy else { return };
        if policy.audit.sinks.otlp.is_some() {
            // What a VM counts that ends as this one begins would be gone with it.
            let _ = Metric::SinkDrops.define(host, &["otlp"]);
        }
        let allowed = Outcome { decision: Decision::Allowed, reason: None };
        for at in 0..policy.routes.len().min(limits::METRIC_ROUTES) {
            define(host, self.policy.as_ref(), Some(at), allowed);
        }
        Metric::PolicyLoads.add(host, &["loaded"], 1);
        if let Ok(now) = host.now() {
            Metric::PolicyLoaded.set(host, &[&policy.name, short(&policy.digest)], now.nanos() / 1_000_000);
        }
    }

    /// Tells the host what guards have counted, if it is time.
    pub(super) fn measure(&self, host: &impl Host, now: Timestamp) {
        let began = match self.meters.told.get() {
            // A clock that was set back is time, too.
            Some((_, last)) if now.nanos().abs_diff(last.nanos()) < limits::METRICS_PACE => return,
            Some((began, _)) => began,
            None => now,
        };
        self.meters.told.set(Some((began, now)));
        if let Ok(table) = &self.table {
            table.measure(host);
        }
        if let Some(policy) = &self.policy {
            let host_of_policy = &OfPolicy { host, policy: &policy.name };
            self.asker.measure(host_of_policy);
            policy.providers.measure(host_of_policy, began, now);
            if let Some(exporter) = &policy.audit.sinks.otlp {
                exporter.measure(host);
            }
        }
    }
}
