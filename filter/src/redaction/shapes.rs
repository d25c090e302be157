//! Does a word look like a secret?

use std::borrow::Cow;

/// How vendors begin their keys; `pck_` is our own (`portcullis apikey new`). What follows must be at least [`PREFIXED_REST`] long, so that ordinary words stay readable.
const PREFIXES: [&str; 26] = [
    "pck_",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "sk-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "SG.",
    "npm_",
    "pypi-",
    "hvs.",
    "dop_v1_",
];
const PREFIXED_REST: usize = 12;

/// A random word is one of at least this length that mixes upper case, lower case and digits.
const RANDOM: usize = 32;

/// A hexadecimal word of at least this length is a digest or a key. A UUID has dashes and 32 digits.
const HEX: usize = 40;

/// Whether `text` holds a word that is shaped like a secret: a JWT, a vendor's key, a card number, a random word.
pub fn is_secret_shaped(text: &str) -> bool {
    // Nothing shorter has one of the shapes; most words of most requests leave here.
    if text.len() < 13 {
        return false;
    }
    let text = decoded(text);
    // A search for a text costs more than one for a byte, and few texts have the byte.
    if (text.contains('-') && text.contains("-----BEGIN")) || is_card(&text) {
        return true;
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/' | '=' | '~')))
        .any(is_secret_word)
}

fn is_secret_word(word: &str) -> bool {
    is_jwt(word)
        || is_prefixed(word)
        || word.split(['.', '/']).any(|part| is_random(part) || is_long_hex(part))
}

/// `eyJ` is `{"` in base64url; two of them with dots are a JWS even if something stands before it.
fn is_jwt(word: &str) -> bool {
    word.len() >= 20
        && word.match_indices("eyJ").any(|(at, _)| {
            let rest = word.get(at..).unwrap_or_default();
            rest.len() >= 20 && (rest.contains('.') || rest.len() >= RANDOM)
        })
}

/// One walk over the word, and none over one that is too short or has no digit.
fn is_prefixed(word: &str) -> bool {
    let mut rest = word.as_bytes();
    if !rest.iter().any(u8::is_ascii_digit) {
        return false;
    }
    let mut starts = true;
    while rest.len() > PREFIXED_REST {
        if starts && PREFIXES.iter().any(|prefix| is_behind(prefix, rest)) {
            return true;
        }
        let Some((first, others)) = rest.split_first() else { break };
        starts = !first.is_ascii_alphanumeric();
        rest = others;
    }
    false
}

fn is_behind(prefix: &str, text: &[u8]) -> bool {
    text.strip_prefix(prefix.as_bytes())
        .is_some_and(|rest| rest.len() >= PREFIXED_REST && rest.iter().any(u8::is_ascii_digit))
}

fn is_random(word: &str) -> bool {
    let has = |class: fn(&u8) -> bool| word.as_bytes().iter().any(class);
    word.len() >= RANDOM
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

fn is_long_hex(word: &str) -> bool {
    word.len() >= HEX
        && word.bytes().all(|b| b.is_ascii_hexdigit())
        && word.bytes().any(|b| b.is_ascii_digit())
}

/// Thirteen to nineteen digits, perhaps with blanks or dashes between them, that pass Luhn's check (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let enough = text.bytes().filter(u8::is_ascii_digit).nth(12).is_some();
    enough
        && text.split(|c: char| !(c.is_ascii_digit() || c == '-' || c == ' ' || c == '+')).any(|run| {
            let digits: Vec<u32> = run.chars().filter_map(|c| c.to_digit(10)).take(20).collect();
            (13..=19).contains(&digits.len()) && luhn(&digits)
        })
}

fn luhn(digits: &[u32]) -> bool {
    let weigh = |(index, digit): (usize, &u32)| match (index % 2, *digit) {
        (0, digit) => digit,
        (_, digit) if digit > 4 => digit.saturating_mul(2).saturating_sub(9),
        (_, digit) => digit.saturating_mul(2),
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weigh).fold(0, u32::saturating_add);
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// Percent-decoded once, and again while that changes something, at most three times: a secret that is encoded is one.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for _ in 0..3 {
        if !out.contains('%') {
            break;
        }
        out = Cow::Owned(decode_once(&out));
    }
    out
}

fn decode_once(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|two| core::str::from_utf8(two).ok());
        let value = digits.filter(|_| byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::is_secret_shaped;
    use crate::testing::test;

    #[test]
    fn words_in_rows() {
        for (word, secret) in [
            ("eyJhbGciOiJub25lIn0.e30.", true),
            ("x-eyJhbGciOiJub25lIn0.e30.", true),
            ("%65yJhbGciOiJub25lIn0.e30.", true),
            ("%2565yJhbGciOiJub25lIn0.e30.", true),
            ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", true),
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", true),
            ("pck_9hQ2mXv7Rk4TzB1nYw8sLd5cJf3gPa6eUo0iKqNrMxW", true),
            ("a=pck_9hqmxvrktzbnywsldcjfg", true),
            ("AKIAIOSFODNN7EXAMPLE", true),
            ("xoxb-123456789012-abcdefghij", true),
            ("4111 1111 1111 1111", true),
            ("5500-0000-0000-0004", true),
            ("wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY1", true),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", true),
            ("-----BEGIN PRIVATE KEY-----", true),
            ("4111111111111112", false),
            ("0000000000000000", false),
            ("1795489800250", false),
            ("018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", false),
            ("a-long-but-quite-ordinary-slug-of-words", false),
            ("InternationalizationConfiguration", false),
            ("desk-4eC39HqLyjWDarjt", false),
            ("orders", false),
            ("", false),
        ] {
            assert_eq!(is_secret_shaped(word), secret, "{word}");
        }
    }
}
