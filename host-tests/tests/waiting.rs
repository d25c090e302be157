//! Does every request that waits come to an end: let go, refused, late, or gone? Natively, on a clock that we move.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use host_tests::exchange::Request;
use host_tests::fake_host::{FakeHost, World};
use host_tests::scenario::TokenSpec;
use host_tests::tokens::Keys;
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::{Answer, CallId, StreamId};
use portcullis_filter::limits;
use serde_json::json;

const NOW: u64 = 1_800_000_000;
const SECOND: u64 = 1_000_000_000;

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
    fn start(mode: &str) -> Self {
        let world = World::new(NOW * SECOND, BTreeMap::new(), true);
        world.know_clusters();
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "waiting", "mode": mode,
            "jwt": {"providers": [{
                "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
                "remoteJWKS": {"uri": "https://id.example.com/jwks", "cluster": "id", "timeout": "2s"},
                "claimToHeaders": [{"claim": "sub", "header": "x-user"}],
            }]},
            "routes": [{"name": "all", "match": {}, "authentication": {"jwt": {}}, "request": {"body": {"maxBytes": "64B"}}}],
        });
        let host = FakeHost::new(Rc::clone(&world), &Request::get("", "/"));
        let gateway = Gateway::start(policy.to_string().as_bytes(), [7; 16], &host);
        let gateway = Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:?}")));
        Self { world, gateway }
    }

    /// Time passes. The world has one request that waits, and the host acts for that one.
    fn tick(&self, exchange: &Exchange) {
        self.gateway.on_tick(&exchange.host);
    }

    fn answer(&self, exchange: &Exchange, status: u16, body: &str) {
        let call = CallId(u32::try_from(self.world.calls().len()).unwrap());
        let answer =
            Answer { status, headers: Vec::new(), body: Some(body.as_bytes().to_vec()), ..Answer::default() };
        self.gateway.on_answer(&exchange.host, call, answer);
    }

    /// A request that names somebody else for its user.
    fn arrive(&self, id: u32, end_of_stream: bool) -> Exchange {
        let token = Keys::of_this_run().mint(&TokenSpec::of("rs256"), NOW).unwrap();
        let request = Request::get("api", "/")
            .with("authorization", format!("Bearer {token}"))
            .with("x-user", "mallory");
        let host = FakeHost::new(Rc::clone(&self.world), &request);
        let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(&self.gateway))));
        let flow = stream.borrow_mut().on_request_headers(&host, end_of_stream);
        if flow == Flow::Wait {
            self.gateway.on_wait(&host, StreamId(id), &stream);
        }
        Exchange { host, stream, flow }
    }
}

impl Exchange {
    /// The status that the client was told, if it was.
    fn told(&self) -> Option<u16> {
        self.host.has_answered().then(|| self.host.observe(0).response.status)
    }
}

fn jwks() -> String {
    Keys::of_this_run().jwks(&["rs256"]).unwrap()
}

#[test]
fn it_goes_on_when_the_keys_are_there_and_says_who_it_is() {
    let proxy = Proxy::start("Enforce");
    let exchange = proxy.arrive(1, true);
    assert_eq!((exchange.flow, exchange.told()), (Flow::Wait, None));
    proxy.tick(&exchange);
    assert_eq!(proxy.world.calls(), ["GET /jwks"]);
    assert!(!exchange.host.is_resumed());
    proxy.answer(&exchange, 200, &jwks());
    assert!(exchange.host.is_resumed());
    exchange.host.upstream_answers();
    let upstream = exchange.host.observe(0).upstream.unwrap();
    assert_eq!(upstream.fields.iter().filter(|(name, _)| name == "x-user").count(), 1);
    assert!(upstream.fields.contains(&("x-user".to_owned(), b"alice".to_vec())), "{upstream:?}");
    // Once more cannot hurt it.
    proxy.tick(&exchange);
    assert_eq!(exchange.stream.borrow_mut().resume(&exchange.host, true), Flow::Stop);
    assert_eq!(proxy.arrive(2, true).flow, Flow::Continue, "nobody waits for what is there");
}

#[test]
fn it_is_refused_when_they_are_not_to_be_had_or_late() {
    for late in [false, true] {
        let proxy = Proxy::start("Enforce");
        let exchange = proxy.arrive(1, true);
        proxy.tick(&exchange);
        if late {
            proxy.world.set_now(NOW * SECOND + 2 * SECOND);
            proxy.tick(&exchange);
            assert_eq!(exchange.told(), None, "the call itself may take as long");
            proxy.world.set_now(NOW * SECOND + 2 * SECOND + SECOND / 4);
            proxy.tick(&exchange);
        } else {
            proxy.answer(&exchange, 500, "");
        }
        assert_eq!((exchange.told(), exchange.host.is_resumed()), (Some(503), false));
        // The host may still bring what it held back.
        assert_eq!(exchange.stream.borrow_mut().on_request_body(&exchange.host, 1), Flow::Stop);
        assert_eq!(exchange.stream.borrow_mut().on_request_trailers(&exchange.host), Flow::Stop);
    }
}

#[test]
fn a_check_that_could_not_be_made_passes_in_shadow_as_nobody() {
    let proxy = Proxy::start("Shadow");
    let exchange = proxy.arrive(1, true);
    proxy.tick(&exchange);
    proxy.answer(&exchange, 500, "");
    assert!(exchange.host.is_resumed());
    exchange.host.upstream_answers();
    let upstream = exchange.host.observe(0).upstream.unwrap();
    assert!(!upstream.fields.iter().any(|(name, _)| name == "x-user"), "{upstream:?}");
}

#[test]
fn a_body_that_came_while_it_waited_is_counted() {
    for (bytes, expected) in [(64, None), (65, Some(413))] {
        let proxy = Proxy::start("Enforce");
        let exchange = proxy.arrive(1, false);
        // The host counts from the beginning of what it holds back.
        for held in [30, bytes] {
            assert_eq!(exchange.stream.borrow_mut().on_request_body(&exchange.host, held), Flow::Stop);
        }
        proxy.tick(&exchange);
        proxy.answer(&exchange, 200, &jwks());
        assert_eq!((exchange.told(), exchange.host.is_resumed()), (expected, expected.is_none()));
        let more = exchange.stream.borrow_mut().on_request_body(&exchange.host, 1);
        assert_eq!(more, Flow::Stop, "one byte more is too much in both cases");
    }
}

#[test]
fn one_that_is_gone_is_forgotten_and_keeps_nobody_from_waiting() {
    let proxy = Proxy::start("Enforce");
    let many: Vec<Exchange> =
        (0..u32::try_from(limits::WAITERS).unwrap()).map(|id| proxy.arrive(id, true)).collect();
    assert!(many.iter().all(|exchange| exchange.flow == Flow::Wait));
    let one_more = proxy.arrive(9999, true);
    assert_eq!((one_more.flow, one_more.told()), (Flow::Stop, Some(503)), "there is no room to wait");
    drop(many);
    proxy.tick(&one_more);
    let last = proxy.arrive(10_000, true);
    assert_eq!(last.flow, Flow::Wait);
    proxy.answer(&last, 200, &jwks());
    assert!(last.host.is_resumed());
}
