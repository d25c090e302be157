//! What is measured: which filters, which requests, and which answer they must get?

use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{ES256KeyPair, Ed25519KeyPair, RS256PublicKey};
use serde_json::{Value, json};

use super::chain::{self, HMAC_ISSUER, NO_LIMIT, SCOPE};
use crate::artifacts;
use crate::exchange::Request;
use crate::scenario::{Signature, TokenSpec};
use crate::tokens::Keys;

/// The case that all others are compared with.
pub const BARE: &str = "bare Envoy";
/// Callers that take turns, each with a token of their own.
const CALLERS: usize = 16;
/// Callers that come so seldom that no cache knows them any more: three times as many tokens as the gateway keeps at most, in turn.
const STRANGERS: usize = 12_288;
/// Seconds that a token is good for: longer than a run.
const LIFETIME: u32 = 7200;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// The filters before the router.
    pub filters: Vec<Value>,
    /// The requests, as they go on the wire, to be sent in turn.
    pub requests: Vec<Vec<u8>>,
    /// The status that every response must have.
    pub status: u16,
    /// The case of Envoy's own filters that does the same work.
    pub beside: Option<&'static str>,
    /// Whether the listener has the access log of `envoy.yaml`.
    pub access_log: bool,
}

impl Case {
    fn new(name: &'static str, filters: Vec<Value>, requests: Vec<Vec<u8>>, status: u16) -> Self {
        Self { name, filters, requests, status, beside: None, access_log: false }
    }

    /// A listener to which requests are sent by hand.
    pub(super) fn of_filters(name: &'static str, filters: Vec<Value>) -> Self {
        Self::new(name, filters, vec![], 200)
    }

    /// The same case with another build of the gateway; `None` if the gateway has no part in it.
    pub fn with_plugin(&self, other: &Path) -> Result<Option<Self>, String> {
        let (mut filters, plugin) = (self.filters.clone(), json!(artifacts::plugin()?));
        let files = filters.iter_mut().filter_map(|filter| filter.pointer_mut(PLUGIN_FILE));
        let ours: Vec<_> = files.filter(|file| **file == plugin).collect();
        if ours.is_empty() {
            return Ok(None);
        }
        for file in ours {
            *file = json!(other);
        }
        // It is a name as long as the program runs, as the others are.
        let name = format!("{} [{}]", self.name, other.display()).leak();
        Ok(Some(Self { name, filters, ..self.clone() }))
    }

    fn with_access_log(self) -> Self {
        Self { access_log: true, ..self }
    }

    fn beside(self, native: &'static str) -> Self {
        Self { beside: Some(native), ..self }
    }
}

const PLUGIN_FILE: &str = "/typed_config/config/vm_config/code/local/filename";

const CACHED: &str = "native: RS256, cached, access, limit";
const UNCACHED: &str = "native: new RS256 tokens, not cached";
const NATIVE_ABSENT: &str = "native: no credential (401)";
const NATIVE_FORGED: &str = "native: forged signatures (401)";
const NATIVE_OVER: &str = "native: over the limit (429)";

