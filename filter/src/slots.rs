//! Where do all workers keep what they must agree on? In a fixed number of slots in the proxy's shared data.
//!
//! Shared data has no delete and no expiry, so every slot is made on the first load of the plugin and none is ever added. A
//! policy update and a VM that is loaded anew find the slots and keep what is in them.
//!
//! What it does *not* protect against: another plugin with the same `vm_id` can write these keys, and a second process
//! has slots of its own.

use core::num::NonZeroU32;

use crate::decimal::Decimal;
use crate::host::{Cas, HostError, SharedData, Swap};

/// A table of slots: how many there are, and the seed under which keys are hashed. The slots themselves are the host's.
#[derive(Clone, Debug)]
pub struct Slots {
    /// What the slots' keys have in common: `portcullis.limits.v1.16384.`.
    stem: Box<str>,
    count: NonZeroU32,
    seed: [u8; 16],
}

impl Slots {
    /// Finds the table of that name and size, or makes it with `empty` in each slot. `name` has a version: another layout is another
    /// table, and tables of different sizes know nothing of each other. `seed` is sixteen random bytes; they are kept if there is no
    /// seed yet.
    ///
    /// Called on every load of the plugin. The first runs alone, before there are workers, and makes what is missing (about
    /// 10 ms); every later one reads two keys. An error means that nothing can be kept: the caller must refuse what needs it.
    pub fn prepare(
        data: &impl SharedData,
        name: &'static str,
        count: NonZeroU32,
        seed: [u8; 16],
        empty: &[u8],
    ) -> Result<Self, HostError> {
        let stem = format!("{name}.{count}.");
        let seeds = format!("{name}.seed");
        let last = numbered(&stem, count.get().saturating_sub(1));
        let known = data.shared(&seeds)?.is_some() && data.shared(&last)?.is_some();
        if !known {
            make(data, &seeds, &seed)?;
            // In this order, the last one there means that all are.
            let mut key = stem.clone();
            for index in 0..count.get() {
                key.truncate(stem.len());
                key.push_str(Decimal::of(index.into()).as_str());
                make(data, &key, empty)?;
            }
        }
        // What is stored counts, also if somebody else stored it.
        let (stored, _) = data.shared(&seeds)?.ok_or(unusable(NOT_FOUND))?;
        let seed = stored.try_into().map_err(|_| unusable(PARSE_FAILURE))?;
        Ok(Self { stem: stem.into(), count, seed })
    }

    /// The seed under which keys are hashed.
    pub fn seed(&self) -> &[u8; 16] {
        &self.seed
    }

    /// The key of the slot for `place`, which is uniform over all of `u64`.
    pub fn slot(&self, place: u64) -> String {
        // Scaled to the number of slots: the product's upper half is below it.
        let product = u128::from(place).saturating_mul(u128::from(self.count.get()));
        numbered(&self.stem, u32::try_from(product >> 64).unwrap_or(0))
    }
}

/// A slot's key. Once in the plugin, and not once for each of its callers: what takes time is what it does. Without a formatter, which would
/// take longer than all else that is done with a key.
#[inline(never)]
fn numbered(stem: &str, index: u32) -> String {
    let digits = Decimal::of(index.into());
    let mut key = String::with_capacity(stem.len().saturating_add(digits.as_str().len()));
    key.push_str(stem);
    key.push_str(digits.as_str());
    key
}

/// Reads a slot with `decode`. A slot that is missing is not made here: between "not found" and "set" another worker may have made
/// and used it.
pub fn read<T>(
    data: &(impl SharedData + ?Sized),
    slot: &str,
    decode: impl FnOnce(Vec<u8>) -> Option<T>,
) -> Result<(T, Cas), HostError> {
    let (bytes, cas) = data.shared(slot)?.ok_or(unusable(NOT_FOUND))?;
    Ok((decode(bytes).ok_or(unusable(PARSE_FAILURE))?, cas))
}

/// The ABI's statuses for what shared data should not hold.
const NOT_FOUND: u32 = 1;
const PARSE_FAILURE: u32 = 4;

const fn unusable(status: u32) -> HostError {
    HostError { call: "get_shared_data", status }
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
