//! What does a proof say, and is it of this request, this token and this key?

use super::target::{Origin, Target};
use super::{Asked, ProofRules, thumbprint};
use crate::decision::{Detail, Reason, Refusal};
use crate::guards::identity::confirmation::because;
use crate::guards::identity::jwt::claims::numeric_date;
use crate::guards::identity::jwt::compact::{Parts, media_type};
use crate::guards::identity::jwt::keys::embedded;
use crate::guards::identity::jwt::signature;
use crate::host::Verifier;
use crate::json::Json;
use crate::limits;

/// A proof taken apart, none of it believed.
pub(super) struct Proof<'p> {
    parts: Parts<'p>,
}

fn invalid(fact: &'static str) -> Refusal {
    because(Reason::ProofInvalid, fact)
}

/// What is wrong with a token is, said of a proof, an invalid proof; the fact stays.
fn of_a_proof(refusal: Refusal) -> Refusal {
    Refusal::because(Reason::ProofInvalid, refusal.detail)
}

impl<'p> Proof<'p> {
    /// Takes a proof apart, with the bounds of a token.
    pub(super) fn parse(proof: &'p [u8]) -> Result<Self, Refusal> {
        Ok(Self { parts: Parts::of(proof).map_err(of_a_proof)? })
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.parts.claims.get(claim)?.as_text()
    }

    /// The nonce, if it is text.
    pub(super) fn nonce(&self) -> Option<&str> {
        self.text("nonce")
    }

    /// RFC 9449 §4.3 steps 4 and 5: the type that nothing else has, and an asymmetric algorithm that the policy takes.
    pub(super) fn check_header(&self, rules: &ProofRules) -> Result<(), Refusal> {
        let typ = self.parts.header.get("typ").and_then(Json::as_text).map(media_type);
        if typ.as_deref() != Some("dpop+jwt") {
            return Err(invalid("`typ` is not dpop+jwt"));
        }
        if !rules.algorithms.contains(&self.parts.algorithm) {
            return Err(invalid("`alg` is not one of the policy's"));
        }
        Ok(())
    }

    /// Steps 8, 9 and 11a: `htm`, `htu` and `ath`.
    pub(super) fn check_request(&self, asked: &Asked<'_>, rules: &ProofRules) -> Result<(), Refusal> {
        if self.text("htm").map(str::as_bytes) != Some(asked.head.method()) {
            return Err(invalid("`htm` is not the method"));
        }
        let target = self.text("htu").and_then(Target::parse).ok_or_else(|| invalid("`htu` is no URL"))?;
        let head = asked.head;
        let ours = if rules.origins.is_empty() {
            Origin::parse(head.scheme(), head.authority()).is_some_and(|origin| origin == target.origin)
        } else {
            rules.origins.contains(&target.origin)
        };
        if !ours || !target.is_path_of(head.target()) {
            return Err(invalid("`htu` is not the URL"));
        }
        if self.text("ath") != Some(&*thumbprint::sha256(asked.token)) {
            return Err(invalid("`ath` is not the token's"));
        }
        Ok(())
    }

    /// Step 11, and RFC 7519 §4.1.4 and §4.1.5 for a client that sets `exp` or `nbf`. How many nanoseconds the proof has left.
    pub(super) fn check_times(&self, asked: &Asked<'_>, rules: &ProofRules) -> Result<u64, Refusal> {
        let date = |name| numeric_date(&self.parts.claims, name).map_err(of_a_proof);
        let (now, skew) = (i128::from(asked.now.nanos()), i128::from(asked.skew));
        let stale = |fact| Err(because(Reason::ProofStale, fact));
        let Some(iat) = date("iat")? else {
            return Err(invalid("no `iat`"));
        };
        if iat > now.saturating_add(skew) || date("nbf")?.is_some_and(|nbf| nbf > now.saturating_add(skew)) {
            return stale("`iat` or `nbf` lies ahead");
        }
        if date("exp")?.is_some_and(|exp| now >= exp.saturating_add(skew)) {
            return stale("`exp` has passed");
        }
        let remaining = iat.saturating_add(i128::from(rules.lifetime)).saturating_sub(now);
        u64::try_from(remaining).or_else(|_| stale("`iat` lies further back than proofLifetime"))
    }

    /// Step 3, RFC 9449 §4.2: an identifier. Its length is bounded, since it is hashed.
    pub(super) fn jti(&self) -> Result<&str, Refusal> {
        let jti = self.text("jti").ok_or_else(|| invalid("`jti` is missing or no string"))?;
        match jti.len() {
            0 => Err(invalid("`jti` is empty")),
            1..=limits::PROOF_JTI_BYTES => Ok(jti),
            got => {
                let (got, limit) = (got as u64, limits::PROOF_JTI_BYTES as u64);
                Err(Refusal::because(
                    Reason::ProofInvalid,
                    Detail::Over { what: "bytes of `jti`", got, limit },
                ))
            }
        }
    }

    /// Steps 6, 7 and 11b: the embedded key is public, is the one that the token is bound to, and made the signature. The
    /// thumbprint first: who has a stolen token and another key cannot make us check signatures.
    pub(super) fn check_key(&self, jkt: &str, verifier: &impl Verifier) -> Result<(), Refusal> {
        let Some(jwk @ Json::Map(_)) = self.parts.header.get("jwk") else {
            return Err(invalid("`jwk` is missing or no object"));
        };
        let key = embedded(jwk).map_err(invalid)?;
        if thumbprint::of(jwk).as_deref() != Some(jkt) {
            return Err(because(Reason::TokenBindingMismatch, "the proof is of another key"));
        }
        let Parts { algorithm, text, signature, .. } = &self.parts;
        if !signature::holds(&key, *algorithm, text, signature, verifier) {
            return Err(invalid("the signature is not the key's"));
        }
        Ok(())
    }
}
