//! How is `apiKeyAuth` read?

use std::rc::Rc;

use super::hash::KeyHash;
use super::table::Table;
use super::{ApiKeys, Entry, Pepper, shapes};
use crate::document::{Field, Section, quoted};
use crate::guards::identity::config::{
    cookie_names, header_name, identity_header_name, is_reserved, param_names, secret,
};
use crate::guards::identity::rules::{Place, Providers};
use crate::http::passes_for;
use crate::limits;

/// Reads `apiKeyAuth` into `providers`, whose tokens and headers must not stand where keys do. Every problem is noted; what
/// has one is left out.
pub fn read(field: &Field<'_>, providers: &mut Providers) {
    let mut keys = ApiKeys {
        places: Vec::new(),
        client_header: None,
        forward: false,
        keys: Table::default(),
        peppers: Vec::new(),
    };
    if let Some(section) = field.section(&shapes::API_KEY_AUTH) {
        keys.places = places(&section);
        refuse_shared(field, &keys.places, providers);
        keys.client_header = section
            .get("forwardClientIDHeader")
            .and_then(|field| client_header(&field, &keys.places, providers));
        keys.forward = section.get("forward").and_then(|field| field.boolean()).unwrap_or(false);
        keys.peppers = peppers(&section);
        if let Some(list) = section.get("keys") {
            keys.keys = table(&list, section.has("pepper"));
        }
        if let Some(field) = section.get("pepper").filter(|_| !keys.keys.has_keyed()) {
            field.warn("no key has an `hmac-sha256:` hash, so the pepper is not used", "leave it out");
        }
    }
    providers.identity_headers.extend(keys.client_header.clone());
    providers.identity_headers.sort_unstable();
    providers.identity_headers.dedup();
    providers.api_keys = Some(keys);
}

/// `pepper`, and while it is changed the next one.
fn peppers(section: &Section<'_>) -> Vec<Pepper> {
    if let Some(field) = section.get("nextPepper").filter(|_| !section.has("pepper")) {
        field.error("a next pepper without one", "write `pepper: {env: NAME}`");
    }
    let fields = ["pepper", "nextPepper"].into_iter().filter_map(|name| section.get(name));
    fields.filter_map(|field| secret(&field)).map(Pepper::unread).collect()
}

fn places(section: &Section<'_>) -> Vec<Place> {
    let header = |name: Rc<str>| Place::Header { name, prefix: "".into() };
    let Some(field) = section.get("extractFrom") else {
        return vec![header("x-api-key".into())];
    };
    let Some(inner) = field.section(&shapes::EXTRACT_FROM) else {
        return Vec::new();
    };
    let headers = inner.get("headers").and_then(|list| header_names(&list)).unwrap_or_default();
    let mut places: Vec<Place> = headers.into_iter().map(header).collect();
    places.extend(cookie_names(&inner).into_iter().map(Place::Cookie));
    places.extend(param_names(&inner).into_iter().map(Place::Param));
    if let Some(field) = inner.get("params") {
        field.warn("a key in a URL ends up in logs and histories", "take it from a header");
    }
    if let Some(field) = inner.get("cookies") {
        let help = "take it from a header, or see that the upstream checks the origin";
        field.warn("a browser sends a cookie with requests that other sites cause", help);
    }
    if inner.present().is_empty() {
        let help = "write `headers`, `cookies` or `params`, or leave `extractFrom` out";
        inner.error("no place to find a key in", help);
    }
    places
}

fn header_names(list: &Field<'_>) -> Option<Vec<Rc<str>>> {
    let mut names: Vec<Rc<str>> = Vec::new();
    for element in list.short_list()? {
        let Some(name) = header_name(&element) else {
            continue;
        };
        if *name == *"cookie" {
            element.error("a cookie is read by its name", "write `cookies: [name]`");
        } else if is_reserved(&name) && *name != *"authorization" {
            let message = format!("{} is the proxy's or the protocol's own", quoted(&name));
            element.error(message, "choose a name such as `x-api-key`");
        } else if names.iter().any(|known| passes_for(name.as_bytes(), known)) {
            element.error(format!("{} stands twice", quoted(&name)), "");
        } else {
            names.push(name);
        }
    }
    Some(names)
}

