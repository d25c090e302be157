//! How many at once, over two workers of a real Envoy, and is it given back however a request ends?

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Body, Request, Response};
use host_tests::key_server::{Answer, Ending, KeyServer};
use serde_json::{Value, json};

/// How many may be under way.
const MOST: usize = 4;
/// How long the upstream takes.
const SLOW: Duration = Duration::from_millis(1500);

struct Gateway {
    envoy: Envoy,
    upstream: KeyServer,
    address: SocketAddr,
}

impl Gateway {
    fn start() -> Self {
        Self::start_with(&json!({"requests": 1000}))
    }

    fn start_with(overload: &Value) -> Self {
        let upstream = KeyServer::start().unwrap();
        upstream.answer("/slow", Answer::json("{}").after(SLOW));
        upstream.answer("/quick", Answer::json("{}"));
        upstream.answer("/broken", Answer::json("{}").ending(Ending::CutOff(1)));
        let rules = json!({"rules": [{"name": "all", "requests": MOST}]});
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "concurrency", "overload": overload,
            "defaults": {"rateLimit": {"concurrency": rules}},
            "routes": [
                {"name": "limited", "match": {"path": {"type": "Exact", "value": "/limited"}}, "authentication": {"open": {"because": "test"}},
                    "rateLimit": {"concurrency": {"rules": [{"name": "one", "requests": 1}]},
                        "local": {"rules": [{"name": "never", "limit": {"requests": 1, "unit": "Day"}}]}}},
                {"name": "hurried", "match": {"headers": [{"name": "x-hurry", "value": "yes"}]}, "authentication": {"open": {"because": "test"}}, "priority": "High"},
                {"name": "all", "match": {}, "authentication": {"open": {"because": "test"}}, "request": {"body": {"maxBytes": "16B"}}},
            ],
        });
        let listener = Listener::new("concurrency", policy, artifacts::plugin().unwrap(), upstream.port());
        let launch = Launch { listeners: vec![listener], ..Launch::default() };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("concurrency").unwrap();
        Self { envoy, upstream, address }
    }

    fn get(&self, path: &str) -> Response {
        client::send(self.address, &Request::get("api.example.com", path)).unwrap()
    }

    /// So many at once: how many came through, and how many were too many.
    fn crowd(&self, size: usize) -> (usize, usize) {
        let statuses: Vec<(u16, String)> = thread::scope(|scope| {
            let clients: Vec<_> = (0..size).map(|_| scope.spawn(|| told(&self.get("/slow")))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let count =
            |status, code: &str| statuses.iter().filter(|told| **told == (status, code.to_owned())).count();
        let counts = (count(200, ""), count(429, "concurrency_limited"));
        assert_eq!(counts.0 + counts.1, size, "{statuses:?}\n{}", self.envoy.log());
        counts
    }

    /// Asks until there is room again, for at most ten seconds, which is less than a lease: it was given back, and did not run out.
    fn until_free(&self) {
        let start = Instant::now();
        while self.get("/quick").status != 200 {
            assert!(start.elapsed() < Duration::from_secs(10), "{}", self.envoy.log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn told(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn so_many_at_once_and_again_when_they_are_over() {
    let gateway = Gateway::start();
    for _ in 0..3 {
        assert_eq!(gateway.crowd(3 * MOST), (MOST, 2 * MOST));
        gateway.until_free();
    }
    assert_eq!(gateway.upstream.requests("/slow"), 3 * MOST, "the upstream saw no more");
}

#[test]
fn however_a_request_ends_it_gives_back_what_it_had() {
    let gateway = Gateway::start();
    // Clients that leave while the upstream thinks.
    for round in 1..=5 {
        let connections: Vec<TcpStream> = (0..MOST)
            .map(|_| {
                let mut connection = TcpStream::connect(gateway.address).unwrap();
                connection.write_all(b"GET /slow HTTP/1.1\r\nhost: api\r\n\r\n").unwrap();
                connection
            })
            .collect();
        let start = Instant::now();
        while gateway.upstream.requests("/slow") < round * MOST {
            assert!(start.elapsed() < Duration::from_secs(10), "{}", gateway.envoy.log());
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(told(&gateway.get("/quick")), (429, "concurrency_limited".to_owned()));
        drop(connections);
        gateway.until_free();
    }
    // An upstream that breaks off, a body that is too long, and limits behind this one.
    for _ in 0..3 * MOST {
        let broken = client::send(gateway.address, &Request::get("api.example.com", "/broken"));
        assert!(broken.is_err(), "{broken:?}");
        let body = Body::Whole(vec![b'a'; 64]);
        let long = Request { method: "POST".to_owned(), body, ..Request::get("api.example.com", "/quick") };
        assert_eq!(client::send(gateway.address, &long).unwrap().status, 413);
    }
    gateway.upstream.answer("/limited", Answer::json("{}"));
    assert_eq!(gateway.get("/limited").status, 200);
    for _ in 0..5 {
        assert_eq!(told(&gateway.get("/limited")), (429, "rate_limited".to_owned()));
    }
    gateway.until_free();
    assert_eq!(gateway.crowd(2 * MOST), (MOST, MOST), "all of it is there again");
}

#[test]
fn what_matters_less_is_refused_while_upstreams_are_slow() {
    let gateway = Gateway::start_with(&json!({"latency": "1100ms"}));
    // One connection is served by one worker.
    let mut client = Client::connect(gateway.address).unwrap();
    let mut get = |path: &str, hurry: bool| {
        let request = Request::get("api.example.com", path);
        let request = if hurry { request.with("x-hurry", "yes") } else { request };
        told(&client.exchange(&request).unwrap())
    };
    assert_eq!(get("/quick", false), (200, String::new()));
    // A body may come as slowly as its sender likes, so what takes one tells nothing of the upstream.
    let body = Body::Whole(b"a".to_vec());
    let upload = Request { method: "POST".to_owned(), body, ..Request::get("api.example.com", "/slow") };
    for _ in 0..4 {
        assert_eq!(client::send(gateway.address, &upload).unwrap().status, 200);
        assert_eq!(get("/quick", false), (200, String::new()));
    }
    thread::sleep(Duration::from_secs(1));
    assert_eq!(get("/slow", false), (200, String::new()));
    assert_eq!(get("/quick", false), (503, "overloaded".to_owned()));
    // What matters goes on sooner than what matters less, and both do in the end: the average forgets.
    let start = Instant::now();
    while get("/quick", true).0 != 200 {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", gateway.envoy.log());
        thread::sleep(Duration::from_millis(50));
    }
    while get("/quick", false).0 != 200 {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", gateway.envoy.log());
        thread::sleep(Duration::from_millis(50));
    }
}
