//! What is counted? Every metric in one table, and how a series gets its name.
//!
//! The ABI knows no labels, so a series has them in its name, and `stats_tags` of `envoy.yaml` make labels of them again. A label's value is a
//! name of the policy or a word of ours: nothing that a client sends gets into a name, so no client can make a series.
//!
//! Nobody waits for a metric and nobody is refused for the want of one: a host without them (host fact H10) is left alone.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::document::in_reference;
use crate::host::{Kind, MetricId, Metrics};
use crate::limits;

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// How its values add up.
    pub kind: Kind,
    /// What its series differ in.
    pub labels: &'static [&'static str],
    /// What it counts, for the reference.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($variant:ident = $name:literal, $kind:ident, [$($label:literal),*], $meaning:literal;)+) => {
        /// Everything that is counted. One variant a row of the table; `docs/metrics.md` is checked against it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $(#[doc = $meaning] $variant,)+ }

        impl Metric {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Metric] = &[$(Metric::$variant,)+];

            /// The row of the table.
            pub const fn row(self) -> &'static Row {
                match self { $(Metric::$variant => &Row { name: $name, kind: Kind::$kind, labels: &[$($label),*], meaning: const { in_reference($meaning) } },)+ }
            }
        }
    };
}

metrics! {
    Requests = "portcullis_requests_total", Counter, ["route", "decision", "reason", "exposure", "policy"], "Requests that are over, each once. `decision` is `allowed`, `refused`, `answered` (by the gateway itself: a CORS preflight, or its public keys) or `shadow` (it would not have passed, but for Shadow); `reason` is a code of the README's table, or `(none)`; `route` is `(none)` where none matched, and `(other)` for the routes of the policy behind its first 250; `exposure` is the route's: `Public`, `Partner`, `Admin`, `Internal` or `(none)`.";
    Decision = "portcullis_decision_microseconds", Histogram, [], "How long the filter took to decide on a head, by the proxy's clock, in microseconds, waiting apart. Of every eighth request.";
    Tokens = "portcullis_tokens_total", Counter, ["provider", "outcome", "policy"], "Signed tokens, by what was found: `checked` (the signature held), `forged` (it did not), and `known` or `known_forged` where these very bytes had been looked at before.";
    KeysAge = "portcullis_keys_age_seconds", Gauge, ["provider", "policy"], "How long ago the keys of `remoteJWKS` were fetched; since the start, as long as there are none.";
    KeysOverdue = "portcullis_keys_overdue_seconds", Gauge, ["provider", "policy"], "For how long they have not been fresh any more. They are fetched anew before that, so anything but 0 means that the issuer cannot be reached: they serve for `staleGrace`. Of a provider that the policy no longer has, the last number stands and no longer changes.";
    KeyFetches = "portcullis_key_fetches_total", Counter, ["provider", "outcome", "policy"], "Fetches of keys: `ok` or `failed`.";
    Introspections = "portcullis_introspections_total", Counter, ["provider", "outcome", "policy"], "What was found of opaque tokens: `active`, `inactive` or `failed` where the issuer was asked, `cached` where an answer was at hand.";
    Evictions = "portcullis_bucket_evictions_total", Counter, [], "Buckets of limits that had something spent and made room for another. Many of them: `stateBytes` is too small for the number of clients.";
    LostRaces = "portcullis_bucket_lost_races_total", Counter, [], "Writes of a bucket that were decided again, since another worker wrote first.";
    Penalties = "portcullis_penalties_total", Counter, [], "Penalties that began: a rule of `rateLimit.failures` has seen as many failures as it allows.";
    LimiterCalls = "portcullis_limiter_calls_total", Counter, ["outcome", "policy"], "Questions to rate limit services: `ok`, `over_limit`, `failed`; `unasked` where the service rests after failures or too many questions are on their way, `leased` where an earlier yes served, `remembered` where an earlier no did.";
    SinkDrops = "portcullis_sink_dropped_total", Counter, ["sink"], "Audit events that never got to a sink: `otlp`, the collector, is away, slow or refuses them, or their VM ended before they were sent. What was dropped still stands in the sinks that worked.";
    PolicyLoads = "portcullis_policy_loads_total", Counter, ["outcome"], "Policies that were `loaded` or `refused`, once for each worker and the main thread.";
    PolicyLoaded = "portcullis_policy_loaded_timestamp_milliseconds", Gauge, ["policy", "digest"], "When the policy of this name was last loaded by a worker, in milliseconds since 1970: proxies know whole numbers only, and two may be loaded within a second. The series with the highest value is the policy that serves; `digest` has the first twelve digits, as an audit event does.";
    Degraded = "portcullis_degraded", Gauge, ["policy", "digest", "what"], "1 for what this version of the policy asks for and is not there, so that it does without or refuses. A variable of the environment is missing or no good: `keys` of a provider, `one_secret` of two, the `pepper` of API keys, the `subject_key` of audit events, the `collector_header`, a `signing_key`. Or the proxy's shared data cannot be written: `limits`, `proofs`, `concurrency`. There only if something is.";
    VmStarts = "portcullis_vm_starts_total", Counter, [], "Times that the plugin started: once for each worker and the main thread, and once for each VM that had to be made anew.";
}

/// The value of a label where there is none.
pub const NONE: &str = "(none)";
/// The value of `route` for all that have no series of their own.
pub const OTHER: &str = "(other)";

impl Metric {
    /// The name of a series: `portcullis_requests_total.route=orders.decision=refused.reason=rate_limited`. Each value ends where the next
    /// label begins, since no name of a policy has a `=`. The last label may be left to [`OfPolicy`].
    pub fn series(self, values: &[&str]) -> String {
        let row = self.row();
        let mut name = row.name.to_owned();
        for (label, value) in row.labels.iter().zip(values) {
            for part in [".", label, "=", named(value)] {
                name.push_str(part);
            }
        }
        name
    }

