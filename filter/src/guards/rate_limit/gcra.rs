//! May one more request pass? A token bucket whose whole state is one number (GCRA, ITU-T I.371 annex A).
//!
//! The number is the *theoretical arrival time* (TAT), in nanoseconds since the epoch: the moment at which the bucket is full
//! again. A request moves it on by one interval, and may pass if it then lies no further ahead than a whole bucket takes to
//! fill. A TAT in the past is a full bucket, so a bucket that nobody uses needs no state at all.

use core::num::NonZeroU64;

use crate::limits;

/// A rate and the burst it allows. Any window of length `w` sees at most `burst + w / interval` requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: NonZeroU64,
    drain: u64,
    /// How much further than `drain` a cost that is known only afterwards may lead.
    debt: u64,
}

/// Why a rate cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateFault {
    /// No requests, an empty burst or an empty unit: nothing would ever pass.
    Zero,
    /// More than one request in [`limits::RATE_INTERVAL_MIN`].
    TooFast,
    /// The burst takes longer than [`limits::RATE_DRAIN_MAX`] to come back.
    TooLong,
}

/// What became of a request. `tat` is the bucket's new state in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It may pass.
    Taken {
        /// The new state, to be written before the request passes.
        tat: u64,
        /// Requests of cost 1 that could follow at once.
        remaining: u64,
    },
    /// It may not, and the bucket is as it was, unless the clock was set back: then `tat` is the state that mends it.
    Refused {
        /// The state to be kept.
        tat: u64,
        /// Nanoseconds until it could pass, if nobody else takes what comes in.
        retry_after: u64,
    },
}

impl Rate {
    /// `requests` in `unit` nanoseconds, at most `burst` at once.
    pub fn new(requests: u64, unit: u64, burst: u64) -> Result<Self, RateFault> {
        // Rounded up, so that the rate is never above what was asked for.
        let interval = unit.checked_div(requests).ok_or(RateFault::Zero)?;
        let exact = unit.checked_rem(requests) == Some(0);
        let interval = interval.saturating_add(u64::from(!exact));
        let interval = NonZeroU64::new(interval).ok_or(RateFault::Zero)?;
        if burst == 0 {
            return Err(RateFault::Zero);
        }
        if unit.checked_div(requests).is_none_or(|floor| floor < limits::RATE_INTERVAL_MIN) {
            return Err(RateFault::TooFast);
        }
        let drain = burst.checked_mul(interval.get()).filter(|&drain| drain <= limits::RATE_DRAIN_MAX);
        let drain = drain.ok_or(RateFault::TooLong)?;
        Ok(Self { interval, drain, debt: 0 })
    }

    /// Nanoseconds between two requests at the sustained rate.
    pub const fn interval(&self) -> u64 {
        self.interval.get()
    }

    /// Nanoseconds that an empty bucket takes to fill.
    pub const fn drain(&self) -> u64 {
        self.drain
    }

    /// The same rate, whose bucket can go into debt by so many nanoseconds' worth, as far as [`limits::RATE_DRAIN_MAX`] lets it.
    #[must_use]
    pub fn with_debt(self, debt: u64) -> Self {
        Self { debt: debt.min(limits::RATE_DRAIN_MAX.saturating_sub(self.drain)), ..self }
    }

    /// Nanoseconds that the bucket takes to fill from as deep as it can be.
    pub const fn reach(&self) -> u64 {
        self.drain.saturating_add(self.debt)
    }

    /// Whether it never admits what the other one, asked about the same requests, would not.
    pub fn is_within(&self, other: &Rate) -> bool {
        let slower = self.interval >= other.interval;
        slower && self.drain / self.interval <= other.drain / other.interval
    }

    /// How far ahead of `now` a state may lie that comes from this clock.
    fn furthest(&self, now: u64) -> u64 {
        now.saturating_add(self.reach()).saturating_add(limits::RATE_CLOCK_APART)
    }

    /// Decides on a request of `cost` at `now`, from the bucket's state `tat`.
    ///
    /// A state further ahead than `now`, the reach and [`limits::RATE_CLOCK_APART`] cannot come from this clock: the clock was
    /// set back. It counts as that far ahead and no further, so that nobody is locked out for longer than one drain and that
    /// margin. Without the margin, a worker that is a moment late would take the others' state for a clock set back and hand
    /// out what they had spent.
    pub fn take(&self, tat: u64, now: u64, cost: u64) -> Outcome {
        let full = now.saturating_add(self.drain);
        let tat = tat.min(self.furthest(now));
        // At the end of the clock's range nothing comes in any more, so what does not fit into it is not there.
        let Some(after) = tat.max(now).checked_add(self.price(cost)) else {
            let retry_after = u64::MAX.saturating_sub(full).max(self.interval.get());
            return Outcome::Refused { tat, retry_after };
        };
        if after > full {
            return Outcome::Refused { tat, retry_after: after.saturating_sub(full) };
        }
        Outcome::Taken { tat: after, remaining: full.saturating_sub(after) / self.interval }
    }

