//! Does each alert of the file fire? Gateways to which all of it happens, and a real Prometheus that looks at them and tells an Alertmanager.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::Request;
use host_tests::key_server::{Answer, KeyServer};
use host_tests::prometheus::Prometheus;
use host_tests::scenario::{Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

use super::alerts::{CONFIG, RULES, alerts};
use super::{dashboard, file};

/// What has not fired by then does not.
const SOON: Duration = Duration::from_secs(240);
const ALERTMANAGER: &str = "/api/v2/alerts";

/// The rules with their own expressions, but that they look back for seconds and fire at once.
fn quick() -> String {
    let mut text = file(RULES);
    for (from, to) in [("[5m]", "[20s]"), ("[10m]", "[20s]"), ("[15m]", "[2m]")] {
        assert!(text.contains(from));
        text = text.replace(from, to);
    }
    let hold = |line: &str| line.trim_start().starts_with("for: ");
    text.lines()
        .map(|line| if hold(line) { "    for: 1s\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

/// `prometheus.yaml` as it is, but quicker, at these gateways, and with this Alertmanager.
fn config(gateways: &[SocketAddr], alertmanager: SocketAddr) -> String {
    let text = file(CONFIG);
    for (there, count) in [("15s", 2), (r#""127.0.0.1:9901""#, 1), ("127.0.0.1:9093", 1)] {
        assert_eq!(text.matches(there).count(), count, "{there}");
    }
    let gateways: Vec<String> = gateways.iter().map(|address| format!("\"{address}\"")).collect();
    text.replace("15s", "1s")
        .replace(r#""127.0.0.1:9901""#, &gateways.join(", "))
        .replace("127.0.0.1:9093", &alertmanager.to_string())
}

fn policy(issuer: &KeyServer) -> Value {
    let path = |path: &str| json!({"path": {"type": "PathPrefix", "value": path}});
    let open = json!({"open": {"because": "test"}});
    let jwt = json!({"jwt": {"providers": ["corp"]}});
    let local = |rules: Value| json!({"local": {"rules": rules}});
    let admin = |network: &str| json!({"to": "Admin", "clientCIDRs": [network]});
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "fired", "stateBytes": "64Ki",
        "audit": {
            "subject": "Hashed", "hashKey": {"env": "NOT_THERE"},
            "sinks": {"otlp": {"uri": "http://collector/v1/logs", "cluster": "nobody", "maxBatch": 1, "maxBuffered": 1}},
        },
        "jwt": {"providers": [{
            "name": "asked", "issuer": "https://opaque.example.com", "audiences": ["orders-api"], "requireExpiration": false,
            "introspection": {"uri": issuer.url("/introspect"), "cluster": "issuer", "clientId": "me", "clientSecret": {"env": "NOT_THERE"}},
        }, {
            "name": "corp", "issuer": "https://id.example.com", "audiences": ["orders-api"], "maxLifetime": "1d",
            "remoteJWKS": {"uri": issuer.url("/jwks"), "cluster": "issuer", "cacheDuration": "1s", "failedRefetchDuration": "200ms"},
        }]},
        "routes": [
            {"name": "signed", "match": path("/signed"), "authentication": jwt},
            {"name": "opaque", "match": path("/opaque"), "authentication": {"jwt": {"providers": ["asked"]}}},
            {"name": "guessed", "match": path("/guessed"), "authentication": jwt, "rateLimit": {"failures": {"rules": [
                {"name": "guess", "by": ["clientIP"], "limit": {"requests": 2, "unit": "Hour"}, "penalty": "1h"},
            ]}}},
            {"name": "used", "match": path("/used"), "authentication": open, "exposure": admin("127.0.0.0/8")},
            {"name": "probed", "match": path("/probed"), "authentication": open, "exposure": admin("10.0.0.0/8")},
            {"name": "tried", "match": path("/tried"), "authentication": jwt, "mode": "Shadow"},
            {"name": "crowded", "match": path("/crowded"), "authentication": open, "rateLimit": local(json!([
                {"name": "k", "by": [{"header": "x-key"}], "limit": {"requests": 1000, "unit": "Day"}},
            ]))},
            {"name": "shared", "match": path("/shared"), "authentication": open, "rateLimit": {"global": {
                "service": {"cluster": "nobody"}, "domain": "d", "failureMode": "Deny", "rules": [{"name": "g", "by": ["clientIP"]}],
            }}},
        ],
    })
}

/// Everything is open.
fn simple(name: &str, more: &Value) -> Value {
    let mut policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": name,
        "routes": [{"name": "all", "match": {}, "authentication": {"open": {"because": "test"}}}],
    });
    let members = policy.as_object_mut().unwrap();
    members.extend(more.as_object().cloned().unwrap_or_default());
    policy
}

/// An expression that takes long with a long path.
fn slow() -> Value {
    let expression = json!({"type": "RegularExpression", "value": "/(?:[a-w]{0,10}[a-v]{0,10})*x"});
    simple(
        "slow",
        &json!({"routes": [{
            "name": "slow", "match": {"path": expression}, "request": {"maxPathBytes": "8Ki"}, "authentication": {"open": {"because": "test"}},
        }]}),
    )
}

/// One gateway to which everything happens.
struct Beset {
    envoy: Envoy,
    listeners: Vec<Listener>,
    issuer: KeyServer,
    _upstream: Upstream,
    /// Keys that no crowd had.
    keys: u64,
}

impl Beset {
    fn start(stats_config: &Value) -> Self {
        let issuer = KeyServer::start().unwrap();
        issuer.answer("/jwks", Answer::json(Keys::of_this_run().jwks(&["es256"]).unwrap()));
        issuer.answer("/slow", Answer::json("{}").after(Duration::from_secs(1)));
        let upstream = Upstream::start().unwrap();
        let port = upstream.address().port();
        let plugin = artifacts::plugin().unwrap();
        let listener = |name: &str, policy| Listener::new(name, policy, plugin.clone(), port);
        let listeners = vec![
            listener("beset", policy(&issuer)),
            listener("slow", slow()),
            Listener { plugin_disabled: true, ..listener("switched-off", simple("off", &json!({}))) },
            Listener {
                upstream: issuer.port(),
                ..listener("busy", simple("busy", &json!({"overload": {"requests": 1}})))
            },
            // By the name of `envoy.yaml`, of which the series are made.
            Listener {
                vm_id: "faulty".to_owned(),
                plugin: artifacts::faulty().unwrap(),
                ..listener("portcullis", simple("faulty", &json!({})))
            },
        ];
        let envoy = Envoy::start(&Launch {
            listeners: listeners.clone(),
            clusters: vec![Cluster::new("issuer", issuer.port())],
            stats_config: stats_config.clone(),
            // Whoever is busy is so with all that comes.
            arguments: ["--concurrency", "1"].map(str::to_owned).to_vec(),
            ..Launch::default()
        });
        let envoy = envoy.unwrap_or_else(|failure| panic!("{failure}"));
        Self { envoy, listeners, issuer, _upstream: upstream, keys: 0 }
    }

    fn at(&self, listener: &str) -> SocketAddr {
        self.envoy.listener(listener).unwrap()
    }

    /// On one connection; what was answered.
    fn send(&self, listener: &str, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
        let mut client = Client::connect(self.at(listener)).unwrap();
        requests.into_iter().map(|request| client.exchange(&request).unwrap().status).collect()
    }

    /// So many clients that a limit has not seen yet.
    fn crowd(&mut self, count: u64) {
        let from = self.keys;
        self.keys += count;
        let crowd = (from..self.keys).map(|key| get("/crowded").with("x-key", key.to_string()));
        assert!(self.send("beset", crowd).iter().all(|status| *status == 200));
    }

    /// What can be wrong with requests, once more.
    fn wave(&mut self, number: u64) {
        let all = |statuses: &[u16], expected: &[u16]| {
            assert!(
                statuses.iter().all(|status| expected.contains(status)),
                "{statuses:?}, not {expected:?}"
            );
        };
        let forged = |path: &'static str, count: u64| {
            (0..count).map(move |at| bearing(path, &token(&format!("victim-{number}-{at}"))))
        };
        all(&self.send("beset", forged("/signed", 60)), &[401]);
        let long = format!("/{}", "a".repeat(8000));
        all(&self.send("slow", (0..40).map(|_| get(&long))), &[404]);
        all(&self.send("beset", (0..200).map(|at| bearing("/signed", &format!("{number}.{at}.x")))), &[401]);
        all(&self.send("beset", forged("/guessed", 100)), &[401, 429]);
        all(&self.send("beset", [get("/used")]), &[200]);
        all(&self.send("beset", [get("/probed"), get("/nothing")]), &[404]);
        all(&self.send("beset", [get("/tried")]), &[200]);
        all(&self.send("beset", [get("/shared"), bearing("/opaque", "guess")]), &[503]);
        self.crowd(250);
        all(&self.send("switched-off", [get("/")]), &[403]);
        all(&self.send("portcullis", [get("/").with("x-fault", "head")]), &[503]);
        // Two at once are one too many; which one of them is a matter of luck.
        let busy = self.at("busy");
        let slow = move || client::send(busy, &get("/slow")).unwrap().status;
        let at_once = || {
            std::thread::scope(|scope| [scope.spawn(slow), scope.spawn(slow)].map(|one| one.join().unwrap()))
        };
        let began = Instant::now();
        while !at_once().contains(&503) {
            assert!(began.elapsed() < SOON, "nobody is busy");
        }
    }
}

fn get(path: &str) -> Request {
    Request::get("api", path)
}

fn bearing(path: &str, token: &str) -> Request {
    get(path).with("authorization", format!("Bearer {token}"))
}

/// Forged, of a subject.
fn token(subject: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": subject, "exp": "now+3600"}).as_object().cloned().unwrap();
    let spec = TokenSpec { claims, signature: Signature::Tampered, ..TokenSpec::of("es256") };
    Keys::of_this_run().mint(&spec, now).unwrap()
}

/// What Prometheus has seen fire so far.
struct Seen<'a> {
    prometheus: &'a Prometheus,
    names: BTreeSet<String>,
}

