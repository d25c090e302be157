//! Rows: who is slowed down by whose failures, for how long, and what a policy may say of it.

use core::net::IpAddr;

use super::super::tests::{Counts, World, head, written};
use super::{Watch, counts};
use crate::decision::{Advice, Reason, Refusal};
use crate::guards::identity::Caller;
use crate::guards::identity::attempt::{Attempt, Gate as _};
use crate::guards::rate_limit::{Facts, Rules};
use crate::testing::test;
use crate::time::Timestamp;

const NOW: u64 = 1_795_489_800;

fn rules(more: &str) -> Rules {
    let rule = format!(r#"{{"name":"f",{more}}}"#);
    written(&format!(r#"{{"failures":{{"rules":[{rule}]}}}}"#)).unwrap()
}

/// One attempt from an address that ends in a failure, unless the gate is closed.
fn fails(
    world: &World,
    rules: &Rules,
    address: &str,
    attempt: Attempt<'_>,
    second: u64,
) -> Result<(), Refusal> {
    let head = head(&[]);
    let address = address.parse::<IpAddr>().unwrap();
    let facts = Facts {
        client_address: Some(address),
        route: "r",
        head: &head,
        caller: &Caller::Anonymous,
        attempt: Attempt::default(),
    };
    let now = Timestamp::from_seconds(NOW + second);
    let watch = Watch::new(rules, facts, now, &world.data, &world.table);
    watch.open(attempt)?;
    watch.failed(Reason::SignatureInvalid);
    Ok(())
}

fn by(subject: &str) -> Attempt<'_> {
    Attempt { subject: Some(subject), api_key: None }
}

fn key(key: &str) -> Attempt<'_> {
    Attempt { subject: None, api_key: Some(key.as_bytes()) }
}

fn tries(world: &World, rules: &Rules, address: &str, attempt: Attempt<'_>, second: u64) -> usize {
    (0..50).filter(|_| fails(world, rules, address, attempt, second).is_ok()).count()
}

#[test]
fn a_client_that_fails_too_often_is_stopped_and_let_in_again() {
    let (world, rules) =
        (World::new(), rules(r#""by":["clientIP"],"limit":{"requests":6,"unit":"Minute"},"burst":3"#));
    assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), 0), 3);
    let refusal = fails(&world, &rules, "10.0.0.1", by("b"), 0).unwrap_err();
    assert_eq!((refusal.reason, refusal.advice), (Reason::TooManyFailures, Advice::RetryAfter(10)));
    assert_eq!(tries(&world, &rules, "10.0.0.2", by("a"), 0), 3, "another client");
    // The slow lane: one attempt in ten seconds.
    for (second, attempts) in [(9, 0), (10, 1), (11, 0), (30, 2), (600, 3)] {
        assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), second), attempts, "at {second}");
    }
}

#[test]
fn a_penalty_ends_by_itself() {
    let rules = rules(r#""by":["clientIP"],"limit":{"requests":6,"unit":"Minute"},"burst":3,"penalty":"5m""#);
    let world = World::new();
    assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), 0), 3);
    let refusal = fails(&world, &rules, "10.0.0.1", by("a"), 0).unwrap_err();
    assert_eq!(refusal.advice, Advice::RetryAfter(310));
    for (second, attempts) in [(299, 0), (309, 0), (310, 1), (311, 0)] {
        assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), second), attempts, "at {second}");
    }
    assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), 3000), 3, "all is forgotten");
}

