//! Requests: where the credential stands, whose it is, and what follows for the request.

use super::api_key::KeyHash;
use super::config::{read_api_key_auth, read_authentication, read_client_certificates, read_jwt};
use super::confirmation::Witness;
use super::confirmation::tests::Shared;
use super::credential::{check_opaque, check_token};
use super::jwt::algorithm::{Algorithm, Family};
use super::jwt::check_said;
use super::jwt::vectors::{NoHost, base64, jwk, set, sign};
use super::spent::{cookies_without, target_without};
use super::{Authentication, Caller, Identified, Providers, Spent, Stop, identify};
use crate::decision::{Reason, Refusal};
use crate::document::Field;
use crate::host::HostError;
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::Timestamp;

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: 5000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap()
}

/// `corp` takes tokens everywhere and makes headers of claims; `shop` forwards what stands in `x-shop`.
fn policy() -> Providers {
    let keys = Json::Text(set(&[jwk(Family::Ed25519, "")]));
    let json = json(&format!(
        r#"{{"providers":[
            {{"name":"corp","issuer":"https://corp","audiences":["api"],"maxLifetime":"1h","localJWKS":{{"inline":{keys}}},
              "extractFrom":{{"headers":[{{"name":"authorization","valuePrefix":"Bearer "}},{{"name":"x-token"}}],"cookies":["session"],"params":["token"]}},
              "claimToHeaders":[{{"claim":"sub","header":"x-user"}},{{"claim":"roles","header":"x-roles"}},{{"claim":"org.level","header":"x-level"}}]}},
            {{"name":"shop","issuer":"https://shop","audiences":["api"],"maxLifetime":"1h","forward":true,"localJWKS":{{"inline":{keys}}},
              "extractFrom":{{"headers":[{{"name":"x-shop"}}]}}}}]}}"#
    ));
    let problems = Problems::new();
    let mut providers = read_jwt(&Field::root(&json, &problems));
    read_api_key_auth(&Field::at("apiKeyAuth", &api_key_auth(), &problems), &mut providers);
    assert!(!problems.is_fatal(), "{:?}", problems.into_vec());
    providers
}

const KEY: &str = "pck_9hQ2mXv7Rk4TzB1nYw8sLd5cJf3gPa6eUo0iKqNrMxW";

fn api_key_auth() -> Json {
    let hash = KeyHash::of(KEY.as_bytes(), None);
    json(&format!(
        r#"{{"extractFrom":{{"headers":["x-api-key"],"cookies":["key"],"params":["key"]}},"forwardClientIDHeader":"x-client",
            "keys":[{{"client":"partner","keyHash":"{hash}"}}]}}"#
    ))
}

fn route(text: &str, providers: &Providers) -> Authentication {
    let json = json(text);
    let problems = Problems::new();
    let read = read_authentication(&Field::root(&json, &problems), providers);
    assert!(!problems.is_fatal(), "{text}: {:?}", problems.into_vec());
    read.unwrap()
}

