//! What does an issuer say of an opaque token, and what if it says nothing? A certified provider and one that misbehaves, before a gateway in
//! real Envoy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::client;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Request, Response};
use host_tests::key_server::{Answer, Ending, KeyServer};
use host_tests::oidc::{Provider, Wish};
use host_tests::scenario::TokenSpec;
use host_tests::tokens::{AUDIENCE, ISSUER, Keys};
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

const SECRET: &str = "a+secret/of the:gateway";

struct Gateway {
    envoy: Envoy,
    _upstream: Upstream,
    address: SocketAddr,
}

impl Gateway {
    fn start(issuer: &str, audience: &str, introspection: &Value, secret: &str, port: u16) -> Self {
        let provider = json!({
            "name": "corp", "issuer": issuer, "audiences": [audience], "requireExpiration": false,
            "introspection": introspection,
            "claimToHeaders": [{"claim": "client_id", "header": "x-client"}],
        });
        Self::with(&provider, secret, port, "2")
    }

    fn with(provider: &Value, secret: &str, port: u16, workers: &str) -> Self {
        let upstream = Upstream::start().unwrap();
        let policy = json!({
            "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "opaque",
            "jwt": {"providers": [provider]},
            "routes": [
                {"name": "orders", "match": {"path": {"type": "PathPrefix", "value": "/orders"}}, "authentication": {"jwt": {}}},
                {"name": "writes", "match": {"path": {"type": "PathPrefix", "value": "/writes"}}, "authentication": {"jwt": {}},
                    "authorization": {"rules": [{"name": "w", "action": "Allow", "principal": {"scopes": ["orders.write"]}}]}},
                {"name": "uploads", "match": {"path": {"type": "PathPrefix", "value": "/uploads"}}, "authentication": {"jwt": {}},
                    "request": {"body": {"maxBytes": "1Ki"}}},
                {"name": "health", "match": {"path": {"type": "Exact", "value": "/healthz"}},
                    "authentication": {"open": {"because": "probe"}}},
            ],
        });
        let mut listener =
            Listener::new("opaque", policy, artifacts::plugin().unwrap(), upstream.address().port());
        listener.env.insert("INTROSPECTION_SECRET".to_owned(), secret.to_owned());
        let launch = Launch {
            listeners: vec![listener],
            clusters: vec![Cluster::new("issuer", port)],
            component_log_level: Some("wasm:trace".to_owned()),
            arguments: vec!["--concurrency".to_owned(), workers.to_owned()],
            ..Launch::default()
        };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("opaque").unwrap();
        Self { envoy, _upstream: upstream, address }
    }

    fn get(&self, path: &str, token: &str) -> Response {
        client::send(self.address, &bearing(path, token)).unwrap()
    }

    fn outcome(&self, token: &str) -> (u16, String) {
        told(&self.get("/orders", token))
    }

