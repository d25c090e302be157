//! What else could stand in the gateway's place? Envoy's own filters, a service that `ext_authz` asks, and a script in the Lua filter, each of
//! which does the work of [`super::chain::policy`].

use serde_json::{Value, json};

use super::chain::{NO_LIMIT, SCOPE};
use super::requests::public_key;
use crate::api_key::hex;
use crate::tokens::{AUDIENCE, ISSUER};

/// The cluster of the service that `ext_authz` asks.
pub const SERVICE: &str = "ext-authz";
/// The script, behind the rules that it is for.
const SCRIPT: &str = include_str!("../../peers/gateway.lua");

/// Envoy's own filters for the same: `jwt_authn` with claim headers, `rbac` on the scope, `local_ratelimit` with a bucket a subject.
pub fn native(jwks: &str, cache: bool, limit: u32) -> Vec<Value> {
    vec![jwt_authn(ISSUER, jwks, cache), rbac(), local_ratelimit(limit)]
}

/// The same for tokens of another issuer, none of which is remembered.
pub fn native_of(issuer: &str, jwks: &str) -> Vec<Value> {
    vec![jwt_authn(issuer, jwks, false), rbac(), local_ratelimit(NO_LIMIT)]
}

/// The same behind a `header_mutation` that takes off what only a gateway may set, as ours does.
pub fn native_clean(jwks: &str) -> Vec<Value> {
    std::iter::once(header_mutation()).chain(native(jwks, true, NO_LIMIT)).collect()
}

fn header_mutation() -> Value {
    let names = ["x-user", "x-dept", "x-original-url", "x-rewrite-url", "x-http-method-override"];
    let mutations: Vec<Value> = names.iter().map(|name| json!({"remove": name})).collect();
    json!({
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": mutations},
        },
    })
}

fn jwt_authn(issuer: &str, jwks: &str, cache: bool) -> Value {
    let mut provider = json!({
        "issuer": issuer,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": jwks},
        "forward": false,
        "claim_to_headers": [
            {"claim_name": "sub", "header_name": "x-user"},
            {"claim_name": "dept", "header_name": "x-dept"},
        ],
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
    });
    if cache {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"corp": provider},
            "rules": [{"match": {"prefix": "/orders"}, "requires": {"provider_name": "corp"}}],
        },
    })
}

fn rbac() -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"readers": {
                "permissions": [{"url_path": {"path": {"prefix": "/orders"}}}],
                "principals": [{"metadata": {
                    "filter": "envoy.filters.http.jwt_authn",
                    "path": [{"key": "payload"}, {"key": "scope"}],
                    "value": {"list_match": {"one_of": {"string_match": {"exact": SCOPE}}}},
                }}],
            }}},
        },
    })
}

fn local_ratelimit(limit: u32) -> Value {
    let interval = if limit == NO_LIMIT { "1s" } else { "3600s" };
    let bucket =
        |tokens: u32| json!({"max_tokens": tokens, "tokens_per_fill": tokens, "fill_interval": interval});
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({
        "name": "envoy.filters.http.local_ratelimit",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limit",
            "token_bucket": bucket(NO_LIMIT),
            "filter_enabled": always,
            "filter_enforced": always,
            "rate_limits": [{"actions": [
                {"request_headers": {"header_name": "x-user", "descriptor_key": "subject"}},
            ]}],
            // An entry without a value makes a bucket for each that comes.
            "descriptors": [{"entries": [{"key": "subject"}], "token_bucket": bucket(limit)}],
        },
    })
}

/// `ext_authz` with a service of HTTP/1.1 on this machine, which answers with the claims as headers.
pub fn ext_authz() -> Vec<Value> {
    let claims = json!([{"exact": "x-user"}, {"exact": "x-dept"}]);
    vec![json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "http_service": {
                "server_uri": {"uri": "http://ext-authz", "cluster": SERVICE, "timeout": "5s"},
                "authorization_response": {"allowed_upstream_headers": {"patterns": claims}},
            },
        },
    })]
}

/// What the service goes by.
pub fn service_rules(jwks: &str) -> Result<Value, String> {
    let jwks: Value = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
    Ok(json!({"jwks": jwks, "issuer": ISSUER, "audience": AUDIENCE, "scope": SCOPE, "limit": NO_LIMIT}))
}

/// The script in Envoy's Lua filter, with the first key of the JWKS.
pub fn lua(jwks: &str) -> Result<Vec<Value>, String> {
    let parsed: Value = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
    let kid = parsed.pointer("/keys/0/kid").and_then(Value::as_str).ok_or("the first key has no `kid`")?;
    let key = hex(&public_key(jwks)?);
    let rules = format!(
        "local RULES = {{ issuer = '{ISSUER}', audience = '{AUDIENCE}', scope = '{SCOPE}', limit = {NO_LIMIT}, keys = {{ ['{kid}'] = '{key}' }} }}\n",
    );
    Ok(vec![json!({
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": format!("{rules}{SCRIPT}")},
        },
    })])
}
