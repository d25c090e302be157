//! Are the parts that the tests stand on what they say they are? A provider, a key server that misbehaves, TLS with client certificates.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use host_tests::artifacts;
use host_tests::certificates::Authority;
use host_tests::client::{self, Client};
use host_tests::dpop::DpopKey;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{ClientCertificate, Cluster, Listener, Tls};
use host_tests::exchange::{Body, Request};
use host_tests::key_server::{Answer, Ending, KeyServer};
use host_tests::oidc::{Provider, Wish};
use host_tests::tls;
use host_tests::upstream::Upstream;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde_json::{Value, json};

const KEYS: &str = r#"{"keys":[]}"#;

/// What `GET /jwks` gets, on a connection of its own.
fn keys_of(server: &KeyServer) -> io::Result<(u16, Vec<u8>)> {
    let response = client::send(server.address(), &Request::get("issuer", "/jwks"))?;
    Ok((response.status, response.body))
}

#[test]
fn a_key_server_answers_as_it_is_told_and_may_be_told_otherwise() {
    let server = KeyServer::start().unwrap();
    assert_eq!(keys_of(&server).unwrap().0, 404);
    let rows = [
        (Answer::json(KEYS), 200, KEYS.len()),
        (Answer::json(KEYS).status(503), 503, KEYS.len()),
        (Answer::html(), 200, Answer::html().body.len()),
        (Answer::padded(KEYS.as_bytes(), 10 << 20), 200, 10 << 20),
    ];
    for (answer, status, length) in rows {
        server.answer("/jwks", answer.clone());
        let (told, body) = keys_of(&server).unwrap();
        // A failure does not print ten megabytes.
        assert_eq!((told, body.len(), body == answer.body), (status, length, true));
    }
    assert_eq!((server.requests("/jwks"), server.requests("/other")), (5, 0));

    server.answer("/jwks", Answer::json(KEYS).with("cache-control", "max-age=60"));
    server.answer("/moved", Answer::redirect(&server.url("/jwks")));
    let mut client = Client::connect(server.address()).unwrap();
    let cached = client.exchange(&Request::get("issuer", "/jwks?x=1")).unwrap();
    assert_eq!(cached.field("cache-control").as_deref(), Some("max-age=60"));
    let moved = client.exchange(&Request::get("issuer", "/moved")).unwrap();
    assert_eq!((moved.status, moved.field("location")), (302, Some(server.url("/jwks"))));
    assert_eq!((server.requests("/jwks"), server.requests("/moved")), (6, 1));
}

