//! Does every scenario end as it says, in every place where the filter runs, and do the places agree?

use host_tests::artifacts;
use host_tests::corpus::{self, Case, InEnvoy, Runner};
use host_tests::in_wasmtime::InWasmtime;
use host_tests::native::Native;
use host_tests::observed::differences;
use host_tests::scenario;

#[test]
fn every_scenario_ends_as_it_says_in_every_host() {
    let scenarios = scenario::load_all().unwrap();
    let cases: Vec<Case> = scenarios.into_iter().map(|scenario| Case::new(scenario).unwrap()).collect();
    assert_distinct(&cases);
    let plugin = artifacts::plugin().unwrap();
    let mut runners: Vec<Box<dyn Runner>> = vec![
        // First the one whose clock is real.
        Box::new(InEnvoy::new(&plugin, &cases).unwrap()),
        Box::new(Native::default()),
        Box::new(InWasmtime::new(&plugin, true).unwrap()),
        Box::new(InWasmtime::new(&plugin, false).unwrap()),
    ];
    let faults: Vec<String> = cases.iter().flat_map(|case| faults(case, &mut runners)).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

fn assert_distinct(cases: &[Case]) {
    let mut names: Vec<&str> = cases.iter().map(|case| case.scenario.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two scenarios of one name: {names:?}");
}

/// What is not as the scenario says, in any runner, and in what the runners differ.
fn faults(case: &Case, runners: &mut [Box<dyn Runner>]) -> Vec<String> {
    let plan = case.plan().unwrap();
    let mut faults = Vec::new();
    let mut first = None;
    for runner in runners.iter_mut().filter(|runner| runner.offers(case)) {
        let name = runner.name();
        let told = |fault: String| format!("{} ({name}): {fault}", case.scenario.name);
        match corpus::run(runner.as_mut(), case, &plan) {
            Err(error) => faults.push(told(error)),
            Ok(observed) => {
                faults.extend(case.faults(&plan, &observed).into_iter().map(told));
                let first = first.get_or_insert_with(|| observed.clone());
                for ((send, one), other) in plan.sends.iter().zip(first.iter()).zip(&observed) {
                    let lines = differences(one, other);
                    if !lines.is_empty() {
                        let step = send.step;
                        faults.push(told(format!(
                            "requests[{step}]: not as in envoy:\n  {}",
                            lines.join("\n  ")
                        )));
                    }
                }
            }
        }
    }
    faults
}
