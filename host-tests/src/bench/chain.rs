//! Which filters stand in the path of a case, and what does the listener around them look like?

use std::path::Path;

use serde_json::{Value, json};

use crate::api_key;
use crate::envoy_config::{Listener, guard, router};
use crate::tokens::{AUDIENCE, ISSUER};

/// The scope that the access rule asks for.
pub const SCOPE: &str = "orders.read";
/// Requests a second that nobody here makes.
pub const NO_LIMIT: u32 = 1_000_000;
/// The policy's secret for HS256 is in this variable.
const HMAC_SECRET: &str = "PORTCULLIS_BENCH_SECRET";
/// The cluster of the collector that audit events go to.
pub const COLLECTOR: &str = "collector";
/// The gateway's signing keys are in these.
pub const SIGNING_KEYS: [&str; 3] =
    ["PORTCULLIS_BENCH_EDDSA", "PORTCULLIS_BENCH_ES256", "PORTCULLIS_BENCH_HS256"];
/// An API key of the policy, and its hash there.
pub const API_KEY: &str = "key-of-partner-a-number-1";
const API_KEY_HASH: &str = "sha256:3335e59e98a21ace0508619b2f73deacf8aaabc27d28ab30e8106b98318ad2e6";
/// Who issues the tokens of HS256: a provider with a secret has no other keys.
pub const HMAC_ISSUER: &str = "https://hmac.example.com";

/// A listener with these filters before the router. It is set up as `envoy.yaml` is, without an access log unless it is asked for.
pub fn listener(name: &str, mut filters: Vec<Value>, access_log: bool) -> Value {
    let of_gateway = filters.iter().any(|filter| filter["name"] == "portcullis" || filter["name"] == "floor");
    let access_log: Vec<Value> = access_log.then(|| self::access_log(of_gateway)).into_iter().collect();
    filters.push(router());
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "use_remote_address": true,
                "normalize_path": true,
                "merge_slashes": true,
                "path_with_escaped_slashes_action": "REJECT_REQUEST",
                "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
                "request_headers_timeout": "10s",
                "request_timeout": "30s",
                "stream_idle_timeout": "60s",
                "access_log": access_log,
                "http_filters": filters,
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"match": {"prefix": "/"}, "direct_response": {"status": 200}},
                ]}]},
            },
        }]}],
    })
}

/// What `envoy.yaml` writes down of each request; what the gateway says of it only where there is one.
fn access_log(of_gateway: bool) -> Value {
    let mut fields = json!({
        "time": "%START_TIME%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "duration_ms": "%DURATION%",
    });
    if of_gateway {
        for name in ["admitted", "decision", "reason", "route", "policy", "subject"] {
            fields[name] = json!(format!("%FILTER_STATE(wasm.portcullis_{name}:PLAIN)%"));
        }
    }
    json!({
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields},
        },
    })
}

/// A plugin that does nothing.
pub fn noop(plugin: &Path) -> Vec<Value> {
    vec![wasm("noop", plugin, "")]
}

/// A plugin that makes these host calls, and the guard behind it if it sets the mark.
pub fn floor(plugin: &Path, calls: &str) -> Vec<Value> {
    let guards = calls.split(' ').any(|call| call == "mark").then(guard);
    std::iter::once(wasm("floor", plugin, calls)).chain(guards).collect()
}

fn wasm(name: &str, plugin: &Path, configuration: &str) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "root_id": name,
                "failure_policy": "FAIL_RELOAD",
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
                "vm_config": {
                    "vm_id": name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": plugin}},
                },
            },
        },
    })
}

/// The gateway and the guard behind it.
pub fn gateway(plugin: &Path, policy: Value, secret: &str) -> Vec<Value> {
    let mut listener = Listener::new("portcullis", policy, plugin.to_owned(), 0);
    listener.env.insert(HMAC_SECRET.to_owned(), secret.to_owned());
    vec![listener.plugin_filter(), guard()]
}

/// The gateway with its signing keys, and a policy whose upstream wants an assertion signed with this algorithm. `reuse` as the policy has it.
pub fn asserting(plugin: &Path, jwks: &str, keys: &[String; 3], algorithm: &str, reuse: &str) -> Vec<Value> {
    let mut policy = policy("bench-assertion", jwks, NO_LIMIT);
    let key = |kid: &str, algorithm: &str, place: &str, name: &str| json!({"kid": kid, "algorithm": algorithm, place: {"env": name}});
    let [eddsa, es256, hs256] = SIGNING_KEYS;
    policy["signing"] = json!({"issuer": "https://gateway.example", "keys": [
        key("a", "EdDSA", "privateKey", eddsa), key("b", "ES256", "privateKey", es256), key("c", "HS256", "secret", hs256),
    ]});
    policy["defaults"] =
        json!({"upstream": {"assertion": {"audience": "orders", "algorithm": algorithm, "reuse": reuse}}});
    let mut listener = Listener::new("portcullis", policy, plugin.to_owned(), 0);
    let variables = SIGNING_KEYS.iter().zip(keys);
    listener.env.extend(variables.map(|(name, key)| ((*name).to_owned(), key.clone())));
    vec![listener.plugin_filter(), guard()]
}