fn token(issuer: &str, members: &str) -> String {
    mint(&format!(r#"{{"iss":"{issuer}","aud":"api","iat":1000,"exp":2000{members}}}"#))
}

fn mint(claims: &str) -> String {
    let text = format!("{}.{}", base64(r#"{"alg":"EdDSA"}"#), base64(claims));
    let signature = base64(sign(Algorithm::EdDSA, text.as_bytes()));
    format!("{text}.{signature}")
}

fn head(target: &str, fields: &[(&str, &[u8])]) -> Head {
    let pseudo: [(&str, &[u8]); 3] =
        [(":method", b"GET"), (":authority", b"h"), (":path", target.as_bytes())];
    let all = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), *value));
    Head::parse(serialize(all.collect::<Vec<_>>().into_iter())).unwrap()
}

fn ask(rules: &str, target: &str, fields: &[(&str, &[u8])]) -> Result<Identified, Refusal> {
    let providers = policy();
    let rules = route(rules, &providers);
    let query = target.split_once('?').map(|(_, query)| query.as_bytes());
    let now = Timestamp::from_seconds(1500);
    identify(&rules, &providers, &head(target, fields), query, now, &NoHost, &Shared::default().witness())
        .map_err(Stop::into_refusal)
}

const BOTH: &str = r#"{"jwt":{}}"#;
const EITHER: &str = r#"{"anyOf":[{"jwt":{"providers":["corp"]}},{"apiKey":{}}]}"#;
const OPTIONAL_KEY: &str =
    r#"{"anyOf":[{"jwt":{"providers":["corp"]}},{"apiKey":{}},{"open":{"because":"docs"}}]}"#;
const OPTIONAL: &str = r#"{"anyOf":[{"jwt":{}},{"open":{"because":"docs"}}]}"#;

#[test]
fn one_credential_and_where_it_stood() {
    let corp = token("https://corp", r#","sub":"ada""#);
    let header = |value: &str| ask(BOTH, "/", &[("authorization", value.as_bytes())]);
    for value in [format!("Bearer {corp}"), format!("bearer {corp}"), format!("BEARER   {corp}")] {
        let identified = header(&value).unwrap();
        assert_eq!(identified.spent, Some(Spent::Header("authorization".into())));
        assert_eq!(identified.caller.subject(), Some("ada"));
        assert_eq!(*identified.headers, [("x-user".into(), b"ada".to_vec())]);
    }
    let spent = |target: &str, fields: &[(&str, &[u8])]| ask(BOTH, target, fields).unwrap().spent;
    let cookie = format!("a=b;session={corp}; c=d");
    assert_eq!(spent("/", &[("cookie", cookie.as_bytes())]), Some(Spent::Cookie("session".into())));
    assert_eq!(spent(&format!("/?a=b&token={corp}"), &[]), Some(Spent::Param("token".into())));
    assert_eq!(spent("/", &[("x-token", corp.as_bytes())]), Some(Spent::Header("x-token".into())));
    let shop = token("https://shop", "");
    assert_eq!(spent("/", &[("x-shop", shop.as_bytes())]), None, "forwarded");
}

#[test]
fn credentials_that_are_none_or_too_many() {
    use Reason::{CredentialConflict, CredentialMissing, IssuerUnknown, TokenMalformed, TokenTooLarge};
    let corp = token("https://corp", "");
    let bearer = format!("Bearer {corp}");
    let (long, doubled) = (format!("Bearer {}", "a".repeat(40_000)), format!("{bearer},{bearer}"));
    let (mixed, mixed_last) = (format!("Basic eDp5, {bearer}"), format!("{bearer},Basic eDp5"));
    let (quoted, two_words) = (format!("Bearer \"{corp}\""), format!("Bearer {corp} x"));
    let (tabbed, early) = (format!("Bearer\t{corp}"), format!(" {bearer}"));
    let cookie = format!("session={corp}");
    let twice = format!("session={corp}; session={corp}");
    let query = format!("/?token={corp}");
    let encoded = format!("/?token={corp}&%74oke%6E={corp}");
    let many = "a=b;".repeat(limits::COOKIES + 1);
    let raw = |name: &'static str, value: &str| vec![(name, value.as_bytes().to_vec())];
    let authorization = |value: &str| raw("authorization", value);
    for (name, target, fields, expected) in [
        ("nothing", "/", vec![], CredentialMissing),
        ("another scheme", "/", authorization("Basic eDp5"), CredentialMissing),
        ("a scheme that begins so", "/", authorization("Bearers abc"), CredentialMissing),
        ("a scheme with commas", "/", authorization("Digest a=b, c=d"), CredentialMissing),
        ("a bare token", "/", authorization(&corp), CredentialMissing),
        ("the scheme alone", "/", authorization("Bearer"), TokenMalformed),
        ("the scheme and a blank", "/", authorization("bearer "), TokenMalformed),
        ("a tab", "/", authorization(&tabbed), TokenMalformed),
        ("a blank in front", "/", authorization(&early), TokenMalformed),
        ("quotes", "/", authorization(&quoted), TokenMalformed),
        ("two words", "/", authorization(&two_words), TokenMalformed),
        ("not UTF-8", "/", vec![("authorization", b"Bearer \xff\xfe".to_vec())], TokenMalformed),
        ("40 KB", "/", authorization(&long), TokenTooLarge),
        ("joined by Envoy", "/", authorization(&doubled), CredentialConflict),
        ("joined behind another scheme", "/", authorization(&mixed), CredentialConflict),
        ("joined before another scheme", "/", authorization(&mixed_last), CredentialConflict),
        ("two fields", "/", [authorization(&bearer), authorization(&bearer)].concat(), CredentialConflict),
        (
            "two fields, one of another scheme",
            "/",
            [authorization("Basic x"), authorization(&bearer)].concat(),
            CredentialConflict,
        ),
        (
            "header and cookie",
            "/",
            [authorization(&bearer), raw("cookie", &cookie)].concat(),
            CredentialConflict,
        ),
        ("header and parameter", &query, authorization(&bearer), CredentialConflict),
        ("two headers", "/", [authorization(&bearer), raw("x-token", &corp)].concat(), CredentialConflict),
        ("one of them empty", "/", [authorization(&bearer), raw("x-token", "")].concat(), CredentialConflict),
        (
            "a header that passes for ours",
            "/",
            [raw("x-token", &corp), raw("x_token", "x")].concat(),
            CredentialConflict,
        ),
        ("only the one that passes for it", "/", raw("x.token", &corp), CredentialConflict),
        ("a cookie twice", "/", raw("cookie", &twice), CredentialConflict),
        (
            "a cookie in two headers",
            "/",
            [raw("cookie", &cookie), raw("cookie", &cookie)].concat(),
            CredentialConflict,
        ),
        ("an empty cookie", "/", raw("cookie", "session="), TokenMalformed),
        ("a quoted cookie", "/", raw("cookie", "session=\"a.b.c\""), TokenMalformed),
        ("the cookie in another case", "/", raw("cookie", "Session=a.b.c"), CredentialMissing),
        ("too many cookies", "/", raw("cookie", &many), Reason::HeadersTooLarge),
        ("a parameter twice", "/?token=a&token=b", vec![], CredentialConflict),
        ("a parameter twice, encoded", &encoded, vec![], CredentialConflict),
        ("a parameter without a value", "/?token", vec![], TokenMalformed),
        ("an encoded token", "/?token=a%2Eb.c", vec![], TokenMalformed),
        ("in the wrong place", "/", raw("x-shop", &corp), IssuerUnknown),
        ("of another issuer", "/", raw("x-shop", &token("https://evil", "")), IssuerUnknown),
        ("of no issuer", "/", raw("x-token", &mint(r#"{"aud":"api"}"#)), IssuerUnknown),
        (
            "of an issuer that is no text",
            "/",
            raw("x-token", &mint(r#"{"iss":["https://corp"]}"#)),
            Reason::ClaimInvalid,
        ),
    ] {
        let fields: Vec<(&str, &[u8])> =
            fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let refusal = ask(BOTH, target, &fields).map(|_| ()).expect_err(name);
        assert_eq!(refusal.reason, expected, "{name}: {}", refusal.detail);
        // An optional credential is asked for nothing less, once it is there.
        let optional = ask(OPTIONAL, target, &fields);
        match expected {
            CredentialMissing => assert!(matches!(optional.unwrap().caller, Caller::Anonymous), "{name}"),
            _ => assert_eq!(optional.map(|_| ()).unwrap_err().reason, expected, "{name}"),
        }
    }
}

#[test]
fn one_api_key_and_where_it_stood() {
    let spent = |target: &str, fields: &[(&str, &[u8])]| {
        let identified = ask(EITHER, target, fields).unwrap();
        assert_eq!(identified.caller.client(), Some("partner"));
        assert_eq!(*identified.headers, [("x-client".into(), b"partner".to_vec())]);
        identified.spent
    };
    let cookie = format!("a=b; key={KEY}");
    assert_eq!(spent("/", &[("x-api-key", KEY.as_bytes())]), Some(Spent::Header("x-api-key".into())));
    assert_eq!(spent("/", &[("cookie", cookie.as_bytes())]), Some(Spent::Cookie("key".into())));
    assert_eq!(spent(&format!("/?a=b&key={KEY}"), &[]), Some(Spent::Param("key".into())));
    // Beside a scheme that is nobody's here.
    assert!(spent("/", &[("authorization", b"Basic eDp5"), ("x-api-key", KEY.as_bytes())]).is_some());
    // A token on the same route.
    let bearer = format!("Bearer {}", token("https://corp", r#","sub":"ada""#));
    let identified = ask(EITHER, "/", &[("authorization", bearer.as_bytes())]).unwrap();
    assert_eq!(identified.caller.subject(), Some("ada"));
}

#[test]
fn api_keys_that_are_none_or_too_many() {
    type Fields<'f> = Vec<(&'static str, &'f [u8])>;
    use Reason::{ApiKeyInvalid, CredentialConflict, CredentialMissing};
    let bearer = format!("Bearer {}", token("https://corp", ""));
    let (doubled, cookie) = (format!("{KEY},{KEY}"), format!("key={KEY}"));
    let (blanks, inner) = (format!("{KEY} {KEY}"), format!("{} {}", &KEY[..20], &KEY[20..]));
    let (long, encoded) = ("a".repeat(40_000), format!("/?key={}", KEY.replace('_', "%5f")));
    let (query, twice) = (format!("/?key={KEY}"), format!("/?key={KEY}&k%65y={KEY}"));
    let (key, other): (&[u8], &[u8]) = (KEY.as_bytes(), b"pck_9hQ2mXv7Rk4TzB1nYw8sLd5cJf3gPa6eUo0iKqNrMxX");
    let rows: Vec<(&str, &str, Fields<'_>, Reason)> = vec![
        ("nothing", "/", vec![], CredentialMissing),
        ("the scheme of another", "/", vec![("authorization", b"Basic eDp5")], CredentialMissing),
        ("unknown", "/", vec![("x-api-key", other)], ApiKeyInvalid),
        ("empty", "/", vec![("x-api-key", b"")], ApiKeyInvalid),
        ("an empty cookie", "/", vec![("cookie", b"key=")], ApiKeyInvalid),
        ("an empty parameter", "/?key", vec![], ApiKeyInvalid),
        ("with a scheme", "/", vec![("x-api-key", bearer.as_bytes())], ApiKeyInvalid),
        ("two words", "/", vec![("x-api-key", blanks.as_bytes())], ApiKeyInvalid),
        ("a blank inside", "/", vec![("x-api-key", inner.as_bytes())], ApiKeyInvalid),
        ("not UTF-8", "/", vec![("x-api-key", &[0xff; 20])], ApiKeyInvalid),
        ("40 KB", "/", vec![("x-api-key", long.as_bytes())], ApiKeyInvalid),
        ("encoded", &encoded, vec![], ApiKeyInvalid),
        ("joined", "/", vec![("x-api-key", doubled.as_bytes())], CredentialConflict),
        ("two fields", "/", vec![("x-api-key", key), ("x-api-key", key)], CredentialConflict),
        ("two fields, one empty", "/", vec![("x-api-key", key), ("x-api-key", b"")], CredentialConflict),
        (
            "a header that passes for ours",
            "/",
            vec![("x-api-key", key), ("x_api_key", b"x")],
            CredentialConflict,
        ),
        ("only that one", "/", vec![("x_api_key", key)], CredentialConflict),
        (
            "header and cookie",
            "/",
            vec![("x-api-key", key), ("cookie", cookie.as_bytes())],
            CredentialConflict,
        ),
        (
            "a cookie twice",
            "/",
            vec![("cookie", cookie.as_bytes()), ("cookie", cookie.as_bytes())],
            CredentialConflict,
        ),
        ("header and parameter", &query, vec![("x-api-key", key)], CredentialConflict),
        ("a parameter twice", &twice, vec![], CredentialConflict),
        (
            "a token too",
            "/",
            vec![("x-api-key", key), ("authorization", bearer.as_bytes())],
            CredentialConflict,
        ),
        (
            "a bad token too",
            "/",
            vec![("x-api-key", key), ("authorization", b"Bearer x")],
            CredentialConflict,
        ),
        (
            "a bad key and a token",
            "/",
            vec![("x-api-key", b"x"), ("authorization", bearer.as_bytes())],
            CredentialConflict,
        ),
        (
            "the scheme alone too",
            "/",
            vec![("x-api-key", key), ("authorization", b"Bearer")],
            Reason::TokenMalformed,
        ),
    ];
    for (name, target, fields, expected) in rows {
        let refusal = ask(EITHER, target, &fields).map(|_| ()).expect_err(name);
        assert_eq!(refusal.reason, expected, "{name}: {}", refusal.detail);
        // A bad key never falls back to `open`.
        let optional = ask(OPTIONAL_KEY, target, &fields);
        match expected {
            CredentialMissing => assert!(matches!(optional.unwrap().caller, Caller::Anonymous), "{name}"),
            _ => assert_eq!(optional.map(|_| ()).unwrap_err().reason, expected, "{name}"),
        }
    }
    // A route that takes no API keys does not look at one, and one that takes nothing else at no token.
    let fields: [(&str, &[u8]); 2] = [("x-api-key", key), ("authorization", bearer.as_bytes())];
    assert!(ask(BOTH, "/", &fields).unwrap().caller.token().is_some());
    assert!(ask(r#"{"apiKey":{}}"#, "/", &fields).unwrap().caller.api_key().is_some());
    assert!(matches!(ask(r#"{"open":{"because":"x"}}"#, "/", &fields).unwrap().caller, Caller::Anonymous));
}

#[test]
fn the_issuer_chooses_among_the_routes_providers() {
    let only_shop = r#"{"jwt":{"providers":["shop"]}}"#;
    let (corp, shop) = (token("https://corp", ""), token("https://shop", ""));
    let reason = |rules: &str, name: &str, value: &str| {
        ask(rules, "/", &[(name, value.as_bytes())]).map(|_| ()).err().map(|refusal| refusal.reason)
    };
    assert_eq!(reason(only_shop, "x-shop", &shop), None);
    assert_eq!(reason(only_shop, "x-shop", &corp), Some(Reason::IssuerUnknown));
    assert_eq!(reason(only_shop, "x-token", &corp), Some(Reason::CredentialMissing), "not looked for there");
    let bent = token("https://shop", r#","sub":"a""#).replace('.', "A.");
    assert!(reason(only_shop, "x-shop", &bent).is_some());
    let open = ask(r#"{"open":{"because":"probe"}}"#, "/", &[("authorization", b"Bearer \xff")]).unwrap();
    assert!(open.caller.is_anonymous() && open.spent.is_none(), "an open route looks at nothing");
    assert!(!ask(only_shop, "/", &[("x-shop", shop.as_bytes())]).unwrap().caller.is_anonymous());
}

#[test]
fn claims_become_headers_or_the_token_is_refused() {
    let headers = |members: &str| {
        let token = token("https://corp", members);
        ask(BOTH, "/", &[("x-token", token.as_bytes())])
            .map(|identified| {
                let lines = identified.headers.iter();
                lines
                    .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
                    .collect::<Vec<_>>()
                    .join(";")
            })
            .map_err(|refusal| refusal.reason)
    };
    let long = format!(r#","sub":"{}""#, "x".repeat(limits::CLAIM_HEADER_BYTES + 1));
    for (members, expected) in [
        (r#","sub":"ada","roles":["a","b"],"org":{"level":7}"#, Ok("x-user=ada;x-roles=a,b;x-level=7")),
        (r#","sub":"é","org":{"level":1.5}"#, Ok("x-user=é;x-level=1.5")),
        (r#","org":{"level":true}"#, Ok("x-level=true")),
        (r#","roles":[],"org":{"level":null}"#, Ok("")),
        (r#","sub":"""#, Ok("x-user=")),
        (r#","roles":["a,b"]"#, Err(Reason::ClaimInvalid)),
        (r#","roles":["a",""]"#, Err(Reason::ClaimInvalid)),
        (r#","roles":["a",1]"#, Err(Reason::ClaimInvalid)),
        (r#","roles":{"a":1}"#, Err(Reason::ClaimInvalid)),
        (r#","sub":"a\r\nx-admin: 1""#, Err(Reason::ClaimInvalid)),
        (r#","sub":"a\u0000""#, Err(Reason::ClaimInvalid)),
        (r#","sub":" ada""#, Err(Reason::ClaimInvalid)),
        (&long, Err(Reason::ClaimInvalid)),
    ] {
        assert_eq!(headers(members).as_deref().map_err(|reason| *reason), expected, "{members:.60}");
    }
}

#[test]
fn what_is_taken_off() {
    for (cookies, expected) in [
        (vec!["session=x"], None),
        (vec!["session=x; a=b"], Some("a=b")),
        (vec!["a=b; session=x"], Some("a=b")),
        (vec!["a=b;session = x ;  c=\"d e\"; f"], Some("a=b;  c=\"d e\"; f")),
        (vec!["a=b", "session=x", "c=d"], Some("a=b; c=d")),
        (vec!["Session=x; sessions=y; session"], Some("Session=x; sessions=y; session")),
        (vec!["session=x;"], None),
        (vec![], None),
    ] {
        let fields: Vec<(&str, &[u8])> = cookies.iter().map(|cookie| ("cookie", cookie.as_bytes())).collect();
        let left = cookies_without(&head("/", &fields), "session");
        assert_eq!(left.map(|left| String::from_utf8(left).unwrap()).as_deref(), expected, "{cookies:?}");
    }
    for (target, expected) in [
        ("/a?token=x", "/a"),
        ("/a?token=x&b=c", "/a?b=c"),
        ("/a?b=c&token=x", "/a?b=c"),
        ("/a?b=%20+&%74oken=x&&c=?token=y", "/a?b=%20+&&c=?token=y"),
        ("/a?token", "/a"),
        ("/a?tokens=x&Token=y", "/a?tokens=x&Token=y"),
        ("/token=x", "/token=x"),
        ("/a?", "/a?"),
        ("/a?to%zzken=x", "/a?to%zzken=x"),
    ] {
        let left = target_without(target.as_bytes(), "token");
        assert_eq!(String::from_utf8(left).unwrap(), expected, "{target}");
    }
}

/// Host fact H11.
#[test]
fn a_certificate_that_the_host_does_not_tell() {
    let mut providers = policy();
    let (problems, text) = (Problems::new(), json(r#"{"validatedByProxy":{"because":"test"}}"#));
    read_client_certificates(&Field::at("clientCertificates", &text, &problems), &mut providers);
    let either = r#"{"anyOf":[{"mtls":{"spiffe":["spiffe://corp/a"]}},{"open":{"because":"test"}}]}"#;
    let route = route(either, &providers);
    let shared = Shared::default();
    for (digest, expected) in [
        (Ok(None), Ok(true)),
        (Ok(Some(Vec::new())), Ok(true)),
        (Ok(Some(b"5f70bf18a086007016e948b04aed3b82".to_vec())), Err(Reason::CertificateInvalid)),
        (Err(HostError { call: "get_property", status: 10 }), Err(Reason::HostFailed)),
    ] {
        let certificate = || digest.clone();
        let witness = Witness { certificate: &certificate, ..shared.witness() };
        let (head, now) = (head("/", &[]), Timestamp::from_seconds(1_800_000_000));
        let found = identify(&route, &providers, &head, None, now, &NoHost, &witness);
        let found = found.map(|found| matches!(found.caller, Caller::Anonymous));
        assert_eq!(found.map_err(|stop| stop.into_refusal().reason), expected, "{digest:?}");
    }
}

#[test]
fn bytes_of_a_token() {
    for byte in 0..=u8::MAX {
        let plain = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        assert_eq!(check_token(&[b'a', byte]).is_ok(), plain, "{byte}");
        let opaque = plain || b"~+/=".contains(&byte);
        assert_eq!(check_opaque(&[b'a', byte]).is_ok(), opaque, "{byte}");
    }
}

#[test]
fn as_long_as_may_be_and_a_byte_more() {
    let token = vec![b'a'; limits::TOKEN_BYTES + 2];
    assert!(check_token(&token[2..]).is_ok());
    for long in [&token[1..], &token] {
        assert_eq!(check_token(long).unwrap_err().reason, Reason::TokenTooLarge);
    }
    let cookies = |count: usize| {
        let cookies = vec!["a=b"; count].join("; ");
        ask(BOTH, "/", &[("cookie", cookies.as_bytes())]).unwrap_err().reason
    };
    assert_eq!(cookies(limits::COOKIES), Reason::CredentialMissing);
    assert_eq!(cookies(limits::COOKIES + 1), Reason::HeadersTooLarge);
}

#[test]
fn which_routes_take_certificates_alone_and_which_take_anybody() {
    let mut providers = policy();
    let (problems, text) = (Problems::new(), json(r#"{"validatedByProxy":{"because":"test"}}"#));
    read_client_certificates(&Field::at("clientCertificates", &text, &problems), &mut providers);
    let mtls = r#"{"mtls":{"spiffe":["spiffe://corp/a"]}}"#;
    for (asked, certificates, alone, anybody) in [
        (mtls.to_owned(), true, true, false),
        (format!(r#"{{"anyOf":[{mtls},{{"jwt":{{}}}}]}}"#), true, false, false),
        (format!(r#"{{"anyOf":[{mtls},{{"apiKey":{{}}}}]}}"#), true, false, false),
        (format!(r#"{{"anyOf":[{mtls},{{"open":{{"because":"test"}}}}]}}"#), true, false, true),
        (r#"{"jwt":{}}"#.to_owned(), false, false, false),
        (r#"{"open":{"because":"test"}}"#.to_owned(), false, false, true),
    ] {
        let route = route(&asked, &providers);
        assert_eq!(route.takes_certificates(), certificates, "{asked}");
        assert_eq!(route.takes_certificates_alone(), alone, "{asked}");
        assert_eq!(route.takes_anybody(), anybody, "{asked}");
    }
}

#[test]
fn api_keys_are_one_way_in() {
    let (providers, problems) = (policy(), Problems::new());
    let text = json(r#"{"anyOf":[{"apiKey":{}},{"jwt":{}},{"apiKey":{}}]}"#);
    read_authentication(&Field::root(&text, &problems), &providers);
    assert!(problems.into_vec()[0].to_string().contains("`apiKey` stands twice"));
}

#[test]
fn a_header_that_the_gateway_alone_may_set_is_added_once() {
    let mut providers = policy();
    let before = providers.identity_headers().len();
    for name in ["x-a-first", "x-user", "x-zz-last", "x-a-first"] {
        providers.add_identity_header(&name.into());
    }
    let headers = providers.identity_headers();
    assert_eq!(headers.len(), before + 2, "{headers:?}");
    assert!(
        headers.is_sorted() && headers.contains(&"x-a-first".into()) && headers.contains(&"x-zz-last".into())
    );
}

#[test]
fn what_nobody_has_asked_for_is_not_on_its_way() {
    let what = super::stop::What::Keys { provider: "nobody".into(), outcomes: 0 };
    assert!(!policy().is_pending(&what));
}

#[test]
fn a_header_weighs_at_least_what_it_holds() {
    assert!(super::claim_headers::weight(&("x-user".into(), vec![b'a'; 100])) >= 100);
}

/// A provider whose secret nobody has read: what it would be asked about is refused with `KeysUnavailable`.
fn asking(keys: &str) -> (Providers, Authentication) {
    let text = json(&format!(
        r#"{{"providers":[{{"name":"corp","issuer":"https://corp","audiences":["api"],"maxLifetime":"1h",{keys}
            "introspection":{{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{{"env":"S"}}}}}}]}}"#
    ));
    let problems = Problems::new();
    let providers = read_jwt(&Field::root(&text, &problems));
    assert!(!problems.is_fatal(), "{:?}", problems.into_vec());
    let rules = route(BOTH, &providers);
    (providers, rules)
}

/// Opaque is what no reader could take for a signed token: else what the keys refuse is asked about in another spelling, and the issuer may
/// be less strict than we are.
#[test]
fn a_signed_token_in_another_spelling_is_not_asked_about() {
    use Reason::{KeysUnavailable, TokenMalformed};
    let keys = format!(r#""localJWKS":{{"inline":{}}},"#, Json::Text(set(&[jwk(Family::Ed25519, "")])));
    let good = token("https://corp", "");
    let (header, rest) = good.split_once('.').unwrap();
    // 64 bytes take 86 letters; the last one has four bits too many.
    let (text, last) = good.split_at(good.len() - 1);
    let other = match last {
        "A" => 'B',
        "Q" => 'R',
        "g" => 'h',
        "w" => 'x',
        _ => panic!("{last}"),
    };
    let spelt = |header: &str| format!("{}.{rest}=", base64(header));
    let rows = [
        (format!("{text}{other}"), TokenMalformed),
        (format!("{good}="), TokenMalformed),
        (format!("{good}=="), TokenMalformed),
        (format!("{good}~"), TokenMalformed),
        (format!("{good}."), TokenMalformed),
        (format!("{good}.x"), TokenMalformed),
        (format!("{good}.x.y"), TokenMalformed),
        (format!("~{good}"), TokenMalformed),
        (format!("{header}=.{rest}"), TokenMalformed),
        (spelt(r#"{"alg":"EdDSA","alg":"EdDSA"}"#), TokenMalformed),
        (spelt("{ \"alg\":\"EdDSA\"}"), TokenMalformed),
        (spelt("{\n\"alg\":\"EdDSA\"}"), TokenMalformed),
        (spelt("{\r\n\"alg\":\"EdDSA\"}"), TokenMalformed),
        (spelt("{\t\"alg\":\"EdDSA\"}"), TokenMalformed),
        (spelt(r#"{"alg":"EdDSA","x":"?>?>~~"}"#).replace('-', "+").replace('_', "/"), TokenMalformed),
        // A JWE says so itself (RFC 7516 §4.1.2), and nobody here could read it.
        (format!("{}.a.b.c.d", base64(r#"{"alg":"dir","enc":"A256GCM"}"#)), KeysUnavailable),
        (format!("{}.a.b.c.d", base64(r#"{"alg":"dir","enc":"A128GCM","x":1}"#)), KeysUnavailable),
        (format!("{}.a.b.c", base64(r#"{"alg":"dir","enc":"A256GCM"}"#)), TokenMalformed),
        (format!("{}.a.b.c.d", base64(r#"{"alg":"dir"}"#)), TokenMalformed),
        (format!("{header}.x"), KeysUnavailable),
        ("v2.local.c2VjcmV0".to_owned(), KeysUnavailable),
        ("W10.a.b".to_owned(), KeysUnavailable),
        ("eyo.a.b".to_owned(), KeysUnavailable),
        ("ewE.a.b".to_owned(), KeysUnavailable),
        ("ey.a.b".to_owned(), KeysUnavailable),
        ("..".to_owned(), KeysUnavailable),
        ("a.b.c".to_owned(), KeysUnavailable),
        ("b+c/d==".to_owned(), KeysUnavailable),
    ];
    let (keyed, keyless) = (asking(&keys), asking(""));
    for (token, expected) in rows {
        let bearer = format!("Bearer {token}");
        let reason = |(providers, rules): &(Providers, Authentication)| {
            let head = head("/", &[("authorization", bearer.as_bytes())]);
            let now = Timestamp::from_seconds(1500);
            let found = identify(rules, providers, &head, None, now, &NoHost, &Shared::default().witness());
            found.unwrap_err().into_refusal().reason
        };
        assert_eq!(reason(&keyed), expected, "{token}");
        assert_eq!(reason(&keyless), KeysUnavailable, "without keys it is the issuer's to read: {token}");
    }
}

fn said(more: &str) -> Result<Caller, Reason> {
    let (providers, _) = asking("");
    let claims = json(&format!(r#"{{"active":true,"aud":"api","iat":1000,"exp":2000{more}}}"#));
    let token = check_said(&claims, &providers.list[0], Timestamp::from_seconds(1500));
    token.map(|token| Caller::Token(token.into())).map_err(|refusal| refusal.reason)
}

/// Else tokens of two issuers that do not say whose they are, and the clients of API keys, would have one limit together.
#[test]
fn what_is_said_of_a_token_is_said_by_its_issuer() {
    for more in ["", r#","iss":null"#, r#","iss":"https://corp""#] {
        let caller = said(&format!(r#"{more},"sub":"ada","client_id":"billing""#)).unwrap();
        assert_eq!((caller.issuer(), caller.subject()), (Some("https://corp"), Some("ada")), "{more}");
        let claims = caller.token().unwrap().claims();
        let Json::Map(fields) = claims else { panic!("{claims}") };
        assert_eq!(fields.iter().filter(|(name, _)| name == "iss").count(), 1, "{claims}");
    }
    for more in [r#","iss":"https://evil""#, r#","iss":7"#] {
        assert_eq!(said(more).map(drop), Err(Reason::IssuerUnknown), "{more}");
    }
}

#[test]
fn an_active_token_of_another_use_is_no_access_token() {
    for (more, is_taken) in [
        ("", true),
        (r#","token_use":"access_token""#, true),
        (r#","token_use":"access""#, true),
        (r#","token_use":null,"typ":null,"token_type":null"#, true),
        (r#","token_use":"refresh_token""#, false),
        (r#","token_use":"id""#, false),
        (r#","token_use":"device_secret""#, false),
        (r#","token_use":1"#, false),
        (r#","token_use":["access_token"]"#, false),
        (r#","typ":"Bearer","token_type":"Bearer""#, true),
        (r#","typ":"DPoP","token_type":"DPoP""#, true),
        (r#","typ":"at+jwt","token_type":"bearer""#, true),
        (r#","typ":"JWT","token_type":"N_A""#, true),
        (r#","token_type":"urn:ietf:params:oauth:token-type:access_token""#, true),
        (r#","token_type":"access_token""#, true),
        (r#","typ":"Refresh""#, false),
        (r#","typ":"Offline""#, false),
        (r#","typ":"ID""#, false),
        (r#","typ":"Logout""#, false),
        (r#","typ":"logout+jwt""#, false),
        (r#","typ":7"#, false),
        (r#","token_type":"refresh_token""#, false),
        (r#","token_type":"REFRESH""#, false),
        (r#","token_type":"id_token""#, false),
        (r#","typ":"Bearer","token_use":"refresh_token""#, false),
    ] {
        let expected = if is_taken { Ok(()) } else { Err(Reason::TokenTypeUnaccepted) };
        assert_eq!(said(more).map(drop), expected, "{more}");
    }
}

/// Where keys and introspection are one provider's, a signed token is checked with the keys; where there are no keys alone it is asked about, and then
/// what no signed token may be is refused before anybody is asked.
#[test]
fn what_is_signed_is_asked_about_without_keys_alone() {
    let keys = format!(r#""localJWKS":{{"inline":{}}},"#, Json::Text(set(&[jwk(Family::Ed25519, "")])));
    let asked = |keys: &str, token: &str| {
        let text = json(&format!(
            r#"{{"providers":[{{"name":"corp","issuer":"https://corp","audiences":["api"],"maxLifetime":"1h",{keys}
                "introspection":{{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{{"env":"S"}}}}}}]}}"#
        ));
        let problems = Problems::new();
        let mut providers = read_jwt(&Field::root(&text, &problems));
        assert!(!problems.is_fatal(), "{:?}", problems.into_vec());
        providers.resolve(|_| Some(b"secret".to_vec()));
        let route = route(BOTH, &providers);
        let fields: [(&str, &[u8]); 1] = [("authorization", &[b"Bearer ", token.as_bytes()].concat())];
        let (head, now) = (head("/", &fields), Timestamp::from_seconds(1500));
        let found = identify(&route, &providers, &head, None, now, &NoHost, &Shared::default().witness());
        match found {
            Ok(_) => "admitted",
            Err(Stop::Wait(_)) => "asked about",
            Err(Stop::Refused(refusal)) => refusal.reason.code(),
        }
    };
    let good = token("https://corp", "");
    assert_eq!(asked(&keys, &good), "admitted");
    assert_eq!(asked("", &good), "asked about");
    assert_eq!(asked(&keys, "opaque"), "asked about");
    let none = format!("{}.{}.", base64(r#"{"alg":"none"}"#), base64(r#"{"iss":"https://corp"}"#));
    for keys in [&*keys, ""] {
        assert_eq!(asked(keys, &none), "algorithm_unaccepted");
    }
}
