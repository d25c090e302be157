//! The decision becomes host calls: what the upstream sees, and what the proxy's own log sees.

use super::admit::{Admission, Journey};
use crate::decision::{Reason, Refusal};
use crate::guards::assertion::Target;
use crate::guards::identity::rules::Place;
use crate::guards::identity::spent::{self, Spent};
use crate::guards::shape::unreadable;
use crate::host::{Host, HostError};
use crate::http::{Head, passes_for};
use crate::policy::{Policy, Route};
use crate::redaction::{CREDENTIAL_HEADERS, REDACTED, is_secret_shaped};
use crate::time::Timestamp;

/// The mark that the guard behind us asks for (`wasm.portcullis_admitted` in Envoy's filter state): a request that did not
/// come through here does not have it, even if the host has dropped this filter (host fact H1).
const MARK: &str = "portcullis_admitted";

/// An admitted request: spoofed identity off, the credential off, the identity and the proof of it on, the mark last.
pub(super) fn admit(
    host: &impl Host,
    policy: &Policy,
    route: Option<&Route>,
    head: &Head,
    admission: &Admission,
    now: Timestamp,
) -> Result<(), Refusal> {
    // Before anything is changed: without it, the request goes no further.
    let assertion = assertion(host, policy, route, head, admission, now)?;
    clear(host, policy, route, head)?;
    match &admission.identified.spent {
        Some(Spent::Header(name)) => host.remove_request_header(name)?,
        Some(Spent::Proved(name)) => {
            host.remove_request_header(name)?;
            host.remove_request_header("dpop")?;
        }
        Some(Spent::Cookie(name)) => match spent::cookies_without(head, name) {
            Some(rest) => host.set_request_header("cookie", &rest)?,
            None => host.remove_request_header("cookie")?,
        },
        Some(Spent::Param(name)) => {
            host.set_request_header(":path", &spent::target_without(head.target(), name))?;
        }
        None => {}
    }
    for (name, value) in admission.identified.headers.iter() {
        host.set_request_header(name, value)?;
    }
    if let Some((header, assertion)) = assertion {
        host.set_request_header(header, &assertion)?;
    }
    Ok(host.set_property(MARK, b"1")?)
}

/// What proves to the upstream where the request came from, and the header for it, if the route wants one.
fn assertion<'r>(
    host: &impl Host,
    policy: &Policy,
    route: Option<&'r Route>,
    head: &Head,
    admission: &Admission,
    now: Timestamp,
) -> Result<Option<(&'r str, Vec<u8>)>, Refusal> {
    let Some(rules) = route.and_then(|route| route.assertion.as_ref()) else { return Ok(None) };
    // Whoever wants one has keys: the policy would not have loaded.
    let ring = policy.signing.as_ref().ok_or(Reason::AssertionUnavailable)?;
    let without = match &admission.identified.spent {
        Some(Spent::Param(name)) => Some(spent::target_without(head.target(), name)),
        _ => None,
    };
    let target = without.as_deref().unwrap_or(head.target());
    let target = Target { method: head.method(), authority: head.authority(), target };
    let assertion = ring.assert(rules, &admission.identified.caller, &target, head, now, host)?;
    Ok(Some((&rules.header, assertion)))
}

/// A request that would have been refused and passes all the same: nothing in it is vouched for.
pub(super) fn pass(
    host: &impl Host,
    policy: &Policy,
    route: Option<&Route>,
    head: &Head,
) -> Result<(), HostError> {
    clear(host, policy, route, head)?;
    host.set_property(MARK, b"1")
}

/// Takes off what only the gateway or a proxy may say, on every route, and what the route strips, in every spelling that a reader could
/// take for it.
fn clear(host: &impl Host, policy: &Policy, route: Option<&Route>, head: &Head) -> Result<(), HostError> {
    let stripped = route.map_or(&[][..], |route| route.request.stripped.as_slice());
    let ours = || policy.providers.identity_headers().iter().chain(stripped);
    let goes = |sent: &[u8]| policy.forwarded.strips(sent) || ours().any(|name| passes_for(sent, name));
    for (sent, _) in head.fields().filter(|(sent, _)| goes(sent)) {
        // A header name that is not ASCII cannot be ours; Envoy lets none in.
        host.remove_request_header(core::str::from_utf8(sent).unwrap_or_default())?;
    }
    Ok(())
}

/// The same for trailers. What the route forbids goes too: the head went upstream before they came.
pub(super) fn clear_trailers(
    host: &impl Host,
    policy: &Policy,
    route: Option<&Route>,
) -> Result<(), Refusal> {
    let request = route.map(|route| &route.request);
    let unwanted =
        || request.into_iter().flat_map(|request| request.stripped.iter().chain(&request.forbidden));
    let ours = || policy.providers.identity_headers().iter().chain(unwanted());
    let goes = |sent: &[u8]| {
        policy.forwarded.strips(sent)
            || is_credential(policy, sent)
            || ours().any(|name| passes_for(sent, name))
    };
    let trailers = Head::parse_trailers(host.request_trailers()?).map_err(unreadable)?;
    for (sent, _) in trailers.fields().filter(|(sent, _)| goes(sent)) {
        host.remove_request_trailer(core::str::from_utf8(sent).unwrap_or_default())?;
    }
    Ok(())
}

/// Whether somebody could take it for a credential. RFC 9110 §6.5.1: no field of authentication may be a trailer; nobody has looked at
/// this one.
fn is_credential(policy: &Policy, sent: &[u8]) -> bool {
    let places = policy.providers.places().filter_map(|place| match place {
        Place::Header { name, .. } => Some(&**name),
        Place::Param(_) | Place::Cookie(_) => None,
    });
    CREDENTIAL_HEADERS.into_iter().chain(places).any(|name| passes_for(sent, name))
}

/// A refused request: the proxy's access log reads the same header map, so what may not be written down is overwritten before the
/// answer. Nothing goes upstream any more; a call that fails leaves the log to its own format, and the answer stands.
pub(super) fn conceal(host: &impl Host, policy: &Policy, journey: &Journey<'_>) {
    let (head, shown) = (journey.head(), journey.shown());
    for (name, _) in head.fields().filter(|(name, _)| policy.redaction.hides_header(name)) {
        let _ = host.set_request_header(core::str::from_utf8(name).unwrap_or_default(), REDACTED.as_bytes());
    }
    let pseudo = [(":path", head.target(), &shown.target), (":authority", head.authority(), &shown.host)];
    for (name, _, shown) in pseudo.iter().filter(|(_, sent, shown)| shown.as_str().as_bytes() != *sent) {
        let ascii: Vec<u8> =
            shown.as_str().bytes().map(|b| if b.is_ascii_graphic() { b } else { b'?' }).collect();
        let _ = host.set_request_header(name, &ascii);
    }
    // What else the proxy's usual format shows, where a client has put something into it that is no name of a program and no id.
    for name in ["user-agent", "x-request-id"] {
        if head.all(name).any(is_secret_shaped) {
            let _ = host.set_request_header(name, REDACTED.as_bytes());
        }
    }
}

/// The same for a head that we could not read.
pub(super) fn conceal_unread(host: &impl Host, policy: &Policy) {
    for name in policy.redaction.hidden_headers() {
        let _ = host.remove_request_header(name);
    }
    let _ = host.set_request_header(":path", b"/REDACTED");
}
