//! Several workers, one issuer, and a clock that we move.

use core::num::NonZeroU32;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use super::{Found, Newer, Remote, Source};
use crate::decision::Reason;
use crate::guards::identity::jwt::algorithm::{Algorithm, Family};
use crate::guards::identity::jwt::vectors::{jwk, set};
use crate::guards::identity::target::Target;
use crate::host::{
    Answer, Call, CallId, Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, Swap,
    Verdict, Verifier,
};
use crate::limits::{KID_ABSENT, KID_COOLDOWN, KIDS_ABSENT};
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

const START: u64 = 1_800_000_000 * SECOND;

/// A process: what is shared, the calls that were made and not answered, the log, the clock.
pub(in crate::guards::identity) struct Process {
    now: Cell<u64>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, Cas)>>,
    writes: Cell<u32>,
    pub(in crate::guards::identity) calls: RefCell<VecDeque<(CallId, String)>>,
    made: Cell<u32>,
    log: RefCell<Vec<String>>,
    /// Whether calls can be made, and shared data read.
    works: Cell<bool>,
}

impl Process {
    pub(in crate::guards::identity) fn new() -> Self {
        Self {
            now: Cell::new(START),
            shared: RefCell::default(),
            writes: Cell::new(0),
            calls: RefCell::default(),
            made: Cell::new(0),
            log: RefCell::default(),
            works: Cell::new(true),
        }
    }

    pub(in crate::guards::identity) fn time(&self) -> Timestamp {
        Timestamp::from_nanos(self.now.get())
    }

    fn pass(&self, nanos: u64) {
        self.now.set(self.now.get() + nanos);
    }

    pub(in crate::guards::identity) fn called(&self) -> u32 {
        self.made.get()
    }

    /// The issuer answers the oldest call. Every worker is told, as the gateway does; it is one worker's.
    fn answer(&self, workers: &[Remote], status: u16, body: &str) {
        self.answer_with(workers, status, body, &[]);
    }

    fn answer_with(&self, workers: &[Remote], status: u16, body: &str, fields: &[(&str, &str)]) {
        let (id, _) = self.calls.borrow_mut().pop_front().expect("a call");
        let headers = crate::http::head::serialize(fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        let mut answer =
            Answer { status, headers, body: Some(body.as_bytes().to_vec()), ..Answer::default() };
        let owners =
            workers.iter().filter(|worker| worker.answered(self, id, &mut answer, self.time())).count();
        assert_eq!(owners, 1);
    }

    fn tick(&self, workers: &[Remote]) {
        for worker in workers {
            worker.tick(self, self.time());
        }
    }
}

impl SharedData for Process {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        if !self.works.get() {
            return Err(HostError { call: "get_shared_data", status: 10 });
        }
        Ok(self.shared.borrow().get(key).cloned())
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let mut shared = self.shared.borrow_mut();
        if let (Some(expected), Some((_, found))) = (cas, shared.get(key))
            && expected != *found
        {
            return Ok(Swap::Lost);
        }
        self.writes.set(self.writes.get() + 1);
        shared.insert(key.to_owned(), (value.to_vec(), Cas(NonZeroU32::new(self.writes.get()).unwrap())));
        Ok(Swap::Done)
    }
}

impl Verifier for Process {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl Calls for Process {
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        if call.cluster == "nowhere" {
            return Err(HostError { call: "http_call", status: 2 });
        }
        self.made.set(self.made.get() + 1);
        let id = CallId(self.made.get());
        self.calls.borrow_mut().push_back((id, format!("{} {}", call.authority, call.path)));
        Ok(id)
    }
}

impl Metrics for Process {}

impl Host for Process {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(self.time())
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        unreachable!()
    }

    fn set_request_header(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        unreachable!()
    }

    fn remove_request_header(&self, _: &str) -> Result<(), HostError> {
        unreachable!()
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        unreachable!()
    }

    fn remove_request_trailer(&self, _: &str) -> Result<(), HostError> {
        unreachable!()
    }

    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        unreachable!()
    }

    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        unreachable!()
    }

    fn respond(&self, _: &LocalResponse) -> Result<(), HostError> {
        unreachable!()
    }

    fn log(&self, _: Level, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }

    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

