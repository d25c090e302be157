//! ECDSA on P-256 with SHA-256 (FIPS 186-5 §6.4.1), the nonce by RFC 6979: for a host that does not sign.
//!
//! The field and the curve are `p256`'s, in constant time; so are the few steps on top of them. Its own signer would bring tables of 60 KB and a
//! second SHA-256 for what Envoy does since 1.37.
#![cfg_attr(
    not(test),
    expect(clippy::arithmetic_side_effects, reason = "on the curve and in its field nothing overflows")
)]

use p256::elliptic_curve::ops::Reduce as _;
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::{Field as _, PrimeField as _};
use p256::{FieldBytes, NonZeroScalar, ProjectivePoint, Scalar};
use zeroize::Zeroizing;

/// `x || y` of the public key.
pub(super) fn public(secret: &NonZeroScalar) -> [u8; 64] {
    let point = (ProjectivePoint::GENERATOR * **secret).to_affine();
    let mut public = [0; 64];
    if let Some((x, y)) = public.split_at_mut_checked(32) {
        x.copy_from_slice(&point.x());
        y.copy_from_slice(&point.y());
    }
    public
}

/// `r || s`; `None` if a number comes out as zero, which nobody will see.
pub(super) fn sign(secret: &NonZeroScalar, text: &[u8]) -> Option<Vec<u8>> {
    let digest = Scalar::reduce(&FieldBytes::from(hmac_sha256::Hash::hash(text)));
    let nonce = nonce(secret, &digest)?;
    let r = Scalar::reduce(&(ProjectivePoint::GENERATOR * *nonce).to_affine().x());
    let inverse = nonce.invert().into_option()?;
    let s = inverse * (digest + r * **secret);
    let sound = !bool::from(r.is_zero() | s.is_zero());
    sound.then(|| [r.to_repr(), s.to_repr()].concat())
}

/// RFC 6979 §3.2. One number in four billion is beyond the order; then the next is taken.
fn nonce(secret: &NonZeroScalar, digest: &Scalar) -> Option<NonZeroScalar> {
    let (private, digest) = (Zeroizing::new(secret.to_repr()), digest.to_repr());
    let mac = |key: &[u8; 32], parts: &[&[u8]]| {
        let text = Zeroizing::new(parts.concat());
        Zeroizing::new(hmac_sha256::HMAC::mac(&*text, key))
    };
    let (mut k, mut v) = (Zeroizing::new([0; 32]), Zeroizing::new([1; 32]));
    for step in [0, 1] {
        k = mac(&k, &[&*v, &[step], &private, &digest]);
        v = mac(&k, &[&*v]);
    }
    for _ in 0..8 {
        v = mac(&k, &[&*v]);
        let candidate = NonZeroScalar::from_repr(FieldBytes::from(*v));
        if let Some(nonce) = candidate.into_option() {
            return Some(nonce);
        }
        k = mac(&k, &[&*v, &[0]]);
        v = mac(&k, &[&*v]);
    }
    None
}

#[cfg(test)]
mod tests {
    use p256::{FieldBytes, NonZeroScalar};

    use super::{public, sign};
    use crate::hex::example;
    use crate::testing::test;

    /// RFC 6979 A.2.5.
    #[test]
    fn published_signatures() {
        let secret = example("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
        let secret = FieldBytes::from(<[u8; 32]>::try_from(secret).unwrap());
        let secret = NonZeroScalar::from_repr(secret).into_option().unwrap();
        let point = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6\
                     7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
        assert_eq!(public(&secret).to_vec(), example(point));
        for (text, signature) in [
            (
                "sample",
                "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
                 F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
            ),
            (
                "test",
                "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367\
                 019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
            ),
        ] {
            assert_eq!(sign(&secret, text.as_bytes()), Some(example(signature)), "{text}");
        }
    }
}
