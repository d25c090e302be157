//! Can a service prove that a request came through the gateway? Four services, each behind another of `verifiers/`, before and behind a
//! gateway in real Envoy.

mod backends;
mod gateway;
mod keys;
mod slow;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use host_tests::certificates::Authority;
use host_tests::client;
use host_tests::exchange::{Request, Response};
use portcullis_filter::time::{SECOND, Timestamp};
use serde_json::{Value, json};

use backends::{Asked, Backend, NAMES, free_port, subject};
use gateway::{API_KEY, Gateway, HOST, keyed};
use keys::{Signer, confused, now, p256, part, unsigned};

/// What came of a request: the subject, or nothing if it was refused.
fn outcome(response: &Response) -> Option<String> {
    match response.status {
        200 => Some(subject(&response.body).unwrap_or_default()),
        401 | 403 => None,
        other => panic!("{other} {}", String::from_utf8_lossy(&response.body)),
    }
}

fn ports() -> BTreeMap<&'static str, u16> {
    NAMES.iter().map(|name| (*name, free_port())).collect()
}

fn backends(gateway: &Gateway, ports: &BTreeMap<&'static str, u16>) -> Vec<Backend> {
    let start = |name: &&'static str| {
        Backend::start(name, ports[name], &asked(gateway, name, None), gateway.shown.address())
    };
    NAMES.iter().map(start).collect()
}

fn asked<'g>(gateway: &'g Gateway, name: &str, max_age: Option<u64>) -> Asked<'g> {
    let listener = if name == "envoy" { "keys".to_owned() } else { format!("show-{name}") };
    Asked { gateway: gateway.address(&listener), authority: &gateway.authority, max_age }
}

/// The request of somebody who is in the service's network and goes around the gateway.
fn around(backend: &Backend, method: &str, host: &str, target: &str, assertions: &[&str]) -> Option<String> {
    let mut request = Request { method: method.to_owned(), ..Request::get(host, target) };
    for assertion in assertions {
        request = request.with("x-portcullis-assertion", *assertion);
    }
    outcome(&client::send(backend.address, &request).unwrap())
}

#[test]
fn each_verifier_takes_what_came_through_the_gateway_and_nothing_else() {
    let (signer, other, ports) = (Signer::new(), Signer::new(), ports());
    let keys = json!([{"kid": "a", "algorithm": "EdDSA", "privateKey": {"env": "KEY_A"}}]);
    let gateway = Gateway::start(&ports, &keys, &[("KEY_A", &signer.private)]);
    let services = backends(&gateway, &ports);
    let brief: Vec<String> = NAMES.iter().map(|name| gateway.stolen(name, "GET", "/brief")).collect();
    let taken = Instant::now();
    let partner = Some("partner".to_owned());
    for backend in &services {
        let name = backend.name;
        for (method, target) in [
            ("GET", "/orders/7?a=1&b=%22"),
            ("POST", "/orders"),
            ("GET", "/orders?"),
            ("GET", "/single?x=%C3%A9"),
        ] {
            assert_eq!(outcome(&gateway.send(name, method, target)), partner, "{name} {method} {target}");
        }
        // A long query is told by its hash, which Envoy cannot make: it refuses.
        let long = format!("/orders?q={}", "a".repeat(600));
        let expected = partner.clone().filter(|_| name != "envoy");
        assert_eq!(outcome(&gateway.send(name, "GET", &long)), expected, "{name}");
        let around =
            |method, host, target, assertions: &[&str]| around(backend, method, host, target, assertions);
        assert_eq!(around("GET", HOST, "/orders/7", &[]), None, "{name}: around the gateway");
        assert_eq!(around("GET", HOST, "/orders/7", &[API_KEY]), None, "{name}: with something else");
        let stolen = gateway.stolen(name, "GET", "/orders/7?a=1");
        // For as long as it serves, whoever has it can send that request again, and no other.
        assert_eq!(around("GET", HOST, "/orders/7?a=1", &[&stolen]), partner, "{name}");
        for (what, method, host, target) in [
            ("method", "POST", HOST, "/orders/7?a=1"),
            ("method", "DELETE", HOST, "/orders/7?a=1"),
            ("path", "GET", HOST, "/orders/8?a=1"),
            ("path", "GET", HOST, "/orders/7/?a=1"),
            ("path", "GET", HOST, "/orders/%37?a=1"),
            ("path", "GET", HOST, "//orders/7?a=1"),
            ("query", "GET", HOST, "/orders/7"),
            ("query", "GET", HOST, "/orders/7?a=2"),
            ("query", "GET", HOST, "/orders/7?a=1&a=2"),
            ("host", "GET", "other.example.com", "/orders/7?a=1"),
            ("host", "GET", "api.example.com:8080", "/orders/7?a=1"),
        ] {
            assert_eq!(
                around(method, host, target, &[&stolen]),
                None,
                "{name}: another {what}: {method} {host}{target}"
            );
        }
        // Envoy looks at both, and takes both off.
        let expected = partner.clone().filter(|_| name == "envoy");
        assert_eq!(
            around("GET", HOST, "/orders/7?a=1", &[&stolen, &stolen]),
            expected,
            "{name}: two of them"
        );
        for elsewhere in NAMES.iter().filter(|elsewhere| **elsewhere != name) {
            let stolen = gateway.stolen(elsewhere, "GET", "/orders/7?a=1");
            assert_eq!(around("GET", HOST, "/orders/7?a=1", &[&stolen]), None, "{name}: for {elsewhere}");
        }
        forgeries(backend, &signer, &other, &part(&stolen, 0), &part(&stolen, 1), &stolen);
    }
    // A second of life, a second of skew, and one more since times are whole seconds.
    thread::sleep(Duration::from_millis(3100).saturating_sub(taken.elapsed()));
    for (backend, stolen) in services.iter().zip(&brief) {
        assert_eq!(around(backend, "GET", HOST, "/brief", &[stolen]), None, "{}: too late", backend.name);
    }
    seen_by_nobody(&gateway, &signer);
}

