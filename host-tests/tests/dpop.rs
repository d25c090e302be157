//! Is a proof of possession admitted once by a real Envoy, when two workers are handed it at the same moment?

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant, SystemTime};

use host_tests::artifacts;
use host_tests::client::Client;
use host_tests::corpus::Case;
use host_tests::dpop::DpopKey;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::Request;
use host_tests::oidc::{Provider, Wish};
use host_tests::scenario::{self, TokenSpec};
use host_tests::tokens::{Keys, Proved};
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

/// How many proofs are sent, each of them twice; `PORTCULLIS_PROOFS` says otherwise.
const PROOFS: usize = 10_000;
/// Pairs of connections: the two of a pair send the same proof at the same moment.
const PAIRS: usize = 2;

fn policy(confirmation: &str) -> Value {
    let text = format!(
        "name: dpop\nwhy: a base\nbase: one-route\npolicy: {{audit: {{log: 'Off'}}, jwt: {{providers: [{{name: corp, \
         issuer: 'https://id.example.com', audiences: [orders-api], localJWKS: {{inline: '{{{{jwks: rs256}}}}'}}, \
         confirmation: {confirmation}}}]}}}}\nrequests: []\n"
    );
    Case::new(scenario::parse(&text).unwrap()).unwrap().policy
}

fn start(confirmation: &str, upstream: &Upstream) -> Envoy {
    let plugin = artifacts::plugin().unwrap();
    let listener = Listener::new("dpop", policy(confirmation), plugin, upstream.address().port());
    Envoy::start(&Launch { listeners: vec![listener], ..Launch::default() })
        .unwrap_or_else(|failure| panic!("{failure}"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn token() -> String {
    let mut spec = TokenSpec::of("rs256");
    spec.claims.insert("cnf".to_owned(), json!({"jkt": "client"}));
    Keys::of_this_run().mint(&spec, now()).unwrap()
}

/// A request with a proof of its own.
fn proved(token: &str, id: &str, claims: &Value) -> Request {
    let mut spec = TokenSpec::of("client");
    spec.claims.clone_from(claims.as_object().unwrap());
    let about = Proved { token, method: "GET", url: "http://api.example.com/x", id };
    let proof = Keys::of_this_run().prove(&spec, &about, now()).unwrap();
    Request::get("api.example.com", "/x").with("authorization", format!("DPoP {token}")).with("dpop", proof)
}

/// Connections to the two workers: the kernel spreads them, and Envoy counts them.
fn on_both_workers(envoy: &Envoy) -> Vec<(Client, Client)> {
    let address = envoy.listener("dpop").unwrap();
    let counts = || -> BTreeMap<String, u64> {
        let text = envoy.admin_text("/stats?filter=worker_.*downstream_cx_active").unwrap();
        let of_ours = text.lines().filter(|line| line.contains("listener.127.0.0.1"));
        of_ours
            .filter_map(|line| line.split_once(": "))
            .map(|(name, count)| (name.to_owned(), count.trim().parse().unwrap()))
            .collect()
    };
    let mut workers: BTreeMap<String, Vec<Client>> = BTreeMap::new();
    for _ in 0..64 {
        let before = counts();
        let mut client = Client::connect(address).unwrap();
        // An exchange, so that the connection has been accepted.
        client.exchange(&Request::get("api.example.com", "/x")).unwrap();
        let changed = counts().into_iter().find(|(name, count)| before.get(name) != Some(count));
        workers.entry(changed.unwrap().0).or_default().push(client);
        if workers.len() == 2 && workers.values().all(|clients| clients.len() >= PAIRS) {
            break;
        }
    }
    let mut workers = workers.into_values();
    let (ones, others) = (workers.next().unwrap(), workers.next().expect("both workers serve"));
    ones.into_iter().zip(others).take(PAIRS).collect()
}

#[test]
fn of_two_workers_that_are_handed_one_proof_one_admits_it() {
    let proofs = std::env::var("PORTCULLIS_PROOFS").map_or(PROOFS, |text| text.parse().unwrap());
    let upstream = Upstream::start().unwrap();
    let envoy = start("{dpop: Required}", &upstream);
    let token = token();
    let (next, twice, never) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let odd = Mutex::new(BTreeMap::<u16, usize>::new());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for (mut one, mut other) in on_both_workers(&envoy) {
            let (next, twice, never, odd, token) = (&next, &twice, &never, &odd, &token);
            scope.spawn(move || {
                let barrier = Barrier::new(2);
                let request = Mutex::new(None::<Request>);
                std::thread::scope(|pair| {
                    // The other one of the pair sends what the first has made.
                    let (barrier, request) = (&barrier, &request);
                    let echo = pair.spawn(move || {
                        let mut statuses = Vec::new();
                        loop {
                            barrier.wait();
                            let request = request.lock().unwrap().clone();
                            // Only then may the first make another.
                            barrier.wait();
                            let Some(request) = request else { return statuses };
                            statuses.push(other.exchange(&request).unwrap().status);
                        }
                    });
                    let mut statuses = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        let made = (number < proofs).then(|| proved(token, &number.to_string(), &json!({})));
                        request.lock().unwrap().clone_from(&made);
                        barrier.wait();
                        barrier.wait();
                        let Some(made) = made else { break };
                        statuses.push(one.exchange(&made).unwrap().status);
                    }
                    for (first, second) in statuses.into_iter().zip(echo.join().unwrap()) {
                        match (first, second) {
                            (200, 401) | (401, 200) => {}
                            (200, 200) => _ = twice.fetch_add(1, Ordering::SeqCst),
                            (first, second) => {
                                never.fetch_add(1, Ordering::SeqCst);
                                *odd.lock().unwrap().entry(first.max(second)).or_default() += 1;
                            }
                        }
                    }
                });
            });
        }
    });
    println!("{proofs} proofs, each twice, in {:.1} s", begun.elapsed().as_secs_f64());
    let odd = odd.into_inner().unwrap();
    assert_eq!((twice.into_inner(), never.into_inner()), (0, 0), "{odd:?}");
    let reached = upstream.seen().len();
    assert_eq!(reached, proofs);
}

