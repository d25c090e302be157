//! Who has how many requests under way? One slot: a list of what each worker holds for each key.
//!
//! A worker changes its own entries only, and says again at least every [`limits::LEASE_RENEWAL`] that they hold. What a worker that is gone has
//! left behind ends by itself after [`limits::LEASE`], so that nothing is held for ever by nobody.

use crate::limits;

/// Bytes of one entry.
const ENTRY: usize = 24;

/// A slot as it is read from shared data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    entries: Vec<Entry>,
}

/// What one worker holds for one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: u64,
    worker: u64,
    /// Seconds since the epoch: when the worker last said so.
    beat: u32,
    count: u32,
}

/// Why a request may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// So many are under way already.
    Limit,
    /// The slot holds as many keys as it can.
    Full,
}

impl Slot {
    /// Reads a slot: tag and worker, 64 bit, beat and count, 32 bit, little-endian. `None` if it is no list of these, or too long.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (entries, rest) = bytes.as_chunks::<ENTRY>();
        if !rest.is_empty() || entries.len() > limits::CONCURRENCY_WAYS {
            return None;
        }
        let entries: Option<Vec<Entry>> = entries.iter().map(Entry::decode).collect();
        Some(Self { entries: entries? })
    }

    /// Writes what [`Slot::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        self.entries.iter().flat_map(Entry::encode).collect()
    }

    /// One more request of that key begins on that worker, unless `most` are under way on all of them.
    pub fn begin(&mut self, tag: u64, worker: u64, now: u32, most: u32) -> Result<(), Denied> {
        // A clock that was set back makes no entry older: it lasts a lease from then on.
        self.entries.retain_mut(|entry| {
            entry.beat = entry.beat.min(now.saturating_add(limits::LEASE));
            entry.count > 0 && entry.beat.saturating_add(limits::LEASE) > now
        });
        let mine = |entry: &Entry| entry.tag == tag && entry.worker == worker;
        let held = self.entries.iter().filter(|entry| entry.tag == tag);
        if held.fold(0_u32, |sum, entry| sum.saturating_add(entry.count)) >= most {
            return Err(Denied::Limit);
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| mine(entry)) {
            (entry.count, entry.beat) = (entry.count.saturating_add(1), now);
        } else if self.entries.len() < limits::CONCURRENCY_WAYS {
            self.entries.push(Entry { tag, worker, beat: now, count: 1 });
        } else {
            return Err(Denied::Full);
        }
        Ok(())
    }

    /// That worker holds `count` for that key, whatever stood there. More than a slot can hold is left out: the worker says so again.
    pub fn set(&mut self, tag: u64, worker: u64, now: u32, count: u32) {
        self.entries.retain(|entry| entry.tag != tag || entry.worker != worker);
        if count > 0 && self.entries.len() < limits::CONCURRENCY_WAYS {
            self.entries.push(Entry { tag, worker, beat: now, count });
        }
    }
}

