//! The public keys of a gateway.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::Value;

use crate::Refused;

/// A key set, as the gateway's JWKS endpoint shows it.
#[derive(Debug, Default)]
pub struct Keys(HashMap<String, Key>);

/// A key and the one algorithm that it is for.
#[derive(Debug)]
pub(crate) struct Key {
    algorithm: &'static str,
    public: Vec<u8>,
}

impl Keys {
    /// Reads a JWK set (RFC 7517 §5). Keys of other kinds are left out.
    pub fn read(jwks: &[u8]) -> Result<Self, Refused> {
        let set: Value = serde_json::from_slice(jwks).map_err(|_| Refused("the key set is not JSON"))?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(Refused("no key set"))?;
        let named = |jwk: &Value| Some((jwk.get("kid")?.as_str()?.to_owned(), Key::read(jwk)?));
        Ok(Self(list.iter().filter_map(named).collect()))
    }

    pub(crate) fn find(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }
}

impl Key {
    fn read(jwk: &Value) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        let bytes = |name| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        match (text("alg")?, text("crv")?) {
            ("EdDSA", "Ed25519") => Some(Self { algorithm: "EdDSA", public: bytes("x")? }),
            ("ES256", "P-256") => {
                // SEC 1 §2.3.3: 04, x, y.
                let public = [vec![4], bytes("x")?, bytes("y")?].concat();
                Some(Self { algorithm: "ES256", public })
            }
            _ => None,
        }
    }

    pub(crate) fn holds(&self, algorithm: &str, text: &[u8], signature: &[u8]) -> bool {
        let check: &dyn VerificationAlgorithm = match self.algorithm {
            "EdDSA" => &ED25519,
            _ => &ECDSA_P256_SHA256_FIXED,
        };
        algorithm == self.algorithm
            && UnparsedPublicKey::new(check, &self.public).verify(text, signature).is_ok()
    }
}