/// All cases. The requests are alike, token and all, but for what the case is about.
pub fn all() -> Result<Vec<Case>, String> {
    let keys = Keys::of_this_run();
    let jwks = keys.jwks(&["rs256", "es256"])?;
    let secret = keys.hmac_secret("hs256")?;
    let plugin = artifacts::plugin()?;
    let gateway = |limit| {
        let name = if limit == NO_LIMIT { "bench" } else { "bench-limited" };
        chain::gateway(&plugin, chain::policy(name, &jwks, limit), &secret)
    };
    let audited = |name, how: fn(Value) -> Value| {
        chain::gateway(&plugin, how(chain::policy(name, &jwks, NO_LIMIT)), &secret)
    };
    // The same without audit events, which Envoy's own filters do not write either.
    let silent = |limit| {
        let name = if limit == NO_LIMIT { "silent" } else { "silent-limited" };
        chain::gateway(&plugin, chain::silent(chain::policy(name, &jwks, limit)), &secret)
    };
    let native = |cache, limit| chain::native(&jwks, cache, limit);

    let rs256 = requests("/orders/7", &tokens(&token("rs256"))?);
    let es256 = requests("/orders/7", &tokens(&token("es256"))?);
    let hs256 = TokenSpec { claims: claims(&json!({"iss": HMAC_ISSUER})), ..token("hs256") };
    let hs256 = requests("/orders/7", &tokens(&hs256)?);
    let tampered = TokenSpec { signature: Signature::Tampered, ..token("rs256") };
    let same_forged = requests("/orders/7", &tokens(&tampered)?);
    let open = requests("/healthz", &tokens(&token("rs256"))?);
    let limited = requests("/limited", &tokens(&token("rs256"))?);
    let lost = requests("/elsewhere", &tokens(&token("rs256"))?);
    let absent = vec![request("/orders/7").to_wire()];
    let partner = vec![request("/partners/7").with("x-api-key", chain::API_KEY).to_wire()];
    let strangers = tokens_of(STRANGERS, &token("rs256"))?;
    let new = requests("/orders/7", &strangers);
    let forged = requests("/orders/7", &strangers.iter().map(|token| bent(token)).collect::<Vec<_>>());
    let guarded = requests("/guarded/7", &strangers.iter().map(|token| bent(token)).collect::<Vec<_>>());
    let floor = artifacts::floor()?;
    let verify =
        format!("verify:{}", hex(&signature_question(&jwks, strangers.first().ok_or("no tokens")?)?));

    let signing = signing_keys()?;
    let asserting = |algorithm, reuse| chain::asserting(&plugin, &jwks, &signing, algorithm, reuse);
    let case = Case::new;
    Ok(vec![
        case(BARE, vec![], rs256.clone(), 200),
        case("no-op plugin", chain::noop(&artifacts::noop()?), rs256.clone(), 200),
        case("portcullis: open route", gateway(NO_LIMIT), open, 200),
        case("portcullis: open route, one limit", gateway(NO_LIMIT), limited, 200),
        case("portcullis: RS256, access, limit", gateway(NO_LIMIT), rs256.clone(), 200).beside(CACHED),
        case("portcullis: RS256, no audit", audited("bench-silent", chain::silent), rs256.clone(), 200),
        case(
            "portcullis: RS256, audit of all, log",
            audited("bench-logged", chain::logged),
            rs256.clone(),
            200,
        ),
        case(
            "portcullis: RS256, audit of all, collector",
            audited("bench-exported", chain::exported),
            rs256.clone(),
            200,
        ),
        // `10s` is reused, as it is by default; with `Off` each request is signed for.
        case("portcullis: the same, assertion reused", asserting("EdDSA", "10s"), rs256.clone(), 200),
        case("portcullis: the same, HS256 assertion each", asserting("HS256", "Off"), rs256.clone(), 200),
        case("portcullis: the same, ES256 assertion each", asserting("ES256", "Off"), rs256.clone(), 200),
        case("portcullis: the same, EdDSA assertion each", asserting("EdDSA", "Off"), rs256.clone(), 200),
        case("portcullis: ES256, access, limit", gateway(NO_LIMIT), es256, 200),
        case("portcullis: HS256, access, limit", gateway(NO_LIMIT), hs256, 200),
        case("portcullis: new RS256 tokens", gateway(NO_LIMIT), new.clone(), 200).beside(UNCACHED),
        case("portcullis: API key, access, limit", gateway(NO_LIMIT), partner, 200),
        case("portcullis: no credential (401)", gateway(NO_LIMIT), absent.clone(), 401).beside(NATIVE_ABSENT),
        case("portcullis: new forged tokens (401)", gateway(NO_LIMIT), forged.clone(), 401)
            .beside(NATIVE_FORGED),
        case("portcullis: the same forged tokens (401)", gateway(NO_LIMIT), same_forged, 401)
            .beside(NATIVE_FORGED),
        case("portcullis: forged tokens, penalty (429)", gateway(NO_LIMIT), guarded, 429)
            .beside(NATIVE_FORGED),
        case("portcullis: over the limit (429)", gateway(1), rs256.clone(), 429).beside(NATIVE_OVER),
        case("portcullis: no route (404)", gateway(NO_LIMIT), lost, 404),
        case("portcullis: no credential, no event (401)", silent(NO_LIMIT), absent.clone(), 401)
            .beside(NATIVE_ABSENT),
        case("portcullis: new forged tokens, no event (401)", silent(NO_LIMIT), forged.clone(), 401)
            .beside(NATIVE_FORGED),
        case("portcullis: over the limit, no event (429)", silent(1), rs256.clone(), 429).beside(NATIVE_OVER),
        case(CACHED, native(true, NO_LIMIT), rs256.clone(), 200),
        case(UNCACHED, native(false, NO_LIMIT), new, 200),
        case(NATIVE_ABSENT, native(true, NO_LIMIT), absent.clone(), 401),
        case(NATIVE_FORGED, native(true, NO_LIMIT), forged.clone(), 401),
        case(NATIVE_OVER, native(true, 1), rs256.clone(), 429),
        case("native: no credential, access log (401)", native(true, NO_LIMIT), absent.clone(), 401)
            .with_access_log(),
        case("native: forged signatures, access log (401)", native(true, NO_LIMIT), forged, 401)
            .with_access_log(),
        case("native: over the limit, access log (429)", native(true, 1), rs256.clone(), 429)
            .with_access_log(),
        case("floor: callbacks alone", chain::floor(&floor, ""), rs256.clone(), 200),
        case("floor: host calls of an admission", chain::floor(&floor, ADMISSION), rs256.clone(), 200)
            .beside(CACHED),
        case("floor: host calls of a refusal (401)", chain::floor(&floor, REFUSAL), absent.clone(), 401),
        case("floor: the same and a line in the log (401)", chain::floor(&floor, LOGGED), absent, 401),
        case("floor: the host's signature check", chain::floor(&floor, &verify), rs256, 200).beside(UNCACHED),
    ])
}

