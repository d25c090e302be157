//! Values that are shaped like secrets, made anew each time with the checksums that they must have, and values that are not. None of the
//! former is ever committed: a scanner would find it.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

/// A source of numbers that anybody can repeat who knows its seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// So many characters of an alphabet.
    pub fn text(&mut self, alphabet: &str, count: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..count).map(|_| *self.one(&letters)).collect()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| u8::try_from(self.below(256)).unwrap_or(0)).collect()
    }
}

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdef";
const BASE32: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Every kind of secret, by its name.
pub const KINDS: [&str; 27] = [
    "jwt",
    "aws",
    "github",
    "github-fine",
    "gitlab",
    "stripe",
    "stripe-restricted",
    "stripe-hook",
    "slack",
    "google",
    "google-oauth",
    "sendgrid",
    "npm",
    "pypi",
    "vault",
    "digitalocean",
    "shopify",
    "openai",
    "anthropic",
    "portcullis",
    "hex32",
    "hex64",
    "base62",
    "base64url",
    "base64",
    "card",
    "iban",
];

/// One of that kind.
pub fn secret(kind: &str, dice: &mut Dice) -> String {
    let joined = |prefix: &str, alphabet: &str, count: usize, dice: &mut Dice| {
        format!("{prefix}{}", dice.text(alphabet, count))
    };
    match kind {
        "jwt" => {
            let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let claims = json!({"sub": dice.text(BASE36, 8), "exp": 2_000_000_000});
            format!(
                "{}.{}.{}",
                part(&json!({"alg": "RS256"})),
                part(&claims),
                URL_SAFE_NO_PAD.encode(dice.bytes(64))
            )
        }
        "aws" => joined(dice.one(&["AKIA", "ASIA"]).to_owned(), BASE32, 16, dice),
        "github" => github(dice),
        "github-fine" => format!("{}_{}", joined("github_pat_", BASE62, 22, dice), dice.text(BASE62, 59)),
        "gitlab" => joined("glpat-", BASE62, 20, dice),
        "stripe" => joined("sk_live_", BASE62, 24, dice),
        "stripe-restricted" => joined("rk_live_", BASE62, 24, dice),
        "stripe-hook" => joined("whsec_", BASE62, 32, dice),
        "slack" => format!(
            "{}-{}-{}",
            joined("xoxb-", DIGITS, 12, dice),
            dice.text(DIGITS, 12),
            dice.text(BASE62, 24)
        ),
        "google" => joined("AIza", BASE62, 35, dice),
        "google-oauth" => joined("ya29.", BASE62, 60, dice),
        "sendgrid" => format!("{}.{}", joined("SG.", BASE62, 22, dice), dice.text(BASE62, 43)),
        "npm" => joined("npm_", BASE62, 36, dice),
        "pypi" => joined("pypi-", BASE62, 80, dice),
        "vault" => joined("hvs.", BASE62, 24, dice),
        "digitalocean" => joined("dop_v1_", HEX, 64, dice),
        "shopify" => joined("shpat_", HEX, 32, dice),
        "openai" => joined("sk-", BASE62, 48, dice),
        "anthropic" => joined("sk-ant-", BASE62, 40, dice),
        "portcullis" => joined("pck_", BASE62, 43, dice),
        "hex32" => dice.text(HEX, 32),
        "hex64" => dice.text(HEX, 64),
        "base62" => dice.text(BASE62, 40),
        "base64url" => URL_SAFE_NO_PAD.encode(dice.bytes(32)),
        "base64" => STANDARD.encode(dice.bytes(36)),
        "card" => card(dice),
        _ => iban(dice),
    }
}

/// A token of GitHub's: thirty random characters, and six that are the CRC-32 of them in base 62.
fn github(dice: &mut Dice) -> String {
    let random = dice.text(BASE62, 30);
    let mut crc = random.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    }) ^ u32::MAX;
    let mut check = [0_u8; 6];
    for place in check.iter_mut().rev() {
        *place = BASE62.as_bytes()[usize::try_from(crc % 62).unwrap_or(0)];
        crc /= 62;
    }
    format!("ghp_{random}{}", String::from_utf8_lossy(&check))
}

