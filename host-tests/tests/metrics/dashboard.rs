//! Does the dashboard ask for what there is? Its queries run in a real Prometheus, and name what a real gateway tells.
//!
//! Grafana itself is not run: no registry that this repository uses has it. Its own types read the dashboard (`dashboard.py`).

use std::collections::BTreeSet;
use std::process::Command;

use host_tests::artifacts;
use host_tests::envoy::Envoy;
use host_tests::prometheus::Prometheus;
use portcullis_filter::metrics::Metric;
use serde_json::Value;

use super::alerts::RULES;
use super::{file, scrape};

const DASHBOARD: &str = "deploy/observability/dashboard.json";

/// Each panel's title and query.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    assert!(queries.len() >= 20, "{queries:?}");
    queries
}

/// With what Grafana puts in the place of its variables.
fn filled(expression: &str) -> String {
    let variables = [("$__rate_interval", "1m"), ("$__range", "5m"), ("$job", ".*"), ("$instance", ".*")];
    let filled =
        variables.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
    assert!(!filled.contains('$'), "{filled}");
    filled
}

/// The words that begin like a metric.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named = words.filter(|word| word.starts_with("portcullis_") || word.starts_with("envoy_"));
    named
        .filter(|word| !["portcullis_guard", "envoy_rbac_http_prefix"].contains(word))
        .map(str::to_owned)
        .collect()
}

fn in_the_table(name: &str) -> bool {
    let name = name.strip_suffix("_bucket").unwrap_or(name);
    Metric::ALL.iter().any(|metric| metric.row().name == name)
}

#[test]
fn the_dashboard_and_the_rules_name_only_what_is_counted_and_the_dashboard_shows_it_all() {
    let asked: BTreeSet<String> = queries().iter().flat_map(|(_, query)| metrics(query)).collect();
    let rules: Value = serde_saphyr::from_str(&file(RULES)).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let watched = rules.iter().flat_map(|rule| metrics(rule["expr"].as_str().unwrap()));
    for name in asked.iter().cloned().chain(watched).filter(|name| name.starts_with("portcullis_")) {
        assert!(in_the_table(&name), "{name}");
    }
    for metric in Metric::ALL {
        let name = metric.row().name;
        assert!(
            asked.iter().any(|asked| asked.strip_suffix("_bucket").unwrap_or(asked) == name),
            "{name} is on no panel"
        );
    }
}

/// What Grafana's types do not know gets lost on the way through them, and a dashboard with a word misspelt does lose it.
#[test]
fn the_dashboard_is_one_by_grafanas_own_types() {
    let python = artifacts::repository().join(".venv/bin/python3");
    let run = |arguments: &[&str]| {
        Command::new(&python).args(arguments).current_dir(artifacts::repository()).output().unwrap()
    };
    if !run(&["-c", "import sys; sys.exit(sys.version_info < (3, 11))"]).status.success() {
        eprintln!("not run: Grafana's types need Python 3.11");
        return;
    }
    let script = "host-tests/tests/metrics/dashboard.py";
    let good = run(&[script, DASHBOARD]);
    assert!(good.status.success(), "{}{}", told(&good.stdout), told(&good.stderr));
    let spoilt = run(&[script, DASHBOARD, "--spoil"]);
    assert_eq!((spoilt.status.code(), told(&spoilt.stdout).trim()), (Some(1), ".panels[1].titel"));
}

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// In a Prometheus that has seen an attack on this gateway.
pub(crate) fn every_query_runs(prometheus: &Prometheus, envoy: &Envoy) {
    let told: BTreeSet<String> = scrape(envoy).into_iter().map(|sample| sample.name).collect();
    let mut full = BTreeSet::new();
    for (title, query) in queries() {
        let result = prometheus.query(&filled(&query)).unwrap_or_else(|error| panic!("{title}: {error}"));
        if !result.is_empty() {
            full.insert(title);
        }
        for name in metrics(&query).iter().filter(|name| name.starts_with("envoy_")) {
            assert!(told.contains(name), "Envoy tells no {name}");
        }
    }
    for title in [
        "Requests a second",
        "Refused",
        "Guard 403s",
        "VM reloads",
        "Requests by decision",
        "Refusals by reason",
        "Signed tokens",
        "Policies",
    ] {
        assert!(full.contains(title), "{title} shows nothing");
    }
}
