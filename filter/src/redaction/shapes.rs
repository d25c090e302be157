//! Does a word look like a secret?

use std::borrow::Cow;

use crate::hex;

/// How vendors begin their keys, as nothing else begins; `pck_` is our own (`portcullis apikey new`). What follows must be at least
/// [`PREFIXED_REST`] long.
const STRONG: [&str; 36] = [
    "pck_",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glptt-",
    "gldt-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "xoxr-",
    "xoxe-",
    "xapp-",
    "AIza",
    "ya29.",
    "GOCSPX-",
    "hvs.",
    "hvb.",
    "dop_v1_",
    "doo_v1_",
    "shpat_",
    "shpss_",
    "sq0atp-",
    "sq0csp-",
    "lin_api_",
    "sk-ant-",
    "AGE-SECRET-KEY-",
];
/// How words and names begin, too: what follows must also have a digit, or both cases.
const WEAK: [&str; 6] = ["sk-", "SG.", "npm_", "pypi-", "hf_", "figd_"];
const PREFIXED_REST: usize = 12;

/// How identifiers of access keys begin at Amazon: sixteen of `A-Z` and `2-7` follow.
const AMAZON: [&str; 4] = ["AKIA", "ASIA", "ABIA", "ACCA"];

/// A random word has at least so many letters and digits: 32 of hexadecimal are 128 bits.
const RANDOM: usize = 32;

/// Whether `text` holds a word that is shaped like a secret: a JWT, a vendor's key, a number of a card or an account, a random word.
pub fn is_secret_shaped(text: &[u8]) -> bool {
    // Nothing shorter has one of the shapes; most words of most requests leave here.
    if text.len() < 13 || is_uuid(text) {
        return false;
    }
    let seen = Seen::of(text);
    if seen.percents == 0 { has_shape(text, &seen) } else { is_decoded_secret(text) }
}

fn is_decoded_secret(text: &[u8]) -> bool {
    let text = decoded(text);
    has_shape(&text, &Seen::of(&text))
}

/// What one walk over a text tells of it, so that most texts are not walked over again for each shape.
#[derive(Default)]
struct Seen {
    digits: usize,
    dashes: usize,
    percents: usize,
    /// `J`, without which there is no JWT.
    jays: usize,
}

impl Seen {
    fn of(text: &[u8]) -> Self {
        let mut seen = Self::default();
        for byte in text {
            let count = match byte {
                b'0'..=b'9' => &mut seen.digits,
                b'-' => &mut seen.dashes,
                b'%' => &mut seen.percents,
                b'J' => &mut seen.jays,
                _ => continue,
            };
            *count = count.saturating_add(1);
        }
        seen
    }
}

fn has_shape(text: &[u8], seen: &Seen) -> bool {
    (seen.dashes >= 5 && around(text, b"-----", b"BEGIN").next().is_some())
        || (seen.digits >= 13 && is_card(text))
        // Two check digits, and one of the account's at least.
        || (seen.digits >= 3 && is_account(text))
        || text.split(|b| !is_of_word(*b)).any(|word| is_secret_word(word, seen))
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'/' | b'=' | b'~')
}

/// RFC 9562 §4. It has none of the shapes, and every request has one: the id that the proxy gave it.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    let Ok(text) = <&[u8; 36]>::try_from(text) else { return false };
    let dashes = [8, 13, 18, 23].iter().all(|at| text.get(*at) == Some(&b'-'));
    // With the four dashes, 32 others: those that are no digits are no more than these four.
    dashes && text.iter().filter(|byte| !byte.is_ascii_hexdigit()).count() == 4
}

fn is_secret_word(word: &[u8], seen: &Seen) -> bool {
    (seen.jays > 0 && is_jwt(word)) || is_prefixed(word) || is_random(word)
}

/// `eyJ` is `{"` in base64url; two of them with dots are a JWS even if something stands before it.
fn is_jwt(word: &[u8]) -> bool {
    word.len() >= 20
        && around(word, b"ey", b"J").any(|rest| {
            let length = rest.len().saturating_add(2);
            length >= 20 && (rest.contains(&b'.') || length >= RANDOM)
        })
}

/// What follows each `before` that has `after` behind it, from `after` on. It looks for one byte, the first of `after`, which few texts
/// have: a search for a text takes longer to prepare than most texts take to walk over.
fn around<'t>(text: &'t [u8], before: &'static [u8], after: &'static [u8]) -> impl Iterator<Item = &'t [u8]> {
    let first = after.first();
    let places = text.iter().enumerate().filter(move |(_, byte)| Some(*byte) == first);
    places.filter_map(move |(at, _)| {
        let (left, right) = text.split_at_checked(at)?;
        (left.ends_with(before) && right.starts_with(after)).then_some(right)
    })
}

