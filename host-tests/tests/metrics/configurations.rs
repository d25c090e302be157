//! Does each configuration of ours make the series that the rules ask for? Those that are there before anything has happened, with their labels.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use host_tests::artifacts;
use host_tests::demo::{Demo, Ports};
use host_tests::envoy::Envoy;
use host_tests::prometheus::Sample;
use portcullis_filter::metrics::Metric;
use serde_json::Value;

use super::counted::labels_are_those_of_the_table;
use super::{dashboard, file, ours, scrape};

/// What a gateway at peace has told.
const AT_PEACE: [Metric; 4] = [Metric::Requests, Metric::PolicyLoads, Metric::PolicyLoaded, Metric::VmStarts];

/// Whether the alerts can see this gateway.
fn is_watched(envoy: &Envoy) {
    let ours = ours(envoy);
    labels_are_those_of_the_table(&ours);
    for metric in AT_PEACE {
        assert!(ours.iter().any(|sample| sample.name == metric.row().name), "{metric:?}");
    }
    let all = scrape(envoy);
    let raw: Vec<&Sample> = all.iter().filter(|sample| sample.name.contains("wasmcustom")).collect();
    assert!(raw.is_empty(), "without labels: {raw:?}");
    let names: BTreeSet<&str> = all.iter().map(|sample| sample.name.as_str()).collect();
    for name in dashboard::of_the_proxy() {
        assert!(names.contains(name.as_str()), "{name}");
    }
    let guard = [("envoy_rbac_http_prefix", "portcullis_guard")];
    assert!(all.iter().any(|sample| sample.name == "envoy_http_rbac_denied" && sample.has(&guard)));
}

#[test]
fn the_reference_configuration_is_watched() {
    is_watched(Demo::start(Ports::Free).unwrap().envoy());
}

/// Its own text, but for the addresses, which are those of its namespace.
#[test]
fn the_gateway_of_the_deployment_is_watched() {
    let directory = tempfile::TempDir::new().unwrap();
    let certificates = directory.path().join("certs");
    let made = Command::new(artifacts::repository().join("deploy/certificates"))
        .arg(&certificates)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let signing = fs::read_to_string(certificates.join("assertion.key")).unwrap();
    fs::copy(artifacts::plugin().unwrap(), directory.path().join("portcullis.wasm")).unwrap();
    let mut text = file("deploy/gateway.yaml");
    for (from, to) in [
        ("{address: 10.77.0.1, port_value: 443}", "{address: 127.0.0.1, port_value: 0}"),
        ("{address: 127.0.0.1, port_value: 9901}", "{address: 127.0.0.1, port_value: 0}"),
    ] {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    let config = directory.path().join("gateway.yaml");
    fs::write(&config, text).unwrap();
    let home = directory.path().to_owned();
    let environment = [("PORTCULLIS_SIGNING_KEY", signing.as_str())];
    let envoy = Envoy::start_with(&config, directory, &[], &environment, home);
    is_watched(&envoy.unwrap_or_else(|failure| panic!("{failure}")));
}

/// There is one list of labels, and it is written down in each of these.
#[test]
fn each_configuration_makes_a_label_of_each_that_a_metric_has() {
    let labels: BTreeSet<&str> = Metric::ALL.iter().flat_map(|metric| metric.row().labels).copied().collect();
    for path in ["envoy.yaml", "deploy/gateway.yaml"] {
        let config: Value = serde_saphyr::from_str(&file(path)).unwrap();
        let tags = config["stats_config"]["stats_tags"].as_array().unwrap();
        let tags: BTreeSet<&str> = tags.iter().map(|tag| tag["tag_name"].as_str().unwrap()).collect();
        assert_eq!(tags, labels, "{path}");
    }
}
