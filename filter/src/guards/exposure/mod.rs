//! Is the route there for somebody who comes from here?
//!
//! A route that is not for everybody says for whom it is, and what keeps the others away: the networks here, a certificate, or rules that ask
//! for an address. The policy is refused if nothing does. Whoever comes from elsewhere is told what a stranger is told of a path that no route has: a
//! 403 would say that there is something to look for.
//!
//! What it does *not* protect against: a client whose address the proxy takes from a header that the client wrote (Envoy: `xff_num_trusted_hops`), and
//! one that can tell a route by how long its answer takes.

mod config;
#[cfg(test)]
mod tests;

pub use config::{EXPOSURE, FOR_ALL, read};

use core::net::IpAddr;

use crate::decision::{Detail, Reason, Refusal};
use crate::http::Cidr;

/// For whom a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Everybody.
    Public,
    /// Whoever is known.
    Partner,
    /// Those who run the service.
    Admin,
    /// Services of one's own.
    Internal,
}

impl Level {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Level); 4] = [
        ("Public", Level::Public),
        ("Partner", Level::Partner),
        ("Admin", Level::Admin),
        ("Internal", Level::Internal),
    ];

    /// As the policy says it.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Public => "Public",
            Level::Partner => "Partner",
            Level::Admin => "Admin",
            Level::Internal => "Internal",
        }
    }
}

/// The compiled `exposure`; by default nothing is said.
#[derive(Clone, Debug, Default)]
pub struct Exposure {
    pub(super) level: Option<Level>,
    networks: Vec<Cidr>,
    /// Whether the policy gives a reason for doing without any condition.
    excused: bool,
}

/// What keeps others away from a route, beside its exposure.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Somebody passes whom nobody knows.
    pub takes_anybody: bool,
    /// Whoever passes has shown a certificate.
    pub by_certificate: bool,
    /// Whoever passes comes from a network that a rule names.
    pub by_address: bool,
}

impl Exposure {
    /// The word, for audit events; `None` if the policy says nothing.
    pub fn level(&self) -> Option<&'static str> {
        self.level.map(Level::word)
    }

    /// Its place in a table of levels; the first is that of none.
    pub fn place(&self) -> usize {
        self.level.map_or(0, |level| (level as usize).saturating_add(1))
    }

    /// Whether it asks for the client's address.
    pub fn needs_address(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Refuses whoever comes from elsewhere; an address that the host does not tell is elsewhere.
    pub fn check(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let inside = |address| self.networks.iter().any(|network| network.contains(address));
        if self.networks.is_empty() || address.is_some_and(inside) {
            return Ok(());
        }
        Err(Refusal::because(Reason::NotExposed, Detail::Fact("the client's address")))
    }

    /// Why a route with these conditions is open to more than it says, if it is.
    pub fn fault(&self, kept: Kept) -> Option<(&'static str, &'static str)> {
        let confined = self.needs_address() || kept.by_certificate || kept.by_address;
        match self.level {
            _ if self.excused => None,
            Some(Level::Admin | Level::Internal) if !confined => Some((
                "anybody can reach a route that is not for everybody",
                "write `exposure: {to: …, clientCIDRs: […]}`, `authentication: {mtls: …}`, rules that all have `clientCIDRs`, or a `because`",
            )),
            Some(Level::Partner) if kept.takes_anybody => Some((
                "a route for partners takes callers whom nobody knows",
                "write an `authentication` without `open`, or `exposure: {to: Partner, because: \"…\"}`",
            )),
            _ => None,
        }
    }
}
