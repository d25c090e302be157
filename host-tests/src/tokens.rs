//! How do we make a token, good or bad in exactly one way? With keys made at start, and a signer that refuses nothing.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::RS256KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Map, Value, json};

use crate::scenario::{Signature, TokenSpec};

/// Who a token comes from, unless a scenario says otherwise.
pub const ISSUER: &str = "https://id.example.com";
/// Whom it is for.
pub const AUDIENCE: &str = "orders-api";
/// The names by which a scenario calls the keys. An attacker's key is like the other in all but its bytes.
pub const NAMES: [&str; 8] =
    ["rs256", "ps256", "es256", "es384", "eddsa", "hs256", "attacker", "attacker-es256"];

/// The keys of a test run.
#[derive(Debug)]
pub struct Keys {
    keys: BTreeMap<&'static str, Key>,
}

#[derive(Debug)]
struct Key {
    algorithm: &'static str,
    secret: Secret,
}

#[derive(Debug)]
enum Secret {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    /// The bytes of the text are the secret: it goes through an environment variable.
    Hmac(String),
}

impl Keys {
    /// The keys of this process: made once, since RSA takes its time.
    pub fn of_this_run() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(Self::generate)
    }

    fn generate() -> Self {
        let issuers = std::thread::spawn(rsa);
        let attackers = rsa();
        let issuers = issuers.join().expect("an RSA key can be made");
        let key = |algorithm, secret| Key { algorithm, secret };
        let keys = BTreeMap::from([
            ("rs256", key("RS256", Secret::Rsa(Box::new(load(&issuers))))),
            // The same modulus under another `kid`: what keeps PS256 and RS256 apart is the JWK's `alg`.
            ("ps256", key("PS256", Secret::Rsa(Box::new(load(&issuers))))),
            ("es256", key("ES256", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))),
            ("es384", key("ES384", ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING))),
            ("eddsa", key("EdDSA", ed25519())),
            ("hs256", key("HS256", Secret::Hmac(URL_SAFE_NO_PAD.encode(random())))),
            ("attacker", key("RS256", Secret::Rsa(Box::new(load(&attackers))))),
            ("attacker-es256", key("ES256", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))),
        ]);
        Self { keys }
    }

    /// The JWKS of these keys, as one line of JSON.
    pub fn jwks(&self, names: &[&str]) -> Result<String, String> {
        let keys = names.iter().map(|name| self.jwk(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({"keys": keys}).to_string())
    }

    /// The secret of an HMAC key; its bytes as they are.
    pub fn hmac_secret(&self, name: &str) -> Result<String, String> {
        match &self.key(name)?.secret {
            Secret::Hmac(text) => Ok(text.clone()),
            _ => Err(format!("`{name}` is no HMAC key")),
        }
    }

    fn jwk(&self, name: &str) -> Result<Value, String> {
        let key = self.key(name)?;
        let mut jwk = key.public_members();
        jwk["kid"] = json!(name);
        jwk["alg"] = json!(key.algorithm);
        jwk["use"] = json!("sig");
        Ok(jwk)
    }

    fn key(&self, name: &str) -> Result<&Key, String> {
        self.keys
            .get(name)
            .ok_or_else(|| format!("no key is called `{name}`; there are {}", NAMES.join(", ")))
    }

    /// Makes the token that a scenario describes. `now` is in seconds since the epoch.
    pub fn mint(&self, spec: &TokenSpec, now: u64) -> Result<String, String> {
        if let Some(raw) = &spec.raw {
            return Ok(raw.clone());
        }
        let key = self.key(&spec.key)?;
        let header = match &spec.header_text {
            Some(text) => text.clone(),
            None => header(&spec.key, key.algorithm, &spec.header),
        };
        let payload = match &spec.payload_text {
            Some(text) => text.clone(),
            None => payload(&spec.claims, now)?,
        };
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = match &spec.signature {
            Signature::Good => key.sign(signed.as_bytes()),
            Signature::Empty => Vec::new(),
            Signature::Tampered => tampered(key.sign(signed.as_bytes())),
            Signature::HmacWithPublicKey => self.confused(&spec.key, signed.as_bytes())?,
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// RFC 8725 §2.1: an HMAC whose secret is the public key, which a careless verifier takes for a signature.
    fn confused(&self, name: &str, text: &[u8]) -> Result<Vec<u8>, String> {
        let jwk = self.jwk(name)?;
        let public = jwk["n"].as_str().or(jwk["x"].as_str()).unwrap_or_default();
        let secret = URL_SAFE_NO_PAD.decode(public).map_err(|error| error.to_string())?;
        Ok(hmac(&secret, text))
    }
}

impl Key {
    fn public_members(&self) -> Value {
        match &self.secret {
            Secret::Rsa(pair) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(&public.n), "e": URL_SAFE_NO_PAD.encode(&public.e)})
            }
            Secret::Ecdsa(pair) => {
                // SEC 1 §2.3.3: 04, x, y.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)})
            }
            Secret::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())})
            }
            Secret::Hmac(text) => json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(text)}),
        }
    }

    fn sign(&self, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &dyn ring::signature::RsaEncoding =
                    if self.algorithm == "PS256" { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, text, &mut signature).expect("a good key signs");
                signature
            }
            Secret::Ecdsa(pair) => pair.sign(&random, text).expect("a good key signs").as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
            Secret::Hmac(secret) => hmac(secret.as_bytes(), text),
        }
    }
}

fn rsa() -> Vec<u8> {
    let pair = RS256KeyPair::generate(2048).expect("an RSA key can be made");
    pair.to_der().expect("a good key has a DER form")
}

