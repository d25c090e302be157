//! Quotas, tiers, costs, and what is told and settled afterwards.

use super::{World, head, rules, token, written};
use crate::decision::Advice;
use crate::guards::identity::caller::{ApiKey, Caller};
use crate::guards::rate_limit::{Permit, Rules};
use crate::testing::test;
use crate::time::Timestamp;

/// 2026-11-24 03:10:00 UTC.
const NOW: u64 = super::NOW;

#[test]
fn a_quota_begins_anew_at_midnight() {
    let (world, rules) =
        (World::new(), rules(r#"{"name":"q","limit":{"requests":5,"unit":"Day","window":"Aligned"}}"#));
    let midnight = 86_400 - NOW % 86_400;
    for (second, passed) in
        [(0, 5), (midnight - 1, 0), (midnight, 5), (midnight + 86_399, 0), (midnight + 86_400, 5)]
    {
        assert_eq!(world.passed(&rules, second, 20), passed, "at {second}");
    }
    let Advice::Limited(limited) = world.ask(&rules, midnight + 86_400).unwrap_err().advice else { panic!() };
    assert_eq!((limited.quota, limited.window, limited.reset), (5, 86_400, 86_400));
}

#[test]
fn each_tier_has_its_own_rate_and_its_own_buckets() {
    let tier = r#"{"tier":"gold","limit":{"requests":3,"unit":"Hour"}},{"tier":"lead","limit":{"requests":9,"unit":"Hour"},"burst":1}"#;
    let rule = |claim: &str| {
        format!(
            r#"{{"name":"r","limit":{{"requests":2,"unit":"Hour"}},"tiers":{{{claim}"limits":[{tier}]}}}}"#
        )
    };
    let passed = |rules: &Rules, world: &World, caller: &Caller| {
        (0..20).filter(|_| world.sent(rules, caller, &world.head, 0).is_ok()).count()
    };
    let (world, rule) = (World::new(), (rules(&rule("")), rules(&rule(r#""claim":"org.plan","#))));
    for (claims, passes) in [
        (r#"{"tier":"gold"}"#, 3),
        (r#"{"tier":"lead"}"#, 1),
        (r#"{"tier":"Gold"}"#, 2),
        // These share the bucket of callers without a tier.
        (r#"{"tier":["gold"]}"#, 0),
        ("{}", 0),
    ] {
        assert_eq!(passed(&rule.0, &world, &token(claims)), passes, "{claims}");
    }
    let world = World::new();
    assert_eq!(passed(&rule.1, &world, &token(r#"{"org":{"plan":"gold"},"tier":"lead"}"#)), 3);
    assert_eq!(passed(&rule.1, &world, &Caller::ApiKey(ApiKey::of("c", &[]))), 2);
}

#[test]
fn a_request_costs_what_its_method_costs() {
    let rules = rules(
        r#"{"name":"r","limit":{"requests":10,"unit":"Day"},"cost":{"request":2,"methods":[{"methods":["POST","PUT"],"cost":5}]}}"#,
    );
    for (method, passed) in [("GET", 5), ("POST", 2), ("PUT", 2), ("post", 5)] {
        let (world, head) = (World::new(), head(&[(":method", method.as_bytes())]));
        let passes = (0..20).filter(|_| world.sent(&rules, &Caller::Anonymous, &head, 0).is_ok()).count();
        assert_eq!(passes, passed, "{method}");
    }
}

#[test]
fn what_remains_is_told() {
    let list = r#"{"name":"a","limit":{"requests":4,"unit":"Minute"}},
        {"name":"b","limit":{"requests":9,"unit":"Hour","window":"Aligned"},"cost":2},
        {"name":"c","limit":{"requests":9,"unit":"Hour"},"mode":"Shadow"}"#;
    let (world, rules) =
        (World::new(), written(&format!(r#"{{"headers":"Always","local":{{"rules":[{list}]}}}}"#)).unwrap());
    let told = |second| {
        let standings = world.ask(&rules, second).unwrap().standings;
        standings.iter().map(|s| (s.rule.to_string(), s.quota, s.remaining, s.reset)).collect::<Vec<_>>()
    };
    let hour = 3600 - NOW % 3600;
    assert_eq!(told(0), [("a".into(), 4, 3, 15), ("b".into(), 9, 7, hour)]);
    assert_eq!(told(0), [("a".into(), 4, 2, 30), ("b".into(), 9, 5, hour)]);
    // Unless it is asked for, nothing is.
    let quiet = self::rules(list);
    assert_eq!(world.ask(&quiet, 60).unwrap().standings, []);
}

/// What the response says, and how many requests pass after it.
#[test]
fn what_a_response_says_is_settled() {
    for (said, left) in [
        (Some("2"), 8),
        (Some("1"), 9),
        (Some("0"), 10),
        (Some("10"), 0),
        (Some("7"), 3),
        (None, 8),
        (Some("-5"), 8),
        (Some("all"), 8),
        (Some(""), 8),
    ] {
        let cost = r#""cost":{"request":2,"responseHeader":"x-cost"}"#;
        let (world, paid) = (
            World::new(),
            rules(&format!(r#"{{"name":"r","limit":{{"requests":10,"unit":"Day"}},{cost}}}"#)),
        );
        let single = rules(r#"{"name":"r","limit":{"requests":10,"unit":"Day"}}"#);
        let dues = world.ask(&paid, 0).unwrap().dues;
        let [due] = dues.as_slice() else { panic!("{dues:?}") };
        assert_eq!(&**due.header(), "x-cost");
        let now = Timestamp::from_seconds(NOW + 1);
        due.settle(said.map(str::as_bytes), now, &world.data, &world.table).unwrap();
        assert_eq!(world.passed(&single, 1, 20), left, "{said:?}");
    }
}

#[test]
fn a_bucket_can_owe_its_burst_and_no_more() {
    let paid =
        rules(r#"{"name":"r","limit":{"requests":10,"unit":"Minute"},"cost":{"responseHeader":"x-cost"}}"#);
    for (said, seconds) in [("15", 36), ("20", 66), ("999999999999", 66)] {
        let world = World::new();
        let dues = world.ask(&paid, 0).unwrap().dues;
        dues[0]
            .settle(Some(said.as_bytes()), Timestamp::from_seconds(NOW), &world.data, &world.table)
            .unwrap();
        assert_eq!(world.passed(&paid, seconds - 1, 1), 0, "{said}");
        assert_eq!(world.passed(&paid, seconds, 1), 1, "{said}");
    }
    // Of a quota, nothing is left.
    let world = World::new();
    let quota = rules(
        r#"{"name":"r","limit":{"requests":10,"unit":"Minute","window":"Aligned"},"cost":{"responseHeader":"x-cost"}}"#,
    );
    let dues = world.ask(&quota, 0).unwrap().dues;
    dues[0].settle(Some(b"25"), Timestamp::from_seconds(NOW), &world.data, &world.table).unwrap();
    assert_eq!((world.passed(&quota, 59 - NOW % 60, 1), world.passed(&quota, 60 - NOW % 60, 20)), (0, 10));
}

/// The cost is settled at the time of the response: what has come in since the request is not given back once more, and what is missing is
/// taken from what is there by then.
#[test]
fn what_a_response_says_is_settled_at_its_own_time() {
    let rule =
        |cost: &str| rules(&format!(r#"{{"name":"r","limit":{{"requests":10,"unit":"Minute"}}{cost}}}"#));
    let single = rule("");
    let passed = |cost: &str, others, said: &[u8], second| {
        let (world, paid) = (World::new(), rule(cost));
        let dues = world.ask(&paid, 0).unwrap().dues;
        assert_eq!(world.passed(&single, 0, others), others);
        dues[0].settle(Some(said), Timestamp::from_seconds(NOW + second), &world.data, &world.table).unwrap();
        world.passed(&single, second, 20)
    };
    // A minute later the bucket is full again, and nine of ten are missing.
    assert_eq!(passed(r#","cost":{"responseHeader":"x-cost"}"#, 0, b"10", 60), 1);
    // Of five that were too much, three have come back by themselves; the sixth was another's.
    assert_eq!(passed(r#","cost":{"request":5,"responseHeader":"x-cost"}"#, 1, b"0", 20), 8);
}

/// A request that passes in Shadow has paid nothing, so nothing is settled; but the header with the cost is no more the client's business than
/// otherwise.
#[test]
fn a_request_that_passes_in_shadow_owes_nothing_and_tells_nothing() {
    let list = r#"{"name":"s","limit":{"requests":1,"unit":"Day"},"cost":{"responseHeader":"x-cost"},"mode":"Shadow"}"#;
    let (world, shadow) = (World::new(), rules(list));
    assert_eq!(world.ask(&shadow, 0).unwrap().dues.len(), 1);
    let over = world.ask(&shadow, 0).unwrap();
    assert!(over.shadowed().is_some());
    for permit in [over, Permit::unpaid(&shadow)] {
        let [due] = permit.dues.as_slice() else { panic!("{permit:?}") };
        assert_eq!(&**due.header(), "x-cost");
        let before = world.data.state();
        for said in [&b"0"[..], b"50"] {
            due.settle(Some(said), Timestamp::from_seconds(NOW), &world.data, &world.table).unwrap();
        }
        assert_eq!(world.data.state(), before);
    }
    assert!(Permit::unpaid(&rules(r#"{"name":"r","limit":{"requests":1,"unit":"Day"}}"#)).dues.is_empty());
}
