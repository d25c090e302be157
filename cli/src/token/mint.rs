//! A token with these claims.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Map, Value};

use super::key::Signer;

/// `portcullis token mint`
#[derive(Args)]
pub(crate) struct Mint {
    /// The private JWK, as `portcullis token key` writes it.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Claims as a JSON object; those below are set on top.
    #[arg(long, value_name = "JSON")]
    claims: Option<String>,
    /// `sub`
    #[arg(long)]
    sub: Option<String>,
    /// `iss`
    #[arg(long)]
    iss: Option<String>,
    /// `aud`; more than one makes a list.
    #[arg(long)]
    aud: Vec<String>,
    /// `scope`: blank-separated.
    #[arg(long)]
    scope: Option<String>,
    /// `exp`, in so many seconds from now; negative for a token that has expired. Without this and without an `exp` in `--claims`:
    /// 3600.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    exp: Option<i64>,
    /// `typ` in the header.
    #[arg(long, default_value = "JWT")]
    typ: String,
}

const HOUR: i64 = 3600;

impl Mint {
    pub(crate) fn run(&self) -> Result<String, String> {
        let text =
            std::fs::read_to_string(&self.key).map_err(|error| format!("{}: {error}", self.key.display()))?;
        let signer = Signer::read(&text).map_err(|error| format!("{}: {error}", self.key.display()))?;
        signer.sign(self.all_claims()?, Some(&self.typ))
    }

    fn all_claims(&self) -> Result<Map<String, Value>, String> {
        let mut claims: Map<String, Value> = match &self.claims {
            Some(text) => serde_json::from_str(text).map_err(|error| format!("--claims: {error}"))?,
            None => Map::new(),
        };
        for (name, value) in [("sub", &self.sub), ("iss", &self.iss), ("scope", &self.scope)] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.clone().into());
            }
        }
        match self.aud.as_slice() {
            [] => {}
            [one] => drop(claims.insert("aud".to_owned(), one.clone().into())),
            several => drop(claims.insert("aud".to_owned(), several.to_vec().into())),
        }
        let now = now();
        if self.exp.is_some() || !claims.contains_key("exp") {
            let exp = now.saturating_add(self.exp.unwrap_or(HOUR));
            claims.insert("exp".to_owned(), exp.into());
        }
        if !claims.contains_key("iat") {
            claims.insert("iat".to_owned(), now.into());
        }
        Ok(claims)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
