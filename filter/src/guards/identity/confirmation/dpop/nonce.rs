//! Did the client get this nonce from us, and lately? RFC 9449 §8 and §9.
//!
//! A nonce is an HMAC of the time, in steps of [`limits::NONCE_SECONDS`], under a key that all workers share: nothing is stored, and no
//! secret stands in the policy. The nonces of this step and of the one before are taken. It limits for how long proofs can be made in
//! advance; that a proof serves once is the memory's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::memory::Memory;
use super::proof::Proof;
use crate::decision::{Advice, Reason, Refusal};
use crate::limits;
use crate::time::Timestamp;

/// Bytes of a nonce: 128 bit, which nobody guesses in ten minutes.
const SIZE: usize = 16;

/// Errors: `ProofNonce`, with the nonce to use.
pub(super) fn check(memory: &Memory, proof: &Proof<'_>, now: Timestamp) -> Result<(), Refusal> {
    let step = now.seconds().checked_div(limits::NONCE_SECONDS).unwrap_or(0);
    let (this, last) = (at(memory, step), at(memory, step.saturating_sub(1)));
    let sent = proof.nonce().unwrap_or_default().as_bytes();
    if bool::from(sent.ct_eq(this.as_bytes()) | sent.ct_eq(last.as_bytes())) {
        return Ok(());
    }
    Err(Refusal::new(Reason::ProofNonce).advise(Advice::DpopNonce(this.into())))
}

fn at(memory: &Memory, step: u64) -> String {
    let mac = hmac_sha256::HMAC::mac(step.to_be_bytes(), memory.nonce_key());
    URL_SAFE_NO_PAD.encode(mac.get(..SIZE).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;

    use super::{Memory, at};
    use crate::guards::identity::confirmation::tests::Shared;
    use crate::testing::test;

    #[test]
    fn a_nonce_is_one_gateways_and_of_its_time() {
        let of = |seed| Memory::sized(&Shared::default(), [seed; 16], NonZeroU32::MIN).unwrap();
        let (ours, another) = (of(1), of(2));
        assert_eq!(at(&ours, 7), at(&of(1), 7));
        assert_ne!(at(&ours, 7), at(&ours, 8));
        assert_ne!(at(&ours, 7), at(&another, 7));
        assert_eq!(at(&ours, 7).len(), 22);
    }
}
