//! What does one slot of the table know? Sixteen keys, and how much the keys that had to go had spent.
//!
//! A slot never forgets what was spent: the TAT of a key that is dropped raises a *floor*, and a key that is not in the slot
//! starts from the floor. So no key ever has more than its limit, however many keys there are; a flood of new keys
//! through one slot is bounded by about [`WAYS`] times the rate. What it costs: newcomers to a crowded slot start with a bucket that
//! is not full, and in the worst case wait for one interval.

use super::gcra::Outcome;
use super::meter::Meter;
use crate::limits;
use crate::time::SECOND;

/// Keys in one slot.
pub const WAYS: usize = 16;
/// Bytes of one slot.
pub const BYTES: usize = 8 * (LANES + 2 * WAYS);

/// Floors in one slot.
const LANES: usize = 8;
/// A rule belongs to the first lane of its kind, buckets or quotas, that is not shorter than what it reaches. A floor is raised by, and
/// holds for, the rules of its lane only: the TAT of a rule with a thousand requests a day may lie a day ahead, and a newcomer to a
/// rule with ten a second must not start from there. Rules of one lane reach about as far as each other.
const LANE_ENDS: [u64; LANES] = [
    10 * SECOND,
    600 * SECOND,
    10_800 * SECOND,
    limits::RATE_DRAIN_MAX,
    SECOND,
    60 * SECOND,
    3_600 * SECOND,
    86_400 * SECOND,
];
/// The first lane of quotas; its lanes' ends are the lengths of their windows.
const QUOTAS: usize = 4;
/// The low bits of a tag are not the key's: three hold the lane, one says that the way is in use.
const LANE_BITS: u64 = 0b0111;
const USED_BIT: u64 = 0b1000;
const KEY_BITS: u64 = !(LANE_BITS | USED_BIT);

/// A slot as it is read from shared data, and written: the floors, then tag and TAT of each way, 64 bit, little-endian. A charge looks at
/// some of it and changes two or three words, so the bytes are left where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot(Box<[u8; BYTES]>);

/// A number in a slot.
type Word = [u8; 8];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Way {
    tag: u64,
    tat: u64,
}

/// The outcome of a charge, and whether the slot has changed and must be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// What became of the request.
    pub outcome: Outcome,
    /// Whether the slot has changed.
    pub dirty: bool,
    /// Whether another key that had something spent made room.
    pub evicted: bool,
}

impl Slot {
    /// A slot that nobody has used.
    pub const EMPTY: [u8; BYTES] = [0; BYTES];

