//! Is this a compact JWS, and what do its header and its claims say?
//!
//! Nothing that is read here is believed yet. Everything is bounded: the token before it is split, its JSON while it is
//! read. Of a token's header we take `alg`, `kid` and `typ`. `jku`, `x5u`, `jwk` and `x5c` would let a token bring its own key
//! (RFC 8725 §3.5); they are never looked at. A proof of possession does bring its key; it takes the [`Parts`] and reads them itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::Algorithm;
use crate::decision::{Detail, Reason, Refusal};
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;

/// RFC 7515 §4: "Header Parameter names within the JOSE Header MUST be unique"; RFC 7519 §4 says it of claims.
const BOUNDS: Bounds =
    Bounds { depth: limits::TOKEN_DEPTH, values: limits::TOKEN_VALUES, duplicates: Duplicates::Refuse };

/// A token taken apart, none of it believed.
#[derive(Debug)]
pub struct Compact<'t> {
    /// `alg`
    pub algorithm: Algorithm,
    /// `kid`
    pub kid: Option<Box<str>>,
    /// `typ`, in the form in which types are compared: see [`media_type`].
    pub typ: Option<String>,
    /// The claims.
    pub claims: Json,
    /// What is signed: header and claims as they came, with the dot between them (RFC 7515 §5.2 step 8).
    pub text: &'t [u8],
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

/// A compact JWS of two JSON objects: what a token and a proof of possession have in common.
#[derive(Debug)]
pub struct Parts<'t> {
    /// `alg`
    pub algorithm: Algorithm,
    /// The header.
    pub header: Json,
    /// The payload.
    pub claims: Json,
    /// As [`Compact::text`].
    pub text: &'t [u8],
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

fn malformed(fact: &'static str) -> Refusal {
    Refusal::because(Reason::TokenMalformed, Detail::Fact(fact))
}

impl<'t> Compact<'t> {
    /// Takes a token apart. Errors: `TokenTooLarge`, `TokenMalformed`, `TokenCritical`, `AlgorithmUnaccepted` for an `alg`
    /// that nobody could accept, `KeyUnknown` and `TokenTypeUnaccepted` for a `kid` and a `typ` that are no strings.
    pub fn parse(token: &'t [u8]) -> Result<Self, Refusal> {
        let parts = Parts::of(token)?;
        let kid = text_of(&parts.header, "kid", Reason::KeyUnknown)?.map(Box::from);
        let typ = text_of(&parts.header, "typ", Reason::TokenTypeUnaccepted)?.map(media_type);
        let Parts { algorithm, claims, text, signature, .. } = parts;
        Ok(Self { algorithm, kid, typ, claims, text, signature })
    }
}

impl<'t> Parts<'t> {
    /// Takes a JWS apart. Errors: `TokenTooLarge`, `TokenMalformed`, `TokenCritical`, and `AlgorithmUnaccepted` for an
    /// `alg` that nobody could accept.
    pub fn of(token: &'t [u8]) -> Result<Self, Refusal> {
        if token.len() > limits::TOKEN_BYTES {
            return Err(over("bytes of token", token.len(), limits::TOKEN_BYTES));
        }
        let [header, payload, signature] = parts(token)?;
        let text = header
            .len()
            .checked_add(1)
            .and_then(|dot| dot.checked_add(payload.len()))
            .and_then(|end| token.get(..end))
            .ok_or(malformed("not three parts"))?;

        let header = decode(header)?;
        if header.len() > limits::TOKEN_HEADER_BYTES {
            return Err(over("bytes of token header", header.len(), limits::TOKEN_HEADER_BYTES));
        }
        let header = object(&header)?;
        refuse_critical(&header)?;
        let algorithm = algorithm(&header)?;
        let claims = object(&decode(payload)?)?;
        let signature = decode(signature)?;
        Ok(Self { algorithm, header, claims, text, signature })
    }
}

fn over(what: &'static str, got: usize, limit: usize) -> Refusal {
    let (got, limit) = (got as u64, limit as u64);
    Refusal::because(Reason::TokenTooLarge, Detail::Over { what, got, limit })
}