    /// Counts so many more. With nothing to count the series is there all the same: one that is there shows its first count as an increase.
    pub fn add(self, host: &impl Metrics, values: &[&str], count: u64) {
        if let Ok(id) = self.define(host, values)
            && count > 0
        {
            let _ = host.increment(id, count);
        }
    }

    /// Sets a gauge.
    pub fn set(self, host: &impl Metrics, values: &[&str], value: u64) {
        if let Ok(id) = self.define(host, values) {
            let _ = host.record(id, value);
        }
    }

    /// Makes the series, or finds it.
    pub fn define(self, host: &impl Metrics, values: &[&str]) -> Result<MetricId, crate::host::HostError> {
        host.define(self.row().kind, &self.series(values))
    }
}

/// The metrics of one policy: its name is the last label of each, so that two policies in one proxy are told apart.
#[derive(Clone, Copy, Debug)]
pub struct OfPolicy<'a, M> {
    /// Who counts.
    pub host: &'a M,
    /// The policy's name.
    pub policy: &'a str,
}

impl<M: Metrics> Metrics for OfPolicy<'_, M> {
    fn define(&self, kind: Kind, name: &str) -> Result<MetricId, crate::host::HostError> {
        self.host.define(kind, &[name, ".policy=", named(self.policy)].concat())
    }

    fn increment(&self, id: MetricId, count: u64) -> Result<(), crate::host::HostError> {
        self.host.increment(id, count)
    }

    fn record(&self, id: MetricId, value: u64) -> Result<(), crate::host::HostError> {
        self.host.record(id, value)
    }
}

/// Should anything get here that is no name, it is not told.
fn named(value: &str) -> &str {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'(' | b')');
    if value.len() <= limits::NAME_CHARS && value.bytes().all(good) { value } else { OTHER }
}

/// A count that a worker keeps until it tells the host: no call, where there may be a million a second.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// One more.
    pub fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many since the last time.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// What was counted stays with the one that counted it.
impl Clone for Tally {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::{Metric, NONE, OfPolicy, Tally};
    use crate::host::{HostError, Kind, MetricId, Metrics};
    use crate::testing::test;

    #[derive(Default)]
    struct Book {
        lines: RefCell<Vec<String>>,
        lacks: bool,
    }

    impl Metrics for Book {
        fn define(&self, _: Kind, name: &str) -> Result<MetricId, HostError> {
            self.lines.borrow_mut().push(name.to_owned());
            if self.lacks { Err(HostError { call: "define_metric", status: 12 }) } else { Ok(MetricId(4)) }
        }

        fn increment(&self, MetricId(id): MetricId, count: u64) -> Result<(), HostError> {
            self.lines.borrow_mut().push(format!("{id} +{count}"));
            Ok(())
        }

        fn record(&self, MetricId(id): MetricId, value: u64) -> Result<(), HostError> {
            self.lines.borrow_mut().push(format!("{id} ={value}"));
            Ok(())
        }
    }

    #[test]
    fn a_series_has_its_labels_in_its_name() {
        let long = "a".repeat(65);
        for (route, expected) in [
            ("orders", "orders"),
            ("a.b_c-9", "a.b_c-9"),
            (NONE, "(none)"),
            ("a=b", "(other)"),
            ("\u{202e}", "(other)"),
            ("a\nb", "(other)"),
            (&long, "(other)"),
        ] {
            assert_eq!(
                Metric::Requests.series(&[route, "refused", "rate_limited", "Admin", "shop"]),
                format!(
                    "portcullis_requests_total.route={expected}.decision=refused.reason=rate_limited.exposure=Admin.policy=shop"
                )
            );
        }
        assert_eq!(Metric::VmStarts.series(&[]), "portcullis_vm_starts_total");
    }

    #[test]
    fn names_are_those_of_prometheus() {
        for metric in Metric::ALL {
            let row = metric.row();
            assert!(row.name.starts_with("portcullis_"), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == Kind::Counter, "{}", row.name);
            for name in row.labels.iter().chain([&row.name]) {
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            }
            assert_eq!(Metric::ALL.iter().filter(|other| other.row().name == row.name).count(), 1);
        }
    }

    #[test]
    fn a_host_without_metrics_is_left_alone_and_of_nothing_only_the_name_is_told() {
        let host = Book::default();
        Metric::Evictions.add(&host, &[], 0);
        Metric::Evictions.add(&host, &[], 3);
        Metric::KeysAge.set(&host, &["corp"], 7);
        let told = [
            "portcullis_bucket_evictions_total",
            "portcullis_bucket_evictions_total",
            "4 +3",
            "portcullis_keys_age_seconds.provider=corp",
            "4 =7",
        ];
        assert_eq!(*host.lines.borrow(), told);
        let host = Book::default();
        for (policy, expected) in [("shop", "shop"), ("a=b", "(other)")] {
            Metric::Tokens.add(&OfPolicy { host: &host, policy }, &["corp", "forged"], 0);
            let told = host.lines.borrow_mut().pop().unwrap();
            assert_eq!(
                told,
                format!("portcullis_tokens_total.provider=corp.outcome=forged.policy={expected}")
            );
        }
        let host = Book { lacks: true, ..Book::default() };
        Metric::Evictions.add(&host, &[], 3);
        Metric::KeysAge.set(&host, &["corp"], 7);
        assert_eq!(host.lines.borrow().len(), 2, "{:?}", host.lines);
    }

    #[test]
    fn a_tally_is_told_once() {
        let tally = Tally::default();
        tally.count();
        tally.count();
        assert_eq!((tally.clone().take(), tally.take(), tally.take()), (0, 2, 0));
    }
}
