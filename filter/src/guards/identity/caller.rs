//! The evidence that somebody was identified. Guards below take a [`Caller`]; only this folder makes one.

use std::cell::OnceCell;
use std::rc::Rc;

use super::api_key::Entry;
use super::claim_path::{Sought, seek};
use crate::audit;
use crate::json::Json;

/// Who is calling, as the identity guard found out.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody was asked: the route is `open`.
    Anonymous,
    /// The bearer of a token that held.
    Token(Rc<Token>),
    /// The bearer of an API key that held.
    ApiKey(ApiKey),
    /// Whoever has shown a client certificate that the route takes.
    Certificate(Certificate),
}

/// The name by which the holder of a certificate is known: one of its `subjectAltName`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate(Rc<str>);

impl Certificate {
    /// Called once, where the last check of a certificate has held.
    pub(in crate::guards) fn new(name: Rc<str>) -> Self {
        Self(name)
    }

    /// The name.
    pub fn name(&self) -> &Rc<str> {
        &self.0
    }
}

/// What the policy says of an API key whose every check held.
#[derive(Clone, Debug)]
pub struct ApiKey(Rc<Entry>);

impl ApiKey {
    /// Called once, where the last check of a key has held.
    pub(in crate::guards) fn new(entry: Rc<Entry>) -> Self {
        Self(entry)
    }

    /// A key that nobody checked, for the tests of guards that take one.
    #[cfg(test)]
    pub(in crate::guards) fn of(client: &str, scopes: &[&str]) -> Self {
        Self::new(Rc::new(Entry::new(client, scopes)))
    }

    /// Whose key it is.
    pub fn client(&self) -> &Rc<str> {
        &self.0.client
    }

    /// What the key may.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.0.scopes.iter().map(AsRef::as_ref)
    }

    /// The client's tier.
    pub fn tier(&self) -> Option<&Rc<str>> {
        self.0.tier.as_ref()
    }

    /// The first eight digits of the hash in the policy: which of a client's keys it is.
    pub fn fingerprint(&self) -> &Rc<str> {
        &self.0.fingerprint
    }
}

/// The claims of a token whose every check held.
#[derive(Debug)]
pub struct Token {
    provider: Rc<str>,
    kid: Option<Box<str>>,
    claims: Json,
    told: OnceCell<Rc<audit::Caller>>,
}

impl Token {
    /// Called once, where the last check of a token has held.
    pub(in crate::guards) fn new(provider: Rc<str>, kid: Option<Box<str>>, claims: Json) -> Self {
        Self { provider, kid, claims, told: OnceCell::new() }
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

    /// What audit events say of its bearer, which `tell` finds out for the first of them: a token is remembered by one policy, and what
    /// may be written down is the same for as long.
    pub fn told(&self, tell: impl FnOnce() -> audit::Caller) -> &Rc<audit::Caller> {
        self.told.get_or_init(|| tell().into())
    }

    /// Bytes that this can take: the names are there a second time.
    pub fn told_weight(&self) -> usize {
        let claims = ["sub", "iss"].into_iter().filter_map(|name| self.claims.get(name)).chain(self.client());
        let names = claims.filter_map(Json::as_text).chain(self.kid());
        names.fold(size_of::<audit::Caller>(), |sum, name| sum.saturating_add(name.len()))
    }

    /// The claim of that name, as [`claim`] finds it.
    pub fn claim(&self, name: &str) -> Option<&Json> {
        claim(&self.claims, name)
    }

    /// The same, with what stands in its way told apart from its absence.
    pub fn seek(&self, name: &str) -> Sought<'_> {
        seek(&self.claims, name)
    }

    /// `client_id`, or else `azp`, whatever its type. `null` is no claim.
    pub fn client(&self) -> Option<&Json> {
        clients(&self.claims).next()
    }

