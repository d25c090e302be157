//! Which requests need not ask, since another one has asked for several at once?
//!
//! One table a worker. A question for a key that is busy asks for more than one request takes, and what is left over is spent by those who
//! come within [`limits::LIMITER_LEASE_SPAN`]. How much is asked for follows how fast it was spent: it doubles where it lasted less than half of the
//! span, and is halved where it outlived it. So a key that comes now and then asks for itself alone, and a steady one loses nothing.
//!
//! The service has counted all of it before any of it is spent. What is not spent in time is lost, which is stricter than the limit. What was
//! counted at the end of one window may be spent at the beginning of the next: at most a lease a worker, in the first second of a window.

use std::collections::HashMap;

use super::Key;
use crate::limits;
use crate::time::Timestamp;

/// What one worker holds.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<Key, Lease>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    /// How much is left to be spent.
    left: u64,
    /// How much was asked for.
    size: u64,
    /// When it was granted.
    began: u64,
    /// When it is looked at again whether to ask for more than one request takes: somebody does, or more was refused a moment ago.
    asking: u64,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It passes: the service has counted it before.
    Passes,
    /// It asks for itself alone.
    Asks,
    /// It asks for so much, and tells what came of it.
    AsksFor(u64),
}

impl Leases {
    /// The turn of a request that takes `cost`, where a lease may hold `most`. A question is answered within `patience` nanoseconds.
    pub(super) fn turn(&mut self, key: Key, cost: u64, most: u64, patience: u64, now: Timestamp) -> Turn {
        let now = now.nanos();
        let Some(lease) = self.held.get_mut(&key) else {
            self.make_room(now);
            if self.held.len() < limits::LIMITER_LEASES {
                // The first one asks for itself, and is remembered for the second.
                let asking = now.saturating_add(patience);
                self.held.insert(key, Lease { left: 0, size: cost, began: now, asking });
                return Turn::AsksFor(cost);
            }
            return Turn::Asks;
        };
        // A clock that was set back makes a lease older than it is.
        let age = now.checked_sub(lease.began).unwrap_or(u64::MAX);
        if age < limits::LIMITER_LEASE_SPAN
            && let Some(left) = lease.left.checked_sub(cost)
        {
            lease.left = left;
            return Turn::Passes;
        }
        if now < lease.asking && lease.asking.saturating_sub(now) <= patience.max(limits::LIMITER_LEASE_SPAN)
        {
            return Turn::Asks;
        }
        let size = if age < limits::LIMITER_LEASE_SPAN / 2 {
            lease.size.saturating_mul(2)
        } else if age < limits::LIMITER_LEASE_SPAN {
            lease.size
        } else {
            lease.size / 2
        };
        lease.asking = now.saturating_add(patience);
        Turn::AsksFor(size.min(most).max(cost))
    }

    /// A question for `size` was answered: whether it was granted, of which `cost` is spent; `None` if it was not answered.
    pub(super) fn settle(&mut self, key: &Key, size: u64, cost: u64, granted: Option<bool>, now: Timestamp) {
        let Some(lease) = self.held.get_mut(key) else { return };
        let now = now.nanos();
        *lease = match granted {
            Some(true) => Lease { left: size.saturating_sub(cost), size, began: now, asking: 0 },
            // Near the limit there is not so much: what there is goes to those who ask for themselves.
            Some(false) => {
                let asking = now.saturating_add(limits::LIMITER_LEASE_SPAN);
                Lease { left: 0, size: cost, began: now, asking }
            }
            None => Lease { asking: 0, ..*lease },
        };
    }

