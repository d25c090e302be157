//! A new API key, and the entry of a policy that takes it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use jwt_simple::prelude::HS256Key;
use portcullis_filter::guards::identity::api_key::KeyHash;
use portcullis_filter::json::Json;
use portcullis_filter::limits;
use portcullis_filter::policy::Policy;
use portcullis_filter::problem::Severity;
use portcullis_filter::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::moment;

/// API keys for clients.
#[derive(Subcommand)]
pub(crate) enum ApiKey {
    /// Make a key of 256 random bits, and print it and its entry for `apiKeyAuth.keys`.
    ///
    /// The first line is the key: give it to the client, it is kept nowhere and cannot be shown again. The second line is the entry to paste
    /// into the policy; it holds a hash, and nobody finds the key by it.
    ///
    /// Example: portcullis apikey new --client partner-a --scope orders.read --tier gold --expires 90d
    New(New),
}

/// `portcullis apikey new`
#[derive(Args)]
pub(crate) struct New {
    /// Whose key it will be: letters, digits, `.`, `_` and `-`.
    #[arg(long, value_name = "NAME")]
    client: String,
    /// A scope of the key; more than one may be given.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The client's tier.
    #[arg(long)]
    tier: Option<String>,
    /// When it expires: in so long from now (`90d`, `12h`), or a point in time (`2027-01-31T00:00:00Z`). Without it: never.
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Make the keyed form, under the pepper in this environment variable (32 bytes or more), which the gateway must be given too
    /// (`apiKeyAuth.pepper.env`).
    #[arg(long, value_name = "VARIABLE")]
    pepper_env: Option<String>,
}

impl ApiKey {
    pub(crate) fn run(&self) -> ExitCode {
        let Self::New(new) = self;
        match new.make() {
            Ok((key, entry)) => {
                println!("{key}\n{entry}");
                eprintln!(
                    "The first line is the key, shown this once; the second goes into `apiKeyAuth.keys`."
                );
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("portcullis apikey: {error}");
                ExitCode::from(2)
            }
        }
    }
}

impl New {
    fn make(&self) -> Result<(String, String), String> {
        let pepper = self.pepper_env.as_deref().map(pepper).transpose()?;
        let key = random_key();
        let hash = KeyHash::of(key.as_bytes(), pepper.as_deref().map(str::as_bytes));
        let entry = self.entry(&hash)?;
        self.check(&entry)?;
        Ok((key, shown(&entry)))
    }

    fn entry(&self, hash: &KeyHash) -> Result<Map<String, Value>, String> {
        let mut entry = Map::new();
        entry.insert("client".to_owned(), self.client.as_str().into());
        entry.insert("keyHash".to_owned(), hash.to_string().into());
        if !self.scopes.is_empty() {
            entry.insert("scopes".to_owned(), self.scopes.clone().into());
        }
        if let Some(tier) = &self.tier {
            entry.insert("tier".to_owned(), tier.as_str().into());
        }
        if let Some(expires) = &self.expires {
            let time = point_in_time(expires, moment::now())
                .ok_or("--expires: not `90d`, `12h`, or a point in time to come")?;
            entry.insert("expiresAt".to_owned(), time.to_string().into());
        }
        Ok(entry)
    }

    /// By the gateway's own reader: what is printed here is taken there.
    fn check(&self, entry: &Map<String, Value>) -> Result<(), String> {
        let mut keys = json!({"keys": [entry]});
        if let Some(name) = &self.pepper_env {
            keys["pepper"] = json!({"env": name});
        }
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "check", "apiKeyAuth": keys,
            "routes": [{"name": "all", "match": {}, "authentication": {"apiKey": {}}}],
        });
        let document: Json = serde_json::from_value(policy).map_err(|error| error.to_string())?;
        let problems = Policy::compile(&document).err().unwrap_or_default();
        let first = problems.iter().find(|problem| problem.severity == Severity::Error);
        first.map_or(Ok(()), |problem| Err(problem.to_string()))
    }
}

/// An element of `keys`, as JSON, which is YAML too, in the order of the reference.
fn shown(entry: &Map<String, Value>) -> String {
    let order = ["client", "keyHash", "scopes", "tier", "expiresAt"];
    let members = order.iter().filter_map(|name| Some(format!("\"{name}\": {}", entry.get(*name)?)));
    format!("- {{{}}}", members.collect::<Vec<_>>().join(", "))
}

fn pepper(name: &str) -> Result<String, String> {
    let pepper = std::env::var(name).map_err(|error| format!("{name}: {error}"))?;
    if pepper.len() < limits::PEPPER_BYTES_MIN {
        return Err(format!("{name}: shorter than {} bytes", limits::PEPPER_BYTES_MIN));
    }
    Ok(pepper)
}

/// `pck_`, by which people and scanners know it, and 43 letters and digits: 256 bits. Letters and digits alone are selected by a double click
/// and need no encoding anywhere. One in two thousand has no digit and is made anew, so that redaction, which
/// looks for one, knows every key by its shape.
fn random_key() -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const LENGTH: usize = 43;
    loop {
        let mut key = "pck_".to_owned();
        while key.len() < "pck_".len() + LENGTH {
            // The library's way to the system's random numbers: 32 bytes of them.
            let random = HS256Key::generate().to_bytes();
            // 248 is four times 62: a byte above it would make the first letters likelier.
            let letters =
                random.iter().filter(|byte| **byte < 248).map(|byte| ALPHABET[usize::from(byte % 62)]);
            key.extend(letters.take("pck_".len() + LENGTH - key.len()).map(char::from));
        }
        if key.bytes().any(|b| b.is_ascii_digit()) {
            return key;
        }
    }
}

/// So long from now, or a point in time that is to come, in whole seconds.
fn point_in_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    let time = match moment::span(text) {
        Some(span) => Timestamp::from_nanos(now.nanos().checked_add(span)?),
        None => Timestamp::parse(text)?,
    };
    (time > now).then_some(Timestamp::from_seconds(time.seconds()))
}

#[cfg(test)]
mod tests {
    use portcullis_filter::redaction::is_secret_shaped;
    use portcullis_filter::time::Timestamp;

    use super::{point_in_time, random_key};

    #[test]
    fn keys_are_known_by_their_shape() {
        for _ in 0..200 {
            let key = random_key();
            assert_eq!(key.len(), 47);
            assert!(is_secret_shaped(key.as_bytes()) && is_secret_shaped(format!("a={key};b").as_bytes()));
        }
    }

    #[test]
    fn times() {
        let now = Timestamp::from_seconds(1_000_000_000);
        for (text, seconds) in [
            ("90d", Some(1_007_776_000)),
            ("1h", Some(1_000_003_600)),
            ("2001-09-09T01:46:41Z", Some(1_000_000_001)),
            ("2001-09-09T01:46:40Z", None),
            ("0d", None),
            ("-1d", None),
            ("d", None),
            ("90", None),
            ("99999999999999999d", None),
            ("2001-09-10", None),
        ] {
            assert_eq!(point_in_time(text, now).map(Timestamp::seconds), seconds, "{text}");
        }
    }
}
