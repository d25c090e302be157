//! What does the upstream learn about the caller?

use std::rc::Rc;

use super::caller::Token;
use super::rules::Provider;
use crate::decision::{Detail, Reason, Refusal};
use crate::http::{is_field_value, trim};
use crate::json::Json;
use crate::limits;

/// A header that tells the upstream of the caller: its name in lower case, and its value.
pub type IdentityHeader = (Rc<str>, Vec<u8>);

/// About how many bytes a header takes.
pub(super) fn weight((_, value): &IdentityHeader) -> usize {
    value.capacity().saturating_add(size_of::<IdentityHeader>()).saturating_add(8)
}

/// The headers of the provider's `claimToHeaders`, with their values. A claim that is missing, `null` or an empty list
/// sets none. Errors: `ClaimInvalid` for a claim that no header can carry without becoming another one.
pub fn of(token: &Token, provider: &Provider) -> Result<Rc<[IdentityHeader]>, Refusal> {
    let mut headers = Vec::new();
    for rule in &provider.claim_headers {
        let value = match token.claim(&rule.claim) {
            None | Some(Json::Null) => continue,
            Some(Json::List(list)) if list.is_empty() => continue,
            Some(claim) => field_value(claim),
        };
        let value = value.ok_or_else(|| {
            Refusal::because(Reason::ClaimInvalid, Detail::Named("claim for header", Rc::clone(&rule.header)))
        })?;
        headers.push((Rc::clone(&rule.header), value));
    }
    Ok(headers.into())
}

/// A claim as a header value: text, number, boolean, or a list of texts joined with commas.
fn field_value(claim: &Json) -> Option<Vec<u8>> {
    let value = match claim {
        Json::Text(text) => text.clone(),
        Json::Integer(number) => number.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Bool(truth) => truth.to_string(),
        Json::List(list) => joined(list)?,
        Json::Null | Json::Map(_) => return None,
    };
    let value = value.into_bytes();
    // Blanks at the ends would be lost on the wire, and two subjects become one.
    let sound = value.len() <= limits::CLAIM_HEADER_BYTES
        && is_field_value(&value)
        && trim(&value).len() == value.len();
    sound.then_some(value)
}

/// A comma within an element would make two of one, and so would an empty element make none.
fn joined(list: &[Json]) -> Option<String> {
    let mut texts = Vec::with_capacity(list.len());
    for element in list {
        let text = element.as_text()?;
        if text.contains(',') || text.is_empty() || text.trim_matches([' ', '\t']).len() != text.len() {
            return None;
        }
        texts.push(text);
    }
    Some(texts.join(","))
}
