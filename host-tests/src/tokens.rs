//! How do we make a token, good or bad in exactly one way? With keys made at start, and a signer that refuses nothing.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::RS256KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use serde_json::{Map, Value, json};

use crate::scenario::{Signature, Text, TokenSpec};

/// Who a token comes from, unless a scenario says otherwise.
pub const ISSUER: &str = "https://id.example.com";
/// Whom it is for.
pub const AUDIENCE: &str = "orders-api";
/// The names by which a scenario calls the keys. An attacker's key is like the other in all but its bytes.
pub const NAMES: [&str; 18] = [
    "rs256",
    "rs384",
    "rs512",
    "ps256",
    "ps384",
    "ps512",
    "es256",
    "es384",
    "eddsa",
    "hs256",
    "hs384",
    "hs512",
    "attacker",
    "attacker-es256",
    "client",
    "client-rsa",
    "client-eddsa",
    "thief",
];

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
            // One modulus under six `kid`s: what keeps the algorithms apart is the JWK's `alg`.
            ("rs256", key("RS256", Secret::Rsa(Box::new(load(&issuers))))),
            ("rs384", key("RS384", Secret::Rsa(Box::new(load(&issuers))))),
            ("rs512", key("RS512", Secret::Rsa(Box::new(load(&issuers))))),
            ("ps256", key("PS256", Secret::Rsa(Box::new(load(&issuers))))),
            ("ps384", key("PS384", Secret::Rsa(Box::new(load(&issuers))))),
            ("ps512", key("PS512", Secret::Rsa(Box::new(load(&issuers))))),
            ("es256", key("ES256", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))),
            ("es384", key("ES384", ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING))),
            ("eddsa", key("EdDSA", ed25519())),
            ("hs256", key("HS256", shared_secret())),
            ("hs384", key("HS384", shared_secret())),
            ("hs512", key("HS512", shared_secret())),
            ("attacker", key("RS256", Secret::Rsa(Box::new(load(&attackers))))),
            // A client's own, for proofs of possession.
            ("client", key("ES256", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))),
            ("client-rsa", key("RS256", Secret::Rsa(Box::new(load(&attackers))))),
            ("client-eddsa", key("EdDSA", ed25519())),
            ("thief", key("ES256", ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING))),
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
            return text_of(raw);
        }
        let key = self.key(&spec.key)?;
        let header = json!({"alg": key.algorithm, "kid": spec.key, "typ": "JWT"});
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": "now", "exp": "now+300"});
        self.assemble(spec, header, claims, now)
    }

    /// Makes the proof of possession that a scenario describes, of this request.
    pub fn prove(&self, spec: &TokenSpec, about: &Proved<'_>, now: u64) -> Result<String, String> {
        if let Some(raw) = &spec.raw {
            return text_of(raw);
        }
        let key = self.key(&spec.key)?;
        let ath = ring::digest::digest(&ring::digest::SHA256, about.token.as_bytes());
        let header = json!({"typ": "dpop+jwt", "alg": key.algorithm, "jwk": key.public_members()});
        let claims = json!({
            "jti": about.id, "htm": about.method, "htu": about.url, "iat": "now", "ath": URL_SAFE_NO_PAD.encode(ath),
        });
        self.assemble(spec, header, claims, now)
    }

    /// RFC 7638 §3.1: the thumbprint of a key's public part.
    pub fn thumbprint(&self, name: &str) -> Result<String, String> {
        // A map of `serde_json` prints its members in the order of their names, without blanks.
        let text = self.key(name)?.public_members().to_string();
        Ok(URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes())))
    }

    fn assemble(
        &self,
        spec: &TokenSpec,
        mut header: Value,
        claims: Value,
        now: u64,
    ) -> Result<String, String> {
        let key = self.key(&spec.key)?;
        patch(&mut header, &spec.header);
        let header = match &spec.header_text {
            Some(text) => text_of(text)?,
            None => header.to_string(),
        };
        let payload = match &spec.payload_text {
            Some(text) => text_of(text)?,
            None => self.payload(claims, &spec.claims, now)?,
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

    fn payload(&self, mut claims: Value, overrides: &Map<String, Value>, now: u64) -> Result<String, String> {
        patch(&mut claims, overrides);
        if let Value::Object(claims) = &mut claims {
            for value in claims.values_mut() {
                settle(value, now)?;
            }
        }
        // `{jkt: client}` becomes the thumbprint of that key.
        if let Some(jkt) = claims.pointer_mut("/cnf/jkt")
            && let Some(name) = jkt.as_str().filter(|name| NAMES.contains(name))
        {
            *jkt = json!(self.thumbprint(name)?);
        }
        Ok(claims.to_string())
    }

    /// RFC 8725 §2.1: an HMAC whose secret is the public key, which a careless verifier takes for a signature.
    fn confused(&self, name: &str, text: &[u8]) -> Result<Vec<u8>, String> {
        let jwk = self.jwk(name)?;
        let public = jwk["n"].as_str().or(jwk["x"].as_str()).unwrap_or_default();
        let secret = URL_SAFE_NO_PAD.decode(public).map_err(|error| error.to_string())?;
        Ok(hmac("HS256", &secret, text))
    }
}

/// What a proof of possession is about.
#[derive(Clone, Copy, Debug)]
pub struct Proved<'a> {
    /// The token that it goes with.
    pub token: &'a str,
    /// The method.
    pub method: &'a str,
    /// The URL without its query.
    pub url: &'a str,
    /// What nobody else has.
    pub id: &'a str,
}

