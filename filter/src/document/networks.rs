//! Which networks does a list name?

use super::{Field, quoted};
use crate::http::{Cidr, CidrFault};

impl Field<'_> {
    /// A list of networks: `10.0.0.0/8`, `2001:db8::/32`.
    #[inline(never)]
    pub fn networks(&self) -> Option<Vec<Cidr>> {
        let mut networks = Vec::new();
        let mut whole = true;
        for element in self.list()? {
            match element.text().map(|text| (text, Cidr::parse(text))) {
                Some((_, Ok(cidr))) => networks.push(cidr),
                Some((text, Err(fault))) => {
                    element.error(format!("{} is not a network", quoted(text)), help(text, fault));
                    whole = false;
                }
                None => whole = false,
            }
        }
        whole.then_some(networks)
    }
}

fn help(text: &str, fault: CidrFault) -> String {
    match fault {
        CidrFault::Form => "an address, a slash and a number of bits: `10.0.0.0/8`".to_owned(),
        CidrFault::NoLength if text.contains(':') => {
            format!("for this address alone write {}", quoted(&format!("{text}/128")))
        }
        CidrFault::NoLength => format!("for this address alone write {}", quoted(&format!("{text}/32"))),
        CidrFault::Length => "at most 32 bits for IPv4, 128 for IPv6".to_owned(),
        CidrFault::HostBits(meant) => format!("bits beyond its length are set; did you mean `{meant}`?"),
        CidrFault::Mapped => "write the IPv4 network itself: clients are compared as IPv4".to_owned(),
    }
}
