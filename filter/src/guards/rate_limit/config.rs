//! How is `rateLimit` written?

use super::gcra::{Rate, RateFault};
use super::global;
use super::key::Part;
use super::rules::{Rule, Rules, Scope, Unit};
use crate::decision::Mode;
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::json::Json;
use crate::{http, limits};

/// `rateLimit`, of `defaults` and of a route.
pub const RATE_LIMIT: Shape = Shape {
    name: "rateLimit",
    about: "How often a caller may come. A request over a limit is refused with 429, `Retry-After`, `RateLimit` and `RateLimit-Policy`. \
            Under `defaults` the buckets are shared by all routes that use them; on a route they are the route's own.",
    keys: &[
        Key::new(
            "local",
            "map",
            Default::Is("no limit"),
            "limits that this proxy keeps, exactly, across its workers",
        )
        .nested(&LOCAL),
        Key::new(
            "global",
            "map",
            Default::Is("no limit"),
            "one limit across many gateways, kept by a rate limit service",
        )
        .nested(&global::GLOBAL),
    ],
};

const LOCAL: Shape = Shape {
    name: "rateLimit.local",
    about: "Limits that hold for all workers of one proxy together; two proxies admit the limit each. The state is bounded (262,144 keys \
            in about 7 MiB of shared data) and survives a policy update. When there are more active keys than that, a newcomer starts with a \
            bucket that is not full: nobody ever gets more than the limit.",
    keys: &[Key::new(
        "rules",
        "list of rules",
        Default::Required,
        "1 to 16 limits; all of them must admit a request, and when one refuses, none is spent",
    )
    .nested(&RULE)],
};

const RULE: Shape = Shape {
    name: "rateLimit.local.rules[]",
    about: "A token bucket for each key: it holds `burst` requests and fills at the rate of `limit`. In any time span, at most `burst` plus \
            the rate times the span pass. If a bucket cannot be charged (a host call fails), the request is refused with 503.",
    keys: &[
        Key::new(
            "name",
            "string",
            Default::Required,
            "named in the `RateLimit` header and the audit event: up to 64 letters, digits, `-`, `_` and `.`; a rule that keeps its name keeps its state across policy updates",
        ),
        Key::new(
            "by",
            "list of `clientIP`, `subject`, `client`, `route`, `method`, `{header: name}`, `{claim: name}`",
            Default::Is("one bucket for all"),
            "who shares a bucket: the requests that are equal in all of these. `clientIP` is an IPv4 address or an IPv6 /64; `subject` (`sub`), `client` \
             (`client_id`, else `azp`; that of the API key) and claims count within their issuer; a header counts with all its values. Requests that lack a part \
             (no subject on an open route or of an API key, no such header) share one bucket among them",
        )
        .nested(&PART),
        Key::new("limit", "map", Default::Required, "the rate").nested(&LIMIT),
        Key::new(
            "burst",
            "integer",
            Default::Is("`limit.requests`"),
            "how many requests may come at once; at the rate of `limit`, they may take up to 31 days to come back",
        ),
        Key::new(
            "tiers",
            "map",
            Default::NotBuilt("write one route or one rule for each tier"),
            "other rates, by a claim or the API key's tier",
        ),
        Key::new(
            "cost",
            "integer",
            Default::NotBuilt("every request costs 1; leave the key out"),
            "how much one request takes",
        ),
        Key::new(
            "mode",
            "`Enforce` or `Shadow`",
            Default::Is("`Enforce`"),
            "`Shadow` counts and audits what it would refuse, and lets it pass",
        ),
    ],
};

const PART: Shape = Shape {
    name: "rateLimit.local.rules[].by[]",
    about: "A word, or a map with one of these keys. A header or claim that a client can choose is a bucket that a client can choose: \
            put `clientIP` or `subject` beside it.",
    keys: &[
        Key::new("header", "string", Default::Is("–"), "a header's name"),
        Key::new("claim", "string", Default::Is("–"), "a claim's name, nested by dots: `org.dept`"),
    ],
};

const LIMIT: Shape = Shape {
    name: "rateLimit.local.rules[].limit",
    about: "`requests` in a `unit`, evenly: 60 a `Minute` is one a second, with a burst.",
    keys: &[
        Key::new("requests", "integer", Default::Required, "at least 1, at most a million a second"),
        Key::new(
            "unit",
            "`Second`, `Minute`, `Hour` or `Day`",
            Default::Required,
            "60 s, 3,600 s, 86,400 s from any moment on: no midnight is meant",
        ),
    ],
};

/// Reads a `rateLimit`. Every problem is noted; `None` if one of them leaves no rules to speak of.
pub fn read(field: &Field<'_>, scope: Scope<'_>) -> Option<Rules> {
    let section = field.section(&RATE_LIMIT)?;
    if section.present().is_empty() {
        let help = "write `local` with its `rules`, `global`, or leave `rateLimit` out";
        section.error("there is no limit in it", help);
    }
    // Both are read before the first `?`, so that every problem is noted.
    let rules = section.get("local").map_or(Some(Vec::new()), |field| local(&field, scope));
    let has_local = rules.as_ref().is_none_or(|rules| rules.iter().any(|rule| rule.mode == Mode::Enforce));
    let global = section.get("global").map(|field| global::read(&field, has_local));
    let (rules, global) = (rules?, if let Some(global) = global { Some(Box::new(global?)) } else { None });
    (global.is_some() || !rules.is_empty()).then_some(Rules { rules, global })
}

