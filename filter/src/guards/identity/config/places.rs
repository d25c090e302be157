//! Where may a provider's tokens stand, as the policy says it?

use std::rc::Rc;

use super::{header_name, shapes};
use crate::document::{Field, Section, quoted};
use crate::guards::identity::rules::Place;
use crate::http::{is_field_value, is_token_byte};

/// Reads `extractFrom`.
pub(super) fn places(section: &Section<'_>) -> Option<Vec<Place>> {
    let Some(field) = section.get("extractFrom") else {
        return Some(vec![Place::Header { name: "authorization".into(), prefix: "bearer ".into() }]);
    };
    let section = field.section(&shapes::EXTRACT_FROM)?;
    let mut places: Vec<Place> = Vec::new();
    for element in section.get("headers").and_then(|list| list.short_list()).unwrap_or_default() {
        let Some(place) = header_place(&element) else {
            continue;
        };
        if places.contains(&place) {
            element.error("the place stands twice", "");
        }
        places.push(place);
    }
    places.extend(cookie_names(&section).into_iter().map(Place::Cookie));
    places.extend(param_names(&section).into_iter().map(Place::Param));
    if let Some(params) = section.get("params") {
        params.warn("a token in a URL ends up in logs and histories", "take it from a header or a cookie");
    }
    if section.present().is_empty() {
        section.error(
            "no place to find a token in",
            "write `headers`, `cookies` or `params`, or leave `extractFrom` out",
        );
    }
    (!places.is_empty()).then_some(places)
}

/// `cookies`: RFC 6265 §4.1.1 names.
pub(in crate::guards::identity) fn cookie_names(section: &Section<'_>) -> Vec<Rc<str>> {
    names(section, "cookies", |name| name.bytes().all(is_token_byte))
}

/// `params`: names that are written one way only.
pub(in crate::guards::identity) fn param_names(section: &Section<'_>) -> Vec<Rc<str>> {
    names(section, "params", |name| name.bytes().all(is_unreserved))
}

/// RFC 3986 §2.3: bytes that mean the same encoded or not.
const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn header_place(element: &Field<'_>) -> Option<Place> {
    let section = element.section(&shapes::EXTRACT_HEADER)?;
    let prefix: Rc<str> = match section.get("valuePrefix") {
        None => "".into(),
        Some(field) => {
            let prefix = field.text()?;
            if !is_field_value(prefix.as_bytes()) || prefix.contains(',') || prefix.starts_with(' ') {
                field.error("no header value can begin so", "");
                return None;
            }
            // Compared without case, so kept without: two spellings are one place.
            prefix.to_ascii_lowercase().into()
        }
    };
    let field = section.get("name")?;
    let name = header_name(&field)?;
    if *name == *"cookie" {
        field.error("a cookie is read by its name", "write `cookies: [name]`");
        return None;
    }
    Some(Place::Header { name, prefix })
}

fn names(section: &Section<'_>, key: &'static str, sound: fn(&str) -> bool) -> Vec<Rc<str>> {
    let Some(field) = section.get(key) else {
        return Vec::new();
    };
    let texts = field.texts().unwrap_or_default();
    for name in texts.iter().filter(|name| !sound(name)) {
        field.error(format!("{} cannot be a name here", quoted(name)), "letters, digits and `-`, `.`, `_`");
    }
    texts.into_iter().filter(|name| sound(name)).map(Rc::from).collect()
}
