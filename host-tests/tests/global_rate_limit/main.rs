//! Does one limit hold for two gateways, and what if the service that keeps it is away, slow or wrong? A real Limitador, and counters in a
//! real Redis, before real Envoys.

mod bound;
mod document;
mod engines;
mod fallback;
mod redis;
mod remembered;
mod service;
mod wrong;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Body, Request, Response};
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

use document::Document;
use engines::{FixedWindows, Limitador};
use redis::Server as RedisServer;
use service::{Say, Service};

/// A gateway before an upstream. The service is the cluster `ratelimit`.
pub(crate) struct Gateway {
    pub(crate) envoy: Envoy,
    upstream: Upstream,
    pub(crate) address: SocketAddr,
}

impl Gateway {
    /// With a route for each `rateLimit`, whose path and name is the name.
    pub(crate) fn start(port: u16, limits: &[(&str, Value)]) -> Self {
        let upstream = Upstream::start().unwrap();
        let launch = Launch {
            listeners: vec![listener(limits, &upstream)],
            clusters: vec![Document::read().cluster(port)],
            ..Launch::default()
        };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("gateway").unwrap();
        Self { envoy, upstream, address }
    }

    /// Another policy, in the same process.
    pub(crate) fn update(&mut self, limits: &[(&str, Value)]) {
        let listener = listener(limits, &self.upstream);
        let verdict = self.envoy.update(&[listener]).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(verdict, Verdict::Taken);
        self.address = self.envoy.listener("gateway").unwrap();
    }

    pub(crate) fn get(&self, path: &str, tenant: &str) -> Response {
        client::send(self.address, &Request::get("api", path).with("x-tenant", tenant)).unwrap()
    }

    /// Status and code.
    pub(crate) fn told(&self, path: &str, tenant: &str) -> (u16, String) {
        told(&self.get(path, tenant))
    }

    /// Asks until no worker knows the route any more, twenty times one after the other: an update has come to all of them.
    pub(crate) fn until_gone(&self, path: &str) {
        let (began, mut row) = (Instant::now(), 0);
        while row < 20 {
            row = if self.told(path, "nobody").0 == 404 { row + 1 } else { 0 };
            assert!(began.elapsed() < Duration::from_secs(20), "{path}\n{}", self.envoy.log());
        }
    }

