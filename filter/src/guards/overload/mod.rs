//! Is there too much to do? What is less important goes first.
//!
//! Each worker looks at itself: how many requests it has under way, and how long upstreams have taken of late. A proxy-wasm host tells a
//! plugin nothing of its own pressure (Envoy's overload manager acts before us, on the whole proxy).
//!
//! What it does *not* protect against: a worker that is too busy to run us at all, and one slow upstream among fast ones counts for all.

mod config;
mod load;
#[cfg(test)]
mod tests;

pub use config::{OVERLOAD, PRIORITY, read};
pub use load::Load;

use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::time::Timestamp;

/// When a worker has too much to do. With none of them, never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Requests under way in one worker.
    pub requests: Option<u64>,
    /// How long upstreams take, on average over about a second, in nanoseconds.
    pub latency: Option<u64>,
}

/// How much a route matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// Refused from three quarters of a limit on.
    Low,
    /// Refused at the limit.
    #[default]
    Normal,
    /// Refused at one and a half of it.
    High,
}

impl Priority {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Priority); 3] =
        [("Low", Priority::Low), ("Normal", Priority::Normal), ("High", Priority::High)];

    /// In percent of the limit.
    const fn threshold(self) -> u64 {
        match self {
            Priority::Low => 75,
            Priority::Normal => 100,
            Priority::High => 150,
        }
    }
}

impl Rules {
    /// Whether there is anything to look at.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a request that matters too little for what there is to do.
    pub fn check(&self, priority: Priority, load: &Load, now: Timestamp) -> Result<(), Refusal> {
        // The request that asks is under way itself.
        over(self.requests, load.under_way().saturating_sub(1), priority, "requests under way")?;
        over(self.latency, load.latency(now), priority, "nanoseconds that upstreams take")
    }
}

fn over(limit: Option<u64>, got: u64, priority: Priority, what: &'static str) -> Result<(), Refusal> {
    let Some(limit) = limit else { return Ok(()) };
    let limit = limit.saturating_mul(priority.threshold()) / 100;
    if got < limit.max(1) {
        return Ok(());
    }
    Err(Refusal::because(Reason::Overloaded, Detail::Over { what, got, limit }).advise(Advice::RetryAfter(1)))
}
