//! Rows: what an assertion says and for how long, which key signs when, what is published, and what a policy must not ask for.

use std::rc::Rc;

use super::cache::Cache;
use super::claims::{Target, push_text};
use super::key::{self, public_jwks};
use super::{Assertion, Ring};
use crate::decision::{Detail, Reason, Refusal};
use crate::guards::identity::Caller;
use crate::guards::identity::caller::{ApiKey, Certificate, Token};
use crate::guards::identity::jwt::signature::holds;
use crate::guards::identity::jwt::vectors::{ED25519, NoHost, P256, SECRET, unbase64};
use crate::guards::identity::jwt::{Algorithm, Compact, KeySet};
use crate::host::{Verdict, Verifier};
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::policy::Policy;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;

/// A host with `sign`, as Envoy has it since 1.37: the key in PKCS#8, the signature in DER.
struct SigningHost;

impl Verifier for SigningHost {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }

    fn sign(&self, hash: &'static str, key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        use p256::ecdsa::signature::hazmat::PrehashSigner as _;
        use p256::pkcs8::DecodePrivateKey as _;
        assert_eq!(hash, "sha256");
        let key = p256::ecdsa::SigningKey::from_pkcs8_der(key).unwrap();
        let signature: p256::ecdsa::Signature = key.sign_prehash(&hmac_sha256::Hash::hash(text)).unwrap();
        Some(signature.to_der().as_bytes().to_vec())
    }
}

/// A host whose function says something else than a signature.
struct OddHost;

impl Verifier for OddHost {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }

    fn sign(&self, _: &'static str, _: &[u8], _: &[u8]) -> Option<Vec<u8>> {
        Some(b"no signature".to_vec())
    }
}

fn env(name: &str) -> Option<Vec<u8>> {
    let ed = |x: &str, d: &str| format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{d}"}}"#);
    let value = match name {
        "ED" => ed(ED25519[0], ED25519[1]),
        // RFC 8410 §10.3 writes such a key: the seed of RFC 8037 behind the same sixteen bytes.
        "ED_PEM" => {
            use base64::Engine as _;
            let prefix = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
            let der = [&prefix[..], &unbase64(ED25519[1])].concat();
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
        }
        // RFC 8032 §7.1, test 2.
        "NEXT" => {
            ed("PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw", "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs")
        }
        "EC" => {
            format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}","d":"{}"}}"#, P256[0], P256[1], P256[2])
        }
        "HS" => SECRET.to_owned(),
        "SHORT" => "x".repeat(31),
        "FORGED" => ed(ED25519[0], "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs"),
        "JUNK" => "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----".to_owned(),
        _ => return None,
    };
    Some(value.into_bytes())
}

fn document(keys: &str, assertion: &str) -> String {
    format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"p",
        "signing":{{"issuer":"https://gw.example","keys":[{keys}],"jwks":{{"path":"/keys","maxAge":"5m"}}}},
        "routes":[{{"name":"a","match":{{}},"authentication":{{"open":{{"because":"test"}}}},
        "upstream":{{"assertion":{assertion}}}}}]}}"#
    )
}

/// The ring and the rules of a policy's one route.
fn ring(keys: &str, assertion: &str) -> (Ring, Rc<Assertion>) {
    let (mut policy, _) =
        Policy::load(document(keys, assertion).as_bytes()).map_err(|p| format!("{p:?}")).unwrap();
    let mut ring = policy.signing.take().unwrap();
    ring.resolve(env, [7; 16]);
    (ring, policy.routes[0].assertion.clone().unwrap())
}

const ED: &str = r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"env":"ED"}}"#;
const ORDERS: &str = r#"{"audience":"orders"}"#;

fn json(text: &[u8]) -> Json {
    Json::parse(text, Bounds { depth: 9, values: 99, duplicates: Duplicates::Refuse }).unwrap()
}

