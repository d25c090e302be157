//! How is one of `jwt.providers` read?

use std::rc::Rc;

use super::key_source::keys;
use super::places::places;
use super::{header_name, introspection, revoked, shapes};
use crate::document::{Field, Section, quoted};
use crate::guards::identity::confirmation;
use crate::guards::identity::jwt::Algorithm;
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::jwt::compact::media_type;
use crate::guards::identity::rules::{Audience, ClaimHeader, Provider, Tallies, TokenTypes};
use crate::limits;
use crate::time::SECOND;

/// The default of `clockSkew`.
const CLOCK_SKEW: u64 = 30 * SECOND;

/// Reads a provider; `None` if it lacks what no provider can be without, which has then been noted.
pub(super) fn read(section: &Section<'_>, name: Rc<str>) -> Option<Provider> {
    // Everything is read before anything is given up, so that all problems are noted.
    let issuer = section.get("issuer").and_then(|field| field.text().map(Box::from));
    let audience = audience(section);
    let algorithms = algorithms(section);
    let token_types = token_types(section);
    let keys = algorithms
        .as_deref()
        .and_then(|algorithms| keys(section, algorithms, &name, issuer.as_deref().unwrap_or_default()));
    let confirmation = confirmation::config::read(section);
    let places = confirmation::config::with_scheme(section, places(section), confirmation.as_ref());
    let forward = boolean(section, "forward", false);
    let clock_skew = section.get("clockSkew").map_or(Some(CLOCK_SKEW), |field| {
        field.duration(0..=limits::CLOCK_SKEW_SECONDS.saturating_mul(SECOND))
    });
    let require_expiration = boolean(section, "requireExpiration", true);
    let max_lifetime = max_lifetime(section);
    let required_claims = required_claims(section);
    let claim_headers = claim_headers(section);
    let revoked = revoked::read(section);
    let introspection = section.get("introspection").map(|field| introspection::read(&field, &name));
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
        confirmation: confirmation?,
        revoked: revoked?,
        introspection: introspection.map_or(Some(None), |read| read.map(Some))?,
        tallies: Tallies::default(),
    })
}

fn boolean(section: &Section<'_>, key: &'static str, default: bool) -> Option<bool> {
    section.get(key).map_or(Some(default), |field| field.boolean())
}

fn audience(section: &Section<'_>) -> Option<Audience> {
    let any =
        section.get("allowAnyAudience").map(|field| field.section(&shapes::BECAUSE)?.get("because")?.text());
    match (section.get("audiences"), any) {
        (Some(field), None) => Some(Audience::OneOf(field.texts()?.into_iter().map(Box::from).collect())),
        (None, Some(because)) => because.map(|_| Audience::Any),
        (Some(_), Some(_)) => {
            section.error("`audiences` and `allowAnyAudience` exclude each other", "keep `audiences`");
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
    let symmetric = algorithms.iter().filter(|algorithm| algorithm.family() == Family::Hmac).count();
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
        return Some(TokenTypes { absent: true, named: vec!["jwt".to_owned(), "at+jwt".to_owned()] });
    };
    let named = field.texts()?.into_iter().map(media_type).collect();
    Some(TokenTypes { absent: false, named })
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
    for element in section.get("claimToHeaders").and_then(|list| list.short_list()).unwrap_or_default() {
        let Some(section) = element.section(&shapes::CLAIM_TO_HEADER) else {
            continue;
        };
        let claim = section.get("claim").and_then(|field| field.text());
        let header = section.get("header").and_then(|field| identity_header_name(&field));
        let (Some(claim), Some(header)) = (claim, header) else {
            continue;
        };
        if headers.iter().any(|other| other.header == header) {
            section.error(format!("two claims go to {}", quoted(&header)), "give each its own header");
        }
        headers.push(ClaimHeader { claim: claim.into(), header });
    }
    headers
}

/// A header that tells the upstream of the caller.
pub(in crate::guards) fn identity_header_name(field: &Field<'_>) -> Option<Rc<str>> {
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
pub(in crate::guards::identity) fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 23] = [
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "dpop",
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
    NAMES.contains(&name) || ["x-envoy-", "x-forwarded-"].iter().any(|prefix| name.starts_with(prefix))
}
