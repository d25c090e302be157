//! Are these the fields of an audit event, and what of it counts?

use clap::ValueEnum;
use portcullis_filter::time::Timestamp;

use super::fields::Fields;

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

    pub(super) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.word() == word)
    }
}

/// What counts of an event, or of a line of the access log.
#[derive(Debug, PartialEq)]
pub(super) struct Event {
    pub(super) time: Timestamp,
    pub(super) what: What,
}

#[derive(Debug, PartialEq)]
pub(super) enum What {
    Request(Request),
    /// What the proxy's access log says of a request. It may have left an event, too.
    Entry(Request),
    Penalty(Penalty),
    /// Something else happened to the gateway.
    Other(String),
}

#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) decision: Decision,
    pub(super) reason: Option<String>,
    pub(super) route: Option<String>,
    pub(super) exposure: Option<String>,
    /// The subject, or else the client, or else the key.
    pub(super) caller: Option<String>,
    pub(super) address: Option<String>,
}

/// A client that has failed too often is refused for a while.
#[derive(Debug, PartialEq)]
pub(super) struct Penalty {
    pub(super) rule: Option<String>,
    pub(super) route: Option<String>,
    pub(super) address: Option<String>,
}

/// The event that these fields are, if they are one. `time`: where a record has a place of its own for it.
pub(super) fn of(fields: &mut Fields, time: Option<Timestamp>) -> Option<Event> {
    if !fields.get("portcullis.schema")?.starts_with(SCHEMA) {
        return None;
    }
    let time = match fields.get("@timestamp") {
        Some(text) => Timestamp::parse(text)?,
        None => time?,
    };
    let what = match fields.get("event.action")? {
        "request" => What::Request(request(fields)?),
        "penalty-entered" => What::Penalty(Penalty {
            rule: fields.take("rule.name"),
            route: fields.take("portcullis.route"),
            address: fields.take("client.ip"),
        }),
        other => What::Other(other.to_owned()),
    };
    Some(Event { time, what })
}

fn request(fields: &mut Fields) -> Option<Request> {
    Some(Request {
        decision: Decision::of(fields.get("portcullis.decision")?)?,
        reason: fields.take("event.reason"),
        route: fields.take("portcullis.route"),
        exposure: fields.take("portcullis.exposure"),
        caller: ["user.id", "user.hash", "portcullis.client", "portcullis.api_key"]
            .into_iter()
            .find_map(|name| fields.take(name)),
        address: fields.take("client.ip"),
    })
}

/// Whether a line names the schema of events, in whatever form.
pub(super) fn is_named_in(line: &[u8]) -> bool {
    line.windows(SCHEMA.len()).any(|part| part == SCHEMA.as_bytes())
}
