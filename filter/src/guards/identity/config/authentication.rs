//! How is a route's `authentication` read?

use super::{shapes, step_up};
use crate::document::{Field, Section, quoted, suggestion};
use crate::guards::identity::certificate::{self, Accepted};
use crate::guards::identity::rules::{Authentication, CredentialRule, Place, ProviderId, Providers};
use crate::guards::identity::step_up::StepUp;
use crate::json::Json;

/// Reads a route's `authentication`; `None` if something is wrong, which has then been noted.
pub fn read_authentication(field: &Field<'_>, providers: &Providers) -> Option<Authentication> {
    let section = field.section(&shapes::AUTHENTICATION)?;
    let ways = match the_only_key(&section)? {
        "anyOf" => any_of(&section.get("anyOf")?, providers)?,
        _ => vec![way(&section, providers)?],
    };
    let only_open = ways.iter().all(|way| matches!(way, Way::Open));
    let optional = ways.iter().any(|way| matches!(way, Way::Open));
    let api_keys = ways.iter().filter(|way| matches!(way, Way::ApiKey)).count();
    if api_keys > 1 {
        field.error("`apiKey` stands twice", "");
    }
    let mut certificates: Option<Accepted> = None;
    for accepted in ways.iter().filter_map(Way::certificates) {
        certificates.get_or_insert_default().extend(accepted.clone());
    }
    let takes_tokens = ways.iter().any(|way| matches!(way, Way::Token(..)));
    let mut asked: Vec<(ProviderId, StepUp)> = Vec::new();
    for way in ways {
        let Way::Token(named, step_up) = way else { continue };
        for id in named {
            match asked.iter().find(|(known, _)| *known == id) {
                None => asked.push((id, step_up.clone())),
                Some((_, known)) if *known == step_up => {}
                Some(_) => refuse_two_demands(field, id, providers),
            }
        }
    }
    let ids: Vec<ProviderId> = asked.iter().map(|(id, _)| *id).collect();
    let step_ups = asked.into_iter().filter(|(_, step_up)| step_up.asks()).collect();
    if only_open {
        return Some(Authentication::Open);
    }
    if takes_tokens && ids.is_empty() {
        // Every provider had problems of its own, and has been reported.
        return None;
    }
    refuse_shared_issuers(field, &ids, providers);
    let asks = the_one_that_asks(field, &ids, providers);
    let places = places(&ids, providers);
    Some(Authentication::Credential(CredentialRule {
        providers: ids,
        places,
        api_keys: api_keys > 0,
        certificates,
        optional,
        step_ups,
        asks,
    }))
}

enum Way {
    Token(Vec<ProviderId>, StepUp),
    ApiKey,
    Certificate(Accepted),
    Open,
}

impl Way {
    fn certificates(&self) -> Option<&Accepted> {
        match self {
            Way::Certificate(accepted) => Some(accepted),
            Way::Token(..) | Way::ApiKey | Way::Open => None,
        }
    }
}

