//! Is this a line of the proxy's access log that has what the plugin decided? In the formats of `envoy.yaml` and `docs/audit.md`.

use portcullis_filter::time::Timestamp;

use super::event::{Decision, Event, Request, What};
use super::fields::Fields;

/// What an access log writes where there is nothing.
const NOTHING: &str = "-";

/// The request of these fields, if they are those of an access log. `time`: where a record has a place of its own for it.
///
/// Names are words that any log may have, so one that only this gateway writes must be there: the policy, as `name@digest`.
pub(super) fn of(fields: &mut Fields, time: Option<Timestamp>) -> Option<Event> {
    let decision = Decision::of(fields.get("decision")?)?;
    let (_, digest) = fields.get("policy")?.rsplit_once('@')?;
    if digest.len() != 12 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let time = match fields.get("time") {
        Some(text) => Timestamp::parse(text)?,
        None => time?,
    };
    let mut told = |name| fields.take(name).filter(|text| text != NOTHING);
    let (reason, route, caller, address) = (told("reason"), told("route"), told("subject"), told("client"));
    Some(Event {
        time,
        what: What::Entry(Request { decision, reason, route, exposure: None, caller, address }),
    })
}