impl Seen<'_> {
    /// Goes on until all of these have fired, each at some time.
    fn until(&mut self, expected: &[&str], mut go_on: impl FnMut(u64)) {
        let began = Instant::now();
        for number in 0.. {
            go_on(number);
            self.names.extend(self.prometheus.firing().unwrap());
            let missing: Vec<&&str> = expected.iter().filter(|name| !self.names.contains(**name)).collect();
            if missing.is_empty() {
                return;
            }
            assert!(began.elapsed() < SOON, "{missing:?}\n{}", self.prometheus.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn every_alert_fires_on_gateways_to_which_everything_happens() {
    let reference: Value = serde_saphyr::from_str(&file("envoy.yaml")).unwrap();
    let stats_config = &reference["stats_config"];
    let mut beset = Beset::start(stats_config);
    // One of the same policy in another version, and one that was given no listener.
    let other = |listeners| {
        let launch = Launch { listeners, stats_config: stats_config.clone(), ..Launch::default() };
        Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"))
    };
    let behind = Listener::new("behind", simple("fired", &json!({})), artifacts::plugin().unwrap(), 1);
    let (behind, bare) = (other(vec![behind]), other(Vec::new()));
    let alertmanager = KeyServer::start().unwrap();
    alertmanager.answer(ALERTMANAGER, Answer::json("{}"));
    let gateways = [beset.envoy.admin(), behind.admin(), bare.admin()];
    let rules = quick();
    let prometheus =
        Prometheus::start(&config(&gateways, alertmanager.address()), &[("rules.yaml", &rules)]).unwrap();
    let mut seen = Seen { prometheus: &prometheus, names: BTreeSet::new() };

    // What is wrong before anybody has asked for anything.
    seen.until(&["PortcullisDegraded", "PortcullisPoliciesDiffer", "PortcullisPluginMissing"], |_| {});
    let early = ["Silent", "Down", "GuardRefuses", "Reloads", "PolicyRefused", "CannotDecide", "AdminRoute"];
    let early = early.map(|name| format!("Portcullis{name}"));
    // Before the first look nobody tells anything, and a look may come too late.
    super::until("a time at which nothing else fires", || {
        let firing = prometheus.firing().unwrap();
        early.iter().all(|name| !firing.contains(name))
    });
    seen.names.clear();

    beset.crowd(4000);
    beset.issuer.answer("/jwks", Answer::html().status(500));
    let mut broken = beset.listeners.clone();
    broken[0].policy["routes"] = json!([]);
    assert_eq!(beset.envoy.update(&broken).unwrap(), Verdict::Refused);
    let last = ["PortcullisDown", "PortcullisSilent"];
    let all = alerts();
    let expected: Vec<&str> = all.iter().map(String::as_str).filter(|name| !last.contains(name)).collect();
    seen.until(&expected, |number| beset.wave(number));
    dashboard::every_panel_shows_something(&prometheus);
    // Policies in one proxy are told apart.
    for (policy, reason) in [("busy", "overloaded"), ("slow", "no_route"), ("fired", "not_exposed")] {
        let query = format!(r#"portcullis_requests_total{{policy="{policy}", reason="{reason}"}} > 0"#);
        super::until(&query, || !prometheus.query(&query).unwrap().is_empty());
    }

    // One goes, and then the rest of them.
    drop(behind);
    super::until("one is down and the others still tell", || {
        let firing = prometheus.firing().unwrap();
        let is_fired = |name: &str| firing.iter().any(|fired| fired == name);
        is_fired("PortcullisDown") && !is_fired("PortcullisSilent")
    });
    drop(beset);
    seen.until(&["PortcullisSilent"], |_| {});
    drop(bare);
    let told = alertmanager.last(ALERTMANAGER).expect("the Alertmanager was told");
    assert!(String::from_utf8_lossy(&told.body).contains("Portcullis"), "{told:?}");
}
