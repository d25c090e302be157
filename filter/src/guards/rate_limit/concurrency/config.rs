//! How is `rateLimit.concurrency` written?

use super::Rule;
use crate::decision::Mode;
use crate::document::{Default, Field, Key, Shape};
use crate::guards::rate_limit::config::{self, part};
use crate::guards::rate_limit::rules::Scope;
use crate::limits;

/// `rateLimit.concurrency`
pub const CONCURRENCY: Shape = Shape::new(
    "rateLimit.concurrency",
    "How many requests may be under way at once, over all workers of one proxy. A request counts from its admission until its stream is over, however \
            it ends. One too many is refused with 429. What a worker held that died counts for up to 30 s more, and so do requests of a policy \
            that was replaced, which then no longer count.",
    &[Key::new("rules", "list of rules", Default::Required, "1 to 16 rules; all of them must have room")
        .nested(&RULE)],
);

const RULE: Shape = Shape::new(
    "rateLimit.concurrency.rules[]",
    "A number of requests for each key.",
    &[
        Key::new("name", "string", Default::Required, "as that of a limit"),
        Key::new("by", "as that of a limit", Default::Is("all together"), "whose requests count together")
            .nested(&part::PART),
        Key::new("requests", "integer", Default::Required, "1 to 1,000,000: so many may be under way"),
        Key::new("mode", "`Enforce` or `Shadow`", Default::Is("`Enforce`"), "as that of a limit"),
    ],
);

/// Reads a `rateLimit.concurrency`.
pub fn read(field: &Field<'_>, scope: Scope<'_>) -> Option<Vec<Rule>> {
    let list = field.section(&CONCURRENCY)?.get("rules")?;
    config::rules_of(&list, |element| rule(element, scope))
}

fn rule(field: &Field<'_>, scope: Scope<'_>) -> Option<Rule> {
    let section = field.section(&RULE)?;
    let name = section.get("name").and_then(|field| config::name(&field));
    let by = section.get("by").map_or(Some(Vec::new()), |field| part::parts(&field));
    let most = section.get("requests").and_then(|field| field.integer(1..=limits::CONCURRENCY_MAX));
    let mode = match section.get("mode") {
        None => Some(Mode::Enforce),
        Some(field) => field.one_of(&Mode::WORDS),
    };
    let name = name?;
    let most = u32::try_from(most?).ok()?;
    Some(Rule { name: name.into(), scope: scope.concurrency(name), by: by?, most, mode: mode? })
}
