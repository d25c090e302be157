//! Rows: who is let through at what load, and how an average forgets.

use super::{Load, Priority, Rules, read};
use crate::decision::Reason;
use crate::document::Field;
use crate::json::{Bounds, Duplicates, Json};
use crate::problem::Problems;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

const NOW: u64 = 1_795_489_800 * SECOND;
const MS: u64 = SECOND / 1000;

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(NOW + nanos)
}

#[test]
fn what_matters_less_goes_first() {
    let rules = Rules { requests: Some(100), latency: None };
    for (under_way, low, normal, high) in [
        (1, true, true, true),
        (75, true, true, true),
        (76, false, true, true),
        (100, false, true, true),
        (101, false, false, true),
        (150, false, false, true),
        (151, false, false, false),
    ] {
        let load = Load::default();
        (0..under_way).for_each(|_| load.begin());
        let passes = |priority| rules.check(priority, &load, at(0)).is_ok();
        let outcome = (passes(Priority::Low), passes(Priority::Normal), passes(Priority::High));
        assert_eq!(outcome, (low, normal, high), "{under_way}");
    }
    let one = Rules { requests: Some(1), latency: None };
    let load = Load::default();
    load.begin();
    assert_eq!(one.check(Priority::Low, &load, at(0)), Ok(()), "the only one");
    load.begin();
    assert_eq!(one.check(Priority::Normal, &load, at(0)).unwrap_err().reason, Reason::Overloaded);
    load.end();
    load.end();
    load.end();
    assert_eq!(load.under_way(), 0);
}

#[test]
fn an_average_is_one_of_a_second() {
    for per_second in [1, 10, 1000] {
        let load = Load::default();
        for nth in 0..5 * per_second {
            let now = nth * SECOND / per_second;
            load.answered(at(now), at(now + 100 * MS));
        }
        let fast = load.latency(at(5 * SECOND));
        assert!((95 * MS..=100 * MS).contains(&fast), "{per_second}: {fast}");
        for nth in 5 * per_second..8 * per_second {
            let now = nth * SECOND / per_second;
            load.answered(at(now), at(now + 900 * MS));
        }
        let slow = load.latency(at(8 * SECOND));
        assert!((800 * MS..=900 * MS).contains(&slow), "{per_second}: {slow}");
    }
}

#[test]
fn silence_and_odd_clocks_lock_nobody_out() {
    let (load, rules) = (Load::default(), Rules { requests: None, latency: Some(100 * MS) });
    load.answered(at(0), at(400 * MS));
    for (nanos, passes) in
        [(400 * MS, false), (2 * SECOND, false), (4 * SECOND, true), (u64::MAX - NOW, true)]
    {
        assert_eq!(rules.check(Priority::Normal, &load, at(nanos)).is_ok(), passes, "{nanos}");
    }
    // A clock that is set back, and one that jumps ahead.
    load.answered(at(5 * SECOND), at(0));
    load.answered(Timestamp::from_nanos(0), Timestamp::from_nanos(u64::MAX));
    assert!(rules.check(Priority::Normal, &load, Timestamp::from_nanos(u64::MAX)).is_err());
    load.answered(at(0), at(MS));
    load.answered(at(2 * SECOND), at(2 * SECOND + MS));
    assert_eq!(rules.check(Priority::Normal, &load, at(3 * SECOND)), Ok(()));
}

#[test]
fn policies() {
    let read = |text: &str| {
        let bounds = Bounds { depth: 4, values: 10, duplicates: Duplicates::Keep };
        let (document, problems) = (Json::parse(text.as_bytes(), bounds).unwrap(), Problems::new());
        let rules = read(&Field::root(&document, &problems));
        rules.ok_or_else(|| problems.into_vec().iter().map(ToString::to_string).collect::<String>())
    };
    let both = Rules { requests: Some(5), latency: Some(200 * MS) };
    assert_eq!(read(r#"{"requests":5,"latency":"200ms"}"#), Ok(both));
    for (text, problem) in [
        ("{}", "there is no limit in it"),
        (r#"{"requests":0}"#, "requests: expected a whole number from 1"),
        (r#"{"latency":"0ms"}"#, "latency: expected 1ms to 1h"),
        (r#"{"latency":5}"#, "latency: expected a duration"),
        (r#"{"cpu":5}"#, "unknown field `cpu`"),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.starts_with(problem), "{text}: {found}");
    }
    for (word, priority) in [("Low", Some(Priority::Low)), ("High", Some(Priority::High)), ("low", None)] {
        let (document, problems) = (Json::Text(word.to_owned()), Problems::new());
        assert_eq!(Priority::read(&Field::root(&document, &problems)), priority, "{word}");
        assert_eq!(problems.is_fatal(), priority.is_none(), "{word}");
    }
}
