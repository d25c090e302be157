//! Where do the buckets live? In [`crate::slots`], one table for all workers.

use core::num::NonZeroU32;

use super::gcra::{Outcome, Rate};
use super::key::Bucket;
use super::slot::{BYTES, Charged, Slot};
use crate::host::{Cas, HostError, SharedData, Swap};
use crate::limits;
use crate::slots::{SlotName, Slots, read};
use crate::time::Timestamp;

// Memory of a table of `limits::RATE_SLOTS`: a value of 288 bytes, a name of about 32, and about 110 for the map's node, the two
// string headers and what the allocator rounds up come to 430 bytes a slot; times 16,384, that is 7.0 MB (6.7 MiB).
const _: () = assert!(BYTES == 288);

/// The name of everything the table holds, with a version: another layout is another table.
const NAME: &str = "portcullis.limits.v1";

/// The limiter's table.
#[derive(Clone, Debug)]
pub struct Table {
    slots: Slots,
}

/// Why a bucket could not be charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Others wrote first, [`limits::RATE_TRIES`] times in a row.
    Busy,
    /// A host call failed, or a slot is missing or not a slot.
    Host(HostError),
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        Fault::Host(error)
    }
}

/// What is asked of one bucket.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'r> {
    /// Which.
    pub bucket: Bucket,
    /// How fast it fills and how much it holds.
    pub rate: &'r Rate,
    /// How much the request takes.
    pub cost: u64,
    /// The moment.
    pub now: Timestamp,
}

/// A charge that was decided on a copy of the slot and is not written yet.
#[derive(Debug)]
pub struct Draft {
    name: SlotName,
    slot: Slot,
    cas: Cas,
    charged: Charged,
}

impl Draft {
    /// What will become of the request if nobody writes first.
    pub fn outcome(&self) -> Outcome {
        self.charged.outcome
    }
}

impl Table {
    /// Finds the table of [`limits::RATE_SLOTS`] slots, or makes it: see [`Slots::prepare`].
    pub fn prepare(data: &impl SharedData, seed: [u8; 16]) -> Result<Self, HostError> {
        let slots = NonZeroU32::new(limits::RATE_SLOTS).unwrap_or(NonZeroU32::MIN);
        Self::sized(data, seed, slots)
    }

    /// [`Table::prepare`] with another number of slots.
    pub fn sized(data: &impl SharedData, seed: [u8; 16], slots: NonZeroU32) -> Result<Self, HostError> {
        Ok(Self { slots: Slots::prepare(data, NAME, slots, seed, &Slot::EMPTY.encode())? })
    }

    /// The seed under which keys are hashed.
    pub(super) fn seed(&self) -> &[u8; 16] {
        self.slots.seed()
    }

    /// Reads the bucket's slot and decides, without writing.
    pub fn draft(&self, data: &impl SharedData, charge: &Charge<'_>) -> Result<Draft, HostError> {
        let name = self.name(charge.bucket);
        let (mut slot, cas) = read(data, &name, decode)?;
        let charged = slot.charge(charge.bucket.tag, charge.rate, charge.now.nanos(), charge.cost);
        Ok(Draft { name, slot, cas, charged })
    }

    /// Writes a draft. If somebody wrote first, decides again, so the outcome may be another one than the draft's.
    pub fn settle(
        &self,
        data: &impl SharedData,
        charge: &Charge<'_>,
        draft: Draft,
    ) -> Result<Outcome, Fault> {
        let mut draft = draft;
        for _ in 0..limits::RATE_TRIES {
            if !draft.charged.dirty {
                return Ok(draft.outcome());
            }
            match data.set_shared(draft.name.as_str(), &draft.slot.encode(), Some(draft.cas))? {
                Swap::Done => return Ok(draft.outcome()),
                Swap::Lost => draft = self.draft(data, charge)?,
            }
        }
        Err(Fault::Busy)
    }

    /// Writes what a refused draft found to be mended: a bucket or floor from before the clock was set back. Once: if somebody wrote first,
    /// the next request finds it again, and this one stays refused.
    pub fn mend(data: &impl SharedData, draft: &Draft) {
        if draft.charged.dirty {
            let _ = data.set_shared(draft.name.as_str(), &draft.slot.encode(), Some(draft.cas));
        }
    }

    /// Gives back what `charge` took when it left the bucket at `written`. If that cannot be done, the request stays paid for: stricter
    /// than the limit, never looser.
    pub fn refund(&self, data: &impl SharedData, charge: &Charge<'_>, written: u64) {
        let name = self.name(charge.bucket);
        for _ in 0..limits::RATE_TRIES {
            let Ok((mut slot, cas)) = read(data, &name, decode) else {
                return;
            };
            let Charge { bucket, rate, cost, now } = *charge;
            if !slot.refund(bucket.tag, rate, written, now.nanos(), cost) {
                return;
            }
            if data.set_shared(name.as_str(), &slot.encode(), Some(cas)) != Ok(Swap::Lost) {
                return;
            }
        }
    }

    fn name(&self, bucket: Bucket) -> SlotName {
        self.slots.slot(bucket.place)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the host hands the bytes over")]
fn decode(bytes: Vec<u8>) -> Option<Slot> {
    Slot::decode(&bytes)
}
