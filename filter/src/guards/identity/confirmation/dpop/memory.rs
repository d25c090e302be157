//! Has this proof been used before, on any worker?
//!
//! RFC 9449 §11.1: a `jti` serves once while its proof is valid. What was used is kept in [`crate::slots`], by a keyed hash of the
//! key's thumbprint and the `jti`, until the proof is no longer valid by itself. A slot grows with what is in it, to
//! [`limits::PROOF_WAYS`] entries; where that many are still valid, the next proof is refused and never admitted unremembered.
//!
//! Capacity: [`limits::PROOF_SLOTS`] × [`limits::PROOF_WAYS`] is 1,048,576 entries in at most 14 MB. Entries fall on slots at random, so the
//! first slot fills at about 60 % of that: with the default lifetime of 60 s, some 10,000 proofs a second are remembered.
//!
//! What it does *not* protect against: a clock that is set back further than a proof's lifetime, which makes old proofs valid again; a
//! second process, which has a memory of its own; and a caller with good tokens who sends proofs until it is full.

use core::hash::Hasher as _;
use core::num::NonZeroU32;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::host::{HostError, SharedData, Swap};
use crate::limits;
use crate::secret::Secret;
use crate::slots::{Slots, read};
use crate::time::Timestamp;

/// The name of everything it holds, with a version: another layout is another memory.
const NAME: &str = "portcullis.proofs.v1";
/// The first byte of a slot: an empty value is read by some hosts as none.
const MARK: u8 = 1;
/// Bytes of an entry: the tag, and the second until which it holds, little-endian.
const ENTRY: usize = 12;

/// The memory of proofs, shared by all workers.
#[derive(Debug)]
pub struct Memory {
    slots: Slots,
    nonce_key: Secret<[u8; 32]>,
}

/// What became of a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// It was not known, and is now.
    First,
    /// It was known.
    Before,
    /// It could not be remembered, for this reason.
    Not(&'static str),
}

impl Memory {
    /// Finds the memory, or makes it: see [`Slots::prepare`].
    pub fn prepare(data: &impl SharedData, seed: [u8; 16]) -> Result<Self, HostError> {
        let slots = NonZeroU32::new(limits::PROOF_SLOTS).unwrap_or(NonZeroU32::MIN);
        Self::sized(data, seed, slots)
    }

    /// [`Memory::prepare`] with another number of slots.
    pub fn sized(data: &impl SharedData, seed: [u8; 16], slots: NonZeroU32) -> Result<Self, HostError> {
        let slots = Slots::prepare(data, NAME, slots, seed, &[MARK])?;
        let nonce_key = Secret::new(hmac_sha256::HMAC::mac(b"portcullis: nonces for DPoP", slots.seed()));
        Ok(Self { slots, nonce_key })
    }

    /// The key of [`super::nonce`].
    pub(super) fn nonce_key(&self) -> &[u8; 32] {
        self.nonce_key.expose()
    }

    /// Remembers a proof (`[jkt, jti]`) until the moment after which it is not valid any more. Of two workers that are asked for one
    /// proof at once, one is told `First`.
    pub fn remember(
        &self,
        data: &dyn SharedData,
        proof: [&str; 2],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Remembered, HostError> {
        let (place, tag) = self.hash(proof);
        let slot = self.slots.slot(place);
        // Another worker's clock may be read a little earlier; the seconds are rounded so that an entry never ends too early.
        let until = Timestamp::from_nanos(until.nanos().saturating_add(limits::RATE_CLOCK_APART));
        let entry = Entry { tag, until: seconds(until).saturating_add(1) };
        for _ in 0..limits::PROOF_TRIES {
            let (mut entries, cas) = read(data, &slot, decode)?;
            entries.retain(|entry| entry.until >= seconds(now));
            if entries.iter().any(|entry| entry.tag == tag) {
                return Ok(Remembered::Before);
            }
            if entries.len() >= limits::PROOF_WAYS {
                return Ok(Remembered::Not("the slot is full of proofs that are still valid"));
            }
            entries.push(entry);
            if data.set_shared(&slot, &encode(&entries), Some(cas))? == Swap::Done {
                return Ok(Remembered::First);
            }
        }
        Ok(Remembered::Not("others wrote first, each time"))
    }

    /// Each piece stands behind its length. Two proofs of one hash would be taken for a replay: 64 bit of tag within a slot make
    /// that a matter of 2⁻⁷⁰ a proof, and without the seed nobody can look for one.
    fn hash(&self, proof: [&str; 2]) -> (u64, u64) {
        let mut hasher = SipHasher24::new_with_key(self.slots.seed());
        for piece in proof {
            hasher.write_u64(piece.len() as u64);
            hasher.write(piece.as_bytes());
        }
        hasher.finish128().as_u64()
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u64,
    until: u32,
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.seconds()).unwrap_or(u32::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "the host hands the bytes over")]
fn decode(bytes: Vec<u8>) -> Option<Vec<Entry>> {
    let (mark, rest) = bytes.split_first()?;
    let (entries, odd) = rest.as_chunks::<ENTRY>();
    if *mark != MARK || !odd.is_empty() || entries.len() > limits::PROOF_WAYS {
        return None;
    }
    let read = |entry: &[u8; ENTRY]| {
        let (tag, until) = entry.split_first_chunk::<8>()?;
        Some(Entry { tag: u64::from_le_bytes(*tag), until: u32::from_le_bytes(until.try_into().ok()?) })
    };
    // Room for the one that is to come.
    let mut out = Vec::with_capacity(entries.len().saturating_add(1));
    for entry in entries {
        out.push(read(entry)?);
    }
    Some(out)
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len().saturating_mul(ENTRY).saturating_add(1));
    out.push(MARK);
    for entry in entries {
        out.extend(entry.tag.to_le_bytes());
        out.extend(entry.until.to_le_bytes());
    }
    out
}
