//! What may a client of a journey show? Prepared tokens and keys by name, any of them with a bit turned over, and any claims at all under the
//! issuer's signature.
//!
//! The keys are known to everybody who reads this: they are good for nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_compact::{KeyPair, Noise, Seed};

/// When a journey begins, in seconds since the epoch.
pub const NOW: u64 = 1_800_000_000;
/// An API key that the policies know by its SHA-256.
pub const API_KEY: &str = "pk_0123456789abcdef0123";
/// One that has expired.
pub const OLD_API_KEY: &str = "pk_old_456789abcdef0123";
/// One that the policies know by a hash under the pepper.
pub const PEPPERED_API_KEY: &str = "pk_peppered_abcdef0123";
/// The secret of HS256, and whatever else is a secret in the environment.
pub const SECRET: &str = "a secret of fifty bytes that everybody knows, alas";
/// Claims that one input may have signed. More only cost time.
pub const SIGNED: usize = 8;

/// The credentials that a journey may name.
pub struct Wallet {
    named: Vec<(&'static str, String)>,
}

/// A token that the issuer signed, as it stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The compact form.
    pub token: String,
    /// What was signed, whatever that is.
    pub claims: Vec<u8>,
}

/// What became of a line in which credentials were named.
#[derive(Debug, Default)]
pub struct Filled {
    /// The line.
    pub line: Vec<u8>,
    /// What was signed for it.
    pub minted: Vec<Minted>,
}

/// The issuer's key pair, or somebody else's.
fn key_of(who: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([who; 32]))
}

/// The issuer's key set, as text.
pub fn jwks() -> String {
    let x = URL_SAFE_NO_PAD.encode(*key_of(1).pk);
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","x":"{x}"}}]}}"#)
}

/// A key of the gateway's own, with which it signs, as a private JWK.
pub fn signing_key(which: u8) -> String {
    let (x, d) = (URL_SAFE_NO_PAD.encode(*key_of(which).pk), URL_SAFE_NO_PAD.encode([which; 32]));
    format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{d}"}}"#)
}