    /// Gives back what a request of `cost` took at `now`, when it left the state `written` and the state is `tat` by now.
    ///
    /// If nobody came between, all of it. If somebody did, a bucket that filled up in the meantime must not be filled beyond its
    /// brim: what may have come in since (at most [`limits::RATE_CLOCK_APART`]'s worth) is kept. Stricter, never looser.
    pub fn refund(&self, tat: u64, written: u64, now: u64, cost: u64) -> u64 {
        let spent = self.price(cost);
        if tat == written {
            return tat.saturating_sub(spent);
        }
        let latest = now.saturating_add(limits::RATE_CLOCK_APART);
        tat.saturating_sub(spent.min(written.saturating_sub(latest)))
    }

    /// Takes `cost` whether or not it is there, down to the debt that the rate allows: the state afterwards.
    pub fn owe(&self, tat: u64, now: u64, cost: u64) -> u64 {
        let tat = tat.min(self.furthest(now));
        let after = tat.max(now).saturating_add(self.price(cost));
        after.min(now.saturating_add(self.reach())).max(tat)
    }

    const fn price(&self, cost: u64) -> u64 {
        self.interval.get().saturating_mul(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Rate, RateFault};
    use crate::limits::RATE_CLOCK_APART;
    use crate::testing::test;
    use crate::time::SECOND;

    const DAY: u64 = 86_400 * SECOND;
    const NOW: u64 = 1_795_489_800 * SECOND;

    #[test]
    fn rates_are_never_above_what_was_asked_for() {
        for (requests, unit, burst, made) in [
            (1, SECOND, 1, Ok((SECOND, SECOND))),
            (3, SECOND, 3, Ok((333_333_334, 1_000_000_002))),
            (1_000_000, SECOND, 1, Ok((1_000, 1_000))),
            (1_000_001, SECOND, 1, Err(RateFault::TooFast)),
            (60_000_000, 60 * SECOND, 1, Ok((1_000, 1_000))),
            (u64::MAX, SECOND, 1, Err(RateFault::TooFast)),
            (0, SECOND, 1, Err(RateFault::Zero)),
            (1, SECOND, 0, Err(RateFault::Zero)),
            (1, 0, 1, Err(RateFault::Zero)),
            (1, DAY, 31, Ok((DAY, 31 * DAY))),
            (1, DAY, 32, Err(RateFault::TooLong)),
            (1, DAY, u64::MAX, Err(RateFault::TooLong)),
        ] {
            let rate = Rate::new(requests, unit, burst);
            assert_eq!(rate.map(|r| (r.interval(), r.drain())), made, "{requests} per {unit}, burst {burst}");
        }
    }

    /// A state, a moment and a cost, relative to `NOW`, at two requests a second and a burst of 4.
    #[test]
    fn takes() {
        let rate = Rate::new(2, SECOND, 4).unwrap();
        let half = SECOND / 2;
        let taken = |tat, remaining| Outcome::Taken { tat, remaining };
        let refused = |tat, retry_after| Outcome::Refused { tat, retry_after };
        for (tat, now, cost, outcome) in [
            (0, NOW, 1, taken(NOW + half, 3)),
            (NOW, NOW, 1, taken(NOW + half, 3)),
            (NOW - 1, NOW, 4, taken(NOW + 4 * half, 0)),
            (0, NOW, 5, refused(0, half)),
            (0, NOW, u64::MAX, refused(0, u64::MAX - NOW - 4 * half)),
            (NOW + half, NOW, 1, taken(NOW + 2 * half, 2)),
            (NOW + 3 * half, NOW, 1, taken(NOW + 4 * half, 0)),
            (NOW + 3 * half + 1, NOW, 1, refused(NOW + 3 * half + 1, 1)),
            (NOW + 4 * half, NOW, 1, refused(NOW + 4 * half, half)),
            (NOW + 4 * half, NOW, 0, taken(NOW + 4 * half, 0)),
            // A little ahead is another worker's clock; a day ahead is a clock that was set back.
            (NOW + 4 * half + 5, NOW, 1, refused(NOW + 4 * half + 5, half + 5)),
            (NOW + DAY, NOW, 1, refused(NOW + 4 * half + RATE_CLOCK_APART, half + RATE_CLOCK_APART)),
            (u64::MAX, NOW, 1, refused(NOW + 4 * half + RATE_CLOCK_APART, half + RATE_CLOCK_APART)),
            // The ends of the clock.
            (0, 0, 4, taken(4 * half, 0)),
            (u64::MAX, u64::MAX, 1, refused(u64::MAX, half)),
            (0, u64::MAX - half, 1, taken(u64::MAX, 0)),
            (u64::MAX, u64::MAX - half, 1, refused(u64::MAX, half)),
        ] {
            assert_eq!(rate.take(tat, now, cost), outcome, "{tat} {now} {cost}");
        }
    }

    #[test]
    fn a_refund_gives_back_no_more_than_was_taken() {
        let rate = Rate::new(1, SECOND, 10).unwrap();
        let at = |seconds: u64| NOW + seconds * SECOND;
        for (tat, written, refunded) in [
            // Nobody came between.
            (at(1), at(1), at(0)),
            (at(10), at(10), at(9)),
            // Somebody came between, to a bucket that could have been full by then, to one near it, and to an empty one.
            (at(2), at(1), at(2)),
            (at(4), at(3) - SECOND / 2, at(3) + SECOND / 2),
            (at(10), at(9), at(9)),
        ] {
            assert_eq!(rate.refund(tat, written, NOW, 1), refunded, "{tat} {written}");
        }
    }
}