/// The answer has the nonce; with it, and a new proof, the request passes, on either worker.
#[test]
fn a_client_that_is_told_a_nonce_comes_back_with_it() {
    let upstream = Upstream::start().unwrap();
    let envoy = start("{dpop: {mode: Required, nonce: Required}}", &upstream);
    let token = token();
    let pairs = on_both_workers(&envoy);
    let (mut one, mut other) = pairs.into_iter().next().unwrap();
    let refused = one.exchange(&proved(&token, "a", &json!({}))).unwrap();
    let challenge = refused.field("www-authenticate").unwrap();
    assert!(refused.status == 401 && challenge.contains("use_dpop_nonce"), "{challenge}");
    let nonce = refused.field("dpop-nonce").unwrap();
    let with = |id: &str| proved(&token, id, &json!({"nonce": nonce}));
    assert_eq!(other.exchange(&with("b")).unwrap().status, 200);
    assert_eq!(one.exchange(&with("c")).unwrap().status, 200);
    assert_eq!(one.exchange(&with("b")).unwrap().status, 401, "the jti was used on the other worker");
}

/// What was used stays used when the policy changes.
#[test]
fn an_update_of_the_policy_forgets_no_proof() {
    let upstream = Upstream::start().unwrap();
    let mut envoy = start("{dpop: Required}", &upstream);
    let token = token();
    let request = proved(&token, "kept", &json!({}));
    let send = |envoy: &Envoy, request: &Request| {
        host_tests::client::send(envoy.listener("dpop").unwrap(), request).unwrap()
    };
    assert_eq!(send(&envoy, &request).status, 200);
    let mut next = policy("{dpop: Required}");
    next["name"] = json!("next");
    let plugin = artifacts::plugin().unwrap();
    envoy.update(&[Listener::new("dpop", next, plugin, upstream.address().port())]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let serves = |envoy: &Envoy| {
        let challenge = send(envoy, &Request::get("api.example.com", "/x")).field("www-authenticate");
        challenge.is_some_and(|challenge| challenge.contains("\"next\""))
    };
    while !serves(&envoy) {
        assert!(Instant::now() < deadline, "the update never served");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(send(&envoy, &request).status, 401);
}

/// A certified provider binds the token to a key; what it gives is of use to whoever has the key, and to nobody else.
#[test]
fn a_provider_binds_what_the_gateway_checks() {
    let issuer = Provider::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "dpop",
        "jwt": {"providers": [{
            "name": "corp", "issuer": issuer.issuer(), "audiences": ["orders-api"], "maxLifetime": "1d",
            "remoteJWKS": {"cluster": "issuer"}, "confirmation": {"dpop": "Required"},
        }]},
        "routes": [{"name": "all", "match": {}, "authentication": {"jwt": {}}}],
    });
    let plugin = artifacts::plugin().unwrap();
    let listener = Listener::new("dpop", policy, plugin, upstream.address().port());
    let clusters = vec![Cluster::new("issuer", issuer.port())];
    let envoy = Envoy::start(&Launch { listeners: vec![listener], clusters, ..Launch::default() })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("dpop").unwrap();
    let [mine, stolen] = [(); 2].map(|()| DpopKey::generate().unwrap());
    let asked = mine.proof("POST", &issuer.token_endpoint().unwrap(), now(), None).unwrap();
    let token = issuer.token(&Wish { dpop: Some(&asked), ..Wish::BEARER }).unwrap();
    let url = "http://api.example.com/x";
    let proof = |key: &DpopKey, url: &str| key.proof("GET", url, now(), Some(&token)).unwrap();
    let send = |scheme: &str, proof: Option<&str>| {
        let mut request =
            Request::get("api.example.com", "/x").with("authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.with("dpop", proof);
        }
        let response = host_tests::client::send(address, &request).unwrap();
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        (response.status, body["code"].as_str().unwrap_or_default().to_owned())
    };
    let good = proof(&mine, url);
    assert_eq!(send("DPoP", Some(&good)), (200, String::new()), "{}", envoy.log());
    assert_eq!(send("DPoP", Some(&good)).0, 401, "once");
    assert_eq!(send("DPoP", Some(&proof(&stolen, url))).0, 401, "another key");
    assert_eq!(send("DPoP", Some(&proof(&mine, "http://api.example.com/y"))).0, 401, "another path");
    assert_eq!(send("DPoP", None).0, 401, "no proof");
    assert_eq!(send("Bearer", Some(&proof(&mine, url))).0, 401, "as a bearer token");
    assert_eq!(send("DPoP", Some(&proof(&mine, url))), (200, String::new()));
}
