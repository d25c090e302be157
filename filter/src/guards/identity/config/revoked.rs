//! How is a provider's list of what was revoked read?

use std::collections::HashSet;

use super::shapes;
use crate::document::{Field, Section};
use crate::guards::identity::revoked::Revoked;
use crate::limits;

/// Reads `revoked`; `None` if something of it is wrong, which has then been noted. What stands in the list is never said.
pub(super) fn read(section: &Section<'_>) -> Option<Revoked> {
    let Some(field) = section.get("revoked") else {
        return Some(Revoked::default());
    };
    let section = field.section(&shapes::REVOKED)?;
    if section.present().is_empty() {
        section
            .error("nothing is revoked", "write `jti`, `sub`, `clients` or `kids`, or leave `revoked` out");
        return None;
    }
    let part = |key| section.get(key).map_or_else(|| Some(HashSet::new()), |field| entries(&field));
    let (jti, sub, clients, kids) = (part("jti"), part("sub"), part("clients"), part("kids"));
    Some(Revoked { jti: jti?, sub: sub?, clients: clients?, kids: kids? })
}

fn entries(field: &Field<'_>) -> Option<HashSet<Box<str>>> {
    let elements = field.list()?;
    if elements.len() > limits::REVOKED {
        let message = format!("{} entries, at most {} are possible", elements.len(), limits::REVOKED);
        field.error(message, "leave out those whose tokens have expired");
        return None;
    }
    let mut entries = HashSet::with_capacity(elements.len());
    let mut whole = true;
    for element in elements {
        match element.text() {
            None => whole = false,
            // Harmless, and an error would leave in force what somebody is in a hurry to revoke.
            Some(text) if !entries.insert(Box::from(text)) => element.warn("the entry stands twice", ""),
            Some(_) => {}
        }
    }
    whole.then_some(entries)
}
