//! What may be written, and what is said of what may not?

use core::num::NonZeroU64;

use super::{rules, written};
use crate::guards::rate_limit::RATE_LIMIT;
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
        let rule = &rules.rules[0];
        let interval = NonZeroU64::new(rule.rate.interval()).unwrap();
        assert_eq!((rule.by.len(), rule.rate.drain() / interval), (by, burst));
    }
    assert_eq!(RATE_LIMIT.name, "rateLimit");
}

/// What is written, where the problem is, and what it says.
#[test]
fn policies_that_do_not() {
    let limit =
        |requests: &str| format!(r#"{{"name":"r","limit":{{"requests":{requests},"unit":"Second"}}}}"#);
    let with = |more: &str| format!(r#"{{"name":"r","limit":{{"requests":5,"unit":"Hour"}},{more}}}"#);
    let at = |place: &str, says: &str| format!("local.rules[0]{place}: {says}");
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
        (with(r#""cost":1"#), at(".cost", "not built yet")),
        (with(r#""tiers":{}"#), at(".tiers", "not built yet")),
        (with(r#""mode":"shadow""#), at(".mode", "unknown value `shadow`")),
        (with(r#""by":[]"#), at(".by", "an empty list")),
        (with(r#""by":["ip"]"#), at(".by[0]", "unknown value `ip`")),
        (with(r#""by":["token"]"#), at(".by[0]", "not built yet")),
        (with(r#""by":["route","route"]"#), at(".by[1]", "this part stands twice")),
        (with(r#""by":[{"header":"X"},{"header":"x"}]"#), at(".by[1]", "this part stands twice")),
        (with(r#""by":[{"header":"a b"}]"#), at(".by[0].header", "`a b` cannot be a header's name")),
        (with(r#""by":[{"header":":path"}]"#), at(".by[0].header", "`:path` cannot be a header's name")),
        (with(r#""by":[{"header":"a","claim":"b"}]"#), at(".by[0]", "expected one of `header` and `claim`")),
        (with(r#""by":[{}]"#), at(".by[0]", "expected one of `header` and `claim`")),
        (format!("{},{}", limit("1"), limit("2")), "local.rules[1]: two rules are named `r`".into()),
        (vec![limit("1"); 17].join(","), "local.rules: 17 rules, at most 16".into()),
    ] {
        let found = written(&format!(r#"{{"local":{{"rules":[{rule}]}}}}"#)).unwrap_err();
        assert!(found.lines().any(|line| line.starts_with(&problem)), "{rule}: {found}");
    }
    for (text, problem) in [
        ("{}", "there is no limit in it"),
        (r#"{"global":{}}"#, "global: `service` is missing"),
        (r#"{"local":{}}"#, "local: `rules` is missing"),
        (r#"{"local":{"rules":[]}}"#, "local.rules: an empty list"),
        ("7", "expected a map"),
    ] {
        let found = written(text).unwrap_err();
        assert!(found.starts_with(problem), "{text}: {found}");
    }
}
