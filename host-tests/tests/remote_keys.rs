//! What can an issuer do to a gateway that fetches its keys? Be late, gone, wrong, hostile, or change its keys in the middle of it all.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Body, Request, Response};
use host_tests::key_server::{Answer, Ending, KeyServer};
use host_tests::oidc::{Provider, Wish};
use host_tests::scenario::TokenSpec;
use host_tests::tokens::Keys;
use host_tests::upstream::{Seen, Upstream};
use serde_json::{Value, json};

const ISSUER: &str = "https://id.example.com";

/// A gateway before an upstream, which asks `port` for keys.
struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
    address: SocketAddr,
}

/// Orders behind a token, and an open probe.
fn policy(issuer: &str, remote: &Value) -> Value {
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "remote",
        "jwt": {"providers": [{
            "name": "corp", "issuer": issuer, "audiences": ["orders-api"], "maxLifetime": "1d", "remoteJWKS": remote,
        }]},
        "routes": [
            {
                "name": "orders", "match": {"path": {"type": "PathPrefix", "value": "/orders"}},
                "request": {"body": {"maxBytes": "64B"}},
                "authentication": {"jwt": {}},
            },
            {"name": "health", "match": {"path": {"type": "Exact", "value": "/healthz"}},
                "authentication": {"open": {"because": "probe"}}},
        ],
    })
}

impl Gateway {
    fn start(issuer: &str, remote: &Value, port: u16) -> Self {
        let upstream = Upstream::start().unwrap();
        let listener = Listener::new(
            "remote",
            policy(issuer, remote),
            artifacts::plugin().unwrap(),
            upstream.address().port(),
        );
        let launch = Launch {
            listeners: vec![listener],
            clusters: vec![Cluster::new("issuer", port)],
            ..Launch::default()
        };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("remote").unwrap();
        Self { envoy, upstream, address }
    }

    fn get(&self, token: &str) -> Response {
        client::send(self.address, &bearing(token)).unwrap()
    }

    /// The status and, where the gateway answered itself, its code.
    fn outcome(&self, token: &str) -> (u16, String) {
        told(&self.get(token))
    }

    /// Asks until it is so, for ten seconds.
    fn until(&self, token: &str, status: u16) {
        let start = Instant::now();
        let mut last = self.outcome(token);
        while last.0 != status {
            assert!(start.elapsed() < Duration::from_secs(10), "{last:?}\n{}", self.envoy.log());
            thread::sleep(Duration::from_millis(50));
            last = self.outcome(token);
        }
    }
}

