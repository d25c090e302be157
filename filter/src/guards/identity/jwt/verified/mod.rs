//! Has exactly this token been checked before, and does what was found out still hold?
//!
//! A caller sends one token many times. What stands in it, whose key signed it and what follows for the upstream are the same each
//! time; only the clock, the keys and the request move on. So a token whose signature was looked at is kept with its [`Grounds`], and
//! is found again by its last bytes and a comparison of them all: no decoding, no JSON, no signature. What is kept ends with
//! `exp`, with the key, and with the policy that owns it.
//!
//! Tokens that were forged are kept too, apart and fewer: the same bytes under the same key give the same answer, so the
//! same forged token is not checked twice, and a flood of them pushes out nothing that held. A client can fill that part, and gains
//! nothing by it: an entry speaks of its own bytes only.
//!
//! What it does *not* protect against: somebody who reads the VM's memory finds tokens there, as they would without it.

use core::cell::RefCell;
use core::fmt;
use std::rc::Rc;

use subtle::ConstantTimeEq as _;

use super::grounds::Grounds;
use crate::guards::identity::caller::Token;
use crate::guards::identity::claim_headers::{self, IdentityHeader};
use crate::guards::identity::credential::Found;
use crate::guards::identity::rules::{CredentialRule, Provider, ProviderId, Providers};
use crate::limits;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The tokens of one policy in one VM.
#[derive(Debug)]
pub struct Verified {
    held: RefCell<Table>,
    forged: RefCell<Table>,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub enum Known {
    /// Every check held that does not depend on the request.
    Held(Rc<Token>, Rc<[IdentityHeader]>),
    /// It is no token of its provider's key.
    Forged,
}

/// Tokens in sets of [`WAYS`], the one that came last first.
struct Table {
    /// Empty until something is kept.
    sets: Vec<[Option<Box<Entry>>; WAYS]>,
    most: Most,
    bytes: usize,
    /// The set that makes room next when there are too many bytes.
    hand: usize,
}

/// The bounds of a table.
#[derive(Clone, Copy, Debug)]
struct Most {
    sets: usize,
    bytes: usize,
}

/// Tokens that share a place. Four make it unlikely that callers who take turns push each other out.
const WAYS: usize = 4;

struct Entry {
    tail: [u8; 8],
    token: Secret<Vec<u8>>,
    provider: ProviderId,
    grounds: Grounds,
    known: Known,
    size: usize,
}

impl Default for Verified {
    fn default() -> Self {
        let table = |sets, bytes| RefCell::new(Table::new(Most { sets, bytes }));
        Self {
            held: table(limits::VERIFIED_SETS, limits::VERIFIED_BYTES),
            forged: table(limits::FORGED_SETS, limits::FORGED_BYTES),
        }
    }
}

impl Verified {
    /// What is known of a token that stands where a provider of the route takes it; `None` if nothing is, or it holds no more. Then it is
    /// checked anew, which tells why.
    pub fn find<'p>(
        &self,
        rule: &CredentialRule,
        providers: &'p Providers,
        found: &Found<'_, '_>,
        now: Timestamp,
    ) -> Option<(&'p Provider, Known)> {
        let takes = |id: ProviderId| {
            let provider = providers.provider(id).filter(|_| rule.providers.contains(&id))?;
            provider.places.contains(found.place).then_some(provider)
        };
        [&self.held, &self.forged].into_iter().find_map(|table| {
            let mut table = table.try_borrow_mut().ok()?;
            table.find(found.value, now, &takes, |id| providers.provider(id))
        })
    }

    /// Keeps a token whose signature was looked at.
    pub fn keep(&self, token: &[u8], provider: ProviderId, grounds: Grounds, known: Known) {
        let table = if matches!(known, Known::Forged) { &self.forged } else { &self.held };
        if let (Ok(mut table), Some(tail)) = (table.try_borrow_mut(), token.last_chunk()) {
            let size = token.len().saturating_add(known.weight()).saturating_add(limits::VERIFIED_OVERHEAD);
            let token = Secret::new(token.to_vec());
            table.put(Entry { tail: *tail, token, provider, grounds, known, size });
        }
    }
}

impl Known {
    fn weight(&self) -> usize {
        match self {
            Known::Forged => 0,
            Known::Held(token, headers) => {
                let headers = headers.iter().map(claim_headers::weight);
                let weight = token.claims().weight().saturating_add(token.told_weight());
                headers.fold(weight, usize::saturating_add)
            }
        }
    }
}

