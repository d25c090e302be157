//! How is `rateLimit` written?

mod cost;
pub(super) mod part;
pub(super) mod plan;

use std::rc::Rc;

use super::concurrency::{self, CONCURRENCY};
use super::failures::{self, FAILURES};
use super::global;
use super::rules::{Cost, Rule, Rules, Scope};
use crate::decision::{Mode, Telling};
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::json::Json;
use crate::limits;
use cost::COST;
use part::PART;
use plan::{LIMIT, TIERS};

/// `rateLimit`, of `defaults` and of a route.
pub const RATE_LIMIT: Shape = Shape::new(
    "rateLimit",
    "How often a caller may come. A request over a limit is refused with 429, `Retry-After`, `RateLimit` and `RateLimit-Policy`. \
            Under `defaults` the buckets are shared by all routes that use them; on a route they are the route's own.",
    &[
        Key::new(
            "local",
            "map",
            Default::Is("no limit"),
            "limits that this proxy keeps, exactly, across its workers",
        )
        .nested(&LOCAL),
        Key::new(
            "failures",
            "map",
            Default::Is("failures are not counted"),
            "how often a client may bring a credential that does not hold",
        )
        .nested(&FAILURES),
        Key::new("concurrency", "map", Default::Is("no limit"), "how many requests may be under way at once")
            .nested(&CONCURRENCY),
        Key::new(
            "global",
            "map",
            Default::Is("no limit"),
            "one limit across many gateways, kept by a rate limit service",
        )
        .nested(&global::GLOBAL),
        Key::new(
            "headers",
            "`Refused`, `Always` or `Off`",
            Default::Is("`Refused`"),
            "which responses get `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10): those to refused requests, all, or none; \
             a refusal has `Retry-After` in any case. `Always` tells every caller how much each rule has left for it",
        ),
        Key::new(
            "legacyHeaders",
            "boolean",
            Default::Is("`false`"),
            "whether the same responses get `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds), of the rule that has least left",
        ),
    ],
);

const LOCAL: Shape = Shape::new(
    "rateLimit.local",
    "Limits that hold for all workers of one proxy together; two proxies admit the limit each. The state is bounded (`stateBytes` \
            of the policy) and survives a policy update. When there are more active keys than it holds, a newcomer starts with a \
            bucket that is not full: nobody ever gets more than the limit.",
    &[Key::new(
        "rules",
        "list of rules",
        Default::Required,
        "1 to 16 limits; all of them must admit a request, and when one refuses, none is spent",
    )
    .nested(&RULE)],
);

const RULE: Shape = Shape::new(
    "rateLimit.local.rules[]",
    "A token bucket for each key: it holds `burst` requests and fills at the rate of `limit`. In any time span, at most `burst` plus \
            the rate times the span pass. (Of an `Aligned` limit, see `window`.) If a bucket cannot be charged (a host call fails), the request \
            is refused with 503.",
    &[
        Key::new(
            "name",
            "string",
            Default::Required,
            "named in the `RateLimit` header and the audit event: up to 64 letters, digits, `-`, `_` and `.`; a rule that keeps its name keeps its state across policy updates",
        ),
        Key::new(
            "by",
            "list of `clientIP`, `subject`, `token`, `client`, `route`, `method`, `{header: name}`, `{claim: name}`, `{clientIP: map}`",
            Default::Is("one bucket for all"),
            "who shares a bucket: the requests that are equal in all of these. `clientIP` is an IPv4 address or an IPv6 /64; `subject` (`sub`), `client` \
             (`client_id`, else `azp`; that of the API key), `token` (its `jti`, else all its claims; which of the client's API keys) and claims count \
             within their issuer; a header counts with all its values. Requests that lack a part \
             (no subject on an open route or of an API key, no such header) share one bucket among them",
        )
        .nested(&PART),
        Key::new("limit", "map", Default::Required, "the rate").nested(&LIMIT),
        Key::new(
            "burst",
            "integer",
            Default::Is("`limit.requests`"),
            "how many requests (of cost 1) may come at once; at the rate of `limit`, they may take up to 31 days to come back",
        ),
        Key::new("tiers", "map", Default::Is("the same for all"), "other limits, by a claim or the API key's tier")
            .nested(&TIERS),
        Key::new("cost", "integer or map", Default::Is("`1`"), "how much one request takes").nested(&COST),
        Key::new(
            "mode",
            "`Enforce` or `Shadow`",
            Default::Is("`Enforce`"),
            "`Shadow` counts and audits what it would refuse, and lets it pass",
        ),
    ],
);

