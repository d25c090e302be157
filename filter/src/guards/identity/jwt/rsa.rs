//! Did this RSA key sign this text? RSASSA-PSS, and RSASSA-PKCS1-v1_5 where the host has no check of its own.
//!
//! The numbers and both encodings are the `rsa` crate's. What stands here is which keys are ours, and that a key's constants are only
//! computed when it is asked: where the host checks, it never is.

#[cfg(test)]
mod tests;

use std::cell::OnceCell;

use ::rsa::BoxedUint;

use super::algorithm::Hash;
use crate::limits;

/// A public key of [`limits::RSA_BITS`] with the exponent 65537.
#[derive(Debug)]
pub(super) struct PublicKey {
    /// The highest byte first. The first one is not zero, the last one is odd.
    modulus: Box<[u8]>,
    bits: usize,
    /// The library's key. Of a number within these bounds there always is one.
    ready: OnceCell<Option<::rsa::PublicKey>>,
}

impl PublicKey {
    /// From the numbers' bytes, the highest first; zeros in front are none of theirs. `None` for a key that is not checked here.
    pub(super) fn read(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let modulus = significant(modulus);
        let spare = modulus.first()?.leading_zeros();
        let bits = modulus.len().checked_mul(8)?.checked_sub(usize::try_from(spare).ok()?)?;
        let is_odd = modulus.last()? & 1 == 1;
        (limits::RSA_BITS.contains(&bits) && is_odd && significant(exponent) == [1, 0, 1]).then(|| Self {
            modulus: modulus.into(),
            bits,
            ready: OnceCell::new(),
        })
    }

    /// Bytes of the modulus, and of each of its signatures.
    pub(super) fn bytes(&self) -> usize {
        self.modulus.len()
    }

    /// RFC 8017 §8.2.2.
    pub(super) fn holds_pkcs1(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        self.ready().is_some_and(|key| match hash {
            Hash::Sha256 => key.pkcs1v15_verify::<hmac_sha256::Hash>(text, signature).is_ok(),
            Hash::Sha384 => key.pkcs1v15_verify::<hmac_sha512::sha384::Hash>(text, signature).is_ok(),
            Hash::Sha512 => key.pkcs1v15_verify::<hmac_sha512::Hash>(text, signature).is_ok(),
        })
    }

    /// RFC 8017 §8.1.2. RFC 7518 §3.5: the salt is as long as the hash, and MGF1 takes the same hash; the library's check asks for both.
    pub(super) fn holds_pss(&self, hash: Hash, text: &[u8], signature: &[u8]) -> bool {
        self.ready().is_some_and(|key| match hash {
            Hash::Sha256 => key.pss_verify::<hmac_sha256::Hash>(text, signature).is_ok(),
            Hash::Sha384 => key.pss_verify::<hmac_sha512::sha384::Hash>(text, signature).is_ok(),
            Hash::Sha512 => key.pss_verify::<hmac_sha512::Hash>(text, signature).is_ok(),
        })
    }

    fn ready(&self) -> Option<&::rsa::PublicKey> {
        let made = || {
            let bits = u32::try_from(self.bits.next_multiple_of(64)).ok()?;
            let modulus = BoxedUint::from_be_slice(&self.modulus, bits).ok()?;
            ::rsa::PublicKey::new(modulus, BoxedUint::from(65537_u32)).ok()
        };
        self.ready.get_or_init(made).as_ref()
    }
}

/// A number's bytes without the zeros in front.
pub(super) fn significant(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}
