//! Which policies does a journey choose from? Four, so that each loads in a moment; together they have a rule of nearly every kind.
//!
//! What they leave out: client certificates and proofs of possession, whose bytes are made of too many parts for chance to find
//! (`filter/fuzz/fuzz_targets/proof.rs` looks at proofs), and all that the proxy itself must verify.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::credentials::{API_KEY, OLD_API_KEY, PEPPERED_API_KEY, SECRET, hash, jwks, signing_key};

/// How many there are.
pub const COUNT: usize = 4;

/// The environment of the plugin.
pub fn environment() -> BTreeMap<String, String> {
    let variables =
        [("SECRET", SECRET.to_owned()), ("SIGNING_KEY", signing_key(3)), ("NEXT_KEY", signing_key(4))];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The policy of this number; there is one for every number.
pub fn policy(number: usize) -> String {
    let (name, mut own) = match number % COUNT {
        0 => ("credentials", credentials()),
        1 => ("shapes", shapes()),
        2 => ("upstreams", upstreams()),
        _ => ("elsewhere", elsewhere()),
    };
    for (key, value) in [
        ("apiVersion", json!("portcullis/v1")),
        ("kind", json!("GatewayPolicy")),
        ("name", json!(name)),
        // The least that there can be: a table is made for every input.
        ("stateBytes", json!("64Ki")),
    ] {
        own[key] = value;
    }
    if own.get("audit").is_none() {
        own["audit"] = json!({"log": "All"});
    }
    own.to_string()
}

fn prefix(path: &str) -> Value {
    json!({"path": {"type": "PathPrefix", "value": path}})
}

fn open() -> Value {
    json!({"open": {"because": "test"}})
}

fn issuer() -> Value {
    json!({
        "name": "p", "issuer": "i", "audiences": ["a"], "localJWKS": {"inline": jwks()}, "maxLifetime": "1h",
        "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}], "cookies": ["s"], "params": ["t"]},
        "claimToHeaders": [{"claim": "sub", "header": "x-user"}, {"claim": "realm.roles", "header": "x-roles"}],
        "requiredClaims": ["sub"],
        "revoked": {"sub": ["mallory"], "clients": ["broken"]},
    })
}

fn api_keys() -> Value {
    let expired = "2020-01-01T00:00:00Z";
    json!({
        "extractFrom": {"headers": ["x-api-key"], "params": ["k"], "cookies": ["key"]}, "forwardClientIDHeader": "x-client",
        "pepper": {"env": "SECRET"},
        "keys": [
            {"client": "c", "keyHash": format!("sha256:{}", hash(API_KEY, None)), "scopes": ["read"], "tier": "gold"},
            {"client": "old", "keyHash": format!("sha256:{}", hash(OLD_API_KEY, None)), "expiresAt": expired},
            {"client": "d", "keyHash": format!("hmac-sha256:{}", hash(PEPPERED_API_KEY, Some(SECRET)))},
        ],
    })
}

fn limit(requests: u64, unit: &str) -> Value {
    json!({"requests": requests, "unit": unit})
}

/// Who is calling, and may they?
fn credentials() -> Value {
    let signed_apart = json!({
        "name": "h", "issuer": "h", "audiences": ["a"], "algorithms": ["HS256"], "secret": {"env": "SECRET"}, "maxLifetime": "1h",
        "forward": true,
    });
    let rules = json!([
        {"name": "not-there", "action": "Deny", "principal": {"clientCIDRs": ["192.0.2.0/24"]}},
        {"name": "perhaps-not", "action": "Deny", "mode": "Shadow", "principal": {"scopes": ["write"]}},
        {"name": "web", "action": "Allow", "principal": {"clients": ["web", "c"], "scopes": ["read"]}},
        {"name": "admins", "action": "Allow", "principal": {"jwt": {"provider": "p", "claims": [
            {"name": "realm.roles", "valueType": "StringArray", "values": ["admin", "root"]},
            {"name": "level", "valueType": "Number", "values": [3, 4]},
            {"name": "vip", "valueType": "Boolean", "values": [false], "invert": true}]}}},
    ]);
    json!({
        "jwt": {"providers": [issuer(), signed_apart]},
        "apiKeyAuth": api_keys(),
        "routes": [
            {"name": "open", "match": prefix("/open"), "authentication": open()},
            {"name": "keys", "match": prefix("/keys"), "authentication": {"anyOf": [{"jwt": {}}, {"apiKey": {}}]}},
            {"name": "maybe", "match": prefix("/maybe"), "authentication": {"anyOf": [{"jwt": {}}, open()]}},
            {"name": "ruled", "match": prefix("/ruled"), "authentication": {"anyOf": [{"jwt": {}}, {"apiKey": {}}]},
                "authorization": {"rules": rules}},
            {"name": "stepped", "match": prefix("/stepped"), "authentication": {"jwt": {"providers": ["p"], "acrValues": ["high"], "maxAge": "10m"}}},
            {"name": "limited", "match": {"path": {"type": "Exact", "value": "/limited"}, "methods": ["GET"]},
                "authentication": {"jwt": {}},
                "rateLimit": {"local": {"rules": [{"name": "one", "by": ["subject"], "limit": limit(3, "Day")}]}}},
            {"name": "all", "match": {}, "authentication": {"jwt": {}},
                "request": {"methods": ["GET", "POST"], "maxHeaders": 40, "forbiddenHeaders": ["x-debug"],
                    "body": {"maxBytes": "64B", "contentTypes": ["application/json"]}}},
        ],
        "redaction": {"claims": ["sub"], "queryParams": ["name"], "mailAddresses": true},
    })
}

/// What comes in and what goes out, whoever it is.
fn shapes() -> Value {
    let per_client = json!({
        "local": {"rules": [
            {"name": "each", "by": ["clientIP", {"header": "x-tenant"}], "limit": limit(4, "Minute"), "burst": 2,
                "cost": {"request": 1, "methods": [{"methods": ["POST"], "cost": 2}], "responseHeader": "x-cost"}},
            {"name": "quota", "by": ["method"], "limit": {"requests": 5, "unit": "Hour", "window": "Aligned"}, "mode": "Shadow"}]},
        "concurrency": {"rules": [{"name": "under-way", "by": ["clientIP"], "requests": 2}]},
        "headers": "Always", "legacyHeaders": true,
    });
    json!({
        "overload": {"requests": 4, "latency": "2s"},
        "forwardedHeaders": {"trust": ["x-real-ip"], "because": "test"},
        "defaults": {"response": {"strictTransportSecurity": {"overPlaintext": {"because": "test"}}}},
        "routes": [
            {"name": "open", "match": prefix("/open"), "authentication": open(), "rateLimit": per_client},
            {"name": "page", "match": {"path": {"type": "PathPrefix", "value": "/page"}, "hosts": ["h", "*.shop.example"]},
                "authentication": open(), "priority": "Low",
                "cors": {"allowOrigins": ["https://app.example", "https://*.example.com"], "allowMethods": ["PUT"],
                    "allowHeaders": ["x-a", "authorization"], "exposeHeaders": ["x-b"], "maxAge": "1m", "allowCredentials": true},
                "response": {"removeHeaders": ["server", "x-inner"], "cacheControl": "NoStore", "replaceErrorBodies": true,
                    "frameOptions": "SameOrigin"}},
            {"name": "anywhere", "match": prefix("/anywhere"), "authentication": open(), "cors": {"allowOrigins": ["*"], "allowHeaders": ["*"]}},
            {"name": "inner", "match": prefix("/inner"), "authentication": open(),
                "exposure": {"to": "Admin", "clientCIDRs": ["10.0.0.0/8", "2001:db8::/32"]}},
            {"name": "strict", "match": {"path": {"type": "Template", "value": "/strict/{id}/x"}, "methods": ["PUT", "POST"]},
                "authentication": open(),
                "request": {"maxPathBytes": "64B", "maxQueryBytes": "32B", "maxHeaders": 12, "maxHeaderBytes": "400B",
                    "requiredHeaders": [{"name": "x-need", "pattern": "[a-z]{2,4}-[0-9]+"}],
                    "forbiddenHeaders": ["x-debug"], "stripHeaders": ["x-inner"],
                    "methods": ["PUT", "POST"], "body": {"maxBytes": "1Ki", "contentTypes": ["application/json", "text/plain"]}}},
            {"name": "numbered", "match": {"path": {"type": "RegularExpression", "value": "/n/[0-9]+(/.*)?"},
                "headers": [{"name": "x-version", "value": "2"}]}, "authentication": open()},
            {"name": "trial", "mode": "Shadow", "match": prefix("/trial"), "authentication": open(),
                "request": {"forbiddenHeaders": ["x-debug"], "body": {"maxBytes": "10B"}}},
        ],
        "redaction": {"headers": ["x-secret"], "queryParams": ["customer"]},
        "audit": {"log": "All", "sinks": {"accessLog": "All"}},
    })
}

/// What the upstream is told, and how often somebody may try.
fn upstreams() -> Value {
    // A journey begins on 2027-01-15 at 08:00.
    let (begun, tomorrow) = ("2020-01-01T00:00:00Z", "2027-01-16T08:00:00Z");
    json!({
        "jwt": {"providers": [issuer()]},
        "apiKeyAuth": api_keys(),
        "signing": {"issuer": "gateway", "jwks": {"path": "/.well-known/jwks.json"}, "keys": [
            {"kid": "own", "algorithm": "EdDSA", "privateKey": {"env": "SIGNING_KEY"}, "notBefore": begun},
            {"kid": "next", "algorithm": "EdDSA", "privateKey": {"env": "NEXT_KEY"}, "notBefore": tomorrow},
            {"kid": "mac", "algorithm": "HS256", "secret": {"env": "SECRET"}},
            {"kid": "lost", "algorithm": "ES256", "privateKey": {"env": "NOT_THERE"}}]},
        "routes": [
            {"name": "told", "match": prefix("/told"), "authentication": {"anyOf": [{"jwt": {}}, {"apiKey": {}}]},
                "upstream": {"assertion": {"audience": "up", "ttl": "20s", "algorithm": "HS256",
                    "include": {"claims": ["realm.roles", "level"], "scopes": ["read"]}}},
                "rateLimit": {"local": {"rules": [{"name": "tiered", "by": ["client", "route"], "limit": limit(2, "Hour"),
                    "tiers": {"limits": [{"tier": "gold", "limit": limit(60, "Minute"), "burst": 4}]}}]}}},
            {"name": "signed", "match": prefix("/signed"), "authentication": open(),
                "upstream": {"assertion": {"header": "x-proof", "audience": "up", "reuse": "Off", "algorithm": "EdDSA"}}},
            {"name": "unsigned", "match": prefix("/unsigned"), "authentication": open(),
                "upstream": {"assertion": {"audience": "up", "algorithm": "ES256"}}},
            {"name": "tried", "match": prefix("/tried"), "authentication": {"anyOf": [{"jwt": {}}, {"apiKey": {}}]},
                "rateLimit": {"failures": {"rules": [
                    {"name": "guesses", "by": ["clientIP", "apiKeyPrefix"], "limit": limit(2, "Minute")},
                    {"name": "names", "by": ["clientIP", "claimedSubject"], "limit": limit(3, "Hour"), "count": "DistinctSubjects"}]}}},
        ],
        "audit": {"log": "All", "subject": "Hashed", "hashKey": {"env": "SECRET"}, "sinks": {
            "otlp": {"cluster": "collector", "uri": "http://collector.example/v1/logs", "maxBatch": 3, "maxBuffered": 6}}},
    })
}

/// What must be asked for elsewhere.
fn elsewhere() -> Value {
    let asked = json!({
        "name": "o", "issuer": "o", "audiences": ["a"], "claimToHeaders": [{"claim": "sub", "header": "x-user"}],
        "maxLifetime": "1h",
        "introspection": {"uri": "https://id.example/introspect", "cluster": "id", "clientId": "gw", "clientSecret": {"env": "SECRET"}},
    });
    let fetched = json!({
        "name": "r", "issuer": "i", "audiences": ["a"], "maxLifetime": "1h", "claimToHeaders": [{"claim": "sub", "header": "x-user"}],
        "remoteJWKS": {"uri": "https://id.example/keys", "cluster": "id", "cacheDuration": "60s", "staleGrace": "60s"},
    });
    let global = |failure: &str| {
        json!({
            "local": {"rules": [{"name": "here", "by": ["clientIP"], "limit": limit(6, "Minute")}]},
            "global": {"service": {"cluster": "rls"}, "domain": "shop", "failureMode": failure, "cost": 2,
                "rules": [{"name": "all", "by": [{"key": "generic_key", "value": "orders"}, "clientIP"]}]},
        })
    };
    let mut leased = global("Local");
    leased["global"]["lease"] = json!(10);
    leased["global"]["fallback"] = json!({"limit": limit(2, "Minute")});
    json!({
        "jwt": {"providers": [asked, fetched]},
        "routes": [
            {"name": "asked", "match": prefix("/asked"), "authentication": {"jwt": {"providers": ["o"]}},
                "request": {"body": {"maxBytes": "64B"}}},
            {"name": "fetched", "match": prefix("/fetched"), "authentication": {"jwt": {"providers": ["r"]}}},
            {"name": "either", "match": prefix("/either"), "authentication": {"anyOf": [{"jwt": {"providers": ["o", "r"]}}, open()]}},
            {"name": "limited", "match": prefix("/limited"), "authentication": open(), "rateLimit": global("Deny"),
                "request": {"body": {"maxBytes": "64B"}}},
            {"name": "leased", "match": prefix("/leased"), "authentication": open(), "rateLimit": leased},
        ],
    })
}
