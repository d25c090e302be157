//! How is `introspection` read?

use std::rc::Rc;

use super::call::{HOUR, MILLISECOND, cluster, duration, url};
use super::{secret, shapes};
use crate::document::Field;
use crate::guards::identity::introspection::{Introspection, Source};
use crate::time::SECOND;

/// Reads the section; `None` if something is wrong, which has then been noted.
pub(super) fn read(field: &Field<'_>, provider: &Rc<str>) -> Option<Box<Introspection>> {
    let section = field.section(&shapes::INTROSPECTION)?;
    let uri = section.get("uri").and_then(|field| url(&field));
    let cluster = cluster(&section);
    let client_id = section.get("clientId").and_then(|field| field.text().map(Box::from));
    let next_secret = match section.get("nextClientSecret") {
        Some(field) => secret(&field).map(Some),
        None => Some(None),
    };
    let secret = section.get("clientSecret").and_then(|field| secret(&field));
    let timeout = duration(&section, "timeout", SECOND, 10 * MILLISECOND, 30 * SECOND);
    let cache = duration(&section, "cacheDuration", 30 * SECOND, 0, HOUR);
    Some(Box::new(Introspection::new(Source {
        provider: Rc::clone(provider),
        uri: uri?,
        cluster: cluster?,
        client_id: client_id?,
        secret: secret?,
        next_secret: next_secret?,
        timeout: timeout?,
        cache: cache?,
    })))
}
