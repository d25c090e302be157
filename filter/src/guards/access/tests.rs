//! Rows for who may, and for what a user may write.

use std::rc::Rc;

use super::config::{self, Authorization};
use super::{Granted, check};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::{ApiKey, Caller, Token};
use crate::json::{Bounds, Duplicates, Json};
use crate::problem::Problems;
use crate::testing::test;

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 12, values: 256, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).expect(text)
}

fn providers() -> Vec<Rc<str>> {
    vec!["corp".into(), "partner".into()]
}

fn read(text: &str) -> (Option<Authorization>, Vec<String>) {
    let (json, problems) = (json(text), Problems::new());
    let rules = config::read(&Field::root(&json, &problems), &providers());
    (rules, problems.into_vec().iter().map(ToString::to_string).collect())
}

/// Rules of which each is `{name, action, principal}`, named a, b, c.
fn rules(default: &str, list: &[(&str, &str)]) -> Authorization {
    let rule = |(index, (action, principal)): (usize, &(&str, &str))| {
        let name = char::from(b'a' + u8::try_from(index).unwrap());
        let (action, mode) = action.split_once(' ').unwrap_or((action, "Enforce"));
        format!(r#"{{"name":"{name}","action":"{action}","mode":"{mode}","principal":{principal}}}"#)
    };
    let list: Vec<String> = list.iter().enumerate().map(rule).collect();
    let (rules, problems) = read(&format!(r#"{{"defaultAction":"{default}","rules":[{}]}}"#, list.join(",")));
    assert_eq!(problems, [""; 0]);
    rules.unwrap()
}

fn caller(claims: &str) -> Caller {
    if claims.is_empty() {
        return Caller::Anonymous;
    }
    Caller::Token(Rc::new(Token::new("corp".into(), None, json(claims))))
}

/// The outcome in words, such as `ok a`, `ok -` or `scope_insufficient: x y`, and the rules in Shadow that matched.
fn outcome(rules: &Authorization, claims: &str, ip: &str) -> (String, Vec<String>) {
    let mut shadowed = Vec::new();
    let words = words_of(check(rules, &caller(claims), ip.parse().ok(), &mut shadowed));
    (words, shadowed.iter().map(ToString::to_string).collect())
}

fn words_of(result: Result<Granted, Refusal>) -> String {
    match result {
        Ok(granted) => format!("ok {}", granted.rule().map_or("-", |rule| &**rule)),
        Err(refusal) => match (&refusal.advice, refusal.reason) {
            (Advice::Scope(scopes), reason) => format!("{}: {scopes}", reason.code()),
            (_, reason) => format!("{}: {}", reason.code(), refusal.detail),
        },
    }
}

#[test]
fn who_may() {
    let roles = r#"{"jwt":{"claims":[{"name":"org.roles","valueType":"StringArray","values":["x","y"]}]}}"#;
    let dept = r#"{"jwt":{"claims":[{"name":"dept","values":["eu","us"]}]}}"#;
    let two = r#"{"jwt":{"claims":[{"name":"dept","values":["eu"]},{"name":"team","values":["a"]}]}}"#;
    let nobody = "access_denied: no rule allows the caller";
    for (list, claims, ip, words) in [
        // scopes: all of them
        (&[("Allow", r#"{"scopes":["r","w"]}"#)][..], r#"{"scope":"r w x"}"#, "", "ok a"),
        (&[("Allow", r#"{"scopes":["r","w"]}"#)], r#"{"scope":"r"}"#, "", "scope_insufficient: r w"),
        (&[("Allow", r#"{"scopes":["r"]}"#)], r#"{"scope":"read"}"#, "", "scope_insufficient: r"),
        (&[("Allow", r#"{"scopes":["r"]}"#)], r#"{"scp":["r"]}"#, "", "ok a"),
        (
            &[("Allow", r#"{"scopes":["r"],"jwt":{"scopes":["r","w"]}}"#)],
            r#"{"scope":"r"}"#,
            "",
            "scope_insufficient: r w",
        ),
        (&[("Allow", r#"{"jwt":{"scopes":["r"]}}"#)], r#"{"scope":"r"}"#, "", "ok a"),
        (&[("Allow", r#"{"scopes":["r"]}"#)], "", "", nobody),
        // the nearest rule says what it takes; the first of two as near
        (
            &[("Allow", r#"{"scopes":["r","w"]}"#), ("Allow", r#"{"scopes":["r","z"]}"#)],
            r#"{"scope":"z"}"#,
            "",
            "scope_insufficient: r z",
        ),
        (
            &[("Allow", r#"{"scopes":["p"]}"#), ("Allow", r#"{"scopes":["q"]}"#)],
            "{}",
            "",
            "scope_insufficient: p",
        ),
        // not near: something else is missing too
        (&[("Allow", r#"{"scopes":["r"],"clients":["c"]}"#)], "{}", "", nobody),
        // claims: each entry, any value
        (&[("Allow", dept)], r#"{"dept":"us"}"#, "", "ok a"),
        (&[("Allow", dept)], r#"{"dept":"uk"}"#, "", nobody),
        (&[("Allow", dept)], r#"{"dept":["us"]}"#, "", nobody),
        (&[("Allow", dept)], "{}", "", nobody),
        (&[("Allow", two)], r#"{"dept":"eu","team":"a"}"#, "", "ok a"),
        (&[("Allow", two)], r#"{"dept":"eu","team":"b"}"#, "", nobody),
        (&[("Allow", roles)], r#"{"org":{"roles":["z","y"]}}"#, "", "ok a"),
        (&[("Allow", roles)], r#"{"org":{"roles":["z"]}}"#, "", nobody),
        (&[("Allow", roles)], r#"{"org":{"roles":"x"}}"#, "", nobody),
        (&[("Allow", roles)], r#"{"org":{"roles":[]}}"#, "", nobody),
        // provider, clients
        (&[("Allow", r#"{"jwt":{"provider":"corp"}}"#)], "{}", "", "ok a"),
        (&[("Allow", r#"{"jwt":{"provider":"partner"}}"#)], "{}", "", nobody),
        (&[("Allow", r#"{"clients":["c"]}"#)], r#"{"client_id":"c"}"#, "", "ok a"),
        (&[("Allow", r#"{"clients":["c"]}"#)], r#"{"azp":"c"}"#, "", "ok a"),
        (&[("Allow", r#"{"clients":["c"]}"#)], r#"{"client_id":"d"}"#, "", nobody),
        (&[("Allow", r#"{"clients":["c"]}"#)], "", "", nobody),
        // addresses
        (&[("Allow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#)], "", "10.1.2.3", "ok a"),
        (&[("Allow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#)], "", "::ffff:10.1.2.3", "ok a"),
        (&[("Allow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#)], "", "11.1.2.3", nobody),
        (&[("Allow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#)], "", "", nobody),
        (
            &[("Deny", r#"{"clientCIDRs":["10.0.0.0/8"]}"#)],
            "",
            "",
            "host_failed: no client address for rule `a`",
        ),
        (
            &[("Deny", r#"{"clientCIDRs":["10.0.0.0/8"],"clients":["c"]}"#)],
            r#"{"client_id":"d"}"#,
            "",
            nobody,
        ),
        // the first that matches decides
        (
            &[("Deny", dept), ("Allow", r#"{"scopes":["r"]}"#)],
            r#"{"dept":"eu","scope":"r"}"#,
            "",
            "access_denied: rule `a`",
        ),
        (&[("Allow", r#"{"scopes":["r"]}"#), ("Deny", dept)], r#"{"dept":"eu","scope":"r"}"#, "", "ok a"),
        (
            &[("Allow", r#"{"scopes":["r"]}"#), ("Deny", dept)],
            r#"{"dept":"eu"}"#,
            "",
            "access_denied: rule `b`",
        ),
        // a claim of another type cannot be checked: it denies, and never allows
        (
            &[("Deny", dept), ("Allow", r#"{"scopes":["r"]}"#)],
            r#"{"dept":["eu"],"scope":"r"}"#,
            "",
            "access_denied: rule `a`",
        ),
        (
            &[("Deny", roles), ("Allow", r#"{"scopes":["r"]}"#)],
            r#"{"org":{"roles":["z",1]},"scope":"r"}"#,
            "",
            "access_denied: rule `a`",
        ),
        (&[("Deny", dept), ("Allow", r#"{"scopes":["r"]}"#)], r#"{"scope":"r"}"#, "", "ok b"),
    ] {
        assert_eq!(outcome(&rules("Deny", list), claims, ip).0, words, "{list:?} {claims} {ip}");
    }
}

/// What an Allow rule and a Deny rule with this one claim make of a token: `yes` admits by the one and is refused by the other, `no` the
/// other way round, and what cannot be told (`?`) is refused by both.
fn claim_rule(claim: &str, claims: &str) -> &'static str {
    let principal = format!(r#"{{"jwt":{{"claims":[{claim}]}}}}"#);
    let allowed = outcome(&rules("Deny", &[("Allow", &principal)]), claims, "").0 == "ok a";
    let denied = outcome(&rules("Allow", &[("Deny", &principal)]), claims, "").0 == "access_denied: rule `a`";
    match (allowed, denied) {
        (true, true) => "yes",
        (false, false) => "no",
        (false, true) => "?",
        (true, false) => "allowed and not denied",
    }
}

/// Rows of a claim of the name `n`, unless it has one of its own.
fn claim_rows(claim: &str, rows: &[(&str, &str)]) {
    let name = if claim.contains("name") { "" } else { r#""name":"n","# };
    for (claims, expected) in rows {
        assert_eq!(claim_rule(&format!("{{{name}{claim}}}"), claims), *expected, "{claim} {claims:.60}");
    }
}

#[test]
fn texts_of_claims() {
    for (claim, rows) in [
        (
            r#""values":["a","b"]"#,
            &[
                (r#"{"n":"a"}"#, "yes"),
                (r#"{"n":"c"}"#, "no"),
                (r#"{"n":""}"#, "no"),
                (r#"{"n":7}"#, "?"),
                (r#"{"n":["a"]}"#, "?"),
                (r#"{"n":true}"#, "?"),
                (r#"{"n":null}"#, "no"),
                ("{}", "no"),
            ][..],
        ),
        (
            r#""values":["a","b"],"invert":true"#,
            &[
                (r#"{"n":"a"}"#, "no"),
                (r#"{"n":"c"}"#, "yes"),
                (r#"{"n":""}"#, "yes"),
                (r#"{"n":7}"#, "?"),
                (r#"{"n":["c"]}"#, "?"),
                (r#"{"n":null}"#, "?"),
                ("{}", "?"),
            ],
        ),
    ] {
        claim_rows(claim, rows);
    }
}

#[test]
fn lists_of_claims() {
    let many = format!(r#"{{"n":[{}"b","a"]}}"#, r#""x","#.repeat(200));
    for (claim, rows) in [
        (
            r#""valueType":"StringArray","values":["a","b"]"#,
            &[
                (r#"{"n":["c","b"]}"#, "yes"),
                (r#"{"n":["b",1]}"#, "yes"),
                (r#"{"n":["c",1]}"#, "?"),
                (r#"{"n":["c",["a"]]}"#, "?"),
                (r#"{"n":["c"]}"#, "no"),
                (r#"{"n":[]}"#, "no"),
                (r#"{"n":"a"}"#, "?"),
                (r#"{"n":{"a":true}}"#, "?"),
                (&many, "yes"),
            ][..],
        ),
        (
            r#""valueType":"StringArray","values":["a","b"],"match":"All""#,
            &[
                (r#"{"n":["b","a"]}"#, "yes"),
                (r#"{"n":["b","c","a"]}"#, "yes"),
                (r#"{"n":["b","a",1]}"#, "yes"),
                (r#"{"n":["a","a"]}"#, "no"),
                (r#"{"n":["a"]}"#, "no"),
                (r#"{"n":["a",1]}"#, "?"),
                (r#"{"n":[1]}"#, "?"),
                (r#"{"n":[]}"#, "no"),
                (r#"{"n":"a b"}"#, "?"),
                (&many, "yes"),
                ("{}", "no"),
            ],
        ),
        (
            r#""valueType":"StringArray","values":["a","b"],"match":"All","invert":true"#,
            &[
                (r#"{"n":["b","c","a"]}"#, "no"),
                (r#"{"n":["a"]}"#, "yes"),
                (r#"{"n":[]}"#, "yes"),
                (r#"{"n":["b","a",1]}"#, "?"),
                (r#"{"n":["a",null]}"#, "?"),
                ("{}", "?"),
            ],
        ),
        (
            r#""valueType":"StringArray","values":["a"],"invert":true"#,
            &[
                (r#"{"n":["b"]}"#, "yes"),
                (r#"{"n":["b","a"]}"#, "no"),
                (r#"{"n":["a",1]}"#, "?"),
                (r#"{"n":"b"}"#, "?"),
            ],
        ),
    ] {
        claim_rows(claim, rows);
    }
}

#[test]
fn booleans_and_what_stands_in_a_claims_way() {
    for (claim, rows) in [
        (
            r#""valueType":"Boolean","values":[true]"#,
            &[
                (r#"{"n":true}"#, "yes"),
                (r#"{"n":false}"#, "no"),
                (r#"{"n":"true"}"#, "?"),
                (r#"{"n":1}"#, "?"),
                (r#"{"n":[true]}"#, "?"),
                (r#"{"n":null}"#, "no"),
                ("{}", "no"),
            ][..],
        ),
        (
            r#""valueType":"Boolean","values":[false],"invert":true"#,
            &[(r#"{"n":true}"#, "yes"), (r#"{"n":false}"#, "no"), (r#"{"n":0}"#, "?"), ("{}", "?")],
        ),
        (
            r#""name":"o.n","values":["a"]"#,
            &[
                (r#"{"o":{"n":"a"}}"#, "yes"),
                (r#"{"o":{"n":"b"}}"#, "no"),
                (r#"{"o":{}}"#, "no"),
                (r#"{"o":null}"#, "no"),
                ("{}", "no"),
                (r#"{"o":"a"}"#, "?"),
                (r#"{"o":["a"]}"#, "?"),
                (r#"{"o":[{"n":"a"}]}"#, "?"),
                (r#"{"o":7}"#, "?"),
                (r#"{"o":"x","o.n":"a"}"#, "yes"),
            ],
        ),
        (
            r#""name":"o.n","values":["a"],"invert":true"#,
            &[
                (r#"{"o":{"n":"b"}}"#, "yes"),
                (r#"{"o":{}}"#, "?"),
                (r#"{"o":"x"}"#, "?"),
                (r#"{"o":null}"#, "?"),
            ],
        ),
    ] {
        claim_rows(claim, rows);
    }
}

#[test]
fn numbers_are_compared_exactly() {
    for (values, claim, expected) in [
        ("[1]", "1", "yes"),
        ("[1]", "1.0", "yes"),
        ("[1]", "1e0", "yes"),
        ("[1.0]", "1", "yes"),
        ("[1]", "1.5", "no"),
        ("[1]", "2", "no"),
        ("[0]", "-0.0", "yes"),
        ("[0]", "-0", "yes"),
        ("[-3,1.5]", "1.5", "yes"),
        ("[-3,1.5]", "-3", "yes"),
        ("[0.1]", "0.10", "yes"),
        ("[1]", r#""1""#, "?"),
        ("[1]", "true", "?"),
        ("[1]", "[1]", "?"),
        ("[1]", "null", "no"),
        // 2^53 + 1 is no double.
        ("[9007199254740993]", "9007199254740993", "yes"),
        ("[9007199254740993]", "9007199254740992", "no"),
        ("[9007199254740993]", "9007199254740993.0", "?"),
        ("[9007199254740992]", "9007199254740992.0", "?"),
        ("[9007199254740991]", "9007199254740991.0", "yes"),
        ("[9223372036854775807]", "9223372036854775807", "yes"),
        ("[9223372036854775807]", "9223372036854775806", "no"),
        ("[9223372036854775807]", "9223372036854775808", "?"),
        ("[1]", "18446744073709551616", "?"),
        ("[1]", "1e300", "?"),
        ("[-9223372036854775808]", "-9223372036854775808", "yes"),
        ("[-9223372036854775808]", "-9223372036854775809", "?"),
    ] {
        let rule = |invert: bool| {
            format!(r#"{{"name":"n","valueType":"Number","values":{values},"invert":{invert}}}"#)
        };
        let claims = format!(r#"{{"n":{claim}}}"#);
        assert_eq!(claim_rule(&rule(false), &claims), expected, "{values} {claim}");
        let inverted = match expected {
            "yes" => "no",
            "no" if claim != "null" => "yes",
            _ => "?",
        };
        assert_eq!(claim_rule(&rule(true), &claims), inverted, "inverted: {values} {claim}");
    }
}

#[test]
fn a_client_that_is_named_twice() {
    let deny = [("Deny", r#"{"clients":["c","d"]}"#)];
    let allow = [("Allow", r#"{"clients":["c","d"]}"#)];
    for (claims, expected) in [
        (r#"{"client_id":"c","azp":"c"}"#, "yes"),
        (r#"{"client_id":"c","azp":"d"}"#, "yes"),
        (r#"{"client_id":"x","azp":"y"}"#, "no"),
        (r#"{"client_id":"c","azp":"x"}"#, "?"),
        (r#"{"client_id":"x","azp":"c"}"#, "?"),
        (r#"{"client_id":"c","azp":7}"#, "?"),
        (r#"{"client_id":7,"azp":"c"}"#, "?"),
        (r#"{"client_id":null,"azp":"c"}"#, "yes"),
        (r#"{"client_id":"x","azp":null}"#, "no"),
        (r#"{"client_id":null,"azp":null}"#, "no"),
    ] {
        let allowed = outcome(&rules("Deny", &allow), claims, "").0 == "ok a";
        let denied = outcome(&rules("Allow", &deny), claims, "").0 == "access_denied: rule `a`";
        assert_eq!((allowed, denied), (expected == "yes", expected != "no"), "{claims}");
    }
}

#[test]
fn without_a_rule_that_matches() {
    let deny = [("Deny", r#"{"clients":["c"]}"#)];
    assert_eq!(outcome(&rules("Allow", &deny), "{}", "").0, "ok -");
    assert_eq!(outcome(&rules("Allow", &deny), r#"{"azp":"c"}"#, "").0, "access_denied: rule `a`");
    // What cannot be read may be what the rule denies.
    for claims in
        [r#"{"client_id":7}"#, r#"{"client_id":["c"]}"#, r#"{"client_id":null,"azp":"c"}"#, r#"{"azp":{}}"#]
    {
        assert_eq!(outcome(&rules("Allow", &deny), claims, "").0, "access_denied: rule `a`", "{claims}");
    }
    assert_eq!(outcome(&rules("Allow", &deny), r#"{"client_id":null}"#, "").0, "ok -");
    let deny = [("Deny", r#"{"scopes":["r"]}"#)];
    for claims in [
        r#"{"scope":"r"}"#,
        r#"{"scope":{"r":true}}"#,
        r#"{"scope":7}"#,
        r#"{"scp":["w",{"r":1}]}"#,
        r#"{"scope":"w","scp":true}"#,
    ] {
        assert_eq!(outcome(&rules("Allow", &deny), claims, "").0, "access_denied: rule `a`", "{claims}");
    }
    assert_eq!(outcome(&rules("Allow", &deny), r#"{"scope":"w","scp":null}"#, "").0, "ok -");
    assert_eq!(outcome(&Authorization::default(), "", "").0, "ok -");
    assert_eq!(outcome(&read(r#"{"defaultAction":"Allow"}"#).0.unwrap(), "", "").0, "ok -");
}

#[test]
fn shadow_rules_are_told_and_change_nothing() {
    let reader = ("Allow", r#"{"scopes":["r"]}"#);
    for (list, claims, words, shadowed) in [
        (
            vec![("Deny Shadow", r#"{"clients":["c"]}"#), reader],
            r#"{"azp":"c","scope":"r"}"#,
            "ok b",
            vec!["a"],
        ),
        (vec![("Deny Shadow", r#"{"clients":["d"]}"#), reader], r#"{"azp":"c","scope":"r"}"#, "ok b", vec![]),
        (
            vec![("Allow Shadow", r#"{"clients":["c"]}"#)],
            r#"{"azp":"c"}"#,
            "access_denied: no rule allows the caller",
            vec!["a"],
        ),
        (
            vec![("Allow Shadow", r#"{"scopes":["r"]}"#)],
            "{}",
            "access_denied: no rule allows the caller",
            vec![],
        ),
        (
            vec![("Deny Shadow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#), reader],
            r#"{"scope":"r"}"#,
            "ok b",
            vec!["a"],
        ),
        (
            vec![("Allow Shadow", r#"{"clients":["c"]}"#), reader],
            r#"{"azp":"c","scope":"r"}"#,
            "ok b",
            vec![],
        ),
        (vec![reader, ("Deny Shadow", r#"{"clients":["c"]}"#)], r#"{"azp":"c","scope":"r"}"#, "ok a", vec![]),
    ] {
        let (found, names) = outcome(&rules("Deny", &list), claims, "");
        assert_eq!(
            (found.as_str(), names),
            (words, shadowed.iter().map(ToString::to_string).collect()),
            "{list:?}"
        );
    }
}

#[test]
fn refusals_name_the_rule_for_the_audit() {
    let rules = rules("Deny", &[("Allow", r#"{"scopes":["r"]}"#)]);
    let refusal = check(&rules, &caller("{}"), None, &mut Vec::new()).unwrap_err();
    assert_eq!(refusal.reason, Reason::ScopeInsufficient);
    assert_eq!(refusal.detail, Detail::Named("rule", "a".into()));
}

#[test]
fn rules_that_no_caller_of_a_route_can_match() {
    let rules = rules(
        "Deny",
        &[
            ("Allow", r#"{"clientCIDRs":["10.0.0.0/8"]}"#),
            ("Allow", r#"{"scopes":["r"]}"#),
            ("Deny", r#"{"clients":["c"]}"#),
            ("Allow", r#"{"jwt":{"provider":"corp"}}"#),
        ],
    );
    let faults = |providers: &[&str], api_keys: bool| -> Vec<String> {
        let providers: Vec<Rc<str>> = providers.iter().map(|name| Rc::from(*name)).collect();
        let found = rules.unreachable(&providers, api_keys);
        found
            .iter()
            .map(|fault| format!("{} {}", fault.rule, fault.provider.as_deref().unwrap_or("-")))
            .collect()
    };
    assert_eq!(faults(&[], false), ["b -", "c -", "d -"]);
    assert_eq!(faults(&[], true), ["d -"]);
    assert_eq!(faults(&["partner"], false), ["d corp"]);
    assert_eq!(faults(&["partner"], true), ["d corp"]);
    assert_eq!(faults(&["corp", "partner"], true), [""; 0]);
}

#[test]
fn whom_the_rules_confine_to_networks() {
    let (near, anybody) = (r#"{"clientCIDRs":["10.0.0.0/8"]}"#, r#"{"scopes":["a"]}"#);
    for (default, list, confines) in [
        ("Deny", &[("Allow", near)][..], true),
        ("Deny", &[("Allow", near), ("Deny", anybody)], true),
        ("Deny", &[("Allow", near), ("Allow Shadow", anybody)], true),
        ("Deny", &[("Allow", near), ("Allow", anybody)], false),
        ("Deny", &[("Allow", anybody)], false),
        ("Allow", &[("Allow", near)], false),
        ("Allow", &[("Deny", anybody)], false),
    ] {
        assert_eq!(rules(default, list).confines(), confines, "{default} {list:?}");
    }
}

#[test]
fn what_an_api_key_may() {
    for (list, words) in [
        (&[("Allow", r#"{"scopes":["r"]}"#)][..], "ok a"),
        (&[("Allow", r#"{"scopes":["r","w","x"]}"#)], "scope_insufficient: r w x"),
        (&[("Allow", r#"{"clients":["b","partner"]}"#)], "ok a"),
        (&[("Allow", r#"{"clients":["b"]}"#)], "access_denied: no rule allows the caller"),
        (&[("Deny", r#"{"clients":["partner"]}"#)], "access_denied: rule `a`"),
        (&[("Allow", r#"{"scopes":["r"],"clients":["partner"]}"#)], "ok a"),
        // What speaks of a token does not speak of an API key.
        (&[("Allow", r#"{"jwt":{"scopes":["r"]}}"#)], "access_denied: no rule allows the caller"),
        (&[("Allow", r#"{"jwt":{"provider":"corp"}}"#)], "access_denied: no rule allows the caller"),
        (&[("Deny", r#"{"jwt":{"provider":"corp"}}"#), ("Allow", r#"{"scopes":["w"]}"#)], "ok b"),
    ] {
        let caller = Caller::ApiKey(ApiKey::of("partner", &["r", "w"]));
        assert_eq!(words_of(check(&rules("Deny", list), &caller, None, &mut Vec::new())), words, "{list:?}");
    }
}

#[test]
fn what_is_refused() {
    let rule =
        |principal: &str| format!(r#"{{"rules":[{{"name":"a","action":"Allow","principal":{principal}}}]}}"#);
    let claim = |members: &str| rule(&format!(r#"{{"jwt":{{"claims":[{{"name":"a",{members}}}]}}}}"#));
    for (text, problem) in [
        ("{}".to_owned(), "no rules, and `defaultAction` is `Deny`: nobody could pass · help: write `rules`, or `defaultAction: Allow` to admit whoever was authenticated"),
        (r#"{"defaultAction":"allow","rules":[]}"#.to_owned(), "defaultAction: unknown value `allow` · help: did you mean `Allow`?\nrules: an empty list · help: write at least one element or leave the key out"),
        (rule("{}"), "rules[0].principal: an empty principal · help: say whom the rule speaks of: `scopes`, `jwt`, `clients` or `clientCIDRs`; for everybody else use `defaultAction`"),
        (rule(r#"{"jwt":{}}"#), "rules[0].principal.jwt: nothing is asked of the token · help: write `provider`, `scopes` or `claims`"),
        (rule(r#"{"jwt":{"provider":"crop"}}"#), "rules[0].principal.jwt.provider: there is no provider `crop` · help: did you mean `corp`?"),
        (rule(r#"{"scopes":["a b"]}"#), "rules[0].principal.scopes: `a b` is not a scope · help: one scope an element, without blanks"),
        (rule(r#"{"scopes":[]}"#), "rules[0].principal.scopes: an empty list · help: write at least one element or leave the key out"),
        (rule(r#"{"clientCIDRs":["10.0.0.1","10.0.0.1/8","::/130"]}"#), "rules[0].principal.clientCIDRs[0]: `10.0.0.1` is not a network · help: for this address alone write `10.0.0.1/32`\nrules[0].principal.clientCIDRs[1]: `10.0.0.1/8` is not a network · help: bits beyond its length are set; did you mean `10.0.0.0/8`?\nrules[0].principal.clientCIDRs[2]: `::/130` is not a network · help: at most 32 bits for IPv4, 128 for IPv6"),
        (claim(r#""valueType":"Int","values":["b"]"#), "{}.valueType: unknown value `Int` · help: one of `String`, `StringArray`, `Number`, `Boolean`"),
        (claim(r#""valueType":"Integer","values":[1]"#), "{}.valueType: unknown value `Integer` · help: one of `String`, `StringArray`, `Number`, `Boolean`"),
        (claim(r#""values":[]"#), "{}.values: an empty list · help: write at least one element or leave the key out"),
        (claim(r#""values":["b","b"]"#), "{}.values[1]: `b` stands twice"),
        (claim(r#""values":["b",""]"#), "{}.values[1]: an empty string · help: write a value or leave the key out"),
        (claim(r#""values":[1]"#), "{}.values[0]: expected a string, found a number · help: for numbers write `valueType: Number`"),
        (claim(r#""values":[false,"b"]"#), "{}.values[0]: expected a string, found a boolean · help: for booleans write `valueType: Boolean`; a word like `no` or `off` in quotes"),
        (claim(r#""valueType":"Number","values":["1",2]"#), "{}.values[0]: expected a number, found a string · help: write it without quotes, or `valueType: String`"),
        (claim(r#""valueType":"Number","values":[1,1.0]"#), "{}.values[1]: the number stands twice"),
        (claim(r#""valueType":"Number","values":[9007199254740993.0]"#), "{}.values[0]: a number that is not exact · help: beyond 2^53: digits only, of at most 64 bits"),
        (claim(r#""valueType":"Number","values":[18446744073709551616]"#), "{}.values[0]: a number that is not exact · help: beyond 2^53: digits only, of at most 64 bits"),
        (claim(r#""valueType":"Number","values":7"#), "{}.values: expected a list, found a number"),
        (claim(r#""valueType":"Boolean","values":[true,false]"#), "{}.values: more than one boolean · help: write `[true]` or `[false]`: every boolean is one of the two"),
        (claim(r#""valueType":"Boolean","values":[null]"#), "{}.values[0]: expected `true` or `false`, found null"),
        (claim(r#""values":["b"],"match":"All""#), "{}.match: one claim cannot be several values · help: write `valueType: StringArray`, or leave `match` out"),
        (claim(r#""valueType":"StringArray","values":["b"],"match":"None""#), "{}.match: unknown value `None` · help: one of `Any`, `All`"),
        (claim(r#""values":["b"],"invert":"yes""#), "{}.invert: expected `true` or `false`, found a string"),
        (claim(r#""values":["b"],"inverted":true"#), "{}: unknown field `inverted` · help: did you mean `invert`?"),
        (r#"{"rules":[{"name":"a b","action":"Allow","principal":{"scopes":["r"]}}]}"#.to_owned(), "rules[0].name: `a b` is not a name · help: 1 to 64 letters, digits, `.`, `_` and `-`"),
        (r#"{"rules":[{"name":"a","action":"Allow","principal":{"scopes":["r"]}},{"name":"a","action":"Deny","principal":{"scopes":["r"]}}]}"#.to_owned(), "rules[1]: a second rule is named `a` · help: give each rule a name of its own"),
    ] {
        let (_, problems) = read(&text);
        let problem = problem.replace("{}", "rules[0].principal.jwt.claims[0]");
        assert_eq!(problems.join("\n"), problem, "{text}");
    }
}

/// The proxy is asked for the client's address only where a rule speaks of networks, in Shadow too.
#[test]
fn who_needs_the_clients_address() {
    let (inside, scope) = (r#"{"clientCIDRs":["10.0.0.0/8"]}"#, r#"{"scopes":["read"]}"#);
    for (list, needed) in [
        (vec![], false),
        (vec![("Allow", scope)], false),
        (vec![("Allow", scope), ("Deny", inside)], true),
        (vec![("Allow Shadow", inside)], true),
    ] {
        let rules = if list.is_empty() { Authorization::default() } else { rules("Deny", &list) };
        assert_eq!(rules.needs_address(), needed, "{list:?}");
    }
}
