//! What may be written down of what a client sent?
//!
//! [`Redacted`] is the only type of client text that an audit event takes, and this module is the only one that makes it: secrets
//! are kept out by type, not by remembering to. What is left out here also stays out of Envoy's own access log, since the
//! gateway writes the redacted target back into the head of a refused request.
//!
//! Two rules, both always on: what a *name* gives away (a query parameter called `token`), and what a *shape* gives away (a
//! JWT, a key with a vendor's prefix, a card number that checks out, a long random word).

mod shapes;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Serialize;

use crate::document::{Default, Field, Key, Shape};
use crate::hex;
use crate::http::{Head, trim};

pub use shapes::is_secret_shaped;

/// What stands where something was taken out.
pub const REDACTED: &str = "REDACTED";

/// The `redaction` section.
pub static REDACTION: Shape = Shape::new(
    "redaction",
    "What no log line, audit event or metric may hold, beside the built-in set, which is always on: credentials in headers, \
            query parameters with telling names, and values shaped like a secret.",
    &[
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
        Key::new(
            "mailAddresses",
            "boolean",
            Default::Is("false"),
            "Also addresses of electronic mail, wherever they stand.",
        ),
    ],
);

/// Headers that hold credentials wherever they stand.
pub const CREDENTIAL_HEADERS: [&str; 7] =
    ["authorization", "cookie", "dpop", "proxy-authorization", "x-api-key", "x-auth-token", "x-csrf-token"];

/// Parameters whose values are credentials, codes or keys in OAuth, OpenID Connect, SAML, sessions and signed URLs: letters and digits
/// alone, in lower case, so that `client_secret`, `clientSecret` and `client-secret` are one name. Sorted.
const TELLING_PARAMS: [&str; 43] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "assertion",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "clientassertion",
    "clientsecret",
    "code",
    "codeverifier",
    "credential",
    "credentials",
    "csrf",
    "csrftoken",
    "idtoken",
    "jsessionid",
    "jwt",
    "key",
    "nonce",
    "otp",
    "passphrase",
    "passwd",
    "password",
    "phpsessid",
    "pin",
    "privatekey",
    "pwd",
    "refreshtoken",
    "samlresponse",
    "secret",
    "secretkey",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "state",
    "ticket",
    "token",
    "xamzsecuritytoken",
];

/// Letters and digits of the longest of them.
const LONGEST_TELLING: usize = 17;

/// RFC 9110 §9.3 and RFC 5789.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT"];

/// Characters of one value that are written; the rest is cut, with `…`.
const MOST: usize = 1024;

/// Text of a client that may be printed: secrets replaced, cut to a bounded length. Control characters are escaped where
/// it is written.
#[derive(Clone, Debug, core::default::Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(Cow<'static, str>);

impl Redacted {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    const fn of(word: &'static str) -> Self {
        Self(Cow::Borrowed(word))
    }

    fn cut(text: &str) -> Self {
        // So many bytes are no more characters than that, and need not be counted.
        let end = if text.len() <= MOST { None } else { text.char_indices().nth(MOST) };
        match end {
            Some((at, _)) => Self(format!("{}…", text.get(..at).unwrap_or_default()).into()),
            None => Self(text.to_owned().into()),
        }
    }
}

/// What every event and answer tells of a head, as it may be written down.
#[derive(Debug, core::default::Default)]
pub struct Shown {
    /// `x-request-id`, if it may be repeated.
    pub id: Option<Redacted>,
    /// Path and query.
    pub target: Redacted,
    /// `:authority`
    pub host: Redacted,
}

