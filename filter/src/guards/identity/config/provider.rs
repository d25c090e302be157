//! How is one of `jwt.providers` read?

use std::rc::Rc;

use super::shapes;
use super::variable;
use crate::decision::Detail;
use crate::document::{Field, Section, quoted};
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::jwt::compact::media_type;
use crate::guards::identity::jwt::{Algorithm, KeySet};
use crate::guards::identity::rules::{Audience, ClaimHeader, KeySource, Place, Provider, TokenTypes};
use crate::http::{is_field_name, is_field_value, is_token_byte};
use crate::limits;
use crate::time::SECOND;

/// The default of `clockSkew`.
const CLOCK_SKEW: u64 = 30 * SECOND;

/// Reads a provider; `None` if it lacks what no provider can be without, which has then been noted.
pub(super) fn read(section: &Section<'_>, name: Rc<str>) -> Option<Provider> {
    // Everything is read before anything is given up, so that all problems are noted.
    let issuer = section
        .get("issuer")
        .and_then(|field| field.text().map(Box::from));
    let audience = audience(section);
    let algorithms = algorithms(section);
    let token_types = token_types(section);
    let keys = algorithms
        .as_deref()
        .and_then(|algorithms| keys(section, algorithms));
    let places = places(section);
    let forward = boolean(section, "forward", false);
    let clock_skew = section.get("clockSkew").map_or(Some(CLOCK_SKEW), |field| {
        field.duration(0..=limits::CLOCK_SKEW_SECONDS.saturating_mul(SECOND))
    });
    let require_expiration = boolean(section, "requireExpiration", true);
    let max_lifetime = max_lifetime(section);
    let required_claims = required_claims(section);
    let claim_headers = claim_headers(section);
    let (source, keys) = keys?;
    Some(Provider {
        name,
        issuer: issuer?,
        audience: audience?,
        algorithms: algorithms?,
        token_types: token_types?,
        source,
        keys,
        places: places?,
        forward: forward?,
        clock_skew: clock_skew?,
        require_expiration: require_expiration?,
        max_lifetime,
        required_claims,
        claim_headers,
    })
}

fn boolean(section: &Section<'_>, key: &'static str, default: bool) -> Option<bool> {
    section.get(key).map_or(Some(default), |field| field.boolean())
}

fn audience(section: &Section<'_>) -> Option<Audience> {
    let any = section
        .get("allowAnyAudience")
        .map(|field| field.section(&shapes::BECAUSE)?.get("because")?.text());
    match (section.get("audiences"), any) {
        (Some(field), None) => Some(Audience::OneOf(
            field.texts()?.into_iter().map(Box::from).collect(),
        )),
        (None, Some(because)) => because.map(|_| Audience::Any),
        (Some(_), Some(_)) => {
            section.error(
                "`audiences` and `allowAnyAudience` exclude each other",
                "keep `audiences`",
            );
            None
        }
        (None, None) => {
            let help = "write `audiences: [your-service]`, or `allowAnyAudience: {because: \"…\"}`";
            section.error("`audiences` is missing", help);
            None
        }
    }
}

fn algorithms(section: &Section<'_>) -> Option<Vec<Algorithm>> {
    let Some(field) = section.get("algorithms") else {
        return Some(Algorithm::asymmetric());
    };
    let elements = field.list()?;
    let mut algorithms = Vec::new();
    for element in &elements {
        let algorithm = element.one_of(&Algorithm::WORDS)?;
        if algorithms.contains(&algorithm) {
            element.error("the algorithm stands twice", "");
        }
        algorithms.push(algorithm);
    }
    let symmetric = algorithms
        .iter()
        .filter(|algorithm| algorithm.family() == Family::Hmac)
        .count();
    // RFC 8725 §2.1: with both, a public key can be taken for a secret. Here they could not meet, and yet nobody needs it.
    if symmetric != 0 && symmetric != algorithms.len() {
        field.error(
            "HS* beside algorithms with public keys",
            "write two providers, each with its own issuer or route",
        );
        return None;
    }
    Some(algorithms)
}

fn token_types(section: &Section<'_>) -> Option<TokenTypes> {
    let Some(field) = section.get("tokenTypes") else {
        return Some(TokenTypes {
            absent: true,
            named: vec!["jwt".to_owned(), "at+jwt".to_owned()],
        });
    };
    let named = field.texts()?.into_iter().map(media_type).collect();
    Some(TokenTypes { absent: false, named })
}

type Keys = (KeySource, Result<KeySet, Detail>);

fn keys(section: &Section<'_>, algorithms: &[Algorithm]) -> Option<Keys> {
    let symmetric = algorithms
        .iter()
        .any(|algorithm| algorithm.family() == Family::Hmac);
    match (section.get("localJWKS"), section.get("secret"), symmetric) {
        (None, Some(field), true) => {
            let name = variable(&field.section(&shapes::ENV)?.get("env")?)?;
            Some((KeySource::Secret(Rc::clone(&name)), Err(unread(&name))))
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
            if !section.has("remoteJWKS") {
                section.error(
                    "there are no keys",
                    "write `localJWKS: {inline: '{\"keys\": […]}'}`",
                );
            }
            None
        }
    }
}