/// One for each algorithm, as the gateway's environment has them.
fn signing_keys() -> Result<[String; 3], String> {
    let told = |error: jwt_simple::Error| error.to_string();
    let es256 = ES256KeyPair::generate().to_pem().map_err(told)?;
    Ok([Ed25519KeyPair::generate().to_pem(), es256, "0123456789abcdef".repeat(4)])
}

/// The host calls that an admitted request cannot do without, as `filter/examples/floor.rs` names them.
const ADMISSION: &str = "time headers limit strip claims mark";

/// The same of a refused one, and with its event.
const REFUSAL: &str = "time headers refuse";
const LOGGED: &str = "time headers address log refuse";

/// What the gateway asks the host's `verify_signature`: hash name, key as `SubjectPublicKeyInfo`, signature and text.
fn signature_question(jwks: &str, token: &str) -> Result<Vec<u8>, String> {
    let jwks: Value = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
    let member = |name: &str| -> Option<Vec<u8>> {
        let text = jwks.pointer(&format!("/keys/0/{name}"))?.as_str()?;
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    let (n, e) = member("n").zip(member("e")).ok_or("the first key is not an RSA key")?;
    let key = RS256PublicKey::from_components(&n, &e).and_then(|key| key.to_der());
    let key = key.map_err(|error| error.to_string())?;
    let (text, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
    let mut question = Vec::new();
    for (number, field) in [(1, "sha256".as_bytes()), (2, &key), (3, &signature), (4, text.as_bytes())] {
        // No part is as long as 16 KiB, so a length takes two bytes.
        let [low, high, ..] = (field.len() << 1).to_le_bytes();
        question.extend([number << 3 | 2, low >> 1 | 0x80, high]);
        question.extend_from_slice(field);
    }
    Ok(question)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16);
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect()
}

/// The token with another letter in the middle of its signature.
pub(super) fn bent(token: &str) -> String {
    let at = token.rfind('.').map_or(0, |dot| usize::midpoint(dot, token.len()));
    let letter = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    format!("{}{letter}{}", &token[..at], &token[at + 1..])
}

pub(super) fn token(key: &str) -> TokenSpec {
    TokenSpec { claims: claims(&json!({})), ..TokenSpec::of(key) }
}

/// As many claims as an issuer of today writes.
pub(super) fn claims(overrides: &Value) -> serde_json::Map<String, Value> {
    let mut claims = json!({
        "exp": format!("now+{LIFETIME}"),
        "nbf": "now",
        "scope": format!("openid profile {SCOPE}"),
        "client_id": "web-shop",
        "dept": "sales",
        "jti": "5f0c1f3e-7b2a-4b52-9a53-0d5a7e2f4c11",
        "roles": ["reader", "buyer", "eu"],
        "name": "Alice Example",
        "email_verified": true,
    });
    for (name, value) in overrides.as_object().into_iter().flatten() {
        claims[name] = value.clone();
    }
    claims.as_object().cloned().unwrap_or_default()
}

/// A token for each caller.
fn tokens(spec: &TokenSpec) -> Result<Vec<String>, String> {
    tokens_of(CALLERS, spec)
}

fn tokens_of(callers: usize, spec: &TokenSpec) -> Result<Vec<String>, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let mint = |caller| {
        let mut spec = spec.clone();
        spec.claims.insert("sub".to_owned(), json!(format!("user-{caller:04}")));
        Keys::of_this_run().mint(&spec, now.as_secs())
    };
    (0..callers).map(mint).collect()
}

pub(super) fn requests(path: &str, tokens: &[String]) -> Vec<Vec<u8>> {
    let with = |token: &String| request(path).with("authorization", format!("Bearer {token}")).to_wire();
    tokens.iter().map(with).collect()
}

/// What a browser's script sends.
fn request(path: &str) -> Request {
    Request::get("api.example.com", path)
        .with("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .with("accept", "application/json")
        .with("accept-language", "en-GB,en;q=0.7,de;q=0.3")
        .with("accept-encoding", "gzip, deflate, br")
        .with("referer", "https://shop.example.com/orders")
        .with("origin", "https://shop.example.com")
        .with("x-correlation-id", "0b7f3d8e-62f4-4b5d-8f0e-1f0c6f0a9d3a")
}