/// The compiled `redaction` section.
#[derive(Debug, core::default::Default)]
pub struct Rules {
    headers: Vec<String>,
    params: Vec<String>,
    claims: Vec<String>,
    mail_addresses: bool,
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
        let mail_addresses = match section.get("mailAddresses") {
            Some(field) => field.boolean()?,
            None => false,
        };
        Some(Self { headers, params: texts("queryParams"), claims: texts("claims"), mail_addresses })
    }

    /// Hides a header (lower case) in which the policy takes a credential.
    pub fn hide_header(&mut self, name: &str) {
        self.headers.push(name.to_owned());
    }

    /// Hides a query parameter in which the policy takes a credential.
    pub fn hide_param(&mut self, name: &str) {
        self.params.push(name.to_ascii_lowercase());
    }

    /// The headers (lower case) whose values may not be written down.
    pub fn hidden_headers(&self) -> impl Iterator<Item = &str> {
        CREDENTIAL_HEADERS.into_iter().chain(self.headers.iter().map(String::as_str))
    }

    /// Whether the value of this header (lower case) may not be written down.
    pub fn hides_header(&self, name: &[u8]) -> bool {
        self.hidden_headers().any(|hidden| hidden.as_bytes() == name)
    }

    /// What of a head may be written down.
    pub fn head(&self, head: &Head) -> Shown {
        let id = head.only("x-request-id").ok().flatten().and_then(request_id);
        Shown { id, target: self.target(head.target()), host: self.host(head.authority()) }
    }

    /// The target of a request, path and query.
    pub fn target(&self, target: &[u8]) -> Redacted {
        // Far more than is written, and bounded, since a client chose it.
        let seen = target.get(..MOST.saturating_mul(4));
        let text = text_of(seen.unwrap_or(target));
        let whole = if seen.is_some() { without_the_last(&text) } else { &text };
        let (path, query) = whole.split_once('?').map_or((whole, None), |(path, query)| (path, Some(query)));
        let mut out = String::with_capacity(whole.len());
        for (nth, segment) in path.split('/').enumerate() {
            if nth > 0 {
                out.push('/');
            }
            self.segment(segment, &mut out);
        }
        if let Some(query) = query {
            out.push('?');
            self.pairs(query, &mut out);
        }
        if out.len() <= MOST { Redacted(out.into()) } else { Redacted::cut(&out) }
    }

    /// A segment of a path, and its parameters: `;jsessionid=…` is refused, and written down as what was refused.
    fn segment(&self, segment: &str, out: &mut String) {
        if segment.bytes().any(|b| matches!(b, b';' | b'=' | b'%')) {
            self.pairs(segment, out);
        } else {
            out.push_str(self.shown(segment));
        }
    }

    /// Pairs behind `&` or `;`, which some servers part a query by.
    fn pairs(&self, pairs: &str, out: &mut String) {
        let mut rest = pairs;
        while let Some(end) = rest.bytes().position(|b| matches!(b, b'&' | b';')) {
            let (pair, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let (mark, behind) = behind.split_at_checked(1).unwrap_or_default();
            self.pair(pair, out);
            out.push_str(mark);
            rest = behind;
        }
        self.pair(rest, out);
    }

    fn pair(&self, pair: &str, out: &mut String) {
        let Some((name, value)) = pair.split_once('=') else {
            // `token%3Dabc`: for a reader that decodes first, a pair.
            out.push_str(if self.tells(pair) { REDACTED } else { self.shown(pair) });
            return;
        };
        // A URL within a URL, such as where to go after a login, has pairs of its own.
        let secret = !value.is_empty() && (self.is_telling(name.as_bytes()) || self.tells(value));
        out.push_str(self.shown(name));
        out.push('=');
        out.push_str(if secret { REDACTED } else { self.shown(value) });
    }

    /// Whether the text, decoded, has a pair in it whose name is telling.
    fn tells(&self, text: &str) -> bool {
        text.bytes().any(|b| matches!(b, b'%' | b'='))
            && shapes::decoded(text.as_bytes()).split(|b| b"?&;#".contains(b)).any(|pair| {
                let mut halves = pair.splitn(2, |b| *b == b'=');
                let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
                !value.is_empty() && self.is_telling(name)
            })
    }

    /// Whether a parameter's name says that its value is a secret. `user[password]` and `user.password` do.
    fn is_telling(&self, name: &[u8]) -> bool {
        let plain = shapes::decoded(name);
        self.params.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(&plain))
            || tells_a_secret(&plain)
            || plain
                .split(|b| b"[].?&;/".contains(b))
                .any(|part| part.len() < plain.len() && tells_a_secret(part))
    }

    /// A claim that goes into an event.
    pub fn claim(&self, name: &str, value: &str) -> Redacted {
        if self.claims.iter().any(|listed| listed == name) {
            Redacted::of(REDACTED)
        } else {
            Redacted::cut(self.shown(value))
        }
    }

    fn shown<'t>(&self, text: &'t str) -> &'t str {
        if self.mail_addresses && shapes::is_mail_address(text.as_bytes()) { REDACTED } else { shown(text) }
    }

    /// `:authority`. Whoever stands before an `@` (RFC 3986 §3.2.1) may have a password there.
    pub fn host(&self, host: &[u8]) -> Redacted {
        match host.iter().rposition(|&b| b == b'@') {
            Some(at) => {
                let host = self.word(host.get(at..).unwrap_or_default());
                Redacted(format!("{REDACTED}{}", host.0).into())
            }
            None => self.word(host),
        }
    }

    /// A method. Nearly all are among those that everybody uses.
    pub fn method(&self, method: &[u8]) -> Redacted {
        match METHODS.iter().find(|known| known.as_bytes() == method) {
            Some(known) => Redacted::of(known),
            None => self.word(method),
        }
    }

    /// A word of a client, such as a host.
    pub fn word(&self, word: &[u8]) -> Redacted {
        Redacted::cut(self.shown(&text_of(word.get(..MOST.saturating_mul(4)).unwrap_or(word))))
    }
}

