//! May one more request pass in this window? A quota that begins anew at fixed moments, whose whole state is one number, as that of a
//! bucket is.
//!
//! The number is a moment within the window: its beginning, and a small step for each request that passed. So a larger number is always
//! more spent, a number from an earlier window is nothing spent, and a slot can hold and forget quotas as it does buckets.

use core::num::NonZeroU64;

use super::gcra::{Outcome, RateFault};
use crate::limits;

/// So many requests in each window. Windows of a second, minute, hour or day begin where those of UTC do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    unit: NonZeroU64,
    step: NonZeroU64,
    /// The steps of all requests together; shorter than the unit, so that the last state of a window is before the next one's beginning.
    room: u64,
}

impl Window {
    /// `requests` in each window of `unit` nanoseconds.
    pub fn new(requests: u64, unit: u64) -> Result<Self, RateFault> {
        if requests == 0 {
            return Err(RateFault::Zero);
        }
        let unit = NonZeroU64::new(unit).ok_or(RateFault::Zero)?;
        let step = unit.get().checked_div(requests.saturating_add(1)).and_then(NonZeroU64::new);
        let step = step.ok_or(RateFault::TooFast)?;
        Ok(Self { unit, step, room: step.get().saturating_mul(requests) })
    }

    /// The length of the window in nanoseconds.
    pub const fn unit(&self) -> u64 {
        self.unit.get()
    }

    /// Decides on a request of `cost` at `now`, from the state.
    ///
    /// A state that no clock within [`limits::RATE_CLOCK_APART`] of this one can have left comes from before the clock was set back: it
    /// counts as this window's quota spent.
    pub fn take(&self, state: u64, now: u64, cost: u64) -> Outcome {
        let start = self.start(state, now);
        let full = start.saturating_add(self.room);
        let state = state.min(full);
        // At the end of the clock's range what does not fit into it is not there.
        let after = state.max(start).checked_add(self.price(cost)).filter(|&after| after <= full);
        let Some(after) = after else {
            let end = start.saturating_add(self.unit.get());
            return Outcome::Refused { tat: state, retry_after: end.saturating_sub(now) };
        };
        Outcome::Taken { tat: after, remaining: full.saturating_sub(after) / self.step }
    }

    /// Gives back what a request of `cost` took when it left the state `written`, as far as that window still lasts.
    pub fn refund(&self, state: u64, written: u64, cost: u64) -> u64 {
        let start = self.floor(written);
        if self.floor(state) == start { state.saturating_sub(self.price(cost)).max(start) } else { state }
    }

    /// Takes `cost` whether or not it is there, until nothing is left: the state afterwards.
    pub fn owe(&self, state: u64, now: u64, cost: u64) -> u64 {
        let start = self.start(state, now);
        let full = start.saturating_add(self.room);
        state.min(full).max(start).saturating_add(self.price(cost)).min(full)
    }

    /// Nanoseconds from `now` until the window ends in which `state` lies.
    pub fn left(&self, state: u64, now: u64) -> u64 {
        self.start(state, now).saturating_add(self.unit.get()).saturating_sub(now)
    }

    /// The beginning of the window that counts at `now`. Where a worker whose clock is a little ahead has begun the next one, that
    /// one counts for all: its requests were taken from there.
    fn start(&self, state: u64, now: u64) -> u64 {
        let next = self.floor(now.saturating_add(limits::RATE_CLOCK_APART));
        let begun = state > next && state <= next.saturating_add(self.room);
        if begun { next } else { self.floor(now) }
    }

    fn floor(&self, time: u64) -> u64 {
        time.saturating_sub(time % self.unit)
    }

