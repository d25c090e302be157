//! What if a client breaks off, waits to be asked, or wants to speak something else than HTTP? Over HTTP/1.1; `streams.rs` has HTTP/2.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::envoy::Launch;
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Body, Request, latin1};
use host_tests::key_server::{Answer, KeyServer};
use serde_json::json;

use super::{Gateway, NAME, SOON, bearer, get, policy, with_token};

/// What a client has said when it breaks off.
fn broken_off() -> Vec<(&'static str, Vec<u8>)> {
    let token = bearer();
    let post = |path: &str| Request {
        method: "POST".to_owned(),
        body: Body::Whole(vec![b'a'; 4000]),
        ..get(path).with("authorization", token.as_str())
    };
    let cut = |request: &Request, bytes: usize| {
        let wire = request.to_wire();
        wire[..wire.len() - bytes].to_vec()
    };
    let mut chunks = cut(&post("/orders"), 4000);
    let length = latin1(&chunks).replace("content-length: 4000", "transfer-encoding: chunked");
    chunks = length.into_bytes();
    vec![
        ("nothing", Vec::new()),
        ("half a line", b"GET /ord".to_vec()),
        ("half a head", cut(&with_token("/orders"), 30)),
        ("a head that announces a body", cut(&post("/orders"), 4000)),
        ("half a body", cut(&post("/orders"), 2000)),
        ("half a chunk", [chunks.clone(), b"100\r\naaaa".to_vec()].concat()),
        ("a chunk whose length is none", [chunks, b"xyz\r\n".to_vec()].concat()),
        ("all, while the upstream thinks", get("/open/slow").to_wire()),
        ("all, while keys are fetched", get("/remote").with("authorization", token.as_str()).to_wire()),
        ("two requests at once", [get("/open/slow").to_wire(), with_token("/orders").to_wire()].concat()),
    ]
}

#[test]
fn who_breaks_off_leaves_nothing_behind() {
    let slow = KeyServer::start().unwrap();
    for path in ["/open/slow", "/jwks"] {
        slow.answer(path, Answer::json("{}").after(Duration::from_millis(700)));
    }
    for path in ["/orders", "/open"] {
        slow.answer(path, Answer::json("{}"));
    }
    let mut policy = policy();
    policy["jwt"]["providers"].as_array_mut().unwrap().push(json!({
        "name": "remote", "issuer": "https://id.example.com", "audiences": ["orders-api"],
        "remoteJWKS": {"uri": slow.url("/jwks"), "cluster": "issuer", "timeout": "2s"},
    }));
    let routes = policy["routes"].as_array_mut().unwrap();
    for route in routes.iter_mut() {
        if route["name"] == "all" {
            route["authentication"] = json!({"jwt": {"providers": ["corp"]}});
        }
    }
    routes.insert(
        0,
        json!({"name": "remote", "match": {"path": {"type": "Exact", "value": "/remote"}},
        "authentication": {"jwt": {"providers": ["remote"]}}}),
    );
    let launch = Launch { clusters: vec![Cluster::new("issuer", slow.port())], ..Launch::default() };
    let port = slow.port();
    let gateway = Gateway::launch(
        artifacts::plugin().unwrap(),
        policy,
        |listener| Listener { upstream: port, ..listener },
        launch,
    );
    for (said, wire) in broken_off() {
        // With an end, with a reset, and with half an end: a client may still listen.
        for how in ["close", "reset", "half"] {
            let mut stream = TcpStream::connect(gateway.server).unwrap();
            stream.write_all(&wire).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            match how {
                "reset" => reset(stream),
                "half" => drop(stream.shutdown(Shutdown::Write)),
                _ => drop(stream),
            }
            gateway.until_served(&format!("{said}, {how}"));
        }
    }
    let active = format!("http.{NAME}.downstream_rq_active");
    let start = Instant::now();
    while gateway.envoy.stat(&active) > 0 {
        assert!(start.elapsed() < SOON, "{} requests are left", gateway.envoy.stat(&active));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!gateway.envoy.log().contains("panic at"), "{}", gateway.envoy.log());
}

