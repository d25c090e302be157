//! What is written down, of requests and of what the gateway itself does?
//!
//! An event is built only of types that are safe to print: names from the policy, words of our own, numbers, and
//! [`Redacted`](crate::redaction::Redacted) text. There is no way in for a header, a token or a query that nobody looked at. `docs/audit.md` tells
//! the fields, `docs/audit.schema.json` is their schema.

mod config;
mod event;
mod export;
mod fields;
mod left;
mod line;
mod origin;
mod otlp;
mod sinks;
mod subject;

pub use config::{AUDIT, Level, ROUTE_AUDIT, Rules};
pub use event::{Caller, Changes, Decision, Event, Penalty, Request, Rotation, Subject, What};
pub use export::Exporter;
pub use left::Left;
pub use line::line;
pub use origin::Origin;

/// The version of the events' schema, in every event. It changes when a field is taken away or means something else; a new field alone
/// does not change it.
pub const SCHEMA: &str = "portcullis.audit/v2";
