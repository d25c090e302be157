//! How is what a call of our own needs read: where to, and for how long?

use crate::document::{Field, Section, quoted};
use crate::guards::identity::target::Target;
use crate::time::SECOND;

pub(super) const MILLISECOND: u64 = SECOND / 1000;
pub(super) const HOUR: u64 = 3600 * SECOND;

/// The host's name for a cluster. A name that does not exist is found out when it is first called.
pub(super) fn cluster(section: &Section<'_>) -> Option<Box<str>> {
    section.get("cluster")?.text().map(Box::from)
}

/// An absolute URL.
pub(super) fn url(field: &Field<'_>) -> Option<Target> {
    let text = field.text()?;
    let target = Target::parse(text);
    if target.is_none() {
        field.error(
            format!("{} is no URL", quoted(text)),
            "write `https://host/path`, without user or fragment",
        );
    }
    target
}

/// A duration within bounds, or its default. All in nanoseconds.
pub(super) fn duration(
    section: &Section<'_>,
    key: &'static str,
    default: u64,
    shortest: u64,
    longest: u64,
) -> Option<u64> {
    section.get(key).map_or(Some(default), |field| field.duration(shortest..=longest))
}
