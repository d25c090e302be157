//! Is what the filter judged what the upstream got, byte for byte? Requests that two readers could take for two different things: over
//! HTTP/1.1 and HTTP/2, with Envoy's own normalisation and without.
//!
//! Whatever an answer is, after each connection these hold:
//! - what reached the upstream has an audit event that allowed it, of the same method, host and path;
//! - nothing reached the upstream that a reader who decodes, once or twice, and resolves dots could take for a path outside of `/open`;
//! - the next client gets the answer to its own request.

mod http1;
mod http2;

use std::io::Read as _;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use host_tests::artifacts;
use host_tests::client::Client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Request, latin1};
use host_tests::observed::{audit_event, told as told_of};
use host_tests::upstream::{Seen, Upstream};
use serde_json::{Value, json};

/// What does not come in this time does not come.
const SOON: Duration = Duration::from_secs(10);
/// How long we listen to a connection that says nothing: a proxy that waits for the rest of a request does so for longer.
const SILENCE: Duration = Duration::from_millis(500);

/// What is in force on each listener: `/open/…` is open, the rest takes a token, and nobody here has one.
fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": name, "audit": {"log": "All"},
        "jwt": {"providers": [{
            "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"],
            "localJWKS": {"inline": host_tests::tokens::Keys::of_this_run().jwks(&["rs256"]).unwrap()},
        }]},
        "routes": [
            {"name": "open", "match": {"path": {"type": "PathPrefix", "value": "/open"}}, "authentication": {"open": {"because": "test"}}},
            {"name": "all", "match": {}, "authentication": {"jwt": {}}},
        ],
    })
}

/// Envoy as strict as it comes, and as lenient as it can be made.
struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
}

impl Gateway {
    fn start() -> Self {
        let upstream = Upstream::start().unwrap();
        let plugin = artifacts::plugin().unwrap();
        let port = upstream.address().port();
        let listener = |name: &str| Listener::new(name, policy(name), plugin.clone(), port);
        let lenient = json!({
            "http_protocol_options": {
                "allow_absolute_url": true, "allow_chunked_length": true, "enable_trailers": true,
                "accept_http_10": true, "override_stream_error_on_invalid_http_message": true,
            },
            "http2_protocol_options": {"override_stream_error_on_invalid_http_message": true},
            "common_http_protocol_options": {"max_headers_count": 1000, "headers_with_underscores_action": "ALLOW"},
        });
        let listeners = vec![
            listener("plain"),
            Listener { normalize: true, ..listener("normal") },
            Listener { manager: lenient, ..listener("lenient") },
        ];
        let envoy = Envoy::start(&Launch { listeners, ..Launch::default() });
        Self { envoy: envoy.unwrap_or_else(|failure| panic!("{failure}")), upstream }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.envoy.listener(name).unwrap()
    }

    /// What reached the upstream since there were so many.
    fn reached(&self, before: usize) -> Vec<Seen> {
        self.upstream.seen().split_off(before)
    }

    /// Looks that the upstream got what was judged, and nothing else.
    fn judge(&self, told: &str, before: usize) {
        for seen in self.reached(before) {
            let id = seen.field("x-request-id").unwrap_or_default();
            let event = self.envoy.find_in_log(SOON, |line| audit_event(line, &id));
            let event = event.unwrap_or_else(|| panic!("{told}: {seen:?} was not judged"));
            let judged = ["decision", "method", "host", "path"]
                .map(|word| told_of(&event, word).as_str().unwrap_or_default().to_owned());
            let host = seen.field("host").unwrap_or_default();
            assert_eq!(judged, ["allowed", &seen.method, &host, &seen.target].map(str::to_owned), "{told}");
            assert!(is_open(&decoded(&seen.target)), "{told}: {seen:?}");
            assert!(is_open(&seen.target), "{told}: {seen:?}");
        }
    }

    /// The next client, on a new connection and on one that is kept, gets what it asked for.
    fn next_client(&self, name: &str, told: &str) {
        let mut client = Client::connect(self.address(name)).unwrap();
        for turn in 0..2 {
            let request =
                Request::get("next.example", &format!("/open/next-{turn}")).with("x-request-id", "next");
            let response = client.exchange(&request).unwrap_or_else(|error| panic!("{told}: {error}"));
            let echo: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            assert_eq!(
                (response.status, &echo["target"]),
                (200, &json!(format!("/open/next-{turn}"))),
                "{told}"
            );
        }
    }
}

/// Whether a server that resolves dots and slashes still finds it below `/open`.
fn is_open(target: &str) -> bool {
    let path = decoded(target.split('?').next().unwrap_or_default());
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments.first() == Some(&"open")
}

fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(byte) = after.get(..2).and_then(|two| u8::from_str_radix(two, 16).ok()) {
            out.push(char::from(byte));
            rest = &after[2..];
        } else {
            out.push('%');
            rest = after;
        }
    }
    out + rest
}

/// Everything that comes until the connection ends or says nothing for a while.
fn listen(mut stream: &TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 16 << 10]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        all.extend_from_slice(&piece[..count]);
    }
    drop(stream.shutdown(Shutdown::Both));
    all
}

/// The statuses of the answers in these bytes.
fn statuses(said: &[u8]) -> Vec<u16> {
    let said = latin1(said);
    let starts = said.match_indices("HTTP/1.").filter_map(|(at, _)| said.get(at + 9..at + 12)?.parse().ok());
    starts.collect()
}

/// What finds nothing would make the rest worthless.
#[test]
fn what_may_not_be_there_is_found_in_every_spelling() {
    for (target, open) in [
        ("/open/x", true),
        ("/open", true),
        ("/open/../x", false),
        ("/open/%2e%2e/x", false),
        ("/open\\..\\x", false),
        ("/open/..;/x", false),
        ("/x/../open", true),
        ("//x/open", false),
    ] {
        assert_eq!(is_open(target), open, "{target}");
    }
}
