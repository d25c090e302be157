//! Which requests leave an event? What the policy says of it.

use std::rc::Rc;

use super::Decision;
use super::sinks::{SINKS, Sinks};
use super::subject::Subjects;
use crate::document::outside::ENV;
use crate::document::{Default, Field, Key, Section, Shape};
use crate::time::Timestamp;

const LOG: Key = Key::new(
    "log",
    "All | Denied | Off",
    Default::Is("`Denied`; on a route, what the document's `audit` says"),
    "`Denied`: refused requests, and those that would have been in Shadow. `All`: every request.",
);

const SAMPLE: Key = Key::new(
    "sampleAllowed",
    "number from 0 to 1",
    Default::Is("0"),
    "The share of allowed requests that leave an event when `log` is `Denied`.",
);

/// The `audit` section of the document.
pub static AUDIT: Shape = Shape::new(
    "audit",
    "Which requests leave an audit event, and where it goes. `Off` also means that nothing is told of policies, keys and penalties. See \
            [audit events](audit.md).",
    &[
        LOG,
        SAMPLE,
        Key::new(
            "subject",
            "Plain | Hashed",
            Default::Is("`Plain`"),
            "How `sub` is written down. `Hashed`: as 32 digits of its HMAC-SHA256 under `hashKey`, which correlate and do not identify, in place of what \
             `redaction` would say of it.",
        ),
        Key::new(
            "hashKey",
            "map",
            Default::Is("none"),
            "The key, at least 32 bytes. While it is missing, no subject is written down.",
        )
        .nested(&ENV),
        Key::new("sinks", "map", Default::Is("the proxy's log"), "Where the events go.").nested(&SINKS),
    ],
);

/// The `audit` section of a route.
pub static ROUTE_AUDIT: Shape = Shape::new(
    "routes[].audit",
    "Which requests of the route leave an audit event, in place of what the document's `audit` says.",
    &[LOG, SAMPLE],
);

/// The compiled `audit` section.
#[derive(Debug, core::default::Default)]
pub struct Rules {
    /// Of requests that no route took, and of routes that say nothing else.
    pub requests: Level,
    /// How callers are named.
    pub subjects: Subjects,
    /// Where it goes.
    pub sinks: Sinks,
}

/// Which requests leave an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    log: Log,
    sample_allowed: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    All,
    Denied,
    Off,
}

impl core::default::Default for Level {
    fn default() -> Self {
        Self { log: Log::Denied, sample_allowed: 0.0 }
    }
}

impl Rules {
    /// Reads the section of the document.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let section = field.section(&AUDIT)?;
        let requests = Level::of(&section);
        let subjects = Subjects::read(&section);
        let sinks = match section.get("sinks") {
            Some(field) => Sinks::read(&field, requests),
            None => Some(Sinks::default()),
        };
        Some(Self { requests, subjects: subjects?, sinks: sinks? })
    }

    /// Reads what the section refers to from the environment, once the policy is loaded.
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        self.subjects.resolve(&env);
        // Nobody else has it yet.
        if let Some(exporter) = self.sinks.otlp.as_mut().and_then(Rc::get_mut) {
            exporter.resolve(env);
        }
    }
}

impl Level {
    /// Reads the section of a route.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        field.section(&ROUTE_AUDIT).map(|section| Self::of(&section))
    }

    fn of(section: &Section<'_>) -> Self {
        let mut level = Self::default();
        let words = [("All", Log::All), ("Denied", Log::Denied), ("Off", Log::Off)];
        if let Some(log) = section.get("log").and_then(|field| field.one_of(&words)) {
            level.log = log;
        }
        if let Some(share) = section.get("sampleAllowed").and_then(|field| field.number(0.0..=1.0)) {
            level.sample_allowed = share;
        }
        if level.log == Log::Off && level.sample_allowed > 0.0 {
            section.error(
                "`sampleAllowed` has no effect while `log` is `Off`",
                "leave it out, or write `log: Denied`",
            );
        }
        level
    }

    /// Whether anything leaves an event.
    pub fn is_off(self) -> bool {
        self.log == Log::Off
    }

    /// Whether a request with this outcome leaves an event.
    pub fn wants(self, decision: Decision, now: Timestamp) -> bool {
        match (self.log, decision) {
            (Log::Off, _) => false,
            (Log::All, _) | (Log::Denied, Decision::Refused | Decision::Shadow) => true,
            (Log::Denied, Decision::Allowed | Decision::Answered) => {
                self.sample_allowed > 0.0 && spread(now) < self.sample_allowed
            }
        }
    }
}

/// A number in [0, 1) that changes with every nanosecond: enough to sample by, and no call for randomness.
fn spread(now: Timestamp) -> f64 {
    // Fibonacci hashing: the upper bits of a product with 2^64 / φ are spread evenly.
    let mixed = now.nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let (numerator, denominator) = (mixed as f64, (1_u64 << 53) as f64);
    numerator / denominator
}

#[cfg(test)]
mod tests {
    use super::{Decision, Level, Log, Rules};
    use crate::document::Field;
    use crate::json::Json;
    use crate::problem::Problems;
    use crate::testing::test;
    use crate::time::Timestamp;

    #[test]
    fn yaml_may_read_off_as_a_boolean() {
        for (log, expected, problem) in [
            ("false", Log::Off, None),
            (r#""Off""#, Log::Off, None),
            (
                "true",
                Log::Denied,
                Some(
                    "log: expected a string, found a boolean · help: YAML reads words like `n`, `no` and `off` as \
                     booleans: write it in quotes",
                ),
            ),
        ] {
            let json: Json = serde_json::from_str(&format!(r#"{{"log":{log}}}"#)).unwrap();
            let problems = Problems::new();
            assert_eq!(Rules::read(&Field::root(&json, &problems)).unwrap().requests.log, expected);
            let found = problems.into_vec().first().map(ToString::to_string);
            assert_eq!(found.as_deref(), problem);
        }
    }

    #[test]
    fn who_leaves_an_event() {
        use Decision::{Allowed, Answered, Refused, Shadow};
        let now = Timestamp::from_nanos(1_795_489_800_250_000_001);
        for (log, share, wanted) in [
            (Log::All, 0.0, [true; 4]),
            (Log::Denied, 0.0, [false, false, true, true]),
            (Log::Denied, 1.0, [true; 4]),
            (Log::Off, 0.0, [false; 4]),
        ] {
            let level = Level { log, sample_allowed: share };
            assert_eq!(
                [Allowed, Answered, Refused, Shadow].map(|decision| level.wants(decision, now)),
                wanted
            );
        }
        let sampled = Level { log: Log::Denied, sample_allowed: 0.1 };
        let hits =
            (0..10_000).filter(|n| sampled.wants(Allowed, Timestamp::from_nanos(n * 1_000_003))).count();
        assert!((800..1200).contains(&hits), "{hits}");
    }
}
