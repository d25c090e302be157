//! Keys and tokens to try a policy with. For development: nothing here guards a production key.

mod key;
mod mint;
mod rsa;

use std::process::ExitCode;

use clap::Subcommand;

/// Keys and tokens for development. Do not sign with them what anybody relies on.
#[derive(Subcommand)]
pub(crate) enum Token {
    /// Make a private key, write it to a file as a JWK, and print the public JWKS for `localJWKS.inline`.
    Key(key::Key),
    /// Sign a token with such a key, and print it.
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
