//! How is `overload` written?

use super::{Priority, Rules};
use crate::document::{Default, Field, Key, Shape};
use crate::limits;

/// `overload`
pub const OVERLOAD: Shape = Shape::new(
    "overload",
    "When a worker has too much to do. Then it refuses routes by their `priority`, with 503 and before it looks at a credential: `Low` from three quarters of a limit on, \
            `Normal` at the limit, `High` at one and a half of it. Each worker looks at itself; what Envoy's own overload manager does comes \
            before this.",
    &[
        Key::new(
            "requests",
            "integer",
            Default::Is("any number"),
            "1 to 1,000,000: requests under way in one worker",
        ),
        Key::new(
            "latency",
            "duration",
            Default::Is("any time"),
            "1ms to 1h: how long it takes from a request's admission to the head of its response, on average over about a second; requests with a body \
             do not count, since a client can send one slowly. The average halves with each second in which no response comes",
        ),
    ],
);

/// `priority`, of `defaults` and of a route.
pub const PRIORITY: Key = Key::new(
    "priority",
    "`Low`, `Normal` or `High`",
    Default::Is("that of `defaults`, or else `Normal`"),
    "How much it matters when `overload` refuses.",
);

/// Reads an `overload`.
pub fn read(field: &Field<'_>) -> Option<Rules> {
    let section = field.section(&OVERLOAD)?;
    let requests = match section.get("requests") {
        Some(field) => Some(Some(field.integer(1..=limits::CONCURRENCY_MAX)?)),
        None => Some(None),
    };
    let latency = match section.get("latency") {
        Some(field) => Some(Some(field.duration(1_000_000..=3_600_000_000_000)?)),
        None => Some(None),
    };
    let rules = Rules { requests: requests?, latency: latency? };
    if rules.is_empty() {
        section.error("there is no limit in it", "write `requests`, `latency`, or leave `overload` out");
        return None;
    }
    Some(rules)
}

impl Priority {
    /// Reads a `priority`.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        field.one_of(&Priority::WORDS)
    }
}
