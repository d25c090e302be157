//! In which form does a policy hold an API key?

use core::fmt;

use subtle::ConstantTimeEq as _;

use crate::hex;

/// Bytes of a digest of SHA-256.
const SIZE: usize = 32;

/// SHA-256 of a key, or its HMAC-SHA-256 (RFC 2104) under a pepper.
#[derive(Clone, Copy)]
pub struct Digest([u8; SIZE]);

impl Digest {
    /// SHA-256.
    pub fn plain(key: &[u8]) -> Self {
        Self(hmac_sha256::Hash::hash(key))
    }

    /// HMAC-SHA-256.
    pub fn keyed(key: &[u8], pepper: &[u8]) -> Self {
        Self(hmac_sha256::HMAC::mac(key, pepper))
    }

    /// From 64 hexadecimal digits.
    fn parse(digits: &str) -> Option<Self> {
        hex::array(digits.as_bytes()).map(Self)
    }

    /// The first eight digits: enough to tell a client's keys apart in a log, and nothing to find a key by.
    pub fn fingerprint(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// In constant time: how much of a digest was right is nobody's to measure.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        super::tests::count_comparison();
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

/// The first eight bytes of a digest spread as well as all of them.
impl core::hash::Hash for Digest {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        state.write(self.0.first_chunk::<8>().map_or(&[][..], |front| &front[..]));
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint())
    }
}

/// `keyHash`: `sha256:` or `hmac-sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    /// SHA-256.
    Plain(Digest),
    /// HMAC-SHA-256 under the pepper.
    Keyed(Digest),
}

impl KeyHash {
    /// Reads it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, hex) = text.split_once(':')?;
        match kind {
            "sha256" => Digest::parse(hex).map(Self::Plain),
            "hmac-sha256" => Digest::parse(hex).map(Self::Keyed),
            _ => None,
        }
    }

    /// The hash of a key, under a pepper if there is one.
    pub fn of(key: &[u8], pepper: Option<&[u8]>) -> Self {
        pepper
            .map_or_else(|| Self::Plain(Digest::plain(key)), |pepper| Self::Keyed(Digest::keyed(key, pepper)))
    }

    /// Which key it is, in a log.
    pub fn fingerprint(&self) -> String {
        let (Self::Plain(digest) | Self::Keyed(digest)) = self;
        digest.fingerprint()
    }
}

/// As a policy has it.
impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, digest) = match self {
            Self::Plain(digest) => ("sha256", digest),
            Self::Keyed(digest) => ("hmac-sha256", digest),
        };
        write!(f, "{kind}:")?;
        digest.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
