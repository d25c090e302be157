//! What is written down of a request? One event, one line of JSON.
//!
//! An event is built only of types that are safe to print: names from the policy, words of our own, numbers, and
//! [`Redacted`] text. There is no way in for a header, a token or a query that nobody looked at. The line is ASCII: whatever else a
//! client sent, a terminal, a log shipper and a person see `\u` escapes (no CR, LF, ANSI sequence or bidi override).

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use serde::ser::Serializer;
use serde::{Serialize, ser};
use serde_json::ser::Formatter;

use crate::decision::{Detail, Reason};
use crate::document::{Default, Field, Key, Shape};
use crate::redaction::Redacted;
use crate::time::Timestamp;

/// The version of the event's schema, in every event.
pub const SCHEMA: &str = "portcullis.audit/v1";

/// The `audit` section.
pub static AUDIT: Shape = Shape {
    name: "audit",
    about: "Which requests leave an audit event: one line of JSON in the host's log.",
    keys: &[
        Key::new(
            "log",
            "All | Denied | Off",
            Default::Is("Denied"),
            "`Denied`: refused requests, and those that would have been in Shadow. `All`: every request.",
        ),
        Key::new(
            "sampleAllowed",
            "number from 0 to 1",
            Default::Is("0"),
            "The share of allowed requests that leave an event when `log` is `Denied`.",
        ),
    ],
};

/// The compiled `audit` section.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    log: Log,
    sample_allowed: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    All,
    Denied,
    Off,
}

impl core::default::Default for Rules {
    fn default() -> Self {
        Self { log: Log::Denied, sample_allowed: 0.0 }
    }
}

impl Rules {
    /// Reads the section.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let section = field.section(&AUDIT)?;
        let mut rules = Self::default();
        let words = [("All", Log::All), ("Denied", Log::Denied), ("Off", Log::Off)];
        if let Some(log) = section.get("log").and_then(|field| field.one_of(&words)) {
            rules.log = log;
        }
        if let Some(share) = section.get("sampleAllowed").and_then(|field| field.number(0.0..=1.0)) {
            rules.sample_allowed = share;
        }
        if rules.log == Log::Off && rules.sample_allowed > 0.0 {
            section.error(
                "`sampleAllowed` has no effect while `log` is `Off`",
                "leave it out, or write `log: Denied`",
            );
        }
        Some(rules)
    }

    /// Whether a request with this outcome leaves an event.
    pub fn wants(self, decision: Decision, now: Timestamp) -> bool {
        match (self.log, decision) {
            (Log::Off, _) => false,
            (Log::All, _) | (Log::Denied, Decision::Refused | Decision::Shadow) => true,
            (Log::Denied, Decision::Allowed | Decision::Answered) => {
                self.sample_allowed > 0.0 && spread(now) < self.sample_allowed
            }
        }
    }
}

/// A number in [0, 1) that changes with every nanosecond: enough to sample by, and no call for randomness.
fn spread(now: Timestamp) -> f64 {
    // Fibonacci hashing: the upper bits of a product with 2^64 / φ are spread evenly.
    let mixed = now.nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let (numerator, denominator) = (mixed as f64, (1_u64 << 53) as f64);
    numerator / denominator
}

/// How a request ended, seen from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It went on to the upstream.
    Allowed,
    /// It did not.
    Refused,
    /// It did not need to: the gateway answered it itself.
    Answered,
    /// It would not have, but for `mode: Shadow`.
    Shadow,
}

/// Who was calling, as far as that was proved.
#[derive(Debug, core::default::Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// `sub`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Redacted>,
    /// `client_id` or `azp`, or the client of the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Redacted>,
    /// `iss`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Redacted>,
    /// The policy's name of the provider, if a token came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Rc<str>>,
    /// The key that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<Redacted>,
    /// The first eight digits of the API key's hash in the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<Rc<str>>,
}

/// One request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// [`SCHEMA`]
    pub schema: &'static str,
    /// When the request's head was judged.
    #[serde(serialize_with = "shown")]
    pub time: Timestamp,
    /// The policy's name.
    pub policy: Rc<str>,
    /// The first twelve digits of the policy's digest.
    pub digest: Rc<str>,
    /// `x-request-id`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Redacted>,
    /// The route, if one matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Rc<str>>,
    /// For whom the route is, if the policy says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<&'static str>,
    /// How it ended.
    pub decision: Decision,
    /// Why it was refused, or would have been.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "code")]
    pub reason: Option<Reason>,
    /// The fact behind the reason.
    #[serde(skip_serializing_if = "is_none", serialize_with = "shown")]
    pub detail: Detail,
    /// The authorization rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rc<str>>,
    /// Rules in Shadow that would have refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadow_rules: Vec<Rc<str>>,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_address: Option<IpAddr>,
    /// `:method`
    pub method: Redacted,
    /// `:authority`
    pub host: Redacted,
    /// `:path`, secrets taken out.
    pub path: Redacted,
    /// What the client got, if the host tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the head to the end of the stream, in milliseconds.
    pub duration_ms: f64,
}

