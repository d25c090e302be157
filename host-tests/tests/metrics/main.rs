//! What does a gateway tell of itself, and who is told? Its metrics in a real Envoy, and the alerts on them in a real Prometheus.

mod alerts;
mod configurations;
mod counted;
mod dashboard;
mod fired;

use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::client::Client;
use host_tests::demo::{Demo, Ports};
use host_tests::envoy::Envoy;
use host_tests::exchange::Request;
use host_tests::prometheus::{Sample, samples, sum};

/// What Prometheus would read of an Envoy.
pub(crate) fn scrape(envoy: &Envoy) -> Vec<Sample> {
    samples(&envoy.admin_text("/stats/prometheus").unwrap()).unwrap()
}

/// The plugin's own series.
pub(crate) fn ours(envoy: &Envoy) -> Vec<Sample> {
    scrape(envoy).into_iter().filter(|sample| sample.name.starts_with("portcullis_")).collect()
}

/// A file of the repository.
pub(crate) fn file(path: &str) -> String {
    let path = artifacts::repository().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Waits until it is so. A worker tells what it has counted once a second, and Envoy shows histograms every five.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The series that the README and the alerts speak of, out of the configuration that people begin with.
#[test]
fn the_reference_configuration_makes_labels_of_names() {
    let mut demo = Demo::start(Ports::Free).unwrap();
    demo.try_all().unwrap();
    let requests =
        |samples: &[Sample], labels: &[(&str, &str)]| sum(samples, "portcullis_requests_total", labels);
    // A request is counted when it is over, which a client may hear of a little earlier.
    until("eight requests", || requests(&ours(demo.envoy()), &[]) >= 8.0);
    let samples = scrape(demo.envoy());
    for (decision, reason, count) in
        [("allowed", "(none)", 6.0), ("refused", "credential_missing", 1.0), ("refused", "rate_limited", 1.0)]
    {
        let labels = [("route", "orders"), ("decision", decision), ("reason", reason)];
        assert_eq!(requests(&samples, &labels), count, "{labels:?}");
    }
    // A route that nobody has asked for is there, or the first request would not show as an increase.
    let idle = samples.iter().find(|sample| sample.has(&[("route", "health"), ("decision", "allowed")]));
    assert_eq!(idle.map(|sample| sample.value), Some(0.0));
    assert_eq!(requests(&samples, &[]), 8.0, "each once");
    // Two workers and the main thread; Envoy may try the configuration once more.
    let starts = sum(&samples, "portcullis_vm_starts_total", &[]);
    assert!((3.0..=4.0).contains(&starts), "{starts}");
    assert_eq!(sum(&samples, "portcullis_policy_loads_total", &[("outcome", "loaded")]), starts);
    let guard = [("envoy_rbac_http_prefix", "portcullis_guard")];
    assert_eq!(sum(&samples, "envoy_http_rbac_allowed", &guard), 6.0);
    assert!(samples.iter().any(|sample| sample.name == "envoy_http_rbac_denied" && sample.has(&guard)));
    nothing_of_a_client_gets_into_a_name(demo);
}

/// Millions of paths and tokens make as many series as one: here are some thousand of each kind, and forged labels among them.
fn nothing_of_a_client_gets_into_a_name(mut demo: Demo) {
    let gateway = demo.gateway();
    let mut client = Client::connect(gateway).unwrap();
    let mark = "zzmark";
    // The histogram is one series of many samples.
    let counted =
        |samples: &[Sample]| samples.iter().filter(|sample| !sample.name.contains("_microseconds_")).count();
    until("the first second is over", || {
        ours(demo.envoy()).iter().any(|sample| sample.name == "portcullis_tokens_total")
    });
    let before = counted(&ours(demo.envoy()));
    for number in 0..2500 {
        let what = format!("{mark}{number}");
        let orders = Request::get("localhost", "/orders");
        let request = match number % 5 {
            0 => Request::get("localhost", &format!("/orders/{what}.route=x.decision=allowed")),
            1 => Request::get(&format!("{what}.example"), "/orders"),
            2 => Request::get("localhost", &format!("/{what}?reason={what}")),
            3 => orders.with("authorization", format!("Bearer {what}.{what}.{what}")),
            _ => orders.with(&format!("x-{what}"), what.clone()),
        };
        let status = client.exchange(&request).unwrap().status;
        assert!([401, 404].contains(&status), "{status}");
    }
    until("all of them", || sum(&ours(demo.envoy()), "portcullis_requests_total", &[]) >= 2508.0);
    let after = ours(demo.envoy());
    let more = counted(&after) - before;
    // Reasons that were not there before: no route, a malformed token.
    assert!(more <= 4, "{more} series more: {after:#?}");
    let text = demo.envoy().admin_text("/stats").unwrap();
    assert!(!text.contains(mark), "a name holds what a client sent");
}
