//! A gateway in real Envoy before services that want proof, and one before a service that shows what it got.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use host_tests::artifacts;
use host_tests::client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Request, Response};
use host_tests::upstream::Upstream;
use portcullis_filter::guards::identity::api_key::KeyHash;
use serde_json::{Value, json};

use crate::backends::{ISSUER, NAMES};

pub(crate) const API_KEY: &str = "pck_4f2a9c01d7e86b35";
pub(crate) const HOST: &str = "api.example.com";

/// The gateway, with a listener `NAME` before each service and one `show-NAME` that sends the same to the one that shows it.
pub(crate) struct Gateway {
    pub(crate) envoy: Envoy,
    pub(crate) shown: Upstream,
    ports: BTreeMap<&'static str, u16>,
    environment: BTreeMap<String, String>,
}

impl Gateway {
    pub(crate) fn start(
        ports: &BTreeMap<&'static str, u16>,
        keys: &Value,
        environment: &[(&str, &str)],
    ) -> Self {
        let shown = Upstream::start().unwrap();
        let environment: BTreeMap<String, String> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let listeners = listeners(ports, shown.address().port(), keys, &environment);
        let component_log_level = Some("wasm:trace".to_owned());
        let envoy = Envoy::start(&Launch { listeners, component_log_level, ..Launch::default() })
            .unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, shown, ports: ports.clone(), environment }
    }

    /// Other signing keys, as an update of the policy.
    pub(crate) fn update(&mut self, keys: &Value) {
        let listeners = listeners(&self.ports, self.shown.address().port(), keys, &self.environment);
        let verdict = self.envoy.update(&listeners).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(verdict, host_tests::envoy::Verdict::Taken);
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.envoy.listener(listener).unwrap()
    }

    pub(crate) fn send(&self, listener: &str, method: &str, target: &str) -> Response {
        client::send(self.address(listener), &keyed(method, target)).unwrap()
    }

    /// The assertion that a service of that name gets with such a request.
    pub(crate) fn stolen(&self, name: &str, method: &str, target: &str) -> String {
        let response = self.send(&format!("show-{name}"), method, target);
        shown_assertion(&response)
    }
}

/// What the service that shows what it got has got.
pub(crate) fn shown_assertion(response: &Response) -> String {
    let seen: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let mut headers = seen["headers"].as_array().into_iter().flatten();
    let found = headers.find(|header| header[0] == "x-portcullis-assertion");
    let found = found.and_then(|header| header[1].as_str()).map(str::to_owned);
    found.unwrap_or_else(|| panic!("{} {seen}", response.status))
}

pub(crate) fn keyed(method: &str, target: &str) -> Request {
    let request = Request { method: method.to_owned(), ..Request::get(HOST, target) };
    request.with("x-api-key", API_KEY)
}

fn listeners(
    ports: &BTreeMap<&'static str, u16>,
    shown: u16,
    keys: &Value,
    environment: &BTreeMap<String, String>,
) -> Vec<Listener> {
    let plugin = artifacts::plugin().unwrap();
    let one = |name: String, audience: &str, upstream: u16| {
        let mut listener = Listener::new(&name, policy(audience, keys), plugin.clone(), upstream);
        // One VM for all of them, which the proxy compiles once.
        "assertion".clone_into(&mut listener.vm_id);
        listener.host_env.clone_from(environment);
        listener
    };
    let both = |name: &&'static str| {
        [one((*name).to_owned(), name, ports[name]), one(format!("show-{name}"), name, shown)]
    };
    NAMES.iter().filter(|name| ports.contains_key(*name)).flat_map(both).collect()
}

fn policy(audience: &str, keys: &Value) -> Value {
    let hash = KeyHash::of(API_KEY.as_bytes(), None).to_string();
    let route = |name: &str, path: &str, assertion: Value| {
        json!({
            "name": name, "match": {"path": {"type": "PathPrefix", "value": path}}, "authentication": {"apiKey": {}},
            "upstream": {"assertion": assertion},
        })
    };
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "assertion",
        "apiKeyAuth": {"keys": [{"client": "partner", "keyHash": hash, "scopes": ["read"]}]},
        "signing": {"issuer": ISSUER, "keys": keys, "jwks": {"path": "/keys", "maxAge": "1s"}},
        "routes": [
            route("orders", "/orders", json!({"audience": audience})),
            route("brief", "/brief", json!({"audience": audience, "ttl": "1s"})),
            route("single", "/single", json!({"audience": audience, "reuse": "Off"})),
        ],
    })
}
