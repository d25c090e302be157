//! What has this worker under way, and what do all of them know of it?

use core::cell::{Cell, RefCell};
use core::num::NonZeroU32;
use std::collections::HashMap;

use super::slot::{Denied, Slot};
use crate::guards::rate_limit::key::Bucket;
use crate::host::{HostError, SharedData, Swap};
use crate::limits;
use crate::slots::{Slots, read};
use crate::time::Timestamp;

/// The name of the slots, with a version.
const NAME: &str = "portcullis.held.v1";

/// One worker's book.
#[derive(Debug)]
pub struct Ledger {
    slots: Slots,
    /// Who we are among the workers.
    me: u64,
    /// By place and tag. As many entries as requests are under way, at most.
    held: RefCell<HashMap<(u64, u64), u32>>,
    renewed: Cell<u32>,
}

/// Why a request may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// So many are under way.
    Limit,
    /// Too many keys in one slot, or others wrote first [`limits::RATE_TRIES`] times in a row.
    Busy,
    /// A host call failed.
    Host(HostError),
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

impl Ledger {
    /// Finds the slots, or makes them: see [`Slots::prepare`].
    pub fn prepare(data: &impl SharedData, seed: [u8; 16]) -> Result<Self, HostError> {
        let me = seed.first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
        let count = NonZeroU32::new(limits::CONCURRENCY_SLOTS).unwrap_or(NonZeroU32::MIN);
        let slots = Slots::prepare(data, NAME, count, seed, &Slot::default().encode())?;
        Ok(Self { slots, me, held: RefCell::default(), renewed: Cell::new(0) })
    }

    /// The seed under which keys are hashed.
    pub(super) fn seed(&self) -> &[u8; 16] {
        self.slots.seed()
    }

    /// One more request begins, of which at most `most` may be under way.
    pub fn begin(
        &self,
        data: &impl SharedData,
        bucket: Bucket,
        most: u32,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let denied = self.change(data, bucket, |slot| slot.begin(bucket.tag, self.me, seconds(now), most))?;
        match denied {
            Ok(()) => {}
            Err(Denied::Limit) => return Err(Fault::Limit),
            Err(Denied::Full) => return Err(Fault::Busy),
        }
        let mut held = self.held.borrow_mut();
        let count = held.entry((bucket.place, bucket.tag)).or_default();
        *count = count.saturating_add(1);
        Ok(())
    }

    /// One of them is over. If that cannot be written now, it is when the entry is renewed, or the entry ends by itself.
    pub fn end(&self, data: &impl SharedData, bucket: Bucket, now: Timestamp) {
        let mut held = self.held.borrow_mut();
        let key = (bucket.place, bucket.tag);
        let left = held.get(&key).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            held.remove(&key);
        } else {
            held.insert(key, left);
        }
        drop(held);
        let _ = self.tell(data, bucket, left, now);
    }

    /// Says again what is held, if it is time to.
    pub fn renew(&self, data: &impl SharedData, now: Timestamp) {
        let now_seconds = seconds(now);
        if now_seconds.abs_diff(self.renewed.get()) < limits::LEASE_RENEWAL {
            return;
        }
        self.renewed.set(now_seconds);
        for (&(place, tag), &count) in self.held.borrow().iter() {
            // What cannot be said now is said next time.
            let _ = self.tell(data, Bucket { place, tag }, count, now);
        }
    }

    fn tell(&self, data: &impl SharedData, bucket: Bucket, count: u32, now: Timestamp) -> Result<(), Fault> {
        self.change(data, bucket, |slot| slot.set(bucket.tag, self.me, seconds(now), count))
    }

    fn change<T>(
        &self,
        data: &impl SharedData,
        bucket: Bucket,
        change: impl Fn(&mut Slot) -> T,
    ) -> Result<T, Fault> {
        let name = self.slots.slot(bucket.place);
        for _ in 0..limits::RATE_TRIES {
            let (before, cas) = read(data, &name, decode)?;
            let mut slot = before.clone();
            let outcome = change(&mut slot);
            if slot == before || write(data, &name, &slot, cas)? == Swap::Done {
                return Ok(outcome);
            }
        }
        Err(Fault::Busy)
    }
}

fn write(data: &impl SharedData, name: &str, slot: &Slot, cas: crate::host::Cas) -> Result<Swap, HostError> {
    data.set_shared(name, &slot.encode(), Some(cas))
}

fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.seconds()).unwrap_or(u32::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "the host hands the bytes over")]
fn decode(bytes: Vec<u8>) -> Option<Slot> {
    Slot::decode(&bytes)
}