/// Nobody can lock another one's account from elsewhere.
#[test]
fn an_account_is_locked_only_where_it_was_attacked_from() {
    let (world, rules) =
        (World::new(), rules(r#""by":["clientIP","claimedSubject"],"limit":{"requests":2,"unit":"Hour"}"#));
    assert_eq!(tries(&world, &rules, "10.6.6.6", by("victim"), 0), 2);
    assert_eq!(tries(&world, &rules, "10.0.0.1", by("victim"), 0), 2);
    assert_eq!(tries(&world, &rules, "10.6.6.6", by("other"), 0), 2);
    assert_eq!(tries(&world, &rules, "10.6.6.6", Attempt::default(), 0), 2);
}

#[test]
fn api_keys_are_told_apart_by_their_beginning() {
    let (world, rules) =
        (World::new(), rules(r#""by":["clientIP","apiKeyPrefix"],"limit":{"requests":2,"unit":"Hour"}"#));
    for (attempt, passed) in
        [("pck_abcd1", 2), ("pck_abcd2", 0), ("pck_abce1", 2), ("pck", 2), ("pck", 0), ("", 2)]
    {
        assert_eq!(tries(&world, &rules, "10.0.0.1", key(attempt), 0), passed, "{attempt}");
    }
}

#[test]
fn who_tries_many_names_is_told_from_who_tries_one_often() {
    let rules = rules(r#""by":["clientIP"],"count":"DistinctSubjects","limit":{"requests":3,"unit":"Hour"}"#);
    let world = World::new();
    assert_eq!(tries(&world, &rules, "10.0.0.1", by("a"), 0), 50, "one name");
    for (name, open) in [("b", true), ("a", true), ("c", true), ("a", false), ("d", false)] {
        assert_eq!(fails(&world, &rules, "10.0.0.1", by(name), 0).is_ok(), open, "{name}");
    }
    assert_eq!(fails(&world, &rules, "10.0.0.2", by("d"), 0), Ok(()));
}

#[test]
fn shadow_counts_and_lets_pass() {
    let rules = rules(r#""by":["clientIP"],"limit":{"requests":1,"unit":"Hour"},"mode":"Shadow""#);
    let (world, head) = (World::new(), head(&[]));
    let facts = Facts {
        client_address: None,
        route: "r",
        head: &head,
        caller: &Caller::Anonymous,
        attempt: Attempt::default(),
    };
    for expected in [None, Some("f")] {
        let watch = Watch::new(&rules, facts, Timestamp::from_seconds(NOW), &world.data, &world.table);
        watch.open(by("a")).unwrap();
        watch.failed(Reason::ApiKeyInvalid);
        assert_eq!(watch.shadowed().as_deref(), expected);
    }
}

#[test]
fn only_what_guessing_brings_about_counts() {
    for (reason, counted) in [
        (Reason::SignatureInvalid, true),
        (Reason::ApiKeyInvalid, true),
        (Reason::TokenMalformed, true),
        (Reason::TokenExpired, false),
        (Reason::AudienceMismatch, false),
        (Reason::CredentialMissing, false),
        (Reason::KeysUnavailable, false),
        (Reason::HostFailed, false),
        (Reason::TooManyFailures, false),
        (Reason::AccessDenied, false),
    ] {
        assert_eq!(counts(reason), counted, "{reason:?}");
    }
}

#[test]
fn policies_that_do_not_hold() {
    let limit = r#""limit":{"requests":1,"unit":"Hour"}"#;
    for (rule, problem) in [
        (format!(r#""by":["clientIP"],{limit},"penalty":"2d""#), ".penalty: expected 1s to 1d"),
        (format!(r#""by":["clientIP"],{limit},"count":"Some""#), ".count: unknown value `Some`"),
        (format!(r#""by":["claimedSubject"],{limit}"#), ".by: the client's network is not among them"),
        (format!(r#""by":["clientIP","subject"],{limit}"#), ".by[1]: unknown value `subject`"),
        (format!(r#""by":["clientIP",{{"claim":"a"}}],{limit}"#), ".by: who fails has no claims"),
        (limit.to_owned(), ": `by` is missing"),
        (
            r#""by":["clientIP"],"limit":{"requests":1,"unit":"Hour","window":"Aligned"}"#.to_owned(),
            ": failures are counted by a bucket",
        ),
    ] {
        let found = written(&format!(r#"{{"failures":{{"rules":[{{"name":"f",{rule}}}]}}}}"#)).unwrap_err();
        let problem = format!("failures.rules[0]{problem}");
        assert!(found.lines().any(|line| line.starts_with(&problem)), "{rule}: {found}");
    }
}

/// A penalty begins once, with the failure that empties the bucket, and is told where it holds somebody up: not in Shadow, and not
/// where the rate alone holds.
#[test]
fn which_failure_begins_a_penalty() {
    let told = || vec![("f".into(), 300_000_000_000)];
    for (more, penalties, third) in [
        (r#","penalty":"5m""#, 1, told()),
        (r#","penalty":"5m","mode":"Shadow""#, 1, vec![]),
        ("", 0, vec![]),
        (r#","mode":"Shadow""#, 0, vec![]),
    ] {
        let rules = rules(&format!(r#""by":["clientIP"],"limit":{{"requests":3,"unit":"Hour"}}{more}"#));
        let (world, head) = (World::new(), head(&[]));
        let facts = Facts {
            client_address: None,
            route: "r",
            head: &head,
            caller: &Caller::Anonymous,
            attempt: Attempt::default(),
        };
        let failed = || {
            let watch = Watch::new(&rules, facts, Timestamp::from_seconds(NOW), &world.data, &world.table);
            assert!(watch.watches(), "or nobody asks it");
            watch.failed(Reason::SignatureInvalid)
        };
        assert_eq!([failed(), failed(), failed(), failed()], [vec![], vec![], third, vec![]], "{more}");
        let counts = Counts::default();
        world.table.measure(&counts);
        assert_eq!(counts.of("portcullis_penalties_total"), penalties, "{more}");
    }
}
