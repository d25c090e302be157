//! How is a rate written, and how that of a tier?

use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::guards::rate_limit::gcra::{Rate, RateFault};
use crate::guards::rate_limit::meter::Meter;
use crate::guards::rate_limit::rules::{Plan, Scope, ScopeId, Tiers, Unit};
use crate::guards::rate_limit::window::Window;
use crate::limits;

/// `limit`
pub(in crate::guards::rate_limit) const LIMIT: Shape = Shape::new(
    "rateLimit.local.rules[].limit",
    "How many `requests` in a `unit`.",
    &[
        Key::new("requests", "integer", Default::Required, "at least 1, at most a million a second"),
        Key::new("unit", "`Second`, `Minute`, `Hour` or `Day`", Default::Required, "60 s, 3,600 s, 86,400 s"),
        Key::new(
            "window",
            "`Rolling` or `Aligned`",
            Default::Is("`Rolling`"),
            "`Rolling` is a token bucket: it fills evenly (60 a `Minute` is one a second), and no moment is special. `Aligned` is a quota: it \
             begins anew with each second, minute, hour or day of UTC, and all of it may be used at once, so that up to twice of it \
             pass around such a moment",
        ),
    ],
);

/// `tiers`
pub(super) const TIERS: Shape = Shape::new(
    "rateLimit.local.rules[].tiers",
    "Other limits for callers of a tier: an API key's `tier`, or a claim of the token. A caller of no tier, or of one that is not \
            listed, has the rule's own `limit`. Each tier has buckets of its own.",
    &[
        Key::new(
            "claim",
            "string",
            Default::Is("`tier`"),
            "the claim that holds a token's tier as a string, nested by dots",
        ),
        Key::new("limits", "list of maps", Default::Required, "1 to 32 tiers").nested(&TIER),
    ],
);

const TIER: Shape = Shape::new(
    "rateLimit.local.rules[].tiers.limits[]",
    "One tier.",
    &[
        Key::new("tier", "string", Default::Required, "its name, to the letter"),
        Key::new("limit", "map", Default::Required, "as the rule's own").nested(&LIMIT),
        Key::new("burst", "integer", Default::Is("`limit.requests`"), "as the rule's own"),
    ],
);

/// A limit, without whose it is.
#[derive(Clone, Copy)]
pub(in crate::guards::rate_limit) struct Written {
    meter: Meter,
    requests: u64,
    unit: Unit,
    /// The most that one request may cost.
    pub(in crate::guards::rate_limit) holds: u64,
}

impl Written {
    /// The plan of that scope. Where costs may be known only afterwards, a bucket can go into debt.
    pub(super) fn plan(self, scope: ScopeId, post_paid: bool) -> Plan {
        let meter = match self.meter {
            Meter::Bucket(rate) if post_paid => rate.with_debt(rate.drain()).into(),
            meter => meter,
        };
        self.with(meter, scope)
    }

    /// The plan of that scope with another meter.
    pub(in crate::guards::rate_limit) fn with(self, meter: Meter, scope: ScopeId) -> Plan {
        Plan { scope, meter, requests: self.requests, unit: self.unit }
    }

    /// The plan of a `fallback`.
    pub(in crate::guards::rate_limit) fn fallback(self, scope: Scope<'_>) -> Plan {
        let aligned = u64::from(self.rate().is_none());
        self.plan(scope.fallback([self.requests, self.unit.seconds(), self.holds, aligned]), false)
    }

    /// The rate, if it is one of a bucket.
    pub(in crate::guards::rate_limit) fn rate(&self) -> Option<Rate> {
        match self.meter {
            Meter::Bucket(rate) => Some(rate),
            Meter::Quota(_) => None,
        }
    }

    /// A plan of one request in the same unit.
    pub(in crate::guards::rate_limit) fn once(self, scope: ScopeId) -> Option<Plan> {
        Some(self.with(Rate::new(1, self.unit.nanos(), 1).ok()?.into(), scope))
    }
}

/// Reads `limit` and `burst` of a section that has both.
pub(in crate::guards::rate_limit) fn read(section: &Section<'_>) -> Option<Written> {
    let field = section.get("limit");
    let limit = field.as_ref().and_then(|field| field.section(&LIMIT));
    let unit = limit.as_ref().and_then(|limit| limit.get("unit")?.one_of(&Unit::WORDS));
    // The bound is that of the unit; without one, that of the longest.
    let most = unit.unwrap_or(Unit::Day).nanos() / limits::RATE_INTERVAL_MIN;
    let requests = limit.as_ref().and_then(|limit| limit.get("requests")?.integer(1..=most));
    let aligned = limit.as_ref().and_then(|limit| match limit.get("window") {
        None => Some(false),
        Some(field) => field.one_of(&[("Rolling", false), ("Aligned", true)]),
    });
    let burst = match section.get("burst") {
        Some(field) if aligned == Some(true) => {
            field.error(
                "an `Aligned` window has no burst",
                "leave it out: all requests of a window may come at once",
            );
            None
        }
        None => requests,
        Some(field) => field.integer(1..=u64::MAX),
    };
    let (unit, requests, burst, aligned) = (unit?, requests?, burst?, aligned?);
    let meter = if aligned {
        Window::new(requests, unit.nanos()).map(Meter::from)
    } else {
        Rate::new(requests, unit.nanos(), burst).map(Meter::from)
    };
    let fault = match meter {
        Ok(meter) => return Some(Written { meter, requests, unit, holds: burst }),
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

/// Reads `tiers`. `scope` makes the scope of each.
pub(super) fn tiers(
    field: &Field<'_>,
    scope: impl Fn(&str) -> ScopeId,
    post_paid: bool,
) -> Option<(Tiers, u64)> {
    let section = field.section(&TIERS)?;
    let claim = section.get("claim").map_or(Some("tier"), |field| field.text());
    let list = section.get("limits")?;
    let elements = list.list()?;
    if elements.len() > limits::RATE_TIERS {
        list.error(format!("{} tiers, at most {} are possible", elements.len(), limits::RATE_TIERS), "");
        return None;
    }
    let mut plans: Vec<(Box<str>, Plan)> = Vec::with_capacity(elements.len());
    let mut holds = u64::MAX;
    for element in &elements {
        let Some(section) = element.section(&TIER) else { continue };
        let (name, written) = (section.get("tier").and_then(|field| field.text()), read(&section));
        let (Some(name), Some(written)) = (name, written) else { continue };
        if plans.iter().any(|(known, _)| **known == *name) {
            element.error(format!("the tier {} stands twice", quoted(name)), "keep one of them");
            continue;
        }
        holds = holds.min(written.holds);
        plans.push((name.into(), written.plan(scope(name), post_paid)));
    }
    (plans.len() == elements.len()).then_some(())?;
    Some((Tiers { claim: claim?.into(), plans }, holds))
}