/// In a place of both, a key would be read as a token and a token as a key; in a header that is cleared, neither would be found.
fn refuse_shared(field: &Field<'_>, places: &[Place], providers: &Providers) {
    for place in places {
        if providers.list.iter().flat_map(|provider| &provider.places).any(|other| is_same(place, other)) {
            let message = format!("{} is read for tokens too", quoted(name_of(place)));
            field.error(message, "give API keys a place of their own");
        }
        let cleared = |name: &Rc<str>| matches!(place, Place::Header { name: header, .. } if passes_for(header.as_bytes(), name));
        if providers.identity_headers.iter().any(cleared) {
            let message = format!("{} is a header of `claimToHeaders`", quoted(name_of(place)));
            field.error(message, "choose another header for the key");
        }
    }
}

fn name_of(place: &Place) -> &str {
    match place {
        Place::Header { name, .. } | Place::Cookie(name) | Place::Param(name) => name,
    }
}

fn is_same(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Header { name: one, .. }, Place::Header { name: other, .. }) => {
            passes_for(one.as_bytes(), other)
        }
        _ => one == other,
    }
}

fn client_header(field: &Field<'_>, places: &[Place], providers: &Providers) -> Option<Rc<str>> {
    let name = identity_header_name(field)?;
    let mut own = places.iter().chain(providers.list.iter().flat_map(|provider| &provider.places));
    let is_read = |place: &Place| matches!(place, Place::Header { name: header, .. } if passes_for(header.as_bytes(), &name));
    if own.any(is_read) {
        let message = format!("{} is a header that a credential is read from", quoted(&name));
        field.error(message, "choose another header for the client");
        return None;
    }
    Some(name)
}

fn table(list: &Field<'_>, has_pepper: bool) -> Table {
    let mut table = Table::default();
    let elements = list.list().unwrap_or_default();
    if elements.len() > limits::API_KEYS {
        list.error(format!("{} keys, at most {} are possible", elements.len(), limits::API_KEYS), "");
        return table;
    }
    for element in &elements {
        let Some((hash, entry)) =
            element.section(&shapes::ENTRY).and_then(|section| entry(&section, has_pepper))
        else {
            continue;
        };
        if let Err(known) = table.add(hash, entry) {
            let message = format!("the same hash stands in a key of {} above", quoted(&known.client));
            element.error(message, "each key has one entry, and each client keys of its own");
        }
    }
    table
}

fn entry(section: &Section<'_>, has_pepper: bool) -> Option<(KeyHash, Entry)> {
    // Everything is read before anything is given up, so that all problems are noted.
    let client = section.get("client").and_then(|field| field.name());
    let hash = section.get("keyHash").and_then(|field| key_hash(&field, has_pepper));
    let scopes = section.get("scopes").and_then(|field| scopes(&field)).unwrap_or_default();
    let tier = section.get("tier").and_then(|field| field.name()).map(Rc::from);
    let not_before = section.get("notBefore").and_then(|field| field.timestamp());
    let expires_at = section.get("expiresAt").and_then(|field| field.timestamp());
    if let (Some(from), Some(until)) = (not_before, expires_at)
        && until <= from
    {
        section.error("`expiresAt` is not after `notBefore`: the key is never valid", "");
    }
    let (client, hash) = (client?.into(), hash?);
    let fingerprint = hash.fingerprint().into();
    Some((hash, Entry { client, scopes, tier, fingerprint, not_before, expires_at }))
}

fn key_hash(field: &Field<'_>, has_pepper: bool) -> Option<KeyHash> {
    let hash = KeyHash::parse(field.text()?);
    match hash {
        // Not repeated: it may be the key itself.
        None => field.error(
            "not a hash: `sha256:` or `hmac-sha256:` and 64 hexadecimal digits",
            "if the key itself stands here, it is known to whoever has read the file: make a new one with `portcullis apikey new`",
        ),
        Some(KeyHash::Keyed(_)) if !has_pepper => field.error(
            "an `hmac-sha256:` hash without a pepper",
            "write `pepper: {env: NAME}` into `apiKeyAuth`",
        ),
        Some(_) => return hash,
    }
    None
}

/// RFC 6749 §3.3 `scope-token`, as rules have them.
fn scopes(field: &Field<'_>) -> Option<Vec<Rc<str>>> {
    let good = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let texts = field.texts()?;
    for bad in texts.iter().filter(|text| !text.bytes().all(good)) {
        field.error(format!("{} is not a scope", quoted(bad)), "one scope an element, without blanks");
    }
    Some(texts.into_iter().map(Rc::from).collect())
}
