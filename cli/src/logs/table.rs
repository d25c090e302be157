//! Which names come most often, among any number of them?
//!
//! Exact for up to [`ROOM`] names. Beyond that, the algorithm of Misra and Gries: when the table is full, what its median name has is
//! taken off all, and those with nothing left go. A count may then be too low by [`Table::missed`] at the most, and never too high.

use std::collections::HashMap;

/// Names that are held, of at most [`NAME`] bytes each: half a megabyte.
const ROOM: usize = 4096;
/// Bytes of a name that are held. Those of a policy have 64.
const NAME: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Table {
    counts: HashMap<Box<str>, u64>,
    missed: u64,
}

impl Table {
    /// One more of that name.
    pub(super) fn count(&mut self, name: &str) {
        let name = cut(name);
        if let Some(count) = self.counts.get_mut(name) {
            *count += 1;
            return;
        }
        if self.counts.len() >= ROOM {
            self.make_room();
        }
        self.counts.insert(name.into(), 1);
    }

    fn make_room(&mut self) {
        let mut all: Vec<u64> = self.counts.values().copied().collect();
        let middle = all.len() / 2;
        let (_, median, _) = all.select_nth_unstable(middle);
        let median = *median;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(median);
            *count > 0
        });
        self.missed += median;
    }

    /// The most frequent ones, and how often each was seen at the least.
    pub(super) fn top(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(name, count)| (&**name, *count)).collect();
        all.sort_unstable_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
        all.truncate(most);
        all
    }

    /// By how much a count may be too low.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    /// How many names are held.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }
}

/// As much of a name as is held.
pub(super) fn cut(name: &str) -> &str {
    let end = (0..=NAME.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::{NAME, ROOM, Table};

    #[test]
    fn a_few_names_are_counted_exactly() {
        let mut table = Table::default();
        for name in ["b", "a", "b", "c", "a", "b"] {
            table.count(name);
        }
        assert_eq!(table.top(2), [("b", 3), ("a", 2)]);
        assert_eq!((table.missed(), table.len()), (0, 3));
    }

    #[test]
    fn the_frequent_ones_survive_a_flood() {
        let mut table = Table::default();
        for number in 0..200_000_u64 {
            table.count(&format!("flood-{number}"));
            if number % 10 == 0 {
                table.count("often");
            }
            assert!(table.len() <= ROOM);
        }
        let (name, count) = table.top(1)[0];
        assert_eq!(name, "often");
        assert!(count <= 20_000 && count + table.missed() >= 20_000, "{count} + {}", table.missed());
        assert!(table.missed() < 200, "{}", table.missed());
    }

    #[test]
    fn a_name_is_held_to_its_bound() {
        let mut table = Table::default();
        table.count(&"ä".repeat(100_000));
        assert_eq!(table.top(1)[0].0.len(), NAME);
    }
}