/// The one key of a map that must have exactly one.
fn the_only_key(section: &Section<'_>) -> Option<&'static str> {
    match section.present().as_slice() {
        [key] => Some(key),
        [] => {
            section.error(
                "nothing is asked for",
                "write `jwt: {}`, `apiKey: {}`, `mtls: {…}`, or `open: {because: \"…\"}`",
            );
            None
        }
        [_, _, ..] => {
            section.error("more than one key", "write `anyOf: […]` to take one of several");
            None
        }
    }
}

fn any_of(list: &Field<'_>, providers: &Providers) -> Option<Vec<Way>> {
    let elements = list.list()?;
    let ways: Vec<Option<Way>> = elements
        .iter()
        .map(|element| {
            let section = element.section(&shapes::ANY_OF)?;
            the_only_key(&section)?;
            way(&section, providers)
        })
        .collect();
    let open = ways.iter().filter(|way| matches!(way, Some(Way::Open))).count();
    if open > 1 || open == elements.len() {
        list.error("`open` stands twice, or alone", "write `open` without `anyOf`");
        return None;
    }
    ways.into_iter().collect()
}

fn way(section: &Section<'_>, providers: &Providers) -> Option<Way> {
    if let Some(open) = section.get("open") {
        open.section(&shapes::BECAUSE)?.get("because")?.text()?;
        return Some(Way::Open);
    }
    if let Some(api_key) = section.get("apiKey") {
        return api_keys(&api_key, providers);
    }
    if let Some(mtls) = section.get("mtls") {
        return certificate::config::read_route(&mtls, providers).map(Way::Certificate);
    }
    let jwt = section.get("jwt")?;
    let section = jwt.section(&shapes::ROUTE_JWT)?;
    let step_up = step_up::read(&section);
    let Some(list) = section.get("providers") else {
        if providers.names.is_empty() {
            jwt.error("there is no provider", "write `jwt.providers` at the top of the document");
            return None;
        }
        return Some(Way::Token((0..providers.list.len()).map(ProviderId).collect(), step_up?));
    };
    let mut ids = Vec::new();
    for element in list.list()? {
        let name = element.text()?;
        match id_of(name, providers) {
            Some(id) if ids.contains(&id) => element.error(format!("{} stands twice", quoted(name)), ""),
            Some(id) => ids.push(id),
            // A provider with problems of its own has been reported where it stands.
            None if providers.names.iter().any(|known| **known == *name) => {}
            None => unknown(&element, name, providers),
        }
    }
    let step_up = step_up?;
    (!ids.is_empty()).then_some(Way::Token(ids, step_up))
}

fn api_keys(field: &Field<'_>, providers: &Providers) -> Option<Way> {
    if !matches!(field.value, Json::Map(fields) if fields.is_empty()) {
        field.error("expected `{}`", "what holds for API keys stands in `apiKeyAuth`");
        return None;
    }
    if providers.api_keys.is_none() {
        field.error("there are no API keys", "write `apiKeyAuth` at the top of the document");
        return None;
    }
    Some(Way::ApiKey)
}

fn id_of(name: &str, providers: &Providers) -> Option<ProviderId> {
    let position = providers.list.iter().position(|provider| *provider.name == *name);
    position.map(ProviderId)
}

fn unknown(element: &Field<'_>, name: &str, providers: &Providers) {
    let known: Vec<&str> = providers.names.iter().map(|name| &**name).collect();
    let help =
        suggestion(name, &known).unwrap_or_else(|| "it must be a `name` of `jwt.providers`".to_owned());
    element.error(format!("there is no provider {}", quoted(name)), help);
}

/// The issuer chooses among the providers of a route; with two of one issuer, a token could pass the weaker one's checks.
fn refuse_shared_issuers(field: &Field<'_>, ids: &[ProviderId], providers: &Providers) {
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for provider in ids.iter().filter_map(|id| providers.provider(*id)) {
        if let Some((_, other)) = seen.iter().find(|(issuer, _)| *issuer == &*provider.issuer) {
            let message = format!(
                "the providers {} and {} have the same issuer",
                quoted(other),
                quoted(&provider.name)
            );
            field.error(message, "name one of them in this route's `providers`");
        }
        seen.push((&provider.issuer, &provider.name));
    }
}

/// With two demands on one provider's tokens, the weaker would hold.
fn refuse_two_demands(field: &Field<'_>, id: ProviderId, providers: &Providers) {
    let name = providers.provider(id).map(|provider| quoted(&provider.name)).unwrap_or_default();
    let message = format!("two ways take tokens of {name} and ask for different authentication");
    field.error(message, "name the provider once, with one `acrValues` and one `maxAge`");
}

/// An opaque token names no issuer, so there is nothing to choose one by.
fn the_one_that_asks(field: &Field<'_>, ids: &[ProviderId], providers: &Providers) -> Option<ProviderId> {
    let asks =
        |id: &&ProviderId| providers.provider(**id).is_some_and(|provider| provider.introspection.is_some());
    let mut asking = ids.iter().filter(asks);
    let first = asking.next().copied();
    if asking.next().is_some() {
        field.error(
            "more than one provider with `introspection`",
            "an opaque token does not say whose it is: name one of them in this route's `providers`",
        );
    }
    first
}

fn places(ids: &[ProviderId], providers: &Providers) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for place in ids.iter().filter_map(|id| providers.provider(*id)).flat_map(|provider| &provider.places) {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    places
}
