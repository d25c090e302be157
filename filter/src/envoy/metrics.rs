//! `impl Metrics`: each name is defined once a VM.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use super::host::{Proxy, failed};
use super::raw;
use crate::host::{HostError, Kind, MetricId, Metrics};
use crate::limits;
use crate::metrics::Metric;

thread_local! {
    /// What this VM has defined, for every policy that it serves or has served: Envoy takes the same name for a new metric each time, and
    /// its table of them only grows (host fact H8).
    static DEFINED: RefCell<HashMap<Box<str>, MetricId>> = RefCell::default();
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// Counts this VM, the first time that a plugin is configured in it.
pub(super) fn count_start(proxy: &Proxy) {
    if !STARTED.replace(true) {
        Metric::VmStarts.add(proxy, &[], 1);
    }
}

impl Metrics for Proxy {
    fn define(&self, kind: Kind, name: &str) -> Result<MetricId, HostError> {
        if let Some(id) = DEFINED.with_borrow(|defined| defined.get(name).copied()) {
            return Ok(id);
        }
        if DEFINED.with_borrow(HashMap::len) >= limits::METRICS {
            return Err(failed("define_metric")(raw::INTERNAL_FAILURE));
        }
        let number = match kind {
            Kind::Counter => 0,
            Kind::Gauge => 1,
            Kind::Histogram => 2,
        };
        let id = raw::define_metric(number, name).map(MetricId).map_err(failed("define_metric"))?;
        DEFINED.with_borrow_mut(|defined| defined.insert(name.into(), id));
        Ok(id)
    }

    fn increment(&self, MetricId(id): MetricId, count: u64) -> Result<(), HostError> {
        raw::increment_metric(id, i64::try_from(count).unwrap_or(i64::MAX))
            .map_err(failed("increment_metric"))
    }

    fn record(&self, MetricId(id): MetricId, value: u64) -> Result<(), HostError> {
        raw::record_metric(id, value).map_err(failed("record_metric"))
    }
}