fn local(field: &Field<'_>, scope: Scope<'_>) -> Option<Vec<Rule>> {
    let list = field.section(&LOCAL)?.get("rules")?;
    let elements = list.list()?;
    if elements.len() > limits::RATE_RULES {
        list.error(
            format!("{} rules, at most {} are possible", elements.len(), limits::RATE_RULES),
            "each rule costs time on every request",
        );
        return None;
    }
    let read: Vec<Option<Rule>> = elements.iter().map(|element| rule(element, scope)).collect();
    let unique = doubled(&elements);
    let rules: Option<Vec<Rule>> = read.into_iter().collect();
    rules.filter(|_| unique)
}

/// Notes every name that stands a second time; whether there is none.
pub(super) fn doubled(elements: &[Field<'_>]) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
    for element in elements {
        let Some(name) = element.value.get("name").and_then(Json::as_text) else {
            continue;
        };
        if seen.contains(&name) {
            element.error(
                format!("two rules are named {}", quoted(name)),
                "give each its own name: the name is the bucket's",
            );
            unique = false;
        } else {
            seen.push(name);
        }
    }
    unique
}

fn rule(field: &Field<'_>, scope: Scope<'_>) -> Option<Rule> {
    let section = field.section(&RULE)?;
    // Each key is read before the first `?`, so that every problem is noted.
    let name = section.get("name").and_then(|field| name(&field));
    let by = section.get("by").map_or(Some(Vec::new()), |field| parts(&field));
    let limit = rate(&section);
    let mode = match section.get("mode") {
        None => Some(Mode::Enforce),
        Some(field) => field.one_of(&Mode::WORDS),
    };
    let (name, (rate, requests, unit)) = (name?, limit?);
    (!section.has("tiers") && !section.has("cost")).then_some(())?;
    Some(Rule { name: name.into(), scope: scope.of(name), by: by?, rate, requests, unit, mode: mode? })
}

/// The name goes into a header, as it is.
fn name<'d>(field: &Field<'d>) -> Option<&'d str> {
    let name = field.text()?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if plain && name.len() <= 64 {
        return Some(name);
    }
    field.error(
        format!("{} cannot be a rule's name", quoted(name)),
        "use up to 64 letters, digits, `-`, `_` and `.`",
    );
    None
}

fn rate(section: &Section<'_>) -> Option<(Rate, u64, Unit)> {
    let field = section.get("limit");
    let limit = field.as_ref().and_then(|field| field.section(&LIMIT));
    let unit = limit.as_ref().and_then(|limit| limit.get("unit")?.one_of(&Unit::WORDS));
    // The bound is that of the unit; without one, that of the longest.
    let most = unit.unwrap_or(Unit::Day).nanos() / limits::RATE_INTERVAL_MIN;
    let requests = limit.as_ref().and_then(|limit| limit.get("requests")?.integer(1..=most));
    let burst = match section.get("burst") {
        None => requests,
        Some(field) => field.integer(1..=u64::MAX),
    };
    let (unit, requests, burst) = (unit?, requests?, burst?);
    let fault = match Rate::new(requests, unit.nanos(), burst) {
        Ok(rate) => return Some((rate, requests, unit)),
        Err(fault) => fault,
    };
    let (message, help) = match fault {
        RateFault::Zero => ("a rate or burst of zero admits nobody", "at least 1"),
        RateFault::TooFast => ("more than a million requests a second", "leave the rule out"),
        RateFault::TooLong => (
            "at this rate, the burst takes more than 31 days to come back",
            "lower `burst` or raise `limit.requests`",
        ),
    };
    section.error(message, help);
    None
}

fn parts(field: &Field<'_>) -> Option<Vec<Part>> {
    let elements = field.list()?;
    if elements.len() > limits::RATE_KEY_PARTS {
        field.error(format!("{} parts, at most {} are possible", elements.len(), limits::RATE_KEY_PARTS), "");
        return None;
    }
    let mut parts: Vec<Part> = Vec::with_capacity(elements.len());
    for element in &elements {
        match part(element) {
            Some(part) if parts.contains(&part) => {
                element.error("this part stands twice", "keep one of them");
            }
            Some(part) => parts.push(part),
            None => {}
        }
    }
    (parts.len() == elements.len()).then_some(parts)
}

pub(super) fn part(field: &Field<'_>) -> Option<Part> {
    if matches!(field.value, Json::Map(_)) {
        return named_part(field);
    }
    let words = [
        ("clientIP", Some(Part::ClientIp)),
        ("subject", Some(Part::Subject)),
        ("client", Some(Part::Client)),
        ("route", Some(Part::Route)),
        ("method", Some(Part::Method)),
        ("token", None),
    ];
    let known: Vec<(&'static str, usize)> =
        words.iter().enumerate().map(|(at, (word, _))| (*word, at)).collect();
    let at = field.one_of(&known)?;
    let part = words.into_iter().nth(at)?.1;
    if part.is_none() {
        field.error("not built yet in this version", "`subject` or `client` say who holds the token");
    }
    part
}

fn named_part(field: &Field<'_>) -> Option<Part> {
    let section = field.section(&PART)?;
    let part = match section.present().as_slice() {
        ["header"] => {
            let name = section.get("header")?;
            let lower = name.text()?.to_ascii_lowercase();
            if !http::is_field_name(&lower) {
                name.error(format!("{} cannot be a header's name", quoted(&lower)), "");
                return None;
            }
            Part::Header(lower.into())
        }
        ["claim"] => Part::Claim(section.get("claim")?.text()?.into()),
        _ => {
            section.error("expected one of `header` and `claim`", "write a list element for each");
            return None;
        }
    };
    Some(part)
}