/// What no gateway has made, or not this one, or not now.
fn forgeries(backend: &Backend, signer: &Signer, other: &Signer, header: &Value, claims: &Value, good: &str) {
    let with = |base: &Value, members: &[(&str, Value)]| {
        let mut changed = base.clone();
        for (name, value) in members {
            changed[name] = value.clone();
        }
        changed
    };
    let alg = |alg: &str| with(header, &[("alg", json!(alg))]);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let seconds = now().seconds();
    let at =
        |iat: u64, exp: u64| with(claims, &[("iat", json!(iat)), ("nbf", json!(iat)), ("exp", json!(exp))]);
    let bent = if signature.starts_with('A') { "B" } else { "A" };
    assert_eq!(
        around(backend, "GET", HOST, "/orders/7?a=1", &[&signer.sign(header, &at(seconds, seconds + 30))]),
        Some("partner".to_owned())
    );
    for (what, forged) in [
        ("another key", other.sign(header, claims)),
        ("a key that nobody knows", other.sign(&with(header, &[("kid", json!("b"))]), claims)),
        ("no kid", signer.sign(&with(header, &[("kid", Value::Null)]), claims)),
        ("alg none", format!("{}.", unsigned(&alg("none"), claims))),
        ("alg none, signed", signer.sign(&alg("none"), claims)),
        ("HS256 by the public key", confused(&alg("HS256"), claims, signer.public())),
        ("ES256", signer.sign(&alg("ES256"), claims)),
        ("a bent signature", format!("{text}.{bent}{}", &signature[1..])),
        ("no signature", format!("{text}.")),
        ("another kind of token", signer.sign(&with(header, &[("typ", json!("JWT"))]), claims)),
        ("another issuer", signer.sign(header, &with(claims, &[("iss", json!("https://evil.example"))]))),
        ("a clock five minutes behind", signer.sign(header, &at(seconds - 300, seconds - 270))),
        ("a clock five minutes ahead", signer.sign(header, &at(seconds + 300, seconds + 330))),
        ("a life of a day", signer.sign(header, &at(seconds, seconds + 86_400))),
        ("no end", signer.sign(header, &with(claims, &[("exp", Value::Null)]))),
        ("not bound to a method", signer.sign(header, &with(claims, &[("htm", Value::Null)]))),
    ] {
        assert_eq!(
            around(backend, "GET", HOST, "/orders/7?a=1", &[&forged]),
            None,
            "{}: {what}",
            backend.name
        );
    }
}

/// What Envoy shows of itself, and what it logs, has the names of variables and no secret.
fn seen_by_nobody(gateway: &Gateway, signer: &Signer) {
    let dump = gateway.envoy.admin_text("/config_dump").unwrap();
    assert!(dump.contains("KEY_A") && dump.contains("host_env_keys"), "the policy and the names are there");
    let log = gateway.envoy.log();
    assert!(log.contains("portcullis: policy `assertion` loaded"));
    let keys = client::send(gateway.address("rust"), &Request::get(HOST, "/keys")).unwrap();
    assert_eq!((keys.status, keys.field("cache-control").as_deref()), (200, Some("public, max-age=1")));
    for text in
        [&dump, &log, &String::from_utf8(keys.body).unwrap(), &gateway.envoy.admin_text("/stats").unwrap()]
    {
        assert!(
            !text.contains(&signer.secret()) && !text.contains(&signer.private) && !text.contains(API_KEY)
        );
    }
}