#[test]
fn a_key_server_is_late_endless_cut_off_or_lies() {
    let server = KeyServer::start().unwrap();
    let late = Duration::from_millis(200);
    server.answer("/jwks", Answer::json(KEYS).after(late));
    let start = Instant::now();
    assert_eq!(keys_of(&server).unwrap().0, 200);
    assert!(start.elapsed() >= late);

    for ending in [Ending::CutOff(4), Ending::Claimed(KEYS.len() + 1)] {
        server.answer("/jwks", Answer::json(KEYS).ending(ending));
        assert_eq!(keys_of(&server).unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{ending:?}");
    }
    // A length that is too small: the client reads no further.
    server.answer("/jwks", Answer::json(KEYS).ending(Ending::Claimed(3)));
    assert_eq!(keys_of(&server).unwrap().1, KEYS.as_bytes()[..3]);

    server.answer("/jwks", Answer::json(KEYS).ending(Ending::Endless));
    let (address, asked) = (server.address(), server.requests("/jwks") + 1);
    let reading = std::thread::spawn(move || client::send(address, &Request::get("issuer", "/jwks")));
    soon("the request arrives", || server.requests("/jwks") == asked);
    std::thread::sleep(late);
    assert!(!reading.is_finished(), "it came to an end: {:?}", reading.join());
    drop(server);
    assert!(reading.join().unwrap().is_err());
}

#[test]
fn a_key_server_that_stops_refuses_connections_and_comes_back_on_its_port() {
    let mut server = KeyServer::start().unwrap();
    server.answer("/jwks", Answer::json(KEYS));
    let mut open = Client::connect(server.address()).unwrap();
    assert_eq!(open.exchange(&Request::get("issuer", "/jwks")).unwrap().status, 200);
    server.stop();
    assert!(open.exchange(&Request::get("issuer", "/jwks")).is_err(), "a connection outlived the server");
    assert_eq!(keys_of(&server).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    server.restart().unwrap();
    assert_eq!(keys_of(&server).unwrap(), (200, KEYS.into()));
    assert_eq!(server.requests("/jwks"), 2);
}

#[test]
fn a_key_server_remembers_how_it_was_asked() {
    let server = KeyServer::start().unwrap();
    server.answer_with("/introspect", |request| {
        let active = request.body.windows(4).any(|bytes| bytes == b"good");
        Answer::json(json!({"active": active}).to_string())
    });
    for (token, expected) in [("good", r#"{"active":true}"#), ("bad", r#"{"active":false}"#)] {
        let request = Request {
            method: "POST".to_owned(),
            body: Body::Whole(format!("token={token}").into_bytes()),
            ..Request::get("issuer", "/introspect").with("authorization", "Basic Z2F0ZXdheTpz")
        };
        assert_eq!(client::send(server.address(), &request).unwrap().body, expected.as_bytes());
    }
    let last = server.last("/introspect").unwrap();
    assert_eq!((last.method.as_str(), last.body.as_slice()), ("POST", &b"token=bad"[..]));
    assert_eq!(last.field("authorization").as_deref(), Some("Basic Z2F0ZXdheTpz"));
}

/// Waits, but not for long.
fn soon(what: &str, is_so: impl Fn() -> bool) {
    let come = (0..250).any(|_| {
        let so = is_so();
        if !so {
            std::thread::sleep(Duration::from_millis(20));
        }
        so
    });
    assert!(come, "{what}: not in time");
}

const FINGERPRINT: &str = "x-peer-certificate";

fn open_listener(name: &str, upstream: u16) -> Listener {
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "harness",
        "routes": [{
            "name": "all",
            "match": {"path": {"type": "PathPrefix", "value": "/"}},
            "authentication": {"open": {"because": "test"}},
        }],
    });
    Listener::new(name, policy, artifacts::plugin().unwrap(), upstream)
}

fn tls_listener(name: &str, upstream: &Upstream, tls: Tls) -> Listener {
    let fingerprint = (FINGERPRINT.to_owned(), "%DOWNSTREAM_PEER_FINGERPRINT_256%".to_owned());
    Listener {
        tls: Some(tls),
        upstream_fields: vec![fingerprint],
        ..open_listener(name, upstream.address().port())
    }
}

#[test]
fn a_small_cluster_refuses_what_is_too_much_for_it() {
    let server = KeyServer::start().unwrap();
    server.answer("/", Answer::json(KEYS).after(Duration::from_millis(500)));
    let launch = Launch {
        listeners: vec![open_listener("small", server.port())],
        clusters: vec![Cluster::of_upstream(server.port()).at_most(1)],
        ..Launch::default()
    };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("small").unwrap();
    let send = move || client::send(address, &Request::get("gw.example", "/")).unwrap().status;
    let sending: Vec<_> = (0..6).map(|_| std::thread::spawn(send)).collect();
    let statuses: Vec<u16> = sending.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |status| statuses.iter().filter(|told| **told == status).count();
    assert!(count(200) >= 1 && count(503) >= 2 && count(200) + count(503) == 6, "{statuses:?}");
    assert_eq!(send(), 200);
}

/// Who shows what to whom, and whether it passes; the upstream reads the digest of exactly the certificate that was shown. Envoy also
/// reads a cluster that no route names.
#[test]
fn a_listener_with_tls_takes_the_certificates_that_it_is_to_take() {
    let upstream = Upstream::start().unwrap();
    let [servers, clients, strangers] =
        ["servers", "clients", "clients"].map(|name| Authority::new(name).unwrap());
    let tls = |client| Tls { certificate: servers.issue_server("gw.example").unwrap(), client };
    let launch = Launch {
        listeners: vec![
            tls_listener("tls", &upstream, tls(ClientCertificate::NotAsked)),
            tls_listener("optional", &upstream, tls(ClientCertificate::Optional(clients.clone()))),
            tls_listener("required", &upstream, tls(ClientCertificate::Required(clients.clone()))),
        ],
        clusters: vec![Cluster::new("issuer", upstream.address().port()).at_most(3)],
        ..Launch::default()
    };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let [alice, bob] = ["alice", "bob"].map(|name| clients.issue_client(name).unwrap());
    let stranger = strangers.issue_client("alice").unwrap();
    let rows = [
        ("tls", None, Some(None)),
        ("tls", Some(&alice), Some(None)),
        ("optional", None, Some(None)),
        ("optional", Some(&alice), Some(Some(alice.sha256_hex()))),
        ("optional", Some(&stranger), None),
        ("required", None, None),
        ("required", Some(&alice), Some(Some(alice.sha256_hex()))),
        ("required", Some(&bob), Some(Some(bob.sha256_hex()))),
        ("required", Some(&stranger), None),
    ];
    for (index, (listener, shown, expected)) in rows.into_iter().enumerate() {
        let told = format!("{index}: {shown:?} to {listener}");
        let id = format!("tls-{index}");
        let request = Request::get("gw.example", "/").with("x-request-id", id.as_str());
        let answer = tls::send(envoy.listener(listener).unwrap(), &servers, shown, &request);
        let seen = upstream.seen_with_id(&id);
        let Some(fingerprint) = expected else {
            assert!(answer.is_err() && seen.is_none(), "{told}: {answer:?}");
            continue;
        };
        assert_eq!(answer.unwrap_or_else(|error| panic!("{told}: {error}")).status, 200, "{told}");
        let told_upstream =
            seen.unwrap().field(FINGERPRINT).filter(|value| !value.is_empty() && value != "-");
        assert_eq!(told_upstream, fingerprint, "{told}");
    }
    // The client, too, looks at whom it speaks to.
    let server = envoy.listener("tls").unwrap();
    assert!(tls::connect(server, "gw.example", &strangers, None).is_err());
    assert!(tls::connect(server, "other.example", &servers, None).is_err());
    let clusters = envoy.admin_text("/clusters").unwrap();
    assert!(clusters.contains("issuer::default_priority::max_requests::3"), "{clusters}");
}

/// Header and claims of a token whose signature holds under the published key that it names.
fn read(token: &str, jwks: &Value) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let json = |text: &str| serde_json::from_slice::<Value>(&bytes(text)?).ok();
    let header = json(header)?;
    let key = jwks["keys"].as_array()?.iter().find(|key| key["kid"] == header["kid"])?;
    (key["alg"] == header["alg"]).then_some(())?;
    let member = |name: &str| bytes(key[name].as_str()?);
    let (signed, signature) = (signed.as_bytes(), bytes(signature)?);
    let held = match header["alg"].as_str()? {
        "RS256" => RsaPublicKeyComponents { n: member("n")?, e: member("e")? }.verify(
            &RSA_PKCS1_2048_8192_SHA256,
            signed,
            &signature,
        ),
        "ES256" => {
            let point = [vec![4], member("x")?, member("y")?].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &signature)
        }
        _ => return None,
    };
    held.ok()?;
    Some((header, json(claims)?))
}

