//! Does a request that waits for the rate limit service go on from where it stood, with nothing charged or used up twice, and does it come to
//! an end whatever the service does? Natively, on a clock that we move; `tests/global_rate_limit` has a real service.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use host_tests::exchange::Request;
use host_tests::fake_host::{FakeHost, World};
use host_tests::scenario::TokenSpec;
use host_tests::tokens::{Keys, Proved};
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::{Answer, CallId, StreamId};
use portcullis_filter::http::head::serialize;
use portcullis_filter::limits;
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const SECOND: u64 = 1_000_000_000;
/// The answers of the service.
const YES: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
const NO: &[u8] = &[0, 0, 0, 0, 2, 8, 2];

struct Proxy {
    world: Rc<World>,
    gateway: Rc<Gateway>,
}

/// One request, as the host has it.
struct Exchange {
    host: FakeHost,
    stream: Rc<RefCell<Stream>>,
    flow: Flow,
}

impl Proxy {
    fn start(failure: &str) -> Self {
        let world = World::new(NOW * SECOND, BTreeMap::new(), true);
        world.know_clusters();
        let keys = Keys::of_this_run().jwks(&["rs256"]).unwrap();
        let limit = |requests: u64| {
            json!({
                "local": {"rules": [{"name": "here", "by": ["subject"], "limit": {"requests": requests, "unit": "Day"}}]},
                "global": {
                    "service": {"cluster": "rls"}, "domain": "shop", "timeout": "200ms", "failureMode": failure,
                    "rules": [{"name": "all", "by": ["subject"]}],
                },
            })
        };
        let open = json!({"open": {"because": "test"}});
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "waiting",
            "jwt": {"providers": [{
                "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"],
                "localJWKS": {"inline": keys}, "confirmation": {"dpop": "Required"},
                "claimToHeaders": [{"claim": "sub", "header": "x-user"}],
            }]},
            "routes": [
                {"name": "x", "match": {"path": {"type": "Exact", "value": "/x"}}, "authentication": {"jwt": {}}, "rateLimit": limit(2)},
                {"name": "open", "match": {"path": {"type": "Exact", "value": "/open"}}, "authentication": open,
                    "rateLimit": limit(10_000), "request": {"body": {"maxBytes": "64B"}}},
            ],
        });
        let host = FakeHost::new(Rc::clone(&world), &Request::get("", "/"));
        let gateway = Gateway::start(policy.to_string().as_bytes(), [7; 16], &host);
        let gateway = Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:?}")));
        Self { world, gateway }
    }

    fn arrive(&self, id: u32, request: &Request, end_of_stream: bool) -> Exchange {
        let host = FakeHost::new(Rc::clone(&self.world), request);
        let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(&self.gateway))));
        let flow = stream.borrow_mut().on_request_headers(&host, end_of_stream);
        if flow == Flow::Wait {
            self.gateway.on_wait(&host, StreamId(id), &stream);
        }
        Exchange { host, stream, flow }
    }

    fn open(&self, id: u32) -> Exchange {
        self.arrive(id, &Request::get("api.example.com", "/open"), true)
    }

    /// The number of the last call.
    fn last(&self) -> CallId {
        CallId(u32::try_from(self.world.calls().len()).unwrap())
    }

    fn answer(&self, exchange: &Exchange, call: CallId, body: &[u8]) {
        let map = |name: &str, value: &str| serialize([(name.as_bytes(), value.as_bytes())].into_iter());
        let headers = map("content-type", "application/grpc");
        let answer =
            Answer { status: 200, headers, body: Some(body.to_vec()), trailers: map("grpc-status", "0") };
        self.gateway.on_answer(&exchange.host, call, answer);
    }

    fn pass_time(&self, nanos: u64, exchange: &Exchange) {
        self.world.set_now(NOW * SECOND + nanos);
        self.gateway.on_tick(&exchange.host);
    }
}

impl Exchange {
    /// The status and the code that the client was told; nothing if it was not.
    fn told(&self) -> String {
        if !self.host.has_answered() {
            return String::new();
        }
        let response = self.host.observe(0).response;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        format!("{} {}", response.status, body["code"].as_str().unwrap_or_default())
    }
}

/// A request of alice's with a proof of its own.
fn proved(id: &str) -> Request {
    let mut spec = TokenSpec::of("rs256");
    spec.claims.insert("cnf".to_owned(), json!({"jkt": "client"}));
    let token = Keys::of_this_run().mint(&spec, NOW).unwrap();
    let about = Proved { token: &token, method: "GET", url: "http://api.example.com/x", id };
    let proof = Keys::of_this_run().prove(&TokenSpec::of("client"), &about, NOW).unwrap();
    let request = Request::get("api.example.com", "/x").with("x-user", "mallory");
    request.with("authorization", format!("DPoP {token}")).with("dpop", proof)
}

/// Were it decided on from the top, its proof would be a replay and its local limit charged twice.
#[test]
fn it_goes_on_from_where_it_stood() {
    let proxy = Proxy::start("Deny");
    for id in ["first", "second"] {
        let exchange = proxy.arrive(1, &proved(id), true);
        assert_eq!((exchange.flow, exchange.told().as_str()), (Flow::Wait, ""), "{:?}", proxy.world.log());
        proxy.pass_time(0, &exchange);
        assert!(!exchange.host.is_resumed(), "a look does not let it go");
        proxy.answer(&exchange, proxy.last(), YES);
        assert!(exchange.host.is_resumed(), "{:?}", exchange.told());
        exchange.host.upstream_answers();
        let upstream = exchange.host.observe(0).upstream.unwrap();
        let users: Vec<_> = upstream.fields.iter().filter(|(name, _)| name == "x-user").collect();
        assert_eq!(users, [&("x-user".to_owned(), b"alice".to_vec())]);
        assert!(!upstream.fields.iter().any(|(name, _)| name == "dpop" || name == "authorization"));
        // Nothing that comes later can decide on it again.
        proxy.answer(&exchange, proxy.last(), NO);
        assert_eq!(
            (exchange.told(), exchange.stream.borrow_mut().resume(&exchange.host, true)),
            (String::new(), Flow::Stop)
        );
    }
    assert_eq!(proxy.world.calls().len(), 2);
    let replay = proxy.arrive(2, &proved("first"), true);
    assert_eq!(replay.told(), "401 proof_replayed");
    let third = proxy.arrive(3, &proved("third"), true);
    assert_eq!(third.told(), "429 rate_limited", "two of two are gone");
    assert_eq!(proxy.world.calls().len(), 2, "and nobody was asked");
}