    /// Reads a slot. `None` if it has another length.
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        bytes.into_boxed_slice().try_into().ok().map(Self)
    }

    /// What [`Slot::decode`] reads.
    pub fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    fn floors(&self) -> &[Word] {
        self.0.as_chunks().0.get(..LANES).unwrap_or_default()
    }

    fn floors_mut(&mut self) -> &mut [Word] {
        self.0.as_chunks_mut().0.get_mut(..LANES).unwrap_or_default()
    }

    fn ways(&self) -> impl Iterator<Item = Way> {
        let words: &[Word] = self.0.as_chunks().0.get(LANES..).unwrap_or_default();
        words.as_chunks().0.iter().map(Way::read)
    }

    fn way_mut(&mut self, at: usize) -> Option<&mut [Word; 2]> {
        let words: &mut [Word] = self.0.as_chunks_mut().0.get_mut(LANES..).unwrap_or_default();
        words.as_chunks_mut().0.get_mut(at)
    }

    /// The key's way, and where it is.
    fn find(&self, tag: u64) -> Option<(usize, Way)> {
        self.ways().enumerate().find(|(_, way)| way.is(tag))
    }

    /// Decides on a request of `cost` at `now` for the key `tag`, and notes what it spends.
    pub fn charge(&mut self, tag: u64, meter: &Meter, now: u64, cost: u64) -> Charged {
        let lane = lane(meter);
        let lowered = self.lower_floor(lane, now);
        let level = self.level(tag, lane);
        let outcome = meter.take(level, now, cost);
        let tat = match outcome {
            // A refusal is not written, or a flood of refused newcomers would push out the others. But one that started from too far
            // ahead is: it must not start from there again.
            Outcome::Refused { tat, .. } if tat == level => {
                return Charged { outcome, dirty: lowered, evicted: false };
            }
            Outcome::Taken { tat, .. } | Outcome::Refused { tat, .. } => tat,
        };
        let evicted = self.put(tag, lane, tat, now);
        Charged { outcome, dirty: true, evicted }
    }

    /// Gives back what a charge took that left `written`; see [`Meter::refund`]. Whether the slot has changed: a key that was dropped in the
    /// meantime gets nothing.
    pub fn refund(&mut self, tag: u64, meter: &Meter, written: u64, now: u64, cost: u64) -> bool {
        let Some((at, way)) = self.find(tag) else {
            return false;
        };
        let tat = meter.refund(way.tat, written, now, cost);
        if let Some(place) = self.way_mut(at).filter(|_| tat != way.tat) {
            *place = Way { tat, ..way }.words();
            return true;
        }
        false
    }

    /// Takes `cost` for a request that has passed, as far as [`Meter::owe`] goes. Whether another key that had something spent made room.
    pub fn owe(&mut self, tag: u64, meter: &Meter, now: u64, cost: u64) -> bool {
        let lane = lane(meter);
        self.lower_floor(lane, now);
        let tat = meter.owe(self.level(tag, lane), now, cost);
        self.put(tag, lane, tat, now)
    }

    /// Where the key stands: its own TAT, or the floor of its lane.
    fn level(&self, tag: u64, lane: usize) -> u64 {
        let own = self.find(tag).map(|(_, way)| way.tat);
        own.or_else(|| self.floors().get(lane).map(|floor| u64::from_le_bytes(*floor))).unwrap_or(u64::MAX)
    }

    /// A floor that lies further ahead than any rule of its lane can spend was raised before the clock was set back.
    fn lower_floor(&mut self, lane: usize, now: u64) -> bool {
        let end = LANE_ENDS.get(lane).copied().unwrap_or(limits::RATE_DRAIN_MAX);
        let highest = now.saturating_add(end).saturating_add(limits::RATE_CLOCK_APART);
        match self.floors_mut().get_mut(lane) {
            Some(floor) if u64::from_le_bytes(*floor) > highest => {
                *floor = highest.to_le_bytes();
                true
            }
            _ => false,
        }
    }

    /// Sets the key's TAT. If it is new, the way that has least spent makes room: one that was never used, else one that has nothing spent
    /// (which costs nobody anything, since the floor then stays in the past), else the one that is next to be whole again. Whether
    /// it was the last of these.
    fn put(&mut self, tag: u64, lane: usize, tat: u64, now: u64) -> bool {
        let known = self.find(tag);
        let least = || self.ways().enumerate().min_by_key(|(_, way)| way.spent(now));
        let Some((at, way)) = known.or_else(least) else { return false };
        let evicts = known.is_none() && way.spent(now) > 0;
        if known.is_none()
            && let Some(floor) = self.floors_mut().get_mut(way.lane())
        {
            *floor = way.tat.max(u64::from_le_bytes(*floor)).to_le_bytes();
        }
        if let Some(place) = self.way_mut(at) {
            // Three bits: `as` loses nothing.
            *place = Way { tag: tag & KEY_BITS | USED_BIT | lane as u64 & LANE_BITS, tat }.words();
        }
        evicts
    }
}

impl Way {
    fn read([tag, tat]: &[Word; 2]) -> Self {
        Self { tag: u64::from_le_bytes(*tag), tat: u64::from_le_bytes(*tat) }
    }

    fn words(self) -> [Word; 2] {
        [self.tag.to_le_bytes(), self.tat.to_le_bytes()]
    }

