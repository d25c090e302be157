//! May this caller do this? Rules in order; the first that matches decides.
//!
//! A condition that cannot be checked (the host does not tell the client's address, a claim has another type than the
//! rule says, or is missing where the rule asks that it be something else) never admits: an `Allow` rule does not match then,
//! and a `Deny` rule refuses.
//!
//! What this does not protect against: a token whose rights were taken away after it was issued. A scope holds until the token
//! expires.

mod claim;
pub mod config;

use core::net::IpAddr;
use std::rc::Rc;

pub use config::{AUTHORIZATION, Authorization};

use crate::decision::{Advice, Detail, Mode, Reason, Refusal};
use crate::guards::identity::{Caller, Token};
use config::{Action, Principal, Rule};

/// The evidence that a caller may. Only [`check`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    rule: Option<Rc<str>>,
}

impl Granted {
    /// The rule that allowed it; `None` if there was none to ask, or `defaultAction` did.
    pub fn rule(&self) -> Option<&Rc<str>> {
        self.rule.as_ref()
    }
}

/// Asks the rules. The default [`Authorization`] has none and admits whoever was authenticated. Rules in Shadow change
/// nothing; the names of those that would have (a Deny that matches what is admitted, an Allow that matches what is refused)
/// are added to `shadowed`.
pub fn check(
    rules: &Authorization,
    caller: &Caller,
    client_ip: Option<IpAddr>,
    shadowed: &mut Vec<Rc<str>>,
) -> Result<Granted, Refusal> {
    let mut matched = Vec::new();
    let outcome = decide(rules, caller, client_ip, &mut matched);
    let otherwise = if outcome.is_ok() { Action::Deny } else { Action::Allow };
    shadowed.extend(matched.iter().filter(|rule| rule.action == otherwise).map(|rule| Rc::clone(&rule.name)));
    outcome
}

/// The first rule that matches decides. Those in Shadow that match on the way there are noted.
fn decide<'r>(
    rules: &'r Authorization,
    caller: &Caller,
    client_ip: Option<IpAddr>,
    shadowed: &mut Vec<&'r Rule>,
) -> Result<Granted, Refusal> {
    let mut nearest: Option<(usize, &Rule)> = None;
    for rule in &rules.rules {
        let answer = ask(&rule.principal, caller, client_ip);
        if rule.mode == Mode::Shadow {
            shadowed.extend(would_decide(rule, answer).then_some(rule));
            continue;
        }
        match (rule.action, answer) {
            (Action::Allow, Answer::Yes) => {
                return Ok(Granted { rule: Some(Rc::clone(&rule.name)) });
            }
            (Action::Allow, Answer::Lacks(scopes)) => {
                if nearest.is_none_or(|(fewest, _)| scopes < fewest) {
                    nearest = Some((scopes, rule));
                }
            }
            (Action::Deny, Answer::Yes | Answer::Unknown(Unknown::Claim)) => return Err(denied(&rule.name)),
            (Action::Deny, Answer::Unknown(Unknown::Address)) => return Err(addressless(&rule.name)),
            (Action::Allow, Answer::No | Answer::Unknown(_))
            | (Action::Deny, Answer::No | Answer::Lacks(_)) => {}
        }
    }
    match (rules.default, nearest) {
        (Action::Allow, _) => Ok(Granted { rule: None }),
        (Action::Deny, Some((_, rule))) => Err(insufficient(rule)),
        (Action::Deny, None) => {
            Err(Refusal::because(Reason::AccessDenied, Detail::Fact("no rule allows the caller")))
        }
    }
}

fn would_decide(rule: &Rule, answer: Answer) -> bool {
    match rule.action {
        Action::Allow => matches!(answer, Answer::Yes),
        Action::Deny => matches!(answer, Answer::Yes | Answer::Unknown(_)),
    }
}

fn denied(rule: &Rc<str>) -> Refusal {
    Refusal::because(Reason::AccessDenied, Detail::Named("rule", Rc::clone(rule)))
}

