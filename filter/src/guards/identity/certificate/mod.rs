//! Is the client's certificate one that the route takes? The certificate of the connection as a credential (RFC 8705 §2 has it for OAuth's
//! clients; SPIFFE's X.509-SVID for services).
//!
//! TLS proves that the client has the certificate's key. Who vouches for what the certificate says is another matter: the proxy, whose TLS context
//! checks it against authorities of its own (`validation_context`), or we ourselves, against those of the policy. A proxy-wasm host tells
//! only which certificate was *presented*; in Envoy one is asked for only by a context with authorities, and then checked against
//! them, unless the context says `trust_chain_verification: ACCEPT_UNTRUSTED`. So the policy must say which of the two vouches.
//!
//! A chain is not followed: whoever issued the client's own certificate stands in `authorities`, or the certificate is refused.
//!
//! What it does *not* protect against: a certificate that was revoked (Envoy checks `crl` if it is given one), and a stolen key.

pub mod config;
mod der;
mod names;
mod pem;
pub mod shapes;
#[cfg(test)]
mod tests;
mod x509;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

pub use names::Accepted;

use self::x509::{Name, X509};
use super::caller::Certificate;
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::host::{HostError, Verdict, Verifier};
use crate::limits;
use crate::time::Timestamp;

/// `clientCertificates`
#[derive(Debug, Default)]
pub struct Certificates {
    /// Who must have issued one; none if the proxy vouches.
    authorities: Vec<Authority>,
    /// The header in which the upstream gets the identity; lower case.
    pub(super) header: Option<Rc<str>>,
    known: RefCell<HashMap<Box<[u8]>, Rc<Known>>>,
}

/// An authority of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    /// Its whole `Name`.
    subject: Box<[u8]>,
    /// Its whole `SubjectPublicKeyInfo`.
    key: Box<[u8]>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// What was found out about a certificate that holds. It does not change, but for time.
#[derive(Debug)]
struct Known {
    not_before: Timestamp,
    not_after: Timestamp,
    /// Until when the authority serves that issued it; for ever if the proxy vouches for it.
    vouched: Timestamp,
    /// Every URI, then every DNS name.
    uris: Vec<Rc<str>>,
    dns: Vec<Rc<str>>,
}

/// The certificate that the connection has, as the host tells it.
pub type Presented<'a> = dyn Fn() -> Result<Option<Vec<u8>>, HostError> + 'a;

impl Certificates {
    /// Whose certificate it is, if the route takes it. `None` if none was presented. Errors: `CertificateInvalid` for one that cannot be read, does not hold
    /// at this time, or was not issued by an authority of the policy; `CertificateUnaccepted` for one that is good and not of the route's.
    pub fn identify(
        &self,
        accepted: &Accepted,
        presented: &Presented<'_>,
        now: Timestamp,
        verifier: &impl Verifier,
    ) -> Result<Option<Certificate>, Refusal> {
        let Some(pem) = presented()?.filter(|pem| !pem.is_empty()) else {
            return Ok(None);
        };
        let known =
            self.known.borrow().get(pem.as_slice()).filter(|known| now < known.vouched).map(Rc::clone);
        let known = match known {
            Some(known) => known,
            None => self.first_seen(pem, now, verifier)?,
        };
        // A connection outlives the handshake in which the proxy looked at the clock.
        if now < known.not_before || now >= known.not_after {
            return Err(invalid("not valid at this time"));
        }
        let unaccepted = |fact| Refusal::because(Reason::CertificateUnaccepted, Detail::Fact(fact));
        // X.509-SVID §2: "MUST contain exactly one URI SAN": of two, each reader could take another one.
        if known.uris.len() > 1 {
            return Err(unaccepted("more than one URI"));
        }
        let name = accepted
            .choose(&known.uris, &known.dns)
            .ok_or_else(|| unaccepted("none of its names is the route's"))?;
        Ok(Some(Certificate::new(Rc::clone(name))))
    }

