//! The rows to compare with: a plugin that does nothing, Envoy's own filters, a service that is asked, a script, and what no plugin can do
//! without.

use super::cases::{Case, FEW, Makings};
use super::chain::{self, HMAC_ISSUER, NO_LIMIT};
use super::ours::requests_of;
use super::peers;
use super::requests::{STRANGERS, signature_question};
use crate::api_key::hex;
use crate::artifacts;
use crate::tokens::{ISSUER, Keys};

pub(super) const NATIVE_CACHED: &str = "native: RS256, cached, access, limit";
pub(super) const NATIVE_LOGGED: &str = "native: the same, header_mutation, access log";
pub(super) const NATIVE_UNCACHED: &str = "native: new RS256 tokens, not cached";
pub(super) const NATIVE_ABSENT: &str = "native: no credential (401)";
pub(super) const NATIVE_FORGED: &str = "native: forged signatures (401)";
pub(super) const NATIVE_OVER: &str = "native: over the limit (429)";
/// New tokens of other algorithms: the key's name, the row, and whether few are checked.
const NATIVE_NEW: [(&str, &str, bool); 5] = [
    ("ps256", "native: new PS256 tokens, not cached", true),
    ("es256", "native: new ES256 tokens, not cached", false),
    ("es384", "native: new ES384 tokens, not cached", true),
    ("eddsa", "native: new EdDSA tokens, not cached", true),
    ("hs256", "native: new HS256 tokens, not cached", false),
];

/// The host calls that an admitted request cannot do without, as `filter/examples/floor.rs` names them.
const ADMISSION: &str = "time headers limit strip claims mark";
/// The same, and those of its event in the log: a clock, the client's address, the answer's status (for which another property stands
/// here), and the line.
const ADMISSION_LOGGED: &str = "time headers limit strip claims mark time address address log";
/// The same without the line, for an event that a collector gets later, with and without its sending; and with the four properties that the proxy's
/// access log prints.
const ADMISSION_SENT: &str = "time headers limit strip claims mark time address address gather";
const ADMISSION_TOLD: &str = "time headers limit strip claims mark time address address";
const ADMISSION_MARKED: &str = "time headers limit strip claims mark told";
/// Those of a request that nobody asks who it is, the same and its count, and the same with a limit.
const OPEN: &str = "time headers mark";
const OPEN_COUNTED: &str = "time headers mark count";
const OPEN_LIMITED: &str = "time headers limit mark";
/// The calls of a refused one, and with its event.
const REFUSAL: &str = "time headers refuse";
const LOGGED: &str = "time headers address log refuse";
/// The same of a known caller who is over a limit: the slot is read (and here written, too), and the credential hidden from the proxy's log.
const OVER: &str = "time headers limit conceal refuse";

/// The row of Envoy's own filters for new tokens of this key.
pub(super) fn native_new(key: &str) -> Option<&'static str> {
    NATIVE_NEW.iter().find(|(name, ..)| *name == key).map(|(_, row, _)| *row)
}

pub(super) fn plugin_of_nothing(makings: &Makings) -> Result<Vec<Case>, String> {
    Ok(vec![Case::new("no-op plugin", chain::noop(&artifacts::noop()?), makings.known.clone(), 200)])
}

pub(super) fn native(makings: &Makings) -> Vec<Case> {
    let native = |cache, limit| peers::native(&makings.jwks, cache, limit);
    let (known, absent) = (|| makings.known.clone(), || makings.absent.clone());
    let forged = || makings.forged("/orders/7");
    let case = Case::new;
    vec![
        case(NATIVE_CACHED, native(true, NO_LIMIT), known(), 200).whole(),
        case(NATIVE_LOGGED, peers::native_clean(&makings.jwks), known(), 200).with_access_log(),
        case(NATIVE_UNCACHED, native(false, NO_LIMIT), makings.new_tokens(), 200),
        case(NATIVE_ABSENT, native(true, NO_LIMIT), absent(), 401),
        case(NATIVE_FORGED, native(true, NO_LIMIT), forged(), 401),
        case(NATIVE_OVER, native(true, 1), known(), 429),
        case("native: no credential, access log (401)", native(true, NO_LIMIT), absent(), 401)
            .with_access_log(),
        case("native: forged signatures, access log (401)", native(true, NO_LIMIT), forged(), 401)
            .with_access_log(),
        case("native: over the limit, access log (429)", native(true, 1), known(), 429).with_access_log(),
    ]
}

