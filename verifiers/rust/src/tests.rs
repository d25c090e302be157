//! Rows: one assertion that holds, and each way in which one does not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Request;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::{Keys, Verifier};

const NOW: u64 = 1_800_000_000;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn jwks() -> String {
    let x = URL_SAFE_NO_PAD.encode(pair(1).public_key());
    json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "a", "alg": "EdDSA", "x": x},
        {"kty": "RSA", "kid": "r", "alg": "RS256", "n": "AA", "e": "AQAB"},
    ]})
    .to_string()
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "portcullis-assertion+jwt", "kid": "a"})
}

fn claims() -> Value {
    json!({
        "iss": "gw", "aud": "orders", "sub": "alice", "htm": "GET", "authority": "api.example.com", "path": "/a", "query": "b=1",
        "iat": NOW, "exp": NOW + 30,
    })
}

fn assertion(header: &Value, claims: &Value, seed: u8) -> String {
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair(seed).sign(text.as_bytes())))
}

fn outcome(assertion: &str, method: &str, host: &str, target: &str, now: u64) -> Result<(), &'static str> {
    let verifier = Verifier::new("gw", "orders");
    verifier.replace_keys(Keys::read(jwks().as_bytes()).unwrap());
    let request = Request::builder().method(method).uri(target).header("host", host);
    let request = request.header("x-portcullis-assertion", assertion).body(()).unwrap();
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(now);
    verifier.check(&request.into_parts().0, now).map(|_| ()).map_err(|refused| refused.0)
}

#[test]
fn a_good_one_is_for_one_request_and_a_short_time() {
    let good = assertion(&header(), &claims(), 1);
    for (method, host, target, now, holds) in [
        ("GET", "api.example.com", "/a?b=1", NOW, true),
        ("GET", "API.example.com", "/a?b=1", NOW + 39, true),
        ("GET", "api.example.com", "/a?b=1", NOW - 10, true),
        ("GET", "api.example.com", "/a?b=1", NOW + 40, false),
        ("GET", "api.example.com", "/a?b=1", NOW - 11, false),
        ("GET", "api.example.com", "/a?b=1", NOW - 300, false),
        ("GET", "api.example.com", "/a?b=1", NOW + 300, false),
        ("POST", "api.example.com", "/a?b=1", NOW, false),
        ("GET", "api.example.org", "/a?b=1", NOW, false),
        ("GET", "api.example.com:80", "/a?b=1", NOW, false),
        ("GET", "api.example.com", "/A?b=1", NOW, false),
        ("GET", "api.example.com", "/a/?b=1", NOW, false),
        ("GET", "api.example.com", "/a?b=2", NOW, false),
        ("GET", "api.example.com", "/a?b=1&c", NOW, false),
        ("GET", "api.example.com", "/a", NOW, false),
    ] {
        assert_eq!(
            outcome(&good, method, host, target, now).is_ok(),
            holds,
            "{method} {host} {target} {now}"
        );
    }
    let mut hashed = claims();
    hashed.as_object_mut().unwrap().remove("query");
    hashed["query_hash"] = json!(crate::hash("b=1"));
    let hashed = assertion(&header(), &hashed, 1);
    assert_eq!(outcome(&hashed, "GET", "api.example.com", "/a?b=1", NOW), Ok(()));
    assert!(outcome(&hashed, "GET", "api.example.com", "/a?b=2", NOW).is_err());
}

#[test]
fn each_way_to_be_none() {
    let with = |base: Value, name: &str, value: Value| {
        let mut changed = base;
        changed[name] = value;
        changed
    };
    let claim = |name, value| assertion(&header(), &with(claims(), name, value), 1);
    let parameter = |name, value| assertion(&with(header(), name, value), &claims(), 1);
    let good = assertion(&header(), &claims(), 1);
    let (text, _) = good.rsplit_once('.').unwrap();
    for (what, bad) in [
        ("another key", assertion(&header(), &claims(), 2)),
        ("no signature", format!("{text}.")),
        ("alg none", parameter("alg", json!("none"))),
        ("alg HS256", parameter("alg", json!("HS256"))),
        ("alg ES256", parameter("alg", json!("ES256"))),
        ("unknown key", parameter("kid", json!("b"))),
        ("a key of another kind", parameter("kid", json!("r"))),
        ("no kid", parameter("kid", Value::Null)),
        ("typ", parameter("typ", json!("JWT"))),
        ("crit", parameter("crit", json!(["x"]))),
        ("issuer", claim("iss", json!("other"))),
        ("audience", claim("aud", json!("payments"))),
        ("audiences", claim("aud", json!(["orders", "payments"]))),
        ("exp", claim("exp", json!("soon"))),
        ("a long time", claim("exp", json!(NOW + 301))),
        ("both", claim("query_hash", json!(crate::hash("b=1")))),
        ("nothing", String::new()),
        ("dots", "...".to_owned()),
        ("long", "a".repeat(9000)),
    ] {
        assert!(outcome(&bad, "GET", "api.example.com", "/a?b=1", NOW).is_err(), "{what}");
    }
    assert_eq!(outcome(&good, "GET", "api.example.com", "/a?b=1", NOW), Ok(()));
}

/// A gateway that cannot be asked cannot say either that a key was stolen.
#[test]
fn keys_that_nobody_has_replaced_end() {
    let fresh = Verifier::new("gw", "orders");
    fresh.replace_keys(Keys::read(jwks().as_bytes()).unwrap());
    let request = Request::builder().uri("/a?b=1").header("host", "api.example.com");
    let request =
        request.header("x-portcullis-assertion", assertion(&header(), &claims(), 1)).body(()).unwrap();
    let request = request.into_parts().0;
    let check = |verifier: &Verifier| {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        verifier.check(&request, now).map(|_| ()).map_err(|refused| refused.0)
    };
    assert_eq!(check(&fresh), Ok(()));
    // The same keys, of the same moment, by another bound.
    let strict = fresh.clone().with_max_age(Duration::ZERO);
    assert!(!strict.lacks_a_key());
    assert_eq!(check(&strict), Err("no keys, or none of late"));
    assert!(strict.lacks_a_key(), "whoever fetches is told");
    assert_eq!(check(&strict.with_max_age(Duration::from_hours(1))), Ok(()));
}

#[test]
fn without_keys_nothing_passes_and_an_unknown_one_is_asked_for() {
    let verifier = Verifier::new("gw", "orders");
    assert!(verifier.lacks_a_key());
    verifier.replace_keys(Keys::read(jwks().as_bytes()).unwrap());
    assert!(!verifier.lacks_a_key());
    let mut unknown = header();
    unknown["kid"] = json!("next");
    let request = Request::builder().uri("/a?b=1").header("host", "api.example.com");
    let request =
        request.header("x-portcullis-assertion", assertion(&unknown, &claims(), 1)).body(()).unwrap();
    assert!(verifier.check(&request.into_parts().0, SystemTime::now()).is_err());
    assert!(verifier.lacks_a_key());
    assert!(Keys::read(b"{}").is_err() && Keys::read(b"<html>").is_err());
}
