//! The gateway's rows: what an admission, a new token, a refusal and a large policy cost.

use jwt_simple::algorithms::{ES256KeyPair, Ed25519KeyPair};
use serde_json::{Value, json};

use super::cases::{Case, FEW, Makings};
use super::chain::{self, HMAC_ISSUER, NO_LIMIT};
use super::requests::{CALLERS, STRANGERS, bearing, claims, request, token, tokens};
use super::theirs::{
    NATIVE_ABSENT, NATIVE_CACHED, NATIVE_FORGED, NATIVE_LOGGED, NATIVE_OVER, NATIVE_UNCACHED, native_new,
};
use crate::scenario::{Signature, TokenSpec};
use crate::tokens::Keys;

/// The algorithms of new tokens beside RS256: the key's name, the row, and whether a check takes so long that few are made.
const ALGORITHMS: [(&str, &str, bool); 5] = [
    ("ps256", "portcullis: new PS256 tokens", true),
    ("es256", "portcullis: new ES256 tokens", false),
    ("es384", "portcullis: new ES384 tokens", true),
    ("eddsa", "portcullis: new EdDSA tokens", true),
    ("hs256", "portcullis: new HS256 tokens", false),
];
/// Routes, or API keys, of a large policy.
const MANY: usize = 10_000;

/// The gateway with the policy of the benchmark.
fn gateway(makings: &Makings, limit: u32) -> Vec<Value> {
    let name = if limit == NO_LIMIT { "bench" } else { "bench-limited" };
    chain::gateway(&makings.plugin, chain::policy(name, &makings.jwks, limit), &makings.secret)
}

/// Requests that pass.
pub(super) fn admitted(makings: &Makings) -> Result<Vec<Case>, String> {
    let known = || makings.known.clone();
    let audited = |name, how: fn(Value) -> Value| {
        let policy = how(chain::policy(name, &makings.jwks, NO_LIMIT));
        chain::gateway(&makings.plugin, policy, &makings.secret)
    };
    let same = tokens(CALLERS, &token("rs256"))?;
    let partner = vec![request("/partners/7").with("x-api-key", chain::API_KEY).to_wire()];
    let signing = signing_keys()?;
    let asserting =
        |algorithm, reuse| chain::asserting(&makings.plugin, &makings.jwks, &signing, algorithm, reuse);
    let case = Case::new;
    Ok(vec![
        case("portcullis: open route", gateway(makings, NO_LIMIT), bearing("/healthz", &same), 200),
        case(
            "portcullis: open route, one limit",
            gateway(makings, NO_LIMIT),
            bearing("/limited", &same),
            200,
        ),
        case("portcullis: RS256, access, limit", gateway(makings, NO_LIMIT), known(), 200)
            .beside(NATIVE_CACHED)
            .whole(),
        case("portcullis: RS256, no audit", audited("bench-silent", chain::silent), known(), 200)
            .beside(NATIVE_CACHED),
        case("portcullis: RS256, audit of all, log", audited("bench-logged", chain::logged), known(), 200),
        case(
            "portcullis: RS256, audit of all, access log",
            audited("bench-access-logged", chain::access_logged),
            known(),
            200,
        )
        .with_access_log()
        .beside(NATIVE_LOGGED),
        case(
            "portcullis: RS256, audit of all, collector",
            audited("bench-exported", chain::exported),
            known(),
            200,
        ),
        // `10s` is reused, as it is by default; with `Off` each request is signed for.
        case("portcullis: the same, assertion reused", asserting("EdDSA", "10s"), known(), 200),
        case("portcullis: the same, HS256 assertion each", asserting("HS256", "Off"), known(), 200),
        case("portcullis: the same, ES256 assertion each", asserting("ES256", "Off"), known(), 200),
        case("portcullis: the same, EdDSA assertion each", asserting("EdDSA", "Off"), known(), 200),
        case(
            "portcullis: ES256, access, limit",
            gateway(makings, NO_LIMIT),
            requests_of("es256", CALLERS)?,
            200,
        ),
        case(
            "portcullis: HS256, access, limit",
            gateway(makings, NO_LIMIT),
            requests_of("hs256", CALLERS)?,
            200,
        ),
        case("portcullis: API key, access, limit", gateway(makings, NO_LIMIT), partner, 200),
    ])
}