/// Reads a `rateLimit`. Every problem is noted; `None` if one of them leaves no rules to speak of.
pub fn read(field: &Field<'_>, scope: Scope<'_>) -> Option<Rules> {
    let section = field.section(&RATE_LIMIT)?;
    let telling = telling(&section);
    let rules = match section.get("local") {
        Some(local) => local
            .section(&LOCAL)?
            .get("rules")
            .and_then(|list| rules_of(&list, |element| rule(element, scope))),
        None => Some(Vec::new()),
    };
    let failures = match section.get("failures") {
        Some(field) => failures::read(&field, scope),
        None => Some(Vec::new()),
    };
    let concurrency = match section.get("concurrency") {
        Some(field) => concurrency::read(&field, scope),
        None => Some(Vec::new()),
    };
    if section.present().iter().all(|key| matches!(*key, "headers" | "legacyHeaders")) {
        let help = "write `local` with its `rules`, another kind of limit, or leave `rateLimit` out";
        section.error("there is no limit in it", help);
        return None;
    }
    let global = match section.get("global") {
        Some(field) => global::read(&field, rules.as_deref(), scope).map(|global| Some(Rc::new(global))),
        None => Some(None),
    };
    Some(Rules {
        local: rules?,
        failures: failures?,
        concurrency: concurrency?,
        global: global?,
        telling: telling?,
    })
}

/// Reads a list of rules, each with a name of its own.
pub(super) fn rules_of<R>(list: &Field<'_>, read: impl Fn(&Field<'_>) -> Option<R>) -> Option<Vec<R>> {
    let elements = list.list()?;
    if elements.len() > limits::RATE_RULES {
        list.error(
            format!("{} rules, at most {} are possible", elements.len(), limits::RATE_RULES),
            "each rule costs time on every request",
        );
        return None;
    }
    let read: Vec<Option<R>> = elements.iter().map(read).collect();
    let unique = doubled(&elements);
    let rules: Option<Vec<R>> = read.into_iter().collect();
    rules.filter(|_| unique)
}

fn telling(section: &Section<'_>) -> Option<Telling> {
    let usual = Telling::default();
    let (standard, always) = match section.get("headers") {
        None => (usual.standard, usual.always),
        Some(field) => {
            field.one_of(&[("Refused", (true, false)), ("Always", (true, true)), ("Off", (false, false))])?
        }
    };
    let legacy = section.get("legacyHeaders").map_or(Some(usual.legacy), |field| field.boolean())?;
    Some(Telling { standard, always, legacy })
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
    let by = section.get("by").map_or(Some(Vec::new()), |field| part::parts(&field));
    let written = plan::read(&section);
    let cost = section.get("cost").map_or(Some(Cost::default()), |field| cost::read(&field));
    let mode = match section.get("mode") {
        None => Some(Mode::Enforce),
        Some(field) => field.one_of(&Mode::WORDS),
    };
    let post_paid = cost.as_ref().is_some_and(|cost| cost.response.is_some());
    let tiers = section
        .get("tiers")
        .map(|field| plan::tiers(&field, |tier| scope.of(name.unwrap_or_default(), Some(tier)), post_paid));
    let (tiers, tiers_hold) = match tiers {
        None => (None, u64::MAX),
        Some(read) => read.map(|(tiers, holds)| (Some(tiers), holds))?,
    };
    let (name, written, cost) = (name?, written?, cost?);
    if cost.most() > written.holds.min(tiers_hold) {
        section.error(
            format!("a request can cost {}, and a bucket holds {}", cost.most(), written.holds.min(tiers_hold)),
            "raise `burst` (or an `Aligned` limit's `requests`) or lower `cost`: such a request could never pass",
        );
        return None;
    }
    let plan = written.plan(scope.of(name, None), post_paid);
    Some(Rule { name: name.into(), by: by?, plan, tiers, cost, mode: mode? })
}

/// The name goes into a header, as it is.
pub(super) fn name<'d>(field: &Field<'d>) -> Option<&'d str> {
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
