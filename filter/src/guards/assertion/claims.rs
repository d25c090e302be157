//! What does an assertion say?
//!
//! The bytes that are bound are those of the request as the upstream gets it from the gateway: the method; the authority in lower case; the
//! path as it stands, up to the first `?`; and the query, which is what stands behind that `?`, or nothing. A short query is told as it is, since
//! some who check can compare and not hash (Envoy's own filters); of a long one, or one that is no text, its SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Assertion;
use crate::guards::identity::Caller;
use crate::limits;
use crate::redaction::Redacted;

/// The request that an assertion is about, as the upstream will see it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    /// `:method`
    pub method: &'r [u8],
    /// `:authority`
    pub authority: &'r [u8],
    /// `:path`, query included.
    pub target: &'r [u8],
}

impl<'r> Target<'r> {
    fn path(&self) -> &'r [u8] {
        self.target.split(|&b| b == b'?').next().unwrap_or_default()
    }

    /// Without the `?`; empty if there is none.
    pub(super) fn query(&self) -> &'r [u8] {
        self.target.get(self.path().len().saturating_add(1)..).unwrap_or_default()
    }
}

/// Writes the claims that do not tell one request from the next of the same kind: whom it is for, who calls, and what for.
pub(super) fn push_about(assertion: &Assertion, caller: &Caller, target: &Target<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"aud\":");
    push_text(&assertion.audience, out);
    // RFC 9068 §2.2: where there is no other subject, the client is.
    let client = caller.client();
    let key = caller.api_key().and(client);
    let member = |name: &str, value: Option<&str>, out: &mut Vec<u8>| {
        if let Some(value) = value {
            push_name(name, out);
            push_text(value, out);
        }
    };
    member("sub", caller.subject().or(key), out);
    member("client_id", client, out);
    // RFC 8176 has no value for either of the latter two, and `amr` speaks of how an issuer has authenticated a person.
    member("credential", caller.credential(), out);
    member("provider", caller.token().map(|token| &**token.provider()), out);
    push_scopes(assertion, caller, out);
    push_claims(assertion, caller, out);
    push_name("htm", out);
    push_bytes(target.method, out);
    push_name("authority", out);
    let start = out.len();
    push_bytes(target.authority, out);
    if let Some(authority) = out.get_mut(start..) {
        authority.make_ascii_lowercase();
    }
    push_name("path", out);
    push_bytes(target.path(), out);
}

/// Writes the rest: which query, which assertion, and for how long.
pub(super) fn push_rest(query: &[u8], id: &Identity<'_>, out: &mut Vec<u8>) {
    let short = core::str::from_utf8(query).ok().filter(|query| query.len() <= limits::ASSERTION_QUERY_BYTES);
    if let Some(query) = short {
        push_name("query", out);
        push_text(query, out);
    } else {
        push_name("query_hash", out);
        out.push(b'"');
        push_base64(&hmac_sha256::Hash::hash(query), out);
        out.push(b'"');
    }
    push_name("jti", out);
    out.push(b'"');
    push_base64(id.jti, out);
    out.push(b'"');
    if let Some(request) = id.request {
        push_name("request_id", out);
        push_text(request.as_str(), out);
    }
    // `nbf` for those who do not look at `iat`: a clock that is ahead must not make it serve for longer.
    for (name, seconds) in [("iat", id.iat), ("nbf", id.iat), ("exp", id.exp)] {
        push_name(name, out);
        out.extend_from_slice(seconds.to_string().as_bytes());
    }
}

/// What makes an assertion this one.
pub(super) struct Identity<'r> {
    pub(super) jti: &'r [u8],
    pub(super) request: Option<&'r Redacted>,
    pub(super) iat: u64,
    pub(super) exp: u64,
}

/// RFC 8693 §4.2: blank-separated. Those that the route passes on, of those that the caller has.
fn push_scopes(assertion: &Assertion, caller: &Caller, out: &mut Vec<u8>) {
    let passed = |scope: &&str| {
        assertion.include.scopes.as_ref().is_none_or(|list| list.iter().any(|known| **known == **scope))
    };
    let mut first = true;
    for scope in caller.scopes().filter(passed) {
        if first {
            push_name("scope", out);
            out.push(b'"');
        } else {
            out.push(b' ');
        }
        first = false;
        push_escaped(scope, out);
    }
    if !first {
        out.push(b'"');
    }
}

/// The caller's claims as they stand in its token, under names of their own: none of them can be taken for one of the gateway's.
fn push_claims(assertion: &Assertion, caller: &Caller, out: &mut Vec<u8>) {
    let Some(token) = caller.token().filter(|_| !assertion.include.claims.is_empty()) else { return };
    push_name("claims", out);
    let mut separator = b'{';
    for name in &assertion.include.claims {
        let Some(claim) = token.claim(name) else { continue };
        out.push(separator);
        separator = b',';
        push_text(name, out);
        out.push(b':');
        out.extend_from_slice(claim.to_string().as_bytes());
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

fn push_name(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A string of JSON.
pub(super) fn push_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    push_escaped(text, out);
    out.push(b'"');
}

/// Bytes that `shape` has found to be ASCII; what is not would be no string of JSON, and becomes `?`.
fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    match core::str::from_utf8(bytes) {
        Ok(text) => push_text(text, out),
        Err(_) => out.extend_from_slice(b"\"?\""),
    }
}

/// RFC 8259 §7. Most texts have nothing to escape, and are copied in one piece.
fn push_escaped(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let special = |b: u8| b < 0x20 || b == b'"' || b == b'\\';
    if !text.bytes().any(special) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for b in text.bytes() {
        match b {
            b'"' | b'\\' => out.extend([b'\\', b]),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.extend([b >> 4, b & 15].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
            }
            _ => out.push(b),
        }
    }
}

/// base64url without padding.
pub(super) fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(URL_SAFE_NO_PAD.encode(bytes).as_bytes());
}
