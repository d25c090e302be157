//! What the host's check takes: public keys as `SubjectPublicKeyInfo` (RFC 5280 §4.1), and ECDSA signatures (RFC 3279 §2.2.3), in DER.

#[cfg(test)]
mod tests;

use super::rsa::significant;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// `rsaEncryption`, with its parameter that says nothing: RFC 8017 A.1.
const RSA: [u8; 15] = [0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];
/// `id-ecPublicKey` on a named curve, and the bit string up to the point's `x`: RFC 5480 §2.1.1, §2.2.
const P256: [u8; 27] = [
    0x30, 89, 0x30, 19, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    3, 1, 7, BIT_STRING, 66, 0, 4,
];
const P384: [u8; 24] = [
    0x30, 118, 0x30, 16, 0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 0x06, 5, 0x2b, 0x81, 4, 0, 34,
    BIT_STRING, 98, 0, 4,
];

/// An RSA key with the exponent 65537.
pub(super) fn rsa_key(modulus: &[u8]) -> Vec<u8> {
    let numbers = [integer(modulus), integer(&[1, 0, 1])].concat();
    let key = [&[0], tagged(SEQUENCE, &numbers).as_slice()].concat();
    tagged(SEQUENCE, &[&RSA, tagged(BIT_STRING, &key).as_slice()].concat())
}

/// A point on P-256: RFC 5480 §2.2, not compressed.
pub(super) fn p256_key(x: &[u8; 32], y: &[u8; 32]) -> Vec<u8> {
    [&P256[..], x, y].concat()
}

/// A point on P-384.
pub(super) fn p384_key(x: &[u8; 48], y: &[u8; 48]) -> Vec<u8> {
    [&P384[..], x, y].concat()
}

/// `Ecdsa-Sig-Value`: a sequence of two integers.
pub(super) fn ecdsa_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[integer(r), integer(s)].concat())
}

/// X.690 §8.3: without needless zeros in front, but with one where the number would else look negative.
fn integer(number: &[u8]) -> Vec<u8> {
    let digits = significant(number);
    match digits.first() {
        Some(first) if *first < 0x80 => tagged(INTEGER, digits),
        _ => tagged(INTEGER, &[&[0], digits].concat()),
    }
}

/// X.690 §8.1.3, for a body of less than 64 KiB; the longest is an RSA key of 4096 bits.
fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let [.., high, low] = body.len().to_be_bytes();
    let head: &[u8] = match (high, low) {
        (0, ..0x80) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, body].concat()
}
