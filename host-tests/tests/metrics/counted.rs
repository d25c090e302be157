//! Is everything that the table promises counted? One gateway that has all of it to count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::SystemTime;

use host_tests::artifacts;
use host_tests::client::Client;
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::Request;
use host_tests::key_server::{Answer, KeyServer};
use host_tests::prometheus::Sample;
use host_tests::scenario::{Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use portcullis_filter::host::Kind;
use portcullis_filter::metrics::Metric;
use serde_json::{Value, json};

use super::{file, ours, until};

fn policy(server: &KeyServer) -> Value {
    let path = |path: &str| json!({"path": {"type": "Exact", "value": path}});
    let open = json!({"open": {"because": "test"}});
    let jwt = |provider: &str| json!({"jwt": {"providers": [provider]}});
    let by_key = |requests: u64| json!({"local": {"rules": [{"name": "k", "by": [{"header": "x-key"}], "limit": {"requests": requests, "unit": "Day"}}]}});
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "counted",
        "stateBytes": "64Ki",
        // Of which nobody has the key.
        "audit": {"subject": "Hashed", "hashKey": {"env": "NOT_THERE"}, "sinks": {"otlp": {"uri": "http://collector/v1/logs", "cluster": "nobody", "maxBatch": 1, "maxBuffered": 1}}},
        "jwt": {"providers": [
            {
                "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
                "remoteJWKS": {"uri": server.url("/jwks"), "cluster": "issuer", "cacheDuration": "1s", "failedRefetchDuration": "200ms"},
            },
            {
                "name": "asked", "issuer": "https://opaque.example.com", "audiences": ["orders-api"], "requireExpiration": false,
                "introspection": {"uri": server.url("/introspect"), "cluster": "issuer", "clientId": "me", "clientSecret": {"env": "SECRET"}},
            },
        ]},
        "routes": [
            {"name": "signed", "match": path("/signed"), "authentication": jwt("corp")},
            {"name": "opaque", "match": path("/opaque"), "authentication": jwt("asked")},
            {"name": "guessed", "match": path("/guessed"), "authentication": jwt("corp"), "rateLimit": {"failures": {"rules": [
                {"name": "guess", "by": ["clientIP"], "limit": {"requests": 2, "unit": "Hour"}, "penalty": "1h"},
            ]}}},
            {"name": "crowded", "match": path("/crowded"), "authentication": open, "rateLimit": by_key(1000)},
            {"name": "raced", "match": path("/raced"), "authentication": open, "rateLimit": by_key(1_000_000)},
            {"name": "shared", "match": path("/shared"), "authentication": open, "rateLimit": {"global": {
                "service": {"cluster": "nobody"}, "domain": "d", "failureMode": "Allow", "rules": [{"name": "g", "by": ["clientIP"]}],
            }}},
        ],
    })
}

/// Sends each on one connection, and so to one worker.
fn send(address: SocketAddr, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
    let mut client = Client::connect(address).unwrap();
    requests.into_iter().map(|request| client.exchange(&request).unwrap().status).collect()
}

fn bearing(path: &str, token: &str) -> Request {
    Request::get("api", path).with("authorization", format!("Bearer {token}"))
}

fn token(signature: Signature) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    Keys::of_this_run().mint(&TokenSpec { signature, ..TokenSpec::of("es256") }, now).unwrap()
}

/// The rows of which nothing is told, or nothing but zero.
fn missing(samples: &[Sample]) -> BTreeSet<&'static str> {
    let told = |metric: &Metric| {
        let row = metric.row();
        let suffix = if row.kind == Kind::Histogram { "_count" } else { "" };
        samples.iter().any(|sample| sample.name == format!("{}{suffix}", row.name) && sample.value > 0.0)
    };
    Metric::ALL.iter().filter(|metric| !told(metric)).map(|metric| metric.row().name).collect()
}

