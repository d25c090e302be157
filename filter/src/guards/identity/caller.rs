//! The evidence that somebody was identified. Guards below take a [`Caller`]; only this folder makes one.

use std::rc::Rc;

use crate::json::Json;

/// Who is calling, as the identity guard found out.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody was asked: the route is `open`.
    Anonymous,
    /// The bearer of a token that held.
    Token(Rc<Token>),
}

/// The claims of a token whose every check held.
#[derive(Debug)]
pub struct Token {
    provider: Rc<str>,
    kid: Option<Box<str>>,
    claims: Json,
}

impl Token {
    /// Called once, where the last check of a token has held.
    pub(in crate::guards) fn new(provider: Rc<str>, kid: Option<Box<str>>, claims: Json) -> Self {
        Self { provider, kid, claims }
    }

    /// The name of the provider whose checks it passed.
    pub fn provider(&self) -> &Rc<str> {
        &self.provider
    }

    /// The key that signed it.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// All claims.
    pub fn claims(&self) -> &Json {
        &self.claims
    }

    /// The claim of that name, as [`claim`] finds it.
    pub fn claim(&self, name: &str) -> Option<&Json> {
        claim(&self.claims, name)
    }

    /// `client_id`, or else `azp`, whatever its type. `null` is no claim.
    pub fn client(&self) -> Option<&Json> {
        let named = |name| self.claims.get(name).filter(|claim| **claim != Json::Null);
        named("client_id").or_else(|| named("azp"))
    }

    /// Whether `scope` and `scp`, where they are there, are what [`Token::scopes`] reads: else there may be more of them.
    pub fn scopes_are_readable(&self) -> bool {
        let readable = |claim: &Json| match claim {
            Json::Null | Json::Text(_) => true,
            Json::List(list) => list.iter().all(|scope| scope.as_text().is_some()),
            _ => false,
        };
        ["scope", "scp"].into_iter().filter_map(|name| self.claims.get(name)).all(readable)
    }

    /// Every scope: RFC 8693 §4.2 `scope` (blank-separated text), or `scp` (text or a list), as some issuers write it.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        ["scope", "scp"].into_iter().filter_map(|name| self.claims.get(name)).flat_map(|claim| {
            let list =
                if let Json::List(list) = claim { list.as_slice() } else { core::slice::from_ref(claim) };
            list.iter()
                .filter_map(Json::as_text)
                .flat_map(|text| text.split(' '))
                .filter(|scope| !scope.is_empty())
        })
    }
}

impl Caller {
    /// The token behind it, if there is one.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Caller::Token(token) => Some(token),
            Caller::Anonymous => None,
        }
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.token()?.claims.get("sub")?.as_text()
    }

    /// RFC 9068 §2.2 `client_id`, or OpenID's `azp`.
    pub fn client(&self) -> Option<&str> {
        self.token()?.client()?.as_text()
    }

    /// `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.token()?.claims.get("iss")?.as_text()
    }
}

/// The claim of that name: as it stands, or else, by its dots, nested (`realm_access.roles`). A name with dots of its own
/// (`https://example.com/roles`) is found first as it stands, on each level.
pub fn claim<'c>(claims: &'c Json, name: &str) -> Option<&'c Json> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    // Bounded by the tree's own depth: each step goes one level down.
    name.match_indices('.').find_map(|(at, _)| {
        let (head, tail) = (name.get(..at)?, name.get(at.checked_add(1)?..)?);
        claim(claims.get(head)?, tail)
    })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Caller, Token};
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;

    fn caller(claims: &str) -> Caller {
        let bounds = Bounds { depth: 8, values: 64, duplicates: Duplicates::Refuse };
        Caller::Token(Rc::new(Token::new("p".into(), None, Json::parse(claims.as_bytes(), bounds).unwrap())))
    }

    #[test]
    fn scopes_in_every_shape() {
        for (claims, scopes) in [
            (r#"{"scope":"a b  c"}"#, vec!["a", "b", "c"]),
            (r#"{"scp":["a","b c"]}"#, vec!["a", "b", "c"]),
            (r#"{"scope":["a",1],"scp":"b"}"#, vec!["a", "b"]),
            (r#"{"scope":7}"#, vec![]),
            ("{}", vec![]),
        ] {
            assert_eq!(caller(claims).token().unwrap().scopes().collect::<Vec<_>>(), scopes, "{claims}");
        }
    }

    #[test]
    fn claims_by_name_and_by_dots() {
        let caller = caller(r#"{"a":{"b":{"c":1},"b.c":2},"x.y":{"z":3},"client_id":"c","azp":"d","sub":7}"#);
        let token = caller.token().unwrap();
        for (name, value) in [
            ("a.b.c", Some(2)),
            ("a.b.d", None),
            ("x.y.z", Some(3)),
            ("a.c", None),
            ("", None),
            ("...", None),
        ] {
            let found = token.claim(name).map(|json| if let Json::Integer(n) = json { *n } else { -1 });
            assert_eq!(found.filter(|n| *n > 0), value, "{name}");
        }
        assert_eq!((caller.client(), caller.subject()), (Some("c"), None));
    }
}
