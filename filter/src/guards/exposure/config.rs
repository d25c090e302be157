//! What does a user write under `exposure`?

use super::{Exposure, Level};
use crate::document::{Default, Field, Key, Shape};
use crate::http::Cidr;
use crate::json::Json;

/// `routes[].exposure`
pub static EXPOSURE: Shape = Shape::new(
    "routes[].exposure",
    "For whom the route is; a word alone, or this map. It stands in every audit event of the route, so that use of what is not public can be watched.",
    &[
        Key::new(
            "to",
            "`Public`, `Partner`, `Admin` or `Internal`",
            Default::Required,
            "`Partner` must know its callers. `Admin` and `Internal` must be kept from others: by `clientCIDRs` here, by `mtls` as the only \
             authentication, or by an `authorization` that denies by default and whose `Allow` rules all have `clientCIDRs`.",
        ),
        Key::new(
            "clientCIDRs",
            "list of strings",
            Default::Is("any"),
            "Networks from which the route is there. From elsewhere it is `404`, word for word as a request that no route matches; the audit event says `not_exposed`. \
             No other route is asked in its place, so beside a route that catches all paths the `404` itself tells that there is something.",
        ),
        Key::new("because", "string", Default::Is("none"), "Why it may do without these conditions."),
    ],
);

/// What is said of a network that keeps nobody away.
pub const FOR_ALL: &str = "a network of all addresses keeps nobody away";

/// Whether some network is the one of all addresses.
fn covers_everything(networks: &[Cidr]) -> bool {
    networks.iter().any(Cidr::is_everything)
}

/// Reads an `exposure`.
pub fn read(field: &Field<'_>) -> Option<Exposure> {
    if matches!(field.value, Json::Text(_)) {
        return Some(Exposure { level: Some(field.one_of(&Level::WORDS)?), ..Exposure::default() });
    }
    let section = field.section(&EXPOSURE)?;
    let level = section.get("to").and_then(|field| field.one_of(&Level::WORDS));
    let networks = section.get("clientCIDRs").map_or(Some(Vec::new()), |field| field.networks());
    if let (Some(Level::Admin | Level::Internal), Some(list)) = (level, section.get("clientCIDRs"))
        && networks.as_deref().is_some_and(covers_everything)
    {
        list.warn(FOR_ALL, "name the networks of those for whom it is, or write `Public`");
    }
    let excused = match section.get("because") {
        Some(field) => field.text().map(|_| true),
        None => Some(false),
    };
    Some(Exposure { level: Some(level?), networks: networks?, excused: excused? })
}
