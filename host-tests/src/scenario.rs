//! How is a scenario written? A policy, requests, and what must come of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::artifacts;

/// One file of `scenarios/`. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a few words joined by `-`: also the name of its listener, and of the policy if that has none.
    pub name: String,
    /// What would be wrong if it failed.
    pub why: String,
    /// The name of a file in `scenarios/policies/`, without `.yaml`.
    #[serde(default)]
    pub base: Option<String>,
    /// The policy, or what of the base is to be otherwise (RFC 7396: `null` takes away, a list replaces).
    #[serde(default)]
    pub policy: Value,
    /// The plugin's environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the policy is handed over as a `google.protobuf.Struct` instead of a string of JSON.
    #[serde(default)]
    pub carrier: Carrier,
    /// The requests, in order.
    pub requests: Vec<Step>,
}

/// How Envoy hands the policy over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Carrier {
    /// A `StringValue` that holds JSON.
    #[default]
    String,
    /// A `Struct`. The in-process runners have no such carrier and use the string.
    Struct,
}

/// One request and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The request target. It may hold `{{token}}`.
    pub path: String,
    /// The `host` field.
    #[serde(default = "host")]
    pub host: String,
    /// More fields, as pairs of name and value; a value may hold `{{token}}`.
    #[serde(default)]
    pub headers: Vec<(String, Text)>,
    /// So many fields more: `x-many-1: 1`, `x-many-2: 2`.
    #[serde(default)]
    pub more_headers: u32,
    /// A body with `content-length`.
    #[serde(default)]
    pub body: Option<Text>,
    /// A body in chunks.
    #[serde(default)]
    pub chunks: Option<Vec<Text>>,
    /// The address from which it comes.
    #[serde(default)]
    pub client: Option<String>,
    /// A token, which goes to `authorization: Bearer …` if no other place has `{{token}}`.
    #[serde(default)]
    pub token: Option<TokenSpec>,
    /// A proof of possession (RFC 9449) of the token, the method and the URL, which goes to `dpop` and makes the token's scheme `DPoP` if no
    /// header has `{{proof}}`. Its claims and header are made as a token's are.
    #[serde(default)]
    pub proof: Option<TokenSpec>,
    /// The SHA-256 of the client's certificate, in hexadecimal. Only where a proxy is played can it be chosen: a real Envoy does not
    /// run such a scenario.
    #[serde(default)]
    pub certificate: Option<String>,
    /// How long after the scenario's start it is sent: `+2s`. Where the clock is real this is waited for.
    #[serde(default)]
    pub at: Option<String>,
    /// How often it is sent.
    #[serde(default = "once")]
    pub repeat: u32,
    /// What must come of it, each time it is sent.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// How often each status must come, in all.
    #[serde(default)]
    pub expect_counts: Option<BTreeMap<String, u32>>,
}

fn get() -> String {
    "GET".to_owned()
}

fn host() -> String {
    "api.example.com".to_owned()
}

fn once() -> u32 {
    1
}

/// Text, or bytes that are no text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// As it stands.
    Plain(String),
    /// `{hex: "c3 28"}`
    Hex(Hex),
    /// `{repeat: a, times: 40000}`
    Repeat(Repeat),
    /// `[{repeat: "[", times: 9}, "1"]`: one behind the other.
    Joined(Vec<Text>),
}

/// Bytes in hexadecimal; blanks do not count.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hex {
    hex: String,
}

/// A text, many times.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    repeat: String,
    times: usize,
}

impl Text {
    /// The bytes, with `{{token}}` replaced.
    pub fn bytes(&self, token: Option<&str>) -> Result<Vec<u8>, String> {
        match self {
            Text::Plain(text) => Ok(fill(text, token).into_bytes()),
            Text::Repeat(Repeat { repeat, times }) => Ok(repeat.repeat(*times).into_bytes()),
            Text::Hex(Hex { hex }) => unhex(hex),
            Text::Joined(pieces) => {
                Ok(pieces.iter().map(|piece| piece.bytes(token)).collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }

    /// Whether a token belongs into it.
    pub fn wants_token(&self) -> bool {
        match self {
            Text::Plain(text) => text.contains("{{token}}"),
            Text::Joined(pieces) => pieces.iter().any(Text::wants_token),
            Text::Hex(_) | Text::Repeat(_) => false,
        }
    }
}

/// Puts the token where the text has `{{token}}`.
pub fn fill(text: &str, token: Option<&str>) -> String {
    text.replace("{{token}}", token.unwrap_or_default())
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).ok();
    let bytes: Option<Vec<u8>> =
        digits.chunks(2).map(|pair| if pair.len() == 2 { byte(pair) } else { None }).collect();
    bytes.ok_or_else(|| format!("`{text}` is not hexadecimal"))
}

/// A token to be made. Without more than a key it is a good one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// Who signs: a name of [`crate::tokens::NAMES`].
    #[serde(default = "rs256")]
    pub key: String,
    /// Members of the header that are to be otherwise; `null` takes one away.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// Claims that are to be otherwise; `now+300` is a time, `null` takes one away.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// The header as it stands, JSON or not.
    #[serde(default)]
    pub header_text: Option<Text>,
    /// The payload as it stands, JSON or not.
    #[serde(default)]
    pub payload_text: Option<Text>,
    /// What is done with the signature.
    #[serde(default)]
    pub signature: Signature,
    /// The whole token as it stands.
    #[serde(default)]
    pub raw: Option<Text>,
}

fn rs256() -> String {
    "rs256".to_owned()
}

impl TokenSpec {
    /// A good token by this key.
    pub fn of(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            header: Map::new(),
            claims: Map::new(),
            header_text: None,
            payload_text: None,
            signature: Signature::Good,
            raw: None,
        }
    }
}

