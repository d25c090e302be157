//! Which limits does a route have?

use std::rc::Rc;

use super::gcra::Rate;
use super::global::Global;
use super::key::Part;
use crate::decision::{Limited, Mode};
use crate::time::SECOND;

/// The limits of one route. All of them must admit a request.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub(super) rules: Vec<Rule>,
    pub(super) global: Option<Box<Global>>,
}

/// One limit.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: Rc<str>,
    /// What tells this rule's buckets from all others: policy, route (or none, for a rule of the defaults) and name, each behind its
    /// length. Names and not positions, so that a policy update keeps the state of the rules it does not touch.
    pub(super) scope: Box<[u8]>,
    pub(super) by: Vec<Part>,
    pub(super) rate: Rate,
    pub(super) requests: u64,
    pub(super) unit: Unit,
    pub(super) mode: Mode,
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
    pub fn global(&self) -> Option<&Global> {
        self.global.as_deref()
    }

    /// Whether this proxy keeps none itself.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule counts by the client's address.
    pub fn needs_address(&self) -> bool {
        self.rules.iter().any(|rule| rule.by.contains(&super::Part::ClientIp))
            || self.global().is_some_and(Global::needs_address)
    }

    /// How many of those there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }
}

impl Rule {
    /// What the client is told when it must wait for `nanos`.
    pub(super) fn limited(&self, nanos: u64) -> Limited {
        Limited {
            rule: Rc::clone(&self.name),
            quota: self.requests,
            window: self.unit.seconds(),
            // Rounded up: a client that comes back at the second it was told must not be early.
            retry_after: nanos.div_ceil(SECOND).max(1),
        }
    }
}

impl Scope<'_> {
    /// The text that a rule of this name here is hashed under.
    pub(super) fn of(&self, rule: &str) -> Box<[u8]> {
        let mut text = Vec::new();
        // The kind first: no route can have the place of the defaults.
        text.push(u8::from(self.route.is_some()));
        for piece in [self.policy, self.route.unwrap_or_default(), rule] {
            text.extend((piece.len() as u64).to_le_bytes());
            text.extend(piece.as_bytes());
        }
        text.into()
    }
}
