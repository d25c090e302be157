//! How is `confirmation` written in a policy?

use super::dpop::{Origin, ProofRules};
use super::{Binding, Confirmation};
use crate::document::{Default, Field, Key, Section, Shape};
use crate::guards::identity::jwt::Algorithm;
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::rules::Place;
use crate::limits;
use crate::time::SECOND;

/// `jwt.providers[].confirmation`
pub static CONFIRMATION: Shape = Shape::new(
    "jwt.providers[].confirmation",
    "Tokens that only their owner can use: bound (`cnf`) to a client certificate or to a key. `Off` takes a bound token from \
            whoever holds it, with a warning; `Optional` checks a binding where a token has one, and takes other tokens as bearer tokens; \
            `Required` refuses tokens without one. What is left out refuses tokens that are bound so, since nobody would check them; \
            members of `cnf` that the gateway does not know are ignored (RFC 7800 §3.1).",
    &[
        Key::new(
            "mtls",
            "Off, Optional or Required",
            Default::Is("tokens bound to a certificate are refused"),
            "RFC 8705: `cnf.x5t#S256` must be the SHA-256 of the certificate that the client presented to the proxy. Envoy's TLS context must ask \
             for one (`require_client_certificate`, with a `validation_context`); the gateway compares, and does not judge who signed it.",
        ),
        Key::new(
            "dpop",
            "Off, Optional, Required or a map",
            Default::Is("tokens bound to a key are refused"),
            "RFC 9449: `authorization: DPoP <token>` and one `dpop` header with a proof for this method, this URL and this token, by the key \
             of `cnf.jkt`, that was not used before on any worker. A bound token behind `Bearer` is refused, and an unbound one behind `DPoP`. The \
             proof is taken off with the token.",
        )
        .nested(&DPOP),
    ],
);

/// `jwt.providers[].confirmation.dpop`
pub static DPOP: Shape = Shape::new(
    "jwt.providers[].confirmation.dpop",
    "What must hold of a proof. The word alone means this map with its `mode`. A used proof is remembered until it is no longer valid: \
            about 10,000 proofs a second with the default lifetime, fewer in proportion with a longer one; beyond that requests get 503.",
    &[
        Key::new("mode", "Off, Optional or Required", Default::Required, "As above."),
        Key::new(
            "algorithms",
            "list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA",
            Default::Is("all of them"),
            "Which algorithms a proof may have. Clients are told in the challenge (`algs`).",
        ),
        Key::new(
            "proofLifetime",
            "duration",
            Default::Is("60s"),
            "How long a proof serves after its `iat`; at most `300s`. It may lie ahead by the provider's `clockSkew`.",
        ),
        Key::new(
            "nonce",
            "Off or Required",
            Default::Is("Off"),
            "Ask for a nonce of the gateway's, so that proofs cannot be made long in advance. A proof without a current one gets 401 with \
             `error=\"use_dpop_nonce\"` and the nonce in `dpop-nonce`; it serves for five to ten minutes.",
        ),
        Key::new(
            "origins",
            "list of origins",
            Default::Is("the scheme and host of the request"),
            "What `htu` may begin with (`https://api.example.com`), in place of what the proxy knows of the request: needed where a balancer \
             before the proxy ends TLS or changes the host. Each is as good as the others for every route.",
        ),
    ],
);

/// Reads a provider's `confirmation`; `None` if something is wrong, which has then been noted.
pub(in crate::guards::identity) fn read(provider: &Section<'_>) -> Option<Confirmation> {
    let Some(field) = provider.get("confirmation") else {
        return Some(Confirmation::default());
    };
    let section = field.section(&CONFIRMATION)?;
    if section.present().is_empty() {
        section.error("nothing is asked for", "write `mtls: Required` or `dpop: Required`, or leave it out");
        return None;
    }
    let mtls = section.get("mtls").map_or(Some(Binding::Unwritten), |field| binding(&field, "a certificate"));
    let dpop =
        section.get("dpop").map_or(Some((Binding::Unwritten, ProofRules::default())), |field| dpop(&field));
    let ((dpop, proof), mtls) = (dpop?, mtls?);
    Some(Confirmation { mtls, dpop, proof })
}

/// Where a provider's tokens may stand, with the scheme `DPoP` if it takes proofs.
pub(in crate::guards::identity) fn with_scheme(
    provider: &Section<'_>,
    places: Option<Vec<Place>>,
    confirmation: Option<&Confirmation>,
) -> Option<Vec<Place>> {
    let mut places = places?;
    if !confirmation.is_some_and(Confirmation::takes_proofs) || places.iter().any(Place::is_dpop) {
        return Some(places);
    }
    if let Some(field) = provider.get("extractFrom") {
        field.error(
            "`confirmation.dpop` without a place for the scheme `DPoP`",
            "add `{name: authorization, valuePrefix: \"DPoP \"}` to `headers`, or leave `extractFrom` out",
        );
        return None;
    }
    places.push(Place::Header { name: "authorization".into(), prefix: "dpop ".into() });
    Some(places)
}

fn binding(field: &Field<'_>, to: &str) -> Option<Binding> {
    let binding = field.one_of(&Binding::WORDS)?;
    if binding == Binding::Off {
        field.warn(
            format!("a token that is bound to {to} is taken from whoever holds it"),
            "write `Optional`, or leave it out to refuse such tokens",
        );
    }
    Some(binding)
}

fn dpop(field: &Field<'_>) -> Option<(Binding, ProofRules)> {
    if !matches!(field.value, crate::json::Json::Map(_)) {
        return Some((binding(field, "a key")?, ProofRules::default()));
    }
    let section = field.section(&DPOP)?;
    let mode = section.get("mode").and_then(|field| binding(&field, "a key"));
    let rules = ProofRules::default();
    let algorithms = section.get("algorithms").map_or(Some(rules.algorithms), |field| algorithms(&field));
    let lifetime = section.get("proofLifetime").map_or(Some(rules.lifetime), |field| {
        field.duration(SECOND..=limits::PROOF_LIFETIME_SECONDS_MAX.saturating_mul(SECOND))
    });
    let nonce =
        section.get("nonce").map_or(Some(false), |field| field.one_of(&[("Off", false), ("Required", true)]));
    let origins = section.get("origins").map_or(Some(rules.origins), |field| origins(&field));
    Some((
        mode?,
        ProofRules { algorithms: algorithms?, lifetime: lifetime?, nonce: nonce?, origins: origins? },
    ))
}

fn algorithms(field: &Field<'_>) -> Option<Vec<Algorithm>> {
    let mut algorithms = Vec::new();
    for element in field.list()? {
        let algorithm = element.one_of(&Algorithm::WORDS)?;
        if algorithm.family() == Family::Hmac {
            element.error("a proof with a shared secret proves nothing", "name algorithms with public keys");
            return None;
        }
        if algorithms.contains(&algorithm) {
            element.error("the algorithm stands twice", "");
        }
        algorithms.push(algorithm);
    }
    Some(algorithms)
}

fn origins(field: &Field<'_>) -> Option<Vec<Origin>> {
    let elements = field.short_list()?;
    if elements.len() > limits::PROOF_ORIGINS {
        field.error("too many origins", format!("at most {}", limits::PROOF_ORIGINS));
        return None;
    }
    let mut origins = Vec::new();
    for element in &elements {
        let origin = Origin::of_url(element.text()?);
        if origin.is_none() {
            element.error("not an origin", "write scheme, host and port: `https://api.example.com`");
        }
        origins.push(origin?);
    }
    Some(origins)
}
