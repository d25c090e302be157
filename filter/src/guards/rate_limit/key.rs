//! Whose bucket is it? The parts of a key, hashed so that no client can choose whose bucket it shares.

use core::hash::Hasher as _;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use super::Facts;
use super::rules::ScopeId;
use crate::guards::identity::Caller;
use crate::json::Json;
use crate::limits;

/// One part of a rule's `by`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's network: so many bits of its address.
    ClientIp {
        /// Of an IPv4 address, at most 32.
        v4: u8,
        /// Of an IPv6 address, at most 128.
        v6: u8,
    },
    /// `sub`, within its issuer.
    Subject,
    /// The token by its `jti`, else by all its claims, within its issuer; or the API key. Not by its bytes: some signatures can be
    /// written in two ways, and whoever does so has one token.
    Token,
    /// `client_id` or `azp`, within its issuer; or the client of the API key, which has none.
    Client,
    /// The route's name.
    Route,
    /// The method.
    Method,
    /// What a token that was not checked says in `sub`.
    ClaimedSubject,
    /// The first [`crate::limits::API_KEY_PREFIX`] bytes of an API key that was not checked.
    ApiKeyPrefix,
    /// Every value of a header (lower-case name), in order, as bytes.
    Header(Rc<str>),
    /// A claim, within its issuer; nested by dots.
    Claim(Box<str>),
}

impl Part {
    /// An IPv4 address whole, an IPv6 address by its /64, which is what one subscriber gets.
    pub const CLIENT_IP: Part = Part::ClientIp { v4: 32, v6: 64 };

    /// Whether it is the client's network.
    pub fn is_network(&self) -> bool {
        matches!(self, Part::ClientIp { .. })
    }

    /// Whether the two parts are one, or one is contained in the other.
    pub fn is_like(&self, other: &Part) -> bool {
        self == other || (self.is_network() && other.is_network())
    }
}

/// A key's place in the table: which slot, by a number to be scaled to how many there are, and which tag within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Uniform over all of `u64`.
    pub place: u64,
    /// Uniform, and independent of `place`.
    pub tag: u64,
}

/// Hashes a rule's `scope` and the parts of its key under `seed` (SipHash-2-4, 128 bit).
///
/// Every piece behind the scope stands behind its kind and its length, so two different keys are two different texts. What a request lacks
/// counts as lacking, which is no value that a request could have: all that lack it share one bucket.
pub(super) fn bucket(seed: &[u8; 16], scope: &ScopeId, by: &[Part], facts: &Facts<'_>) -> Bucket {
    let mut key = Key::new(seed, scope);
    for part in by {
        key.part(part, facts);
    }
    key.bucket()
}

/// The same for a key that is a text already.
pub(super) fn of_text(seed: &[u8; 16], scope: &ScopeId, text: &[u8]) -> Bucket {
    let mut key = Key::new(seed, scope);
    key.piece(text);
    key.bucket()
}

/// So many bits of an address. An IPv4 client that comes in through an IPv6 socket is the same client.
pub(super) fn network(address: IpAddr, v4: u8, v6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(v4.into())).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(v6.into())).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

struct Key(SipHasher24);

impl Key {
    fn new(seed: &[u8; 16], scope: &ScopeId) -> Self {
        let mut hasher = SipHasher24::new_with_key(seed);
        hasher.write(scope);
        Self(hasher)
    }

    fn bucket(self) -> Bucket {
        let (place, tag) = self.0.finish128().as_u64();
        Bucket { place, tag }
    }

