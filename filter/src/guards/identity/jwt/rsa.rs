//! Did this RSA key sign this text? RSASSA-PSS, and RSASSA-PKCS1-v1_5 where the host has no check of its own.
//!
//! All that passes through here is public: the key, the text and the signature. So nothing needs to take the same time for all of
//! them, or to be wiped, and the exponent is the one that a key may have. What is left is a hundred lines; the `rsa` crate's numbers, made
//! for private keys too, are 60 KB (0.9) to 90 KB (0.10) of the plugin and take eight and three times as long. What is tested here
//! was signed by OpenSSL, and by that crate.

#[cfg(test)]
mod tests;

use std::cell::OnceCell;

use super::algorithm::Hash;
use crate::limits;

/// A public key of [`limits::RSA_BITS`] with the exponent 65537.
#[derive(Debug)]
pub(super) struct PublicKey {
    /// As all numbers here: digits of 32 bits, the lowest first. The last one is not zero, the first one is odd.
    modulus: Vec<u32>,
    bits: usize,
    /// What cancels the lowest digit: its inverse modulo 2³², negated.
    inverse: u32,
    /// R² modulo the modulus, for R of [`PublicKey::product`]. Made when it is first needed: where the host checks, it never is.
    square: OnceCell<Vec<u32>>,
}

impl PublicKey {
    /// From the numbers' bytes, the highest first; zeros in front are none of theirs. `None` for a key that is not checked here.
    pub(super) fn read(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = significant(modulus);
        let spare = modulus.first()?.leading_zeros();
        let bits = modulus.len().checked_mul(8)?.checked_sub(usize::try_from(spare).ok()?)?;
        let is_odd = modulus.last()? & 1 == 1;
        if !(limits::RSA_BITS.contains(&bits) && is_odd && significant(exponent) == [1, 0, 1]) {
            return None;
        }
        let modulus = digits(modulus);
        let inverse = negated_inverse(*modulus.first()?);
        Some(Self { modulus, bits, inverse, square: OnceCell::new() })
    }

    /// Bytes of the modulus, and of each of its signatures.
    pub(super) fn bytes(&self) -> usize {
        self.bits.div_ceil(8)
    }

    /// RFC 8017 §8.2.2.
    pub(super) fn holds_pkcs1(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        self.open(signature).is_some_and(|opened| opened == self.padded(hash, &digest(hash, &[text])))
    }

    /// RFC 8017 §8.1.2. RFC 7518 §3.5: the salt is as long as the hash, and MGF1 takes the same hash.
    pub(super) fn holds_pss(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        self.open(signature)
            .and_then(|opened| self.is_sealed(hash, &digest(hash, &[text]), &opened))
            .unwrap_or(false)
    }

    /// EMSA-PKCS1-v1_5 (RFC 8017 §9.2). It is made and compared whole, and never taken apart: whoever reads it leniently admits forgeries
    /// (Bleichenbacher, 2006).
    fn padded(&self, hash: Hash, digest: &[u8]) -> Vec<u8> {
        let (number, info, size) = match hash {
            Hash::Sha256 => (1, 0x31, 32),
            Hash::Sha384 => (2, 0x41, 48),
            Hash::Sha512 => (3, 0x51, 64),
        };
        // `DigestInfo` of §9.2, note 1: it differs in the last arc of the hash's name and in the lengths.
        #[rustfmt::skip]
        let info = [
            0, 0x30, info, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, number, 0x05, 0x00, 0x04, size,
        ];
        let filling = self.bytes().saturating_sub(2).saturating_sub(info.len()).saturating_sub(digest.len());
        [&[0, 1], vec![0xff; filling].as_slice(), &info, digest].concat()
    }

    /// EMSA-PSS-VERIFY (RFC 8017 §9.1.2), of the message's digest; `None` where the parts do not even fit.
    fn is_sealed(&self, hash: Hash, message: &[u8], opened: &[u8]) -> Option<bool> {
        // The encoded message has a bit less than the modulus, and so perhaps a byte less.
        let bits = self.bits.checked_sub(1)? % 8;
        let (encoded, beyond) = match bits {
            0 => (opened.strip_prefix(&[0])?, 0),
            bits => (opened, 0xff_u8 << bits),
        };
        let (masked, seal) = split_end(encoded.strip_suffix(&[0xbc])?, hash.size())?;
        if masked.first()? & beyond != 0 {
            return Some(false);
        }
        let mut block = masked.to_vec();
        unmask(hash, seal, &mut block);
        *block.first_mut()? &= !beyond;
        let (front, salt) = split_end(&block, hash.size())?;
        let (one, zeros) = front.split_last()?;
        let is_padded = *one == 1 && zeros.iter().all(|&zero| zero == 0);
        Some(is_padded && digest(hash, &[&[0; 8], message, salt]) == seal)
    }

    /// RSAVP1 (RFC 8017 §5.2.2): the signature to the power of 65537, as long as the modulus. `None` for a number that is not below it.
    fn open(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let number = digits(signature);
        if signature.len() != self.bytes() || !is_below(&number, &self.modulus) {
            return None;
        }
        let mut power = self.product(&number, self.square());
        for _ in 0..16 {
            power = self.product(&power, &power);
        }
        // The last factor is without R, so that R is gone from what comes out.
        let opened = self.product(&power, &number);
        let bytes: Vec<u8> = opened.iter().rev().flat_map(|digit| digit.to_be_bytes()).collect();
        split_end(&bytes, self.bytes()).map(|(_, opened)| opened.to_vec())
    }

