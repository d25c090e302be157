//! What does an introspection endpoint say of a token, and what of it is believed?

use crate::host::Answer;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::time::SECOND;

/// What a token is.
#[derive(Debug, PartialEq)]
pub enum Said {
    /// RFC 7662 §2.2: `active` is true, and this is what it says of itself.
    Active(Json),
    /// It is not active: expired, revoked, of somebody else, or none at all.
    Inactive,
}

/// Why nothing was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no service, or it broke off.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// It failed: 500 and above.
    Failed,
    /// It does not take our own credentials (RFC 7662 §2.3).
    NotUs,
    /// It wants to be asked less often: 429.
    Often,
    /// Another status than 200.
    Status,
    /// Too long, no JSON object, a name twice, or `active` is no boolean.
    Junk,
    /// The proxy did not send the question.
    NotSent,
}

impl Fault {
    /// How many failures in a row it counts for. What cannot be one token's doing is enough at once. What a service says to one token, as a
    /// firewall before it may, tells nothing of the service.
    pub const fn weight(self) -> u32 {
        match self {
            Fault::Status | Fault::Junk => 0,
            Fault::Unreachable | Fault::Timeout | Fault::Failed => 1,
            Fault::NotUs | Fault::Often | Fault::NotSent => limits::INTROSPECTION_FAILURES,
        }
    }

    /// For the log and the audit event.
    pub const fn words(self) -> &'static str {
        match self {
            Fault::Unreachable => {
                "the introspection service cannot be reached, or broke off its answer: provider"
            }
            Fault::Timeout => "the introspection service did not answer in time: provider",
            Fault::NotUs => {
                "the introspection service does not take the gateway's own `clientId` and secret: provider"
            }
            Fault::Failed => "the introspection service failed (5xx): provider",
            Fault::Often => "the introspection service was asked too often (429): provider",
            Fault::Status => "the introspection service answered with another status than 200: provider",
            Fault::Junk => "the introspection service's answer cannot be read: provider",
            Fault::NotSent => {
                "the proxy did not send the question about a token, is the cluster known? provider"
            }
        }
    }
}

/// The bounds of a token's own claims hold for what is said of it.
const BOUNDS: Bounds =
    Bounds { depth: limits::TOKEN_DEPTH, values: limits::TOKEN_VALUES, duplicates: Duplicates::Refuse };

/// Reads an answer. Envoy says 503 for a cluster that is down and 504 for a timeout (host fact H9). What is no answer is never
/// taken for "inactive": that would tell a client that its token is bad when nobody knows.
pub fn read(answer: &Answer) -> Result<Said, Fault> {
    match answer.status {
        200 => {}
        0 | 502 | 503 => return Err(Fault::Unreachable),
        504 => return Err(Fault::Timeout),
        401 => return Err(Fault::NotUs),
        429 => return Err(Fault::Often),
        500.. => return Err(Fault::Failed),
        _ => return Err(Fault::Status),
    }
    let body = answer.body.as_ref().ok_or(Fault::Junk)?;
    let claims = Json::parse(body, BOUNDS).map_err(|_| Fault::Junk)?;
    match claims.get("active") {
        Some(Json::Bool(true)) => Ok(Said::Active(claims)),
        Some(Json::Bool(false)) => Ok(Said::Inactive),
        _ => Err(Fault::Junk),
    }
}

/// `exp` in nanoseconds; the end of time if there is none. One that cannot be read is refused by the check of the claims.
pub fn expiry(claims: &Json) -> u64 {
    match claims.get("exp") {
        Some(Json::Integer(seconds)) => u64::try_from(*seconds).unwrap_or(0).saturating_mul(SECOND),
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, Said, read};
    use crate::host::Answer;
    use crate::testing::test;

    #[test]
    fn answers() {
        let deep = format!(r#"{{"active":true,"x":{}}}"#, "[".repeat(5000));
        let many = format!(r#"{{"active":true,"x":[{}1]}}"#, "1,".repeat(5000));
        for (status, body, expected) in [
            (200, r#"{"active":false}"#, Ok(None)),
            (200, r#"{"active":false,"sub":"ada"}"#, Ok(None)),
            (200, r#"{"active":true,"sub":"ada"}"#, Ok(Some("ada"))),
            (200, r#"{"active":"true"}"#, Err(Fault::Junk)),
            (200, r#"{"active":1}"#, Err(Fault::Junk)),
            (200, r#"{"active":true,"active":false}"#, Err(Fault::Junk)),
            (200, r#"{"sub":"ada"}"#, Err(Fault::Junk)),
            (200, r#"[{"active":true}]"#, Err(Fault::Junk)),
            (200, "true", Err(Fault::Junk)),
            (200, "", Err(Fault::Junk)),
            (200, "<!doctype html>", Err(Fault::Junk)),
            (200, deep.as_str(), Err(Fault::Junk)),
            (200, many.as_str(), Err(Fault::Junk)),
            (302, r#"{"active":true}"#, Err(Fault::Status)),
            (403, r#"{"active":true}"#, Err(Fault::Status)),
            (499, r#"{"active":true}"#, Err(Fault::Status)),
            (500, r#"{"active":true}"#, Err(Fault::Failed)),
            (501, r#"{"active":true}"#, Err(Fault::Failed)),
            (599, r#"{"active":true}"#, Err(Fault::Failed)),
            (429, r#"{"active":true}"#, Err(Fault::Often)),
            (401, r#"{"error":"invalid_client"}"#, Err(Fault::NotUs)),
            (503, "", Err(Fault::Unreachable)),
            (0, "", Err(Fault::Unreachable)),
            (504, "", Err(Fault::Timeout)),
        ] {
            let answer = Answer {
                status,
                headers: Vec::new(),
                body: Some(body.as_bytes().to_vec()),
                ..Answer::default()
            };
            let subject = read(&answer).map(|said| match said {
                Said::Active(claims) => claims.get("sub").and_then(|sub| sub.as_text()).map(str::to_owned),
                Said::Inactive => None,
            });
            assert_eq!(
                subject,
                expected.map(|sub: Option<&str>| sub.map(str::to_owned)),
                "{status} {body:.60}"
            );
        }
        let too_long = Answer { status: 200, headers: Vec::new(), body: None, ..Answer::default() };
        assert_eq!(read(&too_long), Err(Fault::Junk));
    }
}
