//! Which limits does a route have?

use std::rc::Rc;

use super::global::Global;
use super::key::Part;
use super::meter::Meter;
use super::{concurrency, failures};
use crate::decision::{Limited, Mode, Telling};
use crate::guards::identity::Caller;
use crate::http::Head;
use crate::time::SECOND;

/// The limits of one route. All of them must admit a request.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) local: Vec<Rule>,
    pub(super) failures: Vec<failures::Rule>,
    pub(super) concurrency: Vec<concurrency::Rule>,
    pub(super) telling: Telling,
    pub(super) global: Option<Rc<Global>>,
}

/// One limit.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: Rc<str>,
    pub(super) by: Vec<Part>,
    pub(super) plan: Plan,
    pub(super) tiers: Option<Tiers>,
    pub(super) cost: Cost,
    pub(super) mode: Mode,
}

/// What tells a rule's buckets from all others: the first half of a SHA-256 of policy, route (or none, for a rule of the defaults), the rule's
/// name and the tier, each behind its length. Names and not positions, so that a policy update keeps the state of the rules it does not
/// touch. Sixteen bytes, since they are hashed for each request.
pub(super) type ScopeId = [u8; 16];

/// How much, and in which buckets.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scope: ScopeId,
    pub(super) meter: Meter,
    pub(super) requests: u64,
    pub(super) unit: Unit,
}

/// Other plans for callers of a tier. A tier has buckets of its own: what one rate left in a bucket says nothing under another.
#[derive(Clone, Debug)]
pub(super) struct Tiers {
    pub(super) claim: Box<str>,
    pub(super) plans: Vec<(Box<str>, Plan)>,
}

/// What a request takes.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    pub(super) request: u64,
    pub(super) methods: Vec<(Box<str>, u64)>,
    /// The header of the response that says what it has cost in the end.
    pub(super) response: Option<Rc<str>>,
}

/// Where a set of rules stands in the policy; rules of the same name in two places are two rules.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'p> {
    /// The policy's name.
    pub policy: &'p str,
    /// The route's name; `None` for the rules of `defaults`, whose buckets all routes that use them share.
    pub route: Option<&'p str>,
}

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 1 s
    Second,
    /// 60 s
    Minute,
    /// 3600 s
    Hour,
    /// 86,400 s, from any moment on: no midnight in any time zone
    Day,
}

impl Unit {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Unit); 4] =
        [("Second", Unit::Second), ("Minute", Unit::Minute), ("Hour", Unit::Hour), ("Day", Unit::Day)];

    /// Its length in seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3_600,
            Unit::Day => 86_400,
        }
    }

    /// Its length in nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.seconds().saturating_mul(SECOND)
    }
}

impl Rules {
    /// The limit that a service keeps for all gateways together, if there is one.
    pub fn global(&self) -> Option<&Rc<Global>> {
        self.global.as_ref()
    }

    /// Whether this proxy keeps none itself.
    pub fn is_empty(&self) -> bool {
        self.local.is_empty()
    }

    /// Whether a rule counts by the client's address.
    pub fn needs_address(&self) -> bool {
        let by = self.local.iter().map(|rule| &rule.by).chain(self.concurrency.iter().map(|rule| &rule.by));
        let global = self.global().is_some_and(|global| global.needs_address());
        global || self.watches_failures() || by.flatten().any(Part::is_network)
    }

    /// Whether failures are counted.
    pub fn watches_failures(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Whether requests under way are counted.
    pub fn limits_concurrency(&self) -> bool {
        !self.concurrency.is_empty()
    }

    /// What a caller is told of them.
    pub fn telling(&self) -> Telling {
        self.telling
    }

    /// How many of those there are.
    pub fn len(&self) -> usize {
        self.local.len()
    }
}

impl Rule {
    /// The plan for that caller: of the tier, if it has one that is listed.
    pub(super) fn plan(&self, caller: &Caller) -> &Plan {
        let Some(tiers) = &self.tiers else { return &self.plan };
        let claim = caller.token().and_then(|token| token.claim(&tiers.claim)?.as_text());
        let Some(tier) = caller.tier().or(claim) else { return &self.plan };
        tiers.plans.iter().find(|(name, _)| **name == *tier).map_or(&self.plan, |(_, plan)| plan)
    }
}

impl Plan {
    /// What the client is told of a bucket that has `remaining` requests left and is whole again in `nanos`, or that can serve it again
    /// then.
    pub(super) fn limited(&self, rule: &Rc<str>, remaining: u64, nanos: u64) -> Limited {
        Limited {
            rule: Rc::clone(rule),
            quota: self.requests,
            window: self.unit.seconds(),
            remaining,
            // Rounded up: a client that comes back at the second it was told must not be early.
            reset: nanos.div_ceil(SECOND).max(1),
        }
    }
}

impl Cost {
    /// Before the request passes.
    pub(super) fn of(&self, head: &Head) -> u64 {
        let method = self.methods.iter().find(|(method, _)| method.as_bytes() == head.method());
        method.map_or(self.request, |(_, cost)| *cost)
    }

    /// The least that it takes before a request passes.
    pub(super) fn least(&self) -> u64 {
        self.methods.iter().map(|(_, cost)| *cost).fold(self.request, u64::min)
    }

    /// The most that it takes before a request passes.
    pub(super) fn most(&self) -> u64 {
        self.methods.iter().map(|(_, cost)| *cost).fold(self.request, u64::max)
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self { request: 1, methods: Vec::new(), response: None }
    }
}

impl Scope<'_> {
    /// That of a rule of this name here, for that tier or for callers of none.
    pub(super) fn of(&self, rule: &str, tier: Option<&str>) -> ScopeId {
        self.id(u8::from(tier.is_some()), [rule, tier.unwrap_or_default()], &[])
    }

    /// The same for a rule of requests under way.
    pub(super) fn concurrency(&self, rule: &str) -> ScopeId {
        self.id(4, [rule, ""], &[])
    }

    /// The same for a rule of failures: its own buckets, or those that know who has failed already.
    pub(super) fn failures(&self, rule: &str, once: bool) -> ScopeId {
        self.id(if once { 3 } else { 2 }, [rule, ""], &[])
    }

    /// The same for what holds while a rate limit service is away, whichever route asks it: by its own numbers.
    pub(super) fn fallback(&self, numbers: [u64; 4]) -> ScopeId {
        Scope { route: None, ..*self }.id(5, [""; 2], &numbers)
    }

    fn id(&self, kind: u8, [rule, tier]: [&str; 2], numbers: &[u64]) -> ScopeId {
        // The kinds first: no route can have the place of the defaults, and no tier that of another kind of rule.
        let mut text = vec![u8::from(self.route.is_some()), kind];
        for piece in [self.policy, self.route.unwrap_or_default(), rule, tier] {
            text.extend((piece.len() as u64).to_le_bytes());
            text.extend(piece.as_bytes());
        }
        text.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        hmac_sha256::Hash::hash(&text).first_chunk().copied().unwrap_or_default()
    }
}
