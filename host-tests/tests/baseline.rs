//! Does the plugin cost what is committed? A change beyond three percent is made on purpose or not at all.

use host_tests::artifacts;
use host_tests::metered::baseline::{self, TOLERANCE};
use host_tests::metered::{cases, endurance, growth};

/// By how much a request may cost more among ten thousand than alone.
const GROWTH: f64 = 1.1;

/// `make baseline` asks for it to be written anew.
const WRITE: &str = "PORTCULLIS_WRITE_BASELINE";

#[test]
fn nothing_costs_more_or_less_than_is_written_down() {
    let rows = cases::count(&std::fs::read(artifacts::named_plugin().unwrap()).unwrap()).unwrap();
    // Counted again, everything is the same: nothing in it hangs on the machine or on chance.
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(baseline::file(), baseline::to_text(&rows)).unwrap();
    }
    let text = std::fs::read_to_string(baseline::file()).unwrap();
    let moved = baseline::moved(&baseline::from_text(&text).unwrap(), &rows);
    assert!(
        moved.is_empty(),
        "more than {TOLERANCE} % from host-tests/baseline.txt; if it is meant, run `make baseline` and commit it with the reason:\n{}",
        moved.join("\n")
    );
}

#[test]
fn ten_thousand_routes_keys_or_callers_cost_what_one_does() {
    let module = std::fs::read(artifacts::named_plugin().unwrap()).unwrap();
    let curves = growth::count(&module, &mut |_| ()).unwrap();
    let many: Vec<_> =
        curves.iter().filter(|curve| curve.points.last().is_some_and(|(size, _)| *size == 10_000)).collect();
    assert_eq!(many.len(), 3, "{curves:#?}");
    for curve in many {
        let of = |point: Option<&(usize, u64)>| f64::from(u32::try_from(point.unwrap().1).unwrap());
        let (one, all) = (of(curve.points.first()), of(curve.points.last()));
        assert!(all <= one * GROWTH, "{curve:?}");
    }
}

#[test]
fn a_million_requests_leave_nothing_behind() {
    let module = std::fs::read(artifacts::named_plugin().unwrap()).unwrap();
    let held = endurance::of(&module, 1_000_000).unwrap();
    assert_eq!(held.late, held.early, "{held:?}");
    // The known token is over its limit after a thousand.
    assert!(held.admitted > 280_000 && held.refused > 700_000, "{held:?}");
}
