//! What is wrong between the parts of a route, and between two routes?

use std::collections::HashMap;

use super::compile::{Defaults, Draft};
use crate::document::{Field, Section, quoted};
use crate::guards::access::config::Unreachable;
use crate::guards::route::Clash;
use crate::guards::route::config::Match;
use crate::guards::shape;
use crate::limits;

/// A rule that asks for what no caller of the route can have.
pub(super) fn refuse_unreachable(section: &Section<'_>, faults: Vec<Unreachable>) {
    let own = section.get("authorization");
    for fault in faults {
        let rule = quoted(&fault.rule);
        let message = match fault.provider {
            Some(provider) => format!(
                "the rule {rule} asks for a token of {}, which this route does not accept, so it can never match",
                quoted(&provider)
            ),
            None => {
                format!("the rule {rule} asks for a token and the route takes none, so it can never match")
            }
        };
        match &own {
            Some(field) => field.error(message, "take the rule out, or change the route's `authentication`"),
            None => section.error(
                format!("{message} (it stands in `defaults.authorization`)"),
                "write an `authorization` for this route, such as `{defaultAction: Allow}`",
            ),
        }
    }
}

/// A preflight carries none of the headers that the request will have.
pub(super) fn warn_of_unseen(section: &Section<'_>, rules: &Defaults, matched: &Match) {
    if let (Some(field), true, false) =
        (section.get("cors"), rules.cors.is_some(), matched.headers.is_empty())
    {
        field.warn(
            "the route is chosen by `match.headers`, which no preflight carries",
            "write `cors` on the route that takes the same path without them, too: that one answers preflights",
        );
    }
}

/// A method that `match` names and `request.methods` refuses.
pub(super) fn refuse_methods(section: &Section<'_>, request: &shape::Limits, matched: &Match) {
    let methods = matched.methods.iter().map(AsRef::as_ref);
    let refused = |method: &&str| !request.methods.iter().any(|allowed| allowed == method);
    for method in methods.filter(refused) {
        section.error(
            format!("`match.methods` takes {} and `request.methods` refuses it", quoted(method)),
            "name it in both or in neither",
        );
    }
}

pub(super) fn refuse_doubled_names(elements: &[Field<'_>], drafts: &[Draft<'_>]) {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for (element, draft) in elements.iter().zip(drafts) {
        let Some(name) = draft.name else { continue };
        if let Some(first) = seen.get(name) {
            element.error(
                format!("two routes are named {}; the first is {first}", quoted(name)),
                "give each route a name of its own",
            );
        } else {
            seen.insert(name, &draft.place);
        }
    }
}

pub(super) fn report(clash: Clash, elements: &[Field<'_>], drafts: &[Draft<'_>]) {
    let called = |index: usize| drafts.get(index).map(Draft::called).unwrap_or_default();
    let (at, message, help) = match clash {
        Clash::Tie(first, second) => (
            second,
            format!(
                "ties with the route {}: one request can match both, and neither is more specific",
                called(first)
            ),
            "make one more specific: by host, path, headers or methods".to_owned(),
        ),
        Clash::Covered(route, by) => (
            route,
            format!("can never match: the route {} takes every request for it", called(by)),
            "`PathPrefix: /` takes every path and leaves the more specific routes theirs".to_owned(),
        ),
        Clash::Crowded(route) => (
            route,
            format!("more than {} routes have this host and path", limits::ROUTE_VARIANTS),
            "they are tried one after the other; tell them apart by host or path".to_owned(),
        ),
        Clash::Expressions(route) => (
            route,
            format!("more than {} routes have a regular expression", limits::ROUTE_PATTERNS),
            "they are tried one after the other; most can be a `Template` or a `PathPrefix`".to_owned(),
        ),
    };
    if let Some(element) = elements.get(at) {
        element.error(message, help);
    }
}