fn unread(name: &Rc<str>) -> Detail {
    Detail::Named("not read yet: environment variable", Rc::clone(name))
}

fn local_jwks(field: &Field<'_>, algorithms: &[Algorithm]) -> Option<Keys> {
    let section = field.section(&shapes::LOCAL_JWKS)?;
    match (section.get("inline"), section.get("env")) {
        (Some(inline), None) => Some((KeySource::Inline, Ok(inline_keys(&inline, algorithms)?))),
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

fn places(section: &Section<'_>) -> Option<Vec<Place>> {
    let Some(field) = section.get("extractFrom") else {
        return Some(vec![Place::Header {
            name: "authorization".into(),
            prefix: "bearer ".into(),
        }]);
    };
    let section = field.section(&shapes::EXTRACT_FROM)?;
    let mut places: Vec<Place> = Vec::new();
    for element in section
        .get("headers")
        .and_then(|list| list.list())
        .unwrap_or_default()
    {
        let Some(place) = header_place(&element) else {
            continue;
        };
        if places.contains(&place) {
            element.error("the place stands twice", "");
        }
        places.push(place);
    }
    for name in names(&section, "cookies", |name| name.bytes().all(is_token_byte)) {
        places.push(Place::Cookie(name));
    }
    for name in names(&section, "params", |name| name.bytes().all(is_unreserved)) {
        places.push(Place::Param(name));
    }
    if let Some(params) = section.get("params") {
        params.warn(
            "a token in a URL ends up in logs and histories",
            "take it from a header or a cookie",
        );
    }
    if section.present().is_empty() {
        section.error(
            "no place to find a token in",
            "write `headers`, `cookies` or `params`, or leave `extractFrom` out",
        );
    }
    (!places.is_empty()).then_some(places)
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

fn header_name(field: &Field<'_>) -> Option<Rc<str>> {
    let name = field.text()?.to_ascii_lowercase();
    if is_field_name(&name) {
        return Some(name.into());
    }
    field.error(format!("{} is no header name", quoted(&name)), "");
    None
}

fn names(section: &Section<'_>, key: &'static str, sound: fn(&str) -> bool) -> Vec<Rc<str>> {
    let Some(field) = section.get(key) else {
        return Vec::new();
    };
    let texts = field.texts().unwrap_or_default();
    for name in texts.iter().filter(|name| !sound(name)) {
        field.error(
            format!("{} cannot be a name here", quoted(name)),
            "letters, digits and `-`, `.`, `_`",
        );
    }
    texts
        .into_iter()
        .filter(|name| sound(name))
        .map(Rc::from)
        .collect()
}

fn max_lifetime(section: &Section<'_>) -> Option<u64> {
    let Some(field) = section.get("maxLifetime") else {
        section.warn(
            "there is no `maxLifetime`",
            "a leaked token serves until its `exp`, whatever that is: write `maxLifetime: 1h`",
        );
        return None;
    };
    let second_to_ten_years = SECOND..=SECOND.saturating_mul(3650 * 86_400);
    field.duration(second_to_ten_years)
}

fn required_claims(section: &Section<'_>) -> Vec<Rc<str>> {
    let texts = section.get("requiredClaims").and_then(|field| field.texts());
    texts.unwrap_or_default().into_iter().map(Rc::from).collect()
}

fn claim_headers(section: &Section<'_>) -> Vec<ClaimHeader> {
    let mut headers: Vec<ClaimHeader> = Vec::new();
    for element in section
        .get("claimToHeaders")
        .and_then(|list| list.list())
        .unwrap_or_default()
    {
        let Some(section) = element.section(&shapes::CLAIM_TO_HEADER) else {
            continue;
        };
        let claim = section.get("claim").and_then(|field| field.text());
        let header = section.get("header").and_then(|field| claim_header_name(&field));
        let (Some(claim), Some(header)) = (claim, header) else {
            continue;
        };
        if headers.iter().any(|other| other.header == header) {
            section.error(
                format!("two claims go to {}", quoted(&header)),
                "give each its own header",
            );
        }
        headers.push(ClaimHeader {
            claim: claim.into(),
            header,
        });
    }
    headers
}

fn claim_header_name(field: &Field<'_>) -> Option<Rc<str>> {
    let name = header_name(field)?;
    if !is_reserved(&name) {
        return Some(name);
    }
    let message = format!("{} is the proxy's or the protocol's own", quoted(&name));
    field.error(message, "choose a name such as `x-user`");
    None
}

/// Headers that steer the connection, the routing or the trust between proxies, or carry credentials: what a token says
/// must not reach them.
fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 22] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "grpc-timeout",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
        "x-request-id",
    ];
    NAMES.contains(&name)
        || ["x-envoy-", "x-forwarded-"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}