/// The digits of an API key's hash, under the pepper or not.
pub fn hash(key: &str, pepper: Option<&str>) -> String {
    let digest = match pepper {
        Some(pepper) => hmac_sha256::HMAC::mac(key.as_bytes(), pepper.as_bytes()),
        None => hmac_sha256::Hash::hash(key.as_bytes()),
    };
    digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn text(header: &str, claims: &[u8]) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn signed(who: u8, header: &str, claims: &[u8]) -> String {
    let text = text(header, claims);
    let signature = key_of(who).sk.sign(text.as_bytes(), None::<Noise>);
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(*signature))
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k"}"#;

impl Default for Wallet {
    fn default() -> Self {
        let good = |subject: &str, more: &str| {
            format!(r#"{{"iss":"i","aud":"a","sub":"{subject}","iat":{NOW},"exp":{}{more}}}"#, NOW + 600)
        };
        let by = |who: u8, header: &str, claims: &str| signed(who, header, claims.as_bytes());
        let hs256 = {
            let claims = good("h", "").replace(r#""iss":"i""#, r#""iss":"h""#);
            let text = text(r#"{"alg":"HS256"}"#, claims.as_bytes());
            let mac = hmac_sha256::HMAC::mac(text.as_bytes(), SECRET.as_bytes());
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
        };
        let scoped = r#","scope":"read write","client_id":"web","tier":"gold","jti":"j1","realm":{"roles":["admin","dev"]},"level":3,"vip":true"#;
        let gone = |exp: u64| format!(r#"{{"iss":"i","aud":"a","sub":"s","iat":{},"exp":{exp}}}"#, NOW - 900);
        let named = vec![
            ("token", by(1, HEADER, &good("s", ""))),
            ("scoped", by(1, HEADER, &good("s", scoped))),
            ("bob", by(1, HEADER, &good("bob", r#","scope":"read","azp":"cli","jti":"j2""#))),
            ("revoked", by(1, HEADER, &good("s", r#","jti":"gone""#))),
            ("stepped", by(1, HEADER, &good("s", &format!(r#","acr":"high","auth_time":{NOW}"#)))),
            ("expired", by(1, HEADER, &gone(NOW - 60))),
            ("early", by(1, HEADER, &good("s", &format!(r#","nbf":{}"#, NOW + 300)))),
            ("long", by(1, HEADER, &gone(NOW + 90_000))),
            ("other", by(1, HEADER, &good("s", "").replace(r#""aud":"a""#, r#""aud":["b"]"#))),
            ("stranger", by(1, HEADER, &good("s", "").replace(r#""iss":"i""#, r#""iss":"x""#))),
            ("forged", by(2, HEADER, &good("s", ""))),
            ("unknown", by(1, r#"{"alg":"EdDSA","kid":"z"}"#, &good("s", ""))),
            ("nokid", by(1, r#"{"alg":"EdDSA"}"#, &good("s", ""))),
            ("none", by(1, r#"{"alg":"none","kid":"k"}"#, &good("s", ""))),
            ("rs256", by(1, r#"{"alg":"RS256","kid":"k"}"#, &good("s", ""))),
            ("typed", by(1, r#"{"alg":"EdDSA","kid":"k","typ":"logout+jwt"}"#, &good("s", ""))),
            ("critical", by(1, r#"{"alg":"EdDSA","kid":"k","crit":["b64"],"b64":false}"#, &good("s", ""))),
            ("hs256", hs256),
            // For whoever is asked about it.
            ("opaque", "opaque-0123456789abcdef".to_owned()),
            ("key", API_KEY.to_owned()),
            ("oldkey", OLD_API_KEY.to_owned()),
            ("pepperedkey", PEPPERED_API_KEY.to_owned()),
            // What a rate limit service says, framed; and the issuer's keys.
            ("yes", "\0\0\0\0\u{2}\u{8}\u{1}".to_owned()),
            ("no", "\0\0\0\0\u{2}\u{8}\u{2}".to_owned()),
            ("jwks", jwks()),
        ];
        Self { named }
    }
}

impl Wallet {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.named.iter().map(|(name, _)| *name)
    }

    /// Puts credentials where a line names them: `{token}` is a prepared one, `{token^77}` the same with bit 77 turned over, and
    /// `[[{"iss":"i"}]]` a token of these claims. What names none stays as it is. `room` is how many may still be signed.
    pub fn fill(&self, line: &[u8], room: usize) -> Filled {
        let mut filled = Filled::default();
        let mut rest = line;
        while let Some((&first, after)) = rest.split_first() {
            if let Some((claims, behind)) = rest.strip_prefix(b"[[").and_then(|inside| split(inside, b"]]"))
                && filled.minted.len() < room
            {
                let token = signed(1, HEADER, claims);
                filled.line.extend_from_slice(token.as_bytes());
                filled.minted.push(Minted { token, claims: claims.to_vec() });
                rest = behind;
            } else if first == b'{'
                && let Some((name, behind)) = split(after, b"}")
                && let Some(value) = self.named(name)
            {
                filled.line.extend(value);
                rest = behind;
            } else {
                filled.line.push(first);
                rest = after;
            }
        }
        filled
    }

    /// The tokens that the issuer signed ahead.
    pub fn minted(&self) -> impl Iterator<Item = Minted> {
        let claims = |token: &str| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok();
        self.named
            .iter()
            .filter_map(move |(_, token)| Some(Minted { token: token.clone(), claims: claims(token)? }))
    }

    fn named(&self, name: &[u8]) -> Option<Vec<u8>> {
        let (name, bit) = match split(name, b"^") {
            Some((name, bit)) => (name, Some(std::str::from_utf8(bit).ok()?.parse::<usize>().ok()?)),
            None => (name, None),
        };
        let (_, value) = self.named.iter().find(|(known, _)| known.as_bytes() == name)?;
        let mut value = value.clone().into_bytes();
        if let Some(bit) = bit {
            let place = bit / 8 % value.len();
            value[place] ^= 1 << (bit % 8);
        }
        Some(value)
    }
}

/// What stands before the first `mark`, and what behind it.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}
