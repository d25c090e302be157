//! What may be written, and what is said of what may not?

use core::num::NonZeroU64;

use super::{rules, written};
use crate::decision::Telling;
use crate::guards::rate_limit::RATE_LIMIT;
use crate::guards::rate_limit::meter::Meter;
use crate::limits;
use crate::testing::test;

#[test]
fn policies_that_hold() {
    for (rule, by, burst) in [
        (r#"{"name":"r","limit":{"requests":5,"unit":"Minute"}}"#, 0, 5),
        (r#"{"name":"r","limit":{"requests":5.0,"unit":"Day"},"burst":9,"mode":"Shadow"}"#, 0, 9),
        (
            r#"{"name":"a.B-9_","by":["clientIP","subject","client","route","method",{"header":"A"},{"claim":"b"}],"limit":{"requests":1,"unit":"Second"}}"#,
            7,
            1,
        ),
        (r#"{"name":"r","limit":{"requests":1000000,"unit":"Second"}}"#, 0, 1_000_000),
        (r#"{"name":"r","limit":{"requests":86400000000,"unit":"Day"},"burst":1}"#, 0, 1),
    ] {
        let rules = rules(rule);
        let rule = &rules.local[0];
        let Meter::Bucket(rate) = rule.plan.meter else { panic!("{rule:?}") };
        let (interval, drain) = (NonZeroU64::new(rate.interval()).unwrap(), rate.drain());
        assert_eq!((rule.by.len(), drain / interval), (by, burst));
    }
    assert_eq!(RATE_LIMIT.name, "rateLimit");
}

fn with(more: &str) -> String {
    format!(r#"{{"name":"r","limit":{{"requests":5,"unit":"Hour"}},{more}}}"#)
}

fn at(place: &str, says: &str) -> String {
    format!("local.rules[0]{place}: {says}")
}

fn assert_problem(rule: &str, problem: &str) {
    let found = written(&format!(r#"{{"local":{{"rules":[{rule}]}}}}"#)).unwrap_err();
    assert!(found.lines().any(|line| line.starts_with(problem)), "{rule}: {found}");
}

/// What is written, where the problem is, and what it says.
#[test]
fn policies_that_do_not() {
    let limit =
        |requests: &str| format!(r#"{{"name":"r","limit":{{"requests":{requests},"unit":"Second"}}}}"#);
    let whole = "expected a whole number from 1 to 1000000";
    for (rule, problem) in [
        (limit("0"), at(".limit.requests", whole)),
        (limit("-1"), at(".limit.requests", whole)),
        (limit("0.5"), at(".limit.requests", whole)),
        (limit("1000001"), at(".limit.requests", whole)),
        (limit("1e300"), at(".limit.requests", whole)),
        (limit("99999999999999999999"), at(".limit.requests", whole)),
        (limit("\"5\""), at(".limit.requests", "expected a whole number")),
        (
            r#"{"name":"r","limit":{"requests":1,"unit":"Month"}}"#.into(),
            at(".limit.unit", "unknown value `Month`"),
        ),
        (r#"{"name":"r","limit":{"requests":1}}"#.into(), at(".limit", "`unit` is missing")),
        (r#"{"name":"r"}"#.into(), at("", "`limit` is missing")),
        (r#"{"limit":{"requests":1,"unit":"Day"}}"#.into(), at("", "`name` is missing")),
        (
            r#"{"name":"a b","limit":{"requests":1,"unit":"Day"}}"#.into(),
            at(".name", "`a b` cannot be a rule's name"),
        ),
        (with(r#""burst":0"#), at(".burst", "expected a whole number from 1")),
        (with(r#""burst":1.5"#), at(".burst", "expected a whole number from 1")),
        (with(r#""burst":3721"#), at("", "at this rate, the burst takes more than 31 days")),
        (with(r#""burst":9000000000000000000"#), at("", "at this rate, the burst takes more than 31 days")),
        (with(r#""brust":1"#), at("", "unknown field `brust`")),
        (with(r#""mode":"shadow""#), at(".mode", "unknown value `shadow`")),
        (with(r#""by":[]"#), at(".by", "an empty list")),
        (with(r#""by":["ip"]"#), at(".by[0]", "unknown value `ip`")),
        (with(r#""by":["clientIP",{"clientIP":{}}]"#), at(".by[1]", "this part stands twice")),
        (
            with(r#""by":[{"clientIP":{"ipv4PrefixLength":33}}]"#),
            at(".by[0].clientIP.ipv4PrefixLength", "expected a whole number from 8 to 32"),
        ),
        (
            with(r#""by":[{"clientIP":{"ipv6PrefixLength":0}}]"#),
            at(".by[0].clientIP.ipv6PrefixLength", "expected a whole number from 16 to 128"),
        ),
        (with(r#""by":["route","route"]"#), at(".by[1]", "this part stands twice")),
        (with(r#""by":[{"header":"X"},{"header":"x"}]"#), at(".by[1]", "this part stands twice")),
        (with(r#""by":[{"header":"a b"}]"#), at(".by[0].header", "`a b` is not a header name")),
        (with(r#""by":[{"header":":path"}]"#), at(".by[0].header", "`:path` is not a header name")),
        (
            with(r#""by":[{"header":"a","claim":"b"}]"#),
            at(".by[0]", "expected one of `header`, `claim` and `clientIP`"),
        ),
        (with(r#""by":[{}]"#), at(".by[0]", "expected one of `header`, `claim` and `clientIP`")),
        (format!("{},{}", limit("1"), limit("2")), "local.rules[1]: two rules are named `r`".into()),
        (vec![limit("1"); 17].join(","), "local.rules: 17 rules, at most 16".into()),
    ] {
        assert_problem(&rule, &problem);
    }
    for (text, problem) in [
        ("{}", "there is no limit in it"),
        (r#"{"global":{}}"#, "global: `service` is missing"),
        (r#"{"local":{}}"#, "local: `rules` is missing"),
        (r#"{"local":{"rules":[]}}"#, "local.rules: an empty list"),
        ("7", "expected a map"),
        (
            r#"{"local":{"rules":[{"name":"r","limit":{"requests":1,"unit":"Day"}}]},"headers":"Some"}"#,
            "headers: unknown value `Some`",
        ),
        (
            r#"{"local":{"rules":[{"name":"r","limit":{"requests":1,"unit":"Day"}}]},"legacyHeaders":"yes"}"#,
            "legacyHeaders: expected `true` or `false`",
        ),
    ] {
        let found = written(text).unwrap_err();
        assert!(found.starts_with(problem), "{text}: {found}");
    }
}

#[test]
fn costs_tiers_and_windows_that_do_not() {
    for (rule, problem) in [
        (with(r#""cost":0"#), at(".cost", "expected a whole number from 1 to 1000000")),
        (with(r#""cost":-1"#), at(".cost", "expected a whole number from 1 to 1000000")),
        (with(r#""cost":1.5"#), at(".cost", "expected a whole number from 1 to 1000000")),
        (with(r#""cost":"1""#), at(".cost", "expected a whole number")),
        (with(r#""cost":6"#), at("", "a request can cost 6, and a bucket holds 5")),
        (with(r#""cost":3,"burst":2"#), at("", "a request can cost 3, and a bucket holds 2")),
        (with(r#""cost":{"requests":1}"#), at(".cost", "unknown field `requests`")),
        (
            with(r#""cost":{"responseHeader":":status"}"#),
            at(".cost.responseHeader", "`:status` is not a header name"),
        ),
        (
            with(r#""cost":{"methods":[{"methods":["post"],"cost":1}]}"#),
            at(".cost.methods[0]", "`post` is not a method"),
        ),
        (
            with(r#""cost":{"methods":[{"methods":["POST"],"cost":1},{"methods":["POST"],"cost":2}]}"#),
            at(".cost.methods[1]", "`POST` has a cost already"),
        ),
        (with(r#""cost":{"methods":[{"methods":["POST"],"cost":9}]}"#), at("", "a request can cost 9")),
        (with(r#""cost":{"methods":[{"methods":["POST"]}]}"#), at(".cost.methods[0]", "`cost` is missing")),
        (with(r#""tiers":{}"#), at(".tiers", "`limits` is missing")),
        (with(r#""tiers":{"limits":[]}"#), at(".tiers.limits", "an empty list")),
        (with(r#""tiers":{"limits":[{"tier":"a"}]}"#), at(".tiers.limits[0]", "`limit` is missing")),
        (
            with(r#""tiers":{"limits":[{"tier":"a","limit":{"requests":0,"unit":"Day"}}]}"#),
            at(".tiers.limits[0].limit.requests", "expected a whole number from 1"),
        ),
        (
            with(
                r#""tiers":{"limits":[{"tier":"a","limit":{"requests":1,"unit":"Day"}},{"tier":"a","limit":{"requests":2,"unit":"Day"}}]}"#,
            ),
            at(".tiers.limits[1]", "the tier `a` stands twice"),
        ),
        (
            with(r#""cost":2,"tiers":{"limits":[{"tier":"a","limit":{"requests":1,"unit":"Day"}}]}"#),
            at("", "a request can cost 2, and a bucket holds 1"),
        ),
        (
            r#"{"name":"r","limit":{"requests":5,"unit":"Day","window":"Aligned"},"burst":5}"#.into(),
            at(".burst", "an `Aligned` window has no burst"),
        ),
        (
            r#"{"name":"r","limit":{"requests":5,"unit":"Day","window":"Fixed"}}"#.into(),
            at(".limit.window", "unknown value `Fixed`"),
        ),
    ] {
        assert_problem(&rule, &problem);
    }
}

/// What the gateway asks a policy before it looks at the client's address, the table or the service.
#[test]
fn what_there_is_to_look_at() {
    let local = |count: usize, by: &str| {
        let rule =
            |number| format!(r#"{{"name":"{number}","by":["{by}"],"limit":{{"requests":1,"unit":"Day"}}}}"#);
        format!(r#""local":{{"rules":[{}]}}"#, (0..count).map(rule).collect::<Vec<_>>().join(","))
    };
    let at_once =
        |by: &str| format!(r#""concurrency":{{"rules":[{{"name":"c","by":["{by}"],"requests":1}}]}}"#);
    let global = |by: &str| {
        let rules = format!(r#"[{{"name":"g","by":["{by}"]}}]"#);
        format!(r#""global":{{"service":{{"cluster":"rls"}},"domain":"d","rules":{rules}}}"#)
    };
    let failures =
        r#""failures":{"rules":[{"name":"f","by":["clientIP"],"limit":{"requests":1,"unit":"Day"}}]}"#
            .to_owned();
    // Local rules, requests under way, failures, a service; and whether the address must be known.
    for (written, found) in [
        (local(1, "route"), (1, false, false, false, false)),
        (local(2, "clientIP"), (2, false, false, false, true)),
        (local(limits::RATE_RULES, "route"), (limits::RATE_RULES, false, false, false, false)),
        (at_once("route"), (0, true, false, false, false)),
        (at_once("clientIP"), (0, true, false, false, true)),
        (failures.clone(), (0, false, true, false, true)),
        (global("route"), (0, false, false, true, false)),
        (global("clientIP"), (0, false, false, true, true)),
        ([local(1, "route"), at_once("route"), global("route")].join(","), (1, true, false, true, false)),
        ([local(1, "route"), failures, global("route")].join(","), (1, false, true, true, true)),
    ] {
        let rules = super::written(&format!("{{{written}}}")).unwrap();
        let kinds = (rules.limits_concurrency(), rules.watches_failures(), rules.global().is_some());
        let all = (rules.len(), kinds.0, kinds.1, kinds.2, rules.needs_address());
        assert_eq!(all, found, "{written}");
        assert_eq!(rules.is_empty(), found.0 == 0, "{written}");
    }
}

#[test]
fn what_callers_are_told() {
    for (more, standard, always, legacy) in [
        ("", true, false, false),
        (r#","headers":"Refused""#, true, false, false),
        (r#","headers":"Always""#, true, true, false),
        (r#","headers":"Off""#, false, false, false),
        (r#","headers":"Off","legacyHeaders":true"#, false, false, true),
    ] {
        let rules = r#"{"local":{"rules":[{"name":"r","limit":{"requests":1,"unit":"Day"}}]}"#;
        let telling = written(&format!("{rules}{more}}}")).unwrap().telling();
        assert_eq!(telling, Telling { standard, always, legacy }, "{more}");
    }
}

/// As many as there may be, and one more.
#[test]
fn as_many_as_there_may_be() {
    let header = |number| format!(r#"{{"header":"x-{number}"}}"#);
    let tier = |number| format!(r#"{{"tier":"{number}","limit":{{"requests":1,"unit":"Day"}}}}"#);
    let list = |count, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<Vec<_>>().join(",");
    let by = |count| with(&format!(r#""by":[{}]"#, list(count, &header)));
    let tiers = |count| with(&format!(r#""tiers":{{"limits":[{}]}}"#, list(count, &tier)));
    assert_eq!(rules(&by(limits::RATE_KEY_PARTS)).local[0].by.len(), limits::RATE_KEY_PARTS);
    assert_problem(&by(limits::RATE_KEY_PARTS + 1), &at(".by", "10 parts, at most 9 are possible"));
    assert!(rules(&tiers(limits::RATE_TIERS)).local[0].tiers.is_some());
    assert_problem(&tiers(limits::RATE_TIERS + 1), &at(".tiers.limits", "33 tiers, at most 32 are possible"));
}