    fn first_seen(
        &self,
        pem: Vec<u8>,
        now: Timestamp,
        verifier: &impl Verifier,
    ) -> Result<Rc<Known>, Refusal> {
        if pem.len() > limits::CERTIFICATE_BYTES {
            return Err(invalid("longer than is read"));
        }
        let der = pem::first(&pem).ok_or_else(|| invalid("not PEM"))?;
        let certificate = X509::parse(&der).ok_or_else(|| invalid("not a certificate that is read"))?;
        if !certificate.for_clients {
            return Err(invalid("not made for clients"));
        }
        let vouched = if self.authorities.is_empty() {
            Timestamp::from_nanos(u64::MAX)
        } else {
            self.check_issuer(&certificate, now, verifier)?
        };
        let (mut uris, mut dns) = (Vec::new(), Vec::new());
        for name in &certificate.names {
            match name {
                Name::Uri(uri) => uris.push(Rc::from(*uri)),
                Name::Dns(name) => dns.push(name.to_ascii_lowercase().into()),
            }
        }
        let (not_before, not_after) = (certificate.not_before, certificate.not_after);
        let known = Rc::new(Known { not_before, not_after, vouched, uris, dns });
        let mut all = self.known.borrow_mut();
        if all.len() >= limits::CERTIFICATES_KNOWN {
            all.clear();
        }
        all.insert(pem.into(), Rc::clone(&known));
        Ok(known)
    }

    /// Until when the authority serves that issued it.
    fn check_issuer(
        &self,
        certificate: &X509<'_>,
        now: Timestamp,
        verifier: &impl Verifier,
    ) -> Result<Timestamp, Refusal> {
        let (hash, of_key) = algorithm(certificate.algorithm)
            .ok_or_else(|| invalid("signed by an algorithm that is not taken"))?;
        let serves = |authority: &&Authority| {
            *authority.subject == *certificate.issuer
                && authority.not_before <= now
                && now < authority.not_after
                && is_of_kind(&authority.key, of_key)
        };
        for authority in self.authorities.iter().filter(serves) {
            match verifier.verify_signature(hash, &authority.key, certificate.signature, certificate.signed) {
                Verdict::Valid => return Ok(authority.not_after),
                Verdict::Invalid => {}
                Verdict::Unavailable => {
                    let detail = Detail::Fact("the proxy checks no signatures of certificates");
                    return Err(Refusal::because(Reason::HostFailed, detail).advise(Advice::RetryAfter(1)));
                }
            }
        }
        // No path is built (RFC 5280 §6): an intermediate one would have to be believed on its word, by constraints that nobody reads here.
        Err(invalid("its issuer is none of the policy's `authorities`"))
    }
}

fn invalid(fact: &'static str) -> Refusal {
    Refusal::because(Reason::CertificateInvalid, Detail::Fact(fact))
}

/// RFC 8017 `rsaEncryption` and RFC 5480 `id-ecPublicKey`, each as it stands in a key.
const RSA_KEY: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// The hash and the kind of key of a signature algorithm: RSASSA-PKCS1-v1_5 (RFC 4055) and ECDSA (RFC 5758) with SHA-2. The host takes the kind
/// of key from the key, so the two are bound here.
fn algorithm(identifier: &[u8]) -> Option<(&'static str, &'static [u8])> {
    const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1];
    const ECDSA: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3];
    if let Some(rest) = identifier.strip_prefix(RSA) {
        return match rest {
            [11, 5, 0] => Some(("sha256", RSA_KEY)),
            [12, 5, 0] => Some(("sha384", RSA_KEY)),
            [13, 5, 0] => Some(("sha512", RSA_KEY)),
            _ => None,
        };
    }
    match identifier.strip_prefix(ECDSA)? {
        [2] => Some(("sha256", EC_KEY)),
        [3] => Some(("sha384", EC_KEY)),
        _ => None,
    }
}

/// Whether a `SubjectPublicKeyInfo` is of this kind: its algorithm stands at its very beginning, behind two lengths.
fn is_of_kind(key: &[u8], kind: &[u8]) -> bool {
    let algorithm =
        der::Reader::new(key).within(der::SEQUENCE).and_then(|mut parts| parts.expect(der::SEQUENCE));
    algorithm.is_some_and(|algorithm| algorithm.content.starts_with(kind))
}

/// Whether the key is of a kind whose signatures are checked.
fn algorithm_of_key(key: &[u8]) -> bool {
    is_of_kind(key, RSA_KEY) || is_of_kind(key, EC_KEY)
}
