//! Does the gateway of `envoy.yaml` allow, refuse and limit, as `make run` says it does?

use std::process::Command;

#[test]
fn the_demo_allows_refuses_and_limits() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--once").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let starts: Vec<&str> = said.lines().filter_map(|line| line.get(..12)).collect();
    assert_eq!(starts, ["allowed: 200", "refused: 401", "limited: 429"]);
}

#[test]
fn an_argument_it_does_not_know_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo")).arg("--twice").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: demo"));
}