    const fn price(&self, cost: u64) -> u64 {
        self.step.get().saturating_mul(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::Window;
    use crate::guards::rate_limit::gcra::{Outcome, RateFault};
    use crate::limits::RATE_CLOCK_APART;
    use crate::testing::test;
    use crate::time::SECOND;

    const DAY: u64 = 86_400 * SECOND;
    /// Midnight.
    const DAWN: u64 = 20_780 * DAY;

    fn passed(window: &Window, state: &mut u64, now: u64, tries: usize) -> usize {
        let mut passes = || match window.take(*state, now, 1) {
            Outcome::Taken { tat, .. } => {
                *state = tat;
                true
            }
            Outcome::Refused { tat, .. } => {
                *state = tat;
                false
            }
        };
        (0..tries).filter(|_| passes()).count()
    }

    #[test]
    fn windows_that_can_be() {
        for (requests, unit, fault) in [
            (0, SECOND, Some(RateFault::Zero)),
            (1, 0, Some(RateFault::Zero)),
            (u64::MAX, DAY, Some(RateFault::TooFast)),
            (SECOND, SECOND, Some(RateFault::TooFast)),
            (1, SECOND, None),
            (1_000_000, SECOND, None),
            (86_400_000_000, DAY, None),
        ] {
            assert_eq!(Window::new(requests, unit).err(), fault, "{requests} in {unit}");
        }
    }

    #[test]
    fn a_quota_is_exact_and_begins_anew() {
        for (requests, unit) in [(1, SECOND), (3, SECOND), (7, 60 * SECOND), (10_000, DAY), (999, DAY)] {
            let (window, mut state) = (Window::new(requests, unit).unwrap(), 0);
            let (all, tries) = (usize::try_from(requests).unwrap(), usize::try_from(requests).unwrap() + 5);
            for now in [DAWN, DAWN + unit - 1, DAWN + unit, DAWN + 5 * unit + 1, DAWN + 9 * unit - 1] {
                let fresh = now / unit * unit == now || now > DAWN + 2 * unit;
                assert_eq!(
                    passed(&window, &mut state, now, tries),
                    if fresh { all } else { 0 },
                    "{requests} at {now}"
                );
            }
        }
    }

    #[test]
    fn what_remains_and_when_it_ends() {
        let window = Window::new(4, DAY).unwrap();
        assert_eq!(window.left(0, DAWN + 1), DAY - 1);
        let Outcome::Taken { tat, remaining: 1 } = window.take(0, DAWN + 1, 3) else { panic!() };
        assert_eq!(window.take(tat, DAWN + 5, 2), Outcome::Refused { tat, retry_after: DAY - 5 });
        assert_eq!(window.take(tat, DAWN + 5, u64::MAX), Outcome::Refused { tat, retry_after: DAY - 5 });
        let Outcome::Taken { tat: after, remaining: 0 } = window.take(tat, DAWN + 5, 1) else { panic!() };
        assert_eq!(window.refund(after, after, 1), tat);
        assert_eq!(window.refund(after, tat, 3), window.refund(after, after, 3));
        assert_eq!(window.refund(DAWN + DAY + 7, tat, 3), DAWN + DAY + 7, "another window by now");
        assert_eq!(window.owe(tat, DAWN + 5, 1), after);
        assert_eq!(window.owe(tat, DAWN + 5, u64::MAX), after, "no deeper than empty");
    }

    #[test]
    fn a_worker_that_is_late_counts_in_the_window_that_has_begun() {
        let window = Window::new(4, DAY).unwrap();
        let (early, late, mut state) = (DAWN + DAY, DAWN + DAY - 1, 0);
        assert_eq!(passed(&window, &mut state, late, 9), 4);
        assert_eq!(passed(&window, &mut state, early, 1), 1);
        assert_eq!(passed(&window, &mut state, late, 9), 3, "not four more");
        assert_eq!(passed(&window, &mut state, early, 9), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_and_locks_out_for_one_window() {
        let window = Window::new(4, DAY).unwrap();
        let mut state = 0;
        assert_eq!(passed(&window, &mut state, DAWN + 3 * DAY, 2), 2);
        assert_eq!(passed(&window, &mut state, DAWN + DAY - RATE_CLOCK_APART - 1, 9), 0);
        assert_eq!(passed(&window, &mut state, DAWN + DAY, 9), 4);
        // The ends of the clock.
        for (state, now) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
            let _ = (window.take(state, now, 1), window.owe(state, now, 1), window.left(state, now));
            let _ = window.refund(state, now, 1);
        }
    }

    /// Where a worker whose clock is ahead has begun the next window and given all of it back, that one has not begun: who is late still has
    /// the window before, which such a state has left behind. Stricter for a moment, never looser.
    #[test]
    fn a_window_that_was_given_back_whole_has_not_begun() {
        let window = Window::new(4, DAY).unwrap();
        let (late, next) = (DAWN + DAY - 1, DAWN + DAY);
        let Outcome::Taken { tat, .. } = window.take(0, next, 1) else { panic!() };
        assert_eq!(window.refund(tat, tat, 1), next);
        assert!(matches!(window.take(next, late, 1), Outcome::Refused { retry_after: 1, .. }));
        assert!(matches!(window.take(tat, late, 1), Outcome::Taken { remaining: 2, .. }));
        assert!(matches!(window.take(next, next, 1), Outcome::Taken { remaining: 3, .. }));
    }
}
