//! How are `signing` and `upstream` read?

use std::rc::Rc;

use super::key::SigningKey;
use super::shapes;
use super::{Algorithm, Assertion, Include, Reuse, Signing, Upstream};
use crate::decision::Detail;
use crate::document::{Field, Section, quoted};
use crate::guards::identity::Providers;
use crate::guards::identity::config::{identity_header_name, secret};
use crate::guards::identity::rules::Place;
use crate::http::{Path, passes_for};
use crate::json::Json;
use crate::limits;
use crate::time::{SECOND, Timestamp};

/// The default of `header`.
const HEADER: &str = "x-portcullis-assertion";
/// The default of `ttl`.
const TTL: u64 = 30 * SECOND;
/// The default of `jwks.maxAge`.
const MAX_AGE: u64 = 300 * SECOND;

/// Reads the section `signing`. Every problem is noted.
pub fn read_signing(field: &Field<'_>) -> Option<Signing> {
    let section = field.section(&shapes::SIGNING)?;
    let issuer = section.get("issuer").and_then(|field| field.text()).map(Box::from);
    let keys = section.get("keys").and_then(|list| keys(&list));
    let published = match section.get("jwks") {
        Some(field) => published(&field).map(Some),
        None => Some(None),
    };
    Some(Signing { issuer: issuer?, keys: keys?, published: published? })
}

fn published(field: &Field<'_>) -> Option<(Box<str>, u64)> {
    let section = field.section(&shapes::PUBLISHED)?;
    let path = section.get("path").and_then(|field| {
        let path = field.text()?;
        let sound =
            path.len() <= limits::PATH_BYTES && !path.contains('?') && Path::parse(path.as_bytes()).is_ok();
        if !sound {
            field.error(
                format!("{} is no path that a request can have", quoted(path)),
                "write it as it is asked for",
            );
        }
        sound.then(|| path.into())
    });
    let age = match section.get("maxAge") {
        Some(field) => field.duration(limits::PUBLISHED_AGE_MIN..=limits::PUBLISHED_AGE_MAX),
        None => Some(MAX_AGE),
    };
    Some((path?, age?))
}

fn keys(list: &Field<'_>) -> Option<Vec<SigningKey>> {
    let elements = list.list()?;
    if elements.len() > limits::SIGNING_KEYS {
        list.error("too many keys", format!("at most {}", limits::SIGNING_KEYS));
        return None;
    }
    let read: Vec<Option<SigningKey>> = elements.iter().map(key).collect();
    for (number, (element, key)) in elements.iter().zip(&read).enumerate() {
        let before = read.iter().take(number).flatten();
        if let (Some(key), mut before) = (key, before) {
            refuse_pair(element, key, &mut before);
        }
    }
    let keys: Vec<SigningKey> = read.into_iter().collect::<Option<_>>()?;
    warn_of_gaps(list, &keys);
    Some(keys)
}

fn key(element: &Field<'_>) -> Option<SigningKey> {
    let section = element.section(&shapes::SIGNING_KEY)?;
    let kid = section.get("kid").and_then(|field| field.name());
    let algorithm = section.get("algorithm").and_then(|field| field.one_of(&Algorithm::WORDS));
    let variable = algorithm.and_then(|algorithm| key_variable(&section, algorithm));
    let time = |key| match section.get(key) {
        Some(field) => field.timestamp().map(Some),
        None => Some(None),
    };
    let (not_before, not_after) = (time("notBefore"), time("notAfter"));
    if let (Some(Some(from)), Some(Some(until))) = (not_before, not_after)
        && until <= from
    {
        section.error("`notAfter` is not later than `notBefore`, so it would never sign", "");
    }
    let variable = variable?;
    let material = Err(Detail::Named("not read yet: environment variable", Rc::clone(&variable)));
    Some(SigningKey {
        kid: kid?.into(),
        algorithm: algorithm?,
        variable,
        not_before: not_before?,
        not_after: not_after?,
        material,
    })
}

fn key_variable(section: &Section<'_>, algorithm: Algorithm) -> Option<Rc<str>> {
    let (right, wrong) =
        if algorithm.is_public() { ("privateKey", "secret") } else { ("secret", "privateKey") };
    if let Some(field) = section.get(wrong) {
        field.error(
            format!("`{wrong}` is not for this algorithm"),
            "EdDSA and ES256 take `privateKey: {env: NAME}`, HS256 takes `secret: {env: NAME}`",
        );
        return None;
    }
    let Some(field) = section.get(right) else {
        section.error(format!("`{right}` is missing"), format!("write `{right}: {{env: NAME}}`"));
        return None;
    };
    secret(&field)
}

/// What two keys must not share.
fn refuse_pair(element: &Field<'_>, key: &SigningKey, before: &mut dyn Iterator<Item = &SigningKey>) {
    for other in before {
        let kid = quoted(&other.kid);
        if other.kid == key.kid {
            element.error(
                format!("two keys have the `kid` {kid}"),
                "whoever checks finds a key by it: give each its own",
            );
        } else if other.algorithm == key.algorithm && other.not_before == key.not_before {
            element.error(
                format!("begins to sign when {kid} does, and only one of them can"),
                "give the next one a later `notBefore`",
            );
        } else if other.variable == key.variable {
            element.error(
                format!("is in the same variable as {kid}, so it is the same key"),
                "give each its own",
            );
        }
    }
}

