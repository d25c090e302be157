//! Did this key sign this text?
//!
//! RSASSA-PKCS1-v1_5 and ECDSA go to the host, which is several times faster (host fact H3); where it has no such
//! function, and for everything else, the check runs in wasm. Both ways accept the same signatures.
//!
//! In wasm `jwt-simple` makes the MACs; RSA and the curves are crates that it uses itself, or a newer or quicker one. Its
//! `verify_token` is not for us: that reads the header and the claims into types of its own and refuses tokens that RFC 7519 allows (a `jwk`
//! member that is an object, a numeric `jti`, a `typ` such as `secevent`) after we have judged them; here only the signature is left to judge.

use ed25519_dalek::{VerifyingKey, hazmat};
use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike as _};
use p256::ecdsa::signature::DigestVerifier as _;
use subtle::ConstantTimeEq as _;

use super::algorithm::{Algorithm, Hash};
use super::der;
use super::keys::{Key, Material};
use crate::host::{Verdict, Verifier};

/// Whether `signature` is `key`'s over `text`. A key of another family holds nothing.
pub fn holds(key: &Key, algorithm: Algorithm, text: &[u8], signature: &[u8], host: &impl Verifier) -> bool {
    if !key.serves(algorithm) {
        return false;
    }
    match &key.material {
        // RFC 8017 §8.1.2, §8.2.2 step 1: a signature is exactly as long as the modulus.
        Material::Rsa { key, .. } if signature.len() != key.bytes() => false,
        Material::Rsa { key, .. } if algorithm.is_pss() => key.holds_pss(algorithm.hash(), text, signature),
        Material::Rsa { spki, key } => asked(host, algorithm, spki, signature, text)
            .unwrap_or_else(|| key.holds_pkcs1(algorithm.hash(), text, signature)),
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
    asked(host, algorithm, spki, &der::ecdsa_signature(r, s), text).unwrap_or_else(in_wasm)
}

fn p256(key: &p256::ecdsa::VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = p256::ecdsa::Signature::from_slice(signature) else {
        return false;
    };
    let digest = |hash: &mut hmac_sha256::Hash| {
        hash.update(text);
        Ok(())
    };
    key.verify_digest(digest, &signature).is_ok()
}

fn p384(key: &p384::ecdsa::VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = p384::ecdsa::Signature::from_slice(signature) else {
        return false;
    };
    let digest = |hash: &mut hmac_sha512::sha384::Hash| {
        hash.update(text);
        Ok(())
    };
    key.verify_digest(digest, &signature).is_ok()
}

/// RFC 8032 §5.1.7 with what it leaves open shut: no `S` that is not reduced, no `R` that is not canonical or of small order. What the key must
/// be is seen when it is read.
fn ed25519(key: &VerifyingKey, text: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else {
        return false;
    };
    VerifyingKey::from_bytes(signature.r_bytes()).is_ok_and(|point| !point.is_weak())
        && hazmat::raw_verify::<hmac_sha512::Hash>(key, text, &signature).is_ok()
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
