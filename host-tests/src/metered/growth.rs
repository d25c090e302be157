//! What does a request cost as things grow: routes, keys, callers, header fields, tokens, bodies? Instructions of the plugin, counted.

use serde_json::{Value, json};

use super::Cost;
use super::host::{Compiled, Metered, NOW};
use crate::api_key;
use crate::exchange::{Body, Request};
use crate::scenario::TokenSpec;
use crate::tokens::{AUDIENCE, ISSUER, Keys};

/// How many there are of what there is a number of.
const NUMBERS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// Header fields beside those that every request has; Envoy takes 100 in all.
const FIELDS: [usize; 5] = [1, 3, 10, 30, 90];
/// Bytes of a token. A signature and the claims that must be there take 700; more than 16 KiB are not read.
const TOKENS: [usize; 5] = [1_000, 2_000, 4_000, 8_000, 16_000];
/// Bytes of a body.
const BODIES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
/// Requests that a point is the mean of. The gateway times every eighth decision, so it is a multiple of eight.
const SAMPLE: usize = 16;

/// What a request costs as one thing grows.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What grows.
    pub name: &'static str,
    /// Of what there are more, or what is larger.
    pub unit: &'static str,
    /// How many, or how large; instructions a request.
    pub points: Vec<(usize, u64)>,
}

/// Counts all of it, with the plugin that this is the module of. `progress` is told of each curve.
pub fn count(module: &[u8], progress: &mut dyn FnMut(&str)) -> Result<Vec<Curve>, String> {
    let compiled = Compiled::new(module)?;
    let of = |name, unit, sizes: &[usize], cost: &dyn Fn(usize) -> Result<(usize, u64), String>| {
        let points = sizes.iter().map(|size| cost(*size)).collect::<Result<Vec<_>, _>>();
        points.map(|points| Curve { name, unit, points }).map_err(|error| format!("{name}: {error}"))
    };
    let mut curves = Vec::new();
    for curve in [
        of("routes, a known token", "routes", &NUMBERS, &|count| with_routes(&compiled, count)),
        of("API keys", "keys", &NUMBERS, &|count| with_keys(&compiled, count)),
        of("callers with a limit each", "callers", &NUMBERS, &|count| with_callers(&compiled, count)),
        of("header fields, a known token", "fields more", &FIELDS, &|count| with_fields(&compiled, count)),
        of("a known token", "bytes of token", &TOKENS, &|size| with_token(&compiled, size, true)),
        of("a new token, its signature apart", "bytes of token", &TOKENS, &|size| {
            with_token(&compiled, size, false)
        }),
        of("a body", "bytes of body", &BODIES, &|size| with_body(&compiled, size)),
    ] {
        let curve = curve?;
        progress(&format!("{}: {:?}", curve.name, curve.points));
        curves.push(curve);
    }
    Ok(curves)
}

fn with_routes(compiled: &Compiled, count: usize) -> Result<(usize, u64), String> {
    let mut policy = policy()?;
    let like = policy["routes"][0].clone();
    let route = |number: usize| {
        let mut route = like.clone();
        route["name"] = json!(format!("tenant-{number}"));
        route["match"] = json!({"path": {"type": "PathPrefix", "value": format!("/tenants/{number}")}});
        route
    };
    policy["routes"] = (0..count).map(route).collect();
    let token = token(0, 0)?;
    let request = |at| Ok(bearing(get(&format!("/tenants/{}/7", spread(at, count))), &token));
    mean(&mut start(compiled, &policy)?, &sample(request)?).map(|fuel| (count, fuel))
}

fn with_keys(compiled: &Compiled, count: usize) -> Result<(usize, u64), String> {
    let key = |number: usize| format!("key-of-client-{number:08}");
    let entry =
        |number| json!({"client": format!("client-{number}"), "keyHash": api_key::hash(&key(number))});
    let mut policy = policy()?;
    policy["apiKeyAuth"] =
        json!({"extractFrom": {"headers": ["x-api-key"]}, "keys": (0..count).map(entry).collect::<Value>()});
    policy["routes"] = json!([{"name": "partners", "match": {"path": {"type": "PathPrefix", "value": "/"}},
        "authentication": {"apiKey": {}}}]);
    let request = |at| Ok(get("/partners").with("x-api-key", key(spread(at, count))));
    mean(&mut start(compiled, &policy)?, &sample(request)?).map(|fuel| (count, fuel))
}

fn with_callers(compiled: &Compiled, count: usize) -> Result<(usize, u64), String> {
    let mut vm = start(compiled, &policy()?)?;
    let from = |number: usize| {
        let address = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
        get("/limited").with("x-forwarded-for", address)
    };
    // All of them have been here before.
    for number in 0..count {
        admitted(&mut vm, &from(number))?;
    }
    mean(&mut vm, &sample(|at| Ok(from(spread(at, count))))?).map(|fuel| (count, fuel))
}

