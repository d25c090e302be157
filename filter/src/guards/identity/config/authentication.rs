//! How is a route's `authentication` read?

use super::shapes;
use crate::document::{Field, Section, quoted, suggestion};
use crate::guards::identity::rules::{Authentication, Place, ProviderId, Providers, TokenRule};

/// Reads a route's `authentication`; `None` if something is wrong, which has then been noted.
pub fn read_authentication(field: &Field<'_>, providers: &Providers) -> Option<Authentication> {
    let section = field.section(&shapes::AUTHENTICATION)?;
    let ways = match the_only_key(&section)? {
        "anyOf" => any_of(&section.get("anyOf")?, providers)?,
        _ => vec![way(&section, providers)?],
    };
    let only_open = ways.iter().all(|way| matches!(way, Way::Open));
    let optional = ways.iter().any(|way| matches!(way, Way::Open));
    let mut ids: Vec<ProviderId> = Vec::new();
    for way in ways {
        let Way::Token(named) = way else { continue };
        ids.extend(named.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
    }
    if only_open {
        return Some(Authentication::Open);
    }
    if ids.is_empty() {
        // Every provider had problems of its own, and has been reported.
        return None;
    }
    refuse_shared_issuers(field, &ids, providers);
    Some(Authentication::Token(TokenRule { places: places(&ids, providers), providers: ids, optional }))
}

enum Way {
    Token(Vec<ProviderId>),
    Open,
}

/// The one key of a map that must have exactly one. A key that is not built has been noted when the map was opened.
fn the_only_key(section: &Section<'_>) -> Option<&'static str> {
    match section.present().as_slice() {
        [key] if *key != "apiKey" => Some(key),
        [_] => None,
        [] => {
            section.error("nothing is asked for", "write `jwt: {}`, or `open: {because: \"…\"}`");
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
    let jwt = section.get("jwt")?;
    let Some(list) = jwt.section(&shapes::ROUTE_JWT)?.get("providers") else {
        if providers.names.is_empty() {
            jwt.error("there is no provider", "write `jwt.providers` at the top of the document");
            return None;
        }
        return Some(Way::Token((0..providers.list.len()).map(ProviderId).collect()));
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
    (!ids.is_empty()).then_some(Way::Token(ids))
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

fn places(ids: &[ProviderId], providers: &Providers) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for place in ids.iter().filter_map(|id| providers.provider(*id)).flat_map(|provider| &provider.places) {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    places
}
