//! Do events reach a collector in batches, what becomes of them when it misbehaves, and does any request wait for it? Natively, on a clock
//! that we move.

mod succession;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use host_tests::exchange::Request;
use host_tests::fake_host::{FakeHost, World};
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::{Answer, CallId};
use portcullis_filter::http::head::serialize;
use portcullis_filter::protobuf::{Fields, Value, put_bytes, put_nested, put_number};
use serde_json::{Value as Json, json};

const START: u64 = 1_800_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// A proxy with one worker, whose policy sends every event to a collector: four a batch, eight held, one second of delay.
struct Proxy {
    world: Rc<World>,
    gateway: Rc<Gateway>,
    now: u64,
    sent: usize,
}

impl Proxy {
    fn start(otlp: &Json) -> Self {
        let env = BTreeMap::from([("AUTHORIZATION".to_owned(), "Bearer of-the-collector".to_owned())]);
        let world = World::new(START, env, true);
        world.know_clusters();
        let gateway = load(&world, otlp);
        Self { world, gateway, now: START, sent: 0 }
    }

    fn host(&self, request: &Request) -> FakeHost {
        self.world.set_now(self.now);
        FakeHost::new(Rc::clone(&self.world), request)
    }

    /// So many requests come and go, each of which passes, and none of which makes a call.
    fn serve(&mut self, requests: usize) {
        let calls = self.world.calls().len();
        for _ in 0..requests {
            self.sent += 1;
            let request =
                Request::get("api.example.com", "/").with("x-request-id", format!("r-{}", self.sent));
            let host = self.host(&request);
            let stream = RefCell::new(Stream::new(Rc::clone(&self.gateway)));
            assert_eq!(stream.borrow_mut().on_request_headers(&host, true), Flow::Continue);
            host.head_is_sent();
            host.upstream_answers();
            stream.borrow_mut().on_response_headers(&host);
            host.finish();
            stream.borrow_mut().on_log(&host);
        }
        assert_eq!(self.world.calls().len(), calls, "a request waited for the collector");
    }

    /// Time passes, and what is sent after that: how many events each request holds.
    fn tick(&mut self, nanos: u64) -> Vec<usize> {
        let before = self.world.bodies().len();
        self.now += nanos;
        self.gateway.on_tick(&self.host(&Request::get("", "/")));
        self.world.bodies().iter().skip(before).map(|body| records(body)).collect()
    }

    /// The collector answers the last request, and what is sent after that.
    fn answer(&mut self, answer: Answer) -> Vec<usize> {
        let before = self.world.bodies().len();
        let call = CallId(u32::try_from(before).unwrap());
        self.gateway.on_answer(&self.host(&Request::get("", "/")), call, answer);
        self.world.bodies().iter().skip(before).map(|body| records(body)).collect()
    }

    fn log(&self, what: &str) -> Vec<String> {
        self.world.log().into_iter().filter(|line| line.contains(what)).collect()
    }
}

/// A policy of this proxy comes into force.
fn load(world: &Rc<World>, otlp: &Json) -> Rc<Gateway> {
    let mut sink = json!({
        "cluster": "collector", "uri": "http://collector.example.com/v1/logs", "timeout": "2s",
        "maxBatch": 4, "maxDelay": "1s", "maxBuffered": 8,
    });
    sink.as_object_mut().unwrap().extend(otlp.as_object().cloned().unwrap());
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "export",
        "audit": {"log": "All", "sinks": {"log": false, "otlp": sink}},
        "routes": [{"name": "all", "match": {}, "authentication": {"open": {"because": "test"}}}],
    });
    let host = FakeHost::new(Rc::clone(world), &Request::get("", "/"));
    let gateway = Gateway::start(policy.to_string().as_bytes(), [7; 16], &host);
    Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:?}")))
}

fn status(status: u16) -> Answer {
    Answer { status, body: Some(Vec::new()), ..Answer::default() }
}

