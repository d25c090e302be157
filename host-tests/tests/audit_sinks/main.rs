//! Where do events go in a real Envoy: its own access log in three forms, its traces, and a collector; and what if the collector is ill?

mod access_log_service;
mod document;
mod succession;

use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use access_log_service::Service;
use host_tests::artifacts;
use host_tests::client;
use host_tests::collector::Collector;
use host_tests::corpus::Case;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::Request;
use host_tests::key_server::{Answer, Ending, KeyServer};
use host_tests::observed::any_event;
use host_tests::scenario::{self, Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

/// How ids of requests end. They are UUIDs, by which Envoy decides whether to trace one, and notes in another digit that it does.
const ALLOWED: &str = "-a000-00000000a11e";
const REFUSED: &str = "-a000-0000000def5e";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SOON: Duration = Duration::from_secs(15);

/// A policy of the corpus with this audit section.
fn policy(name: &str, audit: &Value) -> Value {
    let text =
        format!("name: {name}\nwhy: a base\nbase: one-route\npolicy: {{audit: {audit}}}\nrequests: []\n");
    Case::new(scenario::parse(&text).unwrap()).unwrap().policy
}

fn token(signature: Signature) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let spec = TokenSpec { signature, ..TokenSpec::of("rs256") };
    format!("Bearer {}", Keys::of_this_run().mint(&spec, now.as_secs()).unwrap())
}

fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for(SOON, what, look)
}

fn wait_for<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < limit, "{what} does not come");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Puts the path of a test in the place of the one that the page has.
fn file_log(path: &Path) -> Value {
    let mut log = document::block("file");
    log["typed_config"]["path"] = json!(path);
    log
}

/// Before 1.37 Envoy knows no `value` of a tag, of an entry by gRPC and of a span.
fn leave_tags_out(listener: &mut Listener) {
    listener.access_log.remove(1);
    listener.tracing.as_mut().and_then(Value::as_object_mut).unwrap().remove("custom_tags");
}

/// The service that takes the access log by gRPC.
fn by_grpc(service: &Service) {
    let entries = wait("the entries", || Some(service.entries()).filter(|entries| entries.len() == 2));
    let (refused, _) = entries.iter().find(|(tags, _)| tags["request_id"].ends_with(REFUSED)).unwrap();
    assert_eq!((refused["decision"].as_str(), refused["reason"].as_str()), ("refused", "signature_invalid"));
    let (allowed, _) = entries.iter().find(|(tags, _)| tags["request_id"].ends_with(ALLOWED)).unwrap();
    assert_eq!((allowed["decision"].as_str(), allowed["subject"].as_str()), ("allowed", "alice"));
}

/// One allowed request, one that is refused, and one whose subject tries to end the line.
#[test]
fn every_sink_of_the_page_gets_the_decision() {
    let Some(collector) = Collector::start() else { return };
    let (upstream, service) = (Upstream::start().unwrap(), Service::start());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let policy = policy("sinks", &document::block("policy")["audit"]);
    let mut listener =
        Listener::new("sinks", policy, artifacts::plugin().unwrap(), upstream.address().port());
    listener.env = [("COLLECTOR_AUTHORIZATION".to_owned(), "Bearer of-the-collector".to_owned())].into();
    listener.vm_id = "portcullis-sinks".to_owned();
    listener.access_log = vec![file_log(&file), document::block("grpc"), document::block("opentelemetry")];
    listener.tracing = Some(document::block("tracing"));
    let has_tags = artifacts::envoy_version().unwrap() >= (1, 37);
    if !has_tags {
        leave_tags_out(&mut listener);
    }
    let clusters = vec![
        Cluster::written(document::block("cluster"), collector.http.port()),
        Cluster::of_grpc("access_log_service", service.port()),
        Cluster::of_grpc("collector_grpc", collector.grpc.port()),
    ];
    let launch = Launch { listeners: vec![listener], clusters, ..Launch::default() };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("sinks").unwrap();

    let get = |id: &str| {
        let traced = format!("00-{TRACE}-00f067aa0ba902b7-01");
        Request::get("api.example.com", "/orders/7?token=abc")
            .with("x-request-id", format!("018f2f6c-7b1e-4c3a{id}"))
            .with("traceparent", traced)
    };
    let good = get(ALLOWED).with("authorization", token(Signature::Good));
    let bad = get(REFUSED).with("authorization", token(Signature::Tampered));
    assert_eq!(client::send(address, &good).unwrap().status, 200);
    assert_eq!(client::send(address, &bad).unwrap().status, 401);

    // The file.
    let lines: Vec<Value> = wait("the file", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() == 2).then_some(lines)
    });
    let of = |id: &str| lines.iter().find(|line| line["request_id"].as_str().unwrap().ends_with(id)).unwrap();
    assert_eq!(of(ALLOWED)["decision"], "allowed");
    assert_eq!(of(ALLOWED)["subject"], "alice");
    assert_eq!(of(ALLOWED)["route"], "all");
    assert_eq!(
        (&of(REFUSED)["decision"], &of(REFUSED)["reason"]),
        (&json!("refused"), &json!("signature_invalid"))
    );
    assert!(of(REFUSED)["policy"].as_str().unwrap().starts_with("sinks@"));

    if has_tags {
        by_grpc(&service);
    }

    let is_of = |text: &str, id: &str| {
        text.lines().any(|line| line.contains("-> http.request.id: Str(") && line.contains(&format!("{id})")))
    };
    // A real collector: our own events by OTLP over HTTP, Envoy's log and its spans by gRPC.
    let said = collector.wait("records and spans", |said| {
        [
            "-> url.path: Str(/orders/7)",
            "-> event.action: Str(policy-loaded)",
            "-> log: Str(envoy)",
            "-> portcullis.decision: Str(refused)",
        ]
        .iter()
        .all(|part| said.contains(part))
            && [ALLOWED, REFUSED].iter().all(|id| is_of(said, id))
            && said.contains("Span #")
    });
    let records = Collector::records(&said);
    let ours = |id: &str| records.iter().find(|record| is_of(record, id)).unwrap_or_else(|| panic!("{said}"));
    for part in [
        "SeverityText: WARN",
        "Body: Str(request refused signature_invalid GET /orders/7)",
        "-> event.reason: Str(signature_invalid)",
        "-> event.type: Slice(Str(denied))",
        "-> http.response.status_code: Int(401)",
        "-> url.query: Str(token=REDACTED)",
        &format!("Trace ID       : {TRACE}"),
        "Span ID        : 00f067aa0ba902b7",
    ] {
        assert!(ours(REFUSED).contains(part), "{part}: {}", ours(REFUSED));
    }
    for part in [
        "SeverityText: INFO",
        "-> user.id: Str(alice)",
        "-> portcullis.decision: Str(allowed)",
        "-> portcullis.provider: Str(corp)",
    ] {
        assert!(ours(ALLOWED).contains(part), "{part}: {}", ours(ALLOWED));
    }
    let envoys = records.iter().filter(|record| record.contains("-> log: Str(envoy)"));
    assert!(envoys.clone().any(|record| record.contains("-> reason: Str(signature_invalid)")), "{said}");
    // The decision is on the span of the request's trace.
    let mut spans = said.split("Span #").skip(1).filter(|span| span.contains(TRACE));
    if has_tags {
        let span = spans.find(|span| span.contains("Str(signature_invalid)"));
        let span = span.unwrap_or_else(|| panic!("no span has the reason: {said}"));
        assert!(span.contains("-> portcullis.decision: Str(refused)"), "{span}");
    } else {
        assert_eq!(spans.count(), 2, "{said}");
    }
    // One policy, told once by all threads together, and the host's log is off.
    assert_eq!(said.matches("-> event.action: Str(policy-loaded)").count(), 1);
    assert_eq!(envoy.log().lines().filter_map(any_event).count(), 0);
    assert!(!said.contains("of-the-collector"));
}

