//! Claims that hold and claims that do not: times to the nanosecond, audiences, issuers, and what must be there.

use std::rc::Rc;

use super::algorithm::Family;
use super::keys::KeySet;
use super::tests::{HEADER, NOW, judge, mint, provider, reason};
use super::vectors::{jwk, set};
use crate::decision::Reason;
use crate::guards::identity::rules::{Audience, Provider};
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

/// What became of a token with these claims beside `iss` and `aud`.
fn claims(members: &str, provider: &Provider, now: Timestamp) -> Option<Reason> {
    let claims = format!(r#"{{"iss":"https://id.example","aud":"api"{members}}}"#);
    judge(mint(HEADER, &claims), provider, now).err().map(|refusal| refusal.reason)
}

#[test]
fn times() {
    use Reason::{ClaimInvalid, ClaimMissing, TokenExpired, TokenNotYetValid};
    let provider = provider();
    for (members, expected) in [
        (r#","exp":1800000100"#, None),
        (r#","exp":1799999971"#, None),
        (r#","exp":1799999970"#, Some(TokenExpired)),
        (r#","exp":1799999970.001"#, None),
        (r#","exp":1799999969.999"#, Some(TokenExpired)),
        (r#","exp":1.8e9"#, None),
        (r#","exp":0"#, Some(TokenExpired)),
        (r#","exp":-1"#, Some(TokenExpired)),
        (r#","exp":-1e300"#, Some(TokenExpired)),
        (r#","exp":-9223372036854775808"#, Some(TokenExpired)),
        (r#","exp":9223372036854775807"#, None),
        (r#","exp":18446744073709551616"#, None),
        (r#","exp":1e300"#, None),
        (r#","exp":"1800000100""#, Some(ClaimInvalid)),
        (r#","exp":null"#, Some(ClaimInvalid)),
        (r#","exp":true"#, Some(ClaimInvalid)),
        (r#","exp":[1800000100]"#, Some(ClaimInvalid)),
        ("", Some(ClaimMissing)),
        (r#","exp":1800000100,"nbf":1800000030"#, None),
        (r#","exp":1800000100,"nbf":1800000030.001"#, Some(TokenNotYetValid)),
        (r#","exp":1800000100,"nbf":1800000031"#, Some(TokenNotYetValid)),
        (r#","exp":1800000100,"nbf":-5"#, None),
        (r#","exp":1800000100,"nbf":1e300"#, Some(TokenNotYetValid)),
        (r#","exp":1800000100,"nbf":"0""#, Some(ClaimInvalid)),
        (r#","exp":1800000100,"iat":1800000030"#, None),
        (r#","exp":1800000100,"iat":1800000031"#, Some(TokenNotYetValid)),
        (r#","exp":1800000100,"iat":{}"#, Some(ClaimInvalid)),
    ] {
        assert_eq!(claims(members, &provider, Timestamp::from_seconds(NOW)), expected, "{members}");
    }
    let mut exact = super::tests::provider();
    exact.clock_skew = 0;
    let at = |nanos: u64| claims(r#","exp":1800000100"#, &exact, Timestamp::from_nanos(nanos));
    assert_eq!(at(1_800_000_100 * SECOND - 1), None, "a nanosecond before");
    assert_eq!(at(1_800_000_100 * SECOND), Some(TokenExpired), "at the second itself");
    assert_eq!(at(u64::MAX), Some(TokenExpired));
    exact.require_expiration = false;
    assert_eq!(claims("", &exact, Timestamp::from_seconds(NOW)), None);
    assert_eq!(
        claims(r#","exp":null"#, &exact, Timestamp::from_seconds(NOW)),
        Some(ClaimInvalid),
        "never \"no exp\""
    );
}

#[test]
fn lifetimes() {
    let mut provider = provider();
    provider.max_lifetime = Some(100 * SECOND);
    provider.require_expiration = false;
    for (members, expected) in [
        (r#","iat":1800000000,"exp":1800000100"#, None),
        (r#","iat":1800000000,"exp":1800000100.5"#, Some(Reason::TokenLifetimeExceeded)),
        (r#","iat":1799999999,"exp":1800000100"#, Some(Reason::TokenLifetimeExceeded)),
        (r#","iat":-9223372036854775808,"exp":1e300"#, Some(Reason::TokenLifetimeExceeded)),
        (r#","exp":1800000100"#, Some(Reason::TokenLifetimeExceeded)),
        (r#","iat":1800000000"#, Some(Reason::TokenLifetimeExceeded)),
        ("", Some(Reason::TokenLifetimeExceeded)),
    ] {
        assert_eq!(claims(members, &provider, Timestamp::from_seconds(NOW)), expected, "{members}");
    }
}

#[test]
fn audiences_issuers_and_required_claims() {
    use Reason::{AudienceMismatch, ClaimInvalid, ClaimMissing, IssuerUnknown};
    let mut provider = provider();
    provider.required_claims = vec!["sub".into(), "org.dept".into()];
    let iss = r#""iss":"https://id.example""#;
    let rest = r#""exp":1800000100,"sub":"ada","org":{"dept":"x"}"#;
    for (claims, expected) in [
        (format!(r#"{{{iss},"aud":"api",{rest}}}"#), None),
        (format!(r#"{{{iss},"aud":["x","other"],{rest}}}"#), None),
        (format!(r#"{{{iss},"aud":"API",{rest}}}"#), Some(AudienceMismatch)),
        (format!(r#"{{{iss},"aud":"api ",{rest}}}"#), Some(AudienceMismatch)),
        (format!(r#"{{{iss},"aud":"api,other",{rest}}}"#), Some(AudienceMismatch)),
        (format!(r#"{{{iss},"aud":[],{rest}}}"#), Some(AudienceMismatch)),
        (format!(r"{{{iss},{rest}}}"), Some(AudienceMismatch)),
        (format!(r#"{{{iss},"aud":["api",1],{rest}}}"#), Some(ClaimInvalid)),
        (format!(r#"{{{iss},"aud":[["api"]],{rest}}}"#), Some(ClaimInvalid)),
        (format!(r#"{{{iss},"aud":{{"api":1}},{rest}}}"#), Some(ClaimInvalid)),
        (format!(r#"{{{iss},"aud":null,{rest}}}"#), Some(ClaimInvalid)),
        (format!(r#"{{"iss":"https://id.example/","aud":"api",{rest}}}"#), Some(IssuerUnknown)),
        (format!(r#"{{"iss":["https://id.example"],"aud":"api",{rest}}}"#), Some(IssuerUnknown)),
        (format!(r#"{{"aud":"api",{rest}}}"#), Some(IssuerUnknown)),
        (format!(r#"{{{iss},"aud":"api","exp":1800000100,"org":{{"dept":"x"}}}}"#), Some(ClaimMissing)),
        (format!(r#"{{{iss},"aud":"api","exp":1800000100,"sub":"ada","org":{{}}}}"#), Some(ClaimMissing)),
        (
            format!(r#"{{{iss},"aud":"api","exp":1800000100,"sub":"ada","org":{{"dept":null}}}}"#),
            Some(ClaimMissing),
        ),
        (
            format!(r#"{{{iss},"aud":"api","exp":1800000100,"sub":7,"org":{{"dept":"x"}}}}"#),
            Some(ClaimInvalid),
        ),
        // What jwt-simple would refuse for its type, and RFC 7519 does not: a number, a list, an object as `jti` or `kid`-less `nonce`.
        (format!(r#"{{{iss},"aud":"api",{rest},"jti":7,"nonce":[1],"locale":{{}}}}"#), None),
    ] {
        assert_eq!(reason(mint(HEADER, &claims), &provider), expected, "{claims}");
    }
    provider.audience = Audience::Any;
    assert_eq!(reason(mint(HEADER, &format!(r"{{{iss},{rest}}}")), &provider), None);
    assert_eq!(reason(mint(HEADER, &format!(r#"{{{iss},"aud":7,{rest}}}"#)), &provider), Some(ClaimInvalid));
}

#[test]
fn what_was_revoked_is_told_to_nobody_who_cannot_sign() {
    use Reason::{ClaimInvalid, ClaimMissing, KeyUnknown, SignatureInvalid, TokenRevoked};
    let mut provider = provider();
    provider.revoked.jti.insert("t1".into());
    provider.revoked.sub.insert("mallory".into());
    let token = |members: &str| {
        mint(HEADER, &format!(r#"{{"iss":"https://id.example","aud":"api","exp":1800000100{members}}}"#))
    };
    // The signature of another token.
    let forged = |members: &str| {
        let (good, other) = (token(members), token(r#","x":1"#));
        let (text, _) = good.rsplit_once('.').unwrap();
        format!("{text}.{}", other.rsplit_once('.').unwrap().1)
    };
    for (members, expected) in [
        (r#","jti":"t0""#, None),
        (r#","jti":"t1""#, Some(TokenRevoked)),
        (r#","jti":"t0","sub":"mallory""#, Some(TokenRevoked)),
        ("", Some(ClaimMissing)),
        (r#","jti":1"#, Some(ClaimInvalid)),
    ] {
        assert_eq!(reason(token(members), &provider), expected, "{members}");
        assert_eq!(reason(forged(members), &provider), Some(SignatureInvalid), "forged: {members}");
    }
    // A key, named or not.
    provider.revoked = crate::guards::identity::revoked::Revoked::default();
    provider.revoked.kids.insert("ec".into());
    assert_eq!(reason(token(""), &provider), Some(KeyUnknown));
    assert_eq!(reason(forged(""), &provider), Some(KeyUnknown));
    provider.keys =
        Ok(Rc::new(KeySet::read(set(&[jwk(Family::P256, r#""kid":"ec","#)]).as_bytes()).unwrap().0));
    let unnamed = r#"{"iss":"https://id.example","aud":"api","exp":1800000100}"#;
    assert_eq!(reason(mint(r#"{"alg":"ES256"}"#, unnamed), &provider), Some(KeyUnknown), "the only key");
    provider.revoked.kids.clear();
    assert_eq!(reason(mint(r#"{"alg":"ES256"}"#, unnamed), &provider), None);
}