fn addressless(rule: &Rc<str>) -> Refusal {
    let detail = Detail::Named("no client address for rule", Rc::clone(rule));
    Refusal::because(Reason::HostFailed, detail).advise(Advice::RetryAfter(1))
}

/// RFC 6750 §3.1: `scope` names what it takes. All of the rule's scopes, since a token with the missing ones alone would not do.
fn insufficient(rule: &Rule) -> Refusal {
    Refusal::because(Reason::ScopeInsufficient, Detail::Named("rule", Rc::clone(&rule.name)))
        .advise(Advice::Scope(Rc::clone(&rule.principal.all_scopes)))
}

/// Whether a caller is the one that a rule speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    No,
    /// It would be, but for so many scopes.
    Lacks(usize),
    /// It cannot be told.
    Unknown(Unknown),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    Claim,
    Address,
}

/// All that stands in a principal must hold. A plain no weighs more than what cannot be told, and that more than a scope.
fn ask(principal: &Principal, caller: &Caller, client_ip: Option<IpAddr>) -> Answer {
    let token = caller.token();
    let anonymous = matches!(caller, Caller::Anonymous);
    if (principal.jwt.is_some() && token.is_none()) || (!principal.all_scopes.is_empty() && anonymous) {
        return Answer::No;
    }
    let mut unknown = None;
    if !principal.clients.is_empty() {
        let is_one = |client: &str| Some(principal.clients.iter().any(|known| **known == *client));
        let known = match caller {
            Caller::ApiKey(key) => is_one(key.client()),
            Caller::Certificate(certificate) => is_one(certificate.name()),
            Caller::Anonymous | Caller::Token(_) => is_client(&principal.clients, token),
        };
        match known {
            Some(true) => {}
            Some(false) => return Answer::No,
            None => unknown = Some(Unknown::Claim),
        }
    }
    if !principal.cidrs.is_empty() {
        match client_ip {
            Some(ip) if !principal.cidrs.iter().any(|cidr| cidr.contains(ip)) => return Answer::No,
            Some(_) => {}
            None => unknown = unknown.or(Some(Unknown::Address)),
        }
    }
    if let (Some(jwt), Some(token)) = (&principal.jwt, token) {
        if jwt.provider.as_ref().is_some_and(|provider| provider != token.provider()) {
            return Answer::No;
        }
        for claim in &jwt.claims {
            match claim.holds(token) {
                Some(true) => {}
                Some(false) => return Answer::No,
                None => unknown = unknown.or(Some(Unknown::Claim)),
            }
        }
    }
    match (unknown, missing(principal, caller)) {
        (Some(unknown), _) => Answer::Unknown(unknown),
        (None, 0) => Answer::Yes,
        (None, _) if token.is_some_and(|token| !token.scopes_are_readable()) => {
            Answer::Unknown(Unknown::Claim)
        }
        (None, lacks) => Answer::Lacks(lacks),
    }
}

fn missing(principal: &Principal, caller: &Caller) -> usize {
    let has = |wanted: &str| caller.scopes().any(|scope| scope == wanted);
    let wanted = principal.all_scopes.split(' ').filter(|scope| !scope.is_empty());
    wanted.filter(|scope| !has(scope)).count()
}

/// Whether the token's client is one of these; `None` if that cannot be told. A token may name its client twice, as `client_id` and as
/// `azp`. Where the two differ, one reader takes the one for it and another the other: what holds of both is told, and else nothing.
fn is_client(clients: &[Box<str>], token: Option<&Token>) -> Option<bool> {
    let mut answer = None;
    for claim in token.into_iter().flat_map(Token::clients) {
        let client = claim.as_text()?;
        let known = clients.iter().any(|known| **known == *client);
        if *answer.get_or_insert(known) != known {
            return None;
        }
    }
    Some(answer.unwrap_or(false))
}

#[cfg(test)]
mod tests;
