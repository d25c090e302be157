//! Which entry is a presented key's, however many there are?
//!
//! A hash table by the digest's first bytes, built when the policy is loaded and never changed. The standard library's is seeded at
//! random in each VM, so how long a look-up takes says nothing of the digests in the table; the digests themselves are compared in
//! constant time.

use std::collections::HashMap;
use std::rc::Rc;

use super::Entry;
use super::hash::{Digest, KeyHash};

/// The keys of a policy, at most [`crate::limits::API_KEYS`].
#[derive(Debug, Default)]
pub(super) struct Table {
    plain: HashMap<Digest, Rc<Entry>>,
    keyed: HashMap<Digest, Rc<Entry>>,
}

impl Table {
    /// Adds a key. Error: the entry that has this hash already, which stays.
    pub(super) fn add(&mut self, hash: KeyHash, entry: Entry) -> Result<(), Rc<Entry>> {
        let (map, digest) = match hash {
            KeyHash::Plain(digest) => (&mut self.plain, digest),
            KeyHash::Keyed(digest) => (&mut self.keyed, digest),
        };
        if let Some(known) = map.get(&digest) {
            return Err(Rc::clone(known));
        }
        map.insert(digest, Rc::new(entry));
        Ok(())
    }

    /// Whether there are keyed hashes.
    pub(super) fn has_keyed(&self) -> bool {
        !self.keyed.is_empty()
    }

    /// The entry whose SHA-256 this key has.
    pub(super) fn plain(&self, key: &[u8]) -> Option<&Rc<Entry>> {
        if self.plain.is_empty() { None } else { self.plain.get(&Digest::plain(key)) }
    }

    /// The entry whose HMAC-SHA-256 this key has.
    pub(super) fn keyed(&self, key: &[u8], pepper: &[u8]) -> Option<&Rc<Entry>> {
        self.keyed.get(&Digest::keyed(key, pepper))
    }
}
