//! Where do the buckets live? In a fixed number of slots in the proxy's shared data, one table for all workers.
//!
//! Shared data has no delete and no expiry, so every slot is made on the first load of the plugin and none is ever added. A
//! policy update and a VM that is loaded anew find the table and keep its state.
//!
//! What it does *not* protect against: another plugin with the same `vm_id` can write these keys, and a second process
//! has a table of its own.

use core::fmt::{self, Write as _};
use core::num::NonZeroU32;

use super::gcra::{Outcome, Rate};
use super::key::Bucket;
use super::slot::{BYTES, Charged, Slot};
use crate::host::{Cas, HostError, SharedData, Swap};
use crate::limits;
use crate::time::Timestamp;

// Memory of a table of `limits::RATE_SLOTS`: a value of 288 bytes, a name of about 32, and about 110 for the map's node, the two
// string headers and what the allocator rounds up come to 430 bytes a slot; times 16,384, that is 7.0 MB (6.7 MiB).
const _: () = assert!(BYTES == 288);

/// The name of everything the table holds, with a version: another layout is another table.
const NAME: &str = "portcullis.limits.v1";
/// The seed's key.
const SEED: &str = "portcullis.limits.v1.seed";

/// The limiter's table: how many slots it has and the seed under which keys are hashed. The slots themselves are the host's.
#[derive(Clone, Debug)]
pub struct Table {
    slots: NonZeroU32,
    seed: [u8; 16],
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
    /// Finds the table of [`limits::RATE_SLOTS`] slots, or makes it. `seed` is sixteen random bytes; they are kept if there is no
    /// seed yet.
    ///
    /// Called on every load of the plugin. The first runs alone, before there are workers, and makes what is missing (about
    /// 10 ms); every later one reads two keys. An error means that limits cannot be kept: the caller must refuse what needs them.
    pub fn prepare(data: &impl SharedData, seed: [u8; 16]) -> Result<Self, HostError> {
        let slots = NonZeroU32::new(limits::RATE_SLOTS).unwrap_or(NonZeroU32::MIN);
        Self::sized(data, seed, slots)
    }

    /// [`Table::prepare`] with another number of slots. Tables of different sizes know nothing of each other.
    pub fn sized(data: &impl SharedData, seed: [u8; 16], slots: NonZeroU32) -> Result<Self, HostError> {
        let last = SlotName::new(slots, slots.get().saturating_sub(1));
        let known = data.shared(SEED)?.is_some() && data.shared(last.as_str())?.is_some();
        if !known {
            make(data, SEED, &seed)?;
            // In this order, the last one there means that all are.
            for index in 0..slots.get() {
                make(data, SlotName::new(slots, index).as_str(), &Slot::EMPTY.encode())?;
            }
        }
        // What is stored counts, also if somebody else stored it.
        let (stored, _) = data.shared(SEED)?.ok_or(unusable(NOT_FOUND))?;
        let seed = stored.try_into().map_err(|_| unusable(PARSE_FAILURE))?;
        Ok(Self { slots, seed })
    }

    /// The seed under which keys are hashed.
    pub(super) fn seed(&self) -> &[u8; 16] {
        &self.seed
    }

    /// Reads the bucket's slot and decides, without writing.
    pub fn draft(&self, data: &impl SharedData, charge: &Charge<'_>) -> Result<Draft, HostError> {
        let (mut slot, cas) = read(data, &self.name(charge.bucket))?;
        let charged = slot.charge(charge.bucket.tag, charge.rate, charge.now.nanos(), charge.cost);
        Ok(Draft { slot, cas, charged })
    }

    /// Writes a draft. If somebody wrote first, decides again, so the outcome may be another one than the draft's.
    pub fn settle(
        &self,
        data: &impl SharedData,
        charge: &Charge<'_>,
        draft: Draft,
    ) -> Result<Outcome, Fault> {
        let name = self.name(charge.bucket);
        let mut draft = draft;
        for _ in 0..limits::RATE_TRIES {
            if !draft.charged.dirty {
                return Ok(draft.outcome());
            }
            match data.set_shared(name.as_str(), &draft.slot.encode(), Some(draft.cas))? {
                Swap::Done => return Ok(draft.outcome()),
                Swap::Lost => draft = self.draft(data, charge)?,
            }
        }
        Err(Fault::Busy)
    }

    /// Writes what a refused draft found to be mended: a bucket or floor from before the clock was set back. Once: if somebody wrote first,
    /// the next request finds it again, and this one stays refused.
    pub fn mend(&self, data: &impl SharedData, charge: &Charge<'_>, draft: &Draft) {
        if draft.charged.dirty {
            let name = self.name(charge.bucket);
            let _ = data.set_shared(name.as_str(), &draft.slot.encode(), Some(draft.cas));
        }
    }

    /// Gives back what `charge` took when it left the bucket at `written`. If that cannot be done, the request stays paid for: stricter
    /// than the limit, never looser.
    pub fn refund(&self, data: &impl SharedData, charge: &Charge<'_>, written: u64) {
        let name = self.name(charge.bucket);
        for _ in 0..limits::RATE_TRIES {
            let Ok((mut slot, cas)) = read(data, &name) else {
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
        // A uniform number, scaled to the number of slots; the product's upper half is below it.
        let product = u128::from(bucket.place).saturating_mul(u128::from(self.slots.get()));
        SlotName::new(self.slots, u32::try_from(product >> 64).unwrap_or(0))
    }
}

/// The ABI's statuses for what shared data should not hold.
const NOT_FOUND: u32 = 1;
const PARSE_FAILURE: u32 = 4;

const fn unusable(status: u32) -> HostError {
    HostError { call: "get_shared_data", status }
}

/// A slot that is missing is not made here: between "not found" and "set" another worker may have made and used it.
fn read(data: &impl SharedData, name: &SlotName) -> Result<(Slot, Cas), HostError> {
    let (bytes, cas) = data.shared(name.as_str())?.ok_or(unusable(NOT_FOUND))?;
    let slot = Slot::decode(&bytes).ok_or(unusable(PARSE_FAILURE))?;
    Ok((slot, cas))
}

/// Writes `value` unless there is one. Envoy's shared data creates a missing key whatever version is asked for, and a
/// version that nobody has never replaces a key that is there: asking for the last number there is makes a "create if absent" of it.
/// A host that wants the key to be there first answers "lost" and gets a plain write, which is why the first load must be alone.
fn make(data: &impl SharedData, key: &str, value: &[u8]) -> Result<(), HostError> {
    const NEVER: Cas = Cas(NonZeroU32::MAX);
    if data.shared(key)?.is_none()
        && data.set_shared(key, value, Some(NEVER))? == Swap::Lost
        && data.shared(key)?.is_none()
    {
        data.set_shared(key, value, None)?;
    }
    Ok(())
}

/// A slot's key, `portcullis.limits.v1.16384.77`, on the stack: it is made for each rule of each request.
struct SlotName {
    bytes: [u8; 48],
    len: usize,
}

impl SlotName {
    fn new(slots: NonZeroU32, index: u32) -> Self {
        let mut name = Self { bytes: [0; 48], len: 0 };
        // Twenty bytes, two dots and twice ten digits fit, so this cannot fail.
        let _ = write!(name, "{NAME}.{slots}.{index}");
        name
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Write for SlotName {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len.saturating_add(text.len());
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
