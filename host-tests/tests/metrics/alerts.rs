//! Does an alert fire when it should, and not otherwise? By Prometheus' own tests of rules, and by an attack on a real gateway.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use host_tests::artifacts;
use host_tests::client::Client;
use host_tests::demo::{Demo, Ports};
use host_tests::exchange::Request;
use host_tests::prometheus::Prometheus;
use host_tests::scenario::{Signature, TokenSpec};
use host_tests::tokens::Keys;
use serde_json::{Value, json};

use super::{dashboard, file};

pub(crate) const RULES: &str = "deploy/observability/rules.yaml";
const TESTS: &str = "deploy/observability/rules.test.yaml";
pub(crate) const CONFIG: &str = "deploy/observability/prometheus.yaml";

fn promtool(arguments: &[&str]) {
    let program = artifacts::prometheus().unwrap().join("promtool");
    let out = Command::new(program).args(arguments).current_dir(artifacts::repository()).output().unwrap();
    let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.status.success(), "promtool {arguments:?}\n{}", said.concat());
}

/// The names of the alerts.
pub(crate) fn alerts() -> Vec<String> {
    let rules: Value = serde_saphyr::from_str(&file(RULES)).unwrap();
    let rules =
        rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn prometheus_takes_the_files_and_each_alert_fires_as_its_test_says() {
    promtool(&["check", "config", CONFIG]);
    promtool(&["test", "rules", TESTS]);
    let tests: Value = serde_saphyr::from_str(&file(TESTS)).unwrap();
    let rows: Vec<&Value> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in alerts() {
        let count = |fires: bool| {
            let is = |row: &&&Value| {
                row["alertname"] == alert
                    && row["exp_alerts"].as_array().is_some_and(|all| all.is_empty() != fires)
            };
            rows.iter().filter(is).count()
        };
        assert!(count(true) > 0, "{alert}: no test in which it fires");
        assert!(count(false) > 0, "{alert}: no test in which it does not");
    }
}

#[test]
fn each_alert_has_its_line_for_whoever_is_woken_by_it() {
    let document = file("docs/alerts.md");
    let told: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `Portcullis")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let told: Vec<String> = told.iter().map(|name| format!("Portcullis{name}")).collect();
    assert_eq!(told, alerts(), "docs/alerts.md, in the order of {RULES}");
}

/// The rules as they are, but that they need not hold for minutes first.
fn impatient() -> String {
    let mut lines = Vec::new();
    for line in file(RULES).lines() {
        let hold = line.trim_start().strip_prefix("for: ").is_some();
        lines.push(if hold { "    for: 1s".to_owned() } else { line.to_owned() });
    }
    lines.join("\n")
}

/// `prometheus.yaml` as it is, but quicker, and at the test's own gateway.
fn config(admin: &str) -> String {
    let text = file(CONFIG);
    assert_eq!((text.matches("15s").count(), text.matches("127.0.0.1:9901").count()), (2, 1));
    text.replace("15s", "1s").replace("127.0.0.1:9901", admin)
}

#[test]
fn an_attack_on_a_real_gateway_is_seen_by_a_real_prometheus() {
    let mut demo = Demo::start(Ports::Free).unwrap();
    let rules = impatient();
    let prometheus =
        Prometheus::start(&config(&demo.envoy().admin().to_string()), &[("rules.yaml", &rules)]).unwrap();
    demo.try_all().unwrap();
    let scraped = |least: usize| {
        prometheus.query("count_over_time(portcullis_vm_starts_total[1h])").is_ok_and(|result| {
            result.first().is_some_and(|sample| {
                sample["value"][1]
                    .as_str()
                    .is_some_and(|count| count.parse::<usize>().is_ok_and(|count| count >= least))
            })
        })
    };
    super::until("some looks at a gateway at peace", || scraped(4));
    let quiet: BTreeSet<String> = prometheus.firing().unwrap().into_iter().collect();
    for alert in [
        "PortcullisForgedTokens",
        "PortcullisGuardRefuses",
        "PortcullisReloads",
        "PortcullisSilent",
        "PortcullisCannotDecide",
    ] {
        assert!(!quiet.contains(alert), "{alert} fires at peace: {quiet:?}");
    }

    // The attack goes on until it is seen: how much of it falls between two looks is a matter of the machine.
    let began = Instant::now();
    let expected = ["PortcullisForgedTokens", "PortcullisRefusals"];
    for wave in 0.. {
        attack(&demo, wave);
        let firing = prometheus.firing().unwrap();
        if expected.iter().all(|alert| firing.iter().any(|name| name == alert)) {
            // The gateway does its work all the while.
            let broken = firing.iter().find(|name| {
                ["PortcullisGuardRefuses", "PortcullisReloads", "PortcullisSilent"].contains(&name.as_str())
            });
            assert_eq!(broken, None);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "{firing:?}\n{}", prometheus.log());
        std::thread::sleep(Duration::from_millis(250));
    }
    dashboard::every_query_runs(&prometheus, demo.envoy());
}

/// Three hundred tokens that somebody else has signed, each with a subject of its own.
fn attack(demo: &Demo, wave: u64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let mut client = Client::connect(demo.gateway()).unwrap();
    for number in 0..300 {
        let claims =
            json!({"sub": format!("victim-{wave}-{number}"), "scope": "orders.read", "exp": "now+3600"});
        let claims = claims.as_object().cloned().unwrap_or_default();
        let spec = TokenSpec { claims, signature: Signature::Tampered, ..TokenSpec::of("es256") };
        let token = Keys::of_this_run().mint(&spec, now).unwrap();
        let request = Request::get("localhost", "/orders/7").with("authorization", format!("Bearer {token}"));
        assert_eq!(client.exchange(&request).unwrap().status, 401);
    }
}
