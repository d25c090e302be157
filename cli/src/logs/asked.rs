//! Which events are asked for?

use std::net::IpAddr;

use clap::Args;
use portcullis_filter::http::cidr::{Cidr, CidrFault};
use portcullis_filter::time::Timestamp;

use super::event::{Decision, Event, Penalty, Request, What};
use crate::moment;

/// Of each kind, any of those given; of all kinds that are given, all.
#[derive(Args, Debug, Default)]
pub(crate) struct Asked {
    /// Only what happened since: so long ago (`30s`, `30m`, `12h`, `2d`), or a point in time (`2027-01-31T00:00:00Z`).
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<Timestamp>,
    /// Only what happened before that; as for `--since`.
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<Timestamp>,
    /// Only requests that ended so. This and what follows may be given more than once, for any of several.
    #[arg(long = "decision", value_enum, value_name = "DECISION")]
    decisions: Vec<Decision>,
    /// Only requests refused for that, by its code (`token_expired`), or that would have been but for Shadow.
    #[arg(long = "reason", value_name = "CODE")]
    reasons: Vec<String>,
    /// Only requests on that route of the policy, and penalties that began there; `(none)`: those for which there was no route.
    #[arg(long = "route", value_name = "NAME")]
    routes: Vec<String>,
    /// Only requests and penalties of clients with that address, or in that network (`192.0.2.0/24`).
    #[arg(long = "address", value_name = "IP or CIDR", value_parser = network)]
    networks: Vec<Network>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Network {
    One(IpAddr),
    Many(Cidr),
}

impl Asked {
    /// Whether an event is.
    pub(super) fn is_for(&self, event: &Event) -> bool {
        let when = self.since.is_none_or(|since| event.time >= since)
            && self.until.is_none_or(|until| event.time < until);
        when && match &event.what {
            What::Request(request) | What::Entry(request) => self.is_for_request(request),
            What::Penalty(penalty) => self.is_for_penalty(penalty),
            What::Other(_) => self.is_for_any_request() && self.routes.is_empty() && self.networks.is_empty(),
        }
    }

    fn is_for_any_request(&self) -> bool {
        self.decisions.is_empty() && self.reasons.is_empty()
    }

    fn is_for_request(&self, request: &Request) -> bool {
        any(&self.decisions, |decision| *decision == request.decision)
            && any(&self.reasons, |reason| Some(reason) == request.reason.as_ref())
            && self.is_there(request.route.as_deref(), request.address.as_deref())
    }

    fn is_for_penalty(&self, penalty: &Penalty) -> bool {
        self.is_for_any_request() && self.is_there(penalty.route.as_deref(), penalty.address.as_deref())
    }

    fn is_there(&self, route: Option<&str>, address: Option<&str>) -> bool {
        let address = address.and_then(|text| text.parse::<IpAddr>().ok());
        any(&self.routes, |name| name == route.unwrap_or(super::report::NO_ROUTE))
            && any(&self.networks, |network| address.is_some_and(|address| network.contains(address)))
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match self {
            Self::One(one) => address.to_canonical() == one.to_canonical(),
            Self::Many(network) => network.contains(address),
        }
    }
}

/// None asked for is all of them.
fn any<T>(asked: &[T], is: impl Fn(&T) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(is)
}

/// So long ago, or a point in time.
fn when(text: &str) -> Result<Timestamp, String> {
    let ago = |span| Timestamp::from_nanos(moment::now().nanos().saturating_sub(span));
    let when = moment::span(text).map(ago).or_else(|| Timestamp::parse(text));
    when.ok_or_else(|| {
        "not `30s`, `30m`, `12h`, `2d`, or a point in time as `2027-01-31T00:00:00Z`".to_owned()
    })
}

fn network(text: &str) -> Result<Network, String> {
    if let Ok(address) = text.parse() {
        return Ok(Network::One(address));
    }
    Cidr::parse(text).map(Network::Many).map_err(|fault| match fault {
        CidrFault::HostBits(network) => format!("has bits behind its length; did you mean `{network}`?"),
        CidrFault::Mapped => "an IPv4 network in the form of IPv6; write it as IPv4".to_owned(),
        CidrFault::Length => "more bits than the address has".to_owned(),
        CidrFault::Form | CidrFault::NoLength => {
            "neither an address nor a network as `192.0.2.0/24`".to_owned()
        }
    })
}