fn source(cluster: &str, uri: Option<&str>) -> Source {
    Source {
        provider: "corp".into(),
        issuer: "https://id.example".into(),
        cluster: cluster.into(),
        uri: uri.map(|uri| Target::parse(uri).unwrap()),
        cache: 300 * SECOND,
        refetch: 2 * SECOND,
        timeout: 2 * SECOND,
        stale_grace: 3600 * SECOND,
    }
}

fn workers_of(process: &Process, count: u64, source: &Source) -> Vec<Remote> {
    let made = (1..=count).map(|me| {
        let remote = Remote::new(source.clone());
        remote.prepare(process, me);
        remote
    });
    made.collect()
}

fn workers(process: &Process, count: u64) -> Vec<Remote> {
    workers_of(process, count, &source("id", Some("https://id.example/jwks")))
}

fn one() -> String {
    set(&[jwk(Family::P256, r#""kid":"one","#)])
}

fn two() -> String {
    set(&[jwk(Family::P256, r#""kid":"one","#), jwk(Family::Ed25519, r#""kid":"two","#)])
}

fn has(worker: &Remote, process: &Process, kid: &str) -> bool {
    match worker.keys(process.time()) {
        Found::Keys(keys) => [Algorithm::ES256, Algorithm::EdDSA]
            .iter()
            .any(|algorithm| keys.choose(Some(kid), *algorithm).is_ok()),
        Found::Wait(_) | Found::Nothing(_) => false,
    }
}

fn waits(found: &Found) -> bool {
    matches!(found, Found::Wait(_))
}

#[test]
fn one_worker_fetches_and_all_have_the_keys() {
    let process = Process::new();
    let workers = workers(&process, 3);
    assert!(waits(&workers[0].keys(process.time())), "before the first keys one waits");
    process.tick(&workers);
    process.tick(&workers);
    assert_eq!(process.called(), 1);
    assert_eq!(process.calls.borrow()[0].1, "id.example /jwks");
    process.answer(&workers, 200, &one());
    process.tick(&workers);
    assert!(workers.iter().all(|worker| has(worker, &process, "one")));
    process.pass(239 * SECOND);
    process.tick(&workers);
    assert_eq!(process.called(), 1, "fresh");
    process.pass(2 * SECOND);
    process.tick(&workers);
    assert_eq!(process.called(), 2, "anew before they are stale");
    process.answer(&workers, 200, &two());
    process.tick(&workers);
    assert!(workers.iter().all(|worker| has(worker, &process, "two")));
    assert!(process.log.borrow().iter().any(|line| line.contains("provider `corp`: 2 keys fetched, set 2")));
}

#[test]
fn a_policy_that_is_loaded_later_finds_the_keys() {
    let process = Process::new();
    let first = workers(&process, 1);
    process.tick(&first);
    process.answer(&first, 200, &one());
    let later = workers(&process, 2);
    process.tick(&later);
    assert!(has(&later[1], &process, "one"));
    assert_eq!(process.called(), 1);
}

#[test]
fn without_the_issuer_old_keys_serve_for_their_grace_and_then_nobody_is_told_no() {
    let process = Process::new();
    let workers = workers(&process, 2);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    process.tick(&workers);
    process.pass(300 * SECOND);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let before = process.called();
        let mut seconds = 0;
        while process.called() == before {
            process.tick(&workers);
            process.pass(SECOND);
            seconds += 1;
        }
        pauses.push(seconds - 1);
        if pauses.len() == 1 {
            process.answer(&workers, 503, "connection closed");
            assert_eq!(process.called(), before + 2, "the first failure may be that of a connection");
        }
        process.answer(&workers, 503, "no healthy upstream");
        assert!(has(&workers[0], &process, "one"));
    }
    assert_eq!(pauses, [0, 2, 4, 8, 16, 32, 60, 60], "seconds between attempts, doubling up to a minute");
    process.now.set(START + 3901 * SECOND);
    match workers[0].keys(process.time()) {
        Found::Nothing(_) => panic!("it is time for another attempt"),
        found => assert!(waits(&found)),
    }
    process.tick(&workers);
    process.answer(&workers, 504, "");
    process.tick(&workers);
    for worker in &workers {
        let Found::Nothing(refusal) = worker.keys(process.time()) else { panic!("no keys, and none soon") };
        assert_eq!(refusal.reason, Reason::KeysUnavailable);
        assert_eq!(refusal.detail.to_string(), "the issuer did not answer in time: provider `corp`");
    }
    process.pass(61 * SECOND);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    process.tick(&workers);
    assert!(workers.iter().all(|worker| has(worker, &process, "one")), "it recovers by itself");
}

#[test]
fn a_connection_that_ends_costs_one_more_call_and_no_failure() {
    let process = Process::new();
    let of_keys = workers(&process, 2);
    process.tick(&of_keys);
    process.answer(&of_keys, 503, "connection closed");
    assert_eq!((process.called(), process.log.borrow().len()), (2, 0));
    assert!(waits(&of_keys[0].keys(process.time())), "whoever waits goes on waiting");
    process.answer(&of_keys, 200, &one());
    process.tick(&of_keys);
    assert!(of_keys.iter().all(|worker| has(worker, &process, "one")));
    // With metadata it begins at the beginning, once, whichever of the two calls it was.
    let process = Process::new();
    let discovering = workers_of(&process, 1, &source("id", None));
    let metadata = r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/k"}"#;
    process.tick(&discovering);
    process.answer(&discovering, 200, metadata);
    process.answer(&discovering, 0, "");
    assert_eq!(process.calls.borrow()[0].1, "id.example /.well-known/openid-configuration");
    process.answer(&discovering, 200, metadata);
    process.answer(&discovering, 0, "");
    assert!(process.calls.borrow().is_empty());
    assert!(process.log.borrow()[0].contains("cannot be reached"), "{:?}", process.log);
    // A timeout is none.
    let process = Process::new();
    let slow = workers(&process, 1);
    process.tick(&slow);
    process.answer(&slow, 504, "");
    assert_eq!((process.called(), process.calls.borrow().len()), (1, 0));
}

#[test]
fn an_unknown_kid_asks_once_and_random_ones_cost_next_to_nothing() {
    let process = Process::new();
    let workers = workers(&process, 2);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    process.tick(&workers);
    assert!(
        matches!(workers[0].newer(None, process.time()), Newer::No),
        "without a name there is nothing to look for"
    );
    assert!(matches!(workers[0].newer(Some(&"k".repeat(300)), process.time()), Newer::No));
    // Rotation: the first token with the new key waits, and both workers get it.
    let Newer::Wait(wait) = workers[1].newer(Some("two"), process.time()) else { panic!("it waits") };
    process.tick(&workers);
    assert_eq!((process.called(), workers[1].outcomes()), (2, wait.outcomes));
    process.answer(&workers, 200, &two());
    process.tick(&workers);
    assert_ne!(workers[1].outcomes(), wait.outcomes);
    assert!(workers.iter().all(|worker| has(worker, &process, "two")));
    // A flood of ten thousand over a hundred seconds.
    for number in 0..10_000_u32 {
        let kid = format!("random-{number}");
        let _ = workers[(number % 2) as usize].newer(Some(&kid), process.time());
        process.tick(&workers);
        if !process.calls.borrow().is_empty() {
            process.answer(&workers, 200, &two());
        }
        process.pass(SECOND / 100);
    }
    assert!(process.called() <= 2 + 11, "{}", process.called());
    // A name that fresh keys lacked is not asked for again, cooldown or not.
    process.pass(KID_COOLDOWN);
    assert!(matches!(workers[0].newer(Some("gone"), process.time()), Newer::Wait(_)));
    process.tick(&workers);
    process.answer(&workers, 200, &two());
    assert!(matches!(workers[0].newer(Some("gone"), process.time()), Newer::No));
    process.pass(KID_COOLDOWN + SECOND);
    assert!(matches!(workers[0].newer(Some("gone"), process.time()), Newer::No));
    process.pass(KID_ABSENT);
    assert!(matches!(workers[0].newer(Some("gone"), process.time()), Newer::Wait(_)));
    assert!(workers[0].state.borrow().absent.len() <= KIDS_ABSENT);
}

#[test]
fn whether_a_kid_is_new_cannot_be_told_without_the_issuer() {
    let process = Process::new();
    let workers = workers(&process, 1);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    assert!(matches!(workers[0].newer(Some("two"), process.time()), Newer::Wait(_)));
    process.tick(&workers);
    process.answer(&workers, 503, "");
    process.answer(&workers, 503, "");
    let Newer::Nothing(refusal) = workers[0].newer(Some("two"), process.time()) else {
        panic!("cannot tell")
    };
    assert_eq!(refusal.reason, Reason::KeysUnavailable);
    assert!(has(&workers[0], &process, "one"), "the keys at hand serve");
}

#[test]
fn a_worker_that_dies_with_the_lease_is_replaced() {
    let process = Process::new();
    let mut workers = workers(&process, 2);
    process.tick(&workers[..1]);
    workers.remove(0);
    process.calls.borrow_mut().clear();
    process.tick(&workers);
    assert_eq!(process.called(), 1, "the lease holds");
    process.pass(8 * SECOND);
    process.tick(&workers);
    assert_eq!(process.called(), 2);
    process.answer(&workers, 200, &one());
    assert!(has(&workers[0], &process, "one"));
}

#[test]
fn an_answer_that_comes_after_the_lease_is_dropped() {
    let process = Process::new();
    let workers = workers(&process, 2);
    process.tick(&workers);
    let late = process.calls.borrow_mut().pop_front().unwrap();
    process.pass(8 * SECOND);
    workers[1].tick(&process, process.time());
    process.answer(&workers, 200, &two());
    let mut answer =
        Answer { status: 200, headers: Vec::new(), body: Some(one().into_bytes()), ..Answer::default() };
    assert!(workers[0].answered(&process, late.0, &mut answer, process.time()));
    process.tick(&workers);
    assert!(workers.iter().all(|worker| has(worker, &process, "two")));
}

#[test]
fn metadata_leads_to_the_keys_and_must_name_the_issuer() {
    let process = Process::new();
    let workers = workers_of(&process, 1, &source("id", None));
    process.tick(&workers);
    assert_eq!(process.calls.borrow()[0].1, "id.example /.well-known/openid-configuration");
    process.answer(&workers, 200, r#"{"issuer":"https://id.example","jwks_uri":"https://id.example/k?a"}"#);
    assert_eq!(process.calls.borrow()[0].1, "id.example /k?a");
    process.answer(&workers, 200, &one());
    assert!(has(&workers[0], &process, "one"));

    let process = Process::new();
    let workers = workers_of(&process, 1, &source("id", None));
    process.tick(&workers);
    process.answer(&workers, 200, r#"{"issuer":"https://evil.example","jwks_uri":"https://id.example/k"}"#);
    let Found::Nothing(refusal) = workers[0].keys(process.time()) else { panic!("refused") };
    assert!(refusal.detail.to_string().contains("names another issuer"), "{}", refusal.detail);
}

#[test]
fn cache_control_is_honoured_within_bounds() {
    for (header, seconds) in
        [("max-age=100", 80), ("max-age=99999", 240), ("max-age=1", 8), ("no-store", 8), ("private", 240)]
    {
        let process = Process::new();
        let workers = workers(&process, 1);
        process.tick(&workers);
        process.answer_with(&workers, 200, &one(), &[("cache-control", header)]);
        process.pass((seconds - 1) * SECOND);
        process.tick(&workers);
        assert_eq!(process.called(), 1, "{header}");
        process.pass(SECOND);
        process.tick(&workers);
        assert_eq!(process.called(), 2, "{header}");
    }
}

#[test]
fn what_the_host_does_not_do_is_a_refusal_with_a_reason() {
    let process = Process::new();
    let workers = workers_of(&process, 1, &source("nowhere", Some("https://id.example/jwks")));
    process.tick(&workers);
    let Found::Nothing(refusal) = workers[0].keys(process.time()) else { panic!("refused") };
    assert!(refusal.detail.to_string().contains("is the cluster known?"));

    let process = Process::new();
    let workers = self::workers(&process, 1);
    let Found::Wait(wait) = workers[0].keys(process.time()) else { panic!("waits") };
    process.works.set(false);
    process.tick(&workers);
    assert_ne!(workers[0].outcomes(), wait.outcomes, "whoever waits hears of it");
}

/// RFC 7517 §5: one broken key among good ones.
#[test]
fn one_bad_key_does_not_take_the_others_down() {
    let process = Process::new();
    let workers = workers(&process, 1);
    process.tick(&workers);
    let keys = set(&[
        jwk(Family::P256, r#""kid":"one","#),
        jwk(Family::P256, r#""kid":"shown","d":"AAAA","#),
        jwk(Family::Ed25519, r#""kid":"twice","#),
        jwk(Family::P256, r#""kid":"twice","#),
        r#"{"kty":"oct","k":"c2VjcmV0","kid":"secret"}"#.to_owned(),
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"short"}"#.to_owned(),
        r#"{"kty":"EC","crv":"P-521","kid":"other"}"#.to_owned(),
    ]);
    process.answer(&workers, 200, &keys);
    assert!(has(&workers[0], &process, "one"));
    assert!(["shown", "twice", "secret", "short", "other"].iter().all(|kid| !has(
        &workers[0],
        &process,
        kid
    )));
    let log = process.log.borrow();
    assert_eq!(log.iter().filter(|line| line.contains("skipped")).count(), 5, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("c2VjcmV0")));
}

#[test]
fn a_key_keeps_its_mark_through_a_refetch() {
    let process = Process::new();
    let workers = workers(&process, 1);
    process.tick(&workers);
    process.answer(&workers, 200, &two());
    let Found::Keys(before) = workers[0].keys(process.time()) else { panic!("keys") };
    let mark = before.choose(Some("one"), Algorithm::ES256).unwrap().mark();
    process.pass(290 * SECOND);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    let Found::Keys(after) = workers[0].keys(process.time()) else { panic!("keys") };
    assert!(after.choose(Some("one"), Algorithm::ES256).unwrap().is_marked(&mark));
    assert!(!before.choose(Some("two"), Algorithm::EdDSA).unwrap().is_marked(&mark));
    assert!(after.choose(Some("two"), Algorithm::EdDSA).is_err());
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    let process = Process::new();
    let workers = workers(&process, 2);
    process.tick(&workers[..1]);
    // A call may take two seconds, and the lease five more.
    process.pass(7 * SECOND - 1);
    process.tick(&workers[1..]);
    assert_eq!(process.called(), 1, "the lease holds");
    process.pass(1);
    process.tick(&workers[1..]);
    assert_eq!(process.called(), 2, "and is over");
    process.calls.borrow_mut().pop_front();
    process.answer(&workers, 200, &one());
    process.tick(&workers);
    // Fresh for five minutes, and an hour of grace.
    process.pass(3900 * SECOND - 1);
    assert!(has(&workers[0], &process, "one"));
    process.pass(1);
    assert!(waits(&workers[0].keys(process.time())));
    process.tick(&workers);
    process.answer(&workers, 500, "");
    process.tick(&workers);
    process.pass(2 * SECOND - 1);
    assert!(matches!(workers[0].keys(process.time()), Found::Nothing(_)), "it rests");
    process.pass(1);
    assert!(waits(&workers[0].keys(process.time())), "and does not any more");
}

#[test]
fn who_waits_hears_why_it_failed() {
    for (uri, longest) in [(Some("https://id.example/jwks"), 2), (None, 4)] {
        let process = Process::new();
        let workers = workers_of(&process, 1, &source("id", uri));
        let Found::Wait(wait) = workers[0].keys(process.time()) else { panic!("there are no keys") };
        assert_eq!(wait.patience, longest * SECOND + SECOND / 4, "{uri:?}");
        process.tick(&workers);
        assert_eq!(workers[0].outcomes(), wait.outcomes);
        process.answer(&workers, 500, "");
        assert_ne!(workers[0].outcomes(), wait.outcomes, "a failure is an outcome, too");
    }
}

#[test]
fn it_is_busy_while_a_fetch_is_under_way_or_wanted() {
    let process = Process::new();
    let workers = workers(&process, 1);
    assert!(!workers[0].is_busy());
    process.tick(&workers);
    assert!(workers[0].is_busy(), "a call is under way");
    process.answer(&workers, 200, &one());
    assert!(!workers[0].is_busy());
    assert!(matches!(workers[0].newer(Some("two"), process.time()), Newer::Wait(_)));
    assert!(workers[0].is_busy(), "a fetch is wanted");
}

#[test]
fn what_a_fetch_has_changed_is_told_once() {
    let process = Process::new();
    let workers = workers(&process, 1);
    for (keys, expected) in [
        (one(), Some((vec!["one"], vec![]))),
        (two(), Some((vec!["two"], vec![]))),
        (one(), Some((vec![], vec!["two"]))),
    ] {
        process.tick(&workers);
        process.answer(&workers, 200, &keys);
        let told = workers[0].rotation();
        let names = |list: &[crate::redaction::Redacted]| {
            list.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };
        let told = told.map(|told| (names(&told.added), names(&told.removed)));
        let expected = expected.map(|(added, removed): (Vec<&str>, Vec<&str>)| {
            let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
            (owned(added), owned(removed))
        });
        assert_eq!(told, expected);
        assert!(workers[0].rotation().is_none(), "told");
        process.pass(300 * SECOND);
    }
}

#[test]
fn several_names_that_keys_lacked_are_remembered() {
    let process = Process::new();
    let workers = workers(&process, 1);
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    let newer = |kid: &str| matches!(workers[0].newer(Some(kid), process.time()), Newer::Wait(_));
    assert!(newer("first"));
    process.tick(&workers);
    process.answer(&workers, 200, &one());
    for number in 0..=KIDS_ABSENT {
        assert!(!newer(&format!("random-{number}")));
    }
    assert_eq!(workers[0].state.borrow().absent.len(), KIDS_ABSENT);
    process.pass(KID_COOLDOWN);
    let last = format!("random-{KIDS_ABSENT}");
    assert!(!newer("random-1") && !newer(&last), "remembered");
    assert!(newer("random-0"), "the oldest had to go");
    process.pass(KID_ABSENT - KID_COOLDOWN - 1);
    assert!(!newer(&last));
    process.pass(1);
    assert!(newer(&last), "its time is over");
}

#[test]
fn the_log_hears_of_what_changes() {
    let process = Process::new();
    let workers = workers(&process, 1);
    let fetch = |status: u16, keys: &str| {
        process.log.borrow_mut().clear();
        process.tick(&workers);
        process.answer(&workers, status, keys);
        process.pass(300 * SECOND);
        process.log.borrow().clone()
    };
    assert!(fetch(200, &one())[0].contains("1 keys fetched, set 1"));
    assert_eq!(fetch(200, &one()), [""; 0], "the same keys");
    assert!(fetch(500, "")[0].contains("attempt 1"));
    assert!(fetch(500, "")[0].contains("attempt 2"));
    assert!(fetch(200, &one())[0].contains("keys fetched again"));
    assert_eq!(fetch(200, &one()), [""; 0], "it works as before");
    assert!(fetch(500, "")[0].contains("attempt 1"), "the count begins anew");
}

#[test]
fn a_call_whose_answer_never_comes_is_made_again_when_its_lease_is_over() {
    let process = Process::new();
    let workers = workers(&process, 1);
    process.tick(&workers);
    process.pass(7 * SECOND - 1);
    process.tick(&workers);
    assert_eq!(process.called(), 1, "it is under way");
    process.pass(1);
    process.tick(&workers);
    assert_eq!(process.called(), 2);
}
