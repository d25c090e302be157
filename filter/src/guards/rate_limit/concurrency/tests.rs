//! Rows: how many at once, over two workers, and what is left of those who are gone.

use super::super::tests::{Shared, Trouble, head, written};
use super::{Ledger, Seats, begin};
use crate::decision::{Reason, Refusal};
use crate::guards::identity::Caller;
use crate::guards::identity::attempt::Attempt;
use crate::guards::rate_limit::{Facts, Rules};
use crate::limits::{LEASE, LEASE_RENEWAL};
use crate::testing::test;
use crate::time::Timestamp;

const NOW: u64 = 1_795_489_800;

fn rules(list: &str) -> Rules {
    written(&format!(r#"{{"concurrency":{{"rules":[{list}]}}}}"#)).unwrap()
}

struct World {
    data: Shared,
    workers: [Ledger; 2],
}

impl World {
    fn new() -> Self {
        let data = Shared::default();
        let workers = [[1; 16], [2; 16]].map(|seed| Ledger::prepare(&data, seed).unwrap());
        Self { data, workers }
    }

    fn begin(&self, worker: usize, rules: &Rules, tenant: &str, second: u64) -> Result<Seats, Refusal> {
        let head = head(&[("x-tenant", tenant.as_bytes())]);
        let (caller, attempt) = (&Caller::Anonymous, Attempt::default());
        let facts = Facts { client_address: None, route: "r", head: &head, caller, attempt };
        begin(rules, &facts, at(second), &self.data, &self.workers[worker])
    }

    fn end(&self, worker: usize, seats: Seats, second: u64) {
        seats.end(&self.workers[worker], &self.data, at(second));
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(NOW + second)
}

fn reason(result: Result<Seats, Refusal>) -> Option<Reason> {
    result.err().map(|refusal| refusal.reason)
}

const TENANT: &str = r#"{"name":"tenant","by":[{"header":"x-tenant"}],"requests":2}"#;

#[test]
fn so_many_at_once_over_all_workers() {
    let (world, rules) = (World::new(), rules(TENANT));
    let first = world.begin(0, &rules, "a", 0).unwrap();
    let second = world.begin(1, &rules, "a", 0).unwrap();
    assert_eq!(reason(world.begin(0, &rules, "a", 0)), Some(Reason::ConcurrencyLimited));
    assert_eq!(reason(world.begin(1, &rules, "a", 0)), Some(Reason::ConcurrencyLimited));
    let other = world.begin(1, &rules, "b", 0).unwrap();
    world.end(0, first, 0);
    let third = world.begin(1, &rules, "a", 0).unwrap();
    assert_eq!(reason(world.begin(0, &rules, "a", 0)), Some(Reason::ConcurrencyLimited));
    for (worker, seats) in [(1, second), (1, other), (1, third)] {
        world.end(worker, seats, 0);
    }
    assert!(world.data.state().iter().filter(|slot| slot.len() != 16).all(Vec::is_empty), "nothing is left");
}

#[test]
fn when_one_rule_has_no_room_nothing_is_held() {
    let (world, both) = (World::new(), rules(&format!(r#"{TENANT},{{"name":"all","requests":3}}"#)));
    let seats: Vec<Seats> = ["a", "a", "b"].map(|tenant| world.begin(0, &both, tenant, 0).unwrap()).into();
    for _ in 0..5 {
        assert_eq!(reason(world.begin(1, &both, "b", 0)), Some(Reason::ConcurrencyLimited));
    }
    for seats in seats {
        world.end(0, seats, 0);
    }
    assert!(world.begin(1, &both, "b", 0).is_ok());
    assert!(world.begin(1, &both, "b", 0).is_ok());
}

#[test]
fn a_dead_worker_holds_nothing_for_ever_and_a_living_one_goes_on_to() {
    let (world, rules) = (World::new(), rules(TENANT));
    let (lease, renewal) = (u64::from(LEASE), u64::from(LEASE_RENEWAL));
    let _dead = world.begin(0, &rules, "a", 0).unwrap();
    let living = world.begin(1, &rules, "a", 0).unwrap();
    for second in (0..=lease).step_by(5) {
        world.workers[1].renew(&world.data, at(second));
    }
    assert_eq!(reason(world.begin(1, &rules, "a", lease - 1)), Some(Reason::ConcurrencyLimited));
    let after = world.begin(1, &rules, "a", lease).unwrap();
    assert_eq!(reason(world.begin(1, &rules, "a", lease)), Some(Reason::ConcurrencyLimited));
    world.workers[1].renew(&world.data, at(lease + renewal));
    assert_eq!(reason(world.begin(0, &rules, "a", 2 * lease)), Some(Reason::ConcurrencyLimited));
    world.end(1, living, 2 * lease);
    world.end(1, after, 2 * lease);
    assert!(world.begin(0, &rules, "a", 2 * lease).is_ok());
}

/// By a day, between two ticks: what is under way counts again with the next one, and is given back as ever.
#[test]
fn a_clock_that_is_set_forward_or_back_loses_nothing() {
    for (before, after) in [(0, 86_400), (86_400, 0)] {
        let (world, rules) = (World::new(), rules(TENANT));
        let seats = [0, 1].map(|worker| world.begin(worker, &rules, "a", before).unwrap());
        world.workers.iter().for_each(|worker| worker.renew(&world.data, at(after)));
        for worker in [0, 1] {
            assert_eq!(reason(world.begin(worker, &rules, "a", after)), Some(Reason::ConcurrencyLimited));
        }
        for (worker, seats) in seats.into_iter().enumerate() {
            world.end(worker, seats, after);
            assert!(world.begin(worker, &rules, "a", after).is_ok(), "{before} {after}");
        }
    }
}

#[test]
fn what_cannot_be_counted_is_refused_and_what_could_not_be_given_back_is_in_the_end() {
    let rules = rules(TENANT);
    for (trouble, expected) in [
        (Trouble::Loses, Reason::LimiterBusy),
        (Trouble::Reads, Reason::HostFailed),
        (Trouble::Writes, Reason::HostFailed),
    ] {
        let world = World::new();
        world.data.trouble.set(trouble);
        assert_eq!(reason(world.begin(0, &rules, "a", 0)), Some(expected), "{trouble:?}");
        world.data.trouble.set(Trouble::None);
        let seats = [0, 1].map(|_| world.begin(0, &rules, "a", 0).unwrap());
        world.data.trouble.set(trouble);
        for seats in seats {
            world.end(0, seats, 0);
        }
        world.data.trouble.set(Trouble::None);
        assert_eq!(reason(world.begin(1, &rules, "a", 1)), Some(Reason::ConcurrencyLimited), "{trouble:?}");
        assert!(world.begin(1, &rules, "a", u64::from(LEASE)).is_ok(), "{trouble:?}");
    }
}

#[test]
fn a_shadow_rule_counts_and_lets_pass() {
    let rules = rules(r#"{"name":"s","requests":1,"mode":"Shadow"}"#);
    let world = World::new();
    let seats = [0, 1, 0].map(|worker| world.begin(worker, &rules, "a", 0).unwrap());
    let shadowed: Vec<_> = seats.iter().map(|seats| seats.shadowed().map(|name| &**name)).collect();
    assert_eq!(shadowed, [None, Some("s"), Some("s")]);
}

#[test]
fn policies_that_do_not_hold() {
    for (rule, problem) in [
        (r#"{"name":"c"}"#, ": `requests` is missing"),
        (r#"{"name":"c","requests":0}"#, ".requests: expected a whole number from 1 to 1000000"),
        (r#"{"name":"c","requests":1.5}"#, ".requests: expected a whole number"),
        (r#"{"name":"c","requests":1,"by":["claimedSubject"]}"#, ".by[0]: unknown value `claimedSubject`"),
        (r#"{"name":"c","requests":1,"burst":2}"#, ": unknown field `burst`"),
        (r#"{"name":"c d","requests":1}"#, ".name: `c d` cannot be a rule's name"),
    ] {
        let found = written(&format!(r#"{{"concurrency":{{"rules":[{rule}]}}}}"#)).unwrap_err();
        let problem = format!("concurrency.rules[0]{problem}");
        assert!(found.lines().any(|line| line.starts_with(&problem)), "{rule}: {found}");
    }
}

/// A stream that holds nothing has nothing to give back when it is over.
#[test]
fn who_holds_a_seat() {
    let world = World::new();
    let tenant = rules(TENANT);
    assert!(!world.begin(0, &tenant, "a", 0).unwrap().is_empty());
    let shadow = rules(r#"{"name":"s","requests":1,"mode":"Shadow"}"#);
    let held = [0, 1].map(|worker| world.begin(worker, &shadow, "a", 0).unwrap().is_empty());
    assert_eq!(held, [false, true], "one that is let through for Shadow holds none");
    assert!(world.begin(0, &Rules::default(), "a", 0).unwrap().is_empty());
}

/// Workers that hash keys under different seeds would not count together.
#[test]
fn all_workers_hash_keys_under_the_seed_of_the_first() {
    let data = Shared::default();
    for worker in [3, 4] {
        assert_eq!(Ledger::prepare(&data, [worker; 16]).unwrap().seed(), &[3; 16]);
    }
}

/// While one of two is over, the other is said again and counts for longer than a lease.
#[test]
fn what_is_left_under_way_is_renewed() {
    let (world, rules) = (World::new(), rules(TENANT));
    let [first, _second] = [0, 1].map(|_| world.begin(0, &rules, "a", 0).unwrap());
    world.end(0, first, 1);
    let (lease, renewal) = (u64::from(LEASE), u64::from(LEASE_RENEWAL));
    for second in (renewal..=2 * lease).step_by(usize::try_from(LEASE_RENEWAL).unwrap()) {
        world.workers[0].renew(&world.data, at(second));
    }
    assert!(world.begin(1, &rules, "a", 2 * lease).is_ok());
    assert_eq!(reason(world.begin(1, &rules, "a", 2 * lease)), Some(Reason::ConcurrencyLimited));
}
