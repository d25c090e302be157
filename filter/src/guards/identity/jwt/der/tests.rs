//! Byte for byte what a library writes.

use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP384PublicKeyLike as _, ES256PublicKey, ES384PublicKey, RS256PublicKey,
};

use super::{ecdsa_signature, p256_key, p384_key, rsa_key};
use crate::testing::test;

#[test]
fn keys_of_rsa() {
    // Where the bits are a multiple of 8, the highest is the first byte's highest: the number takes a zero in front.
    for bits in [2048, 2049, 2055, 2056, 3071, 3072, 4089, 4095, 4096] {
        let mut modulus = vec![0xa5_u8; usize::div_ceil(bits, 8)];
        modulus[0] = 0xff >> (modulus.len() * 8 - bits);
        let theirs = RS256PublicKey::from_components(&modulus, &[1, 0, 1]).unwrap().to_der().unwrap();
        assert_eq!(rsa_key(&modulus), theirs, "{bits}");
        assert_eq!(rsa_key(&[&[0, 0], modulus.as_slice()].concat()), theirs, "{bits}, with zeros in front");
    }
}

#[test]
fn points() {
    for number in 1..=8 {
        let secret = p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let theirs = ES256PublicKey::from_bytes(point.as_bytes()).unwrap().public_key().to_der().unwrap();
        let [x, y] = [point.x(), point.y()].map(|number| (*number.unwrap()).into());
        assert_eq!(p256_key(&x, &y), theirs, "P-256, {number}");

        let secret = p384::ecdsa::SigningKey::from_slice(&[number; 48]).unwrap();
        let point = secret.verifying_key().to_sec1_point(false);
        let theirs = ES384PublicKey::from_bytes(point.as_bytes()).unwrap().public_key().to_der().unwrap();
        let [x, y] = [point.x(), point.y()].map(|number| (*number.unwrap()).into());
        assert_eq!(p384_key(&x, &y), theirs, "P-384, {number}");
    }
}

#[test]
fn signatures_of_points() {
    // Each half with its highest bit set, without, and with a zero in front.
    for first in [0xff, 0x80, 0x7f, 1, 0] {
        for second in [0xff, 0x80, 0x7f, 1, 0] {
            let (mut r, mut s) = ([0x42; 32], [0x99; 32]);
            (r[0], s[0]) = (first, second);
            // The order of P-256 begins with ffffffff00000000, so both are below it.
            let theirs = p256::ecdsa::Signature::from_scalars(r, s).unwrap().to_der();
            assert_eq!(ecdsa_signature(&r, &s), theirs.as_bytes(), "P-256, {first:x} {second:x}");
            let (r, s) = ([&[0; 16], &r[..]].concat(), [&s[..], &[7; 16]].concat());
            let theirs = p384::ecdsa::Signature::from_slice(&[r.as_slice(), &s].concat()).unwrap().to_der();
            assert_eq!(ecdsa_signature(&r, &s), theirs.as_bytes(), "P-384, {first:x} {second:x}");
        }
    }
}

/// X.690 §8.1.3 and §10.1.
#[test]
fn lengths_in_the_fewest_bytes() {
    for (length, head) in [
        (0, &[4, 0][..]),
        (0x7f, &[4, 0x7f]),
        (0x80, &[4, 0x81, 0x80]),
        (0xff, &[4, 0x81, 0xff]),
        (0x100, &[4, 0x82, 1, 0]),
        (0xffff, &[4, 0x82, 0xff, 0xff]),
    ] {
        let body = vec![9; length];
        assert_eq!(super::tagged(4, &body), [head, &body].concat(), "{length}");
    }
}
