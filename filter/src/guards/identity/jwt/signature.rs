//! Did this key sign this text?
//!
//! RSASSA-PKCS1-v1_5 and ECDSA go to the host, which is 9 to 60 times faster (host fact H3); where it has no such
//! function, and for everything else, the check runs in wasm. Both ways accept the same signatures.
//!
//! The in-wasm check uses the crates under `jwt-simple` directly and not its `verify_token`. That one reads the header
//! and the claims into types of its own and refuses tokens that RFC 7519 allows (a `jwk` member that is an object, a
//! numeric `jti`, a `typ` such as `secevent`) after we have judged them; here only the signature is left to judge.

use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, ES256PublicKey, ES384PublicKey,
    Ed25519PublicKey, EdDSAPublicKeyLike as _, HS256Key, HS384Key, HS512Key, MACLike as _,
};
use p256::ecdsa::signature::DigestVerifier as _;
use subtle::ConstantTimeEq as _;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Padding;

use super::algorithm::{Algorithm, Hash};
use super::keys::{Key, Material};
use crate::host::{Verdict, Verifier};

/// Whether `signature` is `key`'s over `text`. A key of another family holds nothing.
pub fn holds(key: &Key, algorithm: Algorithm, text: &[u8], signature: &[u8], host: &impl Verifier) -> bool {
    if !key.serves(algorithm) {
        return false;
    }
    match &key.material {
        // RFC 8017 §8.1.2, §8.2.2 step 1: a signature is exactly as long as the modulus.
        Material::Rsa { bytes, .. } if signature.len() != *bytes => false,
        Material::Rsa { key, .. } if algorithm.is_pss() => rsa(key, algorithm, text, signature),
        Material::Rsa { spki, key, .. } => asked(host, algorithm, spki, signature, text)
            .unwrap_or_else(|| rsa(key, algorithm, text, signature)),
        Material::P256 { spki, key } => {
            ecdsa(32, algorithm, spki, signature, text, host, || p256(key, text, signature))
        }
        Material::P384 { spki, key } => {
            ecdsa(48, algorithm, spki, signature, text, host, || p384(key, text, signature))
        }
        Material::Ed25519(key) => ed25519(key, text, signature),
        Material::Hmac(secrets) => {
            secrets.iter().any(|secret| hmac(secret.expose(), algorithm, text, signature))
        }
    }
}

/// What the host says; `None` if it has no such function.
fn asked(
    host: &impl Verifier,
    algorithm: Algorithm,
    spki: &[u8],
    signature: &[u8],
    text: &[u8],
) -> Option<bool> {
    match host.verify_signature(algorithm.hash().host_name(), spki, signature, text) {
        Verdict::Valid => Some(true),
        Verdict::Invalid => Some(false),
        Verdict::Unavailable => None,
    }
}

/// RFC 7518 §3.4: the signature is `r || s`, each as long as the field; anything else, DER too, is none.
fn ecdsa(
    size: usize,
    algorithm: Algorithm,
    spki: &[u8],
    signature: &[u8],
    text: &[u8],
    host: &impl Verifier,
    in_wasm: impl Fn() -> bool,
) -> bool {
    let Some((r, s)) = signature.split_at_checked(size).filter(|(_, s)| s.len() == size) else {
        return false;
    };
    asked(host, algorithm, spki, &der(r, s), text).unwrap_or_else(in_wasm)
}

/// `Ecdsa-Sig-Value` of RFC 3279 §2.2.3: a sequence of two integers. At most 2 + 2 · (2 + 49) bytes, so each length is one byte.
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let body = [integer(r), integer(s)].concat();
    tagged(0x30, &body)
}

/// X.690 §8.3: without needless zeros in front, but with one where the number would else look negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|&b| b != 0).unwrap_or(number.len());
    let digits = number.get(start..).unwrap_or_default();
    match digits.first() {
        Some(first) if *first < 0x80 => tagged(0x02, digits),
        _ => tagged(0x02, &[&[0], digits].concat()),
    }
}

fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap_or(u8::MAX);
    [&[tag, length], body].concat()
}

fn rsa(key: &PKey<Public>, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
    let digest = match algorithm.hash() {
        Hash::Sha256 => MessageDigest::sha256(),
        Hash::Sha384 => MessageDigest::sha384(),
        Hash::Sha512 => MessageDigest::sha512(),
    };
    // RFC 7518 §3.5: the salt is as long as the hash, and MGF1 takes the same hash; both are superboring's defaults.
    let padding = if algorithm.is_pss() { Padding::PKCS1_PSS } else { Padding::PKCS1 };
    let verify = || {
        let mut verifier = superboring::sign::Verifier::new(digest, key)?;
        verifier.set_rsa_padding(padding)?;
        verifier.update(text)?;
        verifier.verify(signature)
    };
    verify().unwrap_or(false)
}

fn p256(key: &ES256PublicKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = p256::ecdsa::Signature::from_slice(signature) else {
        return false;
    };
    let digest = |hash: &mut hmac_sha256::Hash| {
        hash.update(text);
        Ok(())
    };
    key.public_key().as_ref().verify_digest(digest, &signature).is_ok()
}

fn p384(key: &ES384PublicKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = p384::ecdsa::Signature::from_slice(signature) else {
        return false;
    };
    let digest = |hash: &mut hmac_sha512::sha384::Hash| {
        hash.update(text);
        Ok(())
    };
    key.public_key().as_ref().verify_digest(digest, &signature).is_ok()
}

/// ed25519-compact refuses an `S` that is not reduced, and points that are not canonical or of small order.
fn ed25519(key: &Ed25519PublicKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = ed25519_compact::Signature::from_slice(signature) else {
        return false;
    };
    key.public_key().as_ref().verify(text, &signature).is_ok()
}

/// Compared in constant time (RFC 7518 §3.2 refers to RFC 6151's and 2104's care): else the tag could be guessed byte by byte.
fn hmac(secret: &[u8], algorithm: Algorithm, text: &[u8], tag: &[u8]) -> bool {
    let expected = match algorithm.hash() {
        Hash::Sha256 => HS256Key::from_bytes(secret).authentication_tag(text),
        Hash::Sha384 => HS384Key::from_bytes(secret).authentication_tag(text),
        Hash::Sha512 => HS512Key::from_bytes(secret).authentication_tag(text),
    };
    // Slices of different lengths are not equal.
    expected.as_slice().ct_eq(tag).into()
}
