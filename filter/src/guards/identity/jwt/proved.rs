//! Has exactly this signature held before?
//!
//! A caller sends one token many times. What a key once proved, to the last bit, needs no second proof: the same key, algorithm,
//! text and signature give the same answer for ever. Only that answer is kept. Issuer, algorithm, type, times and audience are
//! checked anew on each request, before this is asked, and a key that is replaced takes its memory with it.
//!
//! What it does *not* protect against: somebody who reads the VM's memory finds tokens there, as they would without it.

use core::cell::RefCell;

use subtle::ConstantTimeEq as _;

use super::algorithm::Algorithm;
use crate::limits;
use crate::secret::Secret;

/// What one key has proved, at most [`limits::PROVED_SETS`] times two. Nothing that failed is kept, so a flood of forged tokens
/// neither fills it nor pushes anything out.
#[derive(Debug, Default)]
pub(super) struct Proved {
    /// Pairs, the younger first; empty until something is kept.
    sets: RefCell<Vec<[Option<Proof>; 2]>>,
}

#[derive(Debug)]
struct Proof {
    algorithm: Algorithm,
    /// The text, then the signature.
    bytes: Secret<Vec<u8>>,
    text: usize,
}

impl Proved {
    /// Whether this was kept.
    pub(super) fn holds(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        let Ok(sets) = self.sets.try_borrow() else {
            return false;
        };
        let Some(set) = sets.get(place(signature)) else {
            return false;
        };
        set.iter().flatten().any(|proof| proof.is(algorithm, text, signature))
    }

    /// Forgets everything.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.sets.borrow_mut().clear();
    }

    /// Keeps what has been proved, unless it is longer than [`limits::PROVED_BYTES`].
    pub(super) fn keep(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) {
        let Ok(mut sets) = self.sets.try_borrow_mut() else {
            return;
        };
        if text.len().saturating_add(signature.len()) > limits::PROVED_BYTES {
            return;
        }
        if sets.is_empty() {
            sets.resize_with(limits::PROVED_SETS, Default::default);
        }
        if let Some([younger, older]) = sets.get_mut(place(signature)) {
            let bytes = Secret::new([text, signature].concat());
            *older = younger.replace(Proof { algorithm, bytes, text: text.len() });
        }
    }
}

impl Proof {
    /// Every byte is compared, and in constant time: a signature must not be guessed byte by byte.
    fn is(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        let Some((own_text, own_signature)) = self.bytes.expose().split_at_checked(self.text) else {
            return false;
        };
        self.algorithm == algorithm && (own_text.ct_eq(text) & own_signature.ct_eq(signature)).into()
    }
}

/// The signature's last bytes choose the set: they are as good as random, and only signatures that hold are kept.
fn place(signature: &[u8]) -> usize {
    let [high, low] = signature.last_chunk().copied().unwrap_or_default();
    usize::from(u16::from_be_bytes([high, low])).checked_rem(limits::PROVED_SETS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Proved};
    use crate::limits::{PROVED_BYTES, PROVED_SETS};
    use crate::testing::test;

    #[test]
    fn only_the_same_to_the_last_bit_holds() {
        let proved = Proved::default();
        assert!(!proved.holds(Algorithm::RS256, b"text", b"signature"), "nothing was kept");
        proved.keep(Algorithm::RS256, b"text", b"signature");
        for (algorithm, text, signature, expected) in [
            (Algorithm::RS256, &b"text"[..], &b"signature"[..], true),
            (Algorithm::RS384, b"text", b"signature", false),
            (Algorithm::RS256, b"texu", b"signature", false),
            (Algorithm::RS256, b"text", b"tignature", false),
            (Algorithm::RS256, b"texts", b"ignature", false),
            (Algorithm::RS256, b"tex", b"tsignature", false),
            (Algorithm::RS256, b"text", b"ignature", false),
            (Algorithm::RS256, b"", b"signature", false),
            (Algorithm::RS256, b"text", b"", false),
        ] {
            assert_eq!(
                proved.holds(algorithm, text, signature),
                expected,
                "{algorithm:?} {text:?} {signature:?}"
            );
        }
    }

    #[test]
    fn it_is_bounded_and_the_youngest_stay() {
        let proved = Proved::default();
        let signature = |number: u32| [&number.to_be_bytes()[..], &[7, 7]].concat();
        for number in 0..10 {
            proved.keep(Algorithm::ES256, b"text", &signature(number));
        }
        let kept: Vec<u32> =
            (0..10).filter(|number| proved.holds(Algorithm::ES256, b"text", &signature(*number))).collect();
        assert_eq!(kept, [8, 9]);
        for number in 0..=u16::MAX {
            proved.keep(Algorithm::ES256, b"text", &number.to_be_bytes());
        }
        assert_eq!(proved.sets.borrow().len(), PROVED_SETS);
        let long = vec![b'x'; PROVED_BYTES];
        proved.keep(Algorithm::ES256, &long, b"yy");
        assert!(!proved.holds(Algorithm::ES256, &long, b"yy"));
    }

    #[test]
    fn a_proof_is_not_printed() {
        let proved = Proved::default();
        proved.keep(Algorithm::ES256, b"text", b"signature");
        let bytes = format!("{:?}", b"text");
        assert!(!format!("{proved:?}").contains(bytes.trim_matches(['[', ']'])));
    }
}
