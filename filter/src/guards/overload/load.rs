//! How much has this worker to do?

use core::cell::Cell;

use crate::time::{SECOND, Timestamp};

/// What one worker knows of itself.
#[derive(Debug, Default)]
pub struct Load {
    under_way: Cell<u64>,
    /// Of the upstreams' latency, in nanoseconds.
    average: Cell<u64>,
    /// When that was last heard.
    heard: Cell<u64>,
}

impl Load {
    /// A request begins.
    pub fn begin(&self) {
        self.under_way.set(self.under_way.get().saturating_add(1));
    }

    /// It is over.
    pub fn end(&self) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
    }

    /// Requests under way.
    pub fn under_way(&self) -> u64 {
        self.under_way.get()
    }

    /// A request that was sent on at `sent` has got the head of its response at `now`.
    ///
    /// Each moment of the last second weighs the same, however many requests fell into it. A clock that was set back tells nothing.
    pub fn answered(&self, sent: Timestamp, now: Timestamp) {
        let sample = now.nanos().saturating_sub(sent.nanos());
        let weight = now.nanos().saturating_sub(self.heard.replace(now.nanos())).min(SECOND);
        let (old, new) = (u128::from(self.average.get()), u128::from(sample));
        let sum = old.saturating_mul(u128::from(SECOND.saturating_sub(weight)));
        let sum = sum.saturating_add(new.saturating_mul(u128::from(weight)));
        let average = sum.checked_div(u128::from(SECOND)).unwrap_or(0);
        self.average.set(u64::try_from(average).unwrap_or(u64::MAX));
    }

    /// How long upstreams take, on average. It halves with each second in which nothing is heard: once all is refused, something must be let
    /// through to find out.
    pub fn latency(&self, now: Timestamp) -> u64 {
        let silent = now.nanos().saturating_sub(self.heard.get()) / SECOND;
        self.average.get().checked_shr(u32::try_from(silent).unwrap_or(u32::MAX)).unwrap_or(0)
    }
}
