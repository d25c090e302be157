//! How does one signing key sign, and what of it is published?

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{
    ECDSAP256KeyPairLike as _, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike as _,
};
use p256::ecdsa::signature::DigestSigner as _;

use super::claims::push_text;
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
#[derive(Debug)]
pub(super) enum Material {
    Ed25519(Box<Ed25519KeyPair>),
    P256 {
        pair: Box<ES256KeyPair>,
        /// PKCS#8, for the host.
        der: Secret<Vec<u8>>,
    },
    Hmac(Secret<Vec<u8>>),
}

impl SigningKey {
    /// Reads it from the environment. Loading a policy does not look there (host-facts §0.1).
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
            Material::Ed25519(pair) => Ok(pair.key_pair().as_ref().sk.sign(text, None).to_vec()),
            Material::P256 { pair, der } => host
                .sign("sha256", der.expose(), text)
                .and_then(|signature| raw(&signature))
                .or_else(|| in_wasm(pair, text))
                .ok_or_else(|| Detail::Named("no signature by key", Rc::clone(&self.kid))),
            Material::Hmac(secret) => Ok(hmac_sha256::HMAC::mac(text, secret.expose()).to_vec()),
        }
    }

    /// As a public JWK (RFC 7517, RFC 8037), for whoever checks. A shared secret is never published.
    pub(super) fn jwk(&self) -> Option<String> {
        let kid = &self.kid;
        match self.material.as_ref().ok()? {
            Material::Ed25519(pair) => {
                let x = URL_SAFE_NO_PAD.encode(pair.public_key().to_bytes());
                Some(format!(
                    r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","alg":"EdDSA","use":"sig","x":"{x}"}}"#
                ))
            }
            Material::P256 { pair, .. } => {
                // SEC 1 §2.3.3: 04, x, y.
                let point = pair.key_pair().public_key().to_bytes_uncompressed();
                let (x, y) = point.get(1..)?.split_at_checked(32)?;
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                Some(format!(
                    r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","alg":"ES256","use":"sig","x":"{x}","y":"{y}"}}"#
                ))
            }
            Material::Hmac(_) => None,
        }
    }
}

/// `typ` of an assertion.
pub const TYPE: &str = "portcullis-assertion+jwt";

impl Material {
    /// PKCS#8 in PEM, or a private JWK whose public part fits it; a secret as its bytes are, at least as long as the hash (RFC 7518 §3.2).
    fn read(algorithm: Algorithm, bytes: Secret<Vec<u8>>) -> Option<Self> {
        if algorithm == Algorithm::HS256 {
            return (bytes.expose().len() >= 32).then_some(Material::Hmac(bytes));
        }
        let text = core::str::from_utf8(bytes.expose()).ok()?.trim();
        let jwk = text.starts_with('{');
        match algorithm {
            Algorithm::EdDSA => {
                let pair = if jwk { Ed25519KeyPair::from_jwk(text) } else { Ed25519KeyPair::from_pem(text) };
                Some(Material::Ed25519(Box::new(pair.ok()?)))
            }
            Algorithm::ES256 => {
                let pair = if jwk { ES256KeyPair::from_jwk(text) } else { ES256KeyPair::from_pem(text) };
                let pair = Box::new(pair.ok()?);
                let der = Secret::new(pair.to_der().ok()?);
                Some(Material::P256 { pair, der })
            }
            Algorithm::HS256 => None,
        }
    }
}

/// RFC 6979: without randomness, which a VM has only from its host.
fn in_wasm(pair: &ES256KeyPair, text: &[u8]) -> Option<Vec<u8>> {
    let digest = |hash: &mut hmac_sha256::Hash| {
        hash.update(text);
        Ok(())
    };
    let signature: p256::ecdsa::Signature = pair.key_pair().as_ref().try_sign_digest(digest).ok()?;
    Some(signature.to_bytes().to_vec())
}

/// RFC 7518 §3.4: `r || s` of 32 bytes each, from the host's DER.
fn raw(der: &[u8]) -> Option<Vec<u8>> {
    Some(p256::ecdsa::Signature::from_der(der).ok()?.to_bytes().to_vec())
}
