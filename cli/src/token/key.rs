//! A signing key, as a JWK (RFC 7517) with its `alg` and `kid`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike as _, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike as _, HeaderOptions, JWTClaims,
    RS256KeyPair, RSAKeyPairLike as _,
};
use serde_json::{Map, Value, json};

use super::rsa;

/// `portcullis token key`
#[derive(Args)]
pub(crate) struct Key {
    /// The algorithm of the tokens that it will sign.
    #[arg(long, value_enum, default_value_t = Algorithm::Es256)]
    alg: Algorithm,
    /// The key's id, `kid` in the tokens.
    #[arg(long, default_value = "dev")]
    kid: String,
    /// The file for the private key. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    #[value(name = "ES256")]
    Es256,
    #[value(name = "EdDSA")]
    EdDsa,
    /// 2048 bits.
    #[value(name = "RS256")]
    Rs256,
}

impl Key {
    pub(crate) fn run(&self) -> Result<String, String> {
        let (private, public) = match self.alg {
            Algorithm::Es256 => {
                let pair = ES256KeyPair::generate();
                (object(&pair.to_jwk())?, object(&pair.public_key().to_jwk())?)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate();
                (object(&pair.to_jwk())?, object(&pair.public_key().to_jwk())?)
            }
            Algorithm::Rs256 => {
                let pair = RS256KeyPair::generate(2048).map_err(|error| error.to_string())?;
                rsa::jwks(&pair.to_der().map_err(|error| error.to_string())?)?
            }
        };
        write_private(&self.out, &self.named(private).to_string())?;
        Ok(json!({"keys": [self.named(public)]}).to_string())
    }

    fn named(&self, mut jwk: Map<String, Value>) -> Value {
        let alg = match self.alg {
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Rs256 => "RS256",
        };
        jwk.insert("alg".to_owned(), alg.into());
        jwk.insert("kid".to_owned(), self.kid.clone().into());
        Value::Object(jwk)
    }
}

fn object(jwk: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(jwk).map_err(|error| error.to_string())
}

/// Never over a key that is there, and for its owner alone.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), String> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| writeln!(file, "{text}"))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// A key that can sign.
pub(crate) enum Signer {
    Es256(ES256KeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RS256KeyPair>),
}

impl Signer {
    /// Reads a private JWK, by its `kty`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let jwk = object(text)?;
        let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or("dev").to_owned();
        let fault = |error: jwt_simple::Error| error.to_string();
        match jwk.get("kty").and_then(Value::as_str) {
            Some("EC") => Ok(Self::Es256(ES256KeyPair::from_jwk(text).map_err(fault)?.with_key_id(&kid))),
            Some("OKP") => Ok(Self::EdDsa(Ed25519KeyPair::from_jwk(text).map_err(fault)?.with_key_id(&kid))),
            Some("RSA") => {
                let pair = RS256KeyPair::from_der(&rsa::der(&jwk)?).map_err(fault)?;
                Ok(Self::Rs256(Box::new(pair.with_key_id(&kid))))
            }
            _ => Err("not a private JWK that `portcullis token key` writes".to_owned()),
        }
    }

    /// Signs `claims`, all of which are written as they stand.
    pub(crate) fn sign(&self, claims: Map<String, Value>, typ: Option<&str>) -> Result<String, String> {
        let claims = JWTClaims {
            issued_at: None,
            expires_at: None,
            invalid_before: None,
            issuer: None,
            subject: None,
            audiences: None,
            jwt_id: None,
            nonce: None,
            custom: claims,
        };
        let options = HeaderOptions { signature_type: typ.map(str::to_owned), ..HeaderOptions::default() };
        match self {
            Self::Es256(pair) => pair.sign_with_options(claims, &options),
            Self::EdDsa(pair) => pair.sign_with_options(claims, &options),
            Self::Rs256(pair) => pair.sign_with_options(claims, &options),
        }
        .map_err(|error| error.to_string())
    }
}
