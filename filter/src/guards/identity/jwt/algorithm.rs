//! Which signature algorithms are there, and what does each of them bind?

/// A JWS algorithm (RFC 7518 §3.1, RFC 8037 §3.1) that the gateway can check. `none` is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the IANA registry's")]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
    HS256,
    HS384,
    HS512,
}

/// What kind of key an algorithm takes. An algorithm of one family never sees a key of another: RFC 8725 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// RSASSA-PKCS1-v1_5 and RSASSA-PSS: an RSA key.
    Rsa,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// HMAC: a shared secret.
    Hmac,
}

/// The hash inside an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl Hash {
    /// As the host's `verify_signature` calls it.
    pub const fn host_name(self) -> &'static str {
        match self {
            Hash::Sha256 => "sha256",
            Hash::Sha384 => "sha384",
            Hash::Sha512 => "sha512",
        }
    }

    /// Bytes of its output.
    pub const fn size(self) -> usize {
        match self {
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }
}

impl Algorithm {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Algorithm); 12] = [
        ("RS256", Algorithm::RS256),
        ("RS384", Algorithm::RS384),
        ("RS512", Algorithm::RS512),
        ("PS256", Algorithm::PS256),
        ("PS384", Algorithm::PS384),
        ("PS512", Algorithm::PS512),
        ("ES256", Algorithm::ES256),
        ("ES384", Algorithm::ES384),
        ("EdDSA", Algorithm::EdDSA),
        ("HS256", Algorithm::HS256),
        ("HS384", Algorithm::HS384),
        ("HS512", Algorithm::HS512),
    ];

    /// The algorithm that a token's or a key's `alg` names, letter by letter: RFC 7515 §4.1.1, "a case-sensitive ASCII
    /// string". RFC 9864 §2.2 calls `EdDSA` on that curve `Ed25519`; it is the same algorithm.
    pub fn named(alg: &str) -> Option<Self> {
        if alg == "Ed25519" {
            return Some(Algorithm::EdDSA);
        }
        let (_, algorithm) = Self::WORDS.iter().find(|(word, _)| *word == alg)?;
        Some(*algorithm)
    }

    /// What holds when a provider names none: all that are checked with a public key.
    pub fn asymmetric() -> Vec<Self> {
        Self::WORDS
            .iter()
            .map(|(_, algorithm)| *algorithm)
            .filter(|algorithm| algorithm.family() != Family::Hmac)
            .collect()
    }

    /// The kind of key it takes.
    pub const fn family(self) -> Family {
        match self {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => Family::Rsa,
            Algorithm::ES256 => Family::P256,
            Algorithm::ES384 => Family::P384,
            Algorithm::EdDSA => Family::Ed25519,
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Family::Hmac,
        }
    }

    /// The hash inside it. Ed25519 hashes with SHA-512 by itself.
    pub const fn hash(self) -> Hash {
        match self {
            Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 | Algorithm::HS256 => Hash::Sha256,
            Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 | Algorithm::HS384 => Hash::Sha384,
            Algorithm::RS512 | Algorithm::PS512 | Algorithm::HS512 | Algorithm::EdDSA => Hash::Sha512,
        }
    }

    /// Whether it is RSASSA-PSS, which no host's `verify_signature` knows (host fact H3).
    pub const fn is_pss(self) -> bool {
        matches!(self, Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512)
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Family};
    use crate::testing::test;

    #[test]
    fn names_are_exact() {
        for (word, algorithm) in Algorithm::WORDS {
            assert_eq!(Algorithm::named(word), Some(algorithm));
        }
        assert_eq!(Algorithm::named("Ed25519"), Some(Algorithm::EdDSA));
        for word in
            ["none", "None", "nOnE", "rs256", "RS256 ", "", "ES512", "ES256K", "RSA-OAEP", "HS1", "RS1"]
        {
            assert_eq!(Algorithm::named(word), None, "{word}");
        }
        assert!(Algorithm::asymmetric().iter().all(|a| a.family() != Family::Hmac));
        assert_eq!(Algorithm::asymmetric().len(), 9);
    }
}
