//! What happens to a gateway over time in a real Envoy: good and bad policies pushed to it, a plugin switched off, many callers at
//! once, secrets on every path?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::corpus::Case;
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Body, Request, Response, latin1};
use host_tests::scenario::{self, Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

/// The shop of `scenarios/policies/orders.yaml`, with this overlay.
fn policy(overlay: &str) -> Value {
    let text = format!("name: journey\nwhy: a base\nbase: orders\npolicy: {overlay}\nrequests: []\n");
    Case::new(scenario::parse(&text).unwrap()).unwrap().policy
}

fn listener(policy: Value, upstream: &Upstream) -> Listener {
    Listener::new("journey", policy, artifacts::plugin().unwrap(), upstream.address().port())
}

fn start(listener: Listener) -> Envoy {
    Envoy::start(&Launch { listeners: vec![listener], ..Launch::default() })
        .unwrap_or_else(|failure| panic!("{failure}"))
}

fn address(envoy: &Envoy) -> SocketAddr {
    envoy.listener("journey").unwrap()
}

fn get(envoy: &Envoy, path: &str, token: Option<&str>) -> Response {
    let mut request = Request::get("api.example.com", path);
    if let Some(token) = token {
        request = request.with("authorization", format!("Bearer {token}"));
    }
    client::send(address(envoy), &request).unwrap()
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn token(spec: &TokenSpec) -> String {
    Keys::of_this_run().mint(spec, now()).unwrap()
}

/// Five mistakes, and what the log must say of each: the place and their word.
fn five_mistakes() -> (Value, [[&'static str; 2]; 5]) {
    let mut policy = policy("{}");
    policy["jwt"]["providers"][0]["audience"] = json!(["orders-api"]);
    policy["routes"][0]["match"]["path"]["type"] = json!("Prefix");
    policy["routes"][1]["authentication"] = json!({"jwt": {"providers": ["nobody"]}});
    policy["routes"][2]["rateLimit"] = json!({"local": {"rules": [
        {"name": "none", "limit": {"requests": 0, "unit": "Minute"}},
    ]}});
    policy["audit"]["log"] = json!("Everything");
    let told = [
        ["jwt.providers[0]", "`audience`"],
        ["routes[0].match.path", "`Prefix`"],
        ["routes[1].authentication", "`nobody`"],
        ["routes[2].rateLimit.local.rules[0].limit", "requests"],
        ["audit.log", "`Everything`"],
    ];
    (policy, told)
}

#[test]
fn a_policy_with_five_mistakes_is_refused_with_five_messages_and_the_old_one_keeps_serving() {
    let upstream = Upstream::start().unwrap();
    let mut envoy = start(listener(policy("{}"), &upstream));
    assert_eq!(get(&envoy, "/healthz", None).status, 200);

    let (bad, told) = five_mistakes();
    assert_eq!(envoy.update(&[listener(bad, &upstream)]).unwrap(), Verdict::Refused);
    for parts in told {
        assert!(envoy.wait_for_log(&parts).is_some(), "{parts:?} is not in\n{}", envoy.log());
    }
    assert_eq!(get(&envoy, "/healthz", None).status, 200);
    assert_eq!(get(&envoy, "/orders", None).status, 401);

    // A good one after it is taken: what was refused has left nothing behind.
    let health = "{routes: [{name: health, match: {path: {type: Exact, value: /alive}}, authentication: {open: {because: probe}}}]}";
    assert_eq!(envoy.update(&[listener(policy(health), &upstream)]).unwrap(), Verdict::Taken);
    let served = (0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        get(&envoy, "/alive", None).status == 200
    });
    assert!(served && get(&envoy, "/healthz", None).status == 404);
}

#[test]
fn a_first_policy_with_mistakes_keeps_envoy_from_starting_and_says_why() {
    let upstream = Upstream::start().unwrap();
    let (bad, told) = five_mistakes();
    let launch = Launch { listeners: vec![listener(bad, &upstream)], fixed: true, ..Launch::default() };
    let failure = Envoy::start(&launch).unwrap_err();
    assert!(failure.status.is_some_and(|status| !status.success()), "{failure}");
    for parts in told {
        let line = failure.log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
        assert!(line.is_some(), "{parts:?} is not in\n{}", failure.log);
    }
}

#[test]
fn a_plugin_that_is_switched_off_means_closed_doors() {
    let upstream = Upstream::start().unwrap();
    let off = Listener { plugin_disabled: true, ..listener(policy("{}"), &upstream) };
    let envoy = start(off);
    let good = token(&TokenSpec::of("rs256"));
    for response in [get(&envoy, "/healthz", None), get(&envoy, "/orders", Some(&good))] {
        assert_eq!((response.status, response.body), (403, b"RBAC: access denied".to_vec()));
    }
    assert_eq!(upstream.seen(), []);
}

#[test]
fn two_workers_let_no_more_through_than_the_limit() {
    const LIMIT: u32 = 20;
    const CALLERS: usize = 6;
    const EACH: usize = 40;
    let upstream = Upstream::start().unwrap();
    let limited = format!(
        "{{routes: [{{name: probe, match: {{path: {{type: Exact, value: /probe}}}}, authentication: {{open: {{because: probe}}}}, \
         rateLimit: {{local: {{rules: [{{name: all, limit: {{requests: {LIMIT}, unit: Hour}}}}]}}}}}}]}}"
    );
    let envoy = start(listener(policy(&limited), &upstream));
    let (server, admitted) = (address(&envoy), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    // A connection each: the kernel spreads them over the workers.
                    let response = client::send(server, &Request::get("api.example.com", "/probe")).unwrap();
                    assert!([200, 429, 503].contains(&response.status), "{response:?}");
                    admitted.fetch_add(u32::from(response.status == 200), Ordering::SeqCst);
                }
            });
        }
    });
    let through = admitted.into_inner();
    // An hour's limit of 20 refills one every three minutes.
    assert!((LIMIT..=LIMIT + 1).contains(&through), "{through} of a limit of {LIMIT}");
    assert_eq!(upstream.seen().len(), usize::try_from(through).unwrap());
    let text = envoy.admin_text("/stats?filter=worker_.*downstream_cx_total").unwrap();
    let busy =
        text.lines().filter(|line| line.contains("listener.127.0.0.1") && !line.ends_with(": 0")).count();
    assert_eq!(busy, 2, "both workers must have served, or this shows nothing:\n{text}");
}

