//! What if the plugin itself breaks? A build of it that does so on request (`make build/faulty.wasm`), behind the configuration that
//! the README asks for.

use std::time::Duration;

use host_tests::artifacts;
use host_tests::client;
use host_tests::envoy::{Launch, Verdict};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Body, Request};
use host_tests::key_server::{Answer, KeyServer};
use serde_json::json;

use super::{Gateway, NAME, get, policy, with_token, words};

/// The host makes a new VM at once, and not after a second: a test has many to break.
fn at_once(listener: Listener) -> Listener {
    let plugin_config =
        json!({"reload_config": {"backoff": {"base_interval": "0.01s", "max_interval": "0.02s"}}});
    Listener { plugin_config, ..listener }
}

/// What a client sends, and a panic looks at.
const SECRET: &str = "canary7f3a9c51e8d2b640canary";

/// How a request breaks it, and what it gets itself; `None`: the connection breaks.
const FAULTS: [(&str, Option<u16>); 7] = [
    ("head", Some(503)),
    ("body", Some(503)),
    ("response", Some(503)),
    // What comes after the answer costs this request nothing.
    ("log", Some(200)),
    ("tick", Some(200)),
    ("memory", Some(503)),
    ("stack", Some(503)),
];

#[test]
fn a_vm_that_dies_costs_what_was_in_it_and_comes_back() {
    let gateway = Gateway::start(artifacts::faulty().unwrap(), policy(), at_once);
    assert_eq!(gateway.status(&get("/limited")), 200);
    let reloads = || gateway.envoy.stat(&format!("wasm.{NAME}.vm_reload_success"));
    for (place, expected) in FAULTS {
        gateway.until_served(place);
        let before = reloads();
        let request = Request {
            method: "POST".to_owned(),
            body: Body::Whole(b"{}".to_vec()),
            ..get("/open").with("x-fault", place).with("x-fault-text", SECRET)
        };
        let answer = client::send(gateway.server, &request).ok().map(|response| response.status);
        assert_eq!(answer, expected, "{place}: {}", gateway.envoy.log());
        let start = std::time::Instant::now();
        while reloads() == before {
            assert!(start.elapsed() < super::SOON, "{place} broke nothing\n{}", gateway.envoy.log());
            let _ = gateway.status(&get("/open"));
        }
        gateway.until_served(place);
    }
    // It has this one, too, and never counts it: no alert may ask for it.
    assert_eq!(gateway.envoy.stat(&format!("wasm.{NAME}.vm_reload")), 0);
    // What all workers share outlives a VM: nobody gets a second helping.
    assert_eq!([(); 3].map(|()| gateway.status(&get("/limited"))), [200, 429, 429]);
    let log = gateway.envoy.log();
    assert!(log.contains("portcullis: panic at filter/src/envoy/faults.rs"), "{log}");
    assert!(!log.contains(SECRET), "the text of a panic is what the client sent");
}

/// A host forgets those who wait when their VM dies, so their end is the proxy's own time limit: the reference configuration has one.
#[test]
fn who_waits_when_the_vm_dies_is_let_go_in_time_and_not_let_in() {
    let issuer = KeyServer::start().unwrap();
    issuer.answer("/jwks", Answer::json("{}").after(Duration::from_secs(8)));
    let mut policy = policy();
    let provider = &mut policy["jwt"]["providers"][0];
    provider.as_object_mut().unwrap().remove("localJWKS");
    provider["remoteJWKS"] = json!({"uri": issuer.url("/jwks"), "cluster": "issuer", "timeout": "9s"});
    let launch = Launch {
        clusters: vec![Cluster::new("issuer", issuer.port())],
        arguments: words("--concurrency 1"),
        ..Launch::default()
    };
    let change = |listener| Listener { manager: json!({"request_timeout": "2s"}), ..at_once(listener) };
    let gateway = Gateway::launch(artifacts::faulty().unwrap(), policy, change, launch);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client::send(gateway.server, &with_token("/orders")));
        let start = std::time::Instant::now();
        while issuer.requests("/jwks") == 0 {
            assert!(start.elapsed() < super::SOON, "nobody asked for keys");
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(gateway.status(&get("/open").with("x-fault", "head")), 503);
        let status = waiting.join().unwrap().map(|response| response.status);
        assert!(matches!(status, Ok(503 | 504 | 408)), "{status:?}");
    });
    assert!(!gateway.reached("/orders"), "it was let in");
    assert_eq!(gateway.status(&get("/open")), 200);
}

/// The worst that a host does: a plugin that fails on a worker alone is taken out of the path, and Envoy says that it is live. The guard
/// behind it is what keeps the doors closed (README, "The guard").
#[test]
fn a_worker_without_the_plugin_lets_nothing_pass_and_another_configuration_helps() {
    let broken = |listener: Listener| Listener {
        env: [("FAULT_CONFIGURE_FROM".to_owned(), "3".to_owned())].into(),
        vm_id: "broken".to_owned(),
        ..listener
    };
    let mut gateway = Gateway::start(artifacts::faulty().unwrap(), policy(), broken);
    assert_eq!(gateway.envoy.admin_text("/ready").unwrap().trim(), "LIVE");
    for request in [get("/open"), get("/orders"), with_token("/orders"), get("/open").with("x-fault", "head")]
    {
        let response = gateway.send(&request);
        assert_eq!((response.status, response.body), (403, b"RBAC: access denied".to_vec()));
    }
    assert_eq!(gateway.upstream.seen(), []);
    let port = gateway.upstream.address().port();
    let healed = Listener::new(NAME, policy(), artifacts::plugin().unwrap(), port);
    assert_eq!(gateway.envoy.update(&[healed]).unwrap(), Verdict::Taken);
    let start = std::time::Instant::now();
    while gateway.status(&with_token("/orders")) != 200 {
        assert!(start.elapsed() < super::SOON, "{}", gateway.envoy.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    gateway.until_served("healed");
}
