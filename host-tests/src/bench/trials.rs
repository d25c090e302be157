//! Do those that are compared do the same work? Who checks less is quicker: each must refuse what the policy refuses, before it is measured.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::requests::{claims, request, token};
use crate::client;
use crate::scenario::{Signature, TokenSpec};
use crate::tokens::Keys;

/// Sends what must pass and what must not.
pub fn hold(server: SocketAddr) -> Result<(), String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    for (what, passes, spec) in tokens() {
        let token = Keys::of_this_run().mint(&spec, now.as_secs())?;
        let request = request("/orders/7").with("authorization", format!("Bearer {token}"));
        let status = client::send(server, &request).map_err(|error| format!("{what}: {error}"))?.status;
        // Envoy's own filter says 403 of an audience that is another.
        let as_expected = if passes { status == 200 } else { status == 401 || status == 403 };
        if !as_expected {
            return Err(format!("it does not do the work of the others: {what} is answered with {status}"));
        }
    }
    Ok(())
}

fn tokens() -> Vec<(&'static str, bool, TokenSpec)> {
    let with = |overrides: Value| TokenSpec { claims: claims(&overrides), ..token("rs256") };
    let signed = |signature| TokenSpec { signature, ..token("rs256") };
    let headed = |header: Value| header.as_object().cloned().unwrap_or_default();
    vec![
        ("a good token", true, token("rs256")),
        ("a forged signature", false, signed(Signature::Tampered)),
        (
            "no signature",
            false,
            TokenSpec { header: headed(json!({"alg": "none"})), ..signed(Signature::Empty) },
        ),
        ("a key that nobody knows", false, token("attacker")),
        (
            "another key by the name of the issuer's",
            false,
            TokenSpec { header: headed(json!({"kid": "rs256"})), ..token("attacker") },
        ),
        ("another issuer", false, with(json!({"iss": "https://elsewhere.example.com"}))),
        ("another audience", false, with(json!({"aud": "somebody-else"}))),
        ("a token of yesterday", false, with(json!({"nbf": "now-90000", "exp": "now-86400"}))),
        ("a token of tomorrow", false, with(json!({"nbf": "now+3600"}))),
        ("a token without the scope", false, with(json!({"scope": "openid orders.reader"}))),
    ]
}