    /// `a · b / R` modulo the modulus, where R is 2³² to the power of its number of digits (Montgomery, 1985). Both are below it, and so is
    /// what comes out. Each digit of `a` adds a multiple of `b`, and the multiple of the modulus that makes the lowest digit zero.
    fn product(&self, a: &[u32], b: &[u32]) -> Vec<u32> {
        let size = self.modulus.len();
        let mut sum = vec![0_u32; size.saturating_mul(2)];
        let mut above = 0;
        for (at, &digit) in a.iter().enumerate() {
            let Some((window, [next, ..])) = sum.get_mut(at..).and_then(|sum| sum.split_at_mut_checked(size))
            else {
                break;
            };
            let carry = self.add_multiples(window, digit, b).wrapping_add(above);
            *next = low(carry);
            above = carry >> 32;
        }
        let mut product = sum.split_off(size);
        if above != 0 || !is_below(&product, &self.modulus) {
            subtract(&mut product, &self.modulus);
        }
        product
    }

    /// Adds `digit · b` to `sum`, and what makes the lowest digit of that zero. Gives what is beyond the highest digit, below 2³³.
    ///
    /// Nothing wraps but the factor, which is meant to: `(2³² - 1)² + 2 · (2³² - 1)` is the highest number of 64 bits.
    fn add_multiples(&self, sum: &mut [u32], digit: u32, b: &[u32]) -> u64 {
        let lowest = sum.iter().zip(b).next().map_or(0, |(&sum, &b)| sum.wrapping_add(digit.wrapping_mul(b)));
        let (digit, factor) = (u64::from(digit), u64::from(lowest.wrapping_mul(self.inverse)));
        let (mut carry, mut other) = (0_u64, 0_u64);
        for ((sum, &b), &modulus) in sum.iter_mut().zip(b).zip(&self.modulus) {
            let added = digit.wrapping_mul(u64::from(b)).wrapping_add(u64::from(*sum)).wrapping_add(carry);
            carry = added >> 32;
            let both =
                factor.wrapping_mul(u64::from(modulus)).wrapping_add(added & DIGIT).wrapping_add(other);
            other = both >> 32;
            *sum = low(both);
        }
        carry.wrapping_add(other)
    }

    /// R² modulo the modulus. The highest power of two below it is doubled up to 2ᵏ · R; each square of that, divided by R, doubles the k, until
    /// 2ᵏ is R.
    fn square(&self) -> &[u32] {
        self.square.get_or_init(|| {
            let size = self.modulus.len();
            let spare = self.modulus.last().map_or(0, |highest| highest.leading_zeros());
            let power = size.saturating_mul(32);
            let squares = power.trailing_zeros();
            let doublings = (power >> squares).saturating_add(1).saturating_add(spare as usize);
            let mut number = vec![0; size];
            if let Some(highest) = number.last_mut() {
                *highest = 1 << 31 >> spare;
            }
            // At most 127 + 32 doublings, and 12 squares.
            for _ in 0..doublings {
                self.double(&mut number);
            }
            for _ in 0..squares {
                number = self.product(&number, &number);
            }
            number
        })
    }

    fn double(&self, number: &mut [u32]) {
        let mut carry = 0;
        for digit in number.iter_mut() {
            let above = *digit >> 31;
            *digit = *digit << 1 | carry;
            carry = above;
        }
        if carry != 0 || !is_below(number, &self.modulus) {
            subtract(number, &self.modulus);
        }
    }
}

/// The bits of a digit.
const DIGIT: u64 = 0xffff_ffff;

const fn low(number: u64) -> u32 {
    (number & DIGIT) as u32
}

/// A number's bytes without the zeros in front.
pub(super) fn significant(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn digits(bytes: &[u8]) -> Vec<u32> {
    bytes
        .rchunks(4)
        .map(|digit| digit.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
        .collect()
}

/// Each step doubles the number of bits that are right; of an odd number three are its own inverse's.
fn negated_inverse(odd: u32) -> u32 {
    let step = |inverse: u32| inverse.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(inverse)));
    step(step(step(step(odd)))).wrapping_neg()
}

/// Of two numbers with as many digits.
fn is_below(number: &[u32], limit: &[u32]) -> bool {
    number.len() == limit.len() && number.iter().rev().lt(limit.iter().rev())
}

/// What is borrowed in the end is the bit above the number, which is dropped.
fn subtract(number: &mut [u32], other: &[u32]) {
    let mut borrow = false;
    for (digit, &other) in number.iter_mut().zip(other) {
        let (less, first) = digit.overflowing_sub(other);
        let (less, second) = less.overflowing_sub(u32::from(borrow));
        (*digit, borrow) = (less, first || second);
    }
}

/// The last `size` elements, and what is before them.
fn split_end(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(size)?)
}

/// MGF1 (RFC 8017 B.2.1), taken off what it was laid over.
fn unmask(hash: Hash, seed: &[u8], bytes: &mut [u8]) {
    for (counter, chunk) in (0_u32..).zip(bytes.chunks_mut(hash.size())) {
        let mask = digest(hash, &[seed, &counter.to_be_bytes()]);
        chunk.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

fn digest(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let text = parts.concat();
    match hash {
        Hash::Sha256 => hmac_sha256::Hash::hash(&text).to_vec(),
        Hash::Sha384 => hmac_sha512::sha384::Hash::hash(&text).to_vec(),
        Hash::Sha512 => hmac_sha512::Hash::hash(&text).to_vec(),
    }
}
