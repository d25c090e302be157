//! Which requests share a bucket?

use core::net::IpAddr;

use super::{head, rules, token};
use crate::guards::identity::attempt::Attempt;
use crate::guards::identity::caller::{ApiKey, Caller};
use crate::guards::rate_limit::{Facts, Scope, key};
use crate::http::Head;
use crate::testing::test;

/// Keys that must differ, and keys that must not, whatever the hash.
#[test]
fn whose_bucket_it_is() {
    let of = |by: &str, address: Option<&str>, route: &str, head: &Head, caller: &Caller| {
        let rule = rules(&format!(r#"{{"name":"r","by":{by},"limit":{{"requests":1,"unit":"Day"}}}}"#));
        let facts = Facts {
            client_address: address.map(|text| text.parse::<IpAddr>().unwrap()),
            route,
            head,
            caller,
            attempt: Attempt::default(),
        };
        key::bucket(&[9; 16], &rule.local[0].plan.scope, &rule.local[0].by, &facts)
    };
    let (plain, nobody) = (head(&[]), Caller::Anonymous);
    let ip = |address| of(r#"["clientIP"]"#, address, "r", &plain, &nobody);
    for (a, b, same) in [
        (Some("10.0.0.1"), Some("10.0.0.1"), true),
        (Some("10.0.0.1"), Some("10.0.0.2"), false),
        (Some("10.0.0.1"), Some("::ffff:10.0.0.1"), true),
        (Some("2001:db8::1"), Some("2001:db8::ffff:ffff:ffff:ffff"), true),
        (Some("2001:db8::1"), Some("2001:db8:0:1::1"), false),
        (Some("0.0.0.0"), None, false),
        (Some("::"), None, false),
        (Some("::"), Some("0.0.0.0"), false),
        (None, None, true),
    ] {
        assert_eq!(ip(a) == ip(b), same, "{a:?} {b:?}");
    }
    let net = |address| {
        let by = r#"[{"clientIP":{"ipv4PrefixLength":24,"ipv6PrefixLength":48}}]"#;
        of(by, Some(address), "r", &plain, &nobody)
    };
    for (a, b, same) in [
        ("10.0.0.1", "10.0.0.255", true),
        ("10.0.0.1", "10.0.1.1", false),
        ("10.0.0.1", "::ffff:10.0.0.9", true),
        ("2001:db8:1:2::1", "2001:db8:1:ffff::1", true),
        ("2001:db8:1::1", "2001:db8:2::1", false),
    ] {
        assert_eq!(net(a) == net(b), same, "{a} {b}");
    }
    let all = r#"[{"clientIP":{"ipv6PrefixLength":128}}]"#;
    let whole = |address| of(all, Some(address), "r", &plain, &nobody);
    assert_ne!(whole("2001:db8::1"), whole("2001:db8::2"));
    let who = |by, claims: &str| of(by, None, "r", &plain, &token(claims));
    let (subject, client, claim) = (r#"["subject"]"#, r#"["client"]"#, r#"[{"claim":"o.d"}]"#);
    for (by, a, b, same) in [
        (subject, r#"{"iss":"i","sub":"1","x":1}"#, r#"{"iss":"i","sub":"1","x":2}"#, true),
        (subject, r#"{"iss":"i","sub":"1"}"#, r#"{"iss":"j","sub":"1"}"#, false),
        (subject, r#"{"iss":"i","sub":"12"}"#, r#"{"iss":"i1","sub":"2"}"#, false),
        (subject, r#"{"iss":"i","sub":""}"#, r#"{"iss":"i"}"#, false),
        (client, r#"{"iss":"i","azp":"c"}"#, r#"{"iss":"i","client_id":"c"}"#, true),
        (client, r#"{"iss":"i","azp":"c"}"#, r#"{"iss":"j","azp":"c"}"#, false),
        (claim, r#"{"o":{"d":"x"}}"#, r#"{"o":{"d":"x","e":1}}"#, true),
        (claim, r#"{"o":{"d":"x"}}"#, r#"{"o":{"d":["x"]}}"#, false),
        (claim, r#"{"o":{"d":["a","b"]}}"#, r#"{"o":{"d":["ab"]}}"#, false),
        (claim, r#"{"o":{"d":[["a"],"b"]}}"#, r#"{"o":{"d":[["a","b"]]}}"#, false),
        (claim, r#"{"o":{"d":1}}"#, r#"{"o":{"d":"1"}}"#, false),
        (claim, r#"{"o":{"d":{"a":1}}}"#, r#"{"o":{"d":{"b":1}}}"#, false),
        (claim, r#"{"o":{"d":true}}"#, r#"{"o":{"d":false}}"#, false),
        (claim, r#"{"o":{"d":0.5}}"#, r#"{"o":{"d":0.25}}"#, false),
        (claim, r#"{"o":{"d":null}}"#, "{}", true),
        (claim, r#"{"iss":"i","o":{"d":"x"}}"#, r#"{"iss":"j","o":{"d":"x"}}"#, false),
    ] {
        assert_eq!(who(by, a) == who(by, b), same, "{a} {b}");
    }
    let one = r#"["token"]"#;
    for (a, b, same) in [
        (r#"{"iss":"i","jti":"1","sub":"a"}"#, r#"{"iss":"i","jti":"1","sub":"b"}"#, true),
        (r#"{"iss":"i","jti":"1"}"#, r#"{"iss":"j","jti":"1"}"#, false),
        (r#"{"iss":"i","jti":"1"}"#, r#"{"iss":"i","jti":"2"}"#, false),
        (r#"{"iss":"i","jti":7,"exp":1}"#, r#"{"iss":"i","jti":7,"exp":2}"#, false),
        (r#"{"iss":"i","sub":"a","exp":1}"#, r#"{"iss":"i","sub":"a","exp":1}"#, true),
        (r#"{"iss":"i","sub":"a","exp":1}"#, r#"{"iss":"i","sub":"a","exp":2}"#, false),
    ] {
        assert_eq!(who(one, a) == who(one, b), same, "{a} {b}");
    }
    let key = |client| of(one, None, "r", &plain, &Caller::ApiKey(ApiKey::of(client, &[])));
    assert!(key("a") == key("a") && key("a") != key("b") && key("a") != who(one, r#"{"jti":"a"}"#));
    assert_ne!(of(subject, None, "r", &plain, &nobody), who(subject, r#"{"sub":"1"}"#));
    let sent = |by, fields: &[(&str, &[u8])]| of(by, None, "r", &head(fields), &nobody);
    let (x, long) = (r#"[{"header":"X-Key"}]"#, vec![b'k'; 60 << 10]);
    for (a, b, same) in [
        (&[("x-key", &b"1"[..])][..], &[("x-key", &b"1"[..]), ("y", b"2")][..], true),
        (&[("x-key", b"1")], &[("x-key", b"2")], false),
        (&[("x-key", b"1"), ("x-key", b"2")], &[("x-key", b"1")], false),
        (&[("x-key", b"1"), ("x-key", b"2")], &[("x-key", b"12")], false),
        (&[("x-key", b"1"), ("x-key", b"2")], &[("x-key", b"2"), ("x-key", b"1")], false),
        (&[("x-key", b"")], &[], false),
        (&[("x-key", b"\xff\x00")], &[("x-key", b"\xff")], false),
        (&[("x-key", &long)], &[("x-key", &long)], true),
        (&[("x-key", &long)], &[("x-key", &long[1..])], false),
        (&[], &[("x", b"1")], true),
    ] {
        assert_eq!(sent(x, a) == sent(x, b), same, "{} {}", a.len(), b.len());
    }
    let (method, post) = (r#"["method"]"#, head(&[(":method", b"POST")]));
    assert_ne!(of(method, None, "r", &plain, &nobody), of(method, None, "r", &post, &nobody));
    let route = r#"["route"]"#;
    assert_ne!(of(route, None, "r", &plain, &nobody), of(route, None, "s", &plain, &nobody));
    assert_eq!(of(subject, None, "r", &plain, &nobody), of(subject, None, "s", &plain, &nobody));
}

#[test]
fn rules_of_one_name_in_two_places_are_two() {
    let scopes = [
        ("a", None, "r"),
        ("a", Some(""), "r"),
        ("a", Some("b"), "r"),
        ("ab", Some(""), "r"),
        ("a", Some("br"), ""),
        ("a", Some("b"), "s"),
    ];
    let tiers = [None, Some(""), Some("r")];
    let texts = scopes
        .iter()
        .flat_map(|&(policy, route, rule)| tiers.map(|tier| Scope { policy, route }.of(rule, tier)));
    // A rule of another kind has buckets of its own, whatever its name.
    let kinds = scopes.iter().flat_map(|&(policy, route, rule)| {
        let scope = Scope { policy, route };
        [scope.concurrency(rule), scope.failures(rule, false), scope.failures(rule, true)]
    });
    let fallbacks = ["a", "ab"].map(|policy| Scope { policy, route: None }.fallback([1, 2, 3, 4]));
    let texts: Vec<_> = texts.chain(kinds).chain(fallbacks).collect();
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(texts.iter().position(|other| other == text), Some(at));
    }
}

/// Routes that ask a service the same share what holds while it is away.
#[test]
fn a_fallback_is_the_policys_and_not_the_routes() {
    let of = |route, numbers| Scope { policy: "p", route }.fallback(numbers);
    assert_eq!(of(None, [1, 2, 3, 4]), of(Some("r"), [1, 2, 3, 4]));
    assert_eq!(of(Some(""), [1, 2, 3, 4]), of(Some("r"), [1, 2, 3, 4]));
    assert_ne!(of(None, [1, 2, 3, 4]), of(None, [1, 2, 3, 5]));
}
