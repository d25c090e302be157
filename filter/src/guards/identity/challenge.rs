//! What does a refused client hear about credentials? `WWW-Authenticate`, RFC 9110 §11.6.1 and RFC 6750 §3.

use core::fmt::Write as _;

use super::caller::Caller;
use super::confirmation::challenge::Dpop;
use super::rules::Authentication;
use crate::decision::{Advice, Reason, Refusal};

/// A way to bring a credential, by its name in a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// A token: RFC 6750.
    Bearer,
    /// A token with a proof of possession, which has the parameters of `Bearer` and its own: RFC 9449 §7.1.
    Dpop,
    /// An API key. RFC 9110 §15.5.2 wants a challenge in every 401, and no scheme is registered for API keys. `Bearer` would send a
    /// client to look for a token; a name that no client knows says what is missing and starts no dialogue. It has the
    /// parameters of RFC 6750.
    ApiKey,
    /// A client certificate, for which there is no scheme either: it is no part of the request.
    Certificate,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
            Scheme::ApiKey => "ApiKey",
            Scheme::Certificate => "ClientCertificate",
        }
    }

    /// Those that a route takes, tokens first.
    fn of(route: &Authentication, dpop: Option<&Dpop>) -> impl Iterator<Item = Self> {
        let bearer = route.takes_tokens() && !dpop.is_some_and(|dpop| dpop.alone);
        let taken = [
            (bearer, Scheme::Bearer),
            (dpop.is_some(), Scheme::Dpop),
            (route.takes_api_keys(), Scheme::ApiKey),
            (route.takes_certificates(), Scheme::Certificate),
        ];
        taken.into_iter().filter_map(|(takes, scheme)| takes.then_some(scheme))
    }

    /// The one behind which the request has its token, or would need it.
    fn of_tokens(dpop: Option<&Dpop>) -> Self {
        if dpop.is_some_and(|dpop| dpop.alone || dpop.used) { Scheme::Dpop } else { Scheme::Bearer }
    }
}

/// The challenges of a refusal, if it calls for any: every 401, and a 403 for want of a scope. `realm` is the policy's name.
///
/// RFC 6750 §3.1: without a credential a challenge says no more than where it is; the one of the credential that failed says so with the
/// public sentence of the reason. For want of a scope there is only that of the credential that came, with
/// `insufficient_scope` and the scope it takes: another credential would not help. RFC 9470 §3: for want of an authentication that is
/// strong and recent enough, `insufficient_user_authentication` and what it takes.
pub fn challenge(
    realm: &str,
    route: &Authentication,
    caller: Option<&Caller>,
    dpop: Option<&Dpop>,
    refusal: &Refusal,
) -> Option<String> {
    let tokens = Scheme::of_tokens(dpop);
    let failed = match refusal.reason {
        Reason::CredentialMissing => None,
        Reason::ScopeInsufficient => {
            let scheme = match caller {
                Some(Caller::ApiKey(_)) => Scheme::ApiKey,
                Some(Caller::Certificate(_)) => Scheme::Certificate,
                _ => tokens,
            };
            return Some(one(realm, scheme, Some("insufficient_scope"), dpop, refusal));
        }
        Reason::ApiKeyInvalid | Reason::ApiKeyExpired => Some((Scheme::ApiKey, "invalid_key")),
        Reason::CertificateInvalid | Reason::CertificateUnaccepted => {
            Some((Scheme::Certificate, "invalid_certificate"))
        }
        Reason::AuthenticationInsufficient => Some((tokens, "insufficient_user_authentication")),
        Reason::ProofInvalid | Reason::ProofStale | Reason::ProofReplayed => {
            Some((tokens, "invalid_dpop_proof"))
        }
        Reason::ProofNonce => Some((tokens, "use_dpop_nonce")),
        _ if refusal.reason.status() == 401 => Some((tokens, "invalid_token")),
        _ => return None,
    };
    let error = |scheme| failed.filter(|(of, _)| *of == scheme).map(|(_, error)| error);
    let challenges: Vec<String> =
        Scheme::of(route, dpop).map(|scheme| one(realm, scheme, error(scheme), dpop, refusal)).collect();
    (!challenges.is_empty()).then(|| challenges.join(", "))
}

