//! What of a proxy that does not tell a client's certificate? Envoy does from 1.38 on; before it, only the digest. Real TLS, before the real
//! Envoy that `ENVOY` names, whichever it is.

use host_tests::artifacts;
use host_tests::certificates::Authority;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{ClientCertificate, Listener, Tls};
use host_tests::exchange::Request;
use host_tests::tls;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

const HOST: &str = "gw.example";
const NAME: &str = "spiffe://corp.example/orders";

#[test]
fn whoever_shows_one_that_is_not_told_has_not_shown_none() {
    let (clients, servers) = (Authority::new("clients").unwrap(), Authority::new("servers").unwrap());
    let upstream = Upstream::start().unwrap();
    let route = |name: &str, authentication: Value| json!({"name": name, "match": {"path": {"type": "Exact", "value": format!("/{name}")}}, "authentication": authentication});
    let mtls = json!({"mtls": {"spiffe": [NAME]}});
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "untold",
        "clientCertificates": {"validatedByProxy": {"because": "the listener has a validation context"}},
        "routes": [
            route("certificate", mtls.clone()),
            route("perhaps", json!({"anyOf": [mtls, {"open": {"because": "test"}}]})),
        ],
    });
    let tls = Tls {
        certificate: servers.issue_server(HOST).unwrap(),
        client: ClientCertificate::Optional(clients.clone()),
    };
    let plugin = artifacts::plugin().unwrap();
    let listener =
        Listener { tls: Some(tls), ..Listener::new("untold", policy, plugin, upstream.address().port()) };
    let envoy = Envoy::start(&Launch { listeners: vec![listener], ..Launch::default() })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("untold").unwrap();
    let shown = clients.issue_named("x", &[NAME], &[]).unwrap();
    let with_one =
        if artifacts::envoy_version().unwrap() >= (1, 38) { (200, "") } else { (401, "certificate_invalid") };
    for (certificate, path, expected) in [
        (Some(&shown), "/certificate", with_one),
        (Some(&shown), "/perhaps", with_one),
        (None, "/certificate", (401, "credential_missing")),
        (None, "/perhaps", (200, "")),
    ] {
        let response = tls::send(address, &servers, certificate, &Request::get(HOST, path)).unwrap();
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default();
        assert_eq!((response.status, code), expected, "{path} {}\n{}", certificate.is_some(), envoy.log());
    }
}