fn kids(jwks: &Value) -> Vec<&str> {
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect()
}

#[test]
fn the_providers_tokens_hold_under_its_keys_and_its_keys_change() {
    let provider = Provider::start().unwrap();
    let discovery = provider.discovery();
    assert_eq!(discovery["issuer"], provider.issuer());
    assert_eq!(discovery["jwks_uri"], format!("{}/jwks", provider.issuer()));

    let before = provider.jwks().unwrap();
    let old = provider.token(&Wish::BEARER).unwrap();
    let (header, claims) = read(&old, &before).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("at+jwt")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(provider.issuer()), &json!("orders-api")));
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("orders-client"), &json!("orders.read")));
    assert_eq!(claims.get("cnf"), None);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    let (signed, signature) = old.rsplit_once('.').unwrap();
    assert!(read(&format!("{}x.{signature}", &signed[..signed.len() - 1]), &before).is_none());

    // In three steps: published, then used, then alone.
    let kid = provider.publish("ES256").unwrap();
    let between = provider.jwks().unwrap();
    assert_eq!(kids(&between), [kids(&before)[0], &kid]);
    assert_eq!(read(&provider.token(&Wish::BEARER).unwrap(), &between).unwrap().0["kid"], header["kid"]);
    provider.sign_with_newest().unwrap();
    let new = provider.token(&Wish::BEARER).unwrap();
    assert_eq!(read(&new, &between).unwrap().0["kid"], kid);
    assert!(read(&new, &before).is_none());
    provider.drop_old().unwrap();
    assert_eq!(kids(&provider.jwks().unwrap()), [&kid]);
    assert!(read(&old, &provider.jwks().unwrap()).is_none());
    // And in one.
    let kid = provider.rotate("RS256").unwrap();
    let after = provider.jwks().unwrap();
    assert_eq!(kids(&after), [&kid]);
    provider.set_lifetime(5).unwrap();
    let (header, claims) = read(&provider.token(&Wish::BEARER).unwrap(), &after).unwrap();
    assert_eq!(header["kid"], kid);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 5);
}