fn one(
    realm: &str,
    scheme: Scheme,
    error: Option<&'static str>,
    dpop: Option<&Dpop>,
    refusal: &Refusal,
) -> String {
    let mut challenge = format!("{} realm=\"{}\"", scheme.name(), quotable(realm));
    if let Some(error) = error {
        let sentence = quotable(refusal.reason.row().sentence);
        let _ = write!(challenge, ", error=\"{error}\", error_description=\"{sentence}\"");
    }
    if let (Reason::ScopeInsufficient, Advice::Scope(scope)) = (refusal.reason, &refusal.advice)
        && is_scope(scope)
    {
        let _ = write!(challenge, ", scope=\"{scope}\"");
    }
    if let (Scheme::Bearer | Scheme::Dpop, Advice::StepUp { acr_values, max_age }) = (scheme, &refusal.advice)
    {
        step_up(&mut challenge, acr_values.as_deref(), *max_age);
    }
    if let (Scheme::Dpop, Some(dpop)) = (scheme, dpop) {
        let _ = write!(challenge, ", algs=\"{}\"", dpop.algorithms);
    }
    challenge
}

/// RFC 9470 §3: both as strings, `acr_values` blank-separated, `max_age` a non-negative integer.
fn step_up(challenge: &mut String, acr_values: Option<&str>, max_age: Option<u64>) {
    if let Some(values) = acr_values.filter(|values| is_scope(values)) {
        let _ = write!(challenge, ", acr_values=\"{values}\"");
    }
    if let Some(seconds) = max_age {
        let _ = write!(challenge, ", max_age=\"{seconds}\"");
    }
}

