//! Does a certificate say who is calling, and only one that somebody vouches for? Real TLS, certificates made here, before real Envoy.

use std::net::SocketAddr;

use host_tests::artifacts;
use host_tests::certificates::{Authority, Certificate};
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{ClientCertificate, Listener, Tls};
use host_tests::exchange::Request;
use host_tests::observed::audit_event;
use host_tests::scenario::TokenSpec;
use host_tests::tls;
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

const HOST: &str = "gw.example";
const ORDERS: &str = "spiffe://corp.example/ns/orders/sa/api";

struct Gateway {
    envoy: Envoy,
    upstream: Upstream,
    servers: Authority,
}

/// Of whom a listener asks a certificate, and who vouches for it in the policy.
fn listener(
    name: &str,
    client: ClientCertificate,
    vouched: Value,
    servers: &Authority,
    port: u16,
) -> Listener {
    let mut vouched = vouched;
    vouched["forwardIdentityHeader"] = json!("x-peer");
    let route = |name: &str, authentication: Value| {
        json!({
            "name": name, "match": {"path": {"type": "PathPrefix", "value": format!("/{name}")}}, "authentication": authentication,
        })
    };
    let mut once = route("once", json!({"mtls": {"spiffe": ["spiffe://corp.example/*"]}}));
    once["rateLimit"] = json!({"local": {"rules": [{"name": "one", "by": ["subject"], "limit": {"requests": 1, "unit": "Hour"}}]}});
    let mut ruled = route("ruled", json!({"mtls": {"spiffe": ["spiffe://corp.example/*"]}}));
    ruled["authorization"] =
        json!({"rules": [{"name": "orders", "action": "Allow", "principal": {"clients": [ORDERS]}}]});
    let mut internal = route(
        "internal",
        json!({"mtls": {"spiffe": ["spiffe://corp.example/ns/orders/*"], "sans": ["*.partner.example"]}}),
    );
    internal["exposure"] = json!("Internal");
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "certificates", "audit": {"log": "All"},
        "jwt": {"providers": [{
            "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
            "localJWKS": {"inline": Keys::of_this_run().jwks(&["rs256"]).unwrap()},
        }]},
        "clientCertificates": vouched,
        "routes": [
            internal, once, ruled,
            route("either", json!({"anyOf": [{"jwt": {}}, {"mtls": {"spiffe": [ORDERS]}}]})),
            route("perhaps", json!({"anyOf": [{"mtls": {"spiffe": [ORDERS]}}, {"open": {"because": "test"}}]})),
        ],
    });
    Listener {
        tls: Some(Tls { certificate: servers.issue_server(HOST).unwrap(), client }),
        vm_id: format!("portcullis-test-{name}"),
        ..Listener::new(name, policy, artifacts::plugin().unwrap(), port)
    }
}

impl Gateway {
    fn start(listeners: Vec<(&str, ClientCertificate, Value)>) -> Self {
        let upstream = Upstream::start().unwrap();
        let servers = Authority::new("servers").unwrap();
        let port = upstream.address().port();
        let listeners = listeners
            .into_iter()
            .map(|(name, client, vouched)| listener(name, client, vouched, &servers, port));
        let launch = Launch { listeners: listeners.collect(), ..Launch::default() };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, upstream, servers }
    }

    fn address(&self, listener: &str) -> SocketAddr {
        self.envoy.listener(listener).unwrap()
    }

    fn send(
        &self,
        listener: &str,
        shown: Option<&Certificate>,
        request: &Request,
    ) -> Result<(u16, String), std::io::Error> {
        let response = tls::send(self.address(listener), &self.servers, shown, request)?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Ok((response.status, body["code"].as_str().unwrap_or_default().to_owned()))
    }

    fn outcome(&self, listener: &str, shown: Option<&Certificate>, path: &str) -> (u16, String) {
        self.send(listener, shown, &Request::get(HOST, path)).unwrap()
    }
}

