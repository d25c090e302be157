//! Which bytes of the request are the credential?
//!
//! A credential that could be read in two ways is refused, not resolved: the upstream might read the other one.

use super::rules::Place;
use crate::decision::{Detail, Reason, Refusal};
use crate::hex;
use crate::http::{Head, is_token_byte, passes_for, trim};
use crate::limits;

/// A credential and where it stood.
#[derive(Clone, Copy, Debug)]
pub struct Found<'r, 'h> {
    /// Where.
    pub place: &'r Place,
    /// Its bytes, whatever they are.
    pub value: &'h [u8],
}

/// Looks in every place. Errors: `CredentialConflict` for more than one credential, `TokenMalformed` for a scheme with nothing behind
/// it, `HeadersTooLarge` for more cookies than we read.
pub fn find<'r, 'h>(
    places: &'r [Place],
    head: &'h Head,
    query: Option<&'h [u8]>,
) -> Result<Option<Found<'r, 'h>>, Refusal> {
    let mut found = None;
    for place in places {
        let value = match place {
            Place::Header { name, prefix } => in_header(head, name, prefix)?,
            Place::Cookie(name) => in_cookies(head, name)?,
            Place::Param(name) => in_query(query.unwrap_or_default(), name)?,
        };
        let Some(value) = value else { continue };
        if found.is_some() {
            return Err(conflict("credentials in two places"));
        }
        found = Some(Found { place, value });
    }
    Ok(found)
}

pub(super) fn conflict(fact: &'static str) -> Refusal {
    Refusal::because(Reason::CredentialConflict, Detail::Fact(fact))
}

fn malformed(fact: &'static str) -> Refusal {
    Refusal::because(Reason::TokenMalformed, Detail::Fact(fact))
}

/// RFC 7515 §7.1: base64url and dots, not too long. This also keeps blanks, commas, `%` and what is not UTF-8 from every later reader.
/// Errors: `TokenMalformed` and `TokenTooLarge`.
pub fn check_token(token: &[u8]) -> Result<(), Refusal> {
    const GOOD: [bool; 256] = table(b"-_.");
    check_bytes(token, &GOOD)
}

/// The same where opaque tokens are taken: RFC 6750 §2.1 `b64token`.
pub fn check_opaque(token: &[u8]) -> Result<(), Refusal> {
    const GOOD: [bool; 256] = table(b"-_.~+/=");
    check_bytes(token, &GOOD)
}

/// Letters, digits and these.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut good = [false; 256];
    let mut byte = 0_u8;
    while let Some(next) = byte.checked_add(1) {
        if let Some(place) = good.split_at_mut(byte as usize).1.first_mut() {
            *place = byte.is_ascii_alphanumeric();
        }
        byte = next;
    }
    let mut rest = others;
    while let [first, others @ ..] = rest {
        if let Some(place) = good.split_at_mut(*first as usize).1.first_mut() {
            *place = true;
        }
        rest = others;
    }
    good
}

fn check_bytes(token: &[u8], good: &[bool; 256]) -> Result<(), Refusal> {
    if token.len() > limits::TOKEN_BYTES {
        let (got, limit) = (token.len() as u64, limits::TOKEN_BYTES as u64);
        let detail = Detail::Over { what: "bytes of token", got, limit };
        return Err(Refusal::because(Reason::TokenTooLarge, detail));
    }
    // No way out early: a token that is good is read to its end, and the loop is shorter so.
    let all = token.iter().fold(true, |all, b| all & good.get(usize::from(*b)).copied().unwrap_or(false));
    if token.is_empty() || !all {
        return Err(malformed("empty, or a byte that no token holds"));
    }
    Ok(())
}

fn in_header<'h>(head: &'h Head, name: &str, prefix: &str) -> Result<Option<&'h [u8]>, Refusal> {
    // An upstream that reads `x_token` as `x-token` might take the token that we did not check.
    if head.fields().any(|(sent, _)| sent != name.as_bytes() && passes_for(sent, name)) {
        return Err(conflict("a header that passes for the credential's"));
    }
    let mut ours = None;
    for value in head.all(name) {
        if let Some(token) = behind(value, prefix)? {
            ours = Some(token);
        }
    }
    if ours.is_some() && head.all(name).nth(1).is_some() {
        return Err(conflict("the header stands twice"));
    }
    Ok(ours)
}

