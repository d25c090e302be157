//! What does a policy change in the one before it?
//!
//! The process remembers, in the host's shared data, the digest of the policy of each name and those of its parts. Whoever loads a policy and finds
//! another one there puts it in its place and tells; who finds the same one has nothing to tell. So of all threads that load it, one
//! tells.
//!
//! What it does *not* protect against: two policies of one name in one process, which take each other's place.

use core::num::NonZeroU32;
use std::rc::Rc;

use super::Policy;
use crate::audit::Changes;
use crate::host::{Cas, HostError, SharedData, Swap};
use crate::json::Json;
use crate::limits;
use crate::policy::carrier;
use crate::protobuf::{Fields, put_bytes};

/// A section or a route, and the first bytes of its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    name: Rc<str>,
    digest: [u8; 8],
}

/// The parts of a document: its sections, and its routes by name.
pub(super) fn parts(document: &Json) -> Vec<Part> {
    let Json::Map(sections) = document else { return Vec::new() };
    // Routes come last, so that however many there are no section goes untold.
    let (routes, sections): (Vec<_>, Vec<_>) =
        sections.iter().partition(|(name, value)| *name == "routes" && matches!(value, Json::List(_)));
    let sections = sections.into_iter().map(|(name, value)| Part::of(name.as_str().into(), value));
    let routes = routes.into_iter().flat_map(|(_, routes)| match routes {
        Json::List(routes) => routes.as_slice(),
        _ => &[],
    });
    let routes = routes.filter_map(|route| {
        let name = route.get("name")?.as_text()?;
        Some(Part::of(format!("routes.{name}").into(), route))
    });
    sections.chain(routes).take(limits::PARTS_REMEMBERED).collect()
}

impl Part {
    fn of(name: Rc<str>, value: &Json) -> Self {
        let digest = hmac_sha256::Hash::hash(value.to_string().as_bytes());
        Self { name, digest: digest.first_chunk().copied().unwrap_or_default() }
    }
}

/// The digest of a document that is no policy: as that of a policy if it can be read at all, or else that of its bytes.
pub fn digest_of_refused(document: &[u8]) -> Rc<str> {
    match carrier::read(document) {
        Ok(json) => super::compile::digest(json.to_string().as_bytes()),
        Err(_) => super::compile::digest(document),
    }
}

/// Puts the policy in the place of the one of its name, for one sink. `None` if it is there.
pub fn replace(policy: &Policy, sink: &str, data: &impl SharedData) -> Result<Option<Changes>, HostError> {
    /// A version that nobody has (see [`crate::slots`]).
    const NEVER: Cas = Cas(NonZeroU32::MAX);
    let key = format!("portcullis.policy.v1.{sink}.{}", policy.name);
    for _ in 0..limits::RATE_TRIES {
        let (former, cas) = match data.shared(&key)? {
            Some((bytes, cas)) => (Former::decode(&bytes), cas),
            None => (None, NEVER),
        };
        if former.as_ref().is_some_and(|former| former.digest == policy.digest) {
            return Ok(None);
        }
        let present = Former { digest: Rc::clone(&policy.digest), parts: policy.parts.clone() };
        if data.set_shared(&key, &present.encode(), Some(cas))? == Swap::Done {
            return Ok(Some(former.map_or_else(Changes::default, |former| former.until(&present))));
        }
    }
    Err(HostError { call: "set_shared_data", status: 8 })
}

/// What is remembered of a policy.
#[derive(Debug, PartialEq, Eq)]
struct Former {
    digest: Rc<str>,
    parts: Vec<Part>,
}