struct Ill {
    envoy: Envoy,
    collector: KeyServer,
    address: SocketAddr,
    _upstream: Upstream,
}

impl Ill {
    fn start() -> Self {
        let (upstream, collector) = (Upstream::start().unwrap(), KeyServer::start().unwrap());
        let otlp = json!({
            "cluster": "collector", "uri": "http://collector/v1/logs", "timeout": "500ms",
            "maxBatch": 8, "maxDelay": "100ms", "maxBuffered": 64,
        });
        let audit = json!({"log": "All", "sinks": {"log": false, "otlp": otlp}});
        let mut listener = Listener::new(
            "ill",
            policy("ill", &audit),
            artifacts::plugin().unwrap(),
            upstream.address().port(),
        );
        "portcullis-ill".clone_into(&mut listener.vm_id);
        let clusters = vec![Cluster::new("collector", collector.port())];
        let launch = Launch { listeners: vec![listener], clusters, ..Launch::default() };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("ill").unwrap();
        Self { envoy, collector, address, _upstream: upstream }
    }

    /// Requests come, for a while; all of them are decided on, and none waits for the collector's timeout. The slowest.
    fn serve(&self, count: usize) {
        let authorization = token(Signature::Good);
        let mut client = client::Client::connect(self.address).unwrap();
        let began = Instant::now();
        for _ in 0..count {
            let request = Request::get("api.example.com", "/").with("authorization", authorization.as_str());
            assert_eq!(client.exchange(&request).unwrap().status, 200);
        }
        // Were each to wait for the collector, it would take half a second each.
        assert!(
            began.elapsed() < Duration::from_millis(250) * u32::try_from(count).unwrap(),
            "{:?}",
            began.elapsed()
        );
    }

    fn asked(&self) -> usize {
        self.collector.requests("/v1/logs")
    }
}

/// Hanging, endless, garbage, errors, away; and well again.
#[test]
fn an_ill_collector_costs_no_request_anything_and_what_is_lost_is_told() {
    let mut ill = Ill::start();
    for (what, answer) in [
        ("hangs", Answer::json("{}").after(Duration::from_secs(30))),
        ("never ends", Answer::json("x").ending(Ending::Endless)),
        ("refuses", Answer::json("{}").status(500)),
        ("is cut off", Answer::json("{\"a\":1}").ending(Ending::CutOff(3))),
        ("redirects", Answer::redirect("http://elsewhere/")),
    ] {
        let before = ill.asked();
        ill.collector.answer("/v1/logs", answer);
        ill.serve(40);
        wait(&format!("a collector that {what}"), || (ill.asked() > before).then_some(()));
    }
    let before = ill.asked();
    ill.collector.stop();
    ill.serve(200);
    assert_eq!(ill.asked(), before);
    assert!(ill.envoy.wait_for_log(&["audit events are dropped"]).is_some());
    ill.collector.restart().unwrap();
    ill.collector.answer("/v1/logs", Answer::of("application/x-protobuf", *b""));
    ill.serve(4);
    let line = wait("word that it is well again", || {
        ill.serve(1);
        ill.envoy.find_in_log(Duration::from_millis(300), |line| {
            line.contains("audit events reach the collector again").then(|| line.to_owned())
        })
    });
    assert!(line.contains(" were dropped"), "{line}");
    let media_type = ill.collector.last("/v1/logs").unwrap().field("content-type");
    assert_eq!(media_type.as_deref(), Some("application/x-protobuf"));
    assert!(ill.envoy.is_running());
    assert!(!ill.envoy.log().contains("panic"), "no VM was lost");
}