/// How many records an `ExportLogsServiceRequest` holds.
fn records(body: &[u8]) -> usize {
    let inside = |message: &[u8], number: u32| -> Vec<Vec<u8>> {
        let fields = Fields::of(message).map(|field| field.expect("a message"));
        let fields = fields.filter(|(found, _)| *found == number);
        fields
            .map(
                |(_, value)| {
                    if let Value::Bytes(bytes) = value { bytes.to_vec() } else { panic!("{value:?}") }
                },
            )
            .collect()
    };
    inside(body, 1).iter().flat_map(|logs| inside(logs, 2)).map(|scope| inside(&scope, 2).len()).sum()
}

#[test]
fn events_go_in_batches_and_those_that_wait_go_when_their_time_is_up() {
    let mut proxy = Proxy::start(&json!({}));
    // The policy's own event is the first.
    assert_eq!(proxy.tick(0), Vec::<usize>::new());
    proxy.serve(2);
    assert_eq!(proxy.tick(SECOND / 4), Vec::<usize>::new());
    assert_eq!(proxy.tick(SECOND / 4), [3]);
    assert_eq!(proxy.world.calls(), ["POST /v1/logs"]);
    proxy.serve(3);
    assert_eq!(proxy.tick(SECOND), Vec::<usize>::new(), "one request at a time");
    assert_eq!(proxy.answer(status(200)), [3], "and the next when there is room");
    assert_eq!(proxy.answer(status(200)), Vec::<usize>::new());
    // A full batch waits for nothing.
    proxy.serve(4);
    assert_eq!(proxy.tick(1), [4]);
    let body = String::from_utf8_lossy(proxy.world.bodies().last().unwrap()).into_owned();
    for part in ["service.name", "portcullis.audit/v2", "r-9", "portcullis.decision", "allowed", "url.path"] {
        assert!(body.contains(part), "{part}");
    }
    assert_eq!(proxy.answer(status(204)), Vec::<usize>::new());
    assert_eq!(proxy.gateway.events_dropped(), 0);
    assert_eq!(proxy.log("dropped"), Vec::<String>::new());
}

#[test]
fn what_is_too_much_is_dropped_and_counted_and_told_once() {
    let mut proxy = Proxy::start(&json!({}));
    proxy.serve(30);
    assert_eq!(proxy.gateway.events_dropped(), 22);
    assert_eq!(proxy.log("dropped").len(), 1);
    assert_eq!(proxy.tick(1), [4]);
    assert_eq!(proxy.answer(status(200)), [4]);
    assert_eq!(proxy.answer(status(200)), Vec::<usize>::new());
    // And of the policy, whose event came when all places were taken.
    assert_eq!(proxy.log("reach the collector again, 23 were dropped").len(), 1);
    let bodies: String =
        proxy.world.bodies().iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect();
    assert!(bodies.contains("r-8") && !bodies.contains("r-9"), "the first ones are kept");
    // Half a million more of them take no more than that.
    proxy.serve(500);
    assert_eq!(proxy.gateway.events_dropped(), 23 + 492);
}

/// A worker that nobody answers does not look two hundred times a second whether somebody does.
#[test]
fn a_collector_that_is_away_keeps_nobody_busy() {
    let mut proxy = Proxy::start(&json!({}));
    proxy.serve(8);
    let idle = 500;
    assert_eq!(proxy.tick(0), [4]);
    for pause in [1, 2, 4, 8].map(|seconds| seconds * SECOND) {
        proxy.answer(status(503));
        proxy.serve(1);
        assert_eq!(proxy.world.pace(), idle, "after {pause}");
        assert_eq!(proxy.tick(pause), [4]);
    }
    // It is given up, and the next full batch waits as long as the first would have.
    proxy.answer(status(503));
    proxy.serve(1);
    assert_eq!((proxy.gateway.events_dropped(), proxy.world.pace()), (9, idle));
    assert_eq!(proxy.tick(SECOND), Vec::<usize>::new());
    assert_eq!(proxy.world.pace(), idle);
}