fn load(der: &[u8]) -> RsaKeyPair {
    RsaKeyPair::from_der(der)
        .or_else(|_| RsaKeyPair::from_pkcs8(der))
        .expect("two libraries agree on a DER form")
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Secret {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key can be made");
    Secret::Ecdsa(
        EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("it can be read back"),
    )
}

fn ed25519() -> Secret {
    Secret::Ed25519(Ed25519KeyPair::from_seed_unchecked(&random()).expect("any seed of 32 bytes is a key"))
}

fn random() -> [u8; 32] {
    ring::rand::generate(&SystemRandom::new()).expect("there is randomness").expose()
}

fn hmac(secret: &[u8], text: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    ring::hmac::sign(&key, text).as_ref().to_vec()
}

/// A bit of the middle is turned over: the length and the form stay good.
fn tampered(mut signature: Vec<u8>) -> Vec<u8> {
    let middle = signature.len() / 2;
    signature[middle] ^= 0x10;
    signature
}

fn header(kid: &str, algorithm: &str, overrides: &Map<String, Value>) -> String {
    let mut header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"});
    patch(&mut header, overrides);
    header.to_string()
}

fn payload(overrides: &Map<String, Value>, now: u64) -> Result<String, String> {
    let mut claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": "now", "exp": "now+300"});
    patch(&mut claims, overrides);
    if let Value::Object(claims) = &mut claims {
        for value in claims.values_mut() {
            settle(value, now)?;
        }
    }
    Ok(claims.to_string())
}

/// `null` takes a member away.
fn patch(target: &mut Value, overrides: &Map<String, Value>) {
    for (name, value) in overrides {
        if value.is_null() {
            target.as_object_mut().and_then(|members| members.remove(name));
        } else {
            target[name] = value.clone();
        }
    }
}

/// `now`, `now+300` and `now-5` become seconds since the epoch.
fn settle(value: &mut Value, now: u64) -> Result<(), String> {
    let Some(rest) = value.as_str().and_then(|text| text.strip_prefix("now")) else {
        return Ok(());
    };
    let offset: i64 = if rest.is_empty() {
        0
    } else {
        rest.parse().map_err(|_| format!("`now{rest}` is no time; write `now+300` or `now-5`"))?
    };
    *value = json!(now.saturating_add_signed(offset));
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jwt_simple::prelude::*;
    use serde_json::{Value, json};

    use super::{AUDIENCE, ISSUER, Keys, NAMES};
    use crate::scenario::{Signature, TokenSpec};

    fn part(token: &str, index: usize) -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn now() -> u64 {
        Clock::now_since_epoch().as_secs()
    }

    /// Another library takes our tokens: what a scenario calls good is good.
    #[test]
    fn another_library_takes_the_tokens() {
        let keys = Keys::of_this_run();
        let mint = |name: &str| keys.mint(&TokenSpec::of(name), now()).unwrap();
        let jwk = |name: &str| keys.jwk(name).unwrap().to_string();
        let options = || {
            Some(VerificationOptions {
                allowed_issuers: Some(std::collections::HashSet::from([ISSUER.to_owned()])),
                allowed_audiences: Some(std::collections::HashSet::from([AUDIENCE.to_owned()])),
                ..VerificationOptions::default()
            })
        };
        macro_rules! takes {
            ($name:literal, $key:ident) => {
                let key = $key::from_jwk(&jwk($name)).unwrap();
                assert!(key.verify_token::<NoCustomClaims>(&mint($name), options()).is_ok(), $name);
            };
        }
        takes!("rs256", RS256PublicKey);
        takes!("ps256", PS256PublicKey);
        takes!("es256", ES256PublicKey);
        takes!("es384", ES384PublicKey);
        takes!("eddsa", Ed25519PublicKey);
        let jwk: Value = serde_json::from_str(&jwk("hs256")).unwrap();
        let secret = HS256Key::from_bytes(&URL_SAFE_NO_PAD.decode(jwk["k"].as_str().unwrap()).unwrap());
        assert!(secret.verify_token::<NoCustomClaims>(&mint("hs256"), options()).is_ok());
        let wrong = RS256PublicKey::from_jwk(&keys.jwk("attacker").unwrap().to_string()).unwrap();
        assert!(wrong.verify_token::<NoCustomClaims>(&mint("rs256"), None).is_err());
    }

    #[test]
    fn overrides_take_away_and_put_in() {
        let claims = json!({"aud": null, "exp": "now-5", "scope": "a b"});
        let header = json!({"alg": "none", "kid": null});
        let spec = TokenSpec {
            claims: claims.as_object().unwrap().clone(),
            header: header.as_object().unwrap().clone(),
            signature: Signature::Empty,
            ..TokenSpec::of("rs256")
        };
        let token = Keys::of_this_run().mint(&spec, 1000).unwrap();
        assert_eq!(part(&token, 0), json!({"alg": "none", "typ": "JWT"}));
        let payload = json!({"iss": ISSUER, "sub": "alice", "iat": 1000, "exp": 995, "scope": "a b"});
        assert_eq!(part(&token, 1), payload);
        assert!(token.ends_with('.'));
    }

    #[test]
    fn a_jwks_names_every_key_and_refuses_an_unknown_one() {
        let keys = Keys::of_this_run();
        let jwks: Value = serde_json::from_str(&keys.jwks(&NAMES).unwrap()).unwrap();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), NAMES.len());
        assert!(keys.jwks(&["rs257"]).unwrap_err().contains("rs257"));
    }
}
