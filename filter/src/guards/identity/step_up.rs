//! Was the caller authenticated as strongly, and as recently, as the route asks? RFC 9470.
//!
//! What it does not protect against: an issuer that calls every login strong. `acr` is the issuer's word.

use std::rc::Rc;

use super::caller::Token;
use super::jwt::claims::{Nanos, numeric_date};
use super::rules::{CredentialRule, Provider, Providers};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::json::Json;
use crate::time::{SECOND, Timestamp};

/// What a route asks of the authentication behind a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// `acr` must be one of these: blank-separated, none of them with a blank, in order of preference.
    pub(super) acr_values: Option<Rc<str>>,
    /// Seconds that may have passed since `auth_time`.
    pub(super) max_age: Option<u64>,
}

/// Asks what the route asks of tokens of this provider. Errors: `AuthenticationInsufficient`.
pub fn check(
    rule: &CredentialRule,
    providers: &Providers,
    provider: &Provider,
    token: &Token,
    now: Timestamp,
) -> Result<(), Refusal> {
    let of_provider = |id| providers.provider(id).is_some_and(|known| core::ptr::eq(known, provider));
    match rule.step_ups.iter().find(|(id, _)| of_provider(*id)) {
        Some((_, step_up)) => step_up.check(token.claims(), provider.clock_skew, now),
        None => Ok(()),
    }
}

impl StepUp {
    /// Whether anything is asked.
    pub(super) fn asks(&self) -> bool {
        self.acr_values.is_some() || self.max_age.is_some()
    }

    fn check(&self, claims: &Json, skew: u64, now: Timestamp) -> Result<(), Refusal> {
        let fault = self.acr_fault(claims).or_else(|| self.age_fault(claims, skew, now));
        fault.map_or(Ok(()), |fact| Err(self.refusal(fact)))
    }

    /// RFC 9470 §3: whoever is refused is told what it takes, so that the client can ask its authorization server for it.
    fn refusal(&self, fact: &'static str) -> Refusal {
        Refusal::because(Reason::AuthenticationInsufficient, Detail::Fact(fact))
            .advise(Advice::StepUp { acr_values: self.acr_values.clone(), max_age: self.max_age })
    }

    /// RFC 9470 §6.1, OpenID Connect Core §2: `acr` is one string, compared byte by byte.
    fn acr_fault(&self, claims: &Json) -> Option<&'static str> {
        let accepted = self.acr_values.as_ref()?;
        match claims.get("acr") {
            None | Some(Json::Null) => Some("no acr"),
            Some(Json::Text(acr)) if accepted.split(' ').any(|value| value == acr) => None,
            Some(Json::Text(_)) => Some("acr is none of acrValues"),
            Some(_) => Some("acr is no string"),
        }
    }

    /// `auth_time` is a `NumericDate`. One that lies ahead of us, by more than the skew, tells nothing of the past.
    fn age_fault(&self, claims: &Json, skew: u64, now: Timestamp) -> Option<&'static str> {
        let max_age = Nanos::from(self.max_age?).saturating_mul(Nanos::from(SECOND));
        let (now, skew) = (Nanos::from(now.nanos()), Nanos::from(skew));
        match numeric_date(claims, "auth_time") {
            Err(_) => Some("auth_time is no date"),
            Ok(None) => Some("no auth_time"),
            Ok(Some(time)) if time > now.saturating_add(skew) => Some("auth_time lies ahead"),
            Ok(Some(time)) if now.saturating_sub(time) > max_age.saturating_add(skew) => {
                Some("auth_time is further back than maxAge")
            }
            Ok(Some(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StepUp;
    use crate::decision::{Advice, Reason};
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;
    use crate::time::{SECOND, Timestamp};

    fn fault(step_up: &StepUp, claims: &str) -> Option<String> {
        let bounds = Bounds { depth: 8, values: 64, duplicates: Duplicates::Refuse };
        let claims = Json::parse(claims.as_bytes(), bounds).unwrap();
        let refusal = step_up.check(&claims, 30 * SECOND, Timestamp::from_seconds(10_000)).err()?;
        assert_eq!(refusal.reason, Reason::AuthenticationInsufficient);
        let told = Advice::StepUp { acr_values: step_up.acr_values.clone(), max_age: step_up.max_age };
        assert_eq!(refusal.advice, told);
        Some(refusal.detail.to_string())
    }

    #[test]
    fn how_strongly() {
        let step_up = StepUp { acr_values: Some("urn:x:mfa urn:x:key".into()), max_age: None };
        for (claims, expected) in [
            (r#"{"acr":"urn:x:mfa"}"#, None),
            (r#"{"acr":"urn:x:key","auth_time":"never"}"#, None),
            (r#"{"acr":"urn:x:mfa urn:x:key"}"#, Some("acr is none of acrValues")),
            (r#"{"acr":"URN:X:MFA"}"#, Some("acr is none of acrValues")),
            (r#"{"acr":"urn:x"}"#, Some("acr is none of acrValues")),
            (r#"{"acr":" "}"#, Some("acr is none of acrValues")),
            (r#"{"acr":""}"#, Some("acr is none of acrValues")),
            (r#"{"acr":["urn:x:mfa"]}"#, Some("acr is no string")),
            (r#"{"acr":{"urn:x:mfa":true}}"#, Some("acr is no string")),
            (r#"{"acr":2}"#, Some("acr is no string")),
            (r#"{"acr":true}"#, Some("acr is no string")),
            (r#"{"acr":null}"#, Some("no acr")),
            (r#"{"acr_values":"urn:x:mfa"}"#, Some("no acr")),
        ] {
            assert_eq!(fault(&step_up, claims).as_deref(), expected, "{claims}");
        }
    }

    #[test]
    fn how_recently() {
        let step_up = StepUp { acr_values: None, max_age: Some(300) };
        let (late, ahead) = (Some("auth_time is further back than maxAge"), Some("auth_time lies ahead"));
        for (auth_time, expected) in [
            ("10000", None),
            ("9700", None),
            ("9670", None),
            ("9669.999", late),
            ("9669", late),
            ("0", late),
            ("-1", late),
            ("-1e300", late),
            ("-9223372036854775808", late),
            ("10030", None),
            ("10030.001", ahead),
            ("10031", ahead),
            ("1e300", ahead),
            ("9223372036854775807", ahead),
            ("18446744073709551616", ahead),
            (r#""10000""#, Some("auth_time is no date")),
            ("[10000]", Some("auth_time is no date")),
            ("true", Some("auth_time is no date")),
            ("null", Some("auth_time is no date")),
        ] {
            let claims = format!(r#"{{"auth_time":{auth_time},"iat":10000}}"#);
            assert_eq!(fault(&step_up, &claims).as_deref(), expected, "{auth_time}");
        }
        assert_eq!(fault(&step_up, r#"{"iat":10000}"#).as_deref(), Some("no auth_time"));
        let both = StepUp { acr_values: Some("a".into()), max_age: Some(300) };
        assert_eq!(fault(&both, r#"{"acr":"a","auth_time":9999}"#), None);
        assert_eq!(
            fault(&both, r#"{"acr":"b","auth_time":9999}"#).as_deref(),
            Some("acr is none of acrValues")
        );
        assert_eq!(fault(&both, r#"{"acr":"a","auth_time":1}"#).as_deref(), late);
        let longest = StepUp { acr_values: None, max_age: Some(u64::MAX) };
        assert_eq!(fault(&longest, r#"{"auth_time":-9223372036854775808}"#), None, "no overflow");
    }
}