impl Former {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_bytes(1, self.digest.as_bytes(), &mut bytes);
        for part in &self.parts {
            put_bytes(2, &[&part.digest, part.name.as_bytes()].concat(), &mut bytes);
        }
        bytes
    }

    /// What cannot be read is as good as nothing.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| core::str::from_utf8(bytes).ok().map(Rc::from);
        let mut former = Self { digest: "".into(), parts: Vec::new() };
        for field in Fields::of(bytes) {
            match field.ok()? {
                (1, value) => former.digest = text(value.bytes().ok()?)?,
                (2, value) => {
                    let (digest, name) = value.bytes().ok()?.split_first_chunk()?;
                    former.parts.push(Part { name: text(name)?, digest: *digest });
                }
                _ => {}
            }
        }
        Some(former)
    }

    fn until(&self, present: &Self) -> Changes {
        let mut changes = Changes { former: self.digest.get(..12).map(Rc::from), ..Changes::default() };
        // One against the other, which is quick for the hundreds that there are and bearable for the most that are remembered: a policy is loaded seldom.
        let find = |parts: &[Part], part: &Part| parts.iter().find(|other| other.name == part.name).cloned();
        for part in &present.parts {
            match find(&self.parts, part) {
                None => changes.added.push(Rc::clone(&part.name)),
                Some(other) if other.digest != part.digest => changes.changed.push(Rc::clone(&part.name)),
                Some(_) => {}
            }
        }
        let gone = self.parts.iter().filter(|part| find(&present.parts, part).is_none());
        changes.removed = gone.map(|part| Rc::clone(&part.name)).collect();
        for list in [&mut changes.added, &mut changes.changed, &mut changes.removed] {
            list.truncate(limits::CHANGES_TOLD);
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Former, parts};
    use crate::json::Json;
    use crate::limits;
    use crate::testing::test;

    fn former(digest: &str, document: &str) -> Former {
        let document: Json = serde_json::from_str(document).unwrap();
        Former { digest: digest.into(), parts: parts(&document) }
    }

    #[test]
    fn what_is_remembered_is_read_again() {
        let former = former(
            &"ab".repeat(32),
            r#"{"name":"p","jwt":{"a":1},"routes":[{"name":"a"},{"name":"b","x":1}]}"#,
        );
        assert_eq!(former.parts.len(), 4);
        let bytes = former.encode();
        assert_eq!(Former::decode(&bytes).as_ref(), Some(&former));
        for cut in 0..bytes.len() {
            let _ = Former::decode(&bytes[..cut]);
        }
        assert_eq!(Former::decode(b"\xff"), None);
        assert_eq!(Former::decode(b"\x12\x01a"), None);
    }

    #[test]
    fn no_section_is_forgotten_for_routes() {
        let routes: Vec<String> =
            (0..limits::PARTS_REMEMBERED).map(|n| format!(r#"{{"name":"r{n}"}}"#)).collect();
        let document = format!(r#"{{"jwt":{{}},"routes":[{}],"upstream":{{}}}}"#, routes.join(","));
        let parts = former("f", &document).parts;
        assert_eq!(parts.len(), limits::PARTS_REMEMBERED);
        let names: Vec<&str> = parts.iter().take(3).map(|part| &*part.name).collect();
        assert_eq!(names, ["jwt", "upstream", "routes.r0"]);
    }

    #[test]
    fn changes_are_told_by_name() {
        let before = former(
            "0123456789abcdef",
            r#"{"name":"p","jwt":{"a":1},"audit":{},"routes":[{"name":"a"},{"name":"b","x":1},{"name":"c"}]}"#,
        );
        let after = former(
            "f",
            r#"{"name":"p","jwt":{"a":2},"defaults":{},"routes":[{"name":"c"},{"name":"b","x":2},{"name":"d"}]}"#,
        );
        let changes = before.until(&after);
        let names = |list: &[Rc<str>]| list.join(" ");
        assert_eq!(changes.former.as_deref(), Some("0123456789ab"));
        assert_eq!(names(&changes.added), "defaults routes.d");
        assert_eq!(names(&changes.changed), "jwt routes.b");
        assert_eq!(names(&changes.removed), "audit routes.a");
    }
}