pub(super) fn native_algorithms() -> Result<Vec<Case>, String> {
    let case = |(key, name, slow): (&str, &'static str, bool)| {
        let issuer = if key == "hs256" { HMAC_ISSUER } else { ISSUER };
        let filters = peers::native_of(issuer, &Keys::of_this_run().jwks(&[key])?);
        let requests = requests_of(key, if slow { STRANGERS / FEW } else { STRANGERS })?;
        let case = Case::new(name, filters, requests, 200);
        Ok(if slow { case.few() } else { case })
    };
    NATIVE_NEW.into_iter().map(case).collect()
}

/// A service that Envoy asks.
pub(super) fn service(makings: &Makings) -> Vec<Case> {
    let case = |name, requests, status| Case::new(name, peers::ext_authz(), requests, status).with_service();
    vec![
        case("ext_authz: RS256, cached, access, limit", makings.known.clone(), 200)
            .beside(NATIVE_CACHED)
            .whole(),
        case("ext_authz: new RS256 tokens", makings.new_tokens(), 200).beside(NATIVE_UNCACHED),
        case("ext_authz: no credential (401)", makings.absent.clone(), 401).beside(NATIVE_ABSENT),
        case("ext_authz: new forged tokens (401)", makings.forged("/orders/7"), 401).beside(NATIVE_FORGED),
    ]
}

/// A script in Envoy.
pub(super) fn script(makings: &Makings) -> Result<Vec<Case>, String> {
    let lua = peers::lua(&makings.jwks)?;
    let case = |name, requests, status| Case::new(name, lua.clone(), requests, status);
    Ok(vec![
        case("Lua: RS256, cached, access, limit", makings.known.clone(), 200).beside(NATIVE_CACHED).whole(),
        case("Lua: new RS256 tokens", makings.new_tokens(), 200).beside(NATIVE_UNCACHED),
        case("Lua: no credential (401)", makings.absent.clone(), 401).beside(NATIVE_ABSENT),
        case("Lua: new forged tokens (401)", makings.forged("/orders/7"), 401).beside(NATIVE_FORGED),
    ])
}

/// What no plugin that does this work can do without.
pub(super) fn floor(makings: &Makings) -> Result<Vec<Case>, String> {
    let plugin = artifacts::floor()?;
    let stranger = makings.strangers.first().ok_or("no tokens")?;
    let verify = format!("verify:{}", hex(&signature_question(&makings.jwks, stranger)?));
    let (known, absent) = (|| makings.known.clone(), || makings.absent.clone());
    let floor = |calls| chain::floor(&plugin, calls);
    let case = Case::new;
    Ok(vec![
        case("floor: callbacks alone", floor(""), known(), 200),
        case("floor: host calls of an open route", floor(OPEN), known(), 200),
        case("floor: host calls of an open route, counted", floor(OPEN_COUNTED), known(), 200),
        case("floor: host calls of an open route, one limit", floor(OPEN_LIMITED), known(), 200),
        case("floor: host calls of an admission", floor(ADMISSION), known(), 200).beside(NATIVE_CACHED),
        case("floor: the same and an event in the log", floor(ADMISSION_LOGGED), known(), 200),
        case("floor: the same and what an event asks for", floor(ADMISSION_TOLD), known(), 200),
        case("floor: the same, sent to a collector", floor(ADMISSION_SENT), known(), 200),
        case("floor: the same and its access log", floor(ADMISSION_MARKED), known(), 200).with_access_log(),
        case("floor: host calls of a refusal over a limit", floor(OVER), known(), 401),
        case("floor: host calls of a refusal (401)", floor(REFUSAL), absent(), 401),
        case("floor: the same and a line in the log (401)", floor(LOGGED), absent(), 401),
        case("floor: the host's signature check", floor(&verify), known(), 200).beside(NATIVE_UNCACHED),
    ])
}