#[test]
fn it_is_refused_if_the_service_says_so() {
    let proxy = Proxy::start("Allow");
    let exchange = proxy.open(1);
    proxy.answer(&exchange, proxy.last(), NO);
    assert_eq!((exchange.told().as_str(), exchange.host.is_resumed()), ("429 rate_limited", false));
    assert_eq!(exchange.stream.borrow_mut().on_request_body(&exchange.host, 1), Flow::Stop);
    assert_eq!(exchange.stream.borrow_mut().on_request_trailers(&exchange.host), Flow::Stop);
}

/// The host's own timeout comes first; should it not come, ours does.
#[test]
fn it_is_over_when_its_time_is_over() {
    for (failure, told) in [("Deny", "503 limiter_unavailable"), ("Allow", ""), ("Local", "")] {
        let proxy = Proxy::start(failure);
        let exchange = proxy.open(1);
        let call = proxy.last();
        proxy.pass_time(SECOND / 5, &exchange);
        assert!(exchange.told().is_empty() && !exchange.host.is_resumed(), "the host may be about to say so");
        proxy.pass_time(SECOND / 5 + SECOND / 8, &exchange);
        assert_eq!(
            (exchange.told(), exchange.host.is_resumed()),
            (told.to_owned(), told.is_empty()),
            "{failure}"
        );
        proxy.answer(&exchange, call, if told.is_empty() { NO } else { YES });
        assert_eq!(
            (exchange.told(), exchange.host.is_resumed()),
            (told.to_owned(), told.is_empty()),
            "{failure}: too late"
        );
    }
}

#[test]
fn an_answer_is_for_the_one_who_asked() {
    let proxy = Proxy::start("Deny");
    let (one, two) = (proxy.open(1), proxy.open(2));
    // The second answer comes first, and one that nobody asked for.
    proxy.answer(&one, CallId(99), YES);
    proxy.answer(&two, CallId(2), NO);
    assert_eq!(
        (two.told().as_str(), one.told().as_str(), one.host.is_resumed()),
        ("429 rate_limited", "", false)
    );
    proxy.answer(&one, CallId(1), YES);
    assert!(one.host.is_resumed());
}

#[test]
fn a_body_that_came_while_it_waited_is_counted() {
    for (bytes, told) in [(64, ""), (65, "413 body_too_large")] {
        let proxy = Proxy::start("Deny");
        let mut request = Request::get("api.example.com", "/open");
        request.method = "POST".to_owned();
        let exchange = proxy.arrive(1, &request, false);
        for held in [30, bytes] {
            assert_eq!(exchange.stream.borrow_mut().on_request_body(&exchange.host, held), Flow::Stop);
        }
        assert_eq!(exchange.stream.borrow_mut().on_request_trailers(&exchange.host), Flow::Stop);
        proxy.answer(&exchange, proxy.last(), YES);
        assert_eq!((exchange.told(), exchange.host.is_resumed()), (told.to_owned(), told.is_empty()));
        assert_eq!(
            exchange.stream.borrow_mut().on_request_body(&exchange.host, 1),
            Flow::Stop,
            "one more is too much"
        );
    }
}

#[test]
fn questions_are_bounded_and_one_that_is_gone_is_forgotten() {
    let proxy = Proxy::start("Deny");
    let many: Vec<Exchange> =
        (0..u32::try_from(limits::LIMITER_QUESTIONS).unwrap()).map(|id| proxy.open(id)).collect();
    assert!(many.iter().all(|exchange| exchange.flow == Flow::Wait));
    let one_more = proxy.open(9999);
    assert_eq!(one_more.told(), "503 limiter_unavailable");
    assert_eq!(proxy.world.calls().len(), limits::LIMITER_QUESTIONS);
    drop(many);
    // Of their answers nobody is told; a moment later there is room again, and the service is not taken for dead.
    proxy.pass_time(SECOND, &one_more);
    let last = proxy.open(10_000);
    assert_eq!(last.flow, Flow::Wait);
    proxy.answer(&last, proxy.last(), YES);
    assert!(last.host.is_resumed());
}

/// After three failures nobody asks for a second, and then one.
#[test]
fn a_service_that_fails_is_left_in_peace() {
    let proxy = Proxy::start("Local");
    for id in 0..3 {
        let exchange = proxy.open(id);
        assert_eq!(exchange.flow, Flow::Wait);
        proxy.answer(&exchange, proxy.last(), b"garbage");
        assert!(exchange.host.is_resumed());
    }
    assert_eq!(proxy.open(4).flow, Flow::Continue);
    assert_eq!(proxy.world.calls().len(), 3);
    proxy.world.set_now((NOW + 1) * SECOND);
    let (one, other) = (proxy.open(5), proxy.open(6));
    assert_eq!((one.flow, other.flow), (Flow::Wait, Flow::Continue), "one finds out");
    proxy.answer(&one, proxy.last(), YES);
    assert_eq!(proxy.open(7).flow, Flow::Wait, "it is back");
}
