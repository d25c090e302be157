//! What does a client see when something breaks, and is it all right again afterwards?
//!
//! In every row there is a request that must never pass, and one that must pass in the end. That of services which the plugin calls (keys,
//! introspection, limits) is shown where those are: `remote_keys.rs`, `introspection.rs`, `global_rate_limit/`.

mod clock;
mod connections;
mod streams;
mod updates;
mod vm;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use host_tests::client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Request, Response};
use host_tests::scenario::TokenSpec;
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

/// What does not come in this time does not come.
const SOON: Duration = Duration::from_secs(20);
/// The listener, and its policy.
const NAME: &str = "faults";

/// One Envoy with one listener before one upstream.
struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
    server: SocketAddr,
}

impl Gateway {
    /// With one worker, so that who breaks it is served by it.
    fn start(plugin: PathBuf, policy: Value, change: impl FnOnce(Listener) -> Listener) -> Self {
        Self::launch(
            plugin,
            policy,
            change,
            Launch { arguments: words("--concurrency 1"), ..Launch::default() },
        )
    }

    fn launch(
        plugin: PathBuf,
        policy: Value,
        change: impl FnOnce(Listener) -> Listener,
        launch: Launch,
    ) -> Self {
        let upstream = Upstream::start().unwrap();
        let listener = change(Listener::new(NAME, policy, plugin, upstream.address().port()));
        let launch = Launch { listeners: vec![listener], ..launch };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let server = envoy.listener(NAME).unwrap();
        Self { envoy, upstream, server }
    }

    fn send(&self, request: &Request) -> Response {
        client::send(self.server, request).unwrap_or_else(|error| panic!("{error}\n{}", self.envoy.log()))
    }

    fn status(&self, request: &Request) -> u16 {
        self.send(request).status
    }

    /// Asks until this is the answer. What must not pass is tried as often, and must not.
    fn until_served(&self, told: &str) {
        let start = Instant::now();
        loop {
            let secret = self.status(&get("/orders"));
            assert!([401, 503].contains(&secret), "{told}: without a token {secret}");
            if self.status(&with_token("/orders")) == 200 {
                assert_eq!(self.status(&get("/orders")), 401, "{told}");
                return;
            }
            assert!(start.elapsed() < SOON, "{told}: it does not recover\n{}", self.envoy.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a request for this target reached the upstream.
    fn reached(&self, target: &str) -> bool {
        self.upstream.seen().iter().any(|seen| seen.target == target)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// `/open` is open, `/limited` twice a day, and for the rest it takes a token of `alice`.
fn policy() -> Value {
    let open = json!({"open": {"because": "test"}});
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": NAME, "audit": {"log": "All"},
        "jwt": {"providers": [{
            "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"],
            "localJWKS": {"inline": Keys::of_this_run().jwks(&["rs256", "es256"]).unwrap()},
            "claimToHeaders": [{"claim": "sub", "header": "x-user"}],
        }]},
        "routes": [
            {"name": "open", "match": {"path": {"type": "PathPrefix", "value": "/open"}}, "authentication": open.clone()},
            {"name": "limited", "match": {"path": {"type": "Exact", "value": "/limited"}}, "authentication": open,
                "rateLimit": {"local": {"rules": [{"name": "two", "limit": {"requests": 2, "unit": "Day"}}]}}},
            {"name": "all", "match": {}, "authentication": {"jwt": {}}},
        ],
    })
}

fn get(path: &str) -> Request {
    Request::get("api.example.com", path)
}

fn with_token(path: &str) -> Request {
    get(path).with("authorization", bearer())
}

fn bearer() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    format!("Bearer {}", Keys::of_this_run().mint(&TokenSpec::of("rs256"), now).unwrap())
}

/// A cluster that speaks HTTP/2 to its one endpoint, in the place of a listener's upstream.
fn http2_upstream(port: u16) -> Cluster {
    let mut cluster = Cluster::of_upstream(port).to_json();
    let options = "/typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    cluster.pointer_mut(options).unwrap()["explicit_http_config"] = json!({"http2_protocol_options": {}});
    Cluster::written(cluster, port)
}