/// A name that an issuer gives to something of its own.
pub fn name(name: &str) -> Redacted {
    Redacted::cut(shown(name))
}

/// Bytes as hexadecimal digits: a digest, which is nobody's secret.
pub fn digits(bytes: &[u8]) -> Redacted {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    Redacted(halves.filter_map(|half| hex::DIGITS.get(usize::from(half))).collect::<String>().into())
}

/// As text. Nearly all of it is, and what is not is looked at again.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    core::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Whether letters and digits of this name, in lower case, are one of [`TELLING_PARAMS`].
fn tells_a_secret(name: &[u8]) -> bool {
    let mut folded = [0; LONGEST_TELLING];
    let mut places = folded.iter_mut();
    for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        // A longer name is none of them.
        let Some(place) = places.next() else { return false };
        *place = byte.to_ascii_lowercase();
    }
    let left = places.len();
    let folded =
        LONGEST_TELLING.checked_sub(left).and_then(|length| folded.get(..length)).unwrap_or_default();
    TELLING_PARAMS.binary_search_by(|known| known.as_bytes().cmp(folded)).is_ok()
}

/// Without what stands behind the last separator: it was cut, and half a secret has no shape.
fn without_the_last(text: &str) -> &str {
    text.rfind(['/', '?', '&', ';']).and_then(|at| text.get(..=at)).unwrap_or_default()
}

fn shown(text: &str) -> &str {
    if is_secret_shaped(text.as_bytes()) { REDACTED } else { text }
}

/// The request id, if it is one that we are ready to repeat: a client may have sent it. RFC 9110 token bytes without
/// punctuation, at most 128.
pub fn request_id(value: &[u8]) -> Option<Redacted> {
    let value = trim(value);
    if shapes::is_uuid(value) {
        // Nearly every one is, and it has none of the shapes.
        return core::str::from_utf8(value).ok().map(|text| Redacted(text.to_owned().into()));
    }
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = !value.is_empty() && value.len() <= 128 && value.iter().all(plain);
    let text = core::str::from_utf8(value).ok().filter(|_| good)?;
    Some(Redacted::cut(shown(text)))
}
