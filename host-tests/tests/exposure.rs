//! Can a client tell a route that is not for it from none? In real Envoy, told to show all that it knows of its answers.

use std::time::Duration;

use host_tests::artifacts;
use host_tests::client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Request, Response};
use host_tests::observed::audit_event;
use host_tests::upstream::Upstream;
use serde_json::json;

const INSIDE: &str = "10.1.2.3";
const OUTSIDE: &str = "192.0.2.1";

/// A request for a path.
type Sends<'a> = Box<dyn Fn(&str) -> Request + 'a>;

struct Gateway {
    envoy: Envoy,
    _upstream: Upstream,
}

impl Gateway {
    fn start() -> Self {
        let upstream = Upstream::start().unwrap();
        let inner = |name: &str, more: serde_json::Value| {
            let mut route = json!({
                "name": name, "match": {"path": {"type": "PathPrefix", "value": format!("/{name}")}},
                "exposure": {"to": "Admin", "clientCIDRs": ["10.0.0.0/8"]},
                "authentication": {"open": {"because": "test"}},
            });
            for (key, value) in more.as_object().unwrap() {
                route[key] = value.clone();
            }
            route
        };
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "exposure", "audit": {"log": "All"},
            "defaults": {"response": {}},
            "routes": [
                inner("plain", json!({})),
                inner("talkative", json!({
                    "cors": {"allowOrigins": ["https://app.example.com"]},
                    "response": {"frameOptions": "SameOrigin", "cacheControl": "NoStore"},
                    "request": {"methods": ["GET"], "maxPathBytes": "1Ki", "body": {"maxBytes": "1B", "contentTypes": ["text/plain"]}},
                    "rateLimit": {"headers": "Always", "local": {"rules": [{"name": "all", "limit": {"requests": 1000, "unit": "Hour"}}]}},
                })),
            ],
        });
        let mut listener =
            Listener::new("exposure", policy, artifacts::plugin().unwrap(), upstream.address().port());
        // An operator may have clients shown what the plugin has told the proxy.
        listener.manager = json!({
            "local_reply_config": {"mappers": [{
                "filter": {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 100, "runtime_key": "none"}}}},
                "headers_to_add": [{"header": {"key": "x-details", "value": "%RESPONSE_CODE_DETAILS%"}}],
            }]},
        });
        let launch = Launch { listeners: vec![listener], ..Launch::default() };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, _upstream: upstream }
    }

    fn answer(&self, from: &str, request: Request) -> Response {
        let address = self.envoy.listener("exposure").unwrap();
        let mut response = client::send(address, &request.with("x-forwarded-for", from)).unwrap();
        response.fields.retain(|(name, _)| name != "date");
        response
    }
}

#[test]
fn a_route_that_is_not_for_a_client_looks_like_none() {
    let gateway = Gateway::start();
    let origin = |request: Request| request.with("origin", "https://app.example.com");
    let get = |path: &str| Request::get("api.example.com", path);
    let method = |name: &str, path: &str| Request { method: name.to_owned(), ..get(path) };
    let long = "a".repeat(2000);
    // The same request for a route and for none.
    let pairs: Vec<Sends<'_>> = vec![
        Box::new(get),
        Box::new(|path| get(&format!("{path}/{long}"))),
        Box::new(|path| get(&format!("{path}?a=%00"))),
        Box::new(|path| method("DELETE", path)),
        Box::new(|path| method("HEAD", path)),
        Box::new(|path| method("POST", path).with("content-type", "application/grpc")),
        Box::new(|path| {
            method("POST", path).with("content-type", "application/json").with("content-length", "0")
        }),
        Box::new(|path| origin(get(path))),
        Box::new(|path| origin(method("OPTIONS", path)).with("access-control-request-method", "GET")),
        Box::new(|path| get(path).with("authorization", "Bearer x.y.z").with("cookie", "a=b")),
    ];
    for route in ["/plain", "/talkative"] {
        assert_eq!(gateway.answer(INSIDE, get(route)).status, 200, "{route} is there for those inside");
        for (number, request) in pairs.iter().enumerate() {
            let (hidden, none) =
                (gateway.answer(OUTSIDE, request(route)), gateway.answer(OUTSIDE, request("/none-of-it")));
            assert_eq!(hidden, none, "{route}, request {number}");
        }
    }
    // The proxy did show what it was told, and the record knows better.
    let told = gateway.answer(OUTSIDE, get("/plain").with("x-request-id", "from-outside"));
    assert_eq!(told.field("x-details").as_deref(), Some("no_route"));
    let event =
        gateway.envoy.find_in_log(Duration::from_secs(30), |line| audit_event(line, "from-outside")).unwrap();
    assert_eq!(
        (&event["event.reason"], &event["portcullis.route"]),
        (&json!("not_exposed"), &json!("plain"))
    );
}
