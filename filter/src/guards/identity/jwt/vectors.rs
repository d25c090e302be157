//! The published examples: keys whose private parts are in the RFCs, and what was signed with them.
//!
//! Tests sign with these keys too, so that no key has to be made.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, RSAPublicKeyLike as _,
};
use jwt_simple::algorithms::{
    ES256PublicKey, ES384PublicKey, HS256Key, HS384Key, HS512Key, MACLike as _, RS256PublicKey,
};
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use superboring::bn::BigNum;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Private};
use superboring::rsa::{Padding, Rsa};

use super::algorithm::{Algorithm, Family, Hash};
use super::compact::Compact;
use super::keys::KeySet;
use super::signature::holds;
use crate::decision::Reason;
use crate::host::{Verdict, Verifier};
use crate::secret::Secret;
use crate::testing::test;

/// RFC 7515 A.1: the key of HS256.
pub(crate) const SECRET: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// RFC 7515 A.2: the RSA key, `n`, `d`, `p`, `q`, `dp`, `dq`, `qi`.
pub(crate) const RSA: [&str; 7] = [
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
    "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ",
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc",
    "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc",
    "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0",
    "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU",
    "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U",
];
/// RFC 7515 A.3: the P-256 key, `x`, `y`, `d`.
pub(crate) const P256: [&str; 3] = [
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
];
/// RFC 8037 A.1: the Ed25519 key, `x`, `d`.
pub(crate) const ED25519: [&str; 2] =
    ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"];
/// A P-384 key of our own: the scalar is this byte 48 times.
const P384_SCALAR: [u8; 48] = [7; 48];

const A1_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const A2_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const A3_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const A4_TOKEN: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
const RFC8037_A4_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
/// RFC 7520 §3.3 (`n`) and §4.2.
const RFC7520_RSA: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";
const RFC7520_4_2_TOKEN: &str = "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw";

pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A host without the function: every signature is checked in wasm.
pub(crate) struct NoHost;

impl Verifier for NoHost {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

/// Envoy's function, as it is (host fact H3): the key's type comes from the key, RSA is always PKCS#1 v1.5, an ECDSA
/// signature is DER, and any hash goes with any curve.
pub(crate) struct BoringHost;

impl Verifier for BoringHost {
    fn verify_signature(&self, hash: &'static str, spki: &[u8], signature: &[u8], text: &[u8]) -> Verdict {
        let (digest, hashed) = match hash {
            "sha256" => (MessageDigest::sha256(), hmac_sha256::Hash::hash(text).to_vec()),
            "sha384" => (MessageDigest::sha384(), hmac_sha512::sha384::Hash::hash(text).to_vec()),
            "sha512" => (MessageDigest::sha512(), hmac_sha512::Hash::hash(text).to_vec()),
            other => panic!("{other} is not supported."),
        };
        let valid = if let Ok(key) = RS256PublicKey::from_der(spki) {
            let key = PKey::from_rsa(key.public_key().as_ref().clone()).unwrap();
            let mut verifier = superboring::sign::Verifier::new(digest, &key).unwrap();
            verifier.set_rsa_padding(Padding::PKCS1).unwrap();
            verifier.update(text).unwrap();
            verifier.verify(signature).unwrap_or(false)
        } else if let Ok(key) = ES256PublicKey::from_der(spki) {
            p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify_prehash(&hashed, &signature).is_ok())
        } else if let Ok(key) = ES384PublicKey::from_der(spki) {
            p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.public_key().as_ref().verify_prehash(&hashed, &signature).is_ok())
        } else {
            panic!("Failed to initialize digest verify.")
        };
        if valid { Verdict::Valid } else { Verdict::Invalid }
    }
}

fn rsa_private() -> PKey<Private> {
    let number = |text: &str| BigNum::from_slice(&unbase64(text)).unwrap();
    let [modulus, exponent, p, q, dp, dq, qi] = RSA.map(number);
    let public = BigNum::from_slice(&[1, 0, 1]).unwrap();
    PKey::from_rsa(
        Rsa::<Private>::from_private_components(modulus, public, exponent, p, q, dp, dq, qi).unwrap(),
    )
    .unwrap()
}