/// The token behind `prefix`; `None` if the value is of another scheme, which is not ours to judge.
///
/// Envoy joins two `Authorization` headers with a comma (host fact H6), so a comma beside our scheme is a second header.
fn behind<'h>(value: &'h [u8], prefix: &str) -> Result<Option<&'h [u8]>, Refusal> {
    // A token is a thousand bytes: it is looked through for commas once, in words.
    if value.contains(&b',') {
        let ours = value.split(|&b| b == b',').any(|piece| is_of_scheme(trim(piece), prefix));
        let twice = || conflict("the header holds a comma: it was sent twice");
        return if ours { Err(twice()) } else { Ok(None) };
    }
    if !is_of_scheme(trim(value), prefix) {
        return Ok(None);
    }
    let Some(mut token) = strip_prefix_without_case(value, prefix.as_bytes()) else {
        return Err(malformed("the scheme without a blank and a token behind it"));
    };
    // RFC 9110 §11.4: `auth-scheme 1*SP token68`.
    if prefix.ends_with(' ') {
        while let [b' ', rest @ ..] = token {
            token = rest;
        }
    }
    Ok(Some(token))
}

/// Whether a value is of our scheme: RFC 9110 §11.1, compared without case, up to where its word ends. `Bearer` alone and
/// `Bearer<tab>` are of it and will be malformed; `Bearers x` is another scheme.
fn is_of_scheme(value: &[u8], prefix: &str) -> bool {
    let Some(rest) = strip_prefix_without_case(value, prefix.trim_end_matches(' ').as_bytes()) else {
        return false;
    };
    !prefix.ends_with(' ') || !rest.first().is_some_and(|&b| is_token_byte(b))
}

fn strip_prefix_without_case<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let (front, rest) = value.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn in_cookies<'h>(head: &'h Head, name: &str) -> Result<Option<&'h [u8]>, Refusal> {
    let count = head.all("cookie").flat_map(cookie_pairs).count();
    if count > limits::COOKIES {
        let (got, limit) = (count as u64, limits::COOKIES as u64);
        return Err(Refusal::because(Reason::HeadersTooLarge, Detail::Over { what: "cookies", got, limit }));
    }
    let mut values = head.all("cookie").flat_map(cookie_pairs).filter_map(|pair| cookie_value(pair, name));
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(conflict("the cookie stands twice")),
    }
}

/// The pairs of a `cookie` header. RFC 6265 §4.2.1 parts them with `; `; we take `;` with any blanks, as servers do.
pub(super) fn cookie_pairs(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    header.split(|&b| b == b';')
}

/// The value of a pair, if it is the cookie of that name (with case: RFC 6265 §5.3).
pub(super) fn cookie_value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let (key, value) = split_once(pair, b'=')?;
    (trim(key) == name.as_bytes()).then(|| trim(value))
}

fn in_query<'q>(query: &'q [u8], name: &str) -> Result<Option<&'q [u8]>, Refusal> {
    let mut values = query_pairs(query).filter_map(|pair| param_value(pair, name));
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(conflict("the query parameter stands twice")),
    }
}

/// The pairs of a query, as the URL Standard's form decoder parts them.
pub(super) fn query_pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&b| b == b'&')
}

/// The raw value of a pair, if it is the parameter of that name. The name is compared decoded: `%74oken` is `token` to
/// the upstream, and must be so to us, or it would pass beside the one that we checked.
pub(super) fn param_value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let (key, value) = split_once(pair, b'=').unwrap_or((pair, &[]));
    decoded_is(key, name.as_bytes()).then_some(value)
}

fn decoded_is(mut key: &[u8], name: &[u8]) -> bool {
    for &wanted in name {
        let (byte, rest) = match key {
            [b'%', high, low, rest @ ..] => match hex::byte(*high, *low) {
                Some(byte) => (byte, rest),
                None => return false,
            },
            [b'+', rest @ ..] => (b' ', rest),
            [byte, rest @ ..] => (*byte, rest),
            [] => return false,
        };
        if byte != wanted {
            return false;
        }
        key = rest;
    }
    key.is_empty()
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&b| b == at)?;
    let (front, rest) = bytes.split_at_checked(position)?;
    Some((front, rest.get(1..)?))
}