/// One walk over the word.
fn is_prefixed(word: &[u8]) -> bool {
    let mut rest = word;
    let mut starts = true;
    while let (Some((first, others)), true) = (rest.split_first(), rest.len() > PREFIXED_REST) {
        if starts && is_key(*first, rest) {
            return true;
        }
        starts = !first.is_ascii_alphanumeric();
        rest = others;
    }
    false
}

/// Whether a vendor's key begins here.
fn is_key(first: u8, text: &[u8]) -> bool {
    // All prefixes begin with one of these, and few words do.
    if !b"pswrgxAyGhdlSnf".contains(&first) {
        return false;
    }
    let behind = |prefix: &&str| {
        // Most prefixes differ in the first byte, and that is told without a comparison of texts.
        let prefix = prefix.as_bytes();
        let rest = (prefix.first() == Some(&first)).then(|| text.strip_prefix(prefix))??;
        (rest.len() >= PREFIXED_REST).then_some(rest)
    };
    let has = |rest: &[u8], class: fn(&u8) -> bool| rest.iter().any(class);
    let amazon = |rest: &[u8]| {
        let (id, more) = rest.split_at_checked(16)?;
        let whole = more.first().is_none_or(|b| !b.is_ascii_alphanumeric());
        (whole && id.iter().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7'))).then_some(())
    };
    STRONG.iter().any(|prefix| behind(prefix).is_some())
        || AMAZON.iter().filter_map(behind).any(|rest| amazon(rest).is_some())
        || WEAK.iter().filter_map(behind).any(|rest| {
            has(rest, u8::is_ascii_digit)
                || (has(rest, u8::is_ascii_uppercase) && has(rest, u8::is_ascii_lowercase))
        })
}

/// A word that nobody has chosen: in one piece, or in base64 with its dashes, dots and slashes. A UUID is none.
fn is_random(word: &[u8]) -> bool {
    word.len() >= RANDOM
        && (word.split(|b| !b.is_ascii_alphanumeric()).any(is_random_piece) || is_mixed(word))
}

/// So many letters and digits in one: hexadecimal, base32, base36, base62. People write no such words but in camel case, which has no digit
/// between and seldom two capitals in a row.
fn is_random_piece(piece: &[u8]) -> bool {
    if piece.len() < RANDOM {
        return false;
    }
    let has = |class: fn(&u8) -> bool| piece.iter().any(class);
    let (digit, upper, lower) =
        (has(u8::is_ascii_digit), has(u8::is_ascii_uppercase), has(u8::is_ascii_lowercase));
    let capitals = || piece.windows(2).filter(|two| two.iter().all(u8::is_ascii_uppercase)).count();
    match (digit, upper, lower) {
        (true, true, true) => is_mixed(piece),
        (true, _, _) => upper || lower,
        (false, true, _) => capitals() > 2,
        (false, false, _) => false,
    }
}

/// Small and capital letters and digits that change places more often than in what people write: `My-10-Articles` has no change within a
/// word, and `camelCase` one for each hump. Of random letters and digits, every other one is of another kind than the one before.
fn is_mixed(word: &[u8]) -> bool {
    #[derive(Clone, Copy, PartialEq)]
    enum Kind {
        Small,
        Capital,
        Digit,
        None,
    }
    let kind = |b: &u8| match b {
        b'a'..=b'z' => Kind::Small,
        b'A'..=b'Z' => Kind::Capital,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::None,
    };
    let (mut before, mut last) = (Kind::None, Kind::None);
    let (mut kept, mut changes) = (0_usize, 0_usize);
    let (mut small, mut capital, mut digit) = (false, false, false);
    for this in word.iter().map(kind) {
        small |= this == Kind::Small;
        capital |= this == Kind::Capital;
        digit |= this == Kind::Digit;
        if this != Kind::None {
            kept = kept.saturating_add(1);
            // The hump of a camel is one change and not two.
            let hump = last == Kind::Capital && this == Kind::Small && before != Kind::Capital;
            if last != Kind::None && this != last && !hump {
                changes = changes.saturating_add(1);
            }
        }
        (before, last) = (last, this);
    }
    small && capital && digit && kept >= RANDOM && changes.saturating_mul(5) >= kept
}

/// Thirteen to nineteen digits, perhaps with blanks or dashes between them, that begin as a payment card's do (ISO/IEC 7812-1: 3 to 6, and 2221
/// to 2720) and pass Luhn's check.
fn is_card(text: &[u8]) -> bool {
    text.split(|b| !(b.is_ascii_digit() || matches!(b, b'-' | b' ' | b'+'))).any(|run| {
        let digits = run.iter().filter(|b| b.is_ascii_digit()).map(|digit| u32::from(digit & 15));
        (13..=19).contains(&digits.clone().count()) && is_issued(digits.clone()) && luhn(digits)
    })
}

fn is_issued(digits: impl Iterator<Item = u32>) -> bool {
    let four = digits.take(4).fold(0_u32, |n, digit| n.saturating_mul(10).saturating_add(digit));
    matches!(four, 2221..=2720 | 3000..=6999)
}

fn luhn(digits: impl DoubleEndedIterator<Item = u32>) -> bool {
    let weigh = |(index, digit): (usize, u32)| match (index % 2, digit) {
        (0, digit) => digit,
        (_, digit) if digit > 4 => digit.saturating_mul(2).saturating_sub(9),
        (_, digit) => digit.saturating_mul(2),
    };
    let sum = digits.rev().enumerate().map(weigh).fold(0, u32::saturating_add);
    sum.is_multiple_of(10)
}

/// An IBAN (ISO 13616): two letters, two digits, eleven to thirty more, perhaps with blanks between them, that leave 1 by 97.
fn is_account(text: &[u8]) -> bool {
    let run = |run: &[u8]| {
        let kept = run.iter().copied().filter(u8::is_ascii_alphanumeric);
        let letters = kept.clone().take(2).all(|b| b.is_ascii_alphabetic());
        let begins = letters && kept.clone().skip(2).take(2).all(|b| b.is_ascii_digit());
        let rest = kept.clone().skip(4);
        // Most words are no such thing by their first letters.
        if !begins || !(11..=30).contains(&rest.clone().count()) || !rest.clone().any(|b| b.is_ascii_digit())
        {
            return false;
        }
        let rest = rest.chain(kept.take(4)).fold(0_u32, |sum, b| {
            let value = char::from(b).to_digit(36).unwrap_or(0);
            let shift = if value > 9 { 100 } else { 10 };
            sum.saturating_mul(shift).saturating_add(value) % 97
        });
        rest == 1
    };
    text.split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b' ' | b'+'))).any(run)
}

