//! Do the claims hold: is the token for us, now, and does it say what it must?

use super::grounds::Window;
use crate::decision::{Detail, Reason, Refusal};
use crate::guards::identity::caller::claim;
use crate::guards::identity::rules::{Audience, Provider};
use crate::json::Json;
use crate::time::{SECOND, Timestamp};

/// Checks every claim but `iss`, which has already chosen the provider. Tells for how long the answer stands.
pub fn check(claims: &Json, provider: &Provider, now: Timestamp) -> Result<Window, Refusal> {
    let times = Times::of(claims)?;
    times.check_validity(provider, now)?;
    times.check_lifetime(provider)?;
    check_subject(claims)?;
    check_audience(claims, provider)?;
    check_required(claims, provider)?;
    Ok(times.window(provider))
}

/// A `NumericDate` in nanoseconds. Wide enough for every JSON integer; a number beyond saturates.
pub(in crate::guards::identity) type Nanos = i128;

#[derive(Clone, Copy)]
struct Times {
    exp: Option<Nanos>,
    nbf: Option<Nanos>,
    iat: Option<Nanos>,
}

impl Times {
    fn of(claims: &Json) -> Result<Self, Refusal> {
        Ok(Self {
            exp: numeric_date(claims, "exp")?,
            nbf: numeric_date(claims, "nbf")?,
            iat: numeric_date(claims, "iat")?,
        })
    }

    fn check_validity(self, provider: &Provider, now: Timestamp) -> Result<(), Refusal> {
        let (now, skew) = (Nanos::from(now.nanos()), Nanos::from(provider.clock_skew));
        // RFC 7519 §4.1.4: "MUST NOT be accepted" on or after `exp`, but for "some small leeway": the provider's clockSkew.
        match self.exp {
            Some(exp) if now >= exp.saturating_add(skew) => return Err(Reason::TokenExpired.into()),
            None if provider.require_expiration => {
                return Err(Refusal::because(Reason::ClaimMissing, Detail::Fact("exp")));
            }
            _ => {}
        }
        // RFC 7519 §4.1.5 for `nbf`. Of `iat` the RFC asks nothing; a token from the future was not issued by a clock
        // that we may trust for `exp` either, so we are stricter.
        let ahead = |date: Option<Nanos>| date.is_some_and(|date| date > now.saturating_add(skew));
        for (name, date) in [("nbf", self.nbf), ("iat", self.iat)] {
            if ahead(date) {
                return Err(Refusal::because(Reason::TokenNotYetValid, Detail::Fact(name)));
            }
        }
        Ok(())
    }

    /// When [`Times::check_validity`] passes: not before the later of `nbf` and `iat`, and before `exp`, each with the skew.
    fn window(self, provider: &Provider) -> Window {
        let skew = Nanos::from(provider.clock_skew);
        let clamped = |date: Nanos| u64::try_from(date.max(0)).unwrap_or(u64::MAX);
        let begin = self.nbf.max(self.iat).map_or(0, |date| clamped(date.saturating_sub(skew)));
        let end = self.exp.map_or(u64::MAX, |exp| clamped(exp.saturating_add(skew)));
        Window { from: begin, until: end }
    }

    /// `exp - iat` within `maxLifetime`. Without one of the two there is no telling, and so no admission.
    fn check_lifetime(self, provider: &Provider) -> Result<(), Refusal> {
        let Some(limit) = provider.max_lifetime else {
            return Ok(());
        };
        let refuse = |fact| Err(Refusal::because(Reason::TokenLifetimeExceeded, Detail::Fact(fact)));
        match (self.exp, self.iat) {
            (Some(exp), Some(iat)) if exp.saturating_sub(iat) <= Nanos::from(limit) => Ok(()),
            (Some(_), Some(_)) => refuse("exp - iat is over maxLifetime"),
            (None, _) => refuse("no exp to tell the lifetime by"),
            (_, None) => refuse("no iat to tell the lifetime by"),
        }
    }
}

/// RFC 7519 §2: a JSON number of seconds, fractions allowed. Anything else that stands there is no date, and a date that
/// cannot be read is a refusal, never "no date".
pub(in crate::guards::identity) fn numeric_date(
    claims: &Json,
    name: &'static str,
) -> Result<Option<Nanos>, Refusal> {
    let unit = Nanos::from(SECOND);
    match claims.get(name) {
        None => Ok(None),
        Some(Json::Integer(seconds)) => Ok(Some(Nanos::from(*seconds).saturating_mul(unit))),
        #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range saturates")]
        Some(Json::Number(seconds)) => {
            let whole = (seconds.trunc() as Nanos).saturating_mul(unit);
            let fraction = (seconds.fract() * 1e9) as Nanos;
            Ok(Some(whole.saturating_add(fraction)))
        }
        Some(_) => Err(Refusal::because(Reason::ClaimInvalid, Detail::Fact(name))),
    }
}

/// RFC 7519 §4.1.2: a string. A subject that cannot be read as one would be nobody to the guards below.
fn check_subject(claims: &Json) -> Result<(), Refusal> {
    match claims.get("sub") {
        None | Some(Json::Text(_)) => Ok(()),
        Some(_) => Err(Refusal::because(Reason::ClaimInvalid, Detail::Fact("sub"))),
    }
}

/// RFC 7519 §4.1.3: a string or a list of strings, compared byte by byte. Without `aud` a token is for nobody.
fn check_audience(claims: &Json, provider: &Provider) -> Result<(), Refusal> {
    let invalid = || Refusal::because(Reason::ClaimInvalid, Detail::Fact("aud"));
    let mut named: Vec<&str> = Vec::new();
    match claims.get("aud") {
        None => {}
        Some(Json::Text(one)) => named.push(one),
        Some(Json::List(list)) => {
            for element in list {
                named.push(element.as_text().ok_or_else(invalid)?);
            }
        }
        Some(_) => return Err(invalid()),
    }
    match &provider.audience {
        Audience::Any => Ok(()),
        Audience::OneOf(ours) if ours.iter().any(|our| named.contains(&&**our)) => Ok(()),
        Audience::OneOf(_) => Err(Reason::AudienceMismatch.into()),
    }
}

fn check_required(claims: &Json, provider: &Provider) -> Result<(), Refusal> {
    for name in &provider.required_claims {
        if matches!(claim(claims, name), None | Some(Json::Null)) {
            return Err(Refusal::because(Reason::ClaimMissing, Detail::Named("claim", name.clone())));
        }
    }
    Ok(())
}