/// A number of a payment card, with its check digit by Luhn.
fn card(dice: &mut Dice) -> String {
    let (start, length) = *dice.one(&[
        ("4", 16),
        ("51", 16),
        ("2221", 16),
        ("34", 15),
        ("6011", 16),
        ("3528", 16),
        ("36", 14),
        ("62", 19),
    ]);
    let body = format!("{start}{}", dice.text(DIGITS, length - start.len() - 1));
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let digits = body.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 =
        digits.enumerate().map(|(at, digit)| if at % 2 == 0 { doubled(digit) } else { digit }).sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// A number of an account, with its check digits by 97.
fn iban(dice: &mut Dice) -> String {
    let (country, length) =
        *dice.one(&[("DE", 18), ("FR", 23), ("GB", 18), ("NL", 14), ("NO", 11), ("MT", 27)]);
    let account = dice.text(DIGITS, length);
    let rest = format!("{account}{country}00").chars().fold(0, |sum, c| {
        let value = c.to_digit(36).unwrap_or(0);
        (sum * if value > 9 { 100 } else { 10 } + value) % 97
    });
    format!("{country}{:02}{account}", 98 - rest)
}

/// Every kind of ordinary text, by its name.
pub const ORDINARY: [&str; 22] = [
    "uuid",
    "ulid",
    "number",
    "millis",
    "snowflake",
    "object-id",
    "short-hash",
    "nanoid",
    "slug",
    "title",
    "camel",
    "constant",
    "date",
    "time",
    "version",
    "pod",
    "file",
    "place",
    "price",
    "sentence",
    "locale",
    "host",
];

const WORDS: [&str; 40] = [
    "order",
    "customer",
    "invoice",
    "summer",
    "winter",
    "blue",
    "green",
    "report",
    "annual",
    "Paris",
    "Berlin",
    "coffee",
    "espresso",
    "machine",
    "review",
    "gateway",
    "service",
    "payment",
    "shipping",
    "return",
    "policy",
    "support",
    "article",
    "category",
    "product",
    "internationalization",
    "configuration",
    "about",
    "things",
    "with",
    "the",
    "best",
    "of",
    "and",
    "how",
    "to",
    "make",
    "bread",
    "yesterday",
    "account",
];

/// One of that kind.
pub fn ordinary(kind: &str, dice: &mut Dice) -> String {
    let words =
        |count: usize, dice: &mut Dice| -> Vec<&str> { (0..count).map(|_| *dice.one(&WORDS)).collect() };
    let large = |word: &str| word[..1].to_uppercase() + &word[1..];
    let two = |bound: usize, dice: &mut Dice| format!("{:02}", 1 + dice.below(bound));
    match kind {
        "uuid" => {
            let hex = |count, dice: &mut Dice| dice.text(HEX, count);
            format!(
                "{}-{}-{}{}-a{}-{}",
                hex(8, dice),
                hex(4, dice),
                dice.one(&["4", "7"]).to_owned(),
                hex(3, dice),
                hex(3, dice),
                hex(12, dice)
            )
        }
        "ulid" => format!("01{}", dice.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24)),
        "number" => {
            let count = 1 + dice.below(12);
            dice.text(DIGITS, count)
        }
        "millis" => format!("17{}", dice.text(DIGITS, 11)),
        "snowflake" => format!("1{}", dice.text(DIGITS, 17)),
        "object-id" => dice.text(HEX, 24),
        "short-hash" => dice.text(HEX, 12),
        "nanoid" => dice.text(BASE62, 21),
        "slug" => {
            let count = 2 + dice.below(6);
            format!("{}-{}", words(count, dice).join("-").to_lowercase(), dice.below(3000))
        }
        "title" => {
            let count = 4 + dice.below(5);
            let count_of_things = dice.below(50);
            format!(
                "{}-{count_of_things}-Things",
                words(count, dice).into_iter().map(large).collect::<Vec<_>>().join("-")
            )
        }
        "camel" => {
            let count = 3 + dice.below(5);
            let version = dice.below(9);
            format!("get{}{version}", words(count, dice).into_iter().map(large).collect::<String>())
        }
        "constant" => words(5, dice).join("_").to_uppercase(),
        "date" => format!("2026-{}-{}", two(12, dice), two(28, dice)),
        "time" => format!(
            "2026-{}-{}T{}:{}:{}.{}Z",
            two(12, dice),
            two(28, dice),
            two(23, dice),
            two(59, dice),
            two(59, dice),
            dice.text(DIGITS, 3)
        ),
        "version" => format!(
            "v{}.{}.{}-rc.{}+build.{}",
            dice.below(9),
            dice.below(30),
            dice.below(99),
            dice.below(9),
            dice.text(HEX, 7)
        ),
        "pod" => format!(
            "{}-{}-{}",
            words(3, dice).join("-").to_lowercase(),
            dice.text("bcdfghjklmnpqrstvwxz2456789", 10),
            dice.text(BASE36, 5)
        ),
        "file" => format!(
            "IMG_2026{}{}_{}_{}.jpeg",
            two(12, dice),
            two(28, dice),
            dice.text(DIGITS, 6),
            words(2, dice).join("_")
        ),
        "place" => format!("48.{},2.{}", dice.text(DIGITS, 6), dice.text(DIGITS, 6)),
        "price" => format!("{}.{} EUR", dice.below(9999), two(99, dice)),
        "sentence" => words(9, dice).join(" "),
        "locale" => dice.one(&["en-GB", "de-DE", "zh-Hant-TW", "sr-Latn-RS"]).to_owned().to_owned(),
        _ => format!(
            "{}.{}.example.com:8443",
            words(2, dice).join("-").to_lowercase(),
            dice.one(&["eu-west-1", "us-east-2"])
        ),
    }
}

/// As a query or a path can hold it.
pub fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
