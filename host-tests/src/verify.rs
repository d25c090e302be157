//! Whose signature is that, says a proxy? Envoy's `verify_signature`, by other code than the filter's own.
//!
//! Argument: protobuf `{1 hash_function, 2 public_key (SPKI DER), 3 signature, 4 text}`; result: `{1 result, 2 error}`.
//! Like Envoy's it knows RSASSA-PKCS1-v1_5 and ECDSA in DER, takes the key type from the key and the hash from the caller.

use portcullis_filter::host::Verdict;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

/// DER of the object identifiers that a `SubjectPublicKeyInfo` names.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// Checks a signature as the host would.
pub fn verify(hash: &str, spki: &[u8], signed: &[u8], text: &[u8]) -> Verdict {
    let Some((algorithm, key)) = algorithm(hash, spki) else {
        return Verdict::Invalid;
    };
    match UnparsedPublicKey::new(algorithm, key).verify(text, signed) {
        Ok(()) => Verdict::Valid,
        Err(_) => Verdict::Invalid,
    }
}

/// What Envoy says of a signature that is not the key's.
const ERROR: &[u8] = b"Failed to verify digest. Error code: 0";

/// Serves the foreign function: `None` if the argument is no message of the form above.
pub fn verify_message(argument: &[u8]) -> Option<Vec<u8>> {
    let mut fields = [&[][..]; 5];
    let mut rest = argument;
    while !rest.is_empty() {
        let (tag, after) = varint(rest)?;
        let (length, after) = varint(after)?;
        let (value, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        (tag & 7 == 2).then_some(())?;
        *fields.get_mut(usize::try_from(tag >> 3).ok()?)? = value;
        rest = after;
    }
    let [_, hash, spki, signed, text] = fields;
    let hash = std::str::from_utf8(hash).ok()?;
    if verify(hash, spki, signed, text) == Verdict::Valid {
        return Some(vec![0x08, 0x01]);
    }
    let mut result = vec![0x12, u8::try_from(ERROR.len()).ok()?];
    result.extend_from_slice(ERROR);
    Some(result)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

fn algorithm<'a>(hash: &str, spki: &'a [u8]) -> Option<(&'static dyn VerificationAlgorithm, &'a [u8])> {
    let (names, key) = parts(spki)?;
    let holds = |oid: &[u8]| names.windows(oid.len()).any(|window| window == oid);
    let algorithm: &dyn VerificationAlgorithm = match hash.to_ascii_lowercase().as_str() {
        "sha256" if holds(RSA) => &signature::RSA_PKCS1_2048_8192_SHA256,
        "sha384" if holds(RSA) => &signature::RSA_PKCS1_2048_8192_SHA384,
        "sha512" if holds(RSA) => &signature::RSA_PKCS1_2048_8192_SHA512,
        "sha256" if holds(P256) => &signature::ECDSA_P256_SHA256_ASN1,
        "sha384" if holds(P256) => &signature::ECDSA_P256_SHA384_ASN1,
        "sha256" if holds(P384) => &signature::ECDSA_P384_SHA256_ASN1,
        "sha384" if holds(P384) => &signature::ECDSA_P384_SHA384_ASN1,
        _ => return None,
    };
    Some((algorithm, key))
}

/// RFC 5280 §4.1: `SEQUENCE { SEQUENCE { algorithm, parameters }, BIT STRING }`. The names, and the bits of the key.
fn parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (outer, _) = element(spki, 0x30)?;
    let (names, rest) = element(outer, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    Some((names, bits.strip_prefix(&[0])?))
}

/// The content of the DER element at the front, and what comes after it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [found, length, rest @ ..] = bytes else {
        return None;
    };
    (*found == tag).then_some(())?;
    if *length < 0x80 {
        return rest.split_at_checked(usize::from(*length));
    }
    let (digits, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
    let length = digits
        .iter()
        .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use jwt_simple::prelude::*;
    use portcullis_filter::host::Verdict;

    use super::{verify, verify_message};

    fn field(number: u8, value: &[u8], message: &mut Vec<u8>) {
        message.push(number << 3 | 2);
        let mut length = value.len();
        while length >= 0x80 {
            message.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap());
        message.extend_from_slice(value);
    }

    #[test]
    fn an_rsa_signature_of_another_library_is_taken_and_a_changed_one_is_not() {
        use base64::Engine as _;
        let pair = RS256KeyPair::generate(2048).unwrap();
        let token = pair.sign(Claims::create(Duration::from_secs(5))).unwrap();
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature).unwrap();
        let spki = pair.public_key().to_der().unwrap();
        assert_eq!(verify("sha256", &spki, &signature, text.as_bytes()), Verdict::Valid);
        assert_eq!(verify("sha512", &spki, &signature, text.as_bytes()), Verdict::Invalid);
        assert_eq!(verify("sha256", &spki, &signature, b"other"), Verdict::Invalid);
        assert_eq!(verify("sha256", b"no key", &signature, text.as_bytes()), Verdict::Invalid);

        let mut message = Vec::new();
        for (number, value) in [(1, &b"sha256"[..]), (2, &spki), (3, &signature), (4, text.as_bytes())] {
            field(number, value, &mut message);
        }
        assert_eq!(verify_message(&message), Some(vec![8, 1]));
        let last = message.len() - 1;
        message[last] ^= 1;
        assert!(verify_message(&message).unwrap().starts_with(&[0x12]));
        assert_eq!(verify_message(&[0xff]), None);
    }
}
