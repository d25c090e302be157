//! Is this address in that network?

use core::net::IpAddr;

/// A network: its address, and how many of the first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CidrFault {
    /// No address, a slash and a number of bits.
    Form,
    /// An address alone.
    NoLength,
    /// More bits than the address has.
    Length,
    /// Bits beyond the length are set; here is the network that was perhaps meant.
    HostBits(Cidr),
    /// An IPv4 network written as IPv6 (RFC 4291 §2.5.5.2): addresses are compared as IPv4.
    Mapped,
}

impl Cidr {
    /// Reads RFC 4632 §3.1 and RFC 4291 §2.3 notation: `10.0.0.0/8`, `2001:db8::/32`.
    pub fn parse(text: &str) -> Result<Self, CidrFault> {
        let (address, length) = match text.split_once('/') {
            Some(parts) => parts,
            None if text.parse::<IpAddr>().is_ok() => return Err(CidrFault::NoLength),
            None => return Err(CidrFault::Form),
        };
        let address: IpAddr = address.parse().map_err(|_| CidrFault::Form)?;
        let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
        if !digits || (length.len() > 1 && length.starts_with('0')) {
            return Err(CidrFault::Form);
        }
        let bits: u8 = length.parse().map_err(|_| CidrFault::Length)?;
        if bits > width(address) {
            return Err(CidrFault::Length);
        }
        if address.to_canonical() != address {
            return Err(CidrFault::Mapped);
        }
        let network = Self { address: masked(address, bits), bits };
        if network.address == address { Ok(network) } else { Err(CidrFault::HostBits(network)) }
    }

    /// Whether every address of its kind lies in it: `0.0.0.0/0`, `::/0`.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether `ip` lies in it. An IPv4 address in IPv6 form, as a dual-stack listener sees it, is compared as IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        width(ip) == width(self.address) && masked(ip, self.bits) == self.address
    }
}

impl core::fmt::Display for Cidr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let beyond = u32::from(width(address).saturating_sub(bits));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, CidrFault};
    use crate::testing::test;

    #[test]
    fn networks() {
        use CidrFault::{Form, Length, Mapped, NoLength};
        for (text, result) in [
            ("10.0.0.0/8", Ok(())),
            ("0.0.0.0/0", Ok(())),
            ("10.1.2.3/32", Ok(())),
            ("::/0", Ok(())),
            ("2001:db8::/32", Ok(())),
            ("::1/128", Ok(())),
            ("10.0.0.1", Err(NoLength)),
            ("::1", Err(NoLength)),
            ("10.0.0.0/33", Err(Length)),
            ("::/129", Err(Length)),
            ("::/999", Err(Length)),
            ("10.0.0.0/", Err(Form)),
            ("10.0.0.0/+8", Err(Form)),
            ("10.0.0.0/08", Err(Form)),
            ("10.0.0.0/8/8", Err(Form)),
            ("10.0.0/8", Err(Form)),
            ("010.0.0.0/8", Err(Form)),
            ("example.com/8", Err(Form)),
            ("", Err(Form)),
            ("::ffff:10.0.0.0/104", Err(Mapped)),
        ] {
            assert_eq!(Cidr::parse(text).map(|_| ()), result, "{text}");
        }
        let Err(CidrFault::HostBits(meant)) = Cidr::parse("10.1.2.3/8") else {
            panic!("host bits");
        };
        assert_eq!(meant.to_string(), "10.0.0.0/8");
        assert_eq!(
            Cidr::parse("2001:db8::1/32"),
            Err(CidrFault::HostBits(Cidr::parse("2001:db8::/32").unwrap()))
        );
    }

    #[test]
    fn addresses_in_networks() {
        for (network, ip, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "127.0.0.1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("2001:db8::/33", "2001:db8:7fff::", true),
        ] {
            let cidr = Cidr::parse(network).unwrap();
            assert_eq!(cidr.contains(ip.parse().unwrap()), inside, "{ip} in {network}");
        }
    }
}