    /// Where the table is full, forgets what is over.
    fn make_room(&mut self, now: u64) {
        if self.held.len() >= limits::LIMITER_LEASES {
            self.held.retain(|_, lease| {
                now.checked_sub(lease.began).is_some_and(|age| age < limits::LIMITER_LEASE_SPAN)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Leases, Turn};
    use crate::limits::{LIMITER_LEASE_SPAN, LIMITER_LEASES};
    use crate::testing::test;
    use crate::time::Timestamp;

    const KEY: [u8; 32] = [7; 32];
    const PATIENCE: u64 = 1000;
    const NOW: u64 = 1 << 60;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    /// Requests of cost 1 at this interval, each question granted at once: how many asked, and for how much in all.
    fn steady(interval: u64, requests: u64, most: u64) -> (u64, u64) {
        let (mut leases, mut questions, mut asked) = (Leases::default(), 0, 0);
        for number in 0..requests {
            let now = at(NOW + number * interval);
            match leases.turn(KEY, 1, most, PATIENCE, now) {
                Turn::Passes => {}
                Turn::Asks => panic!("nobody else asks"),
                Turn::AsksFor(size) => {
                    (questions, asked) = (questions + 1, asked + size);
                    leases.settle(&KEY, size, 1, Some(true), now);
                }
            }
        }
        (questions, asked)
    }

    #[test]
    fn a_key_that_comes_now_and_then_asks_for_itself_and_a_busy_one_for_many() {
        assert_eq!(steady(LIMITER_LEASE_SPAN, 100, 100), (100, 100));
        assert_eq!(steady(LIMITER_LEASE_SPAN * 3 / 4, 100, 100), (100, 100));
        // Ten a second: eight at once last for most of a second, and nothing is lost.
        let (questions, asked) = steady(LIMITER_LEASE_SPAN / 10, 1000, 100);
        assert!(questions < 130 && asked <= 1008, "{questions} {asked}");
        // A thousand a second: up to the most.
        let (questions, asked) = steady(LIMITER_LEASE_SPAN / 1000, 10_000, 100);
        assert!(questions < 110 && asked <= 10_100, "{questions} {asked}");
        assert_eq!(steady(1, 1000, 1), (1000, 1000), "a lease of one is none");
    }

    #[test]
    fn a_lease_is_not_spent_beyond_its_size_or_its_time() {
        let mut leases = Leases::default();
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW)), Turn::AsksFor(1));
        leases.settle(&KEY, 8, 1, Some(true), at(NOW));
        for _ in 0..7 {
            assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + 1)), Turn::Passes);
        }
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + 1)), Turn::AsksFor(8));
        leases.settle(&KEY, 8, 1, Some(true), at(NOW + 2));
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + 1 + LIMITER_LEASE_SPAN)), Turn::Passes);
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + 2 + LIMITER_LEASE_SPAN)), Turn::AsksFor(4));
        // Another key has none of it, and a dearer request than what is left asks.
        assert_eq!(leases.turn([8; 32], 1, 8, PATIENCE, at(NOW)), Turn::AsksFor(1));
        leases.settle(&KEY, 4, 1, Some(true), at(NOW + 3 * LIMITER_LEASE_SPAN));
        assert_eq!(leases.turn(KEY, 4, 8, PATIENCE, at(NOW + 3 * LIMITER_LEASE_SPAN)), Turn::AsksFor(8));
        // A clock that was set back.
        leases.settle(&KEY, 8, 1, Some(true), at(NOW));
        assert!(matches!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW / 2)), Turn::AsksFor(_)));
    }

    #[test]
    fn while_one_asks_for_more_and_after_more_was_refused_each_asks_for_itself() {
        let mut leases = Leases::default();
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW)), Turn::AsksFor(1));
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW)), Turn::Asks);
        // The one that asked was never heard of again.
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + PATIENCE)), Turn::AsksFor(2));
        leases.settle(&KEY, 2, 1, None, at(NOW + PATIENCE));
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + PATIENCE)), Turn::AsksFor(2));
        leases.settle(&KEY, 2, 1, Some(false), at(NOW + PATIENCE));
        assert_eq!(leases.turn(KEY, 1, 8, PATIENCE, at(NOW + LIMITER_LEASE_SPAN)), Turn::Asks);
        assert_eq!(
            leases.turn(KEY, 1, 8, PATIENCE, at(NOW + PATIENCE + LIMITER_LEASE_SPAN)),
            Turn::AsksFor(1)
        );
    }

    #[test]
    fn the_table_is_bounded() {
        let mut leases = Leases::default();
        let key = |number: usize| {
            let mut key = KEY;
            key[..4].copy_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
            key
        };
        for number in 0..LIMITER_LEASES {
            assert_eq!(leases.turn(key(number), 1, 8, PATIENCE, at(NOW)), Turn::AsksFor(1));
        }
        assert_eq!(
            leases.turn(key(LIMITER_LEASES), 1, 8, PATIENCE, at(NOW)),
            Turn::Asks,
            "no room, no lease"
        );
        assert_eq!(
            leases.turn(key(LIMITER_LEASES), 1, 8, PATIENCE, at(NOW + LIMITER_LEASE_SPAN)),
            Turn::AsksFor(1)
        );
        assert_eq!(leases.held.len(), 1);
    }

    /// How much is asked for next, by how long the last four lasted.
    #[test]
    fn what_is_asked_for_follows_how_fast_it_was_spent() {
        for (lasted, size) in [
            (0, 8),
            (LIMITER_LEASE_SPAN / 2 - 1, 8),
            (LIMITER_LEASE_SPAN / 2, 4),
            (LIMITER_LEASE_SPAN - 1, 4),
            (LIMITER_LEASE_SPAN, 2),
        ] {
            let mut leases = Leases::default();
            assert_eq!(leases.turn(KEY, 1, 100, PATIENCE, at(NOW)), Turn::AsksFor(1));
            leases.settle(&KEY, 4, 4, Some(true), at(NOW));
            assert_eq!(leases.turn(KEY, 1, 100, PATIENCE, at(NOW + lasted)), Turn::AsksFor(size), "{lasted}");
        }
    }
}