/// Requests that carry the mark in every place where a secret travels, and what must come of them.
fn marked(mark: &str) -> Vec<(Request, u16)> {
    let good = format!("Bearer {}", token(&TokenSpec::of("rs256")));
    let with_jti = |signature| {
        let claims = json!({"jti": mark, "org": {"dept": "eu"}}).as_object().cloned().unwrap();
        format!("Bearer {}", token(&TokenSpec { claims, signature, ..TokenSpec::of("rs256") }))
    };
    let get = |path: &str| Request::get("api.example.com", path);
    let query = format!("/orders?access_token={mark}&page=1");
    let json_body = Request {
        method: "POST".to_owned(),
        body: Body::Whole(format!("{{\"password\":\"{mark}\"}}{}", " ".repeat(2000)).into_bytes()),
        ..get("/orders").with("authorization", good.as_str()).with("content-type", "application/json")
    };
    vec![
        (get("/orders").with("authorization", with_jti(Signature::Good)), 200),
        (get("/orders").with("authorization", with_jti(Signature::Tampered)), 401),
        (get("/orders").with("authorization", format!("Bearer {mark}")), 401),
        (get("/orders").with("authorization", format!("Bearer {mark}.{mark}.{mark}")), 401),
        (get("/orders").with("authorization", format!("Basic {mark}")), 401),
        (
            get("/orders")
                .with("authorization", format!("Bearer {mark}"))
                .with("authorization", good.as_str()),
            400,
        ),
        (get("/orders").with("cookie", format!("session={mark}")), 401),
        (get("/orders").with("x-api-key", mark), 401),
        (get(&query), 401),
        (get(&format!("/nowhere?token={mark}")), 404),
        (get(&format!("/healthz/../x?code={mark}")), 400),
        (json_body, 413),
    ]
}

#[test]
fn a_marked_secret_is_in_no_log_line_header_or_answer() {
    let upstream = Upstream::start().unwrap();
    let listeners = vec![listener(policy("{}"), &upstream)];
    let launch =
        Launch { listeners, component_log_level: Some("wasm:trace".to_owned()), ..Launch::default() };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let mark = "canary7f3a9c51e8d2b640canary";
    // A claim travels in base64: three alignments, of which the middle is always the same.
    let hidden = [mark.to_owned(), encoded(mark, 0), encoded(mark, 1), encoded(mark, 2)];
    let mut last = String::new();
    for (index, (request, status)) in marked(mark).into_iter().enumerate() {
        last = format!("canary-{index}");
        let response = client::send(address(&envoy), &request.with("x-request-id", last.as_str())).unwrap();
        assert_eq!(response.status, status, "request {index}: {}", latin1(&response.body));
        assert_clean(
            &format!("response {index}"),
            &format!("{response:?} {}", latin1(&response.body)),
            &hidden,
        );
    }
    assert!(envoy.wait_for_log(&[&last, "\"decision\""]).is_some(), "no audit event of {last}");
    let seen = upstream.seen();
    assert_eq!(seen.len(), 1);
    assert_clean("upstream", &seen[0].to_json().to_string(), &hidden);
    assert_clean("log", &envoy.log(), &hidden);
    assert_clean("metrics", &envoy.admin_text("/stats").unwrap(), &hidden);
}

fn assert_clean(place: &str, text: &str, hidden: &[String]) {
    for secret in hidden {
        let line = text.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "the mark is in {place}: {line:?}");
    }
}

/// The part of `mark`'s base64url form that does not depend on what stands around it, behind `shift` other bytes.
fn encoded(mark: &str, shift: usize) -> String {
    use base64::Engine as _;
    let text = format!("{}{mark}", "x".repeat(shift));
    let whole = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    whole[4..whole.len() - 4].to_owned()
}

#[test]
fn after_bytes_that_are_no_request_the_next_one_is_served() {
    let upstream = Upstream::start().unwrap();
    let envoy = start(listener(policy("{}"), &upstream));
    let heads: [&[u8]; 7] = [
        b"GET /orders HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /orders HTTP/1.1\r\n\r\n",
        b"GET /orders\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /healthz/%2e%2e/orders HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for head in heads {
        let response = Client::connect(address(&envoy)).unwrap().exchange_raw(head, false).unwrap();
        assert_eq!(response.status, 400, "{}", latin1(head));
        assert_eq!(get(&envoy, "/healthz", None).status, 200, "after {}", latin1(head));
    }
}
