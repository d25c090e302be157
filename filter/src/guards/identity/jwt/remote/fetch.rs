//! What is asked of an issuer, and what of its answers is believed?
//!
//! An answer is a key set only if its status is 200, it is not too long, and it holds a key that can be used. A redirect is not
//! followed: where keys come from is for the policy to say.

use super::super::keys::{KeySet, Note};
use crate::guards::identity::target::Target;
use crate::host::Answer;
use crate::http::{Head, trim};
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::time::SECOND;

macro_rules! faults {
    ($($name:ident = $code:literal, $words:literal;)+) => {
        /// Why keys could not be fetched.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $(#[doc = $words] $name,)+ }

        impl Fault {
            /// Its number in the shared record.
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $code,)+ }
            }

            /// The fault of that number.
            pub const fn of_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)+ _ => None }
            }

            /// For the log and the audit event.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)+ }
            }
        }
    };
}

faults! {
    Unreachable = 1, "the issuer cannot be reached, or broke off its answer: provider";
    Timeout = 2, "the issuer did not answer in time: provider";
    Status = 3, "the issuer answered with another status than 200: provider";
    TooLong = 4, "the issuer's answer is too long: provider";
    NotAKeySet = 5, "the issuer's answer is no key set: provider";
    NoUsableKey = 6, "the issuer's key set holds no key that can be used: provider";
    NotMetadata = 7, "the issuer's metadata cannot be read: provider";
    OtherIssuer = 8, "the issuer's metadata names another issuer: provider";
    OtherOrigin = 9, "the issuer's metadata names keys of another origin, write `uri`: provider";
    NotSent = 10, "the proxy did not send the request for keys, is the cluster known? provider";
}

/// The body of an answer with status 200. Envoy says 503 for a cluster that is down and 504 for a timeout (host fact H9).
fn body(answer: Answer) -> Result<Vec<u8>, Fault> {
    match answer.status {
        200 => answer.body.ok_or(Fault::TooLong),
        504 => Err(Fault::Timeout),
        0 | 502 | 503 => Err(Fault::Unreachable),
        _ => Err(Fault::Status),
    }
}

/// A key set, as text and as keys.
#[derive(Debug)]
pub struct Fetched {
    /// As it came.
    pub text: Vec<u8>,
    /// What of it can be used.
    pub keys: KeySet,
    /// What cannot.
    pub skipped: Vec<Note>,
    /// For how long it is fresh, in nanoseconds, if the issuer says so.
    pub max_age: Option<u64>,
}

/// Reads the answer to a request for keys.
pub fn keys(answer: Answer) -> Result<Fetched, Fault> {
    let max_age = max_age(&answer.headers);
    let text = body(answer)?;
    let (keys, skipped) = KeySet::read_fetched(&text)
        .map_err(|unusable| if unusable { Fault::NoUsableKey } else { Fault::NotAKeySet })?;
    Ok(Fetched { text, keys, skipped, max_age })
}

/// Where an issuer's metadata stands: OpenID Connect Discovery 1.0 §4.
pub fn metadata_of(issuer: &str) -> Option<Target> {
    Target::parse(&format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(issuer)))
}

/// Reads an issuer's metadata: OpenID Connect Discovery 1.0 §4.3, "The issuer value returned MUST be identical to the Issuer URL".
/// The keys must be of the same origin: the call goes to the same cluster, and who may speak for the issuer is not for a
/// document to say.
pub fn jwks_uri(answer: Answer, issuer: &str) -> Result<Target, Fault> {
    const BOUNDS: Bounds = Bounds {
        depth: limits::METADATA_DEPTH,
        values: limits::METADATA_VALUES,
        duplicates: Duplicates::Refuse,
    };
    let metadata = Json::parse(&body(answer)?, BOUNDS).map_err(|_| Fault::NotMetadata)?;
    let text = |name| metadata.get(name).and_then(Json::as_text).ok_or(Fault::NotMetadata);
    if text("issuer")? != issuer {
        return Err(Fault::OtherIssuer);
    }
    let target = Target::parse(text("jwks_uri")?).ok_or(Fault::NotMetadata)?;
    let home = Target::parse(issuer).ok_or(Fault::NotMetadata)?;
    if target.is_beside(&home) { Ok(target) } else { Err(Fault::OtherOrigin) }
}