#[test]
fn everything_in_the_table_is_counted_and_nothing_else() {
    let server = KeyServer::start().unwrap();
    server.answer("/jwks", Answer::json(Keys::of_this_run().jwks(&["es256"]).unwrap()));
    server.answer_with("/introspect", |request| {
        let active = String::from_utf8_lossy(&request.body).contains("good");
        Answer::json(json!({"active": active, "aud": "orders-api", "client_id": "web"}).to_string())
    });
    let upstream = Upstream::start().unwrap();
    let port = upstream.address().port();
    let mut listener = Listener::new("counted", policy(&server), artifacts::plugin().unwrap(), port);
    listener.env.insert("SECRET".to_owned(), "a-secret".to_owned());
    let reference: Value = serde_saphyr::from_str(&file("envoy.yaml")).unwrap();
    let mut envoy = Envoy::start(&Launch {
        listeners: vec![listener.clone()],
        clusters: vec![Cluster::new("issuer", server.port())],
        stats_config: reference["stats_config"].clone(),
        ..Launch::default()
    })
    .unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("counted").unwrap();

    let (good, forged) = (token(Signature::Good), token(Signature::Tampered));
    let tokens = [&good, &good, &forged, &forged].map(|token| bearing("/signed", token));
    assert_eq!(send(address, tokens), [200, 200, 401, 401]);
    let opaque = ["good", "good", "bad"].map(|token| bearing("/opaque", token));
    assert_eq!(send(address, opaque), [200, 200, 401]);
    assert_eq!(send(address, (0..4).map(|_| bearing("/guessed", &forged))), [401, 401, 429, 429]);
    assert!(
        send(address, (0..8).map(|_| Request::get("api", "/shared"))).iter().all(|status| *status == 200)
    );
    let crowd = (0..4000).map(|key| Request::get("api", "/crowded").with("x-key", key.to_string()));
    send(address, crowd);
    // From now on the keys cannot be fetched any more, and the issuer says nothing of tokens.
    server.answer("/jwks", Answer::html().status(500));
    server.answer("/introspect", Answer::html().status(500));
    assert_eq!(send(address, [bearing("/opaque", "other")]), [503]);
    let mut broken = listener.clone();
    broken.policy["routes"] = json!([]);
    assert_eq!(envoy.update(&[broken]).unwrap(), Verdict::Refused);

    let mut samples = Vec::new();
    until("everything is counted", || {
        // Two workers at one bucket.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    send(address, (0..100).map(|_| Request::get("api", "/raced").with("x-key", "one")));
                });
            }
        });
        samples = ours(&envoy);
        missing(&samples).is_empty()
    });
    for (metric, labels, least) in [
        (Metric::Tokens, &["corp", "checked"][..], 1.0),
        (Metric::Tokens, &["corp", "known"], 1.0),
        (Metric::Tokens, &["corp", "forged"], 1.0),
        (Metric::Tokens, &["corp", "known_forged"], 1.0),
        (Metric::KeyFetches, &["corp", "ok"], 1.0),
        (Metric::KeyFetches, &["corp", "failed"], 1.0),
        (Metric::KeysOverdue, &["corp"], 1.0),
        (Metric::Introspections, &["asked", "active"], 1.0),
        (Metric::Introspections, &["asked", "inactive"], 1.0),
        (Metric::Introspections, &["asked", "failed"], 1.0),
        // The first one asked and then found the answer; the second one found it.
        (Metric::Introspections, &["asked", "cached"], 2.0),
        (Metric::LimiterCalls, &["failed"], 3.0),
        (Metric::LimiterCalls, &["unasked"], 1.0),
        (Metric::Penalties, &[], 1.0),
        (Metric::PolicyLoads, &["refused"], 1.0),
        (Metric::Requests, &["guessed", "refused", "too_many_failures"], 2.0),
        (Metric::Requests, &["opaque", "refused", "introspection_unavailable"], 1.0),
        // 4000 keys into 2048 places.
        (Metric::Evictions, &[], 1000.0),
    ] {
        let row = metric.row();
        let labels: Vec<(&str, &str)> = row.labels.iter().copied().zip(labels.iter().copied()).collect();
        let found = host_tests::prometheus::sum(&samples, row.name, &labels);
        assert!(found >= least, "{} {labels:?}: {found}, not {least}", row.name);
    }
    let lacks = |what: &str| {
        host_tests::prometheus::sum(&samples, "portcullis_degraded", &[("policy", "counted"), ("what", what)])
    };
    assert_eq!((lacks("subject_key"), lacks("keys")), (1.0, 0.0));
    only_what_the_table_has(&envoy, &samples);
}

/// Names, kinds and labels are those of the table.
fn only_what_the_table_has(envoy: &Envoy, samples: &[Sample]) {
    let text = envoy.admin_text("/stats/prometheus").unwrap();
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for metric in Metric::ALL {
        let row = metric.row();
        let kind = match row.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!(kinds.get(row.name), Some(&kind), "{}", row.name);
    }
    labels_are_those_of_the_table(samples);
}

/// Each is a series of the table, with the labels of its row.
pub(crate) fn labels_are_those_of_the_table(samples: &[Sample]) {
    for sample in samples {
        let of = |metric: &&Metric| {
            let row = metric.row();
            let suffix = sample.name.strip_prefix(row.name);
            suffix == Some("")
                || row.kind == Kind::Histogram && suffix.is_some_and(|suffix| suffix.starts_with('_'))
        };
        let row = Metric::ALL.iter().find(of).unwrap_or_else(|| panic!("not in the table: {sample:?}")).row();
        let labels: BTreeSet<&str> =
            sample.labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        assert_eq!(labels, row.labels.iter().copied().collect(), "{sample:?}");
    }
}
