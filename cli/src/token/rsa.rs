//! An RSA key between its two forms: the DER of RFC 8017 §A.1.2, which the library speaks, and a JWK (RFC 7518 §6.3).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// The members of a private RSA JWK, in the order of `RSAPrivateKey`.
const MEMBERS: [&str; 8] = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const SEQUENCE: u8 = 0x30;

/// The private and the public JWK of a key in DER.
pub(super) fn jwks(der: &[u8]) -> Result<(Map<String, Value>, Map<String, Value>), String> {
    let integers = integers(der).ok_or("the library wrote a key that is no RSAPrivateKey")?;
    let mut private = Map::new();
    private.insert("kty".to_owned(), "RSA".into());
    // The first integer is the version.
    for (name, integer) in MEMBERS.into_iter().zip(integers.iter().skip(1)) {
        private.insert(name.to_owned(), URL_SAFE_NO_PAD.encode(integer).into());
    }
    let public = ["kty", "n", "e"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), private.get(name)?.clone())))
        .collect();
    Ok((private, public))
}

/// The DER of a private JWK.
pub(super) fn der(jwk: &Map<String, Value>) -> Result<Vec<u8>, String> {
    let mut content = vec![INTEGER, 1, 0];
    for name in MEMBERS {
        let text = jwk.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is missing"))?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("`{name}`: {error}"))?;
        let mut integer = bytes;
        // A first bit of one would make it negative.
        if integer.first().is_none_or(|first| *first >= 0x80) {
            integer.insert(0, 0);
        }
        content.extend(element(INTEGER, &integer));
    }
    Ok(element(SEQUENCE, &content))
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1);
    let digits = &length[significant..];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
    }
    out.extend_from_slice(digits);
    out.extend_from_slice(content);
    out
}

/// The integers of an `RSAPrivateKey`, bare or within PKCS #8 (RFC 5208 §5), without sign and leading zeros.
fn integers(der: &[u8]) -> Option<Vec<&[u8]>> {
    let (SEQUENCE, mut content, _) = split(der)? else {
        return None;
    };
    let mut found = Vec::new();
    while !content.is_empty() {
        match split(content)? {
            (INTEGER, integer, rest) => {
                found.push(integer.strip_prefix(&[0]).unwrap_or(integer));
                content = rest;
            }
            // PKCS #8 has the algorithm behind the version, and then the key.
            (SEQUENCE, _, rest) => {
                let (OCTETS, key, _) = split(rest)? else {
                    return None;
                };
                return integers(key);
            }
            _ => return None,
        }
    }
    Some(found)
}

/// The first element: its tag, its content, and what follows.
fn split(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = digits
            .iter()
            .try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)))?;
        (length, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