fn text_of(text: &Text) -> Result<String, String> {
    String::from_utf8(text.bytes(None)?).map_err(|error| error.to_string())
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
                pair.sign(padding(self.algorithm), &random, text, &mut signature).expect("a good key signs");
                signature
            }
            Secret::Ecdsa(pair) => pair.sign(&random, text).expect("a good key signs").as_ref().to_vec(),
            Secret::Ed25519(pair) => pair.sign(text).as_ref().to_vec(),
            Secret::Hmac(secret) => hmac(self.algorithm, secret.as_bytes(), text),
        }
    }
}

fn padding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS256" => &RSA_PKCS1_SHA256,
        "RS384" => &RSA_PKCS1_SHA384,
        "RS512" => &RSA_PKCS1_SHA512,
        "PS256" => &RSA_PSS_SHA256,
        "PS384" => &RSA_PSS_SHA384,
        "PS512" => &RSA_PSS_SHA512,
        other => unreachable!("{other} is no algorithm of RSA"),
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

/// Long enough for every one of them: 86 characters.
fn shared_secret() -> Secret {
    Secret::Hmac(URL_SAFE_NO_PAD.encode([random(), random()].concat()))
}

fn hmac(algorithm: &str, secret: &[u8], text: &[u8]) -> Vec<u8> {
    let hash = match algorithm {
        "HS384" => ring::hmac::HMAC_SHA384,
        "HS512" => ring::hmac::HMAC_SHA512,
        _ => ring::hmac::HMAC_SHA256,
    };
    let key = ring::hmac::Key::new(hash, secret);
    ring::hmac::sign(&key, text).as_ref().to_vec()
}

/// A bit of the middle is turned over: the length and the form stay good.
fn tampered(mut signature: Vec<u8>) -> Vec<u8> {
    let middle = signature.len() / 2;
    signature[middle] ^= 0x10;
    signature
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
        takes!("rs384", RS384PublicKey);
        takes!("rs512", RS512PublicKey);
        takes!("ps256", PS256PublicKey);
        takes!("ps384", PS384PublicKey);
        takes!("ps512", PS512PublicKey);
        takes!("es256", ES256PublicKey);
        takes!("es384", ES384PublicKey);
        takes!("eddsa", Ed25519PublicKey);
        macro_rules! takes_mac {
            ($name:literal, $key:ident) => {
                let secret = $key::from_bytes(keys.hmac_secret($name).unwrap().as_bytes());
                assert!(secret.verify_token::<NoCustomClaims>(&mint($name), options()).is_ok(), $name);
            };
        }
        takes_mac!("hs256", HS256Key);
        takes_mac!("hs384", HS384Key);
        takes_mac!("hs512", HS512Key);
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
