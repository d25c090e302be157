//! A gateway in real Envoy before services that want proof, and one before a service that shows what it got.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use host_tests::artifacts;
use host_tests::certificates::{Authority, Certificate};
use host_tests::client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{ClientCertificate, Listener, Tls};
use host_tests::exchange::{Request, Response};
use host_tests::upstream::Upstream;
use portcullis_filter::guards::identity::api_key::KeyHash;
use serde_json::{Value, json};

use crate::backends::{ISSUER, NAMES};

pub(crate) const API_KEY: &str = "pck_4f2a9c01d7e86b35";
pub(crate) const HOST: &str = "api.example.com";

/// The gateway, with a listener `NAME` before each service and one `show-NAME` that sends the same to the one that shows it; and one that speaks TLS,
/// for those who ask for its keys, `keys`.
pub(crate) struct Gateway {
    pub(crate) envoy: Envoy,
    pub(crate) shown: Upstream,
    /// Who issued the certificate of the listener `keys`.
    pub(crate) authority: Authority,
    plan: Plan,
}

/// What its listeners are made of, whatever the signing keys.
struct Plan {
    ports: BTreeMap<&'static str, u16>,
    shown: u16,
    environment: BTreeMap<String, String>,
    certificate: Certificate,
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
        let authority = Authority::new("servers").unwrap();
        let certificate = authority.issue_server("gateway.example.com").unwrap();
        let plan = Plan { ports: ports.clone(), shown: shown.address().port(), environment, certificate };
        let listeners = plan.listeners(keys);
        let component_log_level = Some("wasm:trace".to_owned());
        let envoy = Envoy::start(&Launch { listeners, component_log_level, ..Launch::default() })
            .unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, shown, authority, plan }
    }

    /// Other signing keys, as an update of the policy.
    pub(crate) fn update(&mut self, keys: &Value) {
        let verdict =
            self.envoy.update(&self.plan.listeners(keys)).unwrap_or_else(|failure| panic!("{failure}"));
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

impl Plan {
    fn listeners(&self, keys: &Value) -> Vec<Listener> {
        let plugin = artifacts::plugin().unwrap();
        let one = |name: String, audience: &str, upstream: u16| {
            let mut listener = Listener::new(&name, policy(audience, keys), plugin.clone(), upstream);
            // One VM for all of them, which the proxy compiles once.
            "assertion".clone_into(&mut listener.vm_id);
            listener.host_env.clone_from(&self.environment);
            listener
        };
        let both = |name: &&'static str| {
            [one((*name).to_owned(), name, self.ports[name]), one(format!("show-{name}"), name, self.shown)]
        };
        let mut over_tls = one("keys".to_owned(), "nobody", self.shown);
        over_tls.tls =
            Some(Tls { certificate: self.certificate.clone(), client: ClientCertificate::NotAsked });
        let named = NAMES.iter().filter(|name| self.ports.contains_key(*name));
        named.flat_map(both).chain([over_tls]).collect()
    }
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
            route("long", "/long", json!({"audience": audience, "ttl": "5m"})),
            route("single", "/single", json!({"audience": audience, "reuse": "Off"})),
        ],
    })
}