fn said(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[test]
fn a_certificate_says_who_is_calling() {
    let clients = Authority::new("clients").unwrap();
    let uri = |uri: &str| clients.issue_named("x", &[uri], &[]).unwrap();
    let (orders, billing) = (uri(ORDERS), uri("spiffe://corp.example/ns/billing/sa/api"));
    let two = clients.issue_named("x", &[ORDERS, "spiffe://corp.example/ns/admin/sa/root"], &[]).unwrap();
    let partner = clients.issue_named("x", &[], &["other.example", "eu.partner.example"]).unwrap();
    let nobody = clients.issue_client(ORDERS).unwrap();
    let proxy = json!({"validatedByProxy": {"because": "the listener has a validation context"}});
    let authority = json!({"authorities": clients.to_pem()});
    let gateway = Gateway::start(vec![
        ("by-proxy", ClientCertificate::Optional(clients.clone()), proxy),
        ("by-authority", ClientCertificate::Optional(clients.clone()), authority),
    ]);
    let unaccepted = said(401, "certificate_unaccepted");
    for listener in ["by-proxy", "by-authority"] {
        for (shown, path, expected) in [
            (Some(&orders), "/internal", said(200, "")),
            (Some(&partner), "/internal", said(200, "")),
            (Some(&billing), "/internal", unaccepted.clone()),
            (Some(&two), "/internal", unaccepted.clone()),
            // The subject is no name: anybody with a certificate could have asked for it.
            (Some(&nobody), "/internal", unaccepted.clone()),
            (None, "/internal", said(401, "credential_missing")),
            (Some(&orders), "/once", said(200, "")),
            (Some(&orders), "/once", said(429, "rate_limited")),
            (Some(&billing), "/once", said(200, "")),
            (Some(&orders), "/ruled", said(200, "")),
            (Some(&billing), "/ruled", said(403, "access_denied")),
            (Some(&orders), "/either", said(200, "")),
            (None, "/either", said(401, "credential_missing")),
            (None, "/perhaps", said(200, "")),
            (Some(&orders), "/perhaps", said(200, "")),
            // A bad one never passes for none.
            (Some(&billing), "/perhaps", unaccepted.clone()),
        ] {
            assert_eq!(
                gateway.outcome(listener, shown, path),
                expected,
                "{listener} {path}\n{}",
                gateway.envoy.log()
            );
        }
        // What the upstream and the audit are told; the client's own words go no further.
        let id = format!("{listener}-told");
        let request =
            Request::get(HOST, "/internal").with("x-peer", "root").with("x-request-id", id.as_str());
        assert_eq!(gateway.send(listener, Some(&orders), &request).unwrap(), said(200, ""));
        let seen = gateway.upstream.seen_with_id(&id).unwrap();
        assert_eq!(seen.field("x-peer").as_deref(), Some(ORDERS));
        let event = gateway
            .envoy
            .find_in_log(std::time::Duration::from_secs(5), |line| audit_event(line, &id))
            .unwrap();
        assert_eq!((&event["user.id"], &event["portcullis.exposure"]), (&json!(ORDERS), &json!("Internal")));
        // A token decides if one came.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let token = Keys::of_this_run().mint(&TokenSpec::of("rs256"), now).unwrap();
        for (token, expected) in
            [(token.clone(), said(200, "")), (format!("{token}x"), said(401, "token_malformed"))]
        {
            let request = Request::get(HOST, "/either").with("authorization", format!("Bearer {token}"));
            assert_eq!(gateway.send(listener, Some(&orders), &request).unwrap(), expected);
        }
    }
}

/// Without a validation context Envoy asks for no certificate; with `ACCEPT_UNTRUSTED` it asks, and believes anybody: then only the policy's own
/// authorities tell who is who.
#[test]
fn somebody_must_vouch_for_it() {
    let (clients, evil) = (Authority::new("clients").unwrap(), Authority::new("clients").unwrap());
    let good = clients.issue_named("x", &[ORDERS], &[]).unwrap();
    let forged = evil.issue_named("x", &[ORDERS], &[]).unwrap();
    let proxy = json!({"validatedByProxy": {"because": "said, and not so"}});
    let authority = json!({"authorities": clients.to_pem()});
    let gateway = Gateway::start(vec![
        ("no-context", ClientCertificate::RequiredOfNobody, proxy.clone()),
        ("checked", ClientCertificate::Optional(clients.clone()), proxy.clone()),
        ("untrusted", ClientCertificate::Untrusted(clients.clone()), proxy),
        ("untrusted-by-authority", ClientCertificate::Untrusted(clients.clone()), authority),
    ]);
    assert_eq!(gateway.outcome("no-context", Some(&good), "/internal"), said(401, "credential_missing"));
    assert_eq!(gateway.outcome("checked", Some(&good), "/internal"), said(200, ""));
    let ended = gateway.send("checked", Some(&forged), &Request::get(HOST, "/internal"));
    assert!(ended.is_err(), "Envoy ends the connection: {ended:?}");
    // What the documentation warns of. If Envoy should refuse this one day, the warning can go.
    assert_eq!(gateway.outcome("untrusted", Some(&forged), "/internal"), said(200, ""));
    assert_eq!(gateway.outcome("untrusted-by-authority", Some(&good), "/internal"), said(200, ""));
    assert_eq!(
        gateway.outcome("untrusted-by-authority", Some(&forged), "/internal"),
        said(401, "certificate_invalid")
    );
}

/// Of a chain the proxy may make what it likes: the gateway takes what an authority of its own has issued itself, and says of everything else why not.
#[test]
fn a_chain_is_not_followed() {
    let root = Authority::new("root").unwrap();
    let between = root.issue_authority("between").unwrap();
    let shown = between.issue_named("x", &[ORDERS], &[]).unwrap();
    let proxy = json!({"validatedByProxy": {"because": "the listener has a validation context"}});
    let of = |authority: &Authority| json!({"authorities": authority.to_pem()});
    let gateway = Gateway::start(vec![
        ("by-proxy", ClientCertificate::Optional(root.clone()), proxy),
        ("by-root", ClientCertificate::Optional(root.clone()), of(&root)),
        ("by-the-one-between", ClientCertificate::Optional(root.clone()), of(&between)),
    ]);
    for (listener, expected) in [
        ("by-proxy", said(200, "")),
        ("by-root", said(401, "certificate_invalid")),
        ("by-the-one-between", said(200, "")),
    ] {
        let request = Request::get(HOST, "/internal").with("x-request-id", listener);
        assert_eq!(gateway.send(listener, Some(&shown), &request).unwrap(), expected, "{listener}");
    }
    let soon = std::time::Duration::from_secs(30);
    let event = gateway.envoy.find_in_log(soon, |line| audit_event(line, "by-root")).unwrap();
    assert_eq!(event["portcullis.detail"], json!("its issuer is none of the policy's `authorities`"));
}
