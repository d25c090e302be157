//! Which claim does a name mean?

use crate::json::Json;

/// What is found under the name of a claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sought<'c> {
    /// The claim; it may be `null`.
    Found(&'c Json),
    /// There is none.
    Absent,
    /// There is none, and something stands where its parent would: text, a number, a list (`org: "x"` where `org.dept` is
    /// sought). Whether the issuer meant to say it is not to be told.
    Blocked,
}

/// The claim of that name: as it stands, or else, by its dots, nested (`realm_access.roles`). A name with dots of its own
/// (`https://example.com/roles`) is found first as it stands, on each level.
pub fn seek<'c>(claims: &'c Json, name: &str) -> Sought<'c> {
    if let Some(found) = claims.get(name) {
        return Sought::Found(found);
    }
    let mut sought = Sought::Absent;
    // Bounded by the tree's own depth: each step goes one level down.
    for (at, _) in name.match_indices('.') {
        let tail = at.checked_add(1).and_then(|next| name.get(next..));
        let (Some(head), Some(tail)) = (name.get(..at), tail) else {
            continue;
        };
        match claims.get(head) {
            None | Some(Json::Null) => {}
            Some(parent @ Json::Map(_)) => match seek(parent, tail) {
                Sought::Absent => {}
                Sought::Blocked => sought = Sought::Blocked,
                found @ Sought::Found(_) => return found,
            },
            Some(_) => sought = Sought::Blocked,
        }
    }
    sought
}

#[cfg(test)]
mod tests {
    use super::{Sought, seek};
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;

    #[test]
    fn what_stands_in_the_way_is_not_absence() {
        let bounds = Bounds { depth: 8, values: 64, duplicates: Duplicates::Refuse };
        for (claims, name, expected) in [
            (r#"{"a":{"b":1}}"#, "a.b", "1"),
            (r#"{"a.b":1,"a":"x"}"#, "a.b", "1"),
            (r#"{"a":{"b":null}}"#, "a.b", "null"),
            (r#"{"a":"x","a.b":{"c":2}}"#, "a.b.c", "2"),
            (r#"{"a":{}}"#, "a.b", "absent"),
            (r#"{"a":null}"#, "a.b", "absent"),
            ("{}", "a.b", "absent"),
            (r#"{"a":"x"}"#, "a.b", "blocked"),
            (r#"{"a":7}"#, "a.b", "blocked"),
            (r#"{"a":false}"#, "a.b", "blocked"),
            (r#"{"a":[{"b":1}]}"#, "a.b", "blocked"),
            (r#"{"a":{"b":"x"}}"#, "a.b.c", "blocked"),
            (r#"{"a":{"b":[]},"a.b":{}}"#, "a.b.c", "blocked"),
            (r#"{"a":"x"}"#, "b.a", "absent"),
            (r#"{"a":"x"}"#, ".a", "absent"),
            (r#"{"":"x"}"#, "...", "blocked"),
        ] {
            let json = Json::parse(claims.as_bytes(), bounds).unwrap();
            let found = match seek(&json, name) {
                Sought::Found(json) => json.to_string(),
                Sought::Absent => "absent".to_owned(),
                Sought::Blocked => "blocked".to_owned(),
            };
            assert_eq!(found, expected, "{claims} {name}");
        }
    }
}
