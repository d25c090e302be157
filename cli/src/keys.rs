//! The gateway's signing keys: a new one, and what backends need of one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use jwt_simple::prelude::{ES256KeyPair, Ed25519KeyPair};
use portcullis_filter::guards::assertion::key::{Algorithm as Signing, public_jwks};

use crate::token::write_private;

/// The gateway's own signing keys.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a private key, write it to a file as PKCS#8 in PEM, and print its entry for `signing.keys`.
    ///
    /// Only you can read the file. A file that is there is never overwritten. Put its content into the secret store from which the
    /// gateway's environment is filled, and then delete the file.
    ///
    /// Example: portcullis keys new --kid 2027-a --out 2027-a.pem
    New(New),
    /// Print the public part of a private key as a JWK set, for backends that do not ask the gateway for it.
    ///
    /// The key is in a file (`--file`), or in a variable of the environment (`--env`), as the gateway has it.
    Export(Export),
}

/// `portcullis keys new`
#[derive(Args)]
pub(crate) struct New {
    /// What it will sign with.
    #[arg(long, value_enum, default_value_t = Algorithm::EdDsa)]
    algorithm: Algorithm,
    /// Its name: letters, digits, `.`, `_` and `-`.
    #[arg(long)]
    kid: String,
    /// The variable of the gateway's environment that will hold it.
    #[arg(long, value_name = "NAME", default_value = "SIGNING_KEY")]
    env: String,
    /// The file for it. It must not exist yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `portcullis keys export`
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct From {
    /// The file that holds the private key: PKCS#8 in PEM, or a JWK.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The variable of the environment that holds it.
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
}

#[derive(Args)]
pub(crate) struct Export {
    #[command(flatten)]
    from: From,
    /// What it signs with.
    #[arg(long, value_enum, default_value_t = Algorithm::EdDsa)]
    algorithm: Algorithm,
    /// Its name, as in `signing.keys`.
    #[arg(long)]
    kid: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    #[value(name = "EdDSA")]
    EdDsa,
    #[value(name = "ES256")]
    Es256,
}

impl Algorithm {
    fn signing(self) -> Signing {
        match self {
            Self::EdDsa => Signing::EdDSA,
            Self::Es256 => Signing::ES256,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

impl Keys {
    pub(crate) fn run(&self) -> ExitCode {
        let outcome = match self {
            Self::New(new) => new.run(),
            Self::Export(export) => export.run(),
        };
        match outcome {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("portcullis keys: {error}");
                ExitCode::from(2)
            }
        }
    }
}

impl New {
    fn run(&self) -> Result<String, String> {
        let pem = match self.algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate().to_pem(),
            Algorithm::Es256 => ES256KeyPair::generate().to_pem().map_err(|error| error.to_string())?,
        };
        // By the gateway's own reader: what is written here is taken there.
        public_jwks(self.algorithm.signing(), &named(&self.kid)?, pem.as_bytes())?;
        write_private(&self.out, pem.trim_end())?;
        let (kid, name, env) = (&self.kid, self.algorithm.name(), &self.env);
        Ok(format!(
            "- {{\"kid\": \"{kid}\", \"algorithm\": \"{name}\", \"privateKey\": {{\"env\": \"{env}\"}}}}"
        ))
    }
}

impl Export {
    fn run(&self) -> Result<String, String> {
        let private = match (&self.from.file, &self.from.env) {
            (Some(file), _) => read(file)?,
            (None, Some(name)) => {
                std::env::var(name).map_err(|error| format!("{name}: {error}"))?.into_bytes()
            }
            (None, None) => return Err("neither --file nor --env".to_owned()),
        };
        public_jwks(self.algorithm.signing(), &named(&self.kid)?, &private)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn named(kid: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&kid.len()) && kid.bytes().all(plain) {
        return Ok(kid.to_owned());
    }
    Err("--kid: 1 to 64 letters, digits, `.`, `_` and `-`".to_owned())
}