    fn part(&mut self, part: &Part, facts: &Facts<'_>) {
        let (caller, issuer) = (facts.caller, facts.caller.issuer());
        match part {
            Part::ClientIp { v4, v6 } => {
                self.network(facts.client_address, *v4, *v6);
            }
            Part::Subject => {
                self.kind(2);
                self.optional(issuer);
                self.optional(caller.subject());
            }
            Part::Token => {
                self.kind(8);
                self.optional(issuer);
                self.token(caller);
            }
            Part::Client => {
                self.kind(3);
                self.optional(issuer);
                self.optional(caller.client());
            }
            Part::Route => {
                self.kind_and_piece(4, facts.route.as_bytes());
            }
            Part::Method => {
                self.kind_and_piece(5, facts.head.method());
            }
            Part::ClaimedSubject => {
                self.kind(9);
                self.optional(facts.attempt.subject);
            }
            Part::ApiKeyPrefix => {
                self.kind(10);
                self.kind(u8::from(facts.attempt.api_key.is_some()));
                let key = facts.attempt.api_key.unwrap_or_default();
                self.piece(key.get(..limits::API_KEY_PREFIX).unwrap_or(key));
            }
            Part::Header(name) => {
                self.kind_and_piece(6, name.as_bytes());
                for value in facts.head.all(name) {
                    self.kind_and_piece(1, value);
                }
                self.kind(0);
            }
            Part::Claim(name) => {
                self.kind(7);
                self.optional(issuer);
                self.piece(name.as_bytes());
                self.json(caller.token().and_then(|token| token.claim(name)).unwrap_or(&Json::Null));
            }
        }
    }

    fn token(&mut self, caller: &Caller) {
        match caller {
            Caller::Anonymous => self.kind(0),
            Caller::Token(token) => {
                self.kind(1);
                let jti = token.claims().get("jti").filter(|jti| jti.as_text().is_some());
                self.json(jti.unwrap_or(token.claims()));
            }
            Caller::ApiKey(key) => {
                self.kind(2);
                self.piece(key.client().as_bytes());
                self.piece(key.fingerprint().as_bytes());
            }
            Caller::Certificate(certificate) => {
                self.kind(3);
                self.piece(certificate.name().as_bytes());
            }
        }
    }

    fn network(&mut self, address: Option<IpAddr>, v4: u8, v6: u8) {
        match address.map(|address| network(address, v4, v6)) {
            None => self.0.write(&[1, 0]),
            Some(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                self.0.write(&[1, 4, a, b, c, d]);
            }
            Some(IpAddr::V6(address)) => {
                self.0.write(&[1, 6]);
                self.0.write(&address.octets());
            }
        }
    }

    /// Recursion is bounded by the depth of the token's JSON.
    fn json(&mut self, value: &Json) {
        match value {
            Json::Null => self.kind(0),
            Json::Bool(value) => {
                self.kind(1);
                self.kind(u8::from(*value));
            }
            Json::Integer(value) => {
                self.kind(2);
                self.0.write(&value.to_le_bytes());
            }
            Json::Number(value) => {
                self.kind(3);
                self.0.write(&value.to_le_bytes());
            }
            Json::Text(text) => {
                self.kind_and_piece(4, text.as_bytes());
            }
            Json::List(list) => {
                self.kind(5);
                self.count(list.len());
                for value in list {
                    self.json(value);
                }
            }
            Json::Map(fields) => {
                self.kind(6);
                self.count(fields.len());
                for (name, value) in fields {
                    self.piece(name.as_bytes());
                    self.json(value);
                }
            }
        }
    }

    fn optional(&mut self, text: Option<&str>) {
        self.kind_and_piece(u8::from(text.is_some()), text.unwrap_or_default().as_bytes());
    }

    /// In as few strokes as can be: each costs as much as hashing some words.
    #[inline(never)]
    fn kind_and_piece(&mut self, kind: u8, bytes: &[u8]) {
        let mut head = [kind; 9];
        let [_, length @ ..] = &mut head;
        *length = (bytes.len() as u64).to_le_bytes();
        self.0.write(&head);
        self.0.write(bytes);
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.write(bytes);
    }

    fn count(&mut self, count: usize) {
        self.0.write(&(count as u64).to_le_bytes());
    }

    fn kind(&mut self, kind: u8) {
        self.0.write(&[kind]);
    }
}
