//! Where do a provider's keys come from, as the policy says it?

use std::rc::Rc;

use super::{remote_jwks, secret, shapes, variable};
use crate::decision::Detail;
use crate::document::{Field, Section};
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::jwt::remote::Remote;
use crate::guards::identity::jwt::{Algorithm, KeySet};
use crate::guards::identity::rules::KeySource;

/// The source and, where they stand in the policy, the keys.
pub(super) type Keys = (KeySource, Result<Rc<KeySet>, Detail>);

/// Reads `localJWKS`, `remoteJWKS` or `secret`, whichever the algorithms take.
pub(super) fn keys(
    section: &Section<'_>,
    algorithms: &[Algorithm],
    name: &Rc<str>,
    issuer: &str,
) -> Option<Keys> {
    if let Some(field) = section.get("remoteJWKS") {
        return remote_keys(section, &field, algorithms, name, issuer);
    }
    if section.has("introspection") && !section.has("localJWKS") && !section.has("secret") {
        return Some((KeySource::None, Err(Detail::Named("no keys: provider", Rc::clone(name)))));
    }
    let symmetric = algorithms.iter().any(|algorithm| algorithm.family() == Family::Hmac);
    match (section.get("localJWKS"), section.get("secret"), symmetric) {
        (None, Some(field), true) => {
            let name = secret(&field)?;
            let next = match section.get("nextSecret") {
                Some(field) => Some(secret(&field)?),
                None => None,
            };
            let unread = unread(&name);
            Some((KeySource::Secret { name, next }, Err(unread)))
        }
        (Some(field), None, false) => local_jwks(&field, algorithms),
        (_, Some(field), false) => {
            field.error(
                "a secret without an algorithm that takes one",
                "name HS256, HS384 or HS512 in `algorithms`, alone",
            );
            None
        }
        (Some(field), _, true) => {
            field.error("HS* take no public keys", "write `secret: {env: NAME}`");
            None
        }
        (None, None, true) => {
            section.error("HS* need a secret", "write `secret: {env: NAME}`");
            None
        }
        (None, None, false) => {
            section.error(
                "there are no keys",
                "write `localJWKS: {inline: '{\"keys\": […]}'}`, or `remoteJWKS`, or `introspection`",
            );
            None
        }
    }
}

fn remote_keys(
    section: &Section<'_>,
    field: &Field<'_>,
    algorithms: &[Algorithm],
    name: &Rc<str>,
    issuer: &str,
) -> Option<Keys> {
    let source = remote_jwks::source(field, name, issuer);
    if algorithms.iter().any(|algorithm| algorithm.family() == Family::Hmac) {
        field.error("HS* take no public keys", "write `secret: {env: NAME}`");
        return None;
    }
    for other in ["localJWKS", "secret"] {
        if section.has(other) {
            section.error(format!("`remoteJWKS` and `{other}` exclude each other"), "keep one of them");
            return None;
        }
    }
    let none_yet = Detail::Named("not fetched yet: provider", Rc::clone(name));
    Some((KeySource::Remote(Box::new(Remote::new(source?))), Err(none_yet)))
}

fn unread(name: &Rc<str>) -> Detail {
    Detail::Named("not read yet: environment variable", Rc::clone(name))
}

fn local_jwks(field: &Field<'_>, algorithms: &[Algorithm]) -> Option<Keys> {
    let section = field.section(&shapes::LOCAL_JWKS)?;
    match (section.get("inline"), section.get("env")) {
        (Some(inline), None) => Some((KeySource::Inline, Ok(Rc::new(inline_keys(&inline, algorithms)?)))),
        (None, Some(env)) => {
            let name = variable(&env)?;
            Some((KeySource::Environment(Rc::clone(&name)), Err(unread(&name))))
        }
        _ => {
            section.error("expected one of `inline` and `env`", "");
            None
        }
    }
}

fn inline_keys(field: &Field<'_>, algorithms: &[Algorithm]) -> Option<KeySet> {
    let whose = |key: Option<usize>| key.map_or(String::new(), |key| format!("keys[{key}]: "));
    match KeySet::read(field.text()?.as_bytes()) {
        Ok((keys, skipped)) => {
            for note in skipped {
                field.warn(format!("{}skipped: {}", whose(note.key), note.what), note.help);
            }
            if algorithms.iter().any(|algorithm| keys.serves(*algorithm)) {
                return Some(keys);
            }
            field.error("no key is for one of the `algorithms`", "");
            None
        }
        Err(faults) => {
            for note in faults {
                field.error(format!("{}{}", whose(note.key), note.what), note.help);
            }
            None
        }
    }
}
