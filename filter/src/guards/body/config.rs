//! What does a user write under `request.body`?

use super::Rules;
use crate::document::{Default, Field, Key, Shape, quoted};
use crate::http;

/// The `request.body` section.
pub static BODY: Shape = Shape::new(
    "request.body",
    "What the body may be. It streams through and is counted; nothing is held back.",
    &[
        Key::new(
            "maxBytes",
            "size",
            Default::Is("1Mi"),
            "Bytes of the body. More is 413: at once where `content-length` says so, else when the count passes it, and the \
             upstream then sees an aborted request.",
        ),
        Key::new(
            "contentTypes",
            "list of strings",
            Default::Is("any"),
            "Media types that a body may have, without parameters; any other, or none, is 415.",
        ),
    ],
);

/// The most that `maxBytes` may be.
const MOST: u64 = 1 << 40;

impl core::default::Default for Rules {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, content_types: Vec::new() }
    }
}

/// Reads the section.
pub fn read(field: &Field<'_>) -> Option<Rules> {
    let section = field.section(&BODY)?;
    let mut rules = Rules::default();
    if let Some(bytes) = section.get("maxBytes").and_then(|field| field.size(0..=MOST)) {
        rules.max_bytes = bytes;
    }
    if let Some(types) = section.get("contentTypes") {
        rules.content_types =
            types.texts().unwrap_or_default().into_iter().map(str::to_ascii_lowercase).collect();
        for media_type in rules.content_types.iter().filter(|media_type| !is_media_type(media_type)) {
            types.error(
                format!("{} is not a media type", quoted(media_type)),
                "write `application/json`, without parameters",
            );
        }
    }
    Some(rules)
}

/// RFC 9110 §8.3.1, without parameters and without wildcards.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| !part.is_empty() && part.bytes().all(http::is_token_byte);
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype)) && !text.contains('*')
}
