//! When did it happen? Counts in steps of equal length, which grow with the time that the log spans.

use std::collections::BTreeMap;

use portcullis_filter::time::SECOND;

/// Steps that are held, and steps that are shown.
const HELD: usize = 512;
const SHOWN: usize = 24;
/// Lengths of a step that a person can read, in seconds: beyond the last, a day more each time.
const LENGTHS: [u64; 13] = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 21_600, 43_200, 86_400];

/// By decision, as in `Decision::ALL`.
pub(super) type Counts = [u64; 4];

#[derive(Clone, Debug)]
pub(super) struct Timeline {
    /// In seconds.
    length: u64,
    /// By their beginning, in seconds since the epoch.
    steps: BTreeMap<u64, Counts>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { length: 1, steps: BTreeMap::new() }
    }
}

impl Timeline {
    /// One request, at `nanos` since the epoch.
    pub(super) fn count(&mut self, nanos: u64, decision: usize) {
        let seconds = nanos / SECOND;
        if let Some(count) = self.steps.entry(seconds - seconds % self.length).or_default().get_mut(decision)
        {
            *count += 1;
        }
        while self.steps.len() > HELD {
            self.widen();
        }
    }

    /// The steps to show, without holes, and the length of each in seconds.
    pub(super) fn shown(mut self) -> (u64, Vec<(u64, Counts)>) {
        while self.span() > SHOWN as u64 {
            self.widen();
        }
        let (Some((first, _)), Some((last, _))) = (self.steps.first_key_value(), self.steps.last_key_value())
        else {
            return (self.length, Vec::new());
        };
        let count = (last - first) / self.length + 1;
        let at = |nth: u64| first + nth * self.length;
        let all = (0..count).map(|nth| (at(nth), self.steps.get(&at(nth)).copied().unwrap_or_default()));
        (self.length, all.collect())
    }

    fn span(&self) -> u64 {
        match (self.steps.first_key_value(), self.steps.last_key_value()) {
            (Some((first, _)), Some((last, _))) => (last - first) / self.length + 1,
            _ => 0,
        }
    }

    fn widen(&mut self) {
        let next = LENGTHS.into_iter().find(|length| *length > self.length);
        // Twice as many days each time, so that a log over centuries takes a few steps only.
        self.length = next.unwrap_or(self.length * 2);
        let mut wider: BTreeMap<u64, Counts> = BTreeMap::new();
        for (begin, counts) in core::mem::take(&mut self.steps) {
            let step = wider.entry(begin - begin % self.length).or_default();
            for (sum, count) in step.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        self.steps = wider;
    }
}

#[cfg(test)]
mod tests {
    use super::{HELD, SHOWN, Timeline};
    use portcullis_filter::time::SECOND;

    #[test]
    fn steps_have_no_holes() {
        let mut timeline = Timeline::default();
        for seconds in [100, 100, 103] {
            timeline.count(seconds * SECOND, 0);
        }
        let expected = [(100, [2, 0, 0, 0]), (101, [0; 4]), (102, [0; 4]), (103, [1, 0, 0, 0])];
        assert_eq!(timeline.shown(), (1, expected.to_vec()));
        assert_eq!(Timeline::default().shown().1, []);
    }

    #[test]
    fn any_span_fits_and_nothing_is_lost() {
        for spread in [1, 60, 86_400, 17_000_000] {
            let mut timeline = Timeline::default();
            for number in 0..1000_u64 {
                timeline.count(number * spread * SECOND, (number % 4) as usize);
                assert!(timeline.steps.len() <= HELD);
            }
            let (_, steps) = timeline.shown();
            assert!(steps.len() <= SHOWN, "{spread}: {}", steps.len());
            assert_eq!(steps.iter().flat_map(|(_, counts)| counts).sum::<u64>(), 1000, "{spread}");
        }
        let mut timeline = Timeline::default();
        timeline.count(0, 0);
        timeline.count(u64::MAX, 2);
        assert!(timeline.shown().1.len() <= SHOWN);
    }
}