/// Whether the text, decoded, holds an address of electronic mail: what stands before an `@`, and a host with a dot behind it.
pub(super) fn is_mail_address(text: &[u8]) -> bool {
    let text = decoded(text);
    let text = String::from_utf8_lossy(&text);
    text.match_indices('@').any(|(at, _)| {
        let local = text.get(..at).and_then(|local| local.chars().next_back());
        let local = local.is_some_and(|c| c.is_alphanumeric() || matches!(c, '+' | '-' | '_' | '.' | '"'));
        let host: &str = text.get(at..).and_then(|rest| rest.strip_prefix('@')).unwrap_or_default();
        let host =
            host.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.'))).next().unwrap_or_default();
        local && host.split_once('.').is_some_and(|(name, rest)| !name.is_empty() && !rest.is_empty())
    })
}

/// Percent-decoded once, and again while that changes something, at most three times: a secret that is encoded is one.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(text);
    for _ in 0..3 {
        if !out.contains(&b'%') {
            break;
        }
        out = Cow::Owned(decode_once(&out));
    }
    out
}

fn decode_once(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (value, others) = match (byte, tail) {
            (b'%', [high, low, others @ ..]) => (hex::byte(*high, *low), others),
            _ => (None, tail),
        };
        bytes.push(value.unwrap_or(byte));
        rest = if value.is_some() { others } else { tail };
    }
    bytes
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
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", true),
            ("9b2f8c1e4d7a6053b8e1f2c3d4a59687", true),
            ("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", true),
            ("k3j2h4g5f6d7s8a9q1w2e3r4t5y6u7i8", true),
            ("qWErTYuIOpASdfGHjKLzXCvBNmQWertY", true),
            ("AKIAIOSFODNNXEXAMPLE", true),
            ("sk-proj-abcdefABCDEFghij", true),
            ("DE89 3704 0044 0532 0130 00", true),
            ("GB82WEST12345698765432", true),
            ("de89370400440532013000", true),
            ("2221 0000 0000 0009", true),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", true),
            ("-----BEGIN PRIVATE KEY-----", true),
            ("4111111111111112", false),
            ("1795489800250006", false),
            ("DE89370400440532013001", false),
            ("AKIAN-REGION-OF-THE-WORLD", false),
            ("My-Article-about-10-Things-to-do-in-Paris-2026", false),
            ("getUserAccount2PreferencesByCustomerIdentifier", false),
            ("order-018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e-line-7", false),
            ("payment-service-api-7d9f8b6c5d-x2x9z", false),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", false),
            ("507f1f77bcf86cd799439011", false),
            ("sk-bratislava-and-around", false),
            ("THE_LONGEST_CONSTANT_OF_ALL_TIMES_X", false),
            ("00000000000000000000000000000000000001", false),
            ("0000000000000000", false),
            ("1795489800250", false),
            ("018f2f6c-7b1e-7c3a-9d2e-0f1a2b3c4d5e", false),
            ("a-long-but-quite-ordinary-slug-of-words", false),
            ("InternationalizationConfiguration", false),
            ("desk-4eC39HqLyjWDarjt", false),
            ("orders", false),
            ("", false),
        ] {
            assert_eq!(is_secret_shaped(word.as_bytes()), secret, "{word}");
        }
    }
}
