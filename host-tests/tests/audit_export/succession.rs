//! What becomes of a policy's events when the next one comes? Its collector hears of nothing for a minute, so that what goes earlier goes for that.
//!
//! A policy that is the same as the one before tells nobody that it is there, so most of these are.

use std::rc::Rc;

use host_tests::exchange::Request;
use host_tests::fake_host::FakeHost;
use portcullis_filter::audit::Left;
use portcullis_filter::gateway::Gateway;
use portcullis_filter::host::CallId;
use portcullis_filter::http::head::serialize;
use portcullis_filter::limits;
use serde_json::{Value as Json, json};

use super::{Answer, Proxy, SECOND, load, records, status};

/// A collector at `path` that hears of nothing for a minute.
fn patient(path: &str) -> Json {
    let uri = format!("http://collector.example.com{path}");
    json!({"uri": uri, "maxDelay": "60s", "maxBatch": 8, "maxBuffered": 64})
}

impl Proxy {
    /// The policy is replaced, as the edge does it.
    fn replace(&mut self, otlp: &Json) {
        let next = load(&self.world, otlp);
        let former = std::mem::replace(&mut self.gateway, next);
        self.gateway.inherit(&former.leave());
    }

    /// The collector answers the request with this number, the first being 1; what is sent after that.
    fn answer_to(&mut self, number: u32, answer: Answer) -> Vec<usize> {
        let before = self.world.bodies().len();
        self.gateway.on_answer(&self.host(&Request::get("", "/")), CallId(number), answer);
        self.world.bodies().iter().skip(before).map(|body| records(body)).collect()
    }

    /// A proxy whose policy is known to its collector, so that nothing but requests leaves events.
    fn of_old(path: &str) -> Self {
        let mut proxy = Self::start(&patient(path));
        assert_eq!(proxy.tick(0), [0; 0]);
        proxy.replace(&patient(path));
        assert_eq!(proxy.tick(0), [1], "the policy itself");
        assert_eq!(proxy.answer(status(200)), [0; 0]);
        proxy
    }
}

#[test]
fn it_goes_at_once_and_what_the_next_policy_gathers_waits() {
    let mut proxy = Proxy::of_old("/old");
    proxy.serve(3);
    assert_eq!(proxy.tick(SECOND), [0; 0]);
    proxy.replace(&patient("/new"));
    proxy.serve(2);
    assert_eq!(proxy.world.calls(), ["POST /old"], "nothing is called while a policy goes");
    assert_eq!(proxy.tick(1), [3]);
    assert_eq!(proxy.world.calls().last().unwrap(), "POST /old");
    assert_eq!(proxy.answer(status(200)), [0; 0]);
    assert_eq!(proxy.tick(SECOND), [0; 0]);
    // More than one request holds goes one after the other.
    proxy.serve(15);
    proxy.replace(&patient("/next"));
    assert_eq!(proxy.tick(1), [8]);
    assert_eq!(proxy.tick(SECOND), [0; 0], "one request at a time");
    // Two, fifteen, and that there is a policy.
    assert_eq!(proxy.answer(status(200)), [8]);
    assert_eq!(proxy.answer(status(200)), [2]);
    assert_eq!(proxy.answer(status(200)), [0; 0]);
    assert_eq!(proxy.world.calls()[2..], ["POST /new"; 3]);
    assert_eq!(proxy.log("dropped"), [""; 0]);
}

#[test]
fn what_was_on_its_way_is_sent_again_byte_for_byte() {
    let mut proxy = Proxy::of_old("/old");
    proxy.serve(10);
    assert_eq!(proxy.tick(1), [8]);
    proxy.replace(&patient("/old"));
    assert_eq!(proxy.tick(1), [8]);
    let bodies = proxy.world.bodies();
    assert_eq!(bodies[1], bodies[2]);
    // A host that brings the answer to the first one all the same tells nobody anything.
    assert_eq!(proxy.answer_to(2, status(200)), [0; 0]);
    assert_eq!(proxy.answer_to(2, status(400)), [0; 0]);
    assert_eq!(proxy.answer_to(3, status(200)), [2]);
    // Once more while the rest is on its way, and by a policy that has no collector of its own.
    let former = Rc::clone(&proxy.gateway);
    proxy.gateway = silent(&proxy);
    proxy.gateway.inherit(&former.leave());
    assert_eq!(proxy.tick(1), [2]);
    assert_eq!(proxy.answer_to(5, status(200)), [0; 0]);
    assert_eq!(proxy.tick(60 * SECOND), [0; 0]);
    assert_eq!(proxy.log("dropped"), [""; 0]);
}

