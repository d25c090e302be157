//! Can each secret be changed while requests come, with none of them refused? Those that the gateway shares with somebody; its own signing keys are
//! changed in `assertion`.
//!
//! Each drill has the steps of `docs/secrets.md`: both at the gateway, then the other side changes, then the old one goes. What the other side does is
//! done only when the step before it holds on every worker, as an operator would look.

mod load;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use host_tests::artifacts;
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Request, Response};
use host_tests::key_server::{Answer, KeyServer};
use host_tests::upstream::Upstream;
use portcullis_filter::guards::identity::api_key::KeyHash;
use portcullis_filter::time::{SECOND, Timestamp};
use serde_json::{Value, json};

use load::{ANY, Load, in_a_row};

const HOST: &str = "api.example.com";
const OLD: &str = "the old secret, of thirty-two bytes or more";
const NEW: &str = "the new secret, of thirty-two bytes or more";

/// A gateway that has both secrets in its environment from the beginning, since that of a process does not change.
struct Gateway {
    envoy: Envoy,
    listener: Listener,
    _upstream: Upstream,
    address: SocketAddr,
}

impl Gateway {
    fn start(sections: &Value, clusters: Vec<Cluster>) -> Self {
        let upstream = Upstream::start().unwrap();
        let port = upstream.address().port();
        let mut listener = Listener::new("rotation", policy(sections), artifacts::plugin().unwrap(), port);
        listener.host_env = BTreeMap::from(
            [("OLD", OLD), ("NEW", NEW)].map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let launch = Launch { listeners: vec![listener.clone()], clusters, ..Launch::default() };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("rotation").unwrap();
        Self { envoy, listener, _upstream: upstream, address }
    }

    fn update(&mut self, sections: &Value) {
        self.listener.policy = policy(sections);
        let verdict = self.envoy.update(std::slice::from_ref(&self.listener));
        assert_eq!(verdict.unwrap_or_else(|failure| panic!("{failure}")), Verdict::Taken);
    }
}

fn policy(sections: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "rotation",
        "routes": [{"name": "all", "match": {}, "authentication": {"jwt": {}}}],
    });
    for (name, section) in sections.as_object().unwrap() {
        policy[name] = section.clone();
    }
    policy
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token by a shared secret.
fn token(secret: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://id.example.com", "aud": "orders", "sub": "alice", "iat": seconds(), "exp": seconds() + 300});
    let text = format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(hmac(secret, &text)))
}

fn hmac(secret: &str, text: &str) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    ring::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn bearing(token: &str) -> Request {
    Request::get(HOST, "/orders").with("authorization", format!("Bearer {token}"))
}

fn keyed(key: &str) -> Request {
    Request::get(HOST, "/orders").with("x-api-key", key)
}

/// Tokens by the one, by either, by the other.
#[test]
fn the_secret_of_an_issuer() {
    let sections = |secrets: Value| {
        let mut provider = json!({"name": "corp", "issuer": "https://id.example.com", "audiences": ["orders"], "algorithms": ["HS256"]});
        for (name, variable) in secrets.as_object().unwrap() {
            provider[name] = json!({"env": variable});
        }
        json!({"jwt": {"providers": [provider]}})
    };
    let mut gateway = Gateway::start(&sections(json!({"secret": "OLD"})), Vec::new());
    let by = |secret: &'static str| move |_: usize| bearing(&token(secret));
    Load::during(gateway.address, Box::new(by(OLD)), ANY, |load| {
        load.until(false, by(NEW));
        gateway.update(&sections(json!({"secret": "OLD", "nextSecret": "NEW"})));
        load.until(true, by(NEW));
        // The issuer changes: for a while clients have tokens of either kind.
        load.changes_to(Box::new(|number| bearing(&token(if number % 2 == 0 { OLD } else { NEW }))));
        load.changes_to(Box::new(by(NEW)));
        gateway.update(&sections(json!({"secret": "NEW"})));
        load.until(false, by(OLD));
    });
}

