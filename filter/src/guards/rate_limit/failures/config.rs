//! How is `rateLimit.failures` written?

use super::Rule;
use crate::decision::Mode;
use crate::document::{Default, Field, Key, Shape};
use crate::guards::rate_limit::config::{self, part, plan};
use crate::guards::rate_limit::key::Part;
use crate::guards::rate_limit::rules::Scope;
use crate::limits;

/// `rateLimit.failures`
pub const FAILURES: Shape = Shape::new(
    "rateLimit.failures",
    "How often a client may bring a credential that does not hold: guessing, stuffing and floods of forged tokens. Beyond it, every attempt of that \
            client is refused with 429 and `Retry-After` before its credential is looked at, right or wrong. Counted are refusals with \
            `token_malformed`, `token_too_large`, `token_critical`, `algorithm_unaccepted`, `issuer_unknown`, `key_unknown`, `signature_invalid`, `api_key_invalid`, \
            `token_revoked`, `token_inactive`, `token_binding_mismatch`, `proof_invalid` and `proof_replayed`. A token whose signature this worker \
            remembers is no guess, and passes.",
    &[Key::new(
        "rules",
        "list of rules",
        Default::Required,
        "1 to 16 rules; all of them must let an attempt be made",
    )
    .nested(&RULE)],
);

const RULE: Shape = Shape::new(
    "rateLimit.failures.rules[]",
    "A bucket of failures for each key. When it is empty, what comes in again at the rate of `limit` is a slow lane: so many attempts may \
            still be made.",
    &[
        Key::new("name", "string", Default::Required, "as that of a limit"),
        Key::new(
            "by",
            "list of `clientIP`, `{clientIP: map}`, `claimedSubject`, `apiKeyPrefix`, `route`, `{header: name}`",
            Default::Required,
            "who shares a bucket. The client's network must be among them, so that nobody can lock out another one's account from elsewhere. \
             `claimedSubject` is what an unchecked token says in `sub`; `apiKeyPrefix` the first eight bytes of an API key",
        )
        .nested(&part::PART),
        Key::new("limit", "map", Default::Required, "the rate").nested(&plan::LIMIT),
        Key::new("burst", "integer", Default::Is("`limit.requests`"), "how many failures may come at once"),
        Key::new(
            "count",
            "`Every` or `DistinctSubjects`",
            Default::Is("`Every`"),
            "`DistinctSubjects` counts a subject once in a `unit` of `limit`: one who tries many names, and not one who tries one name often",
        ),
        Key::new(
            "penalty",
            "duration",
            Default::Is("none"),
            "up to `1d`: for how long no attempt at all may be made once the bucket is empty",
        ),
        Key::new("mode", "`Enforce` or `Shadow`", Default::Is("`Enforce`"), "as that of a limit"),
    ],
);

/// Reads a `rateLimit.failures`.
pub fn read(field: &Field<'_>, scope: Scope<'_>) -> Option<Vec<Rule>> {
    let list = field.section(&FAILURES)?.get("rules")?;
    config::rules_of(&list, |element| rule(element, scope))
}

fn rule(field: &Field<'_>, scope: Scope<'_>) -> Option<Rule> {
    let section = field.section(&RULE)?;
    let name = section.get("name").and_then(|field| config::name(&field));
    let by = section.get("by").and_then(|field| by(&field));
    let written = plan::read(&section);
    let distinct = match section.get("count") {
        None => Some(false),
        Some(field) => field.one_of(&[("Every", false), ("DistinctSubjects", true)]),
    };
    let penalty = match section.get("penalty") {
        None => Some(0),
        Some(field) => field.duration(1_000_000_000..=limits::PENALTY_MAX),
    };
    let mode = match section.get("mode") {
        None => Some(Mode::Enforce),
        Some(field) => field.one_of(&Mode::WORDS),
    };
    let (name, written, penalty) = (name?, written?, penalty?);
    let Some(rate) = written.rate() else {
        section.error(
            "failures are counted by a bucket",
            "leave `limit.window` out: an `Aligned` one would let all in at midnight",
        );
        return None;
    };
    let once = distinct?.then(|| written.once(scope.failures(name, true))).flatten();
    let plan = written.with(rate.with_debt(penalty).into(), scope.failures(name, false));
    let attempts = penalty.div_ceil(rate.interval());
    Some(Rule { name: name.into(), by: by?, plan, once, penalty: attempts, holds: penalty, mode: mode? })
}

fn by(field: &Field<'_>) -> Option<Vec<Part>> {
    let parts = part::of_failures(field)?;
    if parts.iter().any(Part::is_network) {
        return Some(parts);
    }
    field.error(
        "the client's network is not among them",
        "add `clientIP`: else anybody could lock out another one's account by failing in its name",
    );
    None
}