fn alice(more: &str) -> Caller {
    let claims =
        json(format!(r#"{{"sub":"alice","client_id":"web","scope":"read write"{more}}}"#).as_bytes());
    Caller::Token(Rc::new(Token::new("corp".into(), None, claims)))
}

fn head(id: &str) -> Head {
    let fields = [(":method", "GET"), (":authority", "h"), (":path", "/"), ("x-request-id", id)];
    Head::parse(serialize(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

const TARGET: Target<'static> =
    Target { method: b"GET", authority: b"API.example.com:8443", target: b"/orders/7?a=1&b=%22" };

fn made(
    ring: &Ring,
    rules: &Rc<Assertion>,
    caller: &Caller,
    target: &Target<'_>,
    now: u64,
) -> Result<String, Refusal> {
    let assertion = ring.assert(rules, caller, target, &head("r-1"), at(now), &NoHost)?;
    Ok(String::from_utf8(assertion).unwrap())
}

fn part(assertion: &str, number: usize) -> Json {
    json(&unbase64(assertion.split('.').nth(number).unwrap()))
}

/// Whether a key that is published holds the signature, by the gateway's own check of tokens.
fn is_published(ring: &Ring, assertion: &str, now: u64) -> bool {
    let (set, _) = ring.published(at(now));
    let Ok((keys, odd)) = KeySet::read(set.as_bytes()) else { return false };
    assert_eq!(odd, [], "{set}");
    let token = Compact::parse(assertion.as_bytes()).unwrap();
    keys.choose(token.kid.as_deref(), token.algorithm)
        .is_ok_and(|key| holds(key, token.algorithm, token.text, &token.signature, &NoHost))
}

#[test]
fn what_it_says_byte_by_byte() {
    let assertion = r#"{"audience":"orders","ttl":"20s","include":{"claims":["org.dept","absent","n"],"scopes":["read","admin"]}}"#;
    let (ring, rules) = ring(ED, assertion);
    let caller = alice(r#","org":{"dept":"a\"b"},"n":[1,true]"#);
    let assertion = made(&ring, &rules, &caller, &TARGET, NOW).unwrap();
    assert_eq!(
        part(&assertion, 0).to_string(),
        r#"{"alg":"EdDSA","kid":"a","typ":"portcullis-assertion+jwt"}"#
    );
    let claims = part(&assertion, 1);
    let text = |name| claims.get(name).and_then(Json::as_text).map(str::to_owned);
    for (name, value) in [
        ("iss", "https://gw.example"),
        ("aud", "orders"),
        ("sub", "alice"),
        ("client_id", "web"),
        ("credential", "token"),
        ("provider", "corp"),
        ("scope", "read"),
        ("htm", "GET"),
        ("authority", "api.example.com:8443"),
        ("path", "/orders/7"),
        ("query", "a=1&b=%22"),
    ] {
        assert_eq!(text(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(claims.get("claims").unwrap().to_string(), r#"{"n":[1,true],"org.dept":"a\"b"}"#);
    assert_eq!(claims.get("iat"), Some(&Json::Integer(1_800_000_000)));
    assert_eq!(claims.get("exp"), Some(&Json::Integer(1_800_000_020)));
    assert_eq!(text("jti").unwrap().len(), 22);
    assert_eq!(claims.get("request_id"), None);
    let Json::Map(members) = claims else { panic!() };
    assert_eq!(members.len(), 16);
}

/// No caller, no claims of one; a key's client is its own subject; and no query is the empty one.
#[test]
fn who_it_speaks_of() {
    let (ring, rules) = ring(ED, r#"{"audience":"orders","include":{"claims":["x"]}}"#);
    let names = |caller: &Caller| {
        let Json::Map(members) = part(&made(&ring, &rules, caller, &TARGET, NOW).unwrap(), 1) else {
            panic!()
        };
        members.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ")
    };
    let always = "htm authority path query jti iat nbf exp";
    assert_eq!(names(&Caller::Anonymous), format!("iss aud {always}"));
    let key = Caller::ApiKey(ApiKey::of("partner", &["read"]));
    assert_eq!(names(&key), format!("iss aud sub client_id credential scope {always}"));
    assert_eq!(names(&alice("")), format!("iss aud sub client_id credential provider scope claims {always}"));
    // One name, and three who may have it.
    let credential = |caller: &Caller| {
        let claims = part(&made(&ring, &rules, caller, &TARGET, NOW).unwrap(), 1);
        let member = |name| claims.get(name).and_then(Json::as_text).map(str::to_owned);
        (member("client_id"), member("credential"))
    };
    let partner_by = |kind: &str| (Some("partner".to_owned()), Some(kind.to_owned()));
    assert_eq!(credential(&key), partner_by("api_key"));
    assert_eq!(
        credential(&Caller::Certificate(Certificate::new("partner".into()))),
        partner_by("certificate")
    );
    let query = |target: &[u8]| {
        let claims = part(&made(&ring, &rules, &key, &Target { target, ..TARGET }, NOW).unwrap(), 1);
        let member = |name| claims.get(name).and_then(Json::as_text).map(str::to_owned);
        (member("query"), member("query_hash"))
    };
    let told = |text: &str| (Some(text.to_owned()), None);
    assert_eq!([&b"/a"[..], b"/a?", b"/a?b?"].map(query), ["", "", "b?"].map(told));
    let long = |count| [b"/a?", "q".repeat(count).as_bytes()].concat();
    assert_eq!(query(&long(512)), told(&"q".repeat(512)));
    // printf 'q%.0s' $(seq 513) | openssl dgst -sha256 -binary | basenc --base64url
    let hash = "VaxYvTFcO5QYCi1wRPjxlpku2EokfNUMCzyeWIemU9I";
    assert_eq!(query(&long(513)), (None, Some(hash.to_owned())));
    assert_eq!(query(b"/a?\xff"), (None, Some("qBAK5qoZQNC2Y7sxzUZhQuu9vVGHExuS2TgYmHgy64k".to_owned())));
}

#[test]
fn each_algorithm_signs_what_its_published_key_holds() {
    let rows = [
        (r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"env":"ED"}}"#, true),
        (r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"env":"ED_PEM"}}"#, true),
        (r#"{"kid":"a","algorithm":"ES256","privateKey":{"env":"EC"}}"#, true),
        (r#"{"kid":"a","algorithm":"HS256","secret":{"env":"HS"}}"#, false),
    ];
    for (key, public) in rows {
        let rules = if public { ORDERS } else { r#"{"audience":"orders","algorithm":"HS256"}"# };
        for host in ["none", "signs", "odd"] {
            let (ring, rules) = ring(key, rules);
            let (caller, head, now) = (alice(""), head("r"), at(NOW));
            let assertion = match host {
                "signs" => ring.assert(&rules, &caller, &TARGET, &head, now, &SigningHost),
                "odd" => ring.assert(&rules, &caller, &TARGET, &head, now, &OddHost),
                _ => ring.assert(&rules, &caller, &TARGET, &head, now, &NoHost),
            };
            let assertion = String::from_utf8(assertion.unwrap()).unwrap();
            assert_eq!(is_published(&ring, &assertion, NOW), public, "{key}");
            if !public {
                assert_eq!(ring.published(at(NOW)).0, r#"{"keys":[]}"#);
                let keys = KeySet::secret(vec![crate::secret::Secret::new(SECRET.as_bytes().to_vec())]);
                let token = Compact::parse(assertion.as_bytes()).unwrap();
                let key = keys.choose(None, Algorithm::HS256).unwrap();
                assert!(holds(key, Algorithm::HS256, token.text, &token.signature, &NoHost));
            }
            let bent = assertion.replace('.', ".A").replacen(".A", ".", 1);
            assert!(!is_published(&ring, &bent, NOW));
        }
    }
}

/// One is used again for what is the same, and for nothing else.
#[test]
fn which_requests_share_one() {
    let (ring, rules) = ring(ED, r#"{"audience":"orders","ttl":"20s","reuse":"5s"}"#);
    let first = made(&ring, &rules, &alice(""), &TARGET, NOW).unwrap();
    let again = |caller: &Caller, target: &Target<'_>, now| {
        made(&ring, &rules, caller, target, now).unwrap() == first
    };
    assert!(again(&alice(""), &TARGET, NOW) && again(&alice(r#","other":1"#), &TARGET, NOW + 4));
    for (what, caller, target) in [
        ("method", alice(""), Target { method: b"POST", ..TARGET }),
        ("host", alice(""), Target { authority: b"api.example.com", ..TARGET }),
        ("path", alice(""), Target { target: b"/orders/8?a=1&b=%22", ..TARGET }),
        ("query", alice(""), Target { target: b"/orders/7?a=1&b=%23", ..TARGET }),
        ("no query", alice(""), Target { target: b"/orders/7", ..TARGET }),
        ("caller", Caller::Anonymous, TARGET),
        ("scope", alice(r#","scp":"admin""#), TARGET),
        ("key", Caller::ApiKey(ApiKey::of("web", &["read", "write"])), TARGET),
    ] {
        assert!(!again(&caller, &target, NOW), "{what}");
    }
    // A piece of one part cannot pass for a piece of another.
    let odd =
        |target: &'static [u8]| made(&ring, &rules, &alice(""), &Target { target, ..TARGET }, NOW).unwrap();
    assert_ne!(odd(b"/orders/7?"), odd(b"/orders/7??"));
    assert!(!again(&alice(""), &TARGET, NOW + 5), "its time is over");
    let later = made(&ring, &rules, &alice(""), &TARGET, NOW + 5).unwrap();
    assert_ne!(made(&ring, &rules, &alice(""), &TARGET, NOW - 300).unwrap(), later, "the clock was set back");
    let (other, rules) = (ring, Rc::new(Assertion { ttl: SECOND, ..copy(&rules) }));
    assert_ne!(made(&other, &rules, &alice(""), &TARGET, NOW + 5).unwrap(), later, "by other rules");
}

fn copy(rules: &Assertion) -> Assertion {
    Assertion {
        header: Rc::clone(&rules.header),
        audience: rules.audience.clone(),
        include: rules.include.clone(),
        ..*rules
    }
}

#[test]
fn without_reuse_each_request_has_its_own() {
    let (ring, rules) = ring(ED, r#"{"audience":"orders","reuse":"Off"}"#);
    let jti = |assertion: &str| part(assertion, 1).get("jti").cloned().unwrap();
    let (one, two) =
        (made(&ring, &rules, &alice(""), &TARGET, NOW), made(&ring, &rules, &alice(""), &TARGET, NOW));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(jti(&one), jti(&two));
    assert_eq!(part(&one, 1).get("request_id"), Some(&Json::Text("r-1".to_owned())));
    let odd = ring.assert(&rules, &alice(""), &TARGET, &head("a b\""), at(NOW), &NoHost).unwrap();
    assert_eq!(part(core::str::from_utf8(&odd).unwrap(), 1).get("request_id"), None);
}

/// 2027-01-15T08:00:00Z and a minute later.
const TURNS: &str = r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"env":"ED"},"notAfter":"2027-01-15T08:01:10Z"},
    {"kid":"b","algorithm":"EdDSA","privateKey":{"env":"NEXT"},"notBefore":"2027-01-15T08:01:00Z","notAfter":"2027-01-15T09:00:00Z"}"#;

#[test]
fn the_clock_says_which_key_signs_and_all_know_it_before() {
    let (ring, rules) = ring(TURNS, r#"{"audience":"orders","ttl":"30s"}"#);
    let kid = |now| {
        let assertion = made(&ring, &rules, &alice(""), &TARGET, now).map_err(|refusal| refusal.reason)?;
        assert!(is_published(&ring, &assertion, now), "{now}");
        // Whoever takes it at the end of its time, by a clock that is a minute late, finds the key too.
        assert!(is_published(&ring, &assertion, now + 30 + 59), "{now}");
        Ok(part(&assertion, 0).get("kid").and_then(Json::as_text).unwrap().to_owned())
    };
    let a = || Ok("a".to_owned());
    let b = || Ok("b".to_owned());
    for (now, signer) in [
        (NOW - 1000, a()),
        (NOW + 59, a()),
        (NOW + 60, b()),
        (NOW + 69, b()),
        (NOW + 70, b()),
        (NOW + 3599, b()),
        (NOW + 3600, Err(Reason::AssertionUnavailable)),
        // A clock that is five minutes off on either side of the change is another moment, and no more.
        (NOW + 60 - 300, a()),
        (NOW + 60 + 300, b()),
    ] {
        assert_eq!(kid(now), signer, "{now}");
    }
    let published = |now| ring.published(at(now)).0.matches("\"kid\"").count();
    assert_eq!(
        [NOW - 1000, NOW, NOW + 159, NOW + 160, NOW + 3689, NOW + 3690].map(published),
        [2, 2, 2, 1, 1, 0]
    );
    let age = |now| ring.published(at(now)).1;
    assert_eq!([NOW - 1000, NOW + 159, NOW + 160, NOW + 3689].map(age), [300, 1, 300, 1]);
}

#[test]
fn whoever_asks_for_the_keys() {
    let (ring, _) = ring(TURNS, ORDERS);
    let answer = |path, method: &str| ring.answer(path, method.as_bytes(), at(NOW));
    assert!(answer("/keys/", "GET").is_none() && answer("/", "GET").is_none());
    let answered = answer("/keys", "GET").unwrap().unwrap();
    assert_eq!((answered.status, &*answered.body), (200, &*ring.published(at(NOW)).0));
    assert_eq!(answered.headers[1], ("cache-control", "public, max-age=160".to_owned()));
    assert_eq!(answer("/keys", "HEAD").unwrap().unwrap(), answered);
    for method in ["POST", "OPTIONS", "get"] {
        assert_eq!(answer("/keys", method).unwrap().unwrap_err().reason, Reason::MethodNotAllowed);
    }
    let secrets = [ED25519[1], P256[2], SECRET, "TM0Imyj"];
    assert!(secrets.iter().all(|secret| !answered.body.contains(secret)), "{}", answered.body);
    assert!(secrets.iter().all(|secret| !format!("{ring:?}").contains(secret)));
}

/// A key that is missing does not sign; one that may sign does in its place, and if there is none, the refusal says why.
#[test]
fn keys_that_are_missing() {
    let key = |kid: &str, algorithm: &str, env: &str, more: &str| {
        let place = if algorithm == "HS256" { "secret" } else { "privateKey" };
        format!(r#"{{"kid":"{kid}","algorithm":"{algorithm}","{place}":{{"env":"{env}"}}{more}}}"#)
    };
    for (algorithm, variable, why) in [
        ("EdDSA", "ABSENT", "missing environment variable `ABSENT`"),
        ("EdDSA", "JUNK", "no key for the algorithm in environment variable `JUNK`"),
        ("EdDSA", "EC", "no key for the algorithm in environment variable `EC`"),
        ("EdDSA", "FORGED", "no key for the algorithm in environment variable `FORGED`"),
        ("ES256", "ED", "no key for the algorithm in environment variable `ED`"),
        ("ES256", "HS", "no key for the algorithm in environment variable `HS`"),
        ("HS256", "SHORT", "no key for the algorithm in environment variable `SHORT`"),
    ] {
        let assertion = format!(r#"{{"audience":"orders","algorithm":"{algorithm}"}}"#);
        let (ring, rules) = ring(&key("a", algorithm, variable, ""), &assertion);
        let refusal = made(&ring, &rules, &alice(""), &TARGET, NOW).unwrap_err();
        assert_eq!(
            (refusal.reason, refusal.detail.to_string().as_str()),
            (Reason::AssertionUnavailable, why)
        );
        assert_eq!(ring.without_key().map(|(kid, _)| kid).collect::<Vec<_>>(), ["a"]);
        assert_eq!(ring.published(at(NOW)).0, r#"{"keys":[]}"#);
    }
    let begun = r#","notBefore":"2027-01-01T00:00:00Z""#;
    let (ring, rules) =
        ring(&[key("old", "EdDSA", "ED", ""), key("new", "EdDSA", "ABSENT", begun)].join(","), ORDERS);
    let assertion = made(&ring, &rules, &alice(""), &TARGET, NOW).unwrap();
    assert_eq!(part(&assertion, 0).get("kid").and_then(Json::as_text), Some("old"));
}

#[test]
fn one_that_no_upstream_would_read_is_not_made() {
    let (ring, rules) = ring(ED, ORDERS);
    let long = [b"/", "a".repeat(5000).as_bytes()].concat();
    let refusal = made(&ring, &rules, &alice(""), &Target { target: &long, ..TARGET }, NOW).unwrap_err();
    assert_eq!(refusal.reason, Reason::HeadersTooLarge);
    assert!(matches!(refusal.detail, Detail::Over { limit: 6144, .. }));
    // A query may be as long as it likes: its hash is not.
    let long = [b"/?", "a".repeat(8000).as_bytes()].concat();
    assert!(made(&ring, &rules, &alice(""), &Target { target: &long, ..TARGET }, NOW).is_ok());
    let scopes = format!(r#","scp":"{}""#, "s ".repeat(3000));
    assert!(made(&ring, &rules, &alice(&scopes), &TARGET, NOW).is_err());
}

#[test]
fn what_a_policy_must_not_ask_for() {
    let rows = [
        (ED.to_owned(), r#"{"audience":"a","algorithm":"ES256"}"#, "no key of `signing` can sign it"),
        (ED.to_owned(), r#"{"audience":"a","ttl":"6m"}"#, "expected 1s to 5m"),
        (ED.to_owned(), r#"{"audience":"a","ttl":"10s","reuse":"6s"}"#, "expected 1ms to 5s"),
        (ED.to_owned(), r#"{"audience":"a","header":"authorization"}"#, "is the proxy's or the protocol's own"),
        (ED.to_owned(), r#"{"audience":"a","header":"x-forwarded-for"}"#, "is the proxy's or the protocol's own"),
        (ED.to_owned(), r#"{"ttl":"10s"}"#, "`audience` is missing"),
        (
            r#"{"kid":"h","algorithm":"HS256","secret":{"env":"HS"}}"#.to_owned(),
            ORDERS,
            "no key of `signing` can sign it",
        ),
        (r#"{"kid":"a","algorithm":"HS256","privateKey":{"env":"HS"}}"#.to_owned(), ORDERS, "not for this algorithm"),
        (r#"{"kid":"a","algorithm":"EdDSA"}"#.to_owned(), ORDERS, "`privateKey` is missing"),
        (r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"file":"/k"}}"#.to_owned(), ORDERS, "out of the filter's reach"),
        (r#"{"kid":"a","algorithm":"RS256","privateKey":{"env":"K"}}"#.to_owned(), ORDERS, "unknown value `RS256`"),
        (format!("{ED},{ED}"), ORDERS, "two keys have the `kid` `a`"),
        (
            format!(r#"{ED},{{"kid":"b","algorithm":"EdDSA","privateKey":{{"env":"NEXT"}}}}"#),
            ORDERS,
            "begins to sign when `a` does",
        ),
        (
            format!(r#"{ED},{{"kid":"b","algorithm":"ES256","privateKey":{{"env":"EC"}}}}"#),
            ORDERS,
            "begin at the same time, and either could sign",
        ),
        (
            format!(r#"{ED},{{"kid":"b","algorithm":"EdDSA","privateKey":{{"env":"ED"}},"notBefore":"2027-01-01T00:00:00Z"}}"#),
            ORDERS,
            "so it is the same key",
        ),
        (
            r#"{"kid":"a","algorithm":"EdDSA","privateKey":{"env":"ED"},"notBefore":"2027-01-01T00:00:00Z","notAfter":"2027-01-01T00:00:00Z"}"#.to_owned(),
            ORDERS,
            "so it would never sign",
        ),
    ];
    for (keys, assertion, message) in rows {
        let problems = Policy::load(document(&keys, assertion).as_bytes()).map(|_| ()).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|problem| problem.contains(message)), "{message}: {told:?}");
    }
    let bare = document(ED, ORDERS).replace(r#""signing""#, r#""audit":{"log":"All"},"x""#);
    let problems = Policy::load(bare.as_bytes()).map(|_| ()).unwrap_err();
    assert!(problems.iter().any(|problem| problem.message.contains("there is nothing to sign it with")));
    let gap = TURNS.replace("2027-01-15T08:01:10Z", "2027-01-15T08:00:30Z");
    let (_, warnings) = Policy::load(document(&gap, ORDERS).as_bytes()).unwrap();
    assert!(warnings.iter().any(|warning| warning.message.contains("nothing signs between the end of `a`")));
}

/// RFC 8259 §7: what a string of JSON may not hold as it is, alone and among other bytes.
#[test]
fn texts_in_rows() {
    for (text, written) in [
        ("", r#""""#),
        ("plain /?~ \u{7f} \u{fc}", "\"plain /?~ \u{7f} \u{fc}\""),
        ("\"", r#""\"""#),
        ("\\", r#""\\""#),
        ("\0", r#""\u0000""#),
        ("\n", r#""\u000a""#),
        ("\u{1f}", r#""\u001f""#),
        ("a\"b\\c\td\u{10}\u{fc}", "\"a\\\"b\\\\c\\u0009d\\u0010\u{fc}\""),
    ] {
        let mut out = Vec::new();
        push_text(text, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), written);
        assert_eq!(json(&out), Json::Text(text.to_owned()));
    }
}

/// One finds its place by what it is about, so that many are kept beside each other; one that is too long is made each time. What is
/// printed of them is how many there are.
#[test]
fn what_is_kept() {
    let (_, rules) = ring(ED, ORDERS);
    let mut cache = Cache::new([7; 16]);
    let times = (at(NOW), at(NOW + 5));
    let abouts: Vec<Vec<u8>> = (0..64).map(|number| format!("about {number}").into_bytes()).collect();
    for about in &abouts {
        cache.keep(&rules, 0, about, times, about);
    }
    for about in &abouts {
        let kept = cache.find(&rules, 0, about, at(NOW)).map(|kept| kept.expose().clone());
        assert_eq!(kept.as_ref(), Some(about));
    }
    assert_eq!(format!("{cache:?}"), "Cache(64 assertions)");
    for (bytes, kept) in [(limits::ASSERTION_KEPT_BYTES, true), (limits::ASSERTION_KEPT_BYTES + 1, false)] {
        let about = [b'a'; 96];
        cache.keep(&rules, 0, &about, times, &vec![b'b'; bytes - about.len()]);
        assert_eq!(cache.find(&rules, 0, &about, at(NOW)).is_some(), kept, "{bytes}");
        cache = Cache::new([7; 16]);
    }
}

#[test]
fn what_holds_when_nothing_else_is_written() {
    let keys = document(ED, ORDERS).replace(r#","maxAge":"5m""#, "");
    let (mut policy, _) = Policy::load(keys.as_bytes()).unwrap();
    let mut ring = policy.signing.take().unwrap();
    ring.resolve(env, [7; 16]);
    assert_eq!(ring.published(at(NOW)).1, 300);
    let rules = policy.routes[0].assertion.clone().unwrap();
    assert_eq!((&*rules.header, rules.ttl()), ("x-portcullis-assertion", 30 * SECOND));
    // It is used again for half of its time.
    let made = |now| made(&ring, &rules, &alice(""), &TARGET, now).unwrap();
    let first = made(NOW);
    assert_eq!(part(&first, 1).get("exp"), Some(&Json::Integer(1_800_000_030)));
    assert!(made(NOW + 14) == first && made(NOW + 15) != first);
}

/// What the command line prints of a private key, and says of what is none.
#[test]
fn the_public_part_of_a_key() {
    let of = |algorithm, variable: &str| public_jwks(algorithm, "k", &env(variable).unwrap());
    let ed = format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","use":"sig","x":"{}"}}]}}"#,
        ED25519[0]
    );
    assert_eq!(of(key::Algorithm::EdDSA, "ED"), Ok(ed.clone()));
    assert_eq!(of(key::Algorithm::EdDSA, "ED_PEM"), Ok(ed));
    let ec = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig","x":"{}","y":"{}"}}]}}"#,
        P256[0], P256[1]
    );
    assert_eq!(of(key::Algorithm::ES256, "EC"), Ok(ec));
    assert_eq!(of(key::Algorithm::HS256, "HS").unwrap_err(), "a shared secret has no public part");
    for (algorithm, variable) in [(key::Algorithm::EdDSA, "EC"), (key::Algorithm::ES256, "JUNK")] {
        let told = of(algorithm, variable).unwrap_err();
        assert!(told.starts_with("no key for the algorithm"), "{told}");
    }
}

/// In a log there is that there is a key, and nothing of it.
#[test]
fn a_key_is_not_printed() {
    for key in [ED, r#"{"kid":"a","algorithm":"ES256","privateKey":{"env":"EC"}}"#] {
        assert!(format!("{:?}", ring(key, ORDERS).0).contains("material: Ok(Material(…))"));
    }
}

/// The key that began last signs, wherever it stands in the list.
#[test]
fn the_order_of_the_keys_says_nothing() {
    let (first, second) = TURNS.split_once(",\n").unwrap();
    for keys in [TURNS.to_owned(), format!("{second},{first}")] {
        let (ring, rules) = ring(&keys, ORDERS);
        for (now, kid) in [(NOW + 59, "a"), (NOW + 65, "b")] {
            let assertion = made(&ring, &rules, &alice(""), &TARGET, now).unwrap();
            assert_eq!(part(&assertion, 0).get("kid").and_then(Json::as_text), Some(kid), "{keys}");
        }
    }
    // Of two algorithms either may sign, if it is plain which does.
    let es =
        r#"{"kid":"b","algorithm":"ES256","privateKey":{"env":"EC"},"notBefore":"2027-01-01T00:00:00Z"}"#;
    let (ring, rules) = ring(&format!("{ED},{es}"), ORDERS);
    let assertion = made(&ring, &rules, &alice(""), &TARGET, NOW).unwrap();
    assert_eq!(part(&assertion, 0).get("alg").and_then(Json::as_text), Some("ES256"));
}

#[test]
fn an_assertion_is_as_long_as_it_may_be_and_no_longer() {
    let mut longest = 0;
    // By the name of the key, since base64 has no text of some lengths.
    for kid in ["a", "ab", "abc"] {
        let (ring, rules) = ring(&ED.replace(r#""a""#, &format!(r#""{kid}""#)), ORDERS);
        let of = |bytes: usize| {
            let target = [b"/", "a".repeat(bytes).as_bytes()].concat();
            made(&ring, &rules, &alice(""), &Target { target: &target, ..TARGET }, NOW)
        };
        let spare = limits::ASSERTION_BYTES - of(4000).unwrap().len();
        for bytes in 4000 + spare / 4 * 3 - 3..4000 + spare / 4 * 3 + 6 {
            match of(bytes) {
                Ok(assertion) => longest = longest.max(assertion.len()),
                Err(refusal) => {
                    let Detail::Over { got, limit, .. } = refusal.detail else { panic!("{refusal:?}") };
                    assert!(got > limit && limit == limits::ASSERTION_BYTES as u64, "{got}");
                }
            }
        }
    }
    assert_eq!(longest, limits::ASSERTION_BYTES);
}

/// As many as there may be, and one more.
#[test]
fn as_many_as_there_may_be() {
    let told = |keys: &str, assertion: &str| match Policy::load(document(keys, assertion).as_bytes()) {
        Ok(_) => String::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    let key = |day: usize| {
        format!(
            r#"{{"kid":"k{day}","algorithm":"EdDSA","privateKey":{{"env":"K{day}"}},"notBefore":"2027-01-{:02}T00:00:00Z"}}"#,
            day + 1
        )
    };
    let keys = |count| (0..count).map(key).collect::<Vec<_>>().join(",");
    assert_eq!(told(&keys(limits::SIGNING_KEYS), ORDERS), "");
    assert!(told(&keys(limits::SIGNING_KEYS + 1), ORDERS).contains("too many keys · help: at most 16"));
    let claims = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!(r#""c{number}""#)).collect();
        format!(r#"{{"audience":"orders","include":{{"claims":[{}]}}}}"#, names.join(","))
    };
    assert_eq!(told(ED, &claims(limits::ASSERTION_CLAIMS)), "");
    assert!(told(ED, &claims(limits::ASSERTION_CLAIMS + 1)).contains("too many claims · help: at most 32"));
}

#[test]
fn where_keys_can_be_published() {
    let longest = format!("/{}", "k".repeat(limits::PATH_BYTES - 1));
    for (path, good) in [
        ("/.well-known/jwks.json", true),
        (&longest, true),
        (&format!("{longest}k"), false),
        ("/keys?all", false),
        ("/keys?", false),
        ("keys", false),
        ("/a/../keys", false),
    ] {
        let document = document(ED, ORDERS).replace(r#""/keys""#, &format!(r#""{path}""#));
        let told: String = match Policy::load(document.as_bytes()) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(told.is_empty(), good, "{told}");
        assert!(good || told.contains("is no path that a request can have"), "{told}");
    }
}

/// An upstream that finds two things in one header believes the wrong one.
#[test]
fn an_assertion_has_a_header_of_its_own() {
    let keys = r#"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"#;
    let jwt = format!(
        r#""jwt":{{"providers":[{{"name":"corp","issuer":"https://id.example","audiences":["a"],"maxLifetime":"1h","localJWKS":{{"inline":"{keys}"}},
        "extractFrom":{{"headers":[{{"name":"X-Token"}}]}},"claimToHeaders":[{{"claim":"sub","header":"X-User"}}]}}]}},"signing""#
    );
    for (header, own) in
        [("x-proof", true), ("x-token", false), ("X-TOKEN", false), ("x-user", false), ("X-User", false)]
    {
        let assertion = format!(r#"{{"audience":"orders","header":"{header}"}}"#);
        let document = document(ED, &assertion).replace(r#""signing""#, &jwt);
        let told: String = match Policy::load(document.as_bytes()) {
            Ok(_) => String::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(told.is_empty(), own, "{header}: {told}");
        assert!(own || told.contains("is also the header of a claim"), "{header}: {told}");
    }
}

/// Keys by name, algorithm and the minutes at which they begin and end to sign; and whether there is a time between two of them in which none
/// does.
#[test]
fn gaps_between_keys() {
    type Row<'r> = (&'r str, &'r str, Option<u32>, Option<u32>);
    let key = |(kid, algorithm, from, until): &Row<'_>| {
        let time = |name: &str, minute: &Option<u32>| {
            minute.map(|minute| format!(r#","{name}":"2027-01-15T08:{minute:02}:00Z""#)).unwrap_or_default()
        };
        let (from, until) = (time("notBefore", from), time("notAfter", until));
        format!(r#"{{"kid":"{kid}","algorithm":"{algorithm}","privateKey":{{"env":"{kid}"}}{from}{until}}}"#)
    };
    let (ed, es) = ("EdDSA", "ES256");
    let rows: [(&[Row<'_>], bool); 8] = [
        // The last one ends and none comes after it: somebody will write the next.
        (&[("a", ed, None, Some(10))], false),
        (&[("a", ed, None, Some(10)), ("b", ed, Some(10), None)], false),
        (&[("a", ed, None, Some(10)), ("b", ed, Some(11), None)], true),
        (&[("b", ed, Some(11), None), ("a", ed, None, Some(10))], true),
        (&[("a", ed, None, Some(10)), ("b", ed, Some(5), Some(20)), ("c", ed, Some(15), None)], false),
        (&[("a", ed, None, Some(10)), ("b", ed, Some(5), Some(10)), ("c", ed, Some(11), None)], true),
        // One of another algorithm does not sign in its place, nor after it.
        (&[("a", ed, None, Some(10)), ("b", es, Some(5), Some(20)), ("c", ed, Some(15), None)], true),
        (&[("a", ed, None, Some(10)), ("c", es, Some(15), None)], false),
    ];
    for (keys, gap) in rows {
        let written = keys.iter().map(key).collect::<Vec<_>>().join(",");
        let document = document(&written, r#"{"audience":"orders","algorithm":"EdDSA"}"#);
        let (_, warnings) = Policy::load(document.as_bytes()).map_err(|p| format!("{p:?}")).unwrap();
        let told =
            warnings.iter().filter(|warning| warning.message.contains("nothing signs between")).count();
        assert_eq!(told > 0, gap, "{keys:?}");
    }
}
