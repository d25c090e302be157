//! Which requests need not ask, since the service has said no to the same question a moment ago?
//!
//! One table a worker. A *no* holds until the service's window ends, as far as it says when, at least for `refusalHolds` and at most for
//! [`limits::LIMITER_REFUSED_MOST`]. So whoever is over a limit and goes on costs each worker one call in that time, and the service nothing more.
//!
//! Not in the table of the local limits, which all workers share: there a note would push out a bucket that has something spent, and a note that is
//! pushed out would raise the floor for others. Here one that finds no room is asked about again, which costs a call and is never wrong.
//! It belongs to the policy that was loaded: an update forgets all of it.

use std::collections::HashMap;

use super::Key;
use crate::limits;
use crate::time::{SECOND, Timestamp};

/// What the service said with its *no*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Which of the rules refused, if it says so much.
    pub(super) rule: Option<usize>,
    /// The limit of that rule: requests, and in how many seconds.
    pub(super) limit: Option<(u64, u64)>,
    /// Seconds until there is room again.
    pub(super) reset: Option<u64>,
}

/// What one worker has been told. By question and by how much it asked for: where there is no room for seven there may be for one.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    held: HashMap<(Key, u64), Refused>,
    /// The table is full until then, so that not each new one looks through all of it.
    full: u64,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    over: Over,
    /// When it was said.
    said: u64,
    /// Until when it holds.
    until: u64,
}

impl Refusals {
    /// What holds of that question at `now`: what was said, with the time that is left.
    pub(super) fn find(&self, key: Key, cost: u64, now: Timestamp) -> Option<Over> {
        let Refused { over, said, until } = *self.held.get(&(key, cost))?;
        // A clock that was set back ends it.
        let age = now.nanos().checked_sub(said).filter(|_| now.nanos() < until)?;
        Some(Over { reset: over.reset.map(|seconds| seconds.saturating_sub(age / SECOND)), ..over })
    }

    /// The service has said no. It holds for at least `least` nanoseconds, if there is room.
    pub(super) fn note(&mut self, key: Key, cost: u64, over: Over, least: u64, now: Timestamp) {
        let now = now.nanos();
        if self.held.len() >= limits::LIMITER_REFUSALS && !self.held.contains_key(&(key, cost)) {
            self.make_room(now);
            if self.held.len() >= limits::LIMITER_REFUSALS {
                return;
            }
        }
        // The service speaks of whole seconds, and its window ends within the last of them: with the second of the clock that begins it, since
        // windows begin with those. Early costs a call; late would be stricter than the limit.
        let begun = now.saturating_sub(now % SECOND);
        let named = begun.saturating_add(over.reset.unwrap_or(0).saturating_mul(SECOND));
        let most = now.saturating_add(limits::LIMITER_REFUSED_MOST);
        let until = named.min(most).max(now.saturating_add(least));
        self.held.insert((key, cost), Refused { over, said: now, until });
    }

    /// Forgets what is over, at most once a second.
    fn make_room(&mut self, now: u64) {
        if self.full.saturating_sub(now) > 0 && self.full.saturating_sub(now) <= SECOND {
            return;
        }
        self.held.retain(|_, refused| refused.said <= now && now < refused.until);
        self.full = now.saturating_add(SECOND);
    }
}

#[cfg(test)]
mod tests {
    use super::{Over, Refusals};
    use crate::limits::{LIMITER_REFUSALS, LIMITER_REFUSED_MOST};
    use crate::testing::test;
    use crate::time::{SECOND, Timestamp};

    const KEY: [u8; 32] = [7; 32];
    const LEAST: u64 = SECOND / 10;
    /// Half a second into a second.
    const NOW: u64 = 1_795_489_800 * SECOND + SECOND / 2;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    fn over(reset: Option<u64>) -> Over {
        Over { rule: Some(0), limit: Some((10, 60)), reset }
    }

