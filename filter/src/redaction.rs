//! What may be written down of what a client sent?
//!
//! [`Redacted`] is the only type of client text that an audit event takes, and this module is the only one that makes it: secrets
//! are kept out by type, not by remembering to. What is left out here also stays out of Envoy's own access log, since the
//! gateway writes the redacted target back into the head of a refused request.
//!
//! Two rules, both always on: what a *name* gives away (a query parameter called `token`), and what a *shape* gives away (a
//! JWT, a key with a vendor's prefix, a card number that checks out, a long random word).

mod shapes;

use serde::Serialize;

use crate::document::{Default, Field, Key, Shape};
use crate::http::trim;

pub use shapes::is_secret_shaped;

/// What stands where something was taken out.
pub const REDACTED: &str = "REDACTED";

/// The `redaction` section.
pub static REDACTION: Shape = Shape {
    name: "redaction",
    about: "What no log line, audit event or metric may hold, beside the built-in set, which is always on: credentials in headers, \
            query parameters with telling names, and values shaped like a secret.",
    keys: &[
        Key::new(
            "headers",
            "list of strings",
            Default::Is("none"),
            "Headers whose values are overwritten on a refused request, so that the proxy's own access log cannot hold them.",
        ),
        Key::new(
            "queryParams",
            "list of strings",
            Default::Is("none"),
            "Query parameters whose values are replaced.",
        ),
        Key::new(
            "claims",
            "list of strings",
            Default::Is("none"),
            "Claims that an audit event replaces: `sub`, `client_id`, `azp`, `iss`.",
        ),
    ],
};

/// Headers that hold credentials wherever they stand.
pub const CREDENTIAL_HEADERS: [&str; 7] =
    ["authorization", "cookie", "dpop", "proxy-authorization", "x-api-key", "x-auth-token", "x-csrf-token"];

/// Parameters whose values are credentials, codes or keys in OAuth, OpenID Connect, SAML and signed URLs.
const TELLING_PARAMS: [&str; 30] = [
    "access_token",
    "api_key",
    "apikey",
    "api-key",
    "assertion",
    "auth",
    "authorization",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "credential",
    "id_token",
    "jwt",
    "key",
    "nonce",
    "otp",
    "passwd",
    "password",
    "pin",
    "pwd",
    "refresh_token",
    "samlresponse",
    "secret",
    "session",
    "sig",
    "signature",
    "state",
    "ticket",
    "token",
];

/// Characters of one value that are written; the rest is cut, with `…`.
const MOST: usize = 1024;

/// Text of a client that may be printed: secrets replaced, cut to a bounded length. Control characters are escaped where
/// it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn cut(text: &str) -> Self {
        match text.char_indices().nth(MOST) {
            Some((at, _)) => Self(format!("{}…", text.get(..at).unwrap_or_default())),
            None => Self(text.to_owned()),
        }
    }
}

/// The compiled `redaction` section.
#[derive(Debug, core::default::Default)]
pub struct Rules {
    headers: Vec<String>,
    params: Vec<String>,
    claims: Vec<String>,
}