    fn is(&self, tag: u64) -> bool {
        self.tag & !LANE_BITS == tag & KEY_BITS | USED_BIT
    }

    fn lane(&self) -> usize {
        (self.tag & LANE_BITS) as usize
    }

    /// How far the key is from having nothing spent.
    fn spent(&self, now: u64) -> u64 {
        let lane = self.lane();
        let unit = LANE_ENDS.get(lane).copied().filter(|_| lane >= QUOTAS);
        let into = unit.and_then(|unit| now.checked_rem(unit)).unwrap_or(0);
        self.tat.saturating_sub(now.saturating_sub(into))
    }
}

fn lane(meter: &Meter) -> usize {
    let (kind, reach) = match meter {
        Meter::Bucket(rate) => (0..QUOTAS, rate.reach()),
        Meter::Quota(window) => (QUOTAS..LANES, window.unit()),
    };
    let last = kind.end.saturating_sub(1);
    let fits = |lane: &usize| LANE_ENDS.get(*lane).is_some_and(|end| reach <= *end);
    kind.into_iter().find(fits).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::{BYTES, Slot, WAYS, lane};
    use crate::guards::rate_limit::gcra::{Outcome, Rate};
    use crate::guards::rate_limit::meter::Meter;
    use crate::guards::rate_limit::window::Window;
    use crate::limits::RATE_CLOCK_APART;
    use crate::testing::test;
    use crate::time::SECOND;

    const NOW: u64 = 1_795_489_800 * SECOND;
    const DAY: u64 = 86_400 * SECOND;

    fn empty() -> Slot {
        Slot::decode(Slot::EMPTY.to_vec()).unwrap()
    }

    fn rate(requests: u64, seconds: u64) -> Rate {
        Rate::new(requests, seconds * SECOND, requests).unwrap()
    }

    /// Tags as a hash would make them: the low four bits are not the key's.
    fn tag(key: usize) -> u64 {
        (key as u64 + 1) << 4
    }

    fn passes(slot: &mut Slot, key: usize, rate: &Rate, now: u64) -> bool {
        matches!(slot.charge(tag(key), &(*rate).into(), now, 1).outcome, Outcome::Taken { .. })
    }

    #[test]
    fn a_slot_reads_what_it_wrote_and_nothing_else() {
        let mut slot = empty();
        for key in 0..WAYS + 3 {
            assert!(passes(&mut slot, key, &rate(10, 60), NOW + key as u64));
        }
        let bytes = slot.bytes().to_vec();
        assert_eq!(Slot::decode(bytes.clone()), Some(slot));
        for length in [0, 7, 8, BYTES - 16, BYTES - 8, BYTES - 1] {
            assert_eq!(Slot::decode(bytes[..length].to_vec()), None, "{length}");
        }
        for length in [1, 8, 16] {
            let mut long = bytes.clone();
            long.resize(BYTES + length, 0);
            assert_eq!(Slot::decode(long), None, "{length} more");
        }
    }

    #[test]
    fn an_evicted_key_does_not_come_back_with_a_full_bucket() {
        let (rate, mut slot) = (rate(5, 60), empty());
        assert_eq!((0..9).filter(|_| passes(&mut slot, 0, &rate, NOW)).count(), 5);
        // As many others as it takes to push it out, each with more spent than it has.
        for key in 1..=WAYS {
            while passes(&mut slot, key, &rate, NOW + SECOND) {}
        }
        assert!(!passes(&mut slot, 0, &rate, NOW + SECOND), "evicted");
        assert!(passes(&mut slot, 0, &rate, NOW + 12 * SECOND), "one has come back");
        assert!(!passes(&mut slot, 0, &rate, NOW + 12 * SECOND), "but no more");
    }

    #[test]
    fn a_full_bucket_makes_room_at_no_cost() {
        let (rate, mut slot) = (rate(5, 60), empty());
        for key in 0..10 * WAYS {
            let now = NOW + key as u64 * 12 * SECOND;
            assert_eq!((0..9).filter(|_| passes(&mut slot, key, &rate, now)).count(), 5, "{key}");
            let rest = slot.ways().filter(|way| way.tat > now).count();
            assert!(rest <= 5, "{key}: {rest}");
        }
    }

    #[test]
    fn a_flood_of_new_keys_is_bounded() {
        let (rate, mut slot) = (rate(5, 60), empty());
        let mut passed = 0;
        for key in 0..10_000 {
            passed += usize::from(passes(&mut slot, key, &rate, NOW));
        }
        assert!(passed <= (WAYS + 1) * 5, "{passed}");
        let minute = (0..10_000).filter(|key| passes(&mut slot, key + 10_000, &rate, NOW + 60 * SECOND));
        assert!(minute.count() <= (WAYS + 1) * 5);
    }

    #[test]
    fn a_slow_rule_does_not_starve_a_fast_one() {
        let (daily, quick, mut slot) = (rate(1000, 86_400), rate(10, 1), empty());
        for key in 0..100_000 {
            passes(&mut slot, key, &daily, NOW);
        }
        assert!(!passes(&mut slot, 100_000, &daily, NOW), "the slow lane is full");
        let first = (200_000..200_100).filter(|&key| passes(&mut slot, key, &quick, NOW)).count();
        assert!(first >= WAYS, "{first}");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out_for_longer_than_a_drain() {
        for (requests, seconds) in [(10, 1), (10, 10), (60, 60), (600, 600), (1000, 86_400)] {
            let (rate, mut slot) = (rate(requests, seconds), empty());
            for key in 0..1000 {
                while key < 17 && passes(&mut slot, key, &rate, NOW + DAY) {}
                passes(&mut slot, key, &rate, NOW + DAY);
            }
            for key in [0, 16, 999, 5000] {
                let mut now = NOW;
                while !passes(&mut slot, key, &rate, now) {
                    now += rate.interval() / 4;
                    let longest = rate.drain() + RATE_CLOCK_APART;
                    assert!(now <= NOW + longest, "{key}, {requests} in {seconds} s");
                }
            }
        }
    }

    #[test]
    fn quotas_and_buckets_do_not_spend_each_others() {
        let (daily, quota) = (rate(1000, 86_400), Window::new(1000, DAY).unwrap().into());
        let mut slot = empty();
        let passes_quota = |slot: &mut Slot, key, now| {
            matches!(slot.charge(tag(key), &quota, now, 1).outcome, Outcome::Taken { .. })
        };
        for key in 0..1000 {
            passes(&mut slot, key, &daily, NOW);
        }
        // Each way holds a quota of one request spent, of a thousand; a newcomer begins with what the least of them had left.
        let passed = (0..1000).filter(|key| passes_quota(&mut slot, key + 5000, NOW)).count();
        assert!(passed >= 900, "{passed}");
        // The quotas that are used up stay: others, that have less spent, make room.
        while passes_quota(&mut slot, 1, NOW) {}
        for key in 0..100 {
            passes_quota(&mut slot, key + 9000, NOW);
        }
        assert!(!passes_quota(&mut slot, 1, NOW));
        assert!(passes_quota(&mut slot, 1, NOW + DAY), "a new day");
    }

    /// What lies no further ahead than the rules of a lane reach and clocks lie apart is believed; what does is from before the clock was
    /// set back, and is lowered for good by the first who meets it.
    #[test]
    fn a_floor_is_believed_as_far_as_it_can_have_been_raised() {
        let rate = rate(10, 10);
        let highest = NOW + rate.drain() + RATE_CLOCK_APART;
        for (floor, lowered) in
            [(highest - 1, false), (highest, false), (highest + 1, true), (NOW + DAY, true)]
        {
            let mut bytes = Slot::EMPTY;
            bytes[..8].copy_from_slice(&floor.to_le_bytes());
            let mut slot = Slot::decode(bytes.to_vec()).unwrap();
            let charged = slot.charge(tag(0), &rate.into(), NOW, 1);
            assert!(matches!(charged.outcome, Outcome::Refused { .. }));
            assert_eq!(charged.dirty, lowered, "{floor}");
            assert_eq!(slot.floors()[0], floor.min(highest).to_le_bytes());
            assert!(passes(&mut slot, 1, &rate, NOW + RATE_CLOCK_APART + rate.interval()), "{floor}");
        }
    }

    /// To make room costs somebody something only where all have something spent: of a bucket until it is full again, of a quota until the
    /// window ends.
    #[test]
    fn who_is_evicted_at_a_cost() {
        let (bucket, quota) = (rate(5, 60).into(), Window::new(5, DAY).unwrap().into());
        let (full, midnight) = (NOW + 24 * SECOND, (NOW / DAY + 1) * DAY);
        for (meter, now, evicts) in [
            (bucket, NOW, true),
            (bucket, full - 1, true),
            (bucket, full, false),
            (quota, NOW, true),
            (quota, midnight - 1, true),
            (quota, midnight, false),
        ] {
            let mut slot = empty();
            for key in (0..WAYS).chain(0..WAYS) {
                assert!(!slot.charge(tag(key), &meter, NOW, 1).evicted, "there is room for {key}");
            }
            let owes = slot.clone().owe(tag(WAYS), &meter, now, 1);
            let newcomer = slot.charge(tag(WAYS), &meter, now, 1).evicted;
            assert_eq!((newcomer, owes), (evicts, evicts), "{meter:?} {}", now - NOW);
        }
    }

    /// Late in a day its quotas lie in the past as moments, and are spent all the same.
    #[test]
    fn the_quota_that_has_least_spent_makes_room() {
        let (quota, mut slot) = (Window::new(20, DAY).unwrap().into(), empty());
        let dusk = (NOW / DAY + 1) * DAY - 1;
        let mut left = |key, cost| match slot.charge(tag(key), &quota, dusk, cost).outcome {
            Outcome::Taken { remaining, .. } => Some(remaining),
            Outcome::Refused { .. } => None,
        };
        assert_eq!(left(0, 19), Some(1));
        assert!((1..WAYS).all(|key| left(key, 1) == Some(19)));
        assert_eq!((left(100, 1), left(101, 1)), (Some(19), Some(18)), "one of one, and a newcomer after it");
    }

    /// By what a bucket or a quota reaches, in seconds: which floor is its own, and how far ahead that one is believed, so that a short rule does not
    /// wait for what a long one has spent.
    #[test]
    fn rules_that_reach_as_far_share_a_floor() {
        let bucket = |seconds| Meter::from(Rate::new(seconds, seconds * SECOND, seconds).unwrap());
        let quota = |seconds| Meter::from(Window::new(5, seconds * SECOND).unwrap());
        for (meter, floor, end) in [
            (bucket(1), 0, 10),
            (bucket(10), 0, 10),
            (bucket(11), 1, 600),
            (bucket(600), 1, 600),
            (bucket(601), 2, 10_800),
            (bucket(10_800), 2, 10_800),
            (bucket(10_801), 3, 31 * 86_400),
            (bucket(31 * 86_400), 3, 31 * 86_400),
            (quota(1), 4, 1),
            (quota(60), 5, 60),
            (quota(3_600), 6, 3_600),
            (quota(86_400), 7, 86_400),
        ] {
            assert_eq!(lane(&meter), floor, "{meter:?}");
            let mut bytes = Slot::EMPTY;
            bytes[..64].copy_from_slice(&[0xff; 64]);
            let mut slot = Slot::decode(bytes.to_vec()).unwrap();
            slot.charge(tag(0), &meter, NOW, 1);
            let believed = NOW + end * SECOND + RATE_CLOCK_APART;
            assert_eq!(slot.floors()[floor], believed.to_le_bytes(), "{meter:?}");
        }
    }
}
