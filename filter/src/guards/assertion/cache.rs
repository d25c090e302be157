//! Has an assertion of the same content been made a moment ago?
//!
//! A caller asks for one thing many times, and a signature costs more than all else. What is kept is found by all that it says, byte by byte,
//! but for the time; the hash only says where to look.

use core::fmt;
use std::hash::Hasher as _;
use std::rc::Rc;

use siphasher::sip::SipHasher13;

use super::Assertion;
use crate::limits;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Assertions in sets of [`WAYS`], the one that was used last first.
pub(super) struct Cache {
    seed: [u8; 16],
    /// Empty until something is kept.
    sets: Vec<[Option<Box<Kept>>; WAYS]>,
}

const WAYS: usize = 4;

/// One assertion, what it is about, and when it was made.
struct Kept {
    rules: Rc<Assertion>,
    /// Which key signed it.
    key: usize,
    about: Box<[u8]>,
    made: Timestamp,
    until: Timestamp,
    assertion: Secret<Vec<u8>>,
}

impl Cache {
    /// `seed` is random: nobody outside chooses who shares a place.
    pub(super) fn new(seed: [u8; 16]) -> Self {
        Self { seed, sets: Vec::new() }
    }

    /// An assertion by these rules and this key about just that, if it may still be used. One that was made at a time to come means
    /// that the clock was set back.
    pub(super) fn find(
        &mut self,
        rules: &Rc<Assertion>,
        key: usize,
        about: &[u8],
        now: Timestamp,
    ) -> Option<&Secret<Vec<u8>>> {
        let place = self.place(about);
        let set = self.sets.get_mut(place)?;
        let at = set.iter().position(|slot| slot.as_ref().is_some_and(|kept| kept.is(rules, key, about)))?;
        let front = set.get_mut(..=at)?;
        front.rotate_right(1);
        let kept = front.first()?.as_ref()?;
        (kept.made <= now && now < kept.until).then_some(&kept.assertion)
    }

    /// Keeps one until then. What is too long is made each time.
    pub(super) fn keep(
        &mut self,
        rules: &Rc<Assertion>,
        key: usize,
        about: &[u8],
        (made, until): (Timestamp, Timestamp),
        assertion: &[u8],
    ) {
        if about.len().saturating_add(assertion.len()) > limits::ASSERTION_KEPT_BYTES {
            return;
        }
        if self.sets.is_empty() {
            self.sets.resize_with(limits::ASSERTION_SETS, Default::default);
        }
        let place = self.place(about);
        let Some(set) = self.sets.get_mut(place) else { return };
        let same = |slot: &Option<Box<Kept>>| slot.as_ref().is_none_or(|kept| kept.is(rules, key, about));
        let at = set.iter().position(same).unwrap_or(WAYS.saturating_sub(1));
        let Some(front) = set.get_mut(..=at) else { return };
        front.rotate_right(1);
        if let Some(slot) = front.first_mut() {
            let (about, assertion) = (about.into(), Secret::new(assertion.to_vec()));
            *slot = Some(Box::new(Kept { rules: Rc::clone(rules), key, about, made, until, assertion }));
        }
    }

    fn place(&self, about: &[u8]) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        hasher.write(about);
        // Uniform over all of `u64`, so its upper half is.
        usize::try_from(hasher.finish() >> 32).unwrap_or(0).checked_rem(limits::ASSERTION_SETS).unwrap_or(0)
    }
}

impl Kept {
    fn is(&self, rules: &Rc<Assertion>, key: usize, about: &[u8]) -> bool {
        *self.about == *about && self.key == key && Rc::ptr_eq(&self.rules, rules)
    }
}

/// Counts: an assertion is good for whoever holds it.
impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({} assertions)", self.sets.iter().flatten().flatten().count())
    }
}
