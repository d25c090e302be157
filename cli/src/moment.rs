//! When is that? Points in time as people write them on a command line.

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_filter::time::{SECOND, Timestamp};

/// The time, in whole seconds.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(since.as_secs())
}

/// `90d`, `12h`, `30m`, `5s`, in nanoseconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let unit = |(unit, seconds): (char, u64)| {
        let count = text.strip_suffix(unit)?.parse::<u64>().ok()?;
        count.checked_mul(seconds)?.checked_mul(SECOND)
    };
    [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)].into_iter().find_map(unit)
}
