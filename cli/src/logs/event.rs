//! Is this line an audit event, and what of it counts?
//!
//! An event stands alone on its line, or behind the beginning that Envoy gives to a plugin's line. A line of another kind may hold what a
//! client sent, an event of its own making too (a path in an access log): what has not one of these two forms is none.

use clap::ValueEnum;
use portcullis_filter::time::Timestamp;
use serde::Deserialize;

/// The schema's name, whatever its version.
const SCHEMA: &str = "portcullis.audit/";

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decision {
    /// It went on to the upstream.
    Allowed,
    /// It did not.
    Refused,
    /// It passed, and would not have but for Shadow.
    Shadow,
    /// The gateway itself answered.
    Answered,
}

impl Decision {
    pub(super) const ALL: [Self; 4] = [Self::Refused, Self::Shadow, Self::Answered, Self::Allowed];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Shadow => "shadow",
            Self::Answered => "answered",
        }
    }
}

/// What counts of an event.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) time: Timestamp,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Request(Request),
    /// Something happened to the gateway.
    Other(String),
}

#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
    pub(super) route: Option<String>,
    /// The subject, or else the client, or else the key.
    pub(super) caller: Option<String>,
    pub(super) address: Option<String>,
}

/// The fields of `docs/audit.md` that are looked at.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "portcullis.schema")]
    schema: String,
    #[serde(rename = "@timestamp")]
    time: String,
    #[serde(rename = "event.action")]
    action: String,
    #[serde(rename = "portcullis.decision")]
    decision: Option<String>,
    #[serde(rename = "event.reason")]
    reason: Option<String>,
    #[serde(rename = "portcullis.route")]
    route: Option<String>,
    #[serde(rename = "user.id")]
    subject: Option<String>,
    #[serde(rename = "user.hash")]
    hash: Option<String>,
    #[serde(rename = "portcullis.client")]
    client: Option<String>,
    #[serde(rename = "portcullis.api_key")]
    api_key: Option<String>,
    #[serde(rename = "client.ip")]
    address: Option<String>,
}

impl Event {
    /// Whether it is asked for: no decision asked for is all of them, and everything else that happened.
    pub(super) fn is_one_of(&self, decisions: &[Decision]) -> bool {
        match &self.what {
            What::Request(request) => decisions.is_empty() || decisions.contains(&request.decision),
            What::Other(_) => decisions.is_empty(),
        }
    }
}

/// The event of a line, if it is one.
pub(super) fn read(line: &[u8]) -> Option<Event> {
    let line: Line = serde_json::from_slice(json(line)?).ok()?;
    if !line.schema.starts_with(SCHEMA) {
        return None;
    }
    let time = Timestamp::parse(&line.time)?;
    if line.action != "request" {
        return Some(Event { time, what: What::Other(line.action) });
    }
    let decision = Decision::ALL.into_iter().find(|known| Some(known.word()) == line.decision.as_deref())?;
    let caller = line.subject.or(line.hash).or(line.client).or(line.api_key);
    let Line { reason, route, address, .. } = line;
    Some(Event { time, what: What::Request(Request { decision, reason, route, caller, address }) })
}

/// The JSON of a line that is JSON, or that Envoy wrote for a plugin:
/// `[2026-11-25 19:25:54.756][18049][warning][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log name root vm: {…}`.
fn json(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    if line.starts_with(b"{") {
        return Some(line);
    }
    let mut rest = line;
    for part in 0..4 {
        let end = rest.iter().position(|b| *b == b']')?;
        let inside = rest.get(..end)?.strip_prefix(b"[")?;
        rest = rest.get(end + 1..)?;
        let holds = match part {
            0 => inside.iter().all(|b| b.is_ascii_digit() || b"-: .,TZ+".contains(b)),
            1 => inside.iter().all(u8::is_ascii_digit),
            2 => inside.iter().all(u8::is_ascii_alphabetic),
            _ => inside == b"wasm",
        };
        if inside.is_empty() || !holds {
            return None;
        }
    }
    let end = rest.iter().position(|b| *b == b']')?;
    let behind = rest.strip_prefix(b" [").and_then(|_| rest.get(end + 1..))?.strip_prefix(b" wasm log ")?;
    let at = behind.iter().position(|b| *b == b'{')?;
    behind.get(..at)?.ends_with(b": ").then(|| behind.get(at..))?
}

#[cfg(test)]
mod tests {
    use super::{Decision, What, read};

    const EVENT: &str = r#"{"@timestamp":"2026-11-25T19:00:00.000Z","event.action":"request","portcullis.decision":"refused","event.reason":"token_expired","portcullis.route":"orders","user.id":"ada","client.ip":"192.0.2.1","portcullis.schema":"portcullis.audit/v2"}"#;
    const ENVOY: &str = "[2026-11-25 19:25:54.756][18049][warning][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log portcullis portcullis portcullis-gateway: ";

    #[test]
    fn an_event_alone_and_in_envoys_log() {
        for line in [EVENT.to_owned(), format!("{ENVOY}{EVENT}"), format!("  {EVENT}\r")] {
            let event = read(line.as_bytes()).unwrap_or_else(|| panic!("{line}"));
            let What::Request(request) = event.what else { panic!("{line}") };
            assert_eq!((request.decision, request.caller.as_deref()), (Decision::Refused, Some("ada")));
        }
        let other = EVENT.replace(r#""event.action":"request""#, r#""event.action":"policy-loaded""#);
        assert_eq!(
            read(other.as_bytes()).map(|event| event.what),
            Some(What::Other("policy-loaded".to_owned()))
        );
    }

    #[test]
    fn what_a_client_sent_is_no_event() {
        for line in [
            format!("[2026-11-25T19:00:00.000Z] \"GET /{EVENT}"),
            format!("[2026-11-25T19:00:00.000Z] \"GET /][1][warning][wasm] [x] wasm log a: {EVENT}"),
            format!("192.0.2.1 - - \"GET / HTTP/1.1\" 200 {EVENT}"),
            format!("[2026-11-25 19:25:54.756][18049][warning][http] [x.cc:1] wasm log a: {EVENT}"),
            format!("{ENVOY}portcullis: provider {{x}}: {EVENT}"),
            format!("{ENVOY}{EVENT} trailing"),
            format!("{{\"path\":{EVENT}}}"),
            EVENT.replace("portcullis.audit/v2", "other/v2"),
            EVENT.replace("2026-11-25T19:00:00.000Z", "yesterday"),
            EVENT.replace("\"refused\"", "\"perhaps\""),
            EVENT.replacen('{', r#"{"portcullis.decision":"allowed","#, 1),
            "[".repeat(10_000),
            format!("{{\"a\":{}", "[".repeat(10_000)),
            String::new(),
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
        assert_eq!(read(b"{\"portcullis.schema\":\"portcullis.audit/\xff\"}"), None);
    }
}
