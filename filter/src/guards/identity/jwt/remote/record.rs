//! What do the workers tell each other about one issuer's keys? A small record in shared data, and beside it the key set itself.
//!
//! Every change is a compare-and-swap on the record. Whoever writes its lease into it fetches; all others read what came of it.

use super::fetch::Fault;
use crate::host::{Cas, HostError, SharedData, Swap};

/// The state of one remote key set. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Counts the key sets that differed from the one before; 0 before the first.
    pub generation: u64,
    /// Counts the fetches that have ended, well or not.
    pub outcomes: u64,
    /// When the keys were fetched.
    pub fetched_at: u64,
    /// Until when they are fresh.
    pub fresh_until: u64,
    /// When a fetch was last made for the sake of an unknown `kid`.
    pub forced_at: u64,
    /// Before this nobody tries again.
    pub next_try: u64,
    /// Failures since the last success.
    pub failures: u64,
    /// Who fetches at the moment; 0 for nobody.
    pub holder: u64,
    /// Until when nobody else may.
    pub held_until: u64,
    /// Why the last fetch failed.
    pub fault: Option<Fault>,
}

/// The layout's version; another one is another name in shared data.
const NAME: &str = "portcullis.jwks.v1";
/// Nine numbers and the fault.
const BYTES: usize = 9 * 8 + 1;

impl Record {
    fn encode(&self) -> [u8; BYTES] {
        let numbers = [
            self.generation,
            self.outcomes,
            self.fetched_at,
            self.fresh_until,
            self.forced_at,
            self.next_try,
            self.failures,
            self.holder,
            self.held_until,
        ];
        let mut bytes = [0; BYTES];
        for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
        if let Some(last) = bytes.last_mut() {
            *last = self.fault.map_or(0, Fault::code);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (fault, numbers) = bytes.split_last().filter(|_| bytes.len() == BYTES)?;
        let mut numbers = numbers.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk));
        let mut next = || numbers.next();
        Some(Self {
            generation: next()?,
            outcomes: next()?,
            fetched_at: next()?,
            fresh_until: next()?,
            forced_at: next()?,
            next_try: next()?,
            failures: next()?,
            holder: next()?,
            held_until: next()?,
            fault: Fault::of_code(*fault),
        })
    }
}

/// Where the record and the keys lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    record: String,
    keys: String,
}

impl Shelf {
    /// The shelf of a source. Two policies that name the same source share it, so an update of the policy finds its keys at once.
    pub fn new(source: &[&str]) -> Self {
        let mut hash = hmac_sha256::Hash::new();
        for part in source {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let id = hash.finalize().first_chunk().map_or(0, |front| u64::from_be_bytes(*front));
        Self { record: format!("{NAME}.{id:016x}"), keys: format!("{NAME}.{id:016x}.keys") }
    }

    /// Makes the record if there is none. The first load of a plugin does this alone, before there are workers (host fact H4).
    pub fn prepare(&self, data: &impl SharedData) -> Result<(), HostError> {
        if data.shared(&self.record)?.is_none() {
            data.set_shared(&self.record, &Record::default().encode(), None)?;
        }
        Ok(())
    }

    /// The record as it stands.
    pub fn read(&self, data: &impl SharedData) -> Result<(Record, Cas), HostError> {
        const NOT_FOUND: u32 = 1;
        const PARSE_FAILURE: u32 = 4;
        let failed = |status| HostError { call: "get_shared_data", status };
        let (bytes, cas) = data.shared(&self.record)?.ok_or(failed(NOT_FOUND))?;
        Ok((Record::decode(&bytes).ok_or(failed(PARSE_FAILURE))?, cas))
    }

    /// Writes the record, unless somebody else did since it was read.
    pub fn write(&self, data: &impl SharedData, record: &Record, cas: Cas) -> Result<Swap, HostError> {
        data.set_shared(&self.record, &record.encode(), Some(cas))
    }

    /// The key set of this generation; `None` if another one lies there, which the next look will find.
    pub fn keys(&self, data: &impl SharedData, generation: u64) -> Result<Option<Vec<u8>>, HostError> {
        let Some((bytes, _)) = data.shared(&self.keys)? else {
            return Ok(None);
        };
        let behind = bytes.split_first_chunk().filter(|(first, _)| u64::from_le_bytes(**first) == generation);
        Ok(behind.map(|(_, keys)| keys.to_vec()))
    }

    /// Puts the key set of this generation there. Only the holder of the lease does.
    pub fn put(&self, data: &impl SharedData, generation: u64, keys: &[u8]) -> Result<(), HostError> {
        let value = [&generation.to_le_bytes()[..], keys].concat();
        data.set_shared(&self.keys, &value, None).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Record, Shelf};
    use crate::testing::test;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let record = Record {
            generation: 1,
            outcomes: 2,
            fetched_at: 3,
            fresh_until: u64::MAX,
            forced_at: 5,
            next_try: 6,
            failures: 7,
            holder: 8,
            held_until: 9,
            fault: Some(Fault::Timeout),
        };
        assert_eq!(Record::decode(&record.encode()), Some(record));
        assert_eq!(Record::decode(&Record::default().encode()), Some(Record::default()));
        for bytes in [&b""[..], &[0; 72], &[0; 74]] {
            assert_eq!(Record::decode(bytes), None);
        }
    }

    #[test]
    fn each_source_has_a_shelf_of_its_own() {
        assert_eq!(Shelf::new(&["a", "b"]), Shelf::new(&["a", "b"]));
        assert_ne!(Shelf::new(&["a", "b"]), Shelf::new(&["ab", ""]));
    }
}
