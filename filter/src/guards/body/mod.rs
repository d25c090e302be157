//! Is the content allowed: its media type, and its length?
//!
//! The body is counted as it streams through and never held, so that a long upload or a gRPC stream does not stall. A body
//! that announces too much is refused before the upstream hears of the request; one that turns out too long is cut off, and
//! the upstream sees an aborted request of at most `maxBytes`. Not here: what the body says.

mod config;
#[cfg(test)]
mod tests;

pub use config::{BODY, read};

use crate::decision::{Detail, Reason, Refusal};
use crate::http::{Head, trim};

/// The compiled `request.body` section.
#[derive(Debug)]
pub struct Rules {
    /// Bytes that may come.
    pub max_bytes: u64,
    /// Media types in lower case; empty: any.
    pub content_types: Vec<String>,
}

/// Counts the body of one request.
#[derive(Debug)]
pub struct Meter {
    got: u64,
    limit: u64,
}

impl Rules {
    /// Whether a body of so many bytes may come.
    pub fn bear(&self, bytes: usize) -> Result<(), Refusal> {
        Meter { got: 0, limit: self.max_bytes }.take(bytes)
    }

    /// Judges what the head says of the body. `has_body` is false where the head ended the stream.
    pub fn open(&self, head: &Head, has_body: bool) -> Result<Meter, Refusal> {
        let length = announced(head)?;
        let meter = Meter { got: 0, limit: self.max_bytes };
        if length.is_some_and(|length| length > self.max_bytes) {
            return Err(meter.over(length.unwrap_or_default()));
        }
        if has_body && length != Some(0) {
            self.media_type(head)?;
        }
        Ok(meter)
    }

    fn media_type(&self, head: &Head) -> Result<(), Refusal> {
        if self.content_types.is_empty() {
            return Ok(());
        }
        // A second `content-type` is a second opinion on what the body is. Envoy joins the two with a comma (host fact H6).
        let value =
            head.only("content-type").ok().flatten().filter(|value| !is_list(value)).unwrap_or_default();
        let essence = trim(value.split(|&b| b == b';').next().unwrap_or_default());
        let known = self.content_types.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(essence));
        if known { Ok(()) } else { Err(Reason::MediaTypeUnsupported.into()) }
    }
}

impl Meter {
    /// Counts a chunk.
    pub fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.got = self.got.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.got > self.limit { Err(self.over(self.got)) } else { Ok(()) }
    }

    fn over(&self, got: u64) -> Refusal {
        Refusal::because(Reason::BodyTooLarge, Detail::Over { what: "bytes of body", got, limit: self.limit })
    }
}

/// Whether there is a comma outside of quotes, where RFC 9110 §8.3.1 has none.
fn is_list(value: &[u8]) -> bool {
    value.split(|&b| b == b'"').step_by(2).any(|bare| bare.contains(&b','))
}

/// RFC 9110 §8.6: digits, once. Envoy sees to that; another host may not.
fn announced(head: &Head) -> Result<Option<u64>, Refusal> {
    let malformed =
        || Refusal::because(Reason::MalformedRequest, Detail::Fact("`content-length` is not one number"));
    let Some(value) = head.only("content-length").map_err(|_| malformed())? else {
        return Ok(None);
    };
    let digits =
        core::str::from_utf8(value).ok().filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()));
    digits.map(|digits| Some(digits.parse().unwrap_or(u64::MAX))).ok_or_else(malformed)
}