    /// Asks until both workers find the service well: twenty answers of 200 one after the other, each on a connection and for a tenant of its
    /// own. Fails after ten seconds.
    pub(crate) fn until_well(&self, path: &str) {
        let (began, mut row) = (Instant::now(), 0);
        while row < 20 {
            let tenant = format!("until-{}", began.elapsed().as_nanos());
            row = if self.told(path, &tenant).0 == 200 { row + 1 } else { 0 };
            assert!(began.elapsed() < Duration::from_secs(10), "{path}\n{}", self.envoy.log());
            if row == 0 {
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn listener(limits: &[(&str, Value)], upstream: &Upstream) -> Listener {
    let routes: Vec<Value> = limits
        .iter()
        .map(|(name, limit)| {
            json!({
                "name": name, "match": {"path": {"type": "Exact", "value": format!("/{name}")}},
                "authentication": {"open": {"because": "test"}}, "rateLimit": limit,
                "request": {"maxHeaderBytes": "128Ki", "body": {"maxBytes": "1Ki"}},
            })
        })
        .collect();
    let policy =
        json!({"apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "shop", "routes": routes});
    Listener::new("gateway", policy, artifacts::plugin().unwrap(), upstream.address().port())
}

pub(crate) fn told(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// A limit by tenant, as the document writes it.
pub(crate) fn by_tenant(more: &Value) -> Value {
    let mut global = json!({
        "service": {"cluster": "ratelimit"}, "domain": "shop", "timeout": "500ms",
        "rules": [{"name": "per-tenant", "by": [{"key": "generic_key", "value": "orders"}, {"header": "x-tenant", "key": "tenant"}]}],
    });
    for (name, value) in more.as_object().unwrap() {
        global[name] = value.clone();
    }
    json!({"global": global})
}

pub(crate) fn with_local(mut limit: Value, requests: u64) -> Value {
    limit["local"] = json!({"rules": [
        {"name": "here", "by": [{"header": "x-tenant"}], "limit": {"requests": requests, "unit": "Day"}},
    ]});
    limit
}

pub(crate) fn limitador() -> Service {
    Service::start(Limitador::new(&Document::read().limitador))
}

/// `count` requests to each gateway in turn, from as many clients at once as there are gateways times two; how many passed.
pub(crate) fn hammer(gateways: &[&Gateway], path: &str, tenant: &str, count: usize) -> usize {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..2)
            .flat_map(|_| gateways)
            .map(|gateway| {
                scope.spawn(move || {
                    let request = Request::get("api", path).with("x-tenant", tenant);
                    let mut client = Client::connect(gateway.address).unwrap();
                    let passed = |_: &usize| match told(&client.exchange(&request).unwrap()) {
                        (200, _) => true,
                        (429, code) if code == "rate_limited" => false,
                        other => panic!("{other:?}\n{}", gateway.envoy.log()),
                    };
                    (0..count).filter(passed).count()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

/// All of it as the document has it: policy, cluster, Limitador's limits.
#[test]
fn two_gateways_share_one_limit_as_the_document_has_it() {
    let document = Document::read();
    let service = limitador();
    let limit = [("orders", document.policy["rateLimit"].clone())];
    let (one, two) = (Gateway::start(service.port(), &limit), Gateway::start(service.port(), &limit));
    assert_eq!(hammer(&[&one, &two], "/orders", "acme", 25), 20, "of 100, at once, through two gateways");
    let asked = service.asked();
    assert!(
        (20..=24).contains(&asked),
        "{asked}: of four clients, each was refused by the service once at most"
    );
    let last = service.last();
    assert_eq!((last.domain.as_str(), last.hits_addend, last.descriptors.len()), ("shop", 1, 1));
    let entries: Vec<_> =
        last.descriptors[0].entries.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
    assert_eq!(entries, [("generic_key", "orders"), ("tenant", "acme")]);
    let refused = two.get("/orders", "acme");
    let retry: u64 = refused.field("retry-after").unwrap().parse().unwrap();
    assert!(refused.status == 429 && (1..=60).contains(&retry), "{retry}");
    assert!(refused.field("ratelimit").is_none(), "Limitador does not say which limit it was");
    // Another tenant has a limit of its own; one that leaves the header out shares one with all who do.
    assert_eq!(one.get("/orders", "other").status, 200);
    let bare = Request::get("api", "/orders");
    let passed = (0..25).filter(|_| client::send(one.address, &bare).unwrap().status == 200).count();
    assert_eq!(passed, 20);
}

/// With a service that counts as envoyproxy/ratelimit does, in Redis.
#[test]
fn counters_in_redis_outlive_the_service_and_its_answer_becomes_headers() {
    let Some(redis) = RedisServer::start() else { return };
    let mut service = Service::start(FixedWindows::new(&Document::read().envoyproxy, redis.redis));
    let limit = [("orders", by_tenant(&json!({}))), ("dear", by_tenant(&json!({"cost": 7})))];
    let (one, two) = (Gateway::start(service.port(), &limit), Gateway::start(service.port(), &limit));
    assert_eq!(hammer(&[&one, &two], "/orders", "acme", 4), 16);
    service.kill();
    assert_eq!(one.told("/orders", "acme"), (503, "limiter_unavailable".to_owned()));
    service.restart();
    one.until_well("/orders");
    two.until_well("/orders");
    assert_eq!(hammer(&[&one, &two], "/orders", "acme", 5), 4, "16 were counted before");
    let refused = one.get("/orders", "acme");
    assert_eq!(refused.field("ratelimit-policy").as_deref(), Some("\"per-tenant\";q=20;w=60"));
    let retry = refused.field("retry-after").unwrap();
    assert_eq!(refused.field("ratelimit"), Some(format!("\"per-tenant\";r=0;t={retry}")));
    assert!((1..=60).contains(&retry.parse::<u64>().unwrap()));
    let passed = (0..4).filter(|_| one.get("/dear", "rich").status == 200).count();
    assert_eq!(passed, 2, "7 and 7 of 20");
}

#[test]
fn who_is_over_a_local_limit_costs_no_call_and_no_local_limit_is_charged_twice() {
    let service = limitador();
    let limit = [("local", with_local(by_tenant(&json!({})), 5))];
    let gateway = Gateway::start(service.port(), &limit);
    let passed = (0..12).filter(|_| gateway.get("/local", "acme").status == 200).count();
    assert_eq!((passed, service.asked()), (5, 5));
    // The other way round: what a local limit took for a request that the service refuses is gone, once for each.
    let limit = [("local", with_local(by_tenant(&json!({"refusalHolds": "0s"})), 30))];
    let gateway = Gateway::start(service.port(), &limit);
    let before = service.asked();
    assert_eq!(hammer(&[&gateway], "/local", "globex", 20), 20);
    assert_eq!(service.asked() - before, 30, "ten of the forty came no further than here");
}

/// As long as a header can be in Envoy: all of it is the key, here and there, and the service gets its hash.
#[test]
fn a_key_of_sixty_thousand_bytes_is_a_key() {
    let service = limitador();
    let limit = [("long", with_local(by_tenant(&json!({})), 2))];
    let gateway = Gateway::start(service.port(), &limit);
    for end in ["a", "b"] {
        let tenant = format!("{}{end}", "x".repeat(60_000));
        for status in [200, 200, 429] {
            assert_eq!(gateway.get("/long", &tenant).status, status, "{end}\n{}", gateway.envoy.log());
        }
        let value = service.last().descriptors[0].entries[1].value.clone();
        assert!(value.starts_with("sha256:") && value.len() == 71, "{value}");
    }
    assert_eq!(service.asked(), 4, "the third ones came no further than here");
}

/// With leases far fewer questions are asked, and still never more passes than the limit in its window.
#[test]
fn leases_save_calls_and_pass_no_limit() {
    let limits = Document::read().limitador.replace("max_value: 20\n", "max_value: 2000\n");
    let service = Service::start(Limitador::new(&limits));
    let limit = [("leased", by_tenant(&json!({"lease": 50})))];
    let (one, two) = (Gateway::start(service.port(), &limit), Gateway::start(service.port(), &limit));
    let began = Instant::now();
    let passed = hammer(&[&one, &two], "/leased", "acme", 750);
    let asked = service.asked();
    eprintln!("{passed} of 3000 passed a limit of 2000, by {asked} questions, in {:?}", began.elapsed());
    // What is lost near the limit: less than a lease for each of four workers.
    assert!((1800..=2000).contains(&passed), "{passed}");
    assert!(asked < 1800, "{asked}");
}

/// What each failure mode makes of a service that is away, and that it is found again.
#[test]
fn a_service_that_is_killed_and_started_again() {
    let mut service = limitador();
    let mode = |mode: &str| by_tenant(&json!({"failureMode": mode}));
    let limits = [
        ("deny", mode("Deny")),
        ("allow", mode("Allow")),
        ("local", with_local(mode("Local"), 1000)),
        ("shadow", by_tenant(&json!({"mode": "Shadow"}))),
        ("tight", with_local(mode("Local"), 3)),
    ];
    let gateway = Gateway::start(service.port(), &limits);
    for path in ["/deny", "/allow", "/local", "/shadow"] {
        assert_eq!(gateway.told(path, path).0, 200, "{path}\n{}", gateway.envoy.log());
    }
    service.kill();
    for _ in 0..10 {
        let denied = gateway.get("/deny", "a");
        assert_eq!(told(&denied), (503, "limiter_unavailable".to_owned()));
        assert_eq!(denied.field("retry-after").as_deref(), Some("1"));
        for path in ["/allow", "/local", "/shadow"] {
            assert_eq!(gateway.told(path, "a").0, 200, "{path}");
        }
    }
    let passed = (0..10).filter(|_| gateway.get("/tight", "a").status == 200).count();
    assert_eq!(passed, 3, "the local limit holds");
    assert!(
        gateway
            .envoy
            .wait_for_log(&["rate limit service", "cluster `ratelimit`", "requests are refused"])
            .is_some()
    );
    service.restart();
    gateway.until_well("/deny");
    let before = service.asked();
    assert_eq!(gateway.told("/shadow", "a").0, 200);
    assert_eq!(service.asked(), before + 1, "asked in Shadow too");
}

/// A slow service costs a few requests its timeout, and then nobody.
#[test]
fn a_service_that_is_slow() {
    let service = limitador();
    let timeout = json!({"timeout": "200ms"});
    let gateway = Gateway::start(service.port(), &[("deny", by_tenant(&timeout))]);
    assert_eq!(gateway.told("/deny", "a").0, 200);
    service.slow_down(Duration::from_secs(5));
    let began = Instant::now();
    for _ in 0..40 {
        let once = Instant::now();
        assert_eq!(gateway.told("/deny", "a"), (503, "limiter_unavailable".to_owned()));
        assert!(once.elapsed() < Duration::from_secs(2), "{:?}", once.elapsed());
    }
    // Two workers, three timeouts each, and one for each second that this took: 1.6 s and what a busy machine adds, and not eight.
    let most = Duration::from_secs(5);
    assert!(began.elapsed() < most, "{:?} for 40 requests", began.elapsed());
    service.slow_down(Duration::ZERO);
    gateway.until_well("/deny");
    // Slow, but in time.
    service.slow_down(Duration::from_millis(100));
    assert_eq!(gateway.told("/deny", "b").0, 200);
}

/// While the service is asked, nothing goes upstream; then all of it does, or none.
#[test]
fn the_body_is_held_back_while_the_service_is_asked() {
    let service = limitador();
    service.slow_down(Duration::from_millis(300));
    let gateway = Gateway::start(service.port(), &[("slow", by_tenant(&json!({"timeout": "2s"})))]);
    let post = |id: &str, body: Body| {
        let mut request = Request::get("api", "/slow").with("x-tenant", "a").with("x-request-id", id);
        request.method = "POST".to_owned();
        request.body = body;
        request
    };
    let whole = post("whole", Body::Whole(vec![b'x'; 1000]));
    let before = Instant::now();
    let answer = thread::scope(|scope| {
        let asking = scope.spawn(|| client::send(gateway.address, &whole).unwrap());
        while service.asked() == 0 {
            assert!(before.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(5));
        }
        assert!(gateway.upstream.seen_with_id("whole").is_none(), "nothing has gone upstream");
        asking.join().unwrap()
    });
    assert_eq!(answer.status, 200, "{}", gateway.envoy.log());
    assert_eq!(gateway.upstream.seen_with_id("whole").unwrap().body.len(), 1000);
    // A body that grows too long while the request waits.
    let long = post("long", Body::Chunks(vec![vec![b'x'; 600], vec![b'x'; 600]]));
    assert_eq!(told(&client::send(gateway.address, &long).unwrap()), (413, "body_too_large".to_owned()));
    assert!(gateway.upstream.seen_with_id("long").is_none());
}

/// Clients that leave take nothing with them: neither the worker nor a place among those who wait.
#[test]
fn clients_that_do_not_wait() {
    let service = limitador();
    service.slow_down(Duration::from_millis(200));
    let gateway = Gateway::start(service.port(), &[("slow", by_tenant(&json!({"timeout": "1s"})))]);
    for round in 0..200 {
        let mut stream = std::net::TcpStream::connect(gateway.address).unwrap();
        let request = Request::get("api", "/slow").with("x-tenant", format!("t{round}"));
        std::io::Write::write_all(&mut stream, &request.to_wire()).unwrap();
        // Gone while the question is on its way, or before.
        if round % 2 == 0 {
            let began = Instant::now();
            let before = service.asked();
            while service.asked() == before && began.elapsed() < Duration::from_millis(20) {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_eq!(gateway.told("/slow", "stays").0, 200, "{}", gateway.envoy.log());
    let log = gateway.envoy.log();
    assert!(!log.contains("panic") && !log.contains("[critical]"), "{log}");
}

/// Every answer that is neither yes nor no.
#[test]
fn a_service_that_says_neither_yes_nor_no() {
    let service = limitador();
    let modes = ["Deny", "Allow"].map(|mode| by_tenant(&json!({"failureMode": mode})));
    let [deny, allow] = modes;
    let gateway = Gateway::start(service.port(), &[("deny", deny), ("allow", allow)]);
    let sayings = [
        Say::Code(Code::Unknown),
        Say::Status(tonic::Code::Unknown),
        Say::Status(tonic::Code::ResourceExhausted),
        Say::Status(tonic::Code::Unimplemented),
    ];
    for say in sayings {
        service.say(say);
        assert_eq!(gateway.told("/deny", "a"), (503, "limiter_unavailable".to_owned()));
        assert_eq!(gateway.told("/allow", "a").0, 200);
        service.say(Say::Truth);
        gateway.until_well("/deny");
    }
    service.say(Say::Code(Code::OverLimit));
    assert_eq!(gateway.told("/allow", "a"), (429, "rate_limited".to_owned()), "no is no, whatever the mode");
}
