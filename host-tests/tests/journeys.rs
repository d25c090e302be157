//! What happens to a gateway over time in a real Envoy: good and bad policies pushed to it, a plugin switched off, many callers at
//! once, bytes that are no request?

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::corpus::Case;
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Request, Response, latin1};
use host_tests::scenario::{self, Carrier, TokenSpec};
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
    assert_eq!(workers_that_have_served(&envoy), 2, "both workers must have served, or this shows nothing");
}

/// For as long as it takes until both workers serve and enough was refused, over connections that are kept: what passes meanwhile is a burst,
/// and what comes in.
#[test]
fn two_workers_at_one_key_never_pass_its_rate() {
    const RATE: u32 = 30;
    const CALLERS: usize = 8;
    /// Of each caller, in one turn.
    const EACH: usize = 25;
    let upstream = Upstream::start().unwrap();
    let limited = format!(
        "{{routes: [{{name: probe, match: {{path: {{type: Exact, value: /probe}}}}, authentication: {{open: {{because: probe}}}}, \
         rateLimit: {{local: {{rules: [{{name: all, limit: {{requests: {RATE}, unit: Second}}}}]}}}}}}]}}"
    );
    let envoy = start(listener(policy(&limited), &upstream));
    let server = address(&envoy);
    let (admitted, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    let began = Instant::now();
    while refused.load(Ordering::SeqCst) < 5 * RATE || workers_that_have_served(&envoy) < 2 {
        assert!(began.elapsed() < Duration::from_mins(1), "one worker serves alone, or nothing is refused");
        std::thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    let mut client = Client::connect(server).unwrap();
                    for _ in 0..EACH {
                        let response = client.exchange(&Request::get("api.example.com", "/probe")).unwrap();
                        assert!([200, 429, 503].contains(&response.status), "{response:?}");
                        let count = if response.status == 200 { &admitted } else { &refused };
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
    let (through, most) = (admitted.into_inner(), f64::from(RATE) * (1.0 + began.elapsed().as_secs_f64()));
    assert!(f64::from(through) <= most, "{through} of at most {most}");
    assert!(through >= RATE, "{through}: not even a burst");
    assert_eq!(upstream.seen().len(), usize::try_from(through).unwrap());
}

fn workers_that_have_served(envoy: &Envoy) -> usize {
    let text = envoy.admin_text("/stats?filter=worker_.*downstream_cx_total").unwrap();
    text.lines().filter(|line| line.contains("listener.127.0.0.1") && !line.ends_with(": 0")).count()
}

#[test]
fn after_bytes_that_are_no_request_the_next_one_is_served() {
    let upstream = Upstream::start().unwrap();
    let envoy = start(listener(policy("{}"), &upstream));
    let heads: [&[u8]; 10] = [
        b"GET /orders HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /orders HTTP/1.1\r\n\r\n",
        b"GET /orders\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET /healthz/%2e%2e/orders HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a, b\r\n\r\n",
        b"GET /healthz#x HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /orders HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\0b\r\n\r\n",
    ];
    for head in heads {
        let response = Client::connect(address(&envoy)).unwrap().exchange_raw(head, false).unwrap();
        assert_eq!(response.status, 400, "{}", latin1(head));
        assert_eq!(get(&envoy, "/healthz", None).status, 200, "after {}", latin1(head));
    }
}

/// How many of `times` requests pass.
fn passing(server: SocketAddr, path: &str, times: usize) -> usize {
    let request = Request::get("api.example.com", path);
    (0..times).filter(|_| client::send(server, &request).unwrap().status == 200).count()
}

/// A limit of four an hour on `/limited`, and an open route that tells which version serves.
fn limited(version: u32, name: &str) -> Value {
    policy(&format!(
        "{{name: {name}, routes: [\
         {{name: limited, match: {{path: {{type: Exact, value: /limited}}}}, authentication: {{open: {{because: test}}}}, \
         rateLimit: {{local: {{rules: [{{name: four, limit: {{requests: 4, unit: Hour}}}}]}}}}}}, \
         {{name: version, match: {{path: {{type: Exact, value: /version-{version}}}}}, authentication: {{open: {{because: test}}}}}}]}}"
    ))
}

/// Two updates, one of them through the other carrier: what was spent stays spent.
#[test]
fn an_update_of_the_policy_gives_nobody_a_second_helping() {
    let upstream = Upstream::start().unwrap();
    let mut envoy = start(listener(limited(1, "shop"), &upstream));
    assert_eq!(passing(address(&envoy), "/limited", 2), 2);
    for (version, carrier) in [(2, Carrier::Struct), (3, Carrier::String)] {
        let next = Listener { carrier, ..listener(limited(version, "shop"), &upstream) };
        assert_eq!(envoy.update(&[next]).unwrap(), Verdict::Taken);
        let path = format!("/version-{version}");
        let served = (0..500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            get(&envoy, &path, None).status == 200
        });
        assert!(served, "version {version} never served:\n{}", envoy.log());
        assert_eq!(get(&envoy, &format!("/version-{}", version - 1), None).status, 404);
        assert_eq!(passing(address(&envoy), "/limited", 1), 1, "version {version}");
    }
    assert_eq!(passing(address(&envoy), "/limited", 5), 0);
}

/// One policy on two listeners is one limit, for they are one proxy; another policy has its own.
#[test]
fn a_policy_that_is_loaded_twice_has_one_limit() {
    let upstream = Upstream::start().unwrap();
    let named = |listening: &str, policy: &str| Listener {
        name: listening.to_owned(),
        ..listener(limited(1, policy), &upstream)
    };
    let listeners = vec![named("first", "shop"), named("second", "shop"), named("third", "other")];
    let envoy = Envoy::start(&Launch { listeners, ..Launch::default() });
    let envoy = envoy.unwrap_or_else(|failure| panic!("{failure}"));
    let passing = |name: &str, times| passing(envoy.listener(name).unwrap(), "/limited", times);
    assert_eq!((passing("first", 3), passing("second", 3), passing("first", 3)), (3, 1, 0));
    assert_eq!(passing("third", 6), 4);
}
