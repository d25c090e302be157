//! Is a token that is bound to a certificate (RFC 8705) of any use to somebody else? Real TLS, certificates made here, before real Envoy.

use std::net::SocketAddr;

use host_tests::artifacts;
use host_tests::certificates::{Authority, Certificate};
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{ClientCertificate, Cluster, Listener, Tls};
use host_tests::exchange::Request;
use host_tests::oidc::{Provider, Wish};
use host_tests::scenario::TokenSpec;
use host_tests::tls;
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

const HOST: &str = "gw.example";

struct Gateway {
    envoy: Envoy,
    _upstream: Upstream,
    servers: Authority,
}

impl Gateway {
    /// Listeners `required` and `optional`, by what the provider asks of its tokens, with certificates of `clients`.
    fn start(provider: &Value, clients: &Authority, clusters: Vec<Cluster>) -> Self {
        let upstream = Upstream::start().unwrap();
        let servers = Authority::new("servers").unwrap();
        let listener = |mode: &str| {
            let mut provider = provider.clone();
            provider["confirmation"] = json!({"mtls": mode});
            let policy = json!({
                "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "mtls",
                "jwt": {"providers": [provider]},
                "routes": [{"name": "all", "match": {}, "authentication": {"jwt": {}}}],
            });
            Listener {
                tls: Some(Tls {
                    certificate: servers.issue_server(HOST).unwrap(),
                    client: ClientCertificate::Optional(clients.clone()),
                }),
                ..Listener::new(
                    &mode.to_lowercase(),
                    policy,
                    artifacts::plugin().unwrap(),
                    upstream.address().port(),
                )
            }
        };
        let listeners = vec![listener("Required"), listener("Optional")];
        let envoy = Envoy::start(&Launch { listeners, clusters, ..Launch::default() })
            .unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, _upstream: upstream, servers }
    }

    fn address(&self, listener: &str) -> SocketAddr {
        self.envoy.listener(listener).unwrap()
    }

    fn outcome(&self, listener: &str, token: &str, certificate: Option<&Certificate>) -> (u16, String) {
        let request = Request::get(HOST, "/").with("authorization", format!("Bearer {token}"));
        let response = tls::send(self.address(listener), &self.servers, certificate, &request).unwrap();
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, body["code"].as_str().unwrap_or_default().to_owned())
    }
}

#[test]
fn only_who_shows_the_certificate_may_use_the_token() {
    let clients = Authority::new("clients").unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| clients.issue_client(name).unwrap());
    let provider = json!({
        "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
        "localJWKS": {"inline": Keys::of_this_run().jwks(&["rs256"]).unwrap()},
    });
    let gateway = Gateway::start(&provider, &clients, Vec::new());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mint = |cnf: Value| {
        let mut spec = TokenSpec::of("rs256");
        if !cnf.is_null() {
            spec.claims.insert("cnf".to_owned(), cnf);
        }
        Keys::of_this_run().mint(&spec, now).unwrap()
    };
    let bound = mint(json!({"x5t#S256": alice.x5t_s256()}));
    let unbound = mint(Value::Null);
    let twisted = mint(json!({"x5t#S256": 7}));
    let mismatch = (401, "token_binding_mismatch".to_owned());
    let good = (200, String::new());
    for (listener, token, certificate, expected) in [
        ("required", &bound, Some(&alice), good.clone()),
        ("required", &bound, Some(&bob), mismatch.clone()),
        ("required", &bound, None, mismatch.clone()),
        ("required", &unbound, Some(&alice), (401, "token_binding_missing".to_owned())),
        ("required", &unbound, None, (401, "token_binding_missing".to_owned())),
        ("optional", &bound, Some(&alice), good.clone()),
        ("optional", &bound, Some(&bob), mismatch.clone()),
        ("optional", &bound, None, mismatch.clone()),
        ("optional", &unbound, Some(&bob), good.clone()),
        ("optional", &unbound, None, good.clone()),
    ] {
        let outcome = gateway.outcome(listener, token, certificate);
        assert_eq!(outcome, expected, "{listener}, bound: {}", std::ptr::eq(token, &raw const bound));
    }
    for listener in ["required", "optional"] {
        assert_eq!(gateway.outcome(listener, &twisted, Some(&alice)).0, 401, "{listener}");
    }
}

/// A certified provider binds the token, fetches and all.
#[test]
fn a_provider_binds_what_the_gateway_checks() {
    let clients = Authority::new("clients").unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| clients.issue_client(name).unwrap());
    let issuer = Provider::start().unwrap();
    let provider = json!({
        "name": "corp", "issuer": issuer.issuer(), "audiences": ["orders-api"], "maxLifetime": "1d",
        "remoteJWKS": {"cluster": "issuer"},
    });
    let gateway = Gateway::start(&provider, &clients, vec![Cluster::new("issuer", issuer.port())]);
    let token = issuer.token(&Wish { certificate: Some(&alice), ..Wish::BEARER }).unwrap();
    assert_eq!(
        gateway.outcome("required", &token, Some(&alice)),
        (200, String::new()),
        "{}",
        gateway.envoy.log()
    );
    assert_eq!(gateway.outcome("required", &token, Some(&bob)).1, "token_binding_mismatch");
    assert_eq!(gateway.outcome("required", &token, None).1, "token_binding_mismatch");
}