#[test]
fn what_may_be_sent_again_is_and_what_may_not_is_not() {
    let retry_after = serialize([(&b"retry-after"[..], &b"7"[..])].into_iter());
    let mut proxy = Proxy::start(&json!({}));
    proxy.serve(3);
    assert_eq!(proxy.tick(SECOND), [4]);
    let first = proxy.world.bodies().last().cloned().unwrap();
    for (answer, pause) in [
        (status(503), SECOND),
        (Answer { headers: retry_after, ..status(429) }, 7 * SECOND),
        (status(502), 4 * SECOND),
        (status(504), 8 * SECOND),
    ] {
        assert_eq!(proxy.answer(answer), Vec::<usize>::new());
        assert_eq!(proxy.tick(pause - 1), Vec::<usize>::new(), "{pause}");
        assert_eq!(proxy.tick(1), [4], "{pause}");
        assert_eq!(proxy.world.bodies().last(), Some(&first), "not a byte of it has changed");
    }
    // Enough is enough.
    proxy.serve(1);
    assert_eq!(proxy.answer(status(503)), Vec::<usize>::new());
    assert_eq!((proxy.gateway.events_dropped(), proxy.log("dropped").len()), (4, 1));
    assert_eq!(proxy.tick(16 * SECOND), [1]);
    // A collector that says no is not asked again.
    for refusal in [400, 401, 404, 413, 500, 301, 0] {
        let dropped = proxy.gateway.events_dropped();
        proxy.serve(1);
        assert_eq!(proxy.answer(status(refusal)), Vec::<usize>::new());
        assert_eq!(proxy.gateway.events_dropped(), dropped + 1, "{refusal}");
        assert_eq!(proxy.tick(SECOND), [1]);
    }
    assert_eq!(proxy.answer(status(200)), Vec::<usize>::new());
    assert_eq!(proxy.log("again, 11 were dropped").len(), 1);
}

#[test]
fn an_answer_that_never_comes_and_answers_that_say_odd_things() {
    let mut proxy = Proxy::start(&json!({}));
    assert_eq!(proxy.tick(0), Vec::<usize>::new());
    assert_eq!(proxy.tick(SECOND), [1]);
    assert_eq!(proxy.tick(2 * SECOND), Vec::<usize>::new());
    assert_eq!(proxy.tick(SECOND), Vec::<usize>::new(), "given up");
    assert_eq!(proxy.tick(SECOND), [1], "and sent again");
    for (body, rejected) in [
        (Some(b"garbage \xff".to_vec()), 0),
        (None, 0),
        (Some(partial(3)), 3),
        (Some(partial(0)), 0),
        // A collector cannot make the counter jump.
        (Some(partial(u64::MAX)), 2048),
    ] {
        let dropped = proxy.gateway.events_dropped();
        proxy.serve(1);
        proxy.answer(Answer { body, ..status(200) });
        assert_eq!(proxy.gateway.events_dropped(), dropped + rejected);
        assert_eq!(proxy.tick(SECOND), [1]);
    }
}

/// `ExportLogsServiceResponse{partial_success{rejected_log_records, error_message}}`
fn partial(rejected: u64) -> Vec<u8> {
    let mut answer = Vec::new();
    put_nested(1, &mut answer, |partial| {
        put_number(1, rejected, partial);
        put_bytes(2, b"no\r\nroom", partial);
    });
    answer
}

#[test]
fn without_its_secret_nothing_is_sent() {
    let headers = json!({"headers": [{"name": "authorization", "env": "NOT_THERE"}]});
    let mut proxy = Proxy::start(&headers);
    proxy.serve(4);
    assert_eq!(proxy.tick(SECOND), Vec::<usize>::new());
    assert_eq!(proxy.gateway.events_dropped(), 5);
    assert_eq!(proxy.log("environment variable `NOT_THERE` is missing").len(), 1);
    let headers = json!({"headers": [{"name": "authorization", "env": "AUTHORIZATION"}]});
    let mut proxy = Proxy::start(&headers);
    proxy.serve(4);
    assert_eq!(proxy.tick(SECOND), [4]);
    assert_eq!(proxy.log("of-the-collector"), Vec::<String>::new());
}
