//! What does a limit count with? A bucket that fills evenly, or a quota that begins anew: both keep one number a key.

use super::gcra::{Outcome, Rate};
use super::window::Window;

/// A limit without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// `window: Rolling`
    Bucket(Rate),
    /// `window: Aligned`
    Quota(Window),
}

impl Meter {
    /// Decides on a request of `cost` at `now`, from the key's state.
    pub fn take(&self, state: u64, now: u64, cost: u64) -> Outcome {
        match self {
            Meter::Bucket(rate) => rate.take(state, now, cost),
            Meter::Quota(window) => window.take(state, now, cost),
        }
    }

    /// Gives back what a request of `cost` took at `now`, when it left the state `written`: the state afterwards.
    pub fn refund(&self, state: u64, written: u64, now: u64, cost: u64) -> u64 {
        match self {
            Meter::Bucket(rate) => rate.refund(state, written, now, cost),
            Meter::Quota(window) => window.refund(state, written, cost),
        }
    }

    /// Takes `cost` for what has happened already: the state afterwards.
    pub fn owe(&self, state: u64, now: u64, cost: u64) -> u64 {
        match self {
            Meter::Bucket(rate) => rate.owe(state, now, cost),
            Meter::Quota(window) => window.owe(state, now, cost),
        }
    }

    /// Nanoseconds from `now` until nothing is spent any more, if nobody comes.
    pub fn resets_in(&self, state: u64, now: u64) -> u64 {
        match self {
            Meter::Bucket(_) => state.saturating_sub(now),
            Meter::Quota(window) => window.left(state, now),
        }
    }
}

impl From<Rate> for Meter {
    fn from(rate: Rate) -> Self {
        Meter::Bucket(rate)
    }
}

impl From<Window> for Meter {
    fn from(window: Window) -> Self {
        Meter::Quota(window)
    }
}