/// What the issuer takes is what is used, whichever of the two: it changes from one request to the next.
#[test]
fn the_secret_that_the_gateway_shows_to_an_issuer() {
    let server = KeyServer::start().unwrap();
    let (accepted, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (taken, told) = (Arc::clone(&accepted), Arc::clone(&refused));
    server.answer_with("/introspect", move |question| {
        let secret = [OLD, NEW][taken.load(Ordering::SeqCst)];
        let form = secret.replace(' ', "%20").replace(',', "%2C");
        let basic = format!("Basic {}", STANDARD.encode(format!("gateway:{form}")));
        if question.field("authorization").as_deref() == Some(&basic) {
            Answer::json(r#"{"active":true,"aud":"orders","client_id":"web"}"#)
        } else {
            told.fetch_add(1, Ordering::SeqCst);
            Answer::json(r#"{"error":"invalid_client"}"#).status(401)
        }
    });
    let sections = |secrets: Value| {
        let mut introspection = json!({"uri": server.url("/introspect"), "cluster": "issuer", "clientId": "gateway", "timeout": "9s"});
        for (name, variable) in secrets.as_object().unwrap() {
            introspection[name] = json!({"env": variable});
        }
        // A path for each step, by which to see that a worker has come to it.
        let step = secrets.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join("-");
        json!({
            "jwt": {"providers": [{
                "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders"], "requireExpiration": false,
                "introspection": introspection,
            }]},
            "routes": [
                {"name": "all", "match": {}, "authentication": {"jwt": {}}},
                {"name": "step", "match": {"path": {"type": "Exact", "value": format!("/{step}")}},
                    "authentication": {"open": {"because": "test"}}},
            ],
        })
    };
    let clusters = vec![Cluster::new("issuer", server.port())];
    let mut gateway = Gateway::start(&sections(json!({"clientSecret": "OLD"})), clusters);
    // Each request has a token of its own, about which nobody has asked yet.
    let fresh = |number: usize| bearing(&format!("opaque-{number}"));
    Load::during(gateway.address, Box::new(fresh), ANY, |load| {
        gateway.update(&sections(json!({"clientSecret": "OLD", "nextClientSecret": "NEW"})));
        load.until(true, |_| Request::get(HOST, "/clientSecret-nextClientSecret"));
        load.step();
        accepted.store(1, Ordering::SeqCst);
        load.step();
        load.step();
        gateway.update(&sections(json!({"clientSecret": "NEW"})));
        load.until(false, |_| Request::get(HOST, "/clientSecret-nextClientSecret"));
    });
    let refused = refused.load(Ordering::SeqCst);
    assert!(refused > 0, "the issuer has told the gateway that it has changed");
}

/// Two keys of one client, and then one.
#[test]
fn the_key_of_a_client() {
    const FIRST: &str = "pck_4f2a9c01d7e86b35";
    const SECOND: &str = "pck_7d10c3b8aa92e6f4";
    let sections = |keys: &[&str]| {
        let entries = keys.iter().map(
            |key| json!({"client": "partner", "keyHash": KeyHash::of(key.as_bytes(), None).to_string()}),
        );
        json!({
            "apiKeyAuth": {"keys": entries.collect::<Vec<_>>()},
            "routes": [{"name": "all", "match": {}, "authentication": {"apiKey": {}}}],
        })
    };
    let mut gateway = Gateway::start(&sections(&[FIRST]), Vec::new());
    let by = |key: &'static str| move |_: usize| keyed(key);
    Load::during(gateway.address, Box::new(by(FIRST)), ANY, |load| {
        load.until(false, by(SECOND));
        gateway.update(&sections(&[FIRST, SECOND]));
        load.until(true, by(SECOND));
        load.changes_to(Box::new(|number| keyed(if number % 2 == 0 { FIRST } else { SECOND })));
        load.changes_to(Box::new(by(SECOND)));
        gateway.update(&sections(&[SECOND]));
        load.until(false, by(FIRST));
    });
}

/// One key, whose hash is made under one pepper, under either, under the other: its client notices nothing.
#[test]
fn the_pepper_of_the_keys() {
    const KEY: &str = "pck_4f2a9c01d7e86b35";
    const NEWER: &str = "pck_7d10c3b8aa92e6f4";
    let sections = |peppers: Value, hashes: &[(&str, &str)]| {
        let entry = |(key, pepper): &(&str, &str)| json!({"client": "partner", "keyHash": KeyHash::of(key.as_bytes(), Some(pepper.as_bytes())).to_string()});
        let mut section = json!({"keys": hashes.iter().map(entry).collect::<Vec<_>>()});
        for (name, variable) in peppers.as_object().unwrap() {
            section[name] = json!({"env": variable});
        }
        json!({"apiKeyAuth": section, "routes": [{"name": "all", "match": {}, "authentication": {"apiKey": {}}}]})
    };
    let mut gateway = Gateway::start(&sections(json!({"pepper": "OLD"}), &[(KEY, OLD)]), Vec::new());
    let by = |key: &'static str| move |_: usize| keyed(key);
    Load::during(gateway.address, Box::new(by(KEY)), ANY, |load| {
        let both = json!({"pepper": "OLD", "nextPepper": "NEW"});
        gateway.update(&sections(both, &[(KEY, OLD), (KEY, NEW), (NEWER, NEW)]));
        load.until(true, by(NEWER));
        load.changes_to(Box::new(|number| keyed(if number % 2 == 0 { KEY } else { NEWER })));
        gateway.update(&sections(json!({"pepper": "NEW"}), &[(KEY, NEW), (NEWER, NEW)]));
        load.step();
    });
}

/// The secret by which an upstream checks assertions: it has both from before the next one signs until after the last one has ended.
#[test]
fn the_secret_of_assertions() {
    let key =
        |kid: &str, variable: &str| json!({"kid": kid, "algorithm": "HS256", "secret": {"env": variable}});
    let sections = |keys: Value| {
        json!({
            "signing": {"issuer": "https://gateway.example", "keys": keys},
            "defaults": {"upstream": {"assertion": {"audience": "orders", "algorithm": "HS256", "ttl": "2s"}}},
            "routes": [{"name": "all", "match": {}, "authentication": {"open": {"because": "test"}}}],
        })
    };
    let mut gateway = Gateway::start(&sections(json!([key("old", "OLD")])), Vec::new());
    let holds = |response: &Response| {
        let assertion = shown(response).ok_or("no assertion")?;
        let (text, signature) = assertion.rsplit_once('.').ok_or("no token")?;
        let secret = if kid(&assertion) == "new" { NEW } else { OLD };
        let good = URL_SAFE_NO_PAD.encode(hmac(secret, text)) == signature;
        good.then_some(()).ok_or_else(|| format!("not signed by {}", kid(&assertion)))
    };
    let make = |number: usize| Request::get(HOST, &format!("/orders/{}", number % 20));
    Load::during(gateway.address, Box::new(make), &holds, |load| {
        let signs = |wanted: &str| {
            let response = host_tests::client::send(load.address(), &make(0)).unwrap();
            kid(&shown(&response).unwrap()) == wanted
        };
        assert!(signs("old"));
        let mut next = key("new", "NEW");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let turn = u64::try_from(now.as_nanos()).unwrap() + 3 * SECOND;
        next["notBefore"] = json!(Timestamp::from_nanos(turn).to_string());
        gateway.update(&sections(json!([key("old", "OLD"), next])));
        in_a_row(|| signs("new"));
        gateway.update(&sections(json!([key("new", "NEW")])));
        in_a_row(|| signs("new"));
    });
}

/// The assertion that the upstream has got.
fn shown(response: &Response) -> Option<String> {
    let seen: Value = serde_json::from_slice(&response.body).ok()?;
    let found = seen["headers"].as_array()?.iter().find(|header| header[0] == "x-portcullis-assertion")?;
    found[1].as_str().map(str::to_owned)
}

fn kid(assertion: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}