/// A policy whose events go to the log.
fn silent(proxy: &Proxy) -> Rc<Gateway> {
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "silent",
        "routes": [{"name": "all", "match": {}, "authentication": {"open": {"because": "test"}}}],
    });
    let host = FakeHost::new(Rc::clone(&proxy.world), &Request::get("", "/"));
    Rc::new(Gateway::start(policy.to_string().as_bytes(), [7; 16], &host).unwrap())
}

#[test]
fn a_collector_that_is_away_is_asked_as_often_as_ever_and_then_given_up() {
    let mut proxy = Proxy::of_old("/old");
    proxy.serve(3);
    proxy.replace(&patient("/old"));
    assert_eq!(proxy.tick(1), [3]);
    for pause in [1, 2, 4, 8].map(|seconds| seconds * SECOND) {
        proxy.answer(status(503));
        assert_eq!(proxy.tick(pause - 1), [0; 0]);
        // The pauses go on where they were.
        proxy.replace(&patient("/old"));
        assert_eq!(proxy.tick(1), [3], "after {pause}");
    }
    proxy.answer(status(503));
    assert_eq!(proxy.log("events are dropped: the collector is away").len(), 1);
    assert_eq!(proxy.log("3 audit events of a policy that is gone were dropped").len(), 1);
    assert_eq!(proxy.tick(60 * SECOND), [0; 0]);
}

#[test]
fn it_is_given_up_when_its_time_is_over_however_often_the_policy_changes() {
    let retry_after = serialize([(&b"retry-after"[..], &b"25"[..])].into_iter());
    let busy = Answer { headers: retry_after, ..status(429) };
    let mut proxy = Proxy::of_old("/old");
    proxy.serve(3);
    proxy.replace(&patient("/old"));
    assert_eq!(proxy.tick(1), [3]);
    assert_eq!(proxy.answer(busy.clone()), [0; 0]);
    proxy.replace(&patient("/old"));
    assert_eq!(proxy.tick(25 * SECOND), [3]);
    // What is on its way when the time is over may still arrive, and if it does not, that is all.
    let left = limits::EXPORT_LEFT - 25 * SECOND;
    proxy.now += left;
    assert_eq!(proxy.log("dropped"), [""; 0]);
    assert_eq!(proxy.answer(busy.clone()), [0; 0]);
    assert_eq!(proxy.log("events are dropped: their policy has been gone for too long").len(), 1);
    assert_eq!(proxy.log("3 audit events of a policy that is gone were dropped").len(), 1);
    assert_eq!(proxy.tick(60 * SECOND), [0; 0]);
    // A clock that is set back gives no more time than there ever is, and takes none away.
    proxy.serve(3);
    proxy.replace(&patient("/old"));
    assert_eq!(proxy.tick(1), [3]);
    assert_eq!(proxy.answer(busy.clone()), [0; 0]);
    proxy.now -= 3600 * SECOND;
    assert_eq!(proxy.tick(1), [3]);
    assert_eq!(proxy.answer(busy), [0; 0]);
    assert_eq!(proxy.tick(limits::EXPORT_LEFT - 1), [3]);
    proxy.now += 1;
    assert_eq!(proxy.answer(status(503)), [0; 0]);
    assert_eq!(proxy.log("3 audit events of a policy that is gone were dropped").len(), 2);
}

#[test]
fn a_batch_is_sent_so_often_at_most_also_when_each_policy_goes_before_the_answer() {
    let mut proxy = Proxy::of_old("/old");
    proxy.serve(3);
    let mut sent = 0;
    for _ in 0..10 {
        proxy.replace(&patient("/old"));
        sent += proxy.tick(1).len();
    }
    assert_eq!(sent, usize::try_from(limits::EXPORT_ATTEMPTS).unwrap());
    assert_eq!(proxy.log("events are dropped: no answer").len(), 1);
    assert_eq!(proxy.log("3 audit events of a policy that is gone were dropped").len(), 1);
}

