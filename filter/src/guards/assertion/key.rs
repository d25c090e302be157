//! How does one signing key sign, and what of it is published?

use core::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{self, ExpandedSecretKey};
use p256::{FieldBytes, NonZeroScalar};
use zeroize::{Zeroize as _, Zeroizing};

use super::claims::push_text;
use super::ecdsa;
use super::private::{Curve, Private, pkcs8, raw_signature};
use crate::decision::Detail;
use crate::host::Verifier;
use crate::secret::Secret;
use crate::time::Timestamp;

/// What an assertion can be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the IANA registry's")]
pub enum Algorithm {
    EdDSA,
    ES256,
    HS256,
}

impl Algorithm {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Algorithm); 3] =
        [("EdDSA", Algorithm::EdDSA), ("ES256", Algorithm::ES256), ("HS256", Algorithm::HS256)];

    const fn name(self) -> &'static str {
        match self {
            Algorithm::EdDSA => "EdDSA",
            Algorithm::ES256 => "ES256",
            Algorithm::HS256 => "HS256",
        }
    }

    /// Whether whoever checks it needs no secret.
    pub const fn is_public(self) -> bool {
        !matches!(self, Algorithm::HS256)
    }
}

/// A key of `signing.keys`.
#[derive(Debug)]
pub struct SigningKey {
    pub(super) kid: Rc<str>,
    pub(super) algorithm: Algorithm,
    /// The variable of the environment that holds it.
    pub(super) variable: Rc<str>,
    /// It signs from here on.
    pub(super) not_before: Option<Timestamp>,
    /// It signs until here.
    pub(super) not_after: Option<Timestamp>,
    /// The key itself, or why there is none.
    pub(super) material: Result<Material, Detail>,
}

/// The key itself.
pub(super) enum Material {
    Ed25519 {
        secret: Box<ExpandedSecretKey>,
        public: Box<VerifyingKey>,
    },
    P256 {
        secret: Box<NonZeroScalar>,
        /// `x || y`
        public: [u8; 64],
        /// PKCS#8, for the host.
        der: Secret<Vec<u8>>,
    },
    Hmac(Secret<Vec<u8>>),
}

/// Nothing of it.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material(…)")
    }
}

/// `p256` does not clear what is copied out of it, so this is done here. Of Ed25519 the key clears itself; the number that `raw_sign` draws
/// for each signature, and what a hash holds in between, stay on the stack until something else stands there.
impl Drop for Material {
    fn drop(&mut self) {
        if let Material::P256 { secret, .. } = self {
            secret.zeroize();
        }
    }
}

