//! What is counted: a policy with everything, and the requests whose cost matters.

use serde_json::json;

use super::Cost;
use super::host::{Compiled, Metered, NOW};
use crate::exchange::Request;
use crate::scenario::{Signature, TokenSpec};
use crate::tokens::Keys;

/// A key that the policy knows by its hash.
pub(super) const API_KEY: &str = "pk_metered_0123456789abcdef";
/// Its SHA-256.
const API_KEY_HASH: &str = "ee2dcd5fa478131d62ecffd094ba57a72a33d6631633a02246e30abe6f85ae54";
/// Each kind of token, with what the host can check for us and what it cannot.
const ALGORITHMS: [&str; 6] = ["rs256", "ps256", "es256", "es384", "eddsa", "hs256"];

/// One line of the baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was done.
    pub name: String,
    /// What it cost.
    pub cost: Cost,
}

fn policy(routes: usize) -> String {
    audited(routes, &json!({"log": "Denied"}))
}

/// The same, with this `audit`.
pub(super) fn audited(routes: usize, audit: &serde_json::Value) -> String {
    let keys = Keys::of_this_run();
    let jwks = keys.jwks(&["rs256", "ps256", "es256", "es384", "eddsa"]).unwrap_or_default();
    let per_subject = json!({"local": {"rules": [{"name": "each", "by": ["subject"], "limit": {"requests": 1000, "unit": "Minute"}}]}});
    let exact = |path: &str| json!({"path": {"type": "Exact", "value": path}});
    let open = json!({"open": {"because": "test"}});
    let mut all = vec![
        json!({"name": "open", "match": exact("/open"), "authentication": open.clone()}),
        json!({"name": "once", "match": exact("/once"), "authentication": open, "rateLimit": {"local": {"rules": [
            {"name": "once", "limit": {"requests": 1, "unit": "Day"}}]}}}),
        json!({"name": "partners", "match": exact("/partners"), "authentication": {"apiKey": {}}}),
        json!({"name": "secret", "match": exact("/secret"), "authentication": {"jwt": {"providers": ["shared"]}}}),
        json!({"name": "orders", "match": {"path": {"type": "PathPrefix", "value": "/orders"}},
            "authentication": {"jwt": {"providers": ["corp"]}},
            "authorization": {"rules": [{"name": "readers", "action": "Allow", "principal": {"scopes": ["read"]}}]},
            "rateLimit": per_subject}),
    ];
    all.extend((0..routes).map(|number| {
        json!({"name": format!("more-{number}"), "match": exact(&format!("/more/{number}/x")),
            "authentication": {"jwt": {"providers": ["corp"]}}})
    }));
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "metered", "audit": audit,
        "jwt": {"providers": [
            {"name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
                "localJWKS": {"inline": jwks}, "claimToHeaders": [{"claim": "sub", "header": "x-user"}]},
            {"name": "shared", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
                "algorithms": ["HS256"], "secret": {"env": "SECRET"}},
        ]},
        "apiKeyAuth": {"extractFrom": {"headers": ["x-api-key"]},
            "keys": [{"client": "partner", "keyHash": format!("sha256:{API_KEY_HASH}"), "scopes": ["read"]}]},
        "routes": all,
    })
    .to_string()
}