/// A policy with an open route and one for callers with a token and a scope, each of whom may make `limit` requests an hour, or
/// a second if that is [`NO_LIMIT`].
pub fn policy(name: &str, jwks: &str, limit: u32) -> Value {
    let unit = if limit == NO_LIMIT { "Second" } else { "Hour" };
    let claims = json!([{"claim": "sub", "header": "x-user"}, {"claim": "dept", "header": "x-dept"}]);
    json!({
        "apiVersion": "portcullis/v1",
        "kind": "GatewayPolicy",
        "name": name,
        "jwt": {"providers": [
            {"name": "corp", "issuer": ISSUER, "audiences": [AUDIENCE], "localJWKS": {"inline": jwks}, "claimToHeaders": claims},
            {
                "name": "hmac", "issuer": HMAC_ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
                "secret": {"env": HMAC_SECRET}, "claimToHeaders": claims,
            },
        ]},
        "apiKeyAuth": {
            "extractFrom": {"headers": ["x-api-key"]},
            "forwardClientIDHeader": "x-client",
            "keys": [{"client": "partner", "keyHash": API_KEY_HASH, "scopes": [SCOPE]}],
        },
        "routes": [
            {
                "name": "health",
                "match": {"path": {"type": "Exact", "value": "/healthz"}},
                "authentication": {"open": {"because": "load balancer probe"}},
            },
            {
                "name": "orders",
                "match": {"path": {"type": "PathPrefix", "value": "/orders"}},
                "authentication": {"jwt": {"providers": ["corp", "hmac"]}},
                "authorization": {"defaultAction": "Deny", "rules": [
                    {"name": "readers", "action": "Allow", "principal": {"scopes": [SCOPE]}},
                ]},
                "rateLimit": {"local": {"rules": [
                    {"name": "per-subject", "by": ["subject"], "limit": {"requests": limit, "unit": unit}},
                ]}},
            },
            {
                "name": "limited",
                "match": {"path": {"type": "Exact", "value": "/limited"}},
                "authentication": {"open": {"because": "the cost of a limit alone"}},
                "rateLimit": {"local": {"rules": [{"name": "all", "limit": {"requests": limit, "unit": unit}}]}},
            },
            {
                "name": "guarded",
                "match": {"path": {"type": "PathPrefix", "value": "/guarded"}},
                "authentication": {"jwt": {"providers": ["corp"]}},
                "rateLimit": {"failures": {"rules": [
                    {"name": "guessing", "by": ["clientIP"], "limit": {"requests": 1, "unit": "Day"}},
                ]}},
            },
            {
                "name": "partners",
                "match": {"path": {"type": "PathPrefix", "value": "/partners"}},
                "authentication": {"apiKey": {}},
                "authorization": {"defaultAction": "Deny", "rules": [
                    {"name": "readers", "action": "Allow", "principal": {"scopes": [SCOPE]}},
                ]},
                "rateLimit": {"local": {"rules": [
                    {"name": "per-client", "by": ["client"], "limit": {"requests": limit, "unit": unit}},
                ]}},
            },
        ],
    })
}

/// The same, with so many routes more, each as the one for callers with a token.
pub fn with_routes(mut policy: Value, count: usize) -> Value {
    let like = policy.pointer("/routes/1").cloned().unwrap_or_default();
    let more = (0..count).map(|number| {
        let mut route = like.clone();
        route["name"] = json!(format!("route-{number}"));
        route["match"] = json!({"path": {"type": "Exact", "value": route_path(number)}});
        route
    });
    policy["routes"].as_array_mut().into_iter().for_each(|routes| routes.extend(more.clone()));
    policy
}

/// The path of one of them.
pub fn route_path(number: usize) -> String {
    format!("/tenants/{number}/orders")
}

/// The same, with so many API keys more, each of a client of its own.
pub fn with_keys(mut policy: Value, count: usize) -> Value {
    let more = (0..count).map(|number| {
        json!({"client": format!("client-{number}"), "keyHash": api_key::hash(&api_key(number)), "scopes": [SCOPE]})
    });
    policy["apiKeyAuth"]["keys"].as_array_mut().into_iter().for_each(|keys| keys.extend(more.clone()));
    policy
}

/// One of them.
pub fn api_key(number: usize) -> String {
    format!("key-of-client-{number:08}")
}

/// The same, with everything told to the proxy's log.
pub fn logged(mut policy: Value) -> Value {
    policy["audit"] = json!({"log": "All"});
    policy
}

/// The same, with everything told to a collector ([`COLLECTOR`]) and none to the proxy's log.
pub fn exported(mut policy: Value) -> Value {
    let otlp = json!({"cluster": COLLECTOR, "uri": "http://collector/v1/logs", "maxBuffered": 65536});
    policy["audit"] = json!({"log": "All", "sinks": {"log": false, "otlp": otlp}});
    policy
}

/// The same, with everything told to the proxy's access log and none to its log.
pub fn access_logged(mut policy: Value) -> Value {
    policy["audit"] = json!({"log": "Off", "sinks": {"accessLog": "All"}});
    policy
}

/// The same, with nothing told to anybody.
pub fn silent(mut policy: Value) -> Value {
    policy["audit"] = json!({"log": "Off"});
    policy
}
