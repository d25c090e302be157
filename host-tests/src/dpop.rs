//! How does a client prove that it has the key that a token is bound to? Proofs by RFC 9449, good or with any member changed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::error::Unspecified;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A key of one client, for ES256.
#[derive(Debug)]
pub struct DpopKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl DpopKey {
    /// A new one.
    pub fn generate() -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
            .map_err(|_| Unspecified)?;
        Ok(Self { pair, random })
    }

    /// The public key as a JWK, with its required members and nothing else.
    pub fn jwk(&self) -> Value {
        let (x, y) = self.coordinates();
        json!({"crv": "P-256", "kty": "EC", "x": x, "y": y})
    }

    /// What a token has in `cnf.jkt`: RFC 7638, over the required members in the order of the alphabet.
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// A point of P-256 in the clear: one byte that says so, then x and y.
    fn coordinates(&self) -> (String, String) {
        let point = self.pair.public_key().as_ref();
        (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]))
    }

    /// The claims of a good proof: a `jti` of its own, `iat` in seconds since the epoch, and `ath` if there is a token.
    pub fn claims(
        &self,
        method: &str,
        url: &str,
        now: u64,
        token: Option<&str>,
    ) -> Result<Value, Unspecified> {
        let mut id = [0; 16];
        self.random.fill(&mut id)?;
        let mut claims = json!({"jti": URL_SAFE_NO_PAD.encode(id), "htm": method, "htu": url, "iat": now});
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())));
        }
        Ok(claims)
    }

    /// A good proof.
    pub fn proof(
        &self,
        method: &str,
        url: &str,
        now: u64,
        token: Option<&str>,
    ) -> Result<String, Unspecified> {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        self.sign(&header, &self.claims(method, url, now, token)?)
    }

    /// A token of this header and these claims, whatever they are.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, Unspecified> {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&self.random, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