impl Table {
    fn new(most: Most) -> Self {
        Self { sets: Vec::new(), most, bytes: 0, hand: 0 }
    }

    /// `takes` says whether the route takes tokens of a provider here, `whose` names the provider wherever it is taken.
    fn find<'p>(
        &mut self,
        token: &[u8],
        now: Timestamp,
        takes: &impl Fn(ProviderId) -> Option<&'p Provider>,
        whose: impl Fn(ProviderId) -> Option<&'p Provider>,
    ) -> Option<(&'p Provider, Known)> {
        let tail = *token.last_chunk()?;
        let place = self.place(tail);
        let set = self.sets.get_mut(place)?;
        let at = set.iter().flatten().position(|entry| entry.tail == tail && entry.is(token))?;
        let slot = set.get_mut(at)?;
        let entry = slot.as_mut()?;
        if !whose(entry.provider).is_some_and(|provider| entry.grounds.hold(provider, now)) {
            let size = entry.size;
            *slot = None;
            self.bytes = self.bytes.saturating_sub(size);
            return None;
        }
        let found = (takes(entry.provider)?, entry.known.clone());
        if let Some(front) = set.get_mut(..=at) {
            front.rotate_right(1);
        }
        Some(found)
    }

    fn put(&mut self, entry: Entry) {
        // A few large tokens must not be all that is kept.
        if entry.size > self.most.bytes / 8 {
            return;
        }
        if self.sets.is_empty() {
            self.sets.resize_with(self.most.sets, Default::default);
        }
        let place = self.place(entry.tail);
        self.make_room(entry.size);
        let Some(set) = self.sets.get_mut(place) else { return };
        self.bytes = self.bytes.saturating_add(entry.size);
        // A free place, else that of the one which has not come for the longest time.
        let at = set.iter().position(Option::is_none).unwrap_or(WAYS.saturating_sub(1));
        let Some(slot) = set.get_mut(at) else { return };
        let gone = slot.replace(Box::new(entry)).map_or(0, |gone| gone.size);
        self.bytes = self.bytes.saturating_sub(gone);
        if let Some(front) = set.get_mut(..=at) {
            front.rotate_right(1);
        }
    }

    /// Empties one set after the other until so many bytes more are within the bound.
    fn make_room(&mut self, bytes: usize) {
        for _ in 0..self.sets.len() {
            if self.bytes.saturating_add(bytes) <= self.most.bytes {
                return;
            }
            if let Some(set) = self.sets.get_mut(self.hand) {
                let gone = core::mem::take(set);
                let sizes = gone.iter().flatten().map(|entry| entry.size);
                self.bytes = sizes.fold(self.bytes, usize::saturating_sub);
            }
            self.hand = self.hand.saturating_add(1).checked_rem(self.sets.len()).unwrap_or(0);
        }
    }

    /// The last bytes of a signature are as good as random; the product spreads those that are not over the upper bits.
    fn place(&self, tail: [u8; 8]) -> usize {
        let mixed = u64::from_le_bytes(tail).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        usize::try_from(mixed).unwrap_or(0).checked_rem(self.most.sets).unwrap_or(0)
    }
}

impl Entry {
    /// Every byte is compared, however early two differ: a signature must not be guessed byte by byte.
    fn is(&self, token: &[u8]) -> bool {
        same(self.token.expose(), token)
    }
}

/// In words of eight bytes, since a token has a thousand; `subtle` has the last word, so that no shorter way is found to it.
fn same(ours: &[u8], theirs: &[u8]) -> bool {
    if ours.len() != theirs.len() {
        return false;
    }
    let ((ours, our_rest), (theirs, their_rest)) = (ours.as_chunks::<8>(), theirs.as_chunks::<8>());
    let words = ours
        .iter()
        .zip(theirs)
        .fold(0, |differ, (our, their)| differ | (u64::from_le_bytes(*our) ^ u64::from_le_bytes(*their)));
    let rest = our_rest.iter().zip(their_rest).fold(0, |differ, (our, their)| differ | (our ^ their));
    (words.ct_eq(&0) & rest.ct_eq(&0)).into()
}

/// Counts: no token is printed, and nothing of what it says.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.sets.iter().flatten().flatten().count();
        write!(f, "Table({count} tokens, {} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests;
