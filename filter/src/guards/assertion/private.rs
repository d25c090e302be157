//! Which private key is this? PKCS#8 in PEM (RFC 5958, RFC 7468), or a private JWK (RFC 7517, RFC 8037).
//!
//! By hand, since of these forms two keys of 32 bytes each are all that is wanted, and the libraries for all of them take a tenth of the
//! plugin's size. Whatever is not exactly one of these is none.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize as _, Zeroizing};

use crate::json::{Bounds, Duplicates, Json};

/// What kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    Ed25519,
    P256,
}

/// A private key as somebody wrote it.
pub(super) struct Private {
    pub(super) curve: Curve,
    /// The seed, or the scalar.
    pub(super) secret: Zeroizing<[u8; 32]>,
    /// The public part, if it stands there too: `x`, or `x` and `y`.
    pub(super) public: Option<Vec<u8>>,
}

impl Private {
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?.trim();
        if text.starts_with('{') { of_jwk(text) } else { of_pem(text) }
    }
}

fn of_jwk(text: &str) -> Option<Private> {
    let bounds = Bounds { depth: 3, values: 32, duplicates: Duplicates::Refuse };
    let mut jwk = Json::parse(text.as_bytes(), bounds).ok()?;
    let member = |name| jwk.get(name).and_then(Json::as_text);
    let bytes = |name| URL_SAFE_NO_PAD.decode(member(name)?).ok();
    let read = || {
        let secret = Zeroizing::new(bytes("d")?);
        let (curve, public) = match (member("kty")?, member("crv")?) {
            ("OKP", "Ed25519") => (Curve::Ed25519, bytes("x")?),
            ("EC", "P-256") => (Curve::P256, [bytes("x")?, bytes("y")?].concat()),
            _ => return None,
        };
        Some(Private { curve, secret: of_32(&secret)?, public: Some(public) })
    };
    let private = read();
    if let Json::Map(members) = &mut jwk {
        for (_, value) in members {
            if let Json::Text(text) = value {
                text.zeroize();
            }
        }
    }
    private
}