impl SigningKey {
    /// Reads it from the environment. Loading a policy does not look there (host fact H1).
    pub(super) fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        let named = |what| Detail::Named(what, Rc::clone(&self.variable));
        self.material = match env(&self.variable).map(Secret::new) {
            None => Err(named("missing environment variable")),
            Some(bytes) => Material::read(self.algorithm, bytes)
                .ok_or_else(|| named("no key for the algorithm in environment variable")),
        };
    }

    /// Whether it may sign at this time.
    pub(super) fn signs_at(&self, now: Timestamp) -> bool {
        self.not_before.is_none_or(|from| from <= now) && self.not_after.is_none_or(|until| now < until)
    }

    /// The JOSE header of what it signs, in base64url. `typ` tells it apart from every other token (RFC 8725 §3.11).
    pub(super) fn header(&self) -> String {
        let mut text =
            format!("{{\"alg\":\"{}\",\"typ\":\"{TYPE}\",\"kid\":", self.algorithm.name()).into_bytes();
        push_text(&self.kid, &mut text);
        text.push(b'}');
        URL_SAFE_NO_PAD.encode(text)
    }

    /// The signature of `text`, as JWS has it (RFC 7518 §3).
    pub(super) fn sign(&self, text: &[u8], host: &impl Verifier) -> Result<Vec<u8>, Detail> {
        match self.material.as_ref().map_err(Clone::clone)? {
            Material::Ed25519 { secret, public } => {
                Ok(hazmat::raw_sign::<hmac_sha512::Hash>(secret, text, public).to_bytes().to_vec())
            }
            Material::P256 { secret, der, .. } => host
                .sign("sha256", der.expose(), text)
                .and_then(|signature| raw_signature(&signature))
                .or_else(|| ecdsa::sign(secret, text))
                .ok_or_else(|| Detail::Named("no signature by key", Rc::clone(&self.kid))),
            Material::Hmac(secret) => Ok(hmac_sha256::HMAC::mac(text, secret.expose()).to_vec()),
        }
    }

    /// As a public JWK (RFC 7517, RFC 8037), for whoever checks. A shared secret is never published.
    pub(super) fn jwk(&self) -> Option<String> {
        let kid = &self.kid;
        match self.material.as_ref().ok()? {
            Material::Ed25519 { public, .. } => {
                let x = URL_SAFE_NO_PAD.encode(public.as_bytes());
                Some(format!(
                    r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","alg":"EdDSA","use":"sig","x":"{x}"}}"#
                ))
            }
            Material::P256 { public, .. } => {
                let (x, y) = public.split_at_checked(32)?;
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                Some(format!(
                    r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","alg":"ES256","use":"sig","x":"{x}","y":"{y}"}}"#
                ))
            }
            Material::Hmac(_) => None,
        }
    }
}

/// The public part of a private key, as a JWK set; for the command line. The error says what is wrong with the key, and nothing of it.
pub fn public_jwks(algorithm: Algorithm, kid: &str, private: &[u8]) -> Result<String, String> {
    let mut key = SigningKey {
        kid: kid.into(),
        algorithm,
        variable: "the key".into(),
        not_before: None,
        not_after: None,
        material: Err(Detail::None),
    };
    key.resolve(|_| Some(private.to_vec()));
    if let Err(why) = &key.material {
        return Err(why.to_string());
    }
    key.jwk()
        .map(|jwk| format!("{{\"keys\":[{jwk}]}}"))
        .ok_or_else(|| "a shared secret has no public part".to_owned())
}

/// `typ` of an assertion.
pub const TYPE: &str = "portcullis-assertion+jwt";

impl Material {
    /// PKCS#8 in PEM, or a private JWK, whose public part fits it; a secret as its bytes are, at least as long as the hash (RFC 7518 §3.2).
    fn read(algorithm: Algorithm, bytes: Secret<Vec<u8>>) -> Option<Self> {
        if algorithm == Algorithm::HS256 {
            return (bytes.expose().len() >= 32).then_some(Material::Hmac(bytes));
        }
        let private = Private::read(bytes.expose())?;
        let (material, public) = match (algorithm, private.curve) {
            (Algorithm::EdDSA, Curve::Ed25519) => {
                // Zeros are what somebody has wiped, and no secret.
                if *private.secret == [0; 32] {
                    return None;
                }
                // RFC 8032 §5.1.5, with the one SHA-512 that is here anyway.
                let expanded = Zeroizing::new(hmac_sha512::Hash::hash(&private.secret[..]));
                let secret = Box::new(ExpandedSecretKey::from_bytes(&expanded));
                let public = Box::new(VerifyingKey::from(&*secret));
                let told = public.as_bytes().to_vec();
                (Material::Ed25519 { secret, public }, told)
            }
            (Algorithm::ES256, Curve::P256) => {
                let secret = NonZeroScalar::from_repr(FieldBytes::from(*private.secret)).into_option()?;
                let public = ecdsa::public(&secret);
                let der = Secret::new(pkcs8(&private.secret, &public));
                (Material::P256 { secret: Box::new(secret), public, der }, public.to_vec())
            }
            _ => return None,
        };
        private.public.is_none_or(|told| told == public).then_some(material)
    }
}
