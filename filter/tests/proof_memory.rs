//! Is a proof admitted once, however many workers ask for it at once? With threads that race for few slots.
#![cfg(not(target_family = "wasm"))]

mod race;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_filter::guards::identity::confirmation::dpop::Memory;
use portcullis_filter::guards::identity::confirmation::dpop::memory::Remembered;
use portcullis_filter::limits;
use portcullis_filter::time::{SECOND, Timestamp};
use proptest::prelude::*;

use race::Shared;

const NOW: u64 = 1_795_489_800 * SECOND;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(NOW + seconds * SECOND)
}

#[test]
fn of_workers_that_race_for_a_proof_one_is_first() {
    // On a busy machine they may not meet at once; a hundred rounds without a race would be a fault of the test.
    let lost: u32 = (0..100).map(|_| race()).find(|lost| *lost > 0).unwrap_or(0);
    assert!(lost > 0, "nobody was overtaken, so this shows nothing");
}

/// Workers remember the same proofs at once: how many writes came too late.
fn race() -> u32 {
    const WORKERS: usize = 4;
    const PROOFS: usize = 1000;
    let data = Shared::default();
    let memory = Memory::sized(&data, [5; 16], NonZeroU32::new(16).unwrap()).unwrap();
    let first: Vec<AtomicU32> = (0..PROOFS).map(|_| AtomicU32::new(0)).collect();
    let refused = AtomicU32::new(0);
    let start = Barrier::new(WORKERS);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                start.wait();
                for (n, first) in first.iter().enumerate() {
                    match memory.remember(&data, ["key", &n.to_string()], at(0), at(60)).unwrap() {
                        Remembered::First => _ = first.fetch_add(1, Ordering::SeqCst),
                        Remembered::Before => {}
                        Remembered::Not(_) => _ = refused.fetch_add(1, Ordering::SeqCst),
                    }
                }
            });
        }
    });
    assert!(first.iter().all(|times| times.load(Ordering::SeqCst) == 1));
    assert_eq!(refused.into_inner(), 0);
    data.lost.into_inner()
}

proptest! {
    /// Against a set that forgets nothing: what is admitted was not seen in its time, what is refused was, or the slot was full.
    #[test]
    fn a_proof_is_admitted_once_in_its_time(
        asked in proptest::collection::vec((0_u32..400, 0_u64..200, 1_u64..60), 1..1500),
    ) {
        let data = Shared::default();
        let memory = Memory::sized(&data, [6; 16], NonZeroU32::MIN).unwrap();
        let mut seen: HashMap<u32, u64> = HashMap::new();
        let mut asked = asked;
        asked.sort_by_key(|(_, now, _)| *now);
        for (proof, now, lifetime) in asked {
            let live = seen.get(&proof).copied();
            let full = seen.values().filter(|until| **until + 3 >= now).count() >= limits::PROOF_WAYS;
            match memory.remember(&data, ["key", &proof.to_string()], at(now), at(now + lifetime)).unwrap() {
                Remembered::First => {
                    prop_assert!(live.is_none_or(|until| until < now));
                    seen.insert(proof, now + lifetime);
                }
                // An entry holds for up to three seconds longer than its proof.
                Remembered::Before => prop_assert!(live.is_some_and(|until| until + 3 >= now)),
                Remembered::Not(_) => prop_assert!(full),
            }
        }
    }
}