/// Signs with the one key that there is for the algorithm's family.
pub(crate) fn sign(algorithm: Algorithm, text: &[u8]) -> Vec<u8> {
    match algorithm.family() {
        Family::Rsa => {
            let digest = match algorithm.hash() {
                Hash::Sha256 => MessageDigest::sha256(),
                Hash::Sha384 => MessageDigest::sha384(),
                Hash::Sha512 => MessageDigest::sha512(),
            };
            let key = rsa_private();
            let mut signer = superboring::sign::Signer::new(digest, &key).unwrap();
            let padding = if algorithm.is_pss() { Padding::PKCS1_PSS } else { Padding::PKCS1 };
            signer.set_rsa_padding(padding).unwrap();
            signer.update(text).unwrap();
            signer.sign_to_vec().unwrap()
        }
        Family::P256 => {
            let key = p256::ecdsa::SigningKey::from_slice(&unbase64(P256[2])).unwrap();
            let signature: p256::ecdsa::Signature = key.sign_prehash(&hmac_sha256::Hash::hash(text)).unwrap();
            signature.to_bytes().to_vec()
        }
        Family::P384 => {
            let key = p384::ecdsa::SigningKey::from_slice(&P384_SCALAR).unwrap();
            let signature: p384::ecdsa::Signature =
                key.sign_prehash(&hmac_sha512::sha384::Hash::hash(text)).unwrap();
            signature.to_bytes().to_vec()
        }
        Family::Ed25519 => {
            let seed = ed25519_compact::Seed::from_slice(&unbase64(ED25519[1])).unwrap();
            ed25519_compact::KeyPair::from_seed(seed).sk.sign(text, None).to_vec()
        }
        Family::Hmac => hmac(algorithm, &unbase64(SECRET), text),
    }
}

pub(crate) fn hmac(algorithm: Algorithm, secret: &[u8], text: &[u8]) -> Vec<u8> {
    match algorithm.hash() {
        Hash::Sha256 => HS256Key::from_bytes(secret).authentication_tag(text),
        Hash::Sha384 => HS384Key::from_bytes(secret).authentication_tag(text),
        Hash::Sha512 => HS512Key::from_bytes(secret).authentication_tag(text),
    }
}

