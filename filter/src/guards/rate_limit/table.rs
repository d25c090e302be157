//! Where do the buckets live? In [`crate::slots`], one table for all workers.

use core::num::NonZeroU32;

use super::gcra::Outcome;
use super::key::Bucket;
use super::meter::Meter;
use super::slot::{BYTES, Charged, Slot};
use crate::host::{Cas, HostError, Metrics, SharedData, Swap};
use crate::limits;
use crate::metrics::{Metric, Tally};
use crate::slots::{Slots, read};
use crate::time::Timestamp;

// Memory of a slot: a value of 320 bytes, a name of about 32, and about 110 for the map's node, the two string headers and what the
// allocator rounds up come to 462 bytes, which `limits::STATE_SLOT_BYTES` rounds up.
const _: () = assert!(BYTES == 320);

/// The name of everything the table holds, with a version: another layout is another table.
const NAME: &str = "portcullis.limits.v2";

/// The limiter's table.
#[derive(Clone, Debug)]
pub struct Table {
    slots: Slots,
    tallies: Tallies,
}

/// What this worker has done to the table.
#[derive(Clone, Debug, Default)]
struct Tallies {
    evictions: Tally,
    lost_races: Tally,
    penalties: Tally,
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
pub struct Charge {
    /// Which.
    pub bucket: Bucket,
    /// What counts it.
    pub meter: Meter,
    /// How much the request takes.
    pub cost: u64,
    /// The moment.
    pub now: Timestamp,
}

/// A charge that was decided on a copy of the slot and is not written yet.
#[derive(Debug)]
pub struct Draft {
    name: String,
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
    /// Finds the table that takes about `bytes` of memory, or makes it: see [`Slots::prepare`].
    pub fn prepare(data: &impl SharedData, seed: [u8; 16], bytes: u64) -> Result<Self, HostError> {
        Self::sized(data, seed, slots(bytes))
    }

    /// [`Table::prepare`] with a number of slots.
    pub fn sized(data: &impl SharedData, seed: [u8; 16], slots: NonZeroU32) -> Result<Self, HostError> {
        let slots = Slots::prepare(data, NAME, slots, seed, &Slot::EMPTY)?;
        Ok(Self { slots, tallies: Tallies::default() })
    }

    /// Tells the host what has been counted.
    pub fn measure(&self, host: &impl Metrics) {
        let Tallies { evictions, lost_races, penalties } = &self.tallies;
        Metric::Evictions.add(host, &[], evictions.take());
        Metric::LostRaces.add(host, &[], lost_races.take());
        Metric::Penalties.add(host, &[], penalties.take());
    }

    /// A penalty has begun.
    pub(super) fn count_penalty(&self) {
        self.tallies.penalties.count();
    }

    /// Writes a slot, if nobody wrote first.
    fn write(
        &self,
        data: &impl SharedData,
        name: &str,
        slot: &Slot,
        cas: Cas,
        evicted: bool,
    ) -> Result<Swap, HostError> {
        let swap = data.set_shared(name, slot.bytes(), Some(cas))?;
        match swap {
            Swap::Lost => self.tallies.lost_races.count(),
            Swap::Done if evicted => self.tallies.evictions.count(),
            Swap::Done => {}
        }
        Ok(swap)
    }

    /// The seed under which keys are hashed.
    pub(super) fn seed(&self) -> &[u8; 16] {
        self.slots.seed()
    }

    /// Reads the bucket's slot and decides, without writing.
    pub fn draft(&self, data: &impl SharedData, charge: &Charge) -> Result<Draft, HostError> {
        let name = self.name(charge.bucket);
        let (mut slot, cas) = read(data, &name, Slot::decode)?;
        let charged = slot.charge(charge.bucket.tag, &charge.meter, charge.now.nanos(), charge.cost);
        Ok(Draft { name, slot, cas, charged })
    }

    /// Writes a draft. If somebody wrote first, decides again, so the outcome may be another one than the draft's.
    pub fn settle(
        &self,
        data: &impl SharedData,
        charge: &Charge,
        draft: &mut Draft,
    ) -> Result<Outcome, Fault> {
        for _ in 0..limits::RATE_TRIES {
            if !draft.charged.dirty {
                return Ok(draft.outcome());
            }
            match self.write(data, &draft.name, &draft.slot, draft.cas, draft.charged.evicted)? {
                Swap::Done => return Ok(draft.outcome()),
                Swap::Lost => *draft = self.draft(data, charge)?,
            }
        }
        Err(Fault::Busy)
    }

    /// Writes what a refused draft found to be mended: a bucket or floor from before the clock was set back. Once: if somebody wrote first,
    /// the next request finds it again, and this one stays refused.
    pub fn mend(data: &impl SharedData, draft: &Draft) {
        if draft.charged.dirty {
            let _ = data.set_shared(&draft.name, draft.slot.bytes(), Some(draft.cas));
        }
    }

    /// Gives back what `charge` took when it left the bucket at `written`. If that cannot be done, the request stays paid for: stricter
    /// than the limit, never looser.
    pub fn refund(&self, data: &impl SharedData, charge: &Charge, written: u64) {
        let name = self.name(charge.bucket);
        for _ in 0..limits::RATE_TRIES {
            let Ok((mut slot, cas)) = read(data, &name, Slot::decode) else {
                return;
            };
            let Charge { bucket, meter, cost, now } = *charge;
            if !slot.refund(bucket.tag, &meter, written, now.nanos(), cost) {
                return;
            }
            if self.write(data, &name, &slot, cas, false) != Ok(Swap::Lost) {
                return;
            }
        }
    }

    /// Takes the charge's cost for a request that has passed, as far as [`Meter::owe`] goes. If that cannot be done, it is not paid.
    pub fn owe(&self, data: &impl SharedData, charge: &Charge) -> Result<(), Fault> {
        let name = self.name(charge.bucket);
        for _ in 0..limits::RATE_TRIES {
            let (mut slot, cas) = read(data, &name, Slot::decode)?;
            let evicted = slot.owe(charge.bucket.tag, &charge.meter, charge.now.nanos(), charge.cost);
            if self.write(data, &name, &slot, cas, evicted)? == Swap::Done {
                return Ok(());
            }
        }
        Err(Fault::Busy)
    }

    fn name(&self, bucket: Bucket) -> String {
        self.slots.slot(bucket.place)
    }
}

fn slots(bytes: u64) -> NonZeroU32 {
    let slots = u32::try_from(bytes / limits::STATE_SLOT_BYTES).ok().and_then(NonZeroU32::new);
    slots.unwrap_or(NonZeroU32::MIN)
}