fn of_pem(text: &str) -> Option<Private> {
    // What stands around the block, such as the public key in one of its own, is for others (RFC 7468 §2).
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (inner, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    // Stores have been seen to make blanks of line breaks.
    let digits: Zeroizing<Vec<u8>> =
        Zeroizing::new(inner.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    of_pkcs8(&Zeroizing::new(STANDARD.decode(&*digits).ok()?))
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// RFC 8410 §3: 1.3.101.112.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// RFC 5480 §2.1.1: 1.2.840.10045.2.1, and the curve 1.2.840.10045.3.1.7.
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// RFC 5958 §2: version, algorithm, key; what may stand behind that is not needed.
fn of_pkcs8(der: &[u8]) -> Option<Private> {
    let mut outer = Der(der);
    let mut inner = outer.take(SEQUENCE).filter(|_| outer.0.is_empty())?;
    inner.take(INTEGER)?;
    let mut algorithm = inner.take(SEQUENCE)?;
    let mut key = inner.take(OCTETS)?;
    let (curve, secret) = match (algorithm.take(OBJECT)?.0, algorithm.take(OBJECT).map(|curve| curve.0)) {
        // RFC 8410 §7: the seed, as an octet string once more.
        (ED25519, None) => (Curve::Ed25519, key.take(OCTETS)?),
        // RFC 5915 §3: version, scalar, and perhaps the curve and the public key.
        (EC, Some(P256)) => {
            let mut key = key.take(SEQUENCE)?;
            key.take(INTEGER)?;
            (Curve::P256, key.take(OCTETS)?)
        }
        _ => return None,
    };
    Some(Private { curve, secret: of_32(secret.0)?, public: None })
}

/// The PKCS#8 of a P-256 key with both its parts, for a host that signs.
pub(super) fn pkcs8(secret: &[u8; 32], public: &[u8; 64]) -> Vec<u8> {
    const HEAD: [u8; 36] = [
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01,
        0x04, 0x20,
    ];
    // [1], BIT STRING without unused bits, an uncompressed point.
    const MIDDLE: [u8; 6] = [0xa1, 0x44, 0x03, 0x42, 0x00, 0x04];
    [&HEAD[..], secret, &MIDDLE, public].concat()
}

/// `r || s` (RFC 7518 §3.4) of the `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) that a host makes.
pub(super) fn raw_signature(der: &[u8]) -> Option<Vec<u8>> {
    let mut outer = Der(der);
    let mut pair = outer.take(SEQUENCE).filter(|_| outer.0.is_empty())?;
    let (r, s) = (pair.take(INTEGER)?, pair.take(INTEGER)?);
    let mut raw = vec![0; 64];
    let (left, right) = raw.split_at_mut_checked(32)?;
    for (Der(number), place) in [(r, left), (s, right)] {
        let digits = number.iter().position(|b| *b != 0).and_then(|start| number.get(start..))?;
        let start = place.len().checked_sub(digits.len())?;
        place.get_mut(start..)?.copy_from_slice(digits);
    }
    pair.0.is_empty().then_some(raw)
}

fn of_32(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    Some(Zeroizing::new(bytes.try_into().ok()?))
}

/// What is left of a value in DER (X.690).
struct Der<'d>(&'d [u8]);

impl<'d> Der<'d> {
    /// The next element, which must have this tag. Lengths of up to 255 bytes are all that occur.
    fn take(&mut self, tag: u8) -> Option<Der<'d>> {
        let (length, rest) = match self.0 {
            [found, 0x81, length @ 0x80..=0xff, rest @ ..] if *found == tag => (*length, rest),
            [found, length @ 0..=0x7f, rest @ ..] if *found == tag => (*length, rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(Der(value))
    }
}

#[cfg(test)]
mod tests {
    use super::{Curve, Private, pkcs8, raw_signature};
    use crate::hex::example;
    use crate::testing::test;

    /// RFC 8410 §10.3, both forms.
    #[test]
    fn published_keys() {
        let seed = example("D4EE72DBF913584AD5B6D8F1F769F8AD3AFE7C28CBF1D4FBE097A88F44755842");
        for pem in [
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
            "-----BEGIN PRIVATE KEY-----\nMHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\noB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\nZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PRIVATE KEY-----",
            "subject: a -----BEGIN PRIVATE KEY----- MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC -----END PRIVATE KEY-----\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        ] {
            let key = Private::read(pem.as_bytes()).unwrap();
            assert_eq!((key.curve, key.secret.as_slice()), (Curve::Ed25519, seed.as_slice()));
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_cut_is_none() {
        let der = pkcs8(&[7; 32], &[9; 64]);
        let key = super::of_pkcs8(&der).unwrap();
        assert_eq!((key.curve, *key.secret), (Curve::P256, [7; 32]));
        assert!((0..der.len()).all(|cut| super::of_pkcs8(&der[..cut]).is_none()));
        assert!((0..27).all(|at| {
            let mut bent = der.clone();
            bent[at] ^= 0x41;
            // The version is not looked at.
            super::of_pkcs8(&bent).is_none() || at == 5
        }));
        for text in [
            "",
            "{",
            "{}",
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----",
        ] {
            assert!(Private::read(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn signatures_of_hosts() {
        let raw = |text| raw_signature(&example(text));
        let mut one_two = vec![0; 64];
        (one_two[31], one_two[63]) = (1, 0x80);
        assert_eq!(raw("3007 020101 02020080"), Some(one_two));
        for bad in [
            "",
            "3000",
            "3003020101",
            "300602010102010200",
            "3006020100020101",
            "30060201010201",
            "3106020101020101",
        ] {
            assert_eq!(raw(bad), None, "{bad}");
        }
        let long = format!("3028 0221 {} 020101", "11".repeat(33));
        assert_eq!(raw(&long), None, "longer than the field");
    }
}