/// The public key as a JWK, with further members (`"kid":"1",`) in front.
pub(crate) fn jwk(family: Family, members: &str) -> String {
    match family {
        Family::Rsa => format!(r#"{{{members}"kty":"RSA","n":"{}","e":"AQAB"}}"#, RSA[0]),
        Family::P256 => {
            format!(r#"{{{members}"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, P256[0], P256[1])
        }
        Family::P384 => {
            let key = p384::ecdsa::SigningKey::from_slice(&P384_SCALAR).unwrap();
            let point = key.verifying_key().to_sec1_point(false);
            let (x, y) = point.as_bytes()[1..].split_at(48);
            let (x, y) = (base64(x), base64(y));
            format!(r#"{{{members}"kty":"EC","crv":"P-384","x":"{x}","y":"{y}"}}"#)
        }
        Family::Ed25519 => format!(r#"{{{members}"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, ED25519[0]),
        Family::Hmac => format!(r#"{{{members}"kty":"oct","k":"{SECRET}"}}"#),
    }
}

pub(crate) fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn keys_for(family: Family) -> KeySet {
    if family == Family::Hmac {
        return KeySet::secret(vec![Secret::new(unbase64(SECRET))]);
    }
    KeySet::read(set(&[jwk(family, "")]).as_bytes()).unwrap().0
}

/// Both ways of checking, which must agree.
fn both(keys: &KeySet, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
    let key = keys.choose(None, algorithm).unwrap();
    let by_host = holds(key, algorithm, text, signature, &BoringHost);
    assert_eq!(by_host, holds(key, algorithm, text, signature, &NoHost), "the two ways differ");
    by_host
}

fn halves(token: &str) -> (&[u8], Vec<u8>) {
    let (text, signature) = token.rsplit_once('.').unwrap();
    (text.as_bytes(), unbase64(signature))
}

#[test]
fn published_examples() {
    let rfc7520 =
        KeySet::read(set(&[format!(r#"{{"kty":"RSA","n":"{RFC7520_RSA}","e":"AQAB"}}"#)]).as_bytes())
            .unwrap()
            .0;
    for (name, keys, algorithm, token) in [
        ("RFC 7515 A.1", keys_for(Family::Hmac), Algorithm::HS256, A1_TOKEN),
        ("RFC 7515 A.2", keys_for(Family::Rsa), Algorithm::RS256, A2_TOKEN),
        ("RFC 7515 A.3", keys_for(Family::P256), Algorithm::ES256, A3_TOKEN),
        ("RFC 8037 A.4", keys_for(Family::Ed25519), Algorithm::EdDSA, RFC8037_A4_TOKEN),
        ("RFC 7520 4.2", rfc7520, Algorithm::PS384, RFC7520_4_2_TOKEN),
    ] {
        let (text, signature) = halves(token);
        assert!(both(&keys, algorithm, text, &signature), "{name}");
        assert!(!both(&keys, algorithm, &text[1..], &signature), "{name}");
    }
    assert_eq!(Compact::parse(A4_TOKEN.as_bytes()).unwrap_err().reason, Reason::AlgorithmUnaccepted, "ES512");
    assert_eq!(
        sign(Algorithm::RS256, halves(A2_TOKEN).0),
        halves(A2_TOKEN).1,
        "RSASSA-PKCS1-v1_5 is deterministic"
    );
}

#[test]
fn every_algorithm_holds_and_breaks_in_both_ways() {
    let text = b"header.payload";
    for (name, algorithm) in Algorithm::WORDS {
        let keys = keys_for(algorithm.family());
        let good = sign(algorithm, text);
        assert!(both(&keys, algorithm, text, &good), "{name}");
        assert!(!both(&keys, algorithm, b"header.payloae", &good), "{name}: another text");
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bent = good.clone();
            bent[at] ^= 1;
            assert!(!both(&keys, algorithm, text, &bent), "{name}: bent at {at}");
        }
        for bad in [
            &[][..],
            &good[1..],
            &good[..good.len() - 1],
            &[&good[..], &[0]].concat(),
            &[&[0], &good[..]].concat(),
        ] {
            assert!(!both(&keys, algorithm, text, bad), "{name}: {} bytes", bad.len());
        }
        assert!(!both(&keys, algorithm, text, &vec![0; good.len()]), "{name}: zeros");
        assert!(!both(&keys, algorithm, text, &vec![0xff; good.len()]), "{name}: ones");
    }
}

#[test]
fn an_algorithm_never_meets_another_kind_of_key_nor_another_hash() {
    let text = b"header.payload";
    for (name, algorithm) in Algorithm::WORDS {
        for (other_name, other) in Algorithm::WORDS {
            let keys = keys_for(other.family());
            let key = keys.choose(None, other).unwrap();
            let signature = sign(algorithm, text);
            let same = algorithm == other;
            assert_eq!(holds(key, other, text, &signature, &BoringHost), same, "{name} as {other_name}");
            assert_eq!(holds(key, other, text, &signature, &NoHost), same, "{name} as {other_name}");
            if algorithm.family() != other.family() {
                assert!(
                    !holds(key, algorithm, text, &signature, &BoringHost),
                    "{name} with a key for {other_name}"
                );
            }
        }
    }
}

#[test]
fn ecdsa_signatures_that_are_none() {
    let text = b"header.payload";
    for (algorithm, size) in [(Algorithm::ES256, 32), (Algorithm::ES384, 48)] {
        let keys = keys_for(algorithm.family());
        let good = sign(algorithm, text);
        let (r, s) = good.split_at(size);
        let zero = vec![0; size];
        for bad in [[r, &zero].concat(), [&zero, s].concat(), [s, r].concat()] {
            assert!(!both(&keys, algorithm, text, &bad));
        }
        let der = match size {
            32 => p256::ecdsa::Signature::from_slice(&good).unwrap().to_der().as_bytes().to_vec(),
            _ => p384::ecdsa::Signature::from_slice(&good).unwrap().to_der().as_bytes().to_vec(),
        };
        assert!(!both(&keys, algorithm, text, &der), "DER in a token");
    }
    // Enough signatures that r and s come with their high bit set, and with zeros in front (one in 128 of each).
    let keys = keys_for(Family::P256);
    for n in 0..256_u32 {
        let text = n.to_be_bytes();
        let key = keys.choose(None, Algorithm::ES256).unwrap();
        assert!(holds(key, Algorithm::ES256, &text, &sign(Algorithm::ES256, &text), &BoringHost), "{n}");
    }
}

#[test]
fn ed25519_keys_and_signatures_of_small_order_are_none() {
    // The neutral element, and a point of order 2: RFC 8032 §5.1.7 with these would hold for many messages.
    let mut neutral = [0_u8; 32];
    neutral[0] = 1;
    let mut order_two = [0xff_u8; 32];
    order_two[0] = 0xec;
    order_two[31] = 0x7f;
    // A second name of the neutral element (its `y` is p + 1), one of `y` = 3 (p + 3), and a negative zero.
    let [mut above, mut three, mut negative] = [order_two, order_two, neutral];
    above[0] = 0xee;
    three[0] = 0xf0;
    negative[31] = 0x80;
    for point in [neutral, order_two, [0; 32], [0xff; 32], above, three, negative] {
        let jwks = set(&[format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64(point))]);
        assert!(KeySet::read(jwks.as_bytes()).is_err(), "{point:?}");
    }
    // Points that are of no use are told from those that are by these bytes alone: `y` = 3, as it is written, is a key.
    let mut plain = [0; 32];
    plain[0] = 3;
    let jwks = set(&[format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64(plain))]);
    assert!(KeySet::read(jwks.as_bytes()).is_ok());
    // `S` plus the group's order is the same number to a lenient reader.
    let keys = keys_for(Family::Ed25519);
    let mut signature = sign(Algorithm::EdDSA, b"text");
    let order = unbase64("7dP1XBpjEljWnPei3vneFAAAAAAAAAAAAAAAAAAAABA");
    let mut carry = 0_u16;
    for (digit, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*digit) + u16::from(more) + carry;
        *digit = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert!(!both(&keys, Algorithm::EdDSA, b"text", &signature));
}

#[test]
fn ed25519_signatures_of_a_signer_who_plays_with_them() {
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT as BASE, EIGHT_TORSION};
    use curve25519_dalek::scalar::{Scalar, clamp_integer};

    // The key of RFC 8032 §7.1, whose secret the signer knows.
    let (keys, text) = (keys_for(Family::Ed25519), b"text");
    let public = unbase64(ED25519[0]);
    let hash = hmac_sha512::Hash::hash(unbase64(ED25519[1]));
    let secret = Scalar::from_bytes_mod_order(clamp_integer(hash[..32].try_into().unwrap()));
    assert_eq!((BASE * secret).compress().to_bytes().as_slice(), public);
    let nonce = Scalar::from(5_u8);
    let signed = |nonce: Scalar, point: [u8; 32]| {
        let challenge = hmac_sha512::Hash::hash([&point, public.as_slice(), text].concat());
        let s = nonce + Scalar::from_bytes_mod_order_wide(&challenge) * secret;
        [point, s.to_bytes()].concat()
    };
    assert!(both(&keys, Algorithm::EdDSA, text, &signed(nonce, (BASE * nonce).compress().to_bytes())));
    for small in EIGHT_TORSION {
        // `R` of small order, with a nonce that is none. The neutral element is one that fits.
        assert!(!both(&keys, Algorithm::EdDSA, text, &signed(Scalar::ZERO, small.compress().to_bytes())));
        // What only holds when it is taken eight times, and so holds for some readers and not for others.
        let point = BASE * nonce + small;
        if small != EIGHT_TORSION[0] {
            assert!(!both(&keys, Algorithm::EdDSA, text, &signed(nonce, point.compress().to_bytes())));
        }
    }
}