/// RFC 9110 §10.1.1: who asks before it sends is told no before it has sent, and yes once.
#[test]
fn who_asks_before_sending_is_told() {
    let gateway = Gateway::start(artifacts::plugin().unwrap(), policy(), |listener| listener);
    let head = |request: Request| {
        let request = Request { method: "POST".to_owned(), ..request };
        request
            .with("expect", "100-continue")
            .with("content-length", "5")
            .with("connection", "close")
            .to_wire()
    };
    let mut refused = connect(&gateway);
    refused.write_all(&head(get("/orders"))).unwrap();
    let said = read_all(&mut refused);
    // Whether the proxy says `100` or not: what counts is the refusal, and that nothing went on.
    assert!(said.contains("HTTP/1.1 401 ") && !said.contains("HTTP/1.1 200"), "{said}");
    assert!(!gateway.reached("/orders"));

    let mut admitted = connect(&gateway);
    admitted.write_all(&head(with_token("/orders"))).unwrap();
    let mut first = [0; 25];
    admitted.read_exact(&mut first).unwrap();
    assert_eq!(latin1(&first), "HTTP/1.1 100 Continue\r\n\r\n");
    admitted.write_all(b"hello").unwrap();
    let said = read_all(&mut admitted);
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    let seen = gateway.upstream.seen();
    assert_eq!(seen.iter().map(|seen| seen.body.as_slice()).collect::<Vec<_>>(), [b"hello"]);
}

/// A server that answers every upgrade with `101` and then gives back what it gets.
fn echo() -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            let head = head_of(&mut stream);
            if head.is_empty() {
                return heads;
            }
            heads.push(head);
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            let mut piece = [0; 16 << 10];
            while let Ok(count @ 1..) = stream.read(&mut piece) {
                stream.write_all(&piece[..count]).unwrap();
            }
        }
        heads
    });
    (port, thread)
}

/// A handshake is a request like any other; what comes after it is bytes in both directions.
#[test]
fn a_websocket_opens_for_who_may_and_for_nobody_else() {
    let (port, server) = echo();
    let manager = json!({"upgrade_configs": [{"upgrade_type": "websocket"}]});
    let change = |listener| Listener { upstream: port, manager, ..listener };
    let gateway = Gateway::start(artifacts::plugin().unwrap(), policy(), change);
    let shake = |request: Request| {
        let request = request.with("connection", "Upgrade").with("upgrade", "websocket");
        request.with("sec-websocket-version", "13").with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    for (request, status) in [
        (shake(get("/orders")), 401),
        (shake(get("/orders").with("authorization", "Bearer x.y.z")), 401),
        (shake(get("/orders/../open")), 400),
    ] {
        assert_eq!(gateway.status(&request), status);
    }
    let mut socket = connect(&gateway);
    socket.write_all(&shake(with_token("/orders").with("x-user", "root")).to_wire()).unwrap();
    let head = head_of(&mut socket);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for size in [1, 125, 70_000] {
        let frame = vec![b'f'; size];
        socket.write_all(&frame).unwrap();
        let mut back = vec![0; size];
        socket.read_exact(&mut back).unwrap();
        assert_eq!(back, frame);
    }
    drop(socket);
    // The one connection that says nothing ends the server.
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    let heads = server.join().unwrap();
    assert_eq!(heads.len(), 1, "{heads:?}");
    let head = heads[0].to_ascii_lowercase();
    assert!(head.contains("x-user: alice") && !head.contains("root") && !head.contains("bearer"), "{head}");
}

/// A tunnel has no path that a policy could judge, so there is none, even where the proxy would make one.
#[test]
fn a_tunnel_is_refused() {
    let gateway = Gateway::start(artifacts::plugin().unwrap(), policy(), |listener| {
        let cluster = format!("upstream-{}", listener.upstream);
        let manager = json!({
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"connect_matcher": {}}, "route": {"cluster": cluster,
                    "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}},
                {"match": {"prefix": "/"}, "route": {"cluster": cluster}},
            ]}]},
        });
        Listener { manager, ..listener }
    });
    for token in [None, Some(bearer())] {
        let mut head = "CONNECT api.example.com:443 HTTP/1.1\r\nhost: api.example.com:443\r\n".to_owned();
        if let Some(token) = &token {
            head.push_str(&format!("authorization: {token}\r\n"));
        }
        let mut stream = connect(&gateway);
        stream.write_all(format!("{head}\r\nGET /orders HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).unwrap();
        let said = head_of(&mut stream);
        assert!(said.starts_with("HTTP/1.1 4"), "{said}");
        assert_eq!(gateway.upstream.seen(), []);
    }
    gateway.until_served("a tunnel");
}

/// Ends a connection with a reset in place of an end.
fn reset(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async { tokio::net::TcpStream::from_std(stream).unwrap().set_zero_linger().unwrap() });
}

fn connect(gateway: &Gateway) -> TcpStream {
    let stream = TcpStream::connect(gateway.server).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    latin1(&all)
}

/// The bytes up to the blank line; none if there is no such line.
fn head_of(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return String::new(),
        }
    }
    latin1(&head)
}
