//! Does the dashboard ask for what there is? Its queries run in a real Prometheus, and name what a real gateway tells.
//!
//! Grafana itself is not run: no registry that this repository uses has it. Its own types read the dashboard (`dashboard.py`).

use std::collections::BTreeSet;
use std::process::Command;

use host_tests::artifacts;
use host_tests::envoy::Envoy;
use host_tests::prometheus::Prometheus;
use portcullis_filter::decision::Reason;
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

/// The expressions of the rules, by the names of their alerts.
fn expressions() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&file(RULES)).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rules.iter().map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect()
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
    let watched = expressions().into_iter().flat_map(|(_, expression)| metrics(&expression));
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

/// The proxy's own metrics, of which rules and panels are.
pub(crate) fn of_the_proxy() -> BTreeSet<String> {
    let all = queries().into_iter().chain(expressions());
    all.flat_map(|(_, text)| metrics(&text)).filter(|name| name.starts_with("envoy_")).collect()
}

/// What Prometheus itself gives each series.
const OF_PROMETHEUS: [&str; 2] = ["job", "instance"];

/// What is wrong with the labels that an expression names: a label that the metric before it has not, or a value that it never takes. A query with either is
/// taken by Prometheus, and answered with nothing.
fn wrong_labels(expression: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (before, matchers) in expression.match_indices('{').map(|(at, _)| expression.split_at(at)) {
        let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        let Some((matchers, _)) = matchers[1..].split_once('}') else { panic!("{expression}") };
        let metric = Metric::ALL.iter().find(|metric| metric.row().name == name.trim_end_matches("_bucket"));
        for matcher in matchers.split(", ").filter(|matcher| !matcher.is_empty()) {
            let at = matcher.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or_default();
            let (label, rest) = matcher.split_at(at);
            let values = rest.trim_start_matches(['=', '~', '!']).trim_matches('"');
            let known = match (metric, label) {
                (None, "envoy_rbac_http_prefix") => values == "portcullis_guard",
                (None, "job") if name == "up" => values == "portcullis",
                (_, label) if OF_PROMETHEUS.contains(&label) => true,
                // What the policy calls them is for the policy to say.
                (Some(metric), "route" | "policy" | "provider" | "digest") => {
                    metric.row().labels.contains(&label)
                }
                (Some(metric), label) => {
                    metric.row().labels.contains(&label)
                        && values.split('|').all(|value| takes(*metric, label, value))
                }
                (None, _) => false,
            };
            if !known {
                wrong.push(format!("{name}: {matcher}"));
            }
        }
    }
    // `by (…)`, `on (…)` and `group_left (…)`.
    for word in ["by (", "on (", "group_left ("] {
        for list in expression.split(word).skip(1).filter_map(|rest| rest.split(')').next()) {
            let known = |label: &str| {
                label == "le"
                    || OF_PROMETHEUS.contains(&label)
                    || Metric::ALL.iter().any(|metric| metric.row().labels.contains(&label))
            };
            let labels = list.split(", ").filter(|label| !label.is_empty());
            wrong.extend(labels.filter(|label| !known(label)).map(|label| format!("{word}{label}")));
        }
    }
    wrong
}

/// Whether a label of a metric takes this value: a reason is in the table of reasons, what else there is stands in the metric's own line.
fn takes(metric: Metric, label: &str, value: &str) -> bool {
    let reason = label == "reason" && Reason::ALL.iter().any(|reason| reason.code() == value);
    reason || metric.row().meaning.contains(&format!("`{value}`"))
}

#[test]
fn the_dashboard_and_the_rules_ask_for_labels_and_values_that_there_are() {
    for (title, expression) in queries().into_iter().chain(expressions()) {
        assert_eq!(wrong_labels(&expression), [""; 0], "{title}: {expression}");
    }
    for (expression, wrong) in [
        (r#"portcullis_requests_total{reason="rate_limited"}"#, ""),
        (
            r#"portcullis_requests_total{reason=~"rate_limited|rate_limit"}"#,
            r#"reason=~"rate_limited|rate_limit""#,
        ),
        (r#"portcullis_requests_total{decision="denied"}"#, r#"decision="denied""#),
        (r#"portcullis_requests_total{outcome="ok"}"#, r#"outcome="ok""#),
        ("sum by (job, root) (portcullis_vm_starts_total)", "by (root"),
        (r#"envoy_http_rbac_denied{envoy_rbac_http_prefix="guard"}"#, r#"envoy_rbac_http_prefix="guard""#),
    ] {
        let found = wrong_labels(expression).concat();
        assert!(found.ends_with(wrong) && found.is_empty() == wrong.is_empty(), "{expression}: {found}");
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

/// In a Prometheus that has seen everything.
pub(crate) fn every_panel_shows_something(prometheus: &Prometheus) {
    for (title, query) in queries() {
        let query = filled(&query);
        super::until(&title, || {
            !prometheus.query(&query).unwrap_or_else(|error| panic!("{error}")).is_empty()
        });
    }
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
