//! Is this the certificate that the token was made for? RFC 8705 §3.
//!
//! The proxy tells which certificate was *presented*. Whether it had to be one of a known authority is a matter of the proxy's TLS
//! context; for the binding it does not matter (RFC 8705 §2.2 takes self-signed ones), since TLS proves that the client has its key.

use subtle::ConstantTimeEq as _;

use super::because;
use crate::decision::{Reason, Refusal};
use crate::guards::identity::jwt::compact::base64url;
use crate::hex;
use crate::host::HostError;

/// Bytes of a SHA-256.
const SIZE: usize = 32;

/// Compares `x5t#S256` with the client's certificate. Without a certificate nothing is proved.
pub(super) fn check(
    thumbprint: &str,
    certificate: impl Fn() -> Result<Option<Vec<u8>>, HostError>,
) -> Result<(), Refusal> {
    let expected: [u8; SIZE] = base64url(thumbprint.as_bytes())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| because(Reason::ClaimInvalid, "cnf"))?;
    let digest = certificate()?.unwrap_or_default();
    if digest.is_empty() {
        return Err(because(Reason::TokenBindingMismatch, "no client certificate"));
    }
    match hex::array::<SIZE>(&digest) {
        Some(presented) if bool::from(presented.ct_eq(&expected)) => Ok(()),
        Some(_) => Err(because(Reason::TokenBindingMismatch, "another client certificate")),
        None => Err(because(Reason::TokenBindingMismatch, "the proxy tells of no SHA-256 of a certificate")),
    }
}