fn told(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn bearing(token: &str) -> Request {
    Request::get("api.example.com", "/orders").with("authorization", format!("Bearer {token}"))
}

fn token(key: &str, kid: Option<&str>) -> String {
    let mut spec = TokenSpec::of(key);
    if let Some(kid) = kid {
        spec.header.insert("kid".to_owned(), json!(kid));
    }
    Keys::of_this_run().mint(&spec, now()).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn jwks(names: &[&str]) -> String {
    Keys::of_this_run().jwks(names).unwrap()
}

fn remote(server: &KeyServer, more: &Value) -> Value {
    let mut remote = json!({"uri": server.url("/jwks"), "cluster": "issuer", "timeout": "1s", "failedRefetchDuration": "200ms"});
    for (key, value) in more.as_object().into_iter().flatten() {
        remote[key] = value.clone();
    }
    remote
}

fn serving(answer: Answer) -> KeyServer {
    let server = KeyServer::start().unwrap();
    server.answer("/jwks", answer);
    server
}

/// With this, the first connection ends under the request, as one does that the issuer was just closing.
fn hanging_up_first(answer: Answer) -> impl Fn(&Seen) -> Answer {
    let asked = AtomicUsize::new(0);
    move |_| {
        let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        answer.clone().ending(if first { Ending::HungUp } else { Ending::Whole })
    }
}

#[test]
fn a_connection_that_ends_under_a_fetch_is_no_failure() {
    let server = KeyServer::start().unwrap();
    server.answer_with("/jwks", hanging_up_first(Answer::json(jwks(&["rs256"]))));
    let gateway = Gateway::start(ISSUER, &remote(&server, &json!({})), server.port());
    assert_eq!(gateway.outcome(&token("rs256", None)).0, 200);
    assert_eq!(server.requests("/jwks"), 2);
    let log = gateway.envoy.log();
    assert!(!log.contains("cannot be reached") && log.contains("1 keys fetched"), "{log}");
}

#[test]
fn requests_wait_for_the_first_keys_and_one_fetch_serves_all_workers() {
    let server = serving(Answer::json(jwks(&["rs256", "es256"])).after(Duration::from_millis(700)));
    let gateway = Gateway::start(ISSUER, &remote(&server, &json!({})), server.port());
    let token = token("rs256", None);
    let started = Instant::now();
    let waiting: Vec<_> = (0..24)
        .map(|number| {
            let (address, token) = (gateway.address, token.clone());
            thread::spawn(move || {
                let mut request = bearing(&token);
                if number % 3 == 1 {
                    request.method = "POST".to_owned();
                    request.body = Body::Chunks(vec![b"0123456789".to_vec(); 3]);
                }
                if number % 3 == 2 {
                    request.method = "POST".to_owned();
                    // Too much, and it does not say so: found out while it waits, or after.
                    request.body = Body::Chunks(vec![b"0123456789".to_vec(); 7]);
                }
                (number % 3, told(&client::send(address, &request).unwrap()))
            })
        })
        .collect();
    // Somebody leaves, and takes nothing with it.
    let mut leaver = TcpStream::connect(gateway.address).unwrap();
    leaver.write_all(&bearing(&token).to_wire()).unwrap();
    thread::sleep(Duration::from_millis(100));
    drop(leaver);
    assert_eq!(
        client::send(gateway.address, &Request::get("api", "/healthz")).unwrap().status,
        200,
        "others do not wait"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    for thread in waiting {
        let (kind, outcome) = thread.join().unwrap();
        let expected = if kind == 2 { (413, "body_too_large".to_owned()) } else { (200, String::new()) };
        assert_eq!(outcome, expected, "{}", gateway.envoy.log());
    }
    assert_eq!(server.requests("/jwks"), 1);
}

#[test]
fn without_keys_it_is_503_and_never_401_and_it_recovers_by_itself() {
    let mut server = serving(Answer::json(jwks(&["rs256"])));
    server.stop();
    let gateway = Gateway::start(ISSUER, &remote(&server, &json!({})), server.port());
    let good = token("rs256", None);
    for _ in 0..5 {
        let refused = gateway.get(&good);
        assert_eq!(told(&refused), (503, "keys_unavailable".to_owned()));
        assert!(refused.field("retry-after").is_some() && refused.field("www-authenticate").is_none());
    }
    assert_eq!(client::send(gateway.address, &Request::get("api", "/healthz")).unwrap().status, 200);
    server.restart().unwrap();
    gateway.until(&good, 200);
    assert_eq!(gateway.outcome(&token("es256", None)).0, 401, "a key that the issuer does not have");
}

/// Each row has a path of the issuer and a gateway of its own: what the issuer answers, what becomes of a good token, and what the log says.
#[test]
fn answers_that_are_no_key_set_are_told_and_survived() {
    let good = jwks(&["rs256"]);
    let key = |members: &str| good.replacen("{\"keys\":[", &format!("{{\"keys\":[{members},"), 1);
    let twice = format!("{{\"keys\":[{0},{0}]}}", &good[r#"{"keys":["#.len()..good.len() - 2]);
    let rows = [
        (Answer::html(), 503, "the issuer's answer is no key set"),
        (Answer::redirect("/elsewhere"), 503, "another status than 200"),
        (Answer::padded(good.as_bytes(), 10 << 20), 503, "the issuer's answer is too long"),
        (Answer::json(good.clone()).ending(Ending::Endless), 503, "broke off its answer"),
        (Answer::json(good.clone()).after(Duration::from_secs(5)), 503, "did not answer in time"),
        (Answer::json(good.clone()).ending(Ending::CutOff(20)), 503, "broke off its answer"),
        (Answer::json(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#), 503, "holds no key that can be used"),
        (Answer::json(r#"{"keys":[],"keys":[]}"#), 503, "no key set"),
        (Answer::json(good.clone()).status(500), 503, "another status than 200"),
        (Answer::json("[".repeat(5000)), 503, "no key set"),
        (Answer::json(twice), 503, "holds no key that can be used"),
        // One bad key among good ones is skipped.
        (Answer::json(key(r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"short"}"#)), 200, "keys[0] skipped"),
        (Answer::json(key(r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#)), 200, "keys[0] skipped"),
        (Answer::json(key(r#"{"kty":"oct","k":"c2VjcmV0","kid":"mixed"}"#)), 200, "keys[0] skipped"),
        (Answer::json(key("7")), 200, "keys[0] skipped"),
    ];
    let server = KeyServer::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let name = |row: usize| format!("row-{row}");
    let listeners = rows.iter().enumerate().map(|(row, (answer, ..))| {
        let path = format!("/{}", name(row));
        server.answer(&path, answer.clone());
        let remote = json!({"uri": server.url(&path), "cluster": "issuer", "timeout": "1s"});
        let mut policy = policy(ISSUER, &remote);
        policy["jwt"]["providers"][0]["name"] = json!(name(row));
        Listener::new(&name(row), policy, artifacts::plugin().unwrap(), upstream.address().port())
    });
    let launch = Launch {
        listeners: listeners.collect(),
        clusters: vec![Cluster::new("issuer", server.port())],
        ..Launch::default()
    };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let token = token("rs256", None);
    for (row, (_, status, words)) in rows.iter().enumerate() {
        let response = client::send(envoy.listener(&name(row)).unwrap(), &bearing(&token)).unwrap();
        assert_eq!(response.status, *status, "{words}");
        assert!(response.field("www-authenticate").is_none());
        let provider = format!("provider `{}`", name(row));
        assert!(envoy.wait_for_log(&[words, &provider]).is_some(), "{words}\n{}", envoy.log());
    }
    assert_eq!(server.requests("/elsewhere"), 0, "a redirect is not followed");
    assert!(!envoy.log().contains("c2VjcmV0"), "a secret that the issuer published is not told again");
}

/// The metadata must be that of the issuer, and name keys of the same origin.
#[test]
fn metadata_that_lies_gives_no_keys() {
    let server = KeyServer::start().unwrap();
    let issuer = server.url("").trim_end_matches('/').to_owned();
    server.answer("/jwks", Answer::json(jwks(&["rs256"])));
    let metadata =
        |issuer: &str, keys: &str| Answer::json(json!({"issuer": issuer, "jwks_uri": keys}).to_string());
    let well_known = "/.well-known/openid-configuration";
    server.answer(well_known, metadata("https://evil.example", &server.url("/jwks")));
    let remote = json!({"cluster": "issuer", "timeout": "1s", "failedRefetchDuration": "100ms"});
    let gateway = Gateway::start(&issuer, &remote, server.port());
    let mut spec = TokenSpec::of("rs256");
    spec.claims.insert("iss".to_owned(), json!(issuer));
    let token = Keys::of_this_run().mint(&spec, now()).unwrap();
    assert_eq!(gateway.outcome(&token), (503, "keys_unavailable".to_owned()));
    assert!(gateway.envoy.wait_for_log(&["metadata names another issuer"]).is_some());
    server.answer(well_known, metadata(&issuer, "https://evil.example/jwks"));
    assert!(
        gateway.envoy.wait_for_log(&["names keys of another origin"]).is_some(),
        "{}",
        gateway.envoy.log()
    );
    assert_eq!(server.requests("/jwks"), 0);
    server.answer(well_known, metadata(&issuer, &server.url("/jwks")));
    gateway.until(&token, 200);
}

/// Ten thousand tokens with names of keys that nobody has, as fast as they go.
#[test]
fn random_kids_cost_the_issuer_next_to_nothing_and_others_are_served() {
    let server = serving(Answer::json(jwks(&["rs256"])));
    let gateway = Gateway::start(ISSUER, &remote(&server, &json!({})), server.port());
    let good = token("rs256", None);
    assert_eq!(gateway.outcome(&good).0, 200);
    let start = Instant::now();
    let forged = token("rs256", Some("nobody"));
    let (_, rest) = forged.split_once('.').unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let (address, rest) = (gateway.address, &rest);
            scope.spawn(move || {
                let mut client = Client::connect(address).unwrap();
                for number in 0..2500 {
                    let header =
                        json!({"alg": "RS256", "typ": "JWT", "kid": format!("random-{thread}-{number}")});
                    let token = format!("{}.{rest}", base64url(header.to_string().as_bytes()));
                    let response = client.exchange(&bearing(&token)).unwrap();
                    assert_eq!(told(&response), (401, "key_unknown".to_owned()));
                }
            });
        }
        for _ in 0..20 {
            assert_eq!(gateway.outcome(&good).0, 200);
            thread::sleep(Duration::from_millis(10));
        }
    });
    let most = 2 + start.elapsed().as_secs() / 10;
    assert!(server.requests("/jwks") as u64 <= 1 + most, "{} fetches", server.requests("/jwks"));
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A certified provider, found by its issuer alone, that changes its keys under load: no request is refused, and what the old key signed ends with it.
#[test]
fn rotation_under_load_drops_no_request() {
    let provider = Provider::start().unwrap();
    let remote = json!({"cluster": "issuer", "cacheDuration": "2s", "failedRefetchDuration": "200ms"});
    let gateway = Gateway::start(provider.issuer(), &remote, provider.port());
    let old = provider.token(&Wish::BEARER).unwrap();
    gateway.until(&old, 200);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let current = std::sync::Mutex::new(old.clone());
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(gateway.address).unwrap();
                while !over.load(Ordering::Relaxed) {
                    let token = current.lock().unwrap().clone();
                    let response = client.exchange(&bearing(&token)).unwrap();
                    assert_eq!(response.status, 200, "{:?}\n{}", told(&response), gateway.envoy.log());
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let rotations = thread::Builder::new().spawn_scoped(scope, || {
            for algorithm in ["ES256", "RS256"] {
                thread::sleep(Duration::from_millis(400));
                provider.publish(algorithm).unwrap();
                provider.sign_with_newest().unwrap();
                *current.lock().unwrap() = provider.token(&Wish::BEARER).unwrap();
                thread::sleep(Duration::from_millis(400));
                provider.drop_old().unwrap();
                thread::sleep(Duration::from_secs(11));
            }
        });
        let outcome = rotations.unwrap().join();
        over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    assert!(served.load(Ordering::Relaxed) > 1000, "{served:?}");
    assert_eq!(gateway.outcome(&old), (401, "key_unknown".to_owned()), "its key was dropped");
}

/// Old keys serve for their grace while the issuer is gone; a policy update in that time finds them; then it is 503.
#[test]
fn old_keys_serve_for_their_grace() {
    let mut server = serving(Answer::json(jwks(&["rs256"])));
    let told_remote = remote(&server, &json!({"cacheDuration": "1s", "staleGrace": "5s"}));
    let mut gateway = Gateway::start(ISSUER, &told_remote, server.port());
    let good = token("rs256", None);
    assert_eq!(gateway.outcome(&good).0, 200);
    server.stop();
    let gone = Instant::now();
    thread::sleep(Duration::from_millis(2500));
    assert_eq!(gateway.outcome(&good).0, 200);
    let mut updated = policy(ISSUER, &told_remote);
    updated["name"] = json!("updated");
    let port = gateway.upstream.address().port();
    let listener = Listener::new("remote", updated, artifacts::plugin().unwrap(), port);
    gateway.envoy.update(&[listener]).unwrap_or_else(|failure| panic!("{failure}"));
    gateway.address = gateway.envoy.listener("remote").unwrap();
    if gone.elapsed() < Duration::from_secs(4) {
        assert_eq!(gateway.outcome(&good).0, 200, "the new policy found the keys\n{}", gateway.envoy.log());
    }
    thread::sleep(Duration::from_secs(7).saturating_sub(gone.elapsed()));
    assert_eq!(gateway.outcome(&good), (503, "keys_unavailable".to_owned()));
    server.restart().unwrap();
    gateway.until(&good, 200);
}
