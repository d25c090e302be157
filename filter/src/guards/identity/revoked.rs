//! Was this token, its subject, its client or its key taken back?
//!
//! The list stands in the policy; each part is a hash set, so that ten thousand entries cost what ten cost. It is asked after the
//! signature has held: a forged token learns nothing of it. Keys are the exception, since their names are public: see
//! [`Revoked::holds_key`].
//!
//! What it does not protect against: what was revoked and does not stand here.

use core::fmt;
use std::collections::HashSet;

use super::caller::clients;
use crate::decision::{Detail, Reason, Refusal};
use crate::json::Json;

/// `jwt.providers[].revoked`
#[derive(Default)]
pub struct Revoked {
    pub(super) jti: HashSet<Box<str>>,
    pub(super) sub: HashSet<Box<str>>,
    pub(super) clients: HashSet<Box<str>>,
    pub(super) kids: HashSet<Box<str>>,
}

/// Counts: nothing of the list is printed.
impl fmt::Debug for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [&self.jti, &self.sub, &self.clients, &self.kids].map(HashSet::len);
        write!(f, "Revoked({counts:?})")
    }
}

impl Revoked {
    /// Whether a key of this `kid` is on the list. Such a key is to its provider as if it were not there.
    pub fn holds_key(&self, kid: Option<&str>) -> bool {
        kid.is_some_and(|kid| self.kids.contains(kid))
    }

    /// Errors: `TokenRevoked`; `ClaimMissing` and `ClaimInvalid` if it cannot be told.
    ///
    /// `jti` names a token: where some are revoked by it, one that has none could be any of them, and is refused. A token without
    /// `sub` or client speaks for no subject and for no client, so it is of none that is listed.
    pub fn check(&self, claims: &Json) -> Result<(), Refusal> {
        let of = |name: &str| claims.get(name).filter(|claim| **claim != Json::Null);
        if !self.jti.is_empty() {
            let missing = || Refusal::because(Reason::ClaimMissing, Detail::Named("claim", "jti".into()));
            check(&self.jti, "jti", of("jti").ok_or_else(missing)?)?;
        }
        if !self.sub.is_empty() {
            of("sub").map_or(Ok(()), |sub| check(&self.sub, "sub", sub))?;
        }
        if !self.clients.is_empty() {
            // A token may name its client twice; one of the two is enough.
            clients(claims).try_for_each(|client| check(&self.clients, "client", client))?;
        }
        Ok(())
    }
}

fn check(listed: &HashSet<Box<str>>, name: &'static str, claim: &Json) -> Result<(), Refusal> {
    match claim {
        Json::Text(text) if listed.contains(&**text) => {
            Err(Refusal::because(Reason::TokenRevoked, Detail::Fact(name)))
        }
        Json::Text(_) => Ok(()),
        _ => Err(Refusal::because(Reason::ClaimInvalid, Detail::Fact(name))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Revoked;
    use crate::decision::Reason;
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;

    fn set(entries: &[&str]) -> HashSet<Box<str>> {
        entries.iter().map(|entry| Box::from(*entry)).collect()
    }

    fn told(revoked: &Revoked, claims: &str) -> Result<(), (Reason, String)> {
        let bounds = Bounds { depth: 8, values: 64, duplicates: Duplicates::Refuse };
        let claims = Json::parse(claims.as_bytes(), bounds).unwrap();
        revoked.check(&claims).map_err(|refusal| (refusal.reason, refusal.detail.to_string()))
    }

    #[test]
    fn what_was_taken_back() {
        use Reason::{ClaimInvalid, ClaimMissing, TokenRevoked};
        let jti = Revoked { jti: set(&["t1", "t2"]), ..Revoked::default() };
        let sub = Revoked { sub: set(&["mallory"]), ..Revoked::default() };
        let clients = Revoked { clients: set(&["old-app"]), ..Revoked::default() };
        for (revoked, claims, expected) in [
            (&jti, r#"{"jti":"t0"}"#, None),
            (&jti, r#"{"jti":"T1"}"#, None),
            (&jti, r#"{"jti":"t1 "}"#, None),
            (&jti, r#"{"jti":""}"#, None),
            (&jti, r#"{"jti":"t1"}"#, Some((TokenRevoked, "jti"))),
            (&jti, "{}", Some((ClaimMissing, "claim `jti`"))),
            (&jti, r#"{"jti":null}"#, Some((ClaimMissing, "claim `jti`"))),
            (&jti, r#"{"jti":["t0"]}"#, Some((ClaimInvalid, "jti"))),
            (&jti, r#"{"jti":7}"#, Some((ClaimInvalid, "jti"))),
            (&jti, r#"{"jti":"t0","sub":"mallory","client_id":"old-app"}"#, None),
            (&sub, r#"{"sub":"alice"}"#, None),
            (&sub, "{}", None),
            (&sub, r#"{"sub":"mallory"}"#, Some((TokenRevoked, "sub"))),
            (&sub, r#"{"sub":["mallory"]}"#, Some((ClaimInvalid, "sub"))),
            (&clients, r#"{"client_id":"app"}"#, None),
            (&clients, "{}", None),
            (&clients, r#"{"client_id":null}"#, None),
            (&clients, r#"{"client_id":"old-app"}"#, Some((TokenRevoked, "client"))),
            (&clients, r#"{"azp":"old-app"}"#, Some((TokenRevoked, "client"))),
            (&clients, r#"{"client_id":"app","azp":"old-app"}"#, Some((TokenRevoked, "client"))),
            (&clients, r#"{"client_id":"old-app","azp":"app"}"#, Some((TokenRevoked, "client"))),
            (&clients, r#"{"client_id":["old-app"]}"#, Some((ClaimInvalid, "client"))),
            (&clients, r#"{"client_id":"app","azp":7}"#, Some((ClaimInvalid, "client"))),
            (&Revoked::default(), r#"{"jti":7,"client_id":[]}"#, None),
        ] {
            let told = told(revoked, claims).err();
            let told = told.as_ref().map(|(reason, detail)| (*reason, detail.as_str()));
            assert_eq!(told, expected, "{claims}");
        }
        let kids = Revoked { kids: set(&["old"]), ..Revoked::default() };
        assert!(kids.holds_key(Some("old")) && !kids.holds_key(Some("new")) && !kids.holds_key(None));
        assert_eq!(format!("{kids:?}"), "Revoked([0, 0, 0, 1])");
    }
}