fn with_fields(compiled: &Compiled, count: usize) -> Result<(usize, u64), String> {
    let fields = |request: Request| {
        (0..count).fold(request, |request, number| request.with(&format!("x-field-{number:02}"), "a value"))
    };
    let request = fields(bearing(get("/orders/7"), &token(0, 0)?));
    mean(&mut start(compiled, &policy()?)?, &sample(|_| Ok(request.clone()))?).map(|fuel| (count, fuel))
}

fn with_token(compiled: &Compiled, size: usize, known: bool) -> Result<(usize, u64), String> {
    let mut vm = start(compiled, &policy()?)?;
    let request = |caller| Ok(bearing(get("/orders/7"), &token(caller, size)?));
    let length = token(0, size)?.len();
    if known {
        return mean(&mut vm, &sample(|_| request(0))?).map(|fuel| (length, fuel));
    }
    // The first of its kind pays for what stays.
    admitted(&mut vm, &request(SAMPLE)?)?;
    let costs =
        sample(request)?.iter().map(|request| admitted(&mut vm, request)).collect::<Result<Vec<_>, _>>()?;
    Ok((length, mean_of(&costs)))
}

fn with_body(compiled: &Compiled, size: usize) -> Result<(usize, u64), String> {
    let request = Request {
        method: "POST".to_owned(),
        body: Body::Whole(vec![b' '; size]),
        ..get("/open").with("content-type", "application/json")
    };
    mean(&mut start(compiled, &policy()?)?, &sample(|_| Ok(request.clone()))?).map(|fuel| (size, fuel))
}

/// A route for each question. Nothing is refused for its size.
fn policy() -> Result<Value, String> {
    let open = json!({"open": {"because": "what it costs"}});
    let path = |path: &str| json!({"path": {"type": "PathPrefix", "value": path}});
    let limit = json!({"local": {"rules": [{"name": "each", "by": ["clientIP"], "limit": {"requests": 1000, "unit": "Second"}}]}});
    Ok(json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "growth",
        "jwt": {"providers": [{"name": "corp", "issuer": ISSUER, "audiences": [AUDIENCE], "maxLifetime": "1d",
            "localJWKS": {"inline": Keys::of_this_run().jwks(&["rs256"])?},
            "claimToHeaders": [{"claim": "sub", "header": "x-user"}]}]},
        "defaults": {"request": {"maxHeaders": 100, "maxHeaderBytes": "64Ki"}},
        "routes": [
            {"name": "orders", "match": path("/orders"), "authentication": {"jwt": {"providers": ["corp"]}},
                "authorization": {"rules": [{"name": "readers", "action": "Allow", "principal": {"scopes": ["read"]}}]}},
            {"name": "open", "match": path("/open"), "authentication": open.clone()},
            {"name": "limited", "match": path("/limited"), "authentication": open, "rateLimit": limit},
        ],
    }))
}

fn start(compiled: &Compiled, policy: &Value) -> Result<Metered, String> {
    Ok(compiled.start(&policy.to_string(), &[], true)?.0)
}

fn get(path: &str) -> Request {
    Request::get("api.example.com", path).with("user-agent", "test/1.0").with("accept", "application/json")
}

fn bearing(request: Request, token: &str) -> Request {
    request.with("authorization", format!("Bearer {token}"))
}

/// A token of about `size` bytes: an issuer that writes long ones writes many roles.
fn token(caller: usize, size: usize) -> Result<String, String> {
    let of = |roles: usize| {
        let roles: Vec<String> = (0..roles).map(|number| format!("role-{number:04}")).collect();
        let claims =
            json!({"sub": format!("user-{caller:04}"), "scope": "read", "roles": roles, "exp": NOW + 3600});
        let claims = claims.as_object().cloned().unwrap_or_default();
        Keys::of_this_run().mint(&TokenSpec { claims, ..TokenSpec::of("rs256") }, NOW)
    };
    // Twelve bytes of a role with quotes and comma are sixteen as base64url.
    of(size.saturating_sub(of(0)?.len()) / 16)
}

/// Which of `count` the request at this place of a sample is about: from the first to the last.
fn spread(at: usize, count: usize) -> usize {
    at * count / SAMPLE
}

fn sample(request: impl Fn(usize) -> Result<Request, String>) -> Result<Vec<Request>, String> {
    (0..SAMPLE).map(request).collect()
}

/// What requests cost that have been made before.
fn mean(vm: &mut Metered, requests: &[Request]) -> Result<u64, String> {
    for request in requests {
        admitted(vm, request)?;
    }
    let costs = requests.iter().map(|request| admitted(vm, request)).collect::<Result<Vec<_>, _>>()?;
    Ok(mean_of(&costs))
}

fn mean_of(costs: &[u64]) -> u64 {
    costs.iter().sum::<u64>() / u64::try_from(costs.len().max(1)).unwrap_or(u64::MAX)
}

fn admitted(vm: &mut Metered, request: &Request) -> Result<u64, String> {
    let outcome = vm.run(request)?;
    let Cost { fuel, .. } = outcome.cost;
    if outcome.admitted { Ok(fuel) } else { Err(format!("it is refused with {:?}", outcome.status)) }
}