/// RFC 9111 §5.2.2: `max-age` less the `Age` it has already (§5.1); `no-store` and `no-cache` are an age of nothing. What cannot be read says
/// nothing.
fn max_age(headers: &[u8]) -> Option<u64> {
    let head = Head::parse_trailers(headers.to_vec()).ok()?;
    let mut found = None;
    for directive in head.all("cache-control").flat_map(|value| value.split(|&b| b == b',')).map(trim) {
        let directive = directive.to_ascii_lowercase();
        let age = match directive.as_slice() {
            b"no-store" | b"no-cache" => Some(0),
            other => other.strip_prefix(b"max-age=").and_then(seconds),
        };
        found = match (found, age) {
            (Some(a), Some(b)) => Some(core::cmp::min(a, b)),
            (a, b) => a.or(b),
        };
    }
    let age = head.only("age").ok().flatten().and_then(seconds).unwrap_or(0);
    found.map(|found: u64| found.saturating_sub(age).saturating_mul(SECOND))
}

fn seconds(digits: &[u8]) -> Option<u64> {
    let digits = digits.strip_prefix(b"\"").and_then(|quoted| quoted.strip_suffix(b"\"")).unwrap_or(digits);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| core::str::from_utf8(digits).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Fault, jwks_uri, keys, max_age, metadata_of};
    use crate::host::Answer;
    use crate::http::head::serialize;
    use crate::testing::test;
    use crate::time::SECOND;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: Vec::new(), body: Some(body.as_bytes().to_vec()), ..Answer::default() }
    }

    #[test]
    fn answers_that_are_no_key_set() {
        for (answer, expected) in [
            (answer(200, "<!doctype html><title>Sign in</title>"), Fault::NotAKeySet),
            (answer(200, ""), Fault::NotAKeySet),
            (answer(200, "[]"), Fault::NotAKeySet),
            (answer(200, r#"{"keys":[]}"#), Fault::NoUsableKey),
            (answer(200, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#), Fault::NoUsableKey),
            (answer(301, ""), Fault::Status),
            (answer(404, r#"{"keys":[]}"#), Fault::Status),
            (answer(503, "upstream connect error"), Fault::Unreachable),
            (answer(504, ""), Fault::Timeout),
            (answer(0, ""), Fault::Unreachable),
            (Answer { status: 200, headers: Vec::new(), body: None, ..Answer::default() }, Fault::TooLong),
        ] {
            let shown = format!("{answer:?}");
            assert_eq!(keys(answer).map(|_| ()).unwrap_err(), expected, "{shown}");
        }
    }

    #[test]
    fn metadata() {
        let issuer = "https://id.example.com/realm";
        let read = |issuer_said: &str, uri: &str| {
            let text =
                format!(r#"{{"issuer":"{issuer_said}","jwks_uri":"{uri}","scopes_supported":["openid"]}}"#);
            jwks_uri(answer(200, &text), issuer).map(|target| target.path.to_string())
        };
        assert_eq!(read(issuer, "https://id.example.com/keys"), Ok("/keys".to_owned()));
        assert_eq!(
            read("https://id.example.com/realm/", "https://id.example.com/keys"),
            Err(Fault::OtherIssuer)
        );
        assert_eq!(read(issuer, "https://evil.example/keys"), Err(Fault::OtherOrigin));
        assert_eq!(read(issuer, "http://id.example.com/keys"), Err(Fault::OtherOrigin));
        assert_eq!(read(issuer, "keys"), Err(Fault::NotMetadata));
        assert_eq!(jwks_uri(answer(200, "{}"), issuer), Err(Fault::NotMetadata));
        assert_eq!(jwks_uri(answer(302, "{}"), issuer), Err(Fault::Status));
        let path = |issuer| metadata_of(issuer).map(|target| target.path.to_string());
        assert_eq!(path(issuer).as_deref(), Some("/realm/.well-known/openid-configuration"));
        assert_eq!(path("https://id.example.com/").as_deref(), Some("/.well-known/openid-configuration"));
        assert_eq!(path("corp"), None);
    }

    #[test]
    fn freshness() {
        let told = |fields: &[(&str, &str)]| {
            max_age(&serialize(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))))
                .map(|age| age / SECOND)
        };
        for (fields, expected) in [
            (&[][..], None),
            (&[("cache-control", "public, Max-Age=60")], Some(60)),
            (&[("cache-control", "max-age=\"60\"")], Some(60)),
            (&[("cache-control", "max-age=60"), ("age", "50")], Some(10)),
            (&[("cache-control", "max-age=60"), ("age", "90")], Some(0)),
            (&[("cache-control", "max-age=60, no-store")], Some(0)),
            (&[("cache-control", "max-age=60"), ("cache-control", "max-age=30")], Some(30)),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "max-age=+1")], None),
            (&[("cache-control", "max-age=")], None),
            (&[("cache-control", "max-age=99999999999999999999")], None),
            (&[("cache-control", "public")], None),
        ] {
            assert_eq!(told(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn faults_keep_their_numbers() {
        for code in 1..=10 {
            assert_eq!(Fault::of_code(code).map(Fault::code), Some(code));
        }
        assert_eq!((Fault::of_code(0), Fault::of_code(11)), (None, None));
    }
}