    /// What the service says, and for how long it holds from the middle of a second on.
    #[test]
    fn a_no_holds_until_the_window_ends() {
        for (reset, holds) in [
            (None, LEAST),
            (Some(0), LEAST),
            (Some(1), SECOND / 2),
            (Some(42), 41 * SECOND + SECOND / 2),
            (Some(61), LIMITER_REFUSED_MOST),
            (Some(86_400), LIMITER_REFUSED_MOST),
            (Some(u64::MAX), LIMITER_REFUSED_MOST),
        ] {
            let mut refusals = Refusals::default();
            refusals.note(KEY, 1, over(reset), LEAST, at(NOW));
            let found = |nanos| refusals.find(KEY, 1, at(nanos));
            assert_eq!(found(NOW), Some(over(reset)), "{reset:?}");
            assert!(found(NOW + holds - 1).is_some() && found(NOW + holds).is_none(), "{reset:?}");
            assert_eq!(found(NOW - 1), None, "{reset:?}: a clock that was set back");
            assert_eq!(found(NOW + 86_400 * SECOND), None, "{reset:?}: one that was set forward");
        }
        // The ends of the clock.
        for now in [0, u64::MAX] {
            let mut refusals = Refusals::default();
            refusals.note(KEY, 1, over(Some(u64::MAX)), LEAST, at(now));
            assert_eq!(refusals.find(KEY, 1, at(now)).is_some(), now == 0);
        }
    }

    #[test]
    fn the_time_that_is_left_is_told() {
        let mut refusals = Refusals::default();
        refusals.note(KEY, 1, over(Some(42)), LEAST, at(NOW));
        for (later, left) in [(SECOND - 1, 42), (SECOND, 41), (41 * SECOND, 1)] {
            let found = refusals.find(KEY, 1, at(NOW + later)).unwrap();
            assert_eq!(found.reset, Some(left), "{later}");
        }
    }

    #[test]
    fn another_question_and_another_cost_are_asked() {
        let mut refusals = Refusals::default();
        refusals.note(KEY, 7, over(None), LEAST, at(NOW));
        assert_eq!((refusals.find(KEY, 1, at(NOW)), refusals.find([8; 32], 7, at(NOW))), (None, None));
        assert!(refusals.find(KEY, 7, at(NOW)).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_what_is_over_makes_room() {
        let mut refusals = Refusals::default();
        let key = |number: usize| {
            let mut key = KEY;
            key[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            key
        };
        for number in 0..LIMITER_REFUSALS {
            refusals.note(key(number), 1, over(Some(5)), LEAST, at(NOW));
        }
        let newcomer = key(LIMITER_REFUSALS);
        for later in [0, 3 * SECOND] {
            refusals.note(newcomer, 1, over(Some(5)), LEAST, at(NOW + later));
            assert_eq!(refusals.find(newcomer, 1, at(NOW + later)), None, "no room");
        }
        refusals.note(key(0), 1, over(Some(9)), LEAST, at(NOW + 3 * SECOND));
        assert!(refusals.find(key(0), 1, at(NOW + 10 * SECOND)).is_some(), "one that is known is told anew");
        refusals.note(newcomer, 1, over(Some(5)), LEAST, at(NOW + 5 * SECOND));
        assert!(refusals.find(newcomer, 1, at(NOW + 5 * SECOND)).is_some());
        assert_eq!(refusals.held.len(), 2);
        // A clock that was set back makes room, too.
        for number in 0..LIMITER_REFUSALS {
            refusals.note(key(number), 1, over(Some(5)), LEAST, at(NOW + 6 * SECOND));
        }
        refusals.note(newcomer, 1, over(Some(5)), LEAST, at(NOW));
        assert!(refusals.find(newcomer, 1, at(NOW)).is_some());
    }

    /// What is over makes room at that moment; but a table that was found full is looked through once a second, whoever comes.
    #[test]
    fn when_there_is_room_again() {
        let key = |number: usize| {
            let mut key = KEY;
            key[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            key
        };
        for (looks, finds) in [
            (vec![LEAST - 1], vec![false]),
            (vec![LEAST], vec![true]),
            (vec![0, LEAST, SECOND - 1, SECOND], vec![false, false, false, true]),
        ] {
            let mut refusals = Refusals::default();
            for number in 0..LIMITER_REFUSALS {
                refusals.note(key(number), 1, over(None), LEAST, at(NOW));
            }
            let found = looks.iter().map(|later| {
                let now = at(NOW + later);
                refusals.note([9; 32], 1, over(None), LEAST, now);
                refusals.find([9; 32], 1, now).is_some()
            });
            assert_eq!(found.collect::<Vec<_>>(), finds, "{looks:?}");
        }
    }
}