/// A time between two keys of one algorithm in which none signs is a mistake more often than not.
fn warn_of_gaps(list: &Field<'_>, keys: &[SigningKey]) {
    for key in keys {
        let Some(until) = key.not_after else { continue };
        let goes_on = |other: &SigningKey| {
            other.kid != key.kid
                && other.algorithm == key.algorithm
                && other.not_before.is_none_or(|from| from <= until)
                && other.not_after.is_none_or(|end| end > until)
        };
        let later = |other: &SigningKey| other.algorithm == key.algorithm && other.not_before > Some(until);
        if !keys.iter().any(goes_on) && keys.iter().any(later) {
            list.warn(
                format!(
                    "nothing signs between the end of {} and the beginning of the next key",
                    quoted(&key.kid)
                ),
                "let the next one begin before, or when, it ends",
            );
        }
    }
}

/// What the reader of `upstream` needs to know of the rest of the document.
#[derive(Clone, Copy)]
pub struct Around<'p> {
    /// Whose headers an assertion must not stand in.
    pub providers: &'p Providers,
    /// What there is to sign with.
    pub signing: Signer<'p>,
}

/// What there is to sign with.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'p> {
    /// Nothing.
    Missing,
    /// Something that has problems of its own, which are noted where it stands.
    Unread,
    /// These keys.
    Keys(&'p Signing),
}

/// Reads the section `upstream`; `None` if it has a problem, which is noted.
pub fn read_upstream(field: &Field<'_>, around: Around<'_>) -> Option<Upstream> {
    let section = field.section(&shapes::UPSTREAM)?;
    let assertion = match section.get("assertion") {
        Some(field) => Some(Rc::new(assertion(&field, around)?)),
        None => None,
    };
    Some(Upstream { assertion })
}

fn assertion(field: &Field<'_>, around: Around<'_>) -> Option<Assertion> {
    let section = field.section(&shapes::ASSERTION)?;
    let header = header(&section, around.providers);
    let audience = section.get("audience").and_then(|field| field.text()).map(Box::from);
    let ttl = match section.get("ttl") {
        Some(field) => field.duration(limits::ASSERTION_TTL_MIN..=limits::ASSERTION_TTL_MAX),
        None => Some(TTL),
    };
    let reuse = reuse(&section, ttl.unwrap_or(TTL));
    let algorithm = match section.get("algorithm") {
        Some(field) => field.one_of(&Algorithm::WORDS).map(Some),
        None => Some(None),
    };
    let include = match section.get("include") {
        Some(field) => include(&field),
        None => Some(Include::default()),
    };
    match around.signing {
        Signer::Missing => {
            field.error("there is nothing to sign it with", "write `signing` at the top of the document");
        }
        Signer::Keys(signing) => check_algorithm(&section, algorithm?, &signing.keys),
        Signer::Unread => {}
    }
    Some(Assertion {
        header: header?,
        audience: audience?,
        ttl: ttl?,
        reuse: reuse?,
        algorithm: algorithm?,
        include: include?,
    })
}

/// A header of its own: not one that tells of the caller otherwise, nor one that a credential comes in.
fn header(section: &Section<'_>, providers: &Providers) -> Option<Rc<str>> {
    let field = section.get("header");
    let name = match &field {
        Some(field) => identity_header_name(field)?,
        None => HEADER.into(),
    };
    let shared = providers.identity_headers().iter().any(|other| passes_for(other.as_bytes(), &name));
    let credential = |place: &Place| matches!(place, Place::Header { name: header, .. } if passes_for(header.as_bytes(), &name));
    if shared || providers.places().any(credential) {
        section.error(
            format!("{} is also the header of a claim, of a client's name or of a credential", quoted(&name)),
            "give the assertion a header of its own",
        );
        return None;
    }
    Some(name)
}

fn reuse(section: &Section<'_>, ttl: u64) -> Option<Reuse> {
    let half = ttl / 2;
    let Some(field) = section.get("reuse") else { return Some(Reuse::For(half)) };
    // YAML reads `Off` as a boolean.
    if matches!(field.value, Json::Bool(false)) || field.value.as_text() == Some("Off") {
        return Some(Reuse::Off);
    }
    // What is sent at the end of it must still serve.
    field.duration(1_000_000..=half).map(Reuse::For)
}

fn include(field: &Field<'_>) -> Option<Include> {
    let section = field.section(&shapes::INCLUDE)?;
    let (claims, scopes) = (section.get("claims"), section.get("scopes"));
    let (claims, scopes) = (claims.map(|field| field.texts()), scopes.map(|field| field.texts()));
    let claims = claims.unwrap_or(Some(Vec::new()))?;
    if claims.len() > limits::ASSERTION_CLAIMS {
        section.error("too many claims", format!("at most {}", limits::ASSERTION_CLAIMS));
    }
    let scopes = match scopes {
        Some(scopes) => Some(scopes?.into_iter().map(Box::from).collect()),
        None => None,
    };
    Some(Include { claims: claims.into_iter().map(Rc::from).collect(), scopes })
}

fn check_algorithm(section: &Section<'_>, algorithm: Option<Algorithm>, keys: &[SigningKey]) {
    let fits =
        |key: &&SigningKey| algorithm.map_or(key.algorithm.is_public(), |wanted| wanted == key.algorithm);
    let fitting: Vec<&SigningKey> = keys.iter().filter(fits).collect();
    if fitting.is_empty() {
        let help =
            "a key of `signing.keys` must have it; HS256 is taken only where it is named: `algorithm: HS256`";
        section.error("no key of `signing` can sign it", help);
    }
    let begins = |key: &SigningKey| key.not_before.unwrap_or(Timestamp::from_nanos(0));
    for (number, key) in fitting.iter().enumerate() {
        let same = |other: &&&SigningKey| begins(other) == begins(key) && other.algorithm != key.algorithm;
        if let Some(other) = fitting.iter().take(number).find(same) {
            let (kid, other) = (quoted(&key.kid), quoted(&other.kid));
            section.error(
                format!("{other} and {kid} begin at the same time, and either could sign"),
                "name the `algorithm`",
            );
        }
    }
}