impl Rules {
    /// Reads the section.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let section = field.section(&REDACTION)?;
        let texts = |key| {
            let list = section.get(key).and_then(|field| field.texts()).unwrap_or_default();
            list.into_iter().map(str::to_ascii_lowercase).collect()
        };
        let headers = section.get("headers").and_then(|field| field.header_names()).unwrap_or_default();
        let headers = headers.iter().map(ToString::to_string).collect();
        Some(Self { headers, params: texts("queryParams"), claims: texts("claims") })
    }

    /// Hides a header (lower case) in which the policy takes a credential.
    pub fn hide_header(&mut self, name: &str) {
        self.headers.push(name.to_owned());
    }

    /// Hides a query parameter in which the policy takes a credential.
    pub fn hide_param(&mut self, name: &str) {
        self.params.push(name.to_ascii_lowercase());
    }

    /// Whether the value of this header (lower case) may not be written down.
    pub fn hides_header(&self, name: &[u8]) -> bool {
        CREDENTIAL_HEADERS.iter().any(|known| known.as_bytes() == name)
            || self.headers.iter().any(|listed| listed.as_bytes() == name)
    }

    /// The target of a request, path and query.
    pub fn target(&self, target: &[u8]) -> Redacted {
        // Far more than is written, so that a secret at the cut is still seen whole; bounded, since a client chose it.
        let text = String::from_utf8_lossy(target.get(..MOST.saturating_mul(4)).unwrap_or(target));
        let (path, query) = text.split_once('?').map_or((&*text, None), |(path, query)| (path, Some(query)));
        let mut out = path.split('/').map(shown).collect::<Vec<_>>().join("/");
        if let Some(query) = query {
            out.push('?');
            out.push_str(&query.split('&').map(|pair| self.pair(pair)).collect::<Vec<_>>().join("&"));
        }
        Redacted::cut(&out)
    }

    fn pair(&self, pair: &str) -> String {
        let Some((name, value)) = pair.split_once('=') else {
            return shown(pair).to_owned();
        };
        let plain = shapes::decoded(name).to_ascii_lowercase();
        let telling = TELLING_PARAMS.contains(&plain.as_str()) || self.params.contains(&plain);
        format!("{}={}", shown(name), if telling && !value.is_empty() { REDACTED } else { shown(value) })
    }

    /// A claim that goes into an event.
    pub fn claim(&self, name: &str, value: &str) -> Redacted {
        if self.claims.iter().any(|listed| listed == name) {
            Redacted(REDACTED.to_owned())
        } else {
            Redacted::cut(shown(value))
        }
    }

    /// A word of a client, such as a method or a host.
    pub fn word(&self, word: &[u8]) -> Redacted {
        let text = String::from_utf8_lossy(word.get(..MOST.saturating_mul(4)).unwrap_or(word));
        Redacted::cut(shown(&text))
    }
}

fn shown(text: &str) -> &str {
    if is_secret_shaped(text) { REDACTED } else { text }
}

/// The request id, if it is one that we are ready to repeat: a client may have sent it. RFC 9110 token bytes without
/// punctuation, at most 128.
pub fn request_id(value: &[u8]) -> Option<Redacted> {
    let value = trim(value);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = !value.is_empty() && value.len() <= 128 && value.iter().all(plain);
    let text = core::str::from_utf8(value).ok().filter(|_| good)?;
    Some(Redacted::cut(shown(text)))
}

#[cfg(test)]
mod tests {
    use super::{Rules, request_id};
    use crate::testing::test;

    #[test]
    fn targets_in_rows() {
        let rules = Rules { params: vec!["email".into()], ..Rules::default() };
        for (target, shown) in [
            ("/orders/42?page=2&sort=asc", "/orders/42?page=2&sort=asc"),
            ("/o?token=abc", "/o?token=REDACTED"),
            ("/o?x=1&ACCESS_TOKEN=abc&y", "/o?x=1&ACCESS_TOKEN=REDACTED&y"),
            ("/o?acc%65ss_token=abc", "/o?acc%65ss_token=REDACTED"),
            ("/o?email=a@b.example", "/o?email=REDACTED"),
            ("/o?q=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "/o?q=REDACTED"),
            ("/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/now", "/reset/REDACTED/now"),
            ("/pay/4111111111111111", "/pay/REDACTED"),
            ("/o/018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", "/o/018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e"),
            ("/o?token=", "/o?token="),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(rules.target(target.as_bytes()).as_str(), shown);
        }
        let long = format!("/{}", "a/".repeat(30_000));
        assert_eq!(rules.target(long.as_bytes()).as_str().chars().count(), 1025);
    }

    #[test]
    fn request_ids() {
        for (sent, taken) in [
            ("018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", true),
            ("a b", false),
            ("a\"b", false),
            ("", false),
            (&"a".repeat(129), false),
        ] {
            assert_eq!(request_id(sent.as_bytes()).is_some(), taken, "{sent}");
        }
    }
}
