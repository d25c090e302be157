//! How is a rule's `by` written?

use crate::document::{Default, Field, Key, Shape};
use crate::guards::rate_limit::key::Part;
use crate::json::Json;
use crate::limits;

/// `by[]`, where it is a map.
pub(in crate::guards::rate_limit) const PART: Shape = Shape::new(
    "rateLimit.local.rules[].by[]",
    "A word, or a map with one of these keys. A header or claim that a client can choose is a bucket that a client can choose: \
            put `clientIP` or `subject` beside it.",
    &[
        Key::new("header", "string", Default::Is("–"), "a header's name"),
        Key::new("claim", "string", Default::Is("–"), "a claim's name, nested by dots: `org.dept`"),
        Key::new(
            "clientIP",
            "map",
            Default::Is("–"),
            "the client's network, where one client has more addresses than `clientIP` alone takes for one",
        )
        .nested(&NETWORK),
    ],
);

const NETWORK: Shape = Shape::new(
    "rateLimit.local.rules[].by[].clientIP",
    "How much of an address counts.",
    &[
        Key::new("ipv4PrefixLength", "integer", Default::Is("32"), "of an IPv4 address: 8 to 32 bits"),
        Key::new(
            "ipv6PrefixLength",
            "integer",
            Default::Is("64"),
            "of an IPv6 address: 16 to 128 bits; a subscriber has a /64 to a /48",
        ),
    ],
);

type Words = [(&'static str, Part)];

/// The words of a limit's `by`.
const WORDS: [(&str, Part); 6] = [
    ("clientIP", Part::CLIENT_IP),
    ("subject", Part::Subject),
    ("token", Part::Token),
    ("client", Part::Client),
    ("route", Part::Route),
    ("method", Part::Method),
];

/// Reads a limit's `by`.
pub(in crate::guards::rate_limit) fn parts(field: &Field<'_>) -> Option<Vec<Part>> {
    read(field, &WORDS)
}

/// Reads one element of it.
pub(in crate::guards::rate_limit) fn one(field: &Field<'_>) -> Option<Part> {
    part(field, &WORDS)
}

/// Reads the `by` of a rule of failures: who fails is nobody yet, so that only what a request claims can be counted by.
pub(in crate::guards::rate_limit) fn of_failures(field: &Field<'_>) -> Option<Vec<Part>> {
    let words = [
        ("clientIP", Part::CLIENT_IP),
        ("claimedSubject", Part::ClaimedSubject),
        ("apiKeyPrefix", Part::ApiKeyPrefix),
        ("route", Part::Route),
    ];
    let parts = read(field, &words)?;
    if parts.iter().any(|part| matches!(part, Part::Claim(_))) {
        field.error(
            "who fails has no claims that anybody checked",
            "`claimedSubject` is what a token says in `sub`",
        );
        return None;
    }
    Some(parts)
}

fn read(field: &Field<'_>, words: &Words) -> Option<Vec<Part>> {
    let elements = field.list()?;
    if elements.len() > limits::RATE_KEY_PARTS {
        field.error(format!("{} parts, at most {} are possible", elements.len(), limits::RATE_KEY_PARTS), "");
        return None;
    }
    let mut parts: Vec<Part> = Vec::with_capacity(elements.len());
    for element in &elements {
        match part(element, words) {
            Some(part) if parts.iter().any(|other| other.is_like(&part)) => {
                element.error("this part stands twice", "keep one of them");
            }
            Some(part) => parts.push(part),
            None => {}
        }
    }
    (parts.len() == elements.len()).then_some(parts)
}

fn part(field: &Field<'_>, words: &Words) -> Option<Part> {
    if matches!(field.value, Json::Map(_)) {
        return named_part(field);
    }
    let known: Vec<(&'static str, usize)> =
        words.iter().enumerate().map(|(at, (word, _))| (*word, at)).collect();
    let at = field.one_of(&known)?;
    words.get(at).map(|(_, part)| part.clone())
}

fn named_part(field: &Field<'_>) -> Option<Part> {
    let section = field.section(&PART)?;
    let part = match section.present().as_slice() {
        ["header"] => Part::Header(section.get("header")?.header_name()?),
        ["claim"] => Part::Claim(section.get("claim")?.text()?.into()),
        ["clientIP"] => {
            let network = section.get("clientIP")?.section(&NETWORK)?;
            let bits = |key, range, usual| {
                let field = network.get(key);
                field.map_or(Some(usual), |field| u8::try_from(field.integer(range)?).ok())
            };
            let (v4, v6) = (bits("ipv4PrefixLength", 8..=32, 32), bits("ipv6PrefixLength", 16..=128, 64));
            Part::ClientIp { v4: v4?, v6: v6? }
        }
        _ => {
            section
                .error("expected one of `header`, `claim` and `clientIP`", "write a list element for each");
            return None;
        }
    };
    Some(part)
}