#[test]
fn the_provider_tells_the_gateway_of_an_opaque_token() {
    let provider = Provider::start().unwrap();
    let token = provider.token(&Wish { scope: "orders.read orders.write", ..Wish::OPAQUE }).unwrap();
    assert!(!token.contains('.'), "{token}");
    let said = provider.introspect(&token).unwrap();
    assert_eq!((&said["active"], &said["aud"]), (&json!(true), &json!("legacy-api")));
    assert_eq!(
        (&said["client_id"], &said["scope"]),
        (&json!("orders-client"), &json!("orders.read orders.write"))
    );
    assert_eq!(provider.introspect("made-up").unwrap(), json!({"active": false}));
    // A new key makes a new provider of it, which still knows the token.
    provider.rotate("ES256").unwrap();
    assert_eq!(provider.introspect(&token).unwrap()["active"], true);
    provider.revoke(&token).unwrap();
    assert_eq!(provider.introspect(&token).unwrap(), json!({"active": false}));

    provider.set_lifetime(1).unwrap();
    let short = provider.token(&Wish::OPAQUE).unwrap();
    assert_eq!(provider.introspect(&short).unwrap()["active"], true);
    soon("the token expires", || provider.introspect(&short).unwrap()["active"] == false);
    // Who does not prove to be a client is told nothing.
    let endpoint = provider.introspection_endpoint().unwrap();
    assert!(endpoint.starts_with(provider.issuer()), "{endpoint}");
    let stranger = Request {
        method: "POST".to_owned(),
        body: Body::Whole(b"token=x".to_vec()),
        ..Request::get("issuer", &endpoint[provider.issuer().len()..])
            .with("content-type", "application/x-www-form-urlencoded")
            .with("authorization", "Basic Z2F0ZXdheTp4")
    };
    let server = SocketAddr::from(([127, 0, 0, 1], provider.port()));
    assert_eq!(client::send(server, &stranger).unwrap().status, 401);
}

#[test]
fn the_provider_binds_tokens_to_a_key_or_a_certificate() {
    let provider = Provider::start().unwrap();
    let jwks = provider.jwks().unwrap();
    let key = DpopKey::generate().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let proof = |url: &str| key.proof("POST", url, now, None).unwrap();
    let endpoint = provider.token_endpoint().unwrap();
    let first = proof(&endpoint);
    let bound = provider.token(&Wish { dpop: Some(&first), ..Wish::BEARER }).unwrap();
    assert_eq!(read(&bound, &jwks).unwrap().1["cnf"], json!({"jkt": key.thumbprint()}));
    let opaque = provider.token(&Wish { dpop: Some(&proof(&endpoint)), ..Wish::OPAQUE }).unwrap();
    let said = provider.introspect(&opaque).unwrap();
    assert_eq!((&said["cnf"], &said["token_type"]), (&json!({"jkt": key.thumbprint()}), &json!("DPoP")));
    for refused in [first.as_str(), &proof(provider.issuer()), "no proof"] {
        let refusal = provider.token(&Wish { dpop: Some(refused), ..Wish::BEARER }).unwrap_err();
        assert!(refusal.contains("answered 400"), "{refusal}");
    }

    let alice = Authority::new("clients").unwrap().issue_client("alice").unwrap();
    let bound = provider.token(&Wish { certificate: Some(&alice), ..Wish::BEARER }).unwrap();
    assert_eq!(read(&bound, &jwks).unwrap().1["cnf"], json!({"x5t#S256": alice.x5t_s256()}));
    let opaque = provider.token(&Wish { certificate: Some(&alice), ..Wish::OPAQUE }).unwrap();
    assert_eq!(provider.introspect(&opaque).unwrap()["cnf"], json!({"x5t#S256": alice.x5t_s256()}));
}

#[test]
fn the_provider_ends_with_its_owner() {
    let provider = Provider::start().unwrap();
    let server = SocketAddr::from(([127, 0, 0, 1], provider.port()));
    drop(provider);
    assert_eq!(Client::connect(server).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}