/// Header, payload and signature. RFC 7515 §7.1; five parts are a JWE (RFC 7516 §7.1), which we do not read.
fn parts(token: &[u8]) -> Result<[&[u8]; 3], Refusal> {
    // As text, in which a dot is looked for in words and not byte by byte.
    let token = core::str::from_utf8(token).map_err(|_| malformed("not base64url"))?;
    let mut parts = token.split('.').map(str::as_bytes);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok([header, payload, signature]),
        (_, _, _, Some(_)) => Err(malformed("more than three parts: encrypted tokens are not read")),
        _ => Err(malformed("not three parts")),
    }
}

/// Whether a reader that is less strict than we are could take a token for a signed one: three parts or more, of which the first begins as a JSON
/// object does in base64. (A blank before it changes what is signed.) An encrypted one has five, and says so in `enc` (RFC 7516 §4.1.2).
pub fn passes_for_signed(token: &[u8]) -> bool {
    let mut parts = token.split(|&b| b == b'.');
    let header = parts.next().unwrap_or_default();
    let others = parts.count();
    // What no base64 holds, some readers pass over.
    let mut letters = header.iter().filter(|&&b| b.is_ascii_alphanumeric());
    let begin = (letters.next(), letters.next(), letters.next());
    // `{"` and `{` with one of JSON's blanks behind it.
    let is_object = matches!(
        begin,
        (Some(b'e'), Some(b'y'), Some(b'A'..=b'D' | b'I'..=b'L'))
            | (Some(b'e'), Some(b'w'), Some(b'0'..=b'3' | b'k'..=b'r'))
    );
    let header = || base64url(header).and_then(|text| object(&text).ok());
    let is_encrypted = || others == 4 && header().is_some_and(|header| header.get("enc").is_some());
    others >= 2 && is_object && !is_encrypted()
}

/// base64url as RFC 7515 §2 has it: no padding, no blanks, no line breaks; and no other text for the same bytes, so
/// trailing bits are zero (RFC 4648 §3.5).
pub(in crate::guards::identity) fn base64url(part: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn decode(part: &[u8]) -> Result<Vec<u8>, Refusal> {
    base64url(part).ok_or(malformed("not base64url"))
}

fn object(text: &[u8]) -> Result<Json, Refusal> {
    // The parser's own message may hold bytes of the token; it goes no further.
    match Json::parse(text, BOUNDS) {
        Ok(object @ Json::Map(_)) => Ok(object),
        Ok(_) => Err(malformed("not a JSON object")),
        Err(_) => Err(malformed("not JSON, a key twice, too deep, or too many values")),
    }
}

/// RFC 7515 §4.1.11: a recipient that does not understand what `crit` names MUST reject. We understand no extension, so
/// `crit` is refused whatever it holds. `b64` (RFC 7797) changes what is signed; it must stand in `crit`, and is refused
/// without it too.
fn refuse_critical(header: &Json) -> Result<(), Refusal> {
    for name in ["crit", "b64"] {
        if header.get(name).is_some() {
            return Err(Refusal::because(Reason::TokenCritical, Detail::Fact(name)));
        }
    }
    Ok(())
}

fn algorithm(header: &Json) -> Result<Algorithm, Refusal> {
    header.get("alg").and_then(Json::as_text).and_then(Algorithm::named).ok_or_else(|| {
        let fact = Detail::Fact("`alg` is missing, or names nothing that this gateway checks");
        Refusal::because(Reason::AlgorithmUnaccepted, fact)
    })
}

fn text_of<'h>(header: &'h Json, name: &'static str, reason: Reason) -> Result<Option<&'h str>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::because(reason, Detail::Fact("a header parameter of the wrong type"))),
    }
}

/// A media type in the form in which `typ` is compared. RFC 7515 §4.1.9: without case, and as if `application/` stood
/// before a value that holds no `/`.
pub fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => typ,
    }
}