/// So many routes with a limit of their own each.
fn limited(routes: usize) -> String {
    let routes = (0..routes).map(|number| {
        json!({"name": format!("limited-{number:05}"), "match": {"path": {"type": "Exact", "value": format!("/limited/{number:05}")}},
            "authentication": {"open": {"because": "test"}}, "rateLimit": {"local": {"rules": [
                {"name": "each", "by": ["clientIP"], "limit": {"requests": 1000, "unit": "Minute"}}]}}})
    });
    let routes: Vec<_> = routes.collect();
    json!({"apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "limited", "audit": {"log": "Denied"}, "routes": routes})
        .to_string()
}

pub(super) fn get(path: &str) -> Request {
    Request::get("api.example.com", path)
        .with("x-request-id", "0f8fad5b-d9cb-469f-a165-70867728950e")
        .with("user-agent", "test/1.0")
}

/// A token of this key for this subject.
pub(super) fn bearing(path: &str, key: &str, subject: &str, signature: Signature) -> Result<Request, String> {
    let claims = json!({"sub": subject, "scope": "read", "iat": NOW, "exp": NOW + 3600});
    let claims = claims.as_object().cloned().unwrap_or_default();
    let spec = TokenSpec { claims, signature, ..TokenSpec::of(key) };
    let token = Keys::of_this_run().mint(&spec, NOW)?;
    Ok(get(path).with("authorization", format!("Bearer {token}")))
}

/// Counts everything, with the plugin that this is the module of.
pub fn count(module: &[u8]) -> Result<Vec<Row>, String> {
    let compiled = Compiled::new(module)?;
    let secret = Keys::of_this_run().hmac_secret("hs256")?;
    let environment = [("SECRET", secret.as_str())];
    let mut rows = Vec::new();
    let mut row = |name: &str, cost: Cost| rows.push(Row { name: name.to_owned(), cost });

    for (name, routes) in [("a policy is loaded", 0), ("a policy of 1000 routes is loaded", 1000)] {
        row(name, compiled.start(&policy(routes), &environment, true)?.1);
    }
    let (mut vm, _) = compiled.start(&policy(0), &environment, true)?;
    for (name, request, status) in requests()? {
        // Once before, so that what is made for the first request of a kind is there.
        expect(&mut vm, name, &request, status)?;
        row(name, expect(&mut vm, name, &request, status)?);
    }
    for (sink, audit) in sinks() {
        let (mut vm, _) = compiled.start(&audited(0, &audit), &environment, true)?;
        let request = bearing("/orders/7?page=2", "rs256", "alice", Signature::Good)?;
        let name = format!("a known token, told to {sink}");
        expect(&mut vm, &name, &request, None)?;
        row(&name, expect(&mut vm, &name, &request, None)?);
    }
    expect(&mut vm, "the first", &get("/once"), None)?;
    expect(&mut vm, "over a limit", &get("/once"), Some(429))?;
    row("over a limit", expect(&mut vm, "over a limit", &get("/once"), Some(429))?);
    for verifies in [true, false] {
        let (mut vm, _) = compiled.start(&policy(0), &environment, verifies)?;
        for key in ALGORITHMS {
            let path = if key == "hs256" { "/secret" } else { "/orders/7" };
            let told = if verifies { "" } else { ", by the plugin itself" };
            let name = format!("a new token, {key}{told}");
            let first = bearing(path, key, "first", Signature::Good)?;
            expect(&mut vm, &name, &first, None)?;
            row(&name, expect(&mut vm, &name, &bearing(path, key, "second", Signature::Good)?, None)?);
        }
        if verifies {
            let forged = bearing("/orders/7", "rs256", "third", Signature::Tampered)?;
            row("a new forged token", expect(&mut vm, "a new forged token", &forged, Some(401))?);
            row("the same forged token", expect(&mut vm, "the same forged token", &forged, Some(401))?);
        }
    }
    let (mut vm, _) = compiled.start(&policy(1000), &environment, true)?;
    let request = bearing("/more/999/x", "rs256", "alice", Signature::Good)?;
    expect(&mut vm, "one of 1000 routes", &request, None)?;
    row("a known token, one of 1000 routes", expect(&mut vm, "one of 1000 routes", &request, None)?);
    for rules in [10, 10_000] {
        let (mut vm, _) = compiled.start(&limited(rules), &environment, true)?;
        let (name, request) = (format!("one of {rules} limits"), get("/limited/00007"));
        expect(&mut vm, &name, &request, None)?;
        row(&name, expect(&mut vm, &name, &request, None)?);
    }
    Ok(rows)
}

/// Where every request is told of, and the `audit` that says so; and where none is, also if it is refused.
fn sinks() -> [(&'static str, serde_json::Value); 4] {
    let otlp = json!({"uri": "http://collector.example/v1/logs", "cluster": "collector"});
    [
        ("nobody", json!({"log": "Off"})),
        ("the log", json!({"log": "All"})),
        ("the access log", json!({"log": "Off", "sinks": {"accessLog": "All"}})),
        ("a collector", json!({"log": "All", "sinks": {"log": false, "otlp": otlp}})),
    ]
}

/// A request, what it is called, and the status with which it is refused.
type Trial = (&'static str, Request, Option<u16>);

/// Requests of which the second is like all that follow.
fn requests() -> Result<Vec<Trial>, String> {
    let known = || bearing("/orders/7?page=2", "rs256", "alice", Signature::Good);
    let many = (0..30).fold(known()?, |request, number| request.with(&format!("x-many-{number}"), "value"));
    Ok(vec![
        ("an open route", get("/open"), None),
        ("a known token, access, limit", known()?, None),
        ("a known token, 30 headers more", many, None),
        ("an API key", get("/partners").with("x-api-key", API_KEY), None),
        ("no credential", get("/orders/7"), Some(401)),
        ("no token at all", get("/orders/7").with("authorization", "Bearer none"), Some(401)),
        ("no route", get("/nowhere"), Some(404)),
        ("two readings of a path", get("/orders/../open"), Some(400)),
    ])
}

fn expect(vm: &mut Metered, name: &str, request: &Request, status: Option<u16>) -> Result<Cost, String> {
    let outcome = vm.run(request)?;
    if outcome.status != status || outcome.admitted != status.is_none() {
        return Err(format!("{name}: {:?}, admitted: {}", outcome.status, outcome.admitted));
    }
    Ok(outcome.cost)
}
