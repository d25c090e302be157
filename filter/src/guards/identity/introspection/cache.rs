//! What has been said of which token, and until when does it hold?

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use super::answer::Fault;
use crate::json::Json;
use crate::limits;
use crate::time::Timestamp;

/// SHA-256 of a token: the token itself is in no map.
pub type Key = [u8; 32];

/// What is known of a token.
#[derive(Clone, Debug)]
pub enum Known {
    /// It is active, and these are its claims.
    Active(Rc<Json>),
    /// It is not active.
    Inactive,
    /// Nobody could tell, a moment ago.
    Failed(Fault),
}

/// Answers, at most [`limits::INTROSPECTED`] with [`limits::INTROSPECTED_BYTES`] in all; the oldest go first.
#[derive(Debug, Default)]
pub struct Cache {
    entries: HashMap<Key, Entry>,
    /// In the order in which they came. A key whose entry was replaced stands here twice, and the older place frees nothing.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    count: u64,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    until: u64,
    bytes: usize,
    number: u64,
}

impl Cache {
    /// What is known of a token at this time.
    pub fn get(&self, key: &Key, now: Timestamp) -> Option<Known> {
        let entry = self.entries.get(key)?;
        (now.nanos() < entry.until).then(|| entry.known.clone())
    }

    /// Keeps an answer that took `bytes` until that time.
    pub fn put(&mut self, key: Key, known: Known, bytes: usize, until: u64) {
        self.count = self.count.wrapping_add(1);
        let number = self.count;
        let size = bytes.saturating_add(limits::INTROSPECTED_OVERHEAD);
        if let Some(older) = self.entries.insert(key, Entry { known, until, bytes: size, number }) {
            self.bytes = self.bytes.saturating_sub(older.bytes);
        }
        self.bytes = self.bytes.saturating_add(size);
        self.order.push_back((key, number));
        while self.order.len() > limits::INTROSPECTED || self.bytes > limits::INTROSPECTED_BYTES {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number)
                && let Some(entry) = self.entries.remove(&oldest)
            {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, Known};
    use crate::limits::{INTROSPECTED, INTROSPECTED_BYTES};
    use crate::testing::test;
    use crate::time::Timestamp;

    fn key(number: usize) -> [u8; 32] {
        let mut key = [0; 32];
        let bytes = number.to_le_bytes(); // Eight, and four on wasm32.
        key[..bytes.len()].copy_from_slice(&bytes);
        key
    }

    fn is_known(cache: &Cache, number: usize, now: u64) -> bool {
        cache.get(&key(number), Timestamp::from_nanos(now)).is_some()
    }

    #[test]
    fn it_holds_until_its_time_and_not_a_nanosecond_longer() {
        let mut cache = Cache::default();
        cache.put(key(1), Known::Inactive, 10, 1000);
        assert!(is_known(&cache, 1, 999) && !is_known(&cache, 1, 1000) && !is_known(&cache, 2, 0));
        cache.put(key(1), Known::Inactive, 10, 2000);
        assert!(is_known(&cache, 1, 1999));
    }

    #[test]
    fn it_is_bounded_in_entries_and_bytes() {
        let mut cache = Cache::default();
        for number in 0..INTROSPECTED * 3 {
            cache.put(key(number), Known::Inactive, 100, u64::MAX);
        }
        assert!(cache.entries.len() <= INTROSPECTED && cache.order.len() <= INTROSPECTED);
        assert!(is_known(&cache, INTROSPECTED * 3 - 1, 0) && !is_known(&cache, 0, 0));
        for _ in 0..INTROSPECTED * 3 {
            cache.put(key(7), Known::Inactive, 100, u64::MAX);
        }
        assert!(cache.order.len() <= INTROSPECTED && is_known(&cache, 7, 0));
        let mut cache = Cache::default();
        for number in 0..1000 {
            cache.put(key(number), Known::Inactive, INTROSPECTED_BYTES / 10, u64::MAX);
        }
        assert!(cache.bytes <= INTROSPECTED_BYTES && cache.entries.len() < 10 && is_known(&cache, 999, 0));
        cache.put(key(5000), Known::Inactive, INTROSPECTED_BYTES * 2, u64::MAX);
        assert!(cache.bytes <= INTROSPECTED_BYTES && !is_known(&cache, 5000, 0));
    }
}
