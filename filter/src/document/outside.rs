//! How does a policy name what stands outside of it: a variable of the environment, a cluster, a URL?

use std::rc::Rc;

use super::{Default, Field, Key, Section, Shape, quoted};
use crate::http::Target;
use crate::redaction::is_secret_shaped;

/// `{env: NAME}`
pub static ENV: Shape = Shape::new(
    "{env}",
    "A variable of the plugin's environment (`vm_config.environment_variables` in Envoy), so that no secret stands in \
            the policy. `portcullis check` takes `{file: PATH}` in its place, and looks into the file; the gateway has no files.",
    &[Key::new("env", "name of a variable", Default::Required, "Letters, digits and `_`.")],
);

/// A variable of the environment, by a name that every host can pass.
pub fn variable(field: &Field<'_>) -> Option<Rc<str>> {
    let name = field.text()?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain || name.starts_with(|c: char| c.is_ascii_digit()) || is_secret_shaped(name.as_bytes()) {
        // Not repeated: somebody may have put the secret itself here.
        let help = "letters, digits and `_`, no digit in front, and not the secret itself";
        field.error("not the name of a variable", help);
        return None;
    }
    Some(name.into())
}

/// The host's name for a cluster. A name that does not exist is found out when it is first called.
pub fn cluster(section: &Section<'_>) -> Option<Box<str>> {
    section.get("cluster")?.text().map(Box::from)
}

/// An absolute URL.
pub fn url(field: &Field<'_>) -> Option<Target> {
    let text = field.text()?;
    let target = Target::parse(text);
    if target.is_none() {
        field.error(
            format!("{} is no URL", quoted(text)),
            "write `https://host/path`, without user or fragment",
        );
    }
    target
}

/// A duration within bounds, or its default. All in nanoseconds.
#[inline(never)]
pub fn duration(
    section: &Section<'_>,
    key: &'static str,
    default: u64,
    shortest: u64,
    longest: u64,
) -> Option<u64> {
    section.get(key).map_or(Some(default), |field| field.duration(shortest..=longest))
}