/// Tokens that are new to the gateway, of each algorithm.
pub(super) fn algorithms(makings: &Makings) -> Result<Vec<Case>, String> {
    let jwks = Keys::of_this_run().jwks(&["rs256", "ps256", "es256", "es384", "eddsa"])?;
    let policy = chain::policy("bench-algorithms", &jwks, NO_LIMIT);
    let filters = chain::gateway(&makings.plugin, policy, &makings.secret);
    let rs256 =
        Case::new("portcullis: new RS256 tokens", gateway(makings, NO_LIMIT), makings.new_tokens(), 200);
    let mut cases = vec![rs256.beside(NATIVE_UNCACHED)];
    for (key, name, slow) in ALGORITHMS {
        let requests = requests_of(key, if slow { STRANGERS / FEW } else { STRANGERS })?;
        let case = Case::new(name, filters.clone(), requests, 200);
        let case = if slow { case.few() } else { case };
        cases.push(match native_new(key) {
            Some(native) => case.beside(native),
            None => case,
        });
    }
    Ok(cases)
}

/// Requests of so many callers with tokens of this key.
pub(super) fn requests_of(key: &str, callers: usize) -> Result<Vec<Vec<u8>>, String> {
    let mut spec = token(key);
    if key == "hs256" {
        spec.claims = claims(&json!({"iss": HMAC_ISSUER}));
    }
    Ok(bearing("/orders/7", &tokens(callers, &spec)?))
}

/// Requests that do not pass.
pub(super) fn refused(makings: &Makings) -> Result<Vec<Case>, String> {
    let (known, absent) = (|| makings.known.clone(), || makings.absent.clone());
    let forged = || makings.forged("/orders/7");
    let tampered = TokenSpec { signature: Signature::Tampered, ..token("rs256") };
    let same_forged = bearing("/orders/7", &tokens(CALLERS, &tampered)?);
    let lost = bearing("/elsewhere", &tokens(CALLERS, &token("rs256"))?);
    // Without audit events, which Envoy's own filters do not write either.
    let silent = |limit| {
        let name = if limit == NO_LIMIT { "silent" } else { "silent-limited" };
        let policy = chain::silent(chain::policy(name, &makings.jwks, limit));
        chain::gateway(&makings.plugin, policy, &makings.secret)
    };
    let gateway = |limit| gateway(makings, limit);
    let case = Case::new;
    Ok(vec![
        case("portcullis: no credential (401)", gateway(NO_LIMIT), absent(), 401).beside(NATIVE_ABSENT),
        case("portcullis: new forged tokens (401)", gateway(NO_LIMIT), forged(), 401).beside(NATIVE_FORGED),
        case("portcullis: the same forged tokens (401)", gateway(NO_LIMIT), same_forged, 401)
            .beside(NATIVE_FORGED),
        case(
            "portcullis: forged tokens, penalty (429)",
            gateway(NO_LIMIT),
            makings.forged("/guarded/7"),
            429,
        )
        .beside(NATIVE_FORGED),
        case("portcullis: over the limit (429)", gateway(1), known(), 429).beside(NATIVE_OVER),
        case("portcullis: no route (404)", gateway(NO_LIMIT), lost, 404),
        case("portcullis: no credential, no event (401)", silent(NO_LIMIT), absent(), 401)
            .beside(NATIVE_ABSENT),
        case("portcullis: new forged tokens, no event (401)", silent(NO_LIMIT), forged(), 401)
            .beside(NATIVE_FORGED),
        case("portcullis: over the limit, no event (429)", silent(1), known(), 429).beside(NATIVE_OVER),
    ])
}

/// Large policies, and as many callers.
pub(super) fn grown(makings: &Makings) -> Result<Vec<Case>, String> {
    let routes = chain::with_routes(chain::policy("bench-routes", &makings.jwks, NO_LIMIT), MANY);
    let keys = chain::with_keys(chain::policy("bench-keys", &makings.jwks, NO_LIMIT), MANY);
    let filters = |policy| chain::gateway(&makings.plugin, policy, &makings.secret);
    let partner = |number| request("/partners/7").with("x-api-key", chain::api_key(number)).to_wire();
    Ok(vec![
        Case::new(
            "portcullis: RS256, one of 10,000 routes",
            filters(routes),
            bearing(&chain::route_path(MANY / 2), &tokens(CALLERS, &token("rs256"))?),
            200,
        ),
        Case::new(
            "portcullis: 10,000 API keys in turn, a limit each",
            filters(keys),
            (0..MANY).map(partner).collect(),
            200,
        ),
    ])
}

/// One for each algorithm, as the gateway's environment has them.
fn signing_keys() -> Result<[String; 3], String> {
    let told = |error: jwt_simple::Error| error.to_string();
    let es256 = ES256KeyPair::generate().to_pem().map_err(told)?;
    Ok([Ed25519KeyPair::generate().to_pem(), es256, "0123456789abcdef".repeat(4)])
}