    /// Both of them, as far as they are there. They should say the same; see the `access` guard for when they do not.
    pub fn clients(&self) -> impl Iterator<Item = &Json> {
        clients(&self.claims)
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
            Caller::Anonymous | Caller::ApiKey(_) | Caller::Certificate(_) => None,
        }
    }

    /// Whether nobody was identified.
    pub fn is_anonymous(&self) -> bool {
        matches!(self, Caller::Anonymous)
    }

    /// The API key behind it, if there is one.
    pub fn api_key(&self) -> Option<&ApiKey> {
        match self {
            Caller::ApiKey(key) => Some(key),
            Caller::Anonymous | Caller::Token(_) | Caller::Certificate(_) => None,
        }
    }

    /// Every scope, of the token or of the API key.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let token = self.token().into_iter().flat_map(Token::scopes);
        token.chain(self.api_key().into_iter().flat_map(ApiKey::scopes))
    }

    /// The tier of the API key's client. A token has none; a claim may say as much.
    pub fn tier(&self) -> Option<&str> {
        self.api_key()?.tier().map(|tier| &**tier)
    }

    /// By what it was identified. Subjects and clients of one kind say nothing of those of another: an API key's client may be called like a
    /// certificate.
    pub fn credential(&self) -> Option<&'static str> {
        match self {
            Caller::Anonymous => None,
            Caller::Token(_) => Some("token"),
            Caller::ApiKey(_) => Some("api_key"),
            Caller::Certificate(_) => Some("certificate"),
        }
    }

    /// `sub`, or the name of a certificate.
    pub fn subject(&self) -> Option<&str> {
        if let Caller::Certificate(certificate) = self {
            return Some(certificate.name());
        }
        self.token()?.claims.get("sub")?.as_text()
    }

    /// RFC 9068 §2.2 `client_id`, or OpenID's `azp`, or the API key's client, or the name of a certificate.
    pub fn client(&self) -> Option<&str> {
        match self {
            Caller::Anonymous => None,
            Caller::Token(token) => token.client()?.as_text(),
            Caller::ApiKey(key) => Some(key.client()),
            Caller::Certificate(certificate) => Some(certificate.name()),
        }
    }

    /// `iss`. Names in certificates have a space of their own, so that none is some token's subject or some API key's client.
    pub fn issuer(&self) -> Option<&str> {
        if let Caller::Certificate(_) = self {
            return Some("x509");
        }
        self.token()?.claims.get("iss")?.as_text()
    }
}

/// `client_id` (RFC 9068 §2.2) and `azp` (OpenID Connect Core §2), as far as they are there. `null` is no claim.
pub fn clients(claims: &Json) -> impl Iterator<Item = &Json> {
    let named = ["client_id", "azp"].into_iter().filter_map(|name| claims.get(name));
    named.filter(|claim| **claim != Json::Null)
}

/// The claim that [`seek`] finds, if it is there.
pub fn claim<'c>(claims: &'c Json, name: &str) -> Option<&'c Json> {
    match seek(claims, name) {
        Sought::Found(claim) => Some(claim),
        Sought::Absent | Sought::Blocked => None,
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::{Caller, Token};
    use crate::audit;
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
        // Each shape under either name; with whether all of it could be read.
        for (claim, scopes, readable) in [
            (r#""a""#, vec!["a"], true),
            (r#""a b""#, vec!["a", "b"], true),
            (r#""  a   b ""#, vec!["a", "b"], true),
            (r#""a,b""#, vec!["a,b"], true),
            (r#""a\tb""#, vec!["a\tb"], true),
            (r#""""#, vec![], true),
            (r#"" ""#, vec![], true),
            (r#"["a","b"]"#, vec!["a", "b"], true),
            (r#"["a b","c"]"#, vec!["a", "b", "c"], true),
            (r#"["",""]"#, vec![], true),
            ("[]", vec![], true),
            ("null", vec![], true),
            (r#"["a",null]"#, vec!["a"], false),
            (r#"["a",["b"]]"#, vec!["a"], false),
            (r#"["a",{"b":true}]"#, vec!["a"], false),
            (r#"{"a":true}"#, vec![], false),
            ("true", vec![], false),
            ("7", vec![], false),
        ] {
            for name in ["scope", "scp"] {
                let caller = caller(&format!(r#"{{"{name}":{claim}}}"#));
                let token = caller.token().unwrap();
                assert_eq!(token.scopes().collect::<Vec<_>>(), scopes, "{name}: {claim}");
                assert_eq!(token.scopes_are_readable(), readable, "{name}: {claim}");
            }
        }
    }

    #[test]
    fn what_is_told_of_a_bearer_is_found_out_once() {
        let caller = caller(r#"{"sub":"alice","iss":"https://id.example.com","azp":"web"}"#);
        let token = caller.token().unwrap();
        let named = || crate::redaction::name("alice");
        let tell =
            || audit::Caller { subject: Some(audit::Subject::Plain(named())), ..audit::Caller::default() };
        let first = Rc::clone(token.told(tell));
        assert!(Rc::ptr_eq(&first, token.told(|| unreachable!("it is known"))));
        assert_eq!(token.told_weight(), size_of::<audit::Caller>() + "alicehttps://id.example.comweb".len());
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
