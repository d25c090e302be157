//! Rows for keys that hold and keys that do not, and for what a user may write.

use core::cell::Cell;

use super::config::read;
use super::{ApiKeys, Entry, KeyHash};
use crate::decision::{Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::caller::{ApiKey, Caller};
use crate::guards::identity::config::read_jwt;
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::jwt::vectors::{jwk, set};
use crate::guards::identity::rules::{Place, Providers};
use crate::json::{Bounds, Duplicates, Json};
use crate::problem::{Problems, Severity};
use crate::testing::test;
use crate::time::Timestamp;
use crate::{http, limits};

std::thread_local! {
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

/// Called for each comparison of two digests.
pub(super) fn count_comparison() {
    COMPARISONS.with(|count| count.set(count.get() + 1));
}

impl Entry {
    pub(in crate::guards) fn new(client: &str, scopes: &[&str]) -> Self {
        let scopes = scopes.iter().map(|scope| (*scope).into()).collect();
        let (not_before, expires_at) = (None, None);
        Self { client: client.into(), scopes, tier: None, fingerprint: "0".into(), not_before, expires_at }
    }
}

const KEY: &str = "pck_9hQ2mXv7Rk4TzB1nYw8sLd5cJf3gPa6eUo0iKqNrMxW";
const PEPPER: &[u8] = b"thirty-two bytes or more of pepper";

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: limits::POLICY_VALUES, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap_or_else(|error| panic!("{error}: {text:.200}"))
}

fn read_beside(jwt: &str, section: &str) -> (Providers, Vec<String>) {
    let (jwt, section, problems) = (json(jwt), json(section), Problems::new());
    let mut providers = read_jwt(&Field::at("jwt", &jwt, &Problems::new()));
    read(&Field::at("apiKeyAuth", &section, &problems), &mut providers);
    let told = |problem: &crate::problem::Problem| {
        let word = if problem.severity == Severity::Warning { "warning: " } else { "" };
        format!("{word}{problem}")
    };
    (providers, problems.into_vec().iter().map(told).collect())
}

fn told(section: &str) -> Vec<String> {
    read_beside("{}", section).1
}

fn keys(section: &str) -> ApiKeys {
    let (providers, problems) = read_beside("{}", section);
    assert_eq!(problems, [""; 0]);
    providers.api_keys.unwrap()
}

fn plain(key: &str) -> KeyHash {
    KeyHash::of(key.as_bytes(), None)
}

fn keyed(key: &str) -> KeyHash {
    KeyHash::of(key.as_bytes(), Some(PEPPER))
}

fn entry(hash: KeyHash, more: &str) -> String {
    format!(r#"{{"client":"a","keyHash":"{hash}"{more}}}"#)
}

fn header() -> Place {
    Place::Header { name: "x-api-key".into(), prefix: "".into() }
}

fn check(keys: &ApiKeys, key: &[u8], seconds: u64) -> Result<ApiKey, Refusal> {
    keys.check(key, &header(), Timestamp::from_seconds(seconds))
}

fn reason<T>(outcome: Result<T, Refusal>) -> Option<Reason> {
    outcome.err().map(|refusal| refusal.reason)
}

#[test]
fn hashes_are_those_of_everybody_else() {
    // FIPS 180-2 B.1 and RFC 4231 §4.3.
    let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let jefe = "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(KeyHash::of(b"abc", None).to_string(), abc);
    assert_eq!(KeyHash::of(b"what do ya want for nothing?", Some(b"Jefe")).to_string(), jefe);
    assert_eq!(KeyHash::parse(abc), Some(KeyHash::of(b"abc", None)));
    assert_eq!(KeyHash::parse(&abc.to_uppercase().replace("SHA", "sha")), Some(KeyHash::of(b"abc", None)));
    assert_ne!(KeyHash::parse(&abc.replace("sha", "hmac-sha")), KeyHash::parse(abc));
    assert_eq!(KeyHash::of(b"abc", None).fingerprint(), "ba7816bf");
    for text in [
        "",
        "sha256:",
        &abc[7..],
        &abc[..70],
        &format!("{abc}0"),
        &abc.replace("ba", "bg"),
        &abc.replace("256", "512"),
    ] {
        assert_eq!(KeyHash::parse(text), None, "{text}");
    }
}

#[test]
fn a_key_that_holds() {
    let section = format!(
        r#"{{"forwardClientIDHeader":"X-Client","keys":[{}]}}"#,
        entry(plain(KEY), r#","scopes":["r","w"],"tier":"gold""#)
    );
    let keys = keys(&section);
    assert_eq!((&keys.places, keys.forward), (&vec![header()], false));
    let key = check(&keys, KEY.as_bytes(), 0).unwrap();
    assert_eq!((&**key.client(), key.tier().map(|tier| &**tier)), ("a", Some("gold")));
    assert_eq!(**key.fingerprint(), plain(KEY).fingerprint());
    let caller = Caller::ApiKey(key);
    assert_eq!((caller.client(), caller.tier(), caller.subject()), (Some("a"), Some("gold"), None));
    assert_eq!(caller.scopes().collect::<Vec<_>>(), ["r", "w"]);
    assert!(caller.token().is_none());
}

#[test]
fn times_are_kept_to_the_second() {
    let section = |more: &str| format!(r#"{{"keys":[{}]}}"#, entry(plain(KEY), more));
    let until = section(r#","expiresAt":"1970-01-01T00:01:40Z""#);
    let from = section(r#","notBefore":"1970-01-01T00:01:40Z""#);
    let both = section(r#","notBefore":"1970-01-01T00:01:40Z","expiresAt":"1970-01-01T01:03:20+01:00""#);
    for (section, now, expected) in [
        (&until, 0, None),
        (&until, 99, None),
        (&until, 100, Some(Reason::ApiKeyExpired)),
        (&until, u64::MAX, Some(Reason::ApiKeyExpired)),
        (&from, 99, Some(Reason::ApiKeyInvalid)),
        (&from, 100, None),
        (&from, u64::MAX, None),
        (&both, 99, Some(Reason::ApiKeyInvalid)),
        (&both, 100, None),
        (&both, 199, None),
        (&both, 200, Some(Reason::ApiKeyExpired)),
    ] {
        let keys = keys(section);
        assert_eq!(reason(check(&keys, KEY.as_bytes(), now)), expected, "{section} at {now}");
    }
}

#[test]
fn what_is_no_key() {
    let long = "a".repeat(limits::API_KEY_BYTES);
    let list = [entry(plain(KEY), ""), entry(plain(&long), "")].join(",");
    let keys = keys(&format!(r#"{{"keys":[{list}]}}"#));
    assert!(check(&keys, long.as_bytes(), 0).is_ok());
    let hash = plain(KEY).to_string();
    let (blank_first, break_last) = (format!(" {KEY}"), format!("{KEY}\n"));
    for key in [
        "",
        "pck_",
        "fifteen letters",
        &KEY[1..],
        &KEY.to_lowercase(),
        &blank_first,
        &break_last,
        &format!("{KEY}\0"),
        &format!("{},{KEY}", &KEY[..8]),
        &format!("{long}a"),
        &"a".repeat(40_000),
        &hash,
        "pck_9hQ2mXv7Rk4TzB1nYw8sLd5cJf3gPa6eUo0iKqNrMxé",
    ] {
        assert_eq!(reason(check(&keys, key.as_bytes(), 0)), Some(Reason::ApiKeyInvalid), "{key:.60}");
    }
    let least = "a".repeat(limits::API_KEY_BYTES_MIN);
    let listed = self::keys(&format!(r#"{{"keys":[{}]}}"#, entry(plain(&least), "")));
    assert!(check(&listed, least.as_bytes(), 0).is_ok());
    // A key of fifteen letters is none, also where the policy lists it.
    let short = "a".repeat(limits::API_KEY_BYTES_MIN - 1);
    let listed = self::keys(&format!(r#"{{"keys":[{}]}}"#, entry(plain(&short), "")));
    assert_eq!(reason(check(&listed, short.as_bytes(), 0)), Some(Reason::ApiKeyInvalid));
    assert_eq!(reason(check(&listed, &short.as_bytes()[1..], 0)), Some(Reason::ApiKeyInvalid));
    assert_eq!(reason(check(&keys, b"pck_\xff\xfe\x00aaaaaaaaaaaaaaaaaaa", 0)), Some(Reason::ApiKeyInvalid));
}

#[test]
fn a_key_in_a_query_is_not_decoded() {
    let odd = "sixteen+or%2Dmore==";
    let keys = keys(&format!(r#"{{"keys":[{},{}]}}"#, entry(plain(odd), ""), entry(plain(KEY), "")));
    let at = |key: &str, place: &Place| reason(keys.check(key.as_bytes(), place, Timestamp::from_seconds(0)));
    let (cookie, param) = (Place::Cookie("k".into()), Place::Param("k".into()));
    assert_eq!((at(odd, &header()), at(odd, &cookie)), (None, None));
    assert_eq!(at(odd, &param), Some(Reason::ApiKeyInvalid));
    assert_eq!((at(KEY, &cookie), at(KEY, &param)), (None, None));
    assert_eq!(at(&KEY.replace('_', "%5F"), &param), Some(Reason::ApiKeyInvalid));
}

#[test]
fn keyed_hashes_need_their_pepper() {
    let other = "another-key-of-sixteen-or-more";
    let list = [entry(plain(other), ""), entry(keyed(KEY), "")].join(",");
    let with = |pepper: Option<&[u8]>| {
        let mut keys = keys(&format!(r#"{{"pepper":{{"env":"PEPPER"}},"keys":[{list}]}}"#));
        keys.resolve(|name| pepper.filter(|_| name == "PEPPER").map(<[u8]>::to_vec));
        keys
    };
    for (pepper, missing, known, unknown) in [
        (Some(PEPPER), false, None, Some(Reason::ApiKeyInvalid)),
        (
            Some(&b"another pepper, which made no hash here"[..]),
            false,
            Some(Reason::ApiKeyInvalid),
            Some(Reason::ApiKeyInvalid),
        ),
        (None, true, Some(Reason::KeysUnavailable), Some(Reason::KeysUnavailable)),
        (Some(&PEPPER[..32]), false, Some(Reason::ApiKeyInvalid), Some(Reason::ApiKeyInvalid)),
        (Some(&PEPPER[..31]), true, Some(Reason::KeysUnavailable), Some(Reason::KeysUnavailable)),
        (Some(b""), true, Some(Reason::KeysUnavailable), Some(Reason::KeysUnavailable)),
    ] {
        let keys = with(pepper);
        assert_eq!(keys.without_pepper().next().is_some(), missing);
        assert_eq!(reason(check(&keys, KEY.as_bytes(), 0)), known);
        assert_eq!(reason(check(&keys, b"no-key-of-anybody", 0)), unknown);
        assert_eq!(reason(check(&keys, other.as_bytes(), 0)), None, "a plain hash needs no pepper");
    }
    // What its keyed hash says is no plain hash.
    let keys = keys(&format!(r#"{{"keys":[{}]}}"#, entry(keyed(KEY), "").replace("hmac-sha256", "sha256")));
    assert_eq!(reason(check(&keys, KEY.as_bytes(), 0)), Some(Reason::ApiKeyInvalid));
}

/// A hash may be under either pepper; under one that is missing there may be a hash of any key.
#[test]
fn a_pepper_that_is_missing_is_told_of() {
    let section = format!(r#"{{"pepper":{{"env":"PEPPER"}},"keys":[{}]}}"#, entry(keyed(KEY), ""));
    let (mut providers, problems) = read_beside("{}", &section);
    assert_eq!(problems, [""; 0]);
    for (pepper, missing) in [(None, 1), (Some(PEPPER.to_vec()), 0)] {
        providers.resolve(|_| pepper.clone());
        assert_eq!(providers.without_pepper().count(), missing);
    }
    assert_eq!(Providers::default().without_pepper().count(), 0);
}

#[test]
fn a_pepper_is_changed_for_the_next() {
    const NEXT: &[u8] = b"the next thirty-two bytes of pepper";
    let newer = "the-newer-key-of-the-same-client";
    let list = [
        entry(keyed(KEY), ""),
        entry(KeyHash::of(KEY.as_bytes(), Some(NEXT)), ""),
        entry(KeyHash::of(newer.as_bytes(), Some(NEXT)), ""),
    ];
    let both = r#""pepper":{"env":"PEPPER"},"nextPepper":{"env":"NEXT"}"#;
    let with = |pepper: Option<&[u8]>, next: Option<&[u8]>| {
        let mut keys = keys(&format!(r#"{{{both},"keys":[{}]}}"#, list.join(",")));
        keys.resolve(|name| match name {
            "PEPPER" => pepper.map(<[u8]>::to_vec),
            "NEXT" => next.map(<[u8]>::to_vec),
            _ => None,
        });
        keys
    };
    let (invalid, unavailable) = (Some(Reason::ApiKeyInvalid), Some(Reason::KeysUnavailable));
    for (pepper, next, missing, known, newer_known, unknown) in [
        (Some(PEPPER), Some(NEXT), false, None, None, invalid),
        (Some(PEPPER), None, true, None, unavailable, unavailable),
        (None, Some(NEXT), true, None, None, unavailable),
        (Some(PEPPER), Some(&NEXT[..31]), true, None, unavailable, unavailable),
        (None, None, true, unavailable, unavailable, unavailable),
    ] {
        let keys = with(pepper, next);
        assert_eq!(keys.without_pepper().next().is_some(), missing);
        assert_eq!(reason(check(&keys, KEY.as_bytes(), 0)), known);
        assert_eq!(reason(check(&keys, newer.as_bytes(), 0)), newer_known);
        assert_eq!(reason(check(&keys, b"no-key-of-anybody", 0)), unknown);
    }
    let alone = r#"{"nextPepper":{"env":"NEXT"},"keys":[]}"#;
    assert!(
        told(alone).iter().any(|line| line.starts_with("apiKeyAuth.nextPepper: a next pepper without one"))
    );
}

/// Ten thousand keys cost what ten cost: counted in comparisons of digests, which no clock can blur.
#[test]
fn more_keys_cost_no_more() {
    const ASKED: usize = 500;
    let key = |number: usize| format!("key-of-sixteen-or-more-{number}");
    let comparisons = |count: usize, known: bool| {
        let list: Vec<String> = (0..count).map(|number| entry(plain(&key(number)), "")).collect();
        let keys = keys(&format!(r#"{{"keys":[{}]}}"#, list.join(",")));
        COMPARISONS.with(|count| count.set(0));
        for number in 0..ASKED {
            let number = if known { number % count } else { number + count };
            assert_eq!(check(&keys, key(number).as_bytes(), 0).is_ok(), known);
        }
        COMPARISONS.with(Cell::get)
    };
    for count in [10, 10_000] {
        let (hits, misses) = (comparisons(count, true), comparisons(count, false));
        assert!(
            (ASKED..ASKED * 2).contains(&hits),
            "{count} keys: {hits} comparisons for {ASKED} known ones"
        );
        assert!(misses < ASKED, "{count} keys: {misses} comparisons for {ASKED} unknown ones");
    }
}

#[test]
fn rotation_is_normal() {
    let list = [entry(plain(KEY), ""), entry(plain("the-next-key-of-a"), "")].join(",");
    let keys = keys(&format!(r#"{{"keys":[{list}]}}"#));
    let first = check(&keys, KEY.as_bytes(), 0).unwrap();
    let next = check(&keys, b"the-next-key-of-a", 0).unwrap();
    assert_eq!(first.client(), next.client());
    assert_ne!(first.fingerprint(), next.fingerprint());
}

#[test]
fn what_a_person_is_told() {
    let one = entry(plain(KEY), "");
    let list = |entries: &str| format!(r#"{{"keys":[{entries}]}}"#);
    let with = |more: &str| format!(r#"{{{more},"keys":[{one}]}}"#);
    let of = |more: &str| list(&entry(plain(KEY), more));
    let many = vec!["{}"; limits::API_KEYS + 1].join(",");
    for (section, expected) in [
        ("7".to_owned(), "apiKeyAuth: expected a map"),
        ("{}".to_owned(), "apiKeyAuth: `keys` is missing"),
        (list(""), "apiKeyAuth.keys: an empty list"),
        (list(&many), "apiKeyAuth.keys: 50001 keys, at most 50000 are possible"),
        (list("{}"), "apiKeyAuth.keys[0]: `client` is missing"),
        (list(r#"{"client":"a"}"#), "apiKeyAuth.keys[0]: `keyHash` is missing"),
        (list(&one.replace("\"a\"", "\"a b\"")), "apiKeyAuth.keys[0].client: `a b` is not a name"),
        (list(&one.replace("sha256:", "")), "apiKeyAuth.keys[0].keyHash: not a hash"),
        (list(&one.replace("sha256:", "sha512:")), "apiKeyAuth.keys[0].keyHash: not a hash"),
        (list(&one.replace("sha256:", "sha256: ")), "apiKeyAuth.keys[0].keyHash: not a hash"),
        (list(&format!("{one},{one}")), "apiKeyAuth.keys[1]: the same hash stands in a key of `a` above"),
        (list(&entry(keyed(KEY), "")), "apiKeyAuth.keys[0].keyHash: an `hmac-sha256:` hash without a pepper"),
        (
            with(r#""pepper":{"env":"PEPPER"}"#),
            "warning: apiKeyAuth.pepper: no key has an `hmac-sha256:` hash",
        ),
        (
            with(r#""pepper":{"env":"the pepper itself"}"#),
            "apiKeyAuth.pepper.env: not the name of a variable",
        ),
        (with(r#""pepper":"x""#), "apiKeyAuth.pepper: expected a map"),
        (of(r#","scopes":["a b"]"#), "apiKeyAuth.keys[0].scopes: `a b` is not a scope"),
        (of(r#","scopes":[]"#), "apiKeyAuth.keys[0].scopes: an empty list"),
        (of(r#","tier":"a b""#), "apiKeyAuth.keys[0].tier: `a b` is not a name"),
        (
            of(r#","expiresAt":"2026-01-01""#),
            "apiKeyAuth.keys[0].expiresAt: `2026-01-01` is not a point in time",
        ),
        (of(r#","notBefore":1767225600"#), "apiKeyAuth.keys[0].notBefore: expected a string"),
        (
            of(r#","notBefore":"2026-01-01T00:00:00Z","expiresAt":"2026-01-01T00:00:00Z""#),
            "apiKeyAuth.keys[0]: `expiresAt` is not after `notBefore`",
        ),
        (of(r#","key":"x""#), "apiKeyAuth.keys[0]: unknown field `key`"),
        (with(r#""extractFrom":{}"#), "apiKeyAuth.extractFrom: no place to find a key in"),
        (
            with(r#""extractFrom":{"headers":["cookie"]}"#),
            "apiKeyAuth.extractFrom.headers[0]: a cookie is read",
        ),
        (
            with(r#""extractFrom":{"headers":["X-Request-Id"]}"#),
            "apiKeyAuth.extractFrom.headers[0]: `x-request-id` is the proxy's",
        ),
        (
            with(r#""extractFrom":{"headers":["a b"]}"#),
            "apiKeyAuth.extractFrom.headers[0]: `a b` is no header name",
        ),
        (
            with(r#""extractFrom":{"headers":["x-k","x_k"]}"#),
            "apiKeyAuth.extractFrom.headers[1]: `x_k` stands twice",
        ),
        (
            with(r#""extractFrom":{"params":["key"]}"#),
            "warning: apiKeyAuth.extractFrom.params: a key in a URL",
        ),
        (
            with(r#""extractFrom":{"cookies":["key"]}"#),
            "warning: apiKeyAuth.extractFrom.cookies: a browser sends a cookie",
        ),
        (
            with(r#""extractFrom":{"params":["k y"]}"#),
            "apiKeyAuth.extractFrom.params: `k y` cannot be a name here",
        ),
        (
            with(r#""forwardClientIDHeader":"x-api-key""#),
            "apiKeyAuth.forwardClientIDHeader: `x-api-key` is a header that a credential",
        ),
        (
            with(r#""forwardClientIDHeader":"host""#),
            "apiKeyAuth.forwardClientIDHeader: `host` is the proxy's",
        ),
        (with(r#""forward":"yes""#), "apiKeyAuth.forward: expected `true` or `false`"),
    ] {
        let told = told(&section);
        assert!(told.iter().any(|line| line.starts_with(expected)), "{section:.300}: {told:?}");
    }
    assert_eq!(told(&of(r#","expiresAt":"1970-01-01T00:00:01Z""#)), [""; 0], "a key long past needs no word");
    assert_eq!(told(&with(r#""extractFrom":{"headers":["Authorization"]}"#)), [""; 0]);
}

#[test]
fn a_literal_key_is_not_repeated() {
    for key in [KEY, "hunter2", "sha256:hunter2-hunter2", "pck_short"] {
        let told = told(&format!(r#"{{"keys":[{{"client":"a","keyHash":"{key}"}}]}}"#));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("not a hash") && !told[0].contains("hunter2") && !told[0].contains("pck_"),
            "{told:?}"
        );
    }
}

#[test]
fn keys_and_tokens_stand_apart() {
    let jwks = Json::Text(set(&[jwk(Family::P256, "")]));
    let jwt = format!(
        r#"{{"providers":[{{"name":"p","issuer":"i","audiences":["a"],"maxLifetime":"1h","localJWKS":{{"inline":{jwks}}},
            "extractFrom":{{"headers":[{{"name":"x-token"}}],"cookies":["c"],"params":["t"]}},
            "claimToHeaders":[{{"claim":"azp","header":"x-client"}}]}}]}}"#
    );
    let one = entry(plain(KEY), "");
    for (members, expected) in [
        (r#""extractFrom":{"headers":["x_token"]}"#, Some("`x_token` is read for tokens too")),
        (r#""extractFrom":{"headers":["x-k"],"cookies":["c"]}"#, Some("`c` is read for tokens too")),
        (r#""extractFrom":{"headers":["x-k"],"params":["t"]}"#, Some("`t` is read for tokens too")),
        (r#""extractFrom":{"headers":["x-client"]}"#, Some("`x-client` is a header of `claimToHeaders`")),
        (
            r#""forwardClientIDHeader":"x-token""#,
            Some("`x-token` is a header that a credential is read from"),
        ),
        // One header for the client, whoever vouches for it.
        (r#""forwardClientIDHeader":"x-client""#, None),
    ] {
        let (providers, told) = read_beside(&jwt, &format!(r#"{{{members},"keys":[{one}]}}"#));
        let found = told.iter().find(|line| !line.starts_with("warning"));
        assert_eq!(found.is_some(), expected.is_some(), "{members}: {told:?}");
        assert!(found.is_none_or(|line| line.contains(expected.unwrap())), "{members}: {told:?}");
        assert!(providers.identity_headers().iter().any(|name| **name == *"x-client"));
        assert!(providers.identity_headers().iter().all(|name| http::is_field_name(name)));
    }
}
