//! How does a policy's text become the rules of this guard?

pub mod authentication;
mod call;
mod introspection;
mod key_source;
mod places;
pub mod provider;
mod remote_jwks;
mod revoked;
pub mod shapes;
mod step_up;

#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use super::api_key::config::read as read_api_key_auth;
pub use super::certificate::config::read as read_client_certificates;
pub use authentication::read_authentication;
pub(super) use places::{cookie_names, param_names};
pub(in crate::guards) use provider::identity_header_name;
pub(super) use provider::is_reserved;

pub(super) use crate::document::outside::variable;

use super::rules::{Place, Provider, Providers};
use crate::document::{Field, Section, quoted};
use crate::http::is_field_name;
use crate::limits;

/// Reads the section `jwt`. Every problem is noted; a provider with an error is left out, and its name kept.
pub fn read_jwt(field: &Field<'_>) -> Providers {
    let mut providers = Providers::default();
    let elements = field
        .section(&shapes::JWT)
        .and_then(|section| section.get("providers"))
        .and_then(|list| list.list())
        .unwrap_or_default();
    if elements.len() > limits::PROVIDERS {
        field.error("too many providers", format!("at most {}", limits::PROVIDERS));
        return providers;
    }
    for element in &elements {
        let Some(section) = element.section(&shapes::PROVIDER) else {
            continue;
        };
        let name = read_name(&section, &providers.names);
        providers.names.extend(name.clone());
        let provider = provider::read(&section, name.unwrap_or_default());
        providers.list.extend(provider);
    }
    providers.identity_headers = identity_headers(&providers.list);
    refuse_credential_headers(field, &providers);
    providers
}

fn read_name(section: &Section<'_>, known: &[Rc<str>]) -> Option<Rc<str>> {
    let field = section.get("name")?;
    let name = field.name()?;
    if known.iter().any(|known| **known == *name) {
        field.error(format!("two providers have the name {}", quoted(name)), "give each its own");
        return None;
    }
    Some(name.into())
}

fn identity_headers(providers: &[Provider]) -> Vec<Rc<str>> {
    let rules = providers.iter().flat_map(|provider| &provider.claim_headers);
    let mut headers: Vec<Rc<str>> = rules.map(|rule| Rc::clone(&rule.header)).collect();
    headers.sort_unstable();
    headers.dedup();
    headers
}

/// Identity headers are cleared on every route; a credential that stood in one would be cleared with it, or an identity
/// taken off as a spent credential.
fn refuse_credential_headers(field: &Field<'_>, providers: &Providers) {
    for place in providers.list.iter().flat_map(|provider| &provider.places) {
        let Place::Header { name, .. } = place else {
            continue;
        };
        if providers.identity_headers.contains(name) {
            let message = format!(
                "{} is a header of `claimToHeaders` and one that a credential is read from",
                quoted(name)
            );
            field.error(message, "choose another header for the claim");
        }
    }
}

/// The variable that a secret is in: `{env: NAME}`.
pub(in crate::guards) fn secret(field: &Field<'_>) -> Option<Rc<str>> {
    variable(&field.section(&shapes::ENV)?.get("env")?)
}

/// A header name, in lower case whatever the document has.
pub(super) fn header_name(field: &Field<'_>) -> Option<Rc<str>> {
    let name = field.text()?.to_ascii_lowercase();
    if is_field_name(&name) {
        return Some(name.into());
    }
    field.error(format!("{} is no header name", quoted(&name)), "");
    None
}