impl Entry {
    fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (tag, rest) = bytes.split_first_chunk()?;
        let (worker, rest) = rest.split_first_chunk()?;
        let (beat, rest) = rest.split_first_chunk()?;
        let count = rest.first_chunk()?;
        Some(Self {
            tag: u64::from_le_bytes(*tag),
            worker: u64::from_le_bytes(*worker),
            beat: u32::from_le_bytes(*beat),
            count: u32::from_le_bytes(*count),
        })
    }

    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let Self { tag, worker, beat, count } = self;
        let words = tag.to_le_bytes().into_iter().chain(worker.to_le_bytes());
        let halves = beat.to_le_bytes().into_iter().chain(count.to_le_bytes());
        for (place, byte) in bytes.iter_mut().zip(words.chain(halves)) {
            *place = byte;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Denied, Slot};
    use crate::limits::{CONCURRENCY_WAYS, LEASE};
    use crate::testing::test;

    const NOW: u32 = 1_795_489_800;

    #[test]
    fn a_slot_reads_what_it_wrote_and_nothing_else() {
        let mut slot = Slot::default();
        assert_eq!(Slot::decode(&slot.encode()), Some(slot.clone()));
        for tag in 0..5 {
            slot.begin(tag, tag + 7, NOW, 3).unwrap();
        }
        let bytes = slot.encode();
        assert_eq!(Slot::decode(&bytes), Some(slot));
        for length in [1, 23, 25, bytes.len() - 1] {
            assert_eq!(Slot::decode(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Slot::decode(&vec![0; 24 * (CONCURRENCY_WAYS + 1)]), None);
    }

    #[test]
    fn all_workers_together_hold_no_more_than_the_limit() {
        let mut slot = Slot::default();
        for (worker, begins) in
            [(1, Ok(())), (2, Ok(())), (1, Ok(())), (1, Err(Denied::Limit)), (2, Err(Denied::Limit))]
        {
            assert_eq!(slot.begin(9, worker, NOW, 3), begins, "{worker}");
        }
        assert_eq!(slot.begin(8, 1, NOW, 3), Ok(()), "another key");
        slot.set(9, 1, NOW, 1);
        assert_eq!(slot.begin(9, 2, NOW, 3), Ok(()));
        assert_eq!(slot.begin(9, 2, NOW, 3), Err(Denied::Limit));
    }

    #[test]
    fn what_a_dead_worker_held_ends_by_itself() {
        let mut slot = Slot::default();
        slot.begin(9, 1, NOW, 2).unwrap();
        slot.begin(9, 2, NOW, 2).unwrap();
        slot.set(9, 2, NOW + LEASE - 1, 1);
        assert_eq!(slot.begin(9, 2, NOW + LEASE - 1, 2), Err(Denied::Limit));
        assert_eq!(slot.begin(9, 2, NOW + LEASE, 2), Ok(()), "the first is gone");
        assert_eq!(slot.begin(9, 2, NOW + LEASE, 2), Err(Denied::Limit));
        // A clock that is set back a day holds nobody for longer than two leases.
        assert_eq!(slot.begin(9, 3, NOW - 86_400, 2), Err(Denied::Limit));
        assert_eq!(slot.begin(9, 3, NOW - 86_400 + 2 * LEASE, 2), Ok(()));
    }

    #[test]
    fn a_slot_that_is_full_refuses() {
        let mut slot = Slot::default();
        for tag in 0..CONCURRENCY_WAYS as u64 {
            slot.begin(tag, 1, NOW, 5).unwrap();
        }
        assert_eq!(slot.begin(999, 1, NOW, 5), Err(Denied::Full));
        assert_eq!(slot.begin(3, 1, NOW, 5), Ok(()), "who is in it goes on");
        slot.set(4, 1, NOW, 0);
        assert_eq!(slot.begin(999, 1, NOW, 5), Ok(()));
    }

    /// A slot that is as long as it may be is read, and nothing makes it longer: one that is too long is no slot to anybody.
    #[test]
    fn a_full_slot_is_a_slot() {
        let mut slot = Slot::default();
        for tag in 0..CONCURRENCY_WAYS as u64 {
            slot.begin(tag, 1, NOW, 5).unwrap();
        }
        slot.set(999, 1, NOW, 1);
        assert_eq!(slot.encode().len(), 24 * CONCURRENCY_WAYS);
        assert_eq!(Slot::decode(&slot.encode()), Some(slot));
    }

    #[test]
    fn an_entry_of_no_request_takes_no_room() {
        let entry = |tag: u64| [&tag.to_le_bytes()[..], &[1; 8], &NOW.to_le_bytes(), &[0; 4]].concat();
        let bytes: Vec<u8> = (0..CONCURRENCY_WAYS as u64).flat_map(entry).collect();
        assert_eq!(Slot::decode(&bytes).unwrap().begin(999, 1, NOW, 1), Ok(()));
    }
}
