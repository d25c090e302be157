//! Which names does a route take?

use std::rc::Rc;

/// A route's `mtls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Exact URIs.
    pub(super) uris: Vec<Box<str>>,
    /// Beginnings of SPIFFE ids, each with its last slash.
    pub(super) below: Vec<Box<str>>,
    /// Exact DNS names, lower case.
    pub(super) dns: Vec<Box<str>>,
    /// `.example.com` for `*.example.com`.
    pub(super) domains: Vec<Box<str>>,
}

impl Accepted {
    /// The name by which the caller is known: the first that the route takes.
    pub(super) fn choose<'n>(&self, uris: &'n [Rc<str>], dns: &'n [Rc<str>]) -> Option<&'n Rc<str>> {
        uris.iter().find(|uri| self.takes_uri(uri)).or_else(|| dns.iter().find(|name| self.takes_dns(name)))
    }

    fn takes_uri(&self, uri: &str) -> bool {
        // SPIFFE-ID §2.2 knows no dot segments, no empty ones and no escapes; in one of another kind `/ns/a/../b` could be read as `/ns/b`.
        let plain = || {
            !uri.split('/').skip(3).any(|part| matches!(part, "" | "." | ".."))
                && !uri.contains(['%', '?', '#', '\\'])
        };
        let below = |front: &str| uri.strip_prefix(front).is_some_and(|rest| !rest.is_empty());
        self.uris.iter().any(|known| **known == *uri)
            || (self.below.iter().any(|front| below(front)) && plain())
    }

    /// RFC 6125 §6.4.3 the other way round: the policy has the star, and a certificate with one is nobody's name.
    fn takes_dns(&self, name: &str) -> bool {
        if name.contains('*') {
            return false;
        }
        let below = |domain: &str| {
            name.strip_suffix(domain).is_some_and(|label| !label.is_empty() && !label.contains('.'))
        };
        self.dns.iter().any(|known| **known == *name) || self.domains.iter().any(|domain| below(domain))
    }

    /// Adds what another way of the same route takes.
    pub(in crate::guards::identity) fn extend(&mut self, other: Self) {
        self.uris.extend(other.uris);
        self.below.extend(other.below);
        self.dns.extend(other.dns);
        self.domains.extend(other.domains);
    }
}