/// RFC 9110 §5.6.4 `quoted-string`: quotes and backslashes escaped; what is not printable ASCII is left out, since the
/// host does not check what it writes to the wire (host fact H2).
fn quotable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// RFC 6749 §3.3: scope tokens of `%x21 / %x23-5B / %x5D-7E`, with blanks between them. Anything else is not told.
fn is_scope(scope: &str) -> bool {
    scope.bytes().all(|b| b == b' ' || (b.is_ascii_graphic() && b != b'"' && b != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::challenge;
    use crate::decision::{Advice, Reason, Refusal};
    use crate::guards::identity::caller::{ApiKey, Caller, Certificate};
    use crate::guards::identity::rules::{Authentication, CredentialRule, ProviderId};
    use crate::testing::test;

    fn route(tokens: bool, api_keys: bool) -> Authentication {
        Authentication::Credential(rule(tokens, api_keys))
    }

    fn rule(tokens: bool, api_keys: bool) -> CredentialRule {
        let providers = if tokens { vec![ProviderId(0)] } else { Vec::new() };
        CredentialRule {
            providers,
            places: Vec::new(),
            api_keys,
            certificates: None,
            optional: false,
            step_ups: Vec::new(),
            asks: None,
        }
    }

    #[test]
    fn challenges() {
        let scope = |text: &str| Refusal::new(Reason::ScopeInsufficient).advise(Advice::Scope(text.into()));
        let step_up = |values: Option<&str>, max_age| {
            let advice = Advice::StepUp { acr_values: values.map(Into::into), max_age };
            Refusal::new(Reason::AuthenticationInsufficient).advise(advice)
        };
        for (refusal, expected) in [
            (Reason::CredentialMissing.into(), Some(r#"Bearer realm="shop""#)),
            (
                Reason::TokenExpired.into(),
                Some(
                    r#"Bearer realm="shop", error="invalid_token", error_description="The token has expired.""#,
                ),
            ),
            (
                scope("a b:c"),
                Some(
                    r#"Bearer realm="shop", error="insufficient_scope", error_description="The credential does not allow this.", scope="a b:c""#,
                ),
            ),
            (
                scope("a\"\r\nx: y"),
                Some(
                    r#"Bearer realm="shop", error="insufficient_scope", error_description="The credential does not allow this.""#,
                ),
            ),
            (
                step_up(Some("urn:x:mfa urn:x:key"), Some(300)),
                Some(
                    r#"Bearer realm="shop", error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required.", acr_values="urn:x:mfa urn:x:key", max_age="300""#,
                ),
            ),
            (
                step_up(Some("a\"\r\nx: y"), Some(5)),
                Some(
                    r#"Bearer realm="shop", error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required.", max_age="5""#,
                ),
            ),
            (
                step_up(Some("a"), None),
                Some(
                    r#"Bearer realm="shop", error="insufficient_user_authentication", error_description="A stronger or more recent authentication is required.", acr_values="a""#,
                ),
            ),
            (Reason::AccessDenied.into(), None),
            (Reason::CredentialConflict.into(), None),
            (Reason::KeysUnavailable.into(), None),
        ] {
            let told = challenge("shop", &route(true, false), None, None, &refusal);
            assert_eq!(told.as_deref(), expected, "{refusal:?}");
        }
        let missing = Reason::CredentialMissing.into();
        assert_eq!(
            challenge("a\"b\\c\r\nx: é", &route(true, false), None, None, &missing).unwrap(),
            r#"Bearer realm="a\"b\\cx: ""#
        );
    }

    #[test]
    fn each_way_in_is_named_and_the_one_that_failed_says_so() {
        const TOKEN: &str = r#", error="invalid_token", error_description="The token has expired.""#;
        const KEY: &str = r#", error="invalid_key", error_description="The API key is not valid.""#;
        for (tokens, api_keys, reason, expected) in [
            (false, true, Reason::CredentialMissing, r#"ApiKey realm="s""#.to_owned()),
            (false, true, Reason::ApiKeyInvalid, format!(r#"ApiKey realm="s"{KEY}"#)),
            (true, true, Reason::CredentialMissing, r#"Bearer realm="s", ApiKey realm="s""#.to_owned()),
            (true, true, Reason::TokenExpired, format!(r#"Bearer realm="s"{TOKEN}, ApiKey realm="s""#)),
            (true, true, Reason::ApiKeyInvalid, format!(r#"Bearer realm="s", ApiKey realm="s"{KEY}"#)),
        ] {
            let told = challenge("s", &route(tokens, api_keys), None, None, &reason.into());
            assert_eq!(told.as_ref(), Some(&expected), "{reason:?}");
        }
        for (reason, expected) in [
            // It is not the token that failed.
            (Reason::CertificateInvalid, r#"Bearer realm="s""#),
            (Reason::CertificateUnaccepted, r#"Bearer realm="s""#),
            (Reason::ProofNonce, r#"Bearer realm="s", error="use_dpop_nonce""#),
        ] {
            let told = challenge("s", &route(true, false), None, None, &reason.into()).unwrap();
            assert_eq!(told.split(", error_description").next(), Some(expected), "{reason:?}");
        }
        assert_eq!(
            challenge("s", &Authentication::Open, None, None, &Reason::CredentialMissing.into()),
            None
        );
        // Whose scopes are not enough is told of the credential that came, though the route takes others.
        let key = Caller::ApiKey(ApiKey::of("partner", &[]));
        let certificate = Caller::Certificate(Certificate::new("spiffe://a/b".into()));
        for (caller, scheme) in
            [(None, "Bearer"), (Some(key), "ApiKey"), (Some(certificate), "ClientCertificate")]
        {
            let refusal = Reason::ScopeInsufficient.into();
            let told = challenge("s", &route(true, true), caller.as_ref(), None, &refusal).unwrap();
            assert!(
                told.starts_with(&format!(r#"{scheme} realm="s", error="insufficient_scope""#)),
                "{told}"
            );
        }
    }
}
