//! Where do all workers keep what they must agree on? In a fixed number of slots in the proxy's shared data.
//!
//! Shared data has no delete and no expiry, so every slot is made on the first load of the plugin and none is ever added. A
//! policy update and a VM that is loaded anew find the slots and keep what is in them.
//!
//! What it does *not* protect against: another plugin with the same `vm_id` can write these keys, and a second process
//! has slots of its own.

use core::num::NonZeroU32;

use crate::host::{Cas, HostError, SharedData, Swap};

/// A table of slots: how many there are, and the seed under which keys are hashed. The slots themselves are the host's.
#[derive(Clone, Debug)]
pub struct Slots {
    /// What the slots' names have in common.
    stem: SlotName,
    count: NonZeroU32,
    seed: [u8; 16],
}

impl Slots {
    /// Finds the table of that name and size, or makes it with `empty` in each slot. `name` is at most twenty bytes and has a version:
    /// another layout is another table, and tables of different sizes know nothing of each other. `seed` is sixteen random bytes;
    /// they are kept if there is no seed yet.
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
        let stem = SlotName::stem(name, count);
        let slot = |index| stem.numbered(index);
        let seeds = SlotName::seed(name);
        let last = slot(count.get().saturating_sub(1));
        let known = data.shared(seeds.as_str())?.is_some() && data.shared(last.as_str())?.is_some();
        if !known {
            make(data, seeds.as_str(), &seed)?;
            // In this order, the last one there means that all are.
            for index in 0..count.get() {
                make(data, slot(index).as_str(), empty)?;
            }
        }
        // What is stored counts, also if somebody else stored it.
        let (stored, _) = data.shared(seeds.as_str())?.ok_or(unusable(NOT_FOUND))?;
        let seed = stored.try_into().map_err(|_| unusable(PARSE_FAILURE))?;
        Ok(Self { stem, count, seed })
    }

    /// The seed under which keys are hashed.
    pub fn seed(&self) -> &[u8; 16] {
        &self.seed
    }

    /// The slot for `place`, which is uniform over all of `u64`.
    pub fn slot(&self, place: u64) -> SlotName {
        // Scaled to the number of slots: the product's upper half is below it.
        let product = u128::from(place).saturating_mul(u128::from(self.count.get()));
        self.stem.numbered(u32::try_from(product >> 64).unwrap_or(0))
    }
}

/// Reads a slot with `decode`. A slot that is missing is not made here: between "not found" and "set" another worker may have made
/// and used it.
pub fn read<T>(
    data: &(impl SharedData + ?Sized),
    slot: &SlotName,
    decode: impl FnOnce(Vec<u8>) -> Option<T>,
) -> Result<(T, Cas), HostError> {
    let (bytes, cas) = data.shared(slot.as_str())?.ok_or(unusable(NOT_FOUND))?;
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

/// A slot's key, `portcullis.limits.v1.16384.77`, on the stack: it is made for each rule of each request.
#[derive(Clone, Debug)]
pub struct SlotName {
    bytes: [u8; 48],
    len: usize,
}

impl SlotName {
    fn stem(name: &str, count: NonZeroU32) -> Self {
        let mut slot = Self { bytes: [0; 48], len: 0 };
        // Twenty bytes, two dots and twice ten digits fit.
        slot.push(name.as_bytes());
        slot.push(b".");
        slot.push_number(count.get());
        slot.push(b".");
        slot
    }

    /// Once in the plugin, and not once for each of its callers: what takes time is what it does.
    #[inline(never)]
    fn numbered(&self, index: u32) -> Self {
        let mut slot = self.clone();
        slot.push_number(index);
        slot
    }

    fn seed(name: &str) -> Self {
        let mut slot = Self { bytes: [0; 48], len: 0 };
        slot.push(name.as_bytes());
        slot.push(b".seed");
        slot
    }

    /// By hand, since `write!` takes longer than all else that is done with a name.
    fn push_number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut left = number;
        let mut start = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0'.saturating_add(u8::try_from(left % 10).unwrap_or(0));
            left /= 10;
            start = start.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
        self.push(digits.get(start..).unwrap_or_default());
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.len.saturating_add(text.len());
        if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(text);
            self.len = end;
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::SlotName;
    use crate::testing::test;

    #[test]
    fn a_slot_is_named_by_its_number() {
        for (count, index) in
            [(1, 0), (16_384, 77), (16_384, 16_383), (u32::MAX, u32::MAX), (10, 9), (100, 10)]
        {
            let stem = SlotName::stem("portcullis.limits.v1", NonZeroU32::new(count).unwrap());
            let name = stem.numbered(index);
            assert_eq!(name.as_str(), format!("portcullis.limits.v1.{count}.{index}"));
        }
        assert_eq!(SlotName::seed("portcullis.limits.v1").as_str(), "portcullis.limits.v1.seed");
    }
}
