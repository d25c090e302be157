//! Where do events go? What the policy says of it.

use std::rc::Rc;

use super::export::{Exporter, HeaderValue, Source};
use super::{Decision, config::Level};
use crate::document::outside::{cluster, duration, url, variable};
use crate::document::{Default, Field, Key, Section, Shape};
use crate::http::is_field_value;
use crate::limits;
use crate::time::SECOND;

/// `audit.sinks`
pub(super) static SINKS: Shape = Shape::new(
    "audit.sinks",
    "Where audit events go.",
    &[
        Key::new("log", "boolean", Default::Is("true"), "The proxy's own log: one line of JSON an event."),
        Key::new(
            "accessLog",
            "All | Denied | Off",
            Default::Is("Off"),
            "For which requests the decision is put where the proxy's access log finds it: `%FILTER_STATE(wasm.portcullis_decision:PLAIN)%`, and \
             likewise `_reason`, `_route`, `_policy` and `_subject`. `Denied`: for refused requests, and those that would have been in Shadow.",
        ),
        Key::new("otlp", "map", Default::Is("none"), "A collector that takes OTLP over HTTP.").nested(&OTLP),
    ],
);

/// `audit.sinks.otlp`
pub(super) static OTLP: Shape = Shape::new(
    "audit.sinks.otlp",
    "A collector that takes logs by OTLP over HTTP, in Protocol Buffers. Each worker gathers events and sends them in batches, one request at a \
            time; no request of a client waits for it. What is more than `maxBuffered` is dropped, counted, and told of in the proxy's log.",
    &[
        Key::new("cluster", "string", Default::Required, "The proxy's name for where the collector is."),
        Key::new(
            "uri",
            "URL",
            Default::Required,
            "Where it takes logs, such as `http://collector.example.com:4318/v1/logs`.",
        ),
        Key::new("headers", "list of maps", Default::Is("none"), "Fields for the collector; at most 16.")
            .nested(&HEADER),
        Key::new("timeout", "duration", Default::Is("5s"), "For one request, `100ms` to `60s`."),
        Key::new("maxBatch", "integer", Default::Is("512"), "Events of one request, 1 to 2048."),
        Key::new(
            "maxDelay",
            "duration",
            Default::Is("1s"),
            "How long an event may wait for others, `100ms` to `60s`.",
        ),
        Key::new(
            "maxBuffered",
            "integer",
            Default::Is("4096"),
            "Events that a worker holds, 1 to 65536 and at most 4 MiB.",
        ),
    ],
);

/// `audit.sinks.otlp.headers[]`
pub(super) static HEADER: Shape = Shape::new(
    "audit.sinks.otlp.headers[]",
    "A field for the collector. One of `value` and `env` says what it holds. While the variable is missing, nothing is sent: the events are dropped.",
    &[
        Key::new("name", "header name", Default::Required, "Its name."),
        Key::new("value", "string", Default::Is("none"), "What it holds, if that is no secret."),
        Key::new(
            "env",
            "name of a variable",
            Default::Is("none"),
            "A variable of the plugin's environment that holds it.",
        ),
    ],
);

/// The compiled section.
#[derive(Debug)]
pub struct Sinks {
    /// The proxy's log.
    pub log: bool,
    /// The proxy's access log.
    pub access_log: AccessLog,
    /// A collector.
    pub otlp: Option<Rc<Exporter>>,
}

/// For which requests the access log finds the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Every one.
    All,
    /// Those that were refused, or would have been.
    Denied,
    /// None.
    Off,
}

impl AccessLog {
    /// Whether one with this outcome is among them.
    pub fn wants(self, decision: Decision) -> bool {
        match self {
            Self::All => true,
            Self::Denied => matches!(decision, Decision::Refused | Decision::Shadow),
            Self::Off => false,
        }
    }
}

impl core::default::Default for Sinks {
    fn default() -> Self {
        Self { log: true, access_log: AccessLog::Off, otlp: None }
    }
}

impl Sinks {
    /// Reads the section.
    pub(super) fn read(field: &Field<'_>, level: Level) -> Option<Self> {
        let section = field.section(&SINKS)?;
        let mut sinks = Self::default();
        if let Some(field) = section.get("log") {
            sinks.log = field.boolean()?;
        }
        if let Some(field) = section.get("accessLog") {
            sinks.access_log = field.one_of(&[
                ("All", AccessLog::All),
                ("Denied", AccessLog::Denied),
                ("Off", AccessLog::Off),
            ])?;
        }
        if let Some(field) = section.get("otlp") {
            sinks.otlp = Some(Rc::new(Exporter::new(source(&field)?)));
        }
        if !sinks.log && sinks.otlp.is_none() && !level.is_off() {
            section.error(
                "no event would go anywhere",
                "leave `log` on, write `otlp`, or write `log: Off` in `audit`",
            );
        }
        Some(sinks)
    }
}

fn source(field: &Field<'_>) -> Option<Source> {
    let section = field.section(&OTLP)?;
    let uri = section.get("uri").and_then(|field| url(&field));
    let cluster = cluster(&section);
    let headers = match section.get("headers") {
        Some(field) => headers(&field),
        None => Some(Vec::new()),
    };
    let timeout = duration(&section, "timeout", 5 * SECOND, SECOND / 10, 60 * SECOND);
    let max_delay = duration(&section, "maxDelay", SECOND, SECOND / 10, 60 * SECOND);
    let max_batch = count(&section, "maxBatch", 512, limits::EXPORT_BATCH);
    let max_buffered = count(&section, "maxBuffered", 4096, limits::EXPORT_BUFFERED);
    let source = Source {
        uri: uri?,
        cluster: cluster?,
        headers: headers?,
        timeout: timeout?,
        max_delay: max_delay?,
        max_batch: max_batch?,
        max_buffered: max_buffered?,
    };
    if source.max_batch > source.max_buffered {
        section.error("`maxBatch` is more than `maxBuffered`", "a batch is gathered from what is held");
    }
    Some(source)
}

fn count(section: &Section<'_>, key: &'static str, default: usize, most: usize) -> Option<usize> {
    let Some(field) = section.get(key) else { return Some(default) };
    usize::try_from(field.integer(1..=most as u64)?).ok()
}

fn headers(field: &Field<'_>) -> Option<Vec<(Rc<str>, HeaderValue)>> {
    let elements = field.list()?;
    if elements.len() > limits::EXPORT_HEADERS {
        field.error("too many fields", format!("at most {}", limits::EXPORT_HEADERS));
        return None;
    }
    elements.iter().map(header).collect()
}

fn header(field: &Field<'_>) -> Option<(Rc<str>, HeaderValue)> {
    let section = field.section(&HEADER)?;
    let name = section.get("name").and_then(|field| field.header_name());
    let value = match (section.get("value"), section.get("env")) {
        (Some(value), None) => {
            let text = value.text()?;
            if !is_field_value(text.as_bytes()) {
                value.error("not what a header may hold", "visible characters and blanks");
                return None;
            }
            HeaderValue::Plain(text.into())
        }
        (None, Some(env)) => HeaderValue::Env(variable(&env)?),
        _ => {
            section.error("expected one of `value` and `env`", "");
            return None;
        }
    };
    Some((name?, value))
}