/// One key takes over from another, of another kind, under load. Who checks knows nothing but the path of the keys.
#[test]
fn while_the_keys_are_changed_nothing_is_refused() {
    let (signer, ports, next) = (Signer::new(), ports(), p256());
    let first = json!({"kid": "a", "algorithm": "EdDSA", "privateKey": {"env": "KEY_A"}});
    let mut gateway =
        Gateway::start(&ports, &json!([first]), &[("KEY_A", &signer.private), ("KEY_B", &next)]);
    let services = backends(&gateway, &ports);
    let turn = Timestamp::from_nanos(now().nanos() + 7 * SECOND);
    let end = Timestamp::from_nanos(turn.nanos() + SECOND);
    let mut ending = first.clone();
    ending["notAfter"] = json!(end.to_string());
    gateway.update(&json!([
        ending,
        {"kid": "b", "algorithm": "ES256", "privateKey": {"env": "KEY_B"}, "notBefore": turn.to_string()},
    ]));
    assert!(now() < turn, "the machine was too busy for this drill");
    let addresses: Vec<_> = services.iter().map(|backend| gateway.address(backend.name)).collect();
    let (stop, gateway) = (AtomicBool::new(false), &gateway);
    thread::scope(|scope| {
        let load = |number: usize| {
            let (address, name, stop) = (addresses[number], services[number].name, &stop);
            move || {
                let mut served = 0_u32;
                while !stop.load(Ordering::SeqCst) {
                    let target = format!("/orders/{}", served % 50);
                    let response = client::send(address, &keyed("GET", &target)).unwrap();
                    let told = String::from_utf8_lossy(&response.body);
                    assert_eq!(response.status, 200, "{name}: request {served}: {told}");
                    served += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                served
            }
        };
        let threads: Vec<_> = (0..services.len()).map(|number| scope.spawn(load(number))).collect();
        let mut takers = Vec::new();
        while now().nanos() < end.nanos() + 2 * SECOND && threads.iter().all(|thread| !thread.is_finished()) {
            let header = part(&gateway.stolen("node", "GET", "/single"), 0);
            let by = format!("{} {}", header["kid"], header["alg"]);
            if takers.last() != Some(&by) {
                takers.push(by);
            }
            thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::SeqCst);
        let served: Vec<u32> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(takers, [r#""a" "EdDSA""#, r#""b" "ES256""#]);
        assert!(served.iter().all(|count| *count > 50), "{served:?}");
    });
}

/// A gateway that cannot be asked for its keys cannot say either that one was stolen: what is known of them holds for a while, and then no more.
#[test]
fn keys_are_not_believed_for_ever() {
    let (signer, ports) = (Signer::new(), ports());
    let keys = json!([{"kid": "a", "algorithm": "EdDSA", "privateKey": {"env": "KEY_A"}}]);
    let gateway = Gateway::start(&ports, &keys, &[("KEY_A", &signer.private)]);
    let patient = backends(&gateway, &ports);
    let shown = gateway.shown.address();
    let start =
        |name: &&'static str| Backend::start(name, free_port(), &asked(&gateway, name, Some(5)), shown);
    let strict: Vec<Backend> = NAMES.iter().map(start).collect();
    let stolen: BTreeMap<_, _> =
        NAMES.iter().map(|name| (*name, gateway.stolen(name, "GET", "/long"))).collect();
    let taken = |backend: &Backend| around(backend, "GET", HOST, "/long", &[&stolen[backend.name]]).is_some();
    let until = |wanted: bool, backend: &Backend| {
        let start = Instant::now();
        while taken(backend) != wanted {
            assert!(start.elapsed() < Duration::from_secs(60), "{}: never {wanted}", backend.name);
            thread::sleep(Duration::from_millis(100));
        }
    };
    for backend in patient.iter().chain(&strict) {
        until(true, backend);
    }
    // Somebody else answers the Envoy in the gateway's place: its certificate is of another authority.
    let other = Authority::new("servers").unwrap();
    let foreign = Asked { authority: &other, ..asked(&gateway, "envoy", None) };
    let deceived = Backend::start("envoy", free_port(), &foreign, shown);
    assert!(!taken(&deceived), "keys of whoever answers");
    let Gateway { envoy, shown: _service, .. } = gateway;
    drop(envoy);
    for backend in &strict {
        until(false, backend);
    }
    for backend in &patient {
        assert!(taken(backend), "{}: for a day", backend.name);
    }
}

/// Without a key the routes that need one are refused, with the reason; and a service is never told less than it asks for.
#[test]
fn without_its_key_a_gateway_sends_nothing_on() {
    let ports: BTreeMap<_, _> = [("rust", free_port())].into();
    let keys = json!([{"kid": "a", "algorithm": "EdDSA", "privateKey": {"env": "NOT_THERE"}}]);
    let gateway = Gateway::start(&ports, &keys, &[]);
    let response = gateway.send("show-rust", "GET", "/orders");
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status, problem["code"].as_str()), (503, Some("assertion_unavailable")));
    assert_eq!(response.field("retry-after").as_deref(), Some("30"));
    assert_eq!(gateway.shown.seen(), []);
    let keys = client::get_text(gateway.address("rust"), "/keys").unwrap();
    assert_eq!(keys, r#"{"keys":[]}"#);
    assert!(
        gateway
            .envoy
            .wait_for_log(&[
                "the key `a` of `signing` does not sign: missing environment variable `NOT_THERE`"
            ])
            .is_some()
    );
}