#[test]
fn the_end_of_a_spell_is_told_also_by_the_policy_after_it() {
    for serves in [true, false] {
        let mut proxy = Proxy::of_old("/old");
        proxy.serve(8);
        assert_eq!(proxy.tick(1), [8]);
        assert_eq!(proxy.answer(status(400)), [0; 0]);
        assert_eq!(proxy.log("events are dropped: the collector refuses them").len(), 1);
        // Long enough for the metric to hear of it.
        assert_eq!(proxy.tick(2 * SECOND), [0; 0]);
        if serves {
            proxy.replace(&patient("/old"));
            assert_eq!(proxy.tick(1), [0; 0]);
        } else {
            proxy.gateway.leave().perish(&proxy.host(&Request::get("", "/")));
        }
        assert_eq!(proxy.log("8 audit events of a policy that is gone were dropped").len(), 1);
    }
}

#[test]
fn each_collector_gets_its_own_and_there_are_so_many_of_them_at_most() {
    let mut proxy = Proxy::of_old("/old");
    let many = limits::EXPORTERS_LEFT + 4;
    for number in 0..many {
        proxy.replace(&patient(&format!("/{number}")));
        proxy.serve(2);
    }
    proxy.replace(&patient("/last"));
    let before = proxy.world.calls().len();
    assert_eq!(proxy.tick(1), [2; limits::EXPORTERS_LEFT]);
    let calls: Vec<String> = (0..limits::EXPORTERS_LEFT).map(|number| format!("POST /{number}")).collect();
    assert_eq!(proxy.world.calls()[before..], calls);
    assert_eq!(proxy.log("8 audit events are dropped: policies that are gone left more").len(), 1);
    for number in (before..before + limits::EXPORTERS_LEFT).rev() {
        assert_eq!(proxy.answer_to(u32::try_from(number + 1).unwrap(), status(200)), [0; 0]);
    }
    assert_eq!(proxy.tick(SECOND), [0; 0]);
    assert_eq!(proxy.log("dropped").len(), 1, "and told once");
}

#[test]
fn they_hold_so_many_bytes_together_and_the_newest_go() {
    let mut proxy = Proxy::start(
        &json!({"maxDelay": "60s", "maxBatch": 100, "maxBuffered": 65_536, "uri": "http://c/first"}),
    );
    let many = 5000;
    proxy.serve(many);
    proxy.replace(
        &json!({"maxDelay": "60s", "maxBatch": 100, "maxBuffered": 65_536, "uri": "http://c/second"}),
    );
    proxy.serve(many);
    proxy.replace(&patient("/last"));
    let mut sent: Vec<usize> = proxy.tick(1);
    let (mut number, mut answered) = (proxy.world.calls().len() - sent.len(), 0);
    while number < proxy.world.calls().len() {
        number += 1;
        sent.extend(proxy.answer_to(u32::try_from(number).unwrap(), status(200)));
        answered += 1;
    }
    assert_eq!(answered, sent.len());
    let (sent, bodies): (usize, usize) = (sent.iter().sum(), proxy.world.bodies().iter().map(Vec::len).sum());
    let line = proxy.log("policies that are gone left more").pop().unwrap();
    let lost: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(lost > 0 && lost < many, "{line}");
    assert_eq!(sent + lost, 2 * many, "{line}");
    assert!(bodies < limits::EXPORT_BYTES + (answered * 200), "{bodies}");
    let first = proxy.world.calls().iter().filter(|call| *call == "POST /first").count();
    assert_eq!(first, many / 100, "all of the oldest");
}

#[test]
fn nothing_held_is_nothing_left_and_what_nobody_takes_is_told() {
    let mut proxy = Proxy::of_old("/old");
    let calls = proxy.world.calls().len();
    for _ in 0..3 {
        proxy.replace(&patient("/old"));
        assert_eq!(proxy.tick(SECOND), [0; 0]);
    }
    let host = proxy.host(&Request::get("", "/"));
    proxy.gateway.leave().perish(&host);
    Left::default().perish(&host);
    Gateway::closed().leave().perish(&host);
    assert_eq!(proxy.log("audit events"), [""; 0]);
    proxy.serve(3);
    proxy.gateway.leave().perish(&proxy.host(&Request::get("", "/")));
    assert_eq!(proxy.log("portcullis: 3 audit events end with this VM unacknowledged").len(), 1);
    assert_eq!(proxy.world.calls().len(), calls);
}
