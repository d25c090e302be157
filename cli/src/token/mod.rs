//! Keys and tokens to try a policy with. For development: nothing here guards a production key.

mod key;
mod mint;
mod rsa;

use std::process::ExitCode;

use clap::Subcommand;

pub(crate) use key::write_private;

/// Keys and tokens for development. Do not sign with them what anybody relies on.
#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a private key, write it to a file as a JWK, and print the public JWKS for `localJWKS.inline`.
    ///
    /// Only you can read the file. A file that is there is never overwritten.
    Key(key::Key),
    /// Sign a token with such a key, and print it.
    ///
    /// Every claim is written as given and nothing is checked, so that a token that fails can be made too. `iat` is set to now unless
    /// `--claims` has one.
    Mint(mint::Mint),
}

impl Token {
    pub(crate) fn run(&self) -> ExitCode {
        let outcome = match self {
            Token::Key(key) => key.run(),
            Token::Mint(mint) => mint.run(),
        };
        match outcome {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("portcullis token: {error}");
                ExitCode::from(2)
            }
        }
    }
}
