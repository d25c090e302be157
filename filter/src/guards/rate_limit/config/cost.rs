//! How is a rule's `cost` written?

use crate::document::{Default, Field, Key, Shape, quoted};
use crate::guards::rate_limit::rules::Cost;
use crate::json::Json;
use crate::{http, limits};

/// `cost`, where it is a map.
pub(super) const COST: Shape = Shape::new(
    "rateLimit.local.rules[].cost",
    "A whole number from 1 to a million, or a map.",
    &[
        Key::new("request", "integer", Default::Is("1"), "what a request takes before it passes"),
        Key::new("methods", "list of maps", Default::Is("none"), "what it takes with some methods instead")
            .nested(&METHODS),
        Key::new(
            "responseHeader",
            "string",
            Default::Is("none"),
            "a header of the upstream's response that says as a whole number what the request has cost in the end; the header is taken off. More than was \
             taken is taken then, so that a bucket can owe up to its burst (a quota only ends); less is given back. Without the header, or \
             with anything else in it, what was taken stays",
        ),
    ],
);

const METHODS: Shape = Shape::new(
    "rateLimit.local.rules[].cost.methods[]",
    "The cost of some methods.",
    &[
        Key::new("methods", "list of strings", Default::Required, "in capital letters: `POST`"),
        Key::new("cost", "integer", Default::Required, "1 to a million"),
    ],
);

/// Reads a `cost`.
pub(super) fn read(field: &Field<'_>) -> Option<Cost> {
    let any = 1..=limits::COST_MAX;
    if !matches!(field.value, Json::Map(_)) {
        return Some(Cost { request: field.integer(any)?, ..Cost::default() });
    }
    let section = field.section(&COST)?;
    let request = section.get("request").map_or(Some(1), |field| field.integer(any));
    let methods = section.get("methods").map_or(Some(Vec::new()), |field| methods(&field));
    let response = match section.get("responseHeader") {
        Some(field) => Some(Some(field.header_name()?)),
        None => Some(None),
    };
    Some(Cost { request: request?, methods: methods?, response: response? })
}

fn methods(field: &Field<'_>) -> Option<Vec<(Box<str>, u64)>> {
    let mut costs: Vec<(Box<str>, u64)> = Vec::new();
    let elements = field.short_list()?;
    let mut whole = true;
    for element in &elements {
        let section = element.section(&METHODS)?;
        let cost = section.get("cost").and_then(|field| field.integer(1..=limits::COST_MAX));
        let names = section.get("methods").and_then(|field| field.texts());
        let (Some(cost), Some(names)) = (cost, names) else {
            whole = false;
            continue;
        };
        for name in names {
            let known = costs.iter().any(|(known, _)| **known == *name);
            let method = name.bytes().all(|b| http::is_token_byte(b) && !b.is_ascii_lowercase());
            if !method || known {
                let fault = if known { "has a cost already" } else { "is not a method" };
                element.error(format!("{} {fault}", quoted(name)), "each method once, in upper case: `POST`");
                whole = false;
            }
            costs.push((name.into(), cost));
        }
    }
    whole.then_some(costs)
}
