//! How is what a call of our own needs read: where to, and for how long?

pub(super) use crate::document::outside::{cluster, duration, url};
use crate::time::SECOND;

pub(super) const MILLISECOND: u64 = SECOND / 1000;
pub(super) const HOUR: u64 = 3600 * SECOND;
