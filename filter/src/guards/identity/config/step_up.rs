//! How is written what a route asks of the authentication behind a token?

use std::rc::Rc;

use crate::document::{Field, Section, quoted};
use crate::guards::identity::step_up::StepUp;
use crate::time::SECOND;

/// Reads `acrValues` and `maxAge`, which may both be left out; `None` if one of them is wrong, which has then been noted.
pub(super) fn read(section: &Section<'_>) -> Option<StepUp> {
    let (values, age) = (section.get("acrValues"), section.get("maxAge"));
    let acr_values = values.as_ref().and_then(acr_values);
    let max_age = age.as_ref().and_then(max_age);
    let whole = acr_values.is_some() == values.is_some() && max_age.is_some() == age.is_some();
    whole.then_some(StepUp { acr_values, max_age })
}

/// RFC 9470 §3: they go to the client in a quoted string, with blanks between them.
fn acr_values(field: &Field<'_>) -> Option<Rc<str>> {
    let texts = field.texts()?;
    let good = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if let Some(bad) = texts.iter().find(|text| !text.bytes().all(good)) {
        let help =
            "printable ASCII without blanks, quotes and backslashes, so that a client can be told of it";
        field.error(format!("{} cannot be an `acr` here", quoted(bad)), help);
        return None;
    }
    (!texts.is_empty()).then(|| texts.join(" ").into())
}

/// Whole seconds, since that is what the client is told.
fn max_age(field: &Field<'_>) -> Option<u64> {
    let nanos = field.duration(SECOND..=SECOND.saturating_mul(3650 * 86_400))?;
    if !nanos.is_multiple_of(SECOND) {
        field.error("not a whole number of seconds", "a client is told it in seconds");
        return None;
    }
    nanos.checked_div(SECOND)
}