/// What is done with a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Signature {
    /// It is made.
    #[default]
    Good,
    /// One bit is turned over.
    Tampered,
    /// There is none.
    Empty,
    /// An HMAC whose secret is the public key.
    HmacWithPublicKey,
}

/// What must come of a request. What is not named may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The status.
    #[serde(default)]
    pub status: Option<u16>,
    /// `admitted`, or the code of the refusal.
    #[serde(default)]
    pub code: Option<String>,
    /// Fields of the response; `*` in a value stands for anything.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Fields that the response must not have.
    #[serde(default)]
    pub absent: Vec<String>,
    /// What must have reached the upstream.
    #[serde(default)]
    pub upstream: Option<ExpectUpstream>,
    /// Members of the audit event; `*` in a text stands for anything.
    #[serde(default)]
    pub audit: BTreeMap<String, Value>,
    /// Whether there must be an audit event at all.
    #[serde(default)]
    pub audited: Option<bool>,
}

/// What must have reached the upstream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectUpstream {
    /// The request target.
    #[serde(default)]
    pub target: Option<String>,
    /// Fields, each there exactly once.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Fields that must not be there.
    #[serde(default)]
    pub absent: Vec<String>,
}

impl Step {
    /// How long after the scenario's start.
    pub fn offset(&self) -> Result<Duration, String> {
        let Some(text) = &self.at else {
            return Ok(Duration::ZERO);
        };
        let wrong = || format!("`at: {text}` is no time; write `+2s` or `+250ms`");
        let rest = text.strip_prefix('+').ok_or_else(wrong)?;
        if let Some(millis) = rest.strip_suffix("ms") {
            return millis.parse().map(Duration::from_millis).map_err(|_| wrong());
        }
        let seconds = rest.strip_suffix('s').ok_or_else(wrong)?;
        seconds.parse().map(Duration::from_secs).map_err(|_| wrong())
    }
}

/// Where the scenarios are.
pub fn directory() -> PathBuf {
    artifacts::repository().join("host-tests/scenarios")
}

/// Every scenario of the corpus, in the order of the file names.
pub fn load_all() -> Result<Vec<Scenario>, String> {
    let listing = directory().read_dir().map_err(|error| format!("scenarios: {error}"))?;
    let mut files: Vec<PathBuf> = listing.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut scenarios = Vec::new();
    for file in files {
        scenarios.extend(load(&file)?);
    }
    Ok(scenarios)
}

/// The scenarios of one file, which is a list of them.
pub fn load(file: &Path) -> Result<Vec<Scenario>, String> {
    let told = |error: String| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| told(error.to_string()))?;
    let scenarios: Vec<Scenario> = parse(&text).map_err(told)?;
    for scenario in &scenarios {
        check(scenario).map_err(|error| told(format!("{}: {error}", scenario.name)))?;
    }
    Ok(scenarios)
}

/// Reads YAML.
pub fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// The longest that a scenario may wait where the clock is real.
const LONGEST: Duration = Duration::from_secs(2);

fn check(scenario: &Scenario) -> Result<(), String> {
    if scenario.base.is_none() && scenario.policy.is_null() {
        return Err("neither `base` nor `policy`".to_owned());
    }
    for (index, step) in scenario.requests.iter().enumerate() {
        let told = |what: &str| Err(format!("requests[{index}]: {what}"));
        if step.offset()? > LONGEST {
            return told("`at` is later than 2 s, and in a real Envoy that is waited for");
        }
        if step.expect.is_none() && step.expect_counts.is_none() {
            return told("neither `expect` nor `expect_counts`: it would show nothing");
        }
        if step.body.is_some() && step.chunks.is_some() {
            return told("both `body` and `chunks`");
        }
    }
    if scenario.requests.is_empty() {
        return Err("no requests".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Scenario, check, parse};

    const GOOD: &str = "
name: a
why: b
base: jwt
requests:
- path: /x
  headers: [[x-a, plain], [x-b, {hex: 'ff 00'}], [x-c, {repeat: ab, times: 2}]]
  token: {key: es256, claims: {exp: now-1}}
  expect: {status: 200, upstream: {absent: [authorization]}}
- {path: /y, at: +1500ms, repeat: 3, expect_counts: {200: 2, 429: 1}}
";

    #[test]
    fn the_format_reads() {
        let scenario: Scenario = parse(GOOD).unwrap();
        check(&scenario).unwrap();
        let values: Vec<_> =
            scenario.requests[0].headers.iter().map(|(_, value)| value.bytes(None).unwrap()).collect();
        assert_eq!(values, [b"plain".to_vec(), vec![0xff, 0], b"abab".to_vec()]);
        assert_eq!(scenario.requests[1].offset().unwrap().as_millis(), 1500);
        assert_eq!(scenario.requests[1].expect_counts.as_ref().unwrap()["429"], 1);
    }

    #[test]
    fn what_is_unknown_or_shows_nothing_is_refused() {
        for (from, to) in [
            ("why: b", "why: b\nwhat: c"),
            ("status: 200", "statuss: 200"),
            ("times: 2", "times: 2, more: 1"),
            ("key: es256", "kee: es256"),
            ("at: +1500ms", "at: 1500"),
            ("at: +1500ms", "at: +3s"),
            (", expect_counts: {200: 2, 429: 1}", ""),
            ("base: jwt", ""),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let changed = GOOD.replace(from, to);
            let outcome = parse::<Scenario>(&changed).and_then(|scenario| check(&scenario));
            assert!(outcome.is_err(), "{to}");
        }
    }
}
