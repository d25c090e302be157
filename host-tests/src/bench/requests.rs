//! What is sent? Requests that are alike but for what a case is about, with tokens of many callers.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::RS256PublicKey;
use serde_json::{Value, json};

use super::chain::SCOPE;
use crate::exchange::Request;
use crate::scenario::TokenSpec;
use crate::tokens::Keys;

/// Callers that take turns, each with a token of their own.
pub const CALLERS: usize = 16;
/// Callers that come so seldom that no cache knows them any more: three times as many tokens as the gateway keeps at most, in turn.
pub const STRANGERS: usize = 12_288;
/// Seconds that a token is good for: longer than a run.
const LIFETIME: u32 = 7200;

/// A token of this key, with as many claims as an issuer of today writes.
pub fn token(key: &str) -> TokenSpec {
    TokenSpec { claims: claims(&json!({})), ..TokenSpec::of(key) }
}

/// Those claims, but for these.
pub fn claims(overrides: &Value) -> serde_json::Map<String, Value> {
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

/// A token for each of some callers.
pub fn tokens(callers: usize, spec: &TokenSpec) -> Result<Vec<String>, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let mint = |caller| {
        let mut spec = spec.clone();
        spec.claims.insert("sub".to_owned(), json!(format!("user-{caller:04}")));
        Keys::of_this_run().mint(&spec, now.as_secs())
    };
    // RSA takes its time, and there are two cores at least.
    let (first, second) = (0..callers / 2, callers / 2..callers);
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| second.map(&mint).collect::<Result<Vec<_>, String>>());
        let mut tokens = first.map(&mint).collect::<Result<Vec<_>, _>>()?;
        tokens.extend(rest.join().map_err(|_| "the tokens could not be made")??);
        Ok(tokens)
    })
}

/// The token with another letter in the middle of its signature.
pub fn bent(token: &str) -> String {
    let at = token.rfind('.').map_or(0, |dot| usize::midpoint(dot, token.len()));
    let letter = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    format!("{}{letter}{}", &token[..at], &token[at + 1..])
}

/// A request with each of the tokens, as it goes on the wire.
pub fn bearing(path: &str, tokens: &[String]) -> Vec<Vec<u8>> {
    let with = |token: &String| request(path).with("authorization", format!("Bearer {token}")).to_wire();
    tokens.iter().map(with).collect()
}

/// What a browser's script sends.
pub fn request(path: &str) -> Request {
    Request::get("api.example.com", path)
        .with("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
        .with("accept", "application/json")
        .with("accept-language", "en-GB,en;q=0.7,de;q=0.3")
        .with("accept-encoding", "gzip, deflate, br")
        .with("referer", "https://shop.example.com/orders")
        .with("origin", "https://shop.example.com")
        .with("x-correlation-id", "0b7f3d8e-62f4-4b5d-8f0e-1f0c6f0a9d3a")
}

/// What the gateway asks the host's `verify_signature` of a token of the first key: hash name, key, signature and text.
pub fn signature_question(jwks: &str, token: &str) -> Result<Vec<u8>, String> {
    let (text, signature) = token.rsplit_once('.').ok_or("no token")?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|error| error.to_string())?;
    let mut question = Vec::new();
    for (number, field) in
        [(1, "sha256".as_bytes()), (2, &public_key(jwks)?), (3, &signature), (4, text.as_bytes())]
    {
        // No part is as long as 16 KiB, so a length takes two bytes.
        let [low, high, ..] = (field.len() << 1).to_le_bytes();
        question.extend([number << 3 | 2, low >> 1 | 0x80, high]);
        question.extend_from_slice(field);
    }
    Ok(question)
}

/// The first key of a JWKS, which is an RSA key, as `SubjectPublicKeyInfo`.
pub fn public_key(jwks: &str) -> Result<Vec<u8>, String> {
    let jwks: Value = serde_json::from_str(jwks).map_err(|error| error.to_string())?;
    let member = |name: &str| -> Option<Vec<u8>> {
        let text = jwks.pointer(&format!("/keys/0/{name}"))?.as_str()?;
        URL_SAFE_NO_PAD.decode(text).ok()
    };
    let (n, e) = member("n").zip(member("e")).ok_or("the first key is not an RSA key")?;
    let key = RS256PublicKey::from_components(&n, &e).and_then(|key| key.to_der());
    key.map_err(|error| error.to_string())
}
