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

/// Answers. Those about tokens that are active have a table of their own: whoever sends others pushes none of them out.
#[derive(Debug, Default)]
pub struct Cache {
    active: Table,
    others: Table,
}

/// So many entries, with [`limits::INTROSPECTED_BYTES`] in all; the oldest go first.
#[derive(Debug, Default)]
struct Table {
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
        self.active.get(key, now).or_else(|| self.others.get(key, now))
    }

    /// Keeps an answer that took `bytes` until that time, in the place of what was known before.
    pub fn put(&mut self, key: Key, known: Known, bytes: usize, until: u64) {
        let (table, other, most) = match known {
            Known::Active(_) => (&mut self.active, &mut self.others, limits::INTROSPECTED),
            _ => (&mut self.others, &mut self.active, limits::INTROSPECTED_OTHERS),
        };
        other.remove(&key);
        table.put(key, known, bytes, until, most);
    }
}

impl Table {
    fn get(&self, key: &Key, now: Timestamp) -> Option<Known> {
        let entry = self.entries.get(key)?;
        (now.nanos() < entry.until).then(|| entry.known.clone())
    }

    fn put(&mut self, key: Key, known: Known, bytes: usize, until: u64, most: usize) {
        self.count = self.count.wrapping_add(1);
        let number = self.count;
        let size = bytes.saturating_add(limits::INTROSPECTED_OVERHEAD);
        self.remove(&key);
        self.entries.insert(key, Entry { known, until, bytes: size, number });
        self.bytes = self.bytes.saturating_add(size);
        self.order.push_back((key, number));
        while self.order.len() > most || self.bytes > limits::INTROSPECTED_BYTES {
            let Some((oldest, number)) = self.order.pop_front() else { break };
            if self.entries.get(&oldest).is_some_and(|entry| entry.number == number) {
                self.remove(&oldest);
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Cache, Fault, Known};
    use crate::json::Json;
    use crate::limits::{INTROSPECTED, INTROSPECTED_BYTES, INTROSPECTED_OTHERS};
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

    fn active() -> Known {
        Known::Active(Rc::new(Json::Null))
    }

    #[test]
    fn it_is_bounded_in_entries_and_bytes() {
        for (known, most) in [(active(), INTROSPECTED), (Known::Inactive, INTROSPECTED_OTHERS)] {
            let mut cache = Cache::default();
            for number in 0..most * 3 {
                cache.put(key(number), known.clone(), 100, u64::MAX);
            }
            for table in [&cache.active, &cache.others] {
                assert!(table.entries.len() <= most && table.order.len() <= most);
            }
            assert!(is_known(&cache, most * 3 - 1, 0) && is_known(&cache, most * 2, 0));
            assert!(!is_known(&cache, 0, 0) && !is_known(&cache, most * 2 - 1, 0));
            for _ in 0..most * 3 {
                cache.put(key(7), known.clone(), 100, u64::MAX);
            }
            assert!(cache.active.order.len() <= most && cache.others.order.len() <= most);
            assert!(is_known(&cache, 7, 0));
        }
        let mut cache = Cache::default();
        for number in 0..1000 {
            cache.put(key(number), active(), INTROSPECTED_BYTES / 10, u64::MAX);
        }
        let table = &cache.active;
        assert!(table.bytes <= INTROSPECTED_BYTES && table.entries.len() < 10 && is_known(&cache, 999, 0));
        cache.put(key(5000), active(), INTROSPECTED_BYTES * 2, u64::MAX);
        assert!(cache.active.bytes <= INTROSPECTED_BYTES && !is_known(&cache, 5000, 0));
    }

    #[test]
    fn of_one_token_the_last_answer_alone_is_known() {
        let mut cache = Cache::default();
        let at = |cache: &Cache| cache.get(&key(1), Timestamp::from_nanos(0));
        cache.put(key(1), active(), 10, 1000);
        cache.put(key(1), Known::Inactive, 0, 10);
        assert!(matches!(at(&cache), Some(Known::Inactive)), "though the other one held longer");
        assert!(!is_known(&cache, 1, 10) && cache.active.bytes == 0);
        cache.put(key(1), Known::Failed(Fault::Junk), 0, 10);
        assert!(matches!(at(&cache), Some(Known::Failed(Fault::Junk))));
        cache.put(key(1), active(), 10, 5);
        assert!(matches!(at(&cache), Some(Known::Active(_))));
        assert!(!is_known(&cache, 1, 5) && cache.others.entries.is_empty() && cache.others.bytes == 0);
    }
}