impl Event {
    /// The line.
    pub fn line(&self) -> String {
        let mut out = Vec::with_capacity(512);
        // Writing to memory, of types that serialise: it cannot fail, and if it did, an empty line would be the least harm.
        let written = self.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Ascii));
        written.ok().and_then(|()| String::from_utf8(out).ok()).unwrap_or_default()
    }
}

fn shown<T: ToString, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn code<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
    reason
        .map_or_else(|| Err(ser::Error::custom("skipped")), |reason| serializer.serialize_str(reason.code()))
}

fn is_none(detail: &Detail) -> bool {
    *detail == Detail::None
}

/// Writes whatever is not printable ASCII as `\uXXXX`. JSON's own escapes (quote, back slash, below 0x20) come from the
/// default.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        // Runs of what may stand as it is, which is nearly always all of it.
        for run in fragment.split_inclusive(|c| !matches!(c, ' '..='~')) {
            let plain = run.trim_end_matches(|c| !matches!(c, ' '..='~'));
            writer.write_all(plain.as_bytes())?;
            for unit in run.get(plain.len()..).unwrap_or_default().encode_utf16() {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Decision, Event, Log, Rules, SCHEMA};
    use crate::decision::{Detail, Reason};
    use crate::document::Field;
    use crate::json::Json;
    use crate::problem::Problems;
    use crate::redaction::Rules as Redaction;
    use crate::testing::test;
    use crate::time::Timestamp;

    fn event(path: &str) -> Event {
        let redaction = Redaction::default();
        Event {
            schema: SCHEMA,
            time: Timestamp::from_seconds(0),
            policy: "shop".into(),
            digest: "0123456789ab".into(),
            request_id: None,
            route: Some("orders".into()),
            exposure: None,
            decision: Decision::Refused,
            reason: Some(Reason::TokenExpired),
            detail: Detail::Named("provider", "corp".into()),
            rule: None,
            shadow_rules: vec![],
            caller: None,
            client_address: Some([127, 0, 0, 1].into()),
            method: redaction.word(b"GET"),
            host: redaction.word(b"h"),
            path: redaction.target(path.as_bytes()),
            status: Some(401),
            duration_ms: 0.25,
        }
    }

    #[test]
    fn a_line_reads_as_documented() {
        assert_eq!(
            event("/a").line(),
            concat!(
                r#"{"schema":"portcullis.audit/v1","time":"1970-01-01T00:00:00.000Z","policy":"shop","digest":"0123456789ab","#,
                r#""route":"orders","decision":"refused","reason":"token_expired","detail":"provider `corp`","#,
                r#""clientAddress":"127.0.0.1","method":"GET","host":"h","path":"/a","status":401,"durationMs":0.25}"#
            )
        );
    }

    #[test]
    fn a_line_cannot_be_forged() {
        for path in [
            "/\r\n{\"decision\":\"allowed\"}",
            "/\u{1b}[31mred",
            "/\u{202e}evil",
            "/\u{7f}",
            "/\u{1f512}\"\\",
        ] {
            let line = event(path).line();
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line}");
            let back: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(back["path"], path);
            assert_eq!(back["decision"], "refused");
        }
    }

    #[test]
    fn yaml_may_read_off_as_a_boolean() {
        for (log, expected, problem) in [
            ("false", Log::Off, None),
            (r#""Off""#, Log::Off, None),
            (
                "true",
                Log::Denied,
                Some(
                    "log: expected a string, found a boolean · help: YAML reads words like `n`, `no` and `off` as \
                     booleans: write it in quotes",
                ),
            ),
        ] {
            let json: Json = serde_json::from_str(&format!(r#"{{"log":{log}}}"#)).unwrap();
            let problems = Problems::new();
            assert_eq!(Rules::read(&Field::root(&json, &problems)).unwrap().log, expected);
            let found = problems.into_vec().first().map(ToString::to_string);
            assert_eq!(found.as_deref(), problem);
        }
    }

    #[test]
    fn who_leaves_an_event() {
        use Decision::{Allowed, Answered, Refused, Shadow};
        let now = Timestamp::from_nanos(1_795_489_800_250_000_001);
        for (log, share, wanted) in [
            (Log::All, 0.0, [true, true, true, true]),
            (Log::Denied, 0.0, [false, false, true, true]),
            (Log::Denied, 1.0, [true, true, true, true]),
            (Log::Off, 0.0, [false, false, false, false]),
        ] {
            let rules = Rules { log, sample_allowed: share };
            assert_eq!(
                [Allowed, Answered, Refused, Shadow].map(|decision| rules.wants(decision, now)),
                wanted
            );
        }
        let sampled = Rules { log: Log::Denied, sample_allowed: 0.1 };
        let hits =
            (0..10_000).filter(|n| sampled.wants(Allowed, Timestamp::from_nanos(n * 1_000_003))).count();
        assert!((800..1200).contains(&hits), "{hits}");
    }
}
