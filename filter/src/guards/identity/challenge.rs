//! What does a refused client hear about credentials? `WWW-Authenticate`, RFC 6750 §3.

use core::fmt::Write as _;

use crate::decision::{Advice, Reason, Refusal};

/// The challenge of a refusal, if it calls for one: every 401, and a 403 for want of a scope. `realm` is the policy's name.
///
/// RFC 6750 §3.1: without a credential the challenge says no more than where it is; with one, `invalid_token` and the
/// public sentence of the reason; for want of a scope `insufficient_scope` and the scope it takes.
pub fn challenge(realm: &str, refusal: &Refusal) -> Option<String> {
    let row = refusal.reason.row();
    let error = match refusal.reason {
        Reason::CredentialMissing => None,
        Reason::ScopeInsufficient => Some("insufficient_scope"),
        _ if row.status == 401 => Some("invalid_token"),
        _ => return None,
    };
    let mut challenge = format!("Bearer realm=\"{}\"", quotable(realm));
    if let Some(error) = error {
        let _ = write!(challenge, ", error=\"{error}\", error_description=\"{}\"", quotable(row.sentence));
    }
    if let (Reason::ScopeInsufficient, Advice::Scope(scope)) = (refusal.reason, &refusal.advice)
        && is_scope(scope)
    {
        let _ = write!(challenge, ", scope=\"{scope}\"");
    }
    Some(challenge)
}

/// RFC 9110 §5.6.4 `quoted-string`: quotes and backslashes escaped; what is not printable ASCII is left out, since the
/// host does not check what it writes to the wire (host-facts §0.7).
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
    use crate::testing::test;

    #[test]
    fn challenges() {
        let scope = |text: &str| Refusal::new(Reason::ScopeInsufficient).advise(Advice::Scope(text.into()));
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
                    r#"Bearer realm="shop", error="insufficient_scope", error_description="The token does not allow this.", scope="a b:c""#,
                ),
            ),
            (
                scope("a\"\r\nx: y"),
                Some(
                    r#"Bearer realm="shop", error="insufficient_scope", error_description="The token does not allow this.""#,
                ),
            ),
            (Reason::AccessDenied.into(), None),
            (Reason::CredentialConflict.into(), None),
            (Reason::KeysUnavailable.into(), None),
        ] {
            assert_eq!(challenge("shop", &refusal).as_deref(), expected, "{refusal:?}");
        }
        assert_eq!(
            challenge("a\"b\\c\r\nx: é", &Reason::CredentialMissing.into()).unwrap(),
            r#"Bearer realm="a\"b\\cx: ""#
        );
    }
}