    /// Asks until it is so on every worker, each of which remembers by itself: twenty times in a row, within twenty seconds.
    fn until(&self, token: &str, status: u16) {
        let start = Instant::now();
        let mut row = 0;
        while row < 20 {
            let last = self.outcome(token);
            row = if last.0 == status { row + 1 } else { 0 };
            assert!(start.elapsed() < Duration::from_secs(20), "{last:?}\n{}", self.envoy.log());
            if row == 0 {
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn bearing(path: &str, token: &str) -> Request {
    Request::get("api.example.com", path).with("authorization", format!("Bearer {token}"))
}

fn told(response: &Response) -> (u16, String) {
    let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    (response.status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn introspection(uri: &str, client: &str, cache: &str) -> Value {
    json!({
        "uri": uri, "cluster": "issuer", "clientId": client, "clientSecret": {"env": "INTROSPECTION_SECRET"},
        "timeout": "1s", "cacheDuration": cache,
    })
}

#[test]
fn a_certified_provider_vouches_for_its_opaque_tokens_and_takes_them_back() {
    let provider = Provider::start().unwrap();
    let gateway = provider.gateway().unwrap();
    let endpoint = provider.introspection_endpoint().unwrap();
    let introspection = introspection(&endpoint, &gateway.id, "1s");
    let portcullis =
        Gateway::start(provider.issuer(), "legacy-api", &introspection, &gateway.secret, provider.port());
    let token = provider.token(&Wish::OPAQUE).unwrap();
    let response = portcullis.get("/orders", &token);
    assert_eq!(response.status, 200, "{:?}\n{}", told(&response), portcullis.envoy.log());
    let seen: Value = serde_json::from_slice(&response.body).unwrap();
    let headers = seen["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header[0] == "x-client"), "{headers:?}");
    assert!(!headers.iter().any(|header| header[0] == "authorization"), "the token is taken off");
    assert_eq!(told(&portcullis.get("/writes", &token)), (403, "scope_insufficient".to_owned()));
    let other = provider.token(&Wish { scope: "orders.write", ..Wish::OPAQUE }).unwrap();
    assert_eq!(portcullis.get("/writes", &other).status, 200);
    assert_eq!(portcullis.outcome("never-issued"), (401, "token_inactive".to_owned()));
    provider.revoke(&token).unwrap();
    portcullis.until(&token, 401);
    assert_eq!(portcullis.outcome(&token), (401, "token_inactive".to_owned()));
    let log = portcullis.envoy.log();
    for secret in [&token, &other, &gateway.secret] {
        assert!(!log.contains(secret.as_str()), "a secret is in the log");
    }
}

#[test]
fn one_question_for_many_who_wait_and_what_is_asked() {
    let server = KeyServer::start().unwrap();
    server.answer_with("/introspect", |request| {
        let active = String::from_utf8_lossy(&request.body).contains("good");
        let said = json!({"active": active, "aud": "api", "sub": "ada", "client_id": "web"});
        Answer::json(said.to_string()).after(Duration::from_millis(500))
    });
    let introspection = introspection(&server.url("/introspect"), "gate:way", "30s");
    let gateway = Gateway::start("https://id.example.com", "api", &introspection, SECRET, server.port());
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let address = gateway.address;
            thread::spawn(move || told(&client::send(address, &bearing("/orders", "good+token==")).unwrap()))
        })
        .collect();
    assert_eq!(client::send(gateway.address, &Request::get("api", "/healthz")).unwrap().status, 200);
    for thread in asking {
        assert_eq!(thread.join().unwrap(), (200, String::new()), "{}", gateway.envoy.log());
    }
    // One for each worker that had somebody to wait for it, at the most.
    assert!(server.requests("/introspect") <= 2, "{}", server.requests("/introspect"));
    let last = server.last("/introspect").unwrap();
    assert_eq!(last.method, "POST");
    assert_eq!(String::from_utf8_lossy(&last.body), "token=good%2Btoken%3D%3D&token_type_hint=access_token");
    assert_eq!(
        last.field("authorization").as_deref(),
        Some("Basic Z2F0ZSUzQXdheTphJTJCc2VjcmV0JTJGb2YlMjB0aGUlM0FnYXRld2F5"),
        "RFC 6749 §2.3.1: encoded, then joined, then base64"
    );
    let before = server.requests("/introspect");
    for _ in 0..20 {
        assert_eq!(gateway.outcome("good+token==").0, 200);
    }
    assert!(server.requests("/introspect") <= before + 1, "what is known is not asked again");
    assert_eq!(gateway.outcome("bad"), (401, "token_inactive".to_owned()));
    assert!(!gateway.envoy.log().contains("good+token"), "the token is in the log");
}

/// What the service says of a token must hold like a signed token's own claims; what is no answer is 503.
#[test]
fn answers_that_do_not_admit() {
    let server = KeyServer::start().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let said = |more: Value| {
        let mut said = json!({"active": true, "aud": "api", "sub": "ada", "client_id": "web"});
        for (name, value) in more.as_object().unwrap() {
            said[name] = value.clone();
        }
        Answer::json(said.to_string())
    };
    let introspection = introspection(&server.url("/introspect"), "gateway", "30s");
    let gateway = Gateway::start("https://id.example.com", "api", &introspection, SECRET, server.port());
    let rows = [
        (said(json!({})), 200, ""),
        (said(json!({"iss": "https://id.example.com"})), 200, ""),
        (said(json!({"iss": "https://evil.example"})), 401, "issuer_unknown"),
        (said(json!({"aud": "other"})), 401, "audience_mismatch"),
        (said(json!({"aud": null})), 401, "claim_invalid"),
        (said(json!({"exp": now - 120, "iat": now - 240})), 401, "token_expired"),
        (said(json!({"exp": "soon"})), 401, "claim_invalid"),
        (said(json!({"nbf": now + 600})), 401, "token_not_yet_valid"),
        (said(json!({"client_id": "a\r\nx: y"})), 401, "claim_invalid"),
        (said(json!({"token_use": "access_token", "typ": "Bearer", "token_type": "N_A"})), 200, ""),
        (said(json!({"token_use": "refresh_token"})), 401, "token_type_unaccepted"),
        (said(json!({"typ": "Refresh"})), 401, "token_type_unaccepted"),
        (said(json!({"token_type": "refresh_token"})), 401, "token_type_unaccepted"),
        (said(json!({"typ": "ID"})), 401, "token_type_unaccepted"),
        (Answer::json(r#"{"active":"true"}"#), 503, "introspection_unavailable"),
        (Answer::json(r#"{"active":true,"active":true}"#), 503, "introspection_unavailable"),
        (Answer::html(), 503, "introspection_unavailable"),
        (Answer::redirect("/elsewhere"), 503, "introspection_unavailable"),
        (Answer::padded(br#"{"active":true,"aud":"api"}"#, 10 << 20), 503, "introspection_unavailable"),
        (
            Answer::json(r#"{"active":true,"aud":"api"}"#).ending(Ending::CutOff(5)),
            503,
            "introspection_unavailable",
        ),
        (
            Answer::json(r#"{"active":true,"aud":"api"}"#).after(Duration::from_secs(3)),
            503,
            "introspection_unavailable",
        ),
        (Answer::json("{}").status(401), 503, "introspection_unavailable"),
    ];
    for (number, (answer, status, code)) in rows.into_iter().enumerate() {
        server.answer("/introspect", answer);
        let response = gateway.get("/orders", &format!("token-{number}"));
        assert_eq!(told(&response), (status, code.to_owned()), "row {number}\n{}", gateway.envoy.log());
        if status == 503 {
            assert!(response.field("retry-after").is_some() && response.field("www-authenticate").is_none());
        }
    }
    assert_eq!(server.requests("/elsewhere"), 0);
}

#[test]
fn without_the_service_what_is_cached_serves_and_the_rest_is_503_until_it_is_back() {
    let mut server = KeyServer::start().unwrap();
    server.answer("/introspect", Answer::json(r#"{"active":true,"aud":"api","client_id":"web"}"#));
    let introspection = introspection(&server.url("/introspect"), "gateway", "1h");
    let gateway = Gateway::start("https://id.example.com", "api", &introspection, SECRET, server.port());
    // Enough to reach both workers.
    for _ in 0..40 {
        assert_eq!(gateway.outcome("known").0, 200);
    }
    server.stop();
    assert_eq!(gateway.outcome("new"), (503, "introspection_unavailable".to_owned()));
    let known = (0..20).filter(|_| gateway.outcome("known").0 == 200).count();
    assert!(known >= 1, "an answer that is cached holds for its time");
    server.restart().unwrap();
    gateway.until("new", 200);
}

/// The issuer says `active` of whatever it is asked about. What the keys refuse, it is not asked about, however the token is written.
#[test]
fn beside_keys_no_signed_token_is_asked_about_in_any_spelling() {
    let server = KeyServer::start().unwrap();
    let said = json!({"active": true, "aud": AUDIENCE, "sub": "ada", "client_id": "web"});
    server.answer("/introspect", Answer::json(said.to_string()));
    let keys = Keys::of_this_run();
    let provider = json!({
        "name": "corp", "issuer": ISSUER, "audiences": [AUDIENCE], "requireExpiration": false,
        "localJWKS": {"inline": keys.jwks(&["eddsa", "es256", "rs256"]).unwrap()},
        "algorithms": ["EdDSA", "ES256"],
        "revoked": {"kids": ["es256"]},
        "introspection": introspection(&server.url("/introspect"), "gateway", "30s"),
    });
    let gateway = Gateway::with(&provider, SECRET, server.port(), "2");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mint = |key: &str| keys.mint(&TokenSpec::of(key), now).unwrap();
    assert_eq!(gateway.outcome(&mint("eddsa")).0, 200, "{}", gateway.envoy.log());
    for (key, code) in [("es256", "key_unknown"), ("rs256", "algorithm_unaccepted")] {
        let token = mint(key);
        assert_eq!(gateway.outcome(&token), (401, code.to_owned()), "{key}");
        // 64 and 256 bytes: the last letter has four bits too many.
        let (text, last) = token.split_at(token.len() - 1);
        let other = char::from(last.as_bytes()[0] + 1);
        for spelling in [
            format!("{text}{other}"),
            format!("{token}="),
            format!("{token}=="),
            format!("{token}~"),
            format!("~{token}"),
            format!("{token}."),
            format!("{token}.x"),
            format!("{token}.x.y"),
            token.replacen('.', "=.", 1),
        ] {
            assert_eq!(gateway.outcome(&spelling), (401, "token_malformed".to_owned()), "{spelling}");
        }
    }
    assert_eq!(server.requests("/introspect"), 0);
    for opaque in ["opaque", "v2.local.c2VjcmV0", "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.a.b.c.d"] {
        let before = server.requests("/introspect");
        assert_eq!(gateway.outcome(opaque).0, 200, "{opaque}\n{}", gateway.envoy.log());
        assert_eq!(server.requests("/introspect"), before + 1, "{opaque}");
    }
}

/// A client may have a token that the service, or a firewall before it, does not bear. Nobody else has to do with it.
#[test]
fn a_token_that_the_service_does_not_bear_harms_nobody_else() {
    let server = KeyServer::start().unwrap();
    server.answer_with("/introspect", |request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let answer = Answer::json(r#"{"active":true,"aud":"api","client_id":"web"}"#);
        match () {
            () if body.contains("passwd") => Answer::html().status(403),
            () if body.contains("long") => answer.status(414),
            () if body.contains("huge") => Answer::padded(br#"{"active":true,"aud":"api"}"#, 300 << 10),
            () if body.contains("junk") => Answer::html(),
            () if body.contains("broken") => answer.status(500),
            () => answer,
        }
    });
    let introspection = introspection(&server.url("/introspect"), "gateway", "1h");
    let gateway = Gateway::start("https://id.example.com", "api", &introspection, SECRET, server.port());
    let unavailable = (503, "introspection_unavailable".to_owned());
    for round in 0..10 {
        for odd in ["passwd", "long", "huge", "junk"] {
            let token = format!("{odd}-{round}");
            assert_eq!(gateway.outcome(&token), unavailable, "{token}");
        }
        assert_eq!(gateway.outcome(&format!("good-{round}")).0, 200, "{round}\n{}", gateway.envoy.log());
        // One that breaks it is one failure, and the next answer ends the row.
        assert_eq!(gateway.outcome(&format!("broken-{round}")), unavailable);
        gateway.until(&format!("better-{round}"), 200);
    }
    // In a row it is the service that fails; what is known serves, and it comes back.
    for number in 0..20 {
        assert_eq!(gateway.outcome(&format!("broken-again-{number}")), unavailable);
    }
    assert!(server.requests("/introspect") > 0);
    let before = server.requests("/introspect");
    assert_eq!(gateway.outcome("better-9").0, 200);
    assert_eq!(server.requests("/introspect"), before);
    gateway.until("good-again", 200);
}

/// One worker, more random tokens than it remembers answers, and one that is known.
#[test]
fn random_tokens_push_out_none_that_is_known() {
    let (server, questions) = (KeyServer::start().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&questions);
    server.answer_with("/introspect", move |request| {
        let is_known = String::from_utf8_lossy(&request.body).contains("known");
        counted.fetch_add(usize::from(is_known), Ordering::SeqCst);
        Answer::json(json!({"active": is_known, "aud": "api", "client_id": "web"}).to_string())
    });
    let provider = json!({
        "name": "corp", "issuer": "https://id.example.com", "audiences": ["api"], "requireExpiration": false,
        "introspection": introspection(&server.url("/introspect"), "gateway", "1h"),
    });
    let gateway = Gateway::with(&provider, SECRET, server.port(), "1");
    assert_eq!(gateway.outcome("known").0, 200);
    let strangers: Vec<_> = (0..8)
        .map(|thread| {
            let address = gateway.address;
            thread::spawn(move || {
                let mut connection = client::Client::connect(address).unwrap();
                for number in 0..600 {
                    let request = bearing("/orders", &format!("random-{thread}-{number}"));
                    let told = told(&connection.exchange(&request).unwrap());
                    assert_eq!(told, (401, "token_inactive".to_owned()), "{number}");
                }
            })
        })
        .collect();
    for stranger in strangers {
        stranger.join().unwrap();
    }
    assert!(server.requests("/introspect") > 4096);
    assert_eq!(gateway.outcome("known").0, 200);
    assert_eq!(questions.load(Ordering::SeqCst), 1, "it is still known");
}

/// While the issuer takes its time the proxy holds the body back: no more of it than the route takes. Whoever waited in vain would get 503.
#[test]
fn a_body_that_is_too_long_is_refused_while_the_issuer_is_asked() {
    let issuer = KeyServer::start().unwrap();
    let mut introspection = introspection(&issuer.url("/introspect"), "gateway", "30s");
    introspection["timeout"] = json!("20s");
    let gateway = Gateway::start(ISSUER, AUDIENCE, &introspection, SECRET, issuer.port());
    let late = Answer::json(json!({"active": true, "aud": AUDIENCE}).to_string());
    issuer.answer("/introspect", late.after(Duration::from_secs(60)));
    let chunk = format!("258\r\n{}\r\n", "a".repeat(600));
    let mut stream = TcpStream::connect(gateway.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = "POST /uploads HTTP/1.1\r\nhost: api.example.com\r\nauthorization: Bearer late\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}{chunk}").as_bytes()).unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    while issuer.requests("/introspect") == 0 {
        assert!(Instant::now() < end, "nobody is asked\n{}", gateway.envoy.log());
        thread::sleep(Duration::from_millis(5));
    }
    stream.write_all(chunk.as_bytes()).unwrap();
    let mut answer = String::new();
    while !answer.contains("body_too_large") {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
