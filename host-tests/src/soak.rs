//! Does a gateway decide for hours as it does in the first second, and stay as large as it was? Good and hostile requests in a real Envoy, each
//! of which the native code decides on too.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::artifacts;
use crate::client::Client;
use crate::corpus::{Case, Plan, Runner};
use crate::envoy::{Envoy, Launch};
use crate::envoy_config::{Cluster, Listener};
use crate::exchange::{Body, Request, Response};
use crate::key_server::{Answer, KeyServer};
use crate::native::Native;
use crate::scenario::{self, Signature, TokenSpec};
use crate::tokens::Keys;

/// Clients at once, each on a connection of its own.
const CLIENTS: usize = 4;
/// After this share of the time all that is bounded is full, and the size is taken that must hold.
const WARM: f64 = 0.3;
/// KiB by which Envoy may have grown after that: what its allocator does not give back.
const NOISE: u64 = 12 << 10;
/// How long a client uses one set of tokens.
const TOKENS: Duration = Duration::from_secs(20);
/// How many requests a connection serves.
const REQUESTS: usize = 200;

const POLICY: &str = "
name: soak
why: what is to be decided
policy:
  audit:
    log: All
    sinks: {log: false, accessLog: All, otlp: {cluster: collector, uri: 'http://collector/v1/logs'}}
  jwt:
    providers:
    - name: corp
      issuer: https://id.example.com
      audiences: [orders-api]
      maxLifetime: 1d
      localJWKS: {inline: '{{jwks: rs256, es256, eddsa}}'}
      claimToHeaders: [{claim: sub, header: x-user}]
  apiKeyAuth:
    extractFrom: {headers: [x-api-key]}
    keys: [{client: partner, keyHash: 'sha256:ee2dcd5fa478131d62ecffd094ba57a72a33d6631633a02246e30abe6f85ae54'}]
  routes:
  - {name: open, match: {path: {type: Exact, value: /open}}, authentication: {open: {because: test}}}
  - {name: partners, match: {path: {type: Exact, value: /partners}}, authentication: {apiKey: {}}}
  - name: orders
    match: {path: {type: PathPrefix, value: /orders}}
    request: {methods: [GET, POST], maxHeaders: 40, body: {maxBytes: 1Ki, contentTypes: [application/json]}}
    authentication: {jwt: {}}
    authorization: {rules: [{name: readers, action: Allow, principal: {scopes: [read]}}]}
    rateLimit: {local: {rules: [{name: each, by: [subject], limit: {requests: 60000, unit: Second}}]}}
requests: []
";

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many answers of each status there were.
    pub statuses: BTreeMap<u16, u64>,
    /// KiB of Envoy when it was warm, and in the end.
    pub resident: (u64, u64),
    /// Decisions that were not the model's, and errors; a few of each client.
    pub faults: Vec<String>,
}

/// Sends requests for so long.
pub fn run(time: Duration, progress: &mut dyn FnMut(&str)) -> Result<Report, String> {
    let upstream = KeyServer::start().map_err(|error| error.to_string())?;
    for path in ["/open", "/partners", "/orders/7"] {
        upstream.answer(path, Answer::json("{}"));
    }
    upstream.answer("/v1/logs", Answer::of("application/x-protobuf", ""));
    let case = Case::new(scenario::parse(POLICY)?)?;
    let listener = Listener::new("soak", case.policy.clone(), artifacts::plugin()?, upstream.port());
    let clusters = vec![Cluster::new("collector", upstream.port())];
    let launch = Launch { listeners: vec![listener], clusters, ..Launch::default() };
    let envoy = Envoy::start(&launch).map_err(|failure| failure.to_string())?;
    let server = envoy.listener("soak").ok_or("the listener is gone")?;
    let end = Instant::now() + time;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let case = case.clone();
            std::thread::spawn(move || client(number, server, &case, end))
        })
        .collect();
    let mut warm = None;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1).min(end.saturating_duration_since(Instant::now())));
        let left = end.saturating_duration_since(Instant::now());
        if warm.is_none() && left < time.mul_f64(1.0 - WARM) {
            warm = Some(resident(envoy.pid())?);
        }
        if left.as_secs().is_multiple_of(30) {
            progress(&format!("{:>5} s left, {} KiB", left.as_secs(), resident(envoy.pid())?));
        }
    }
    let mut report = Report { statuses: BTreeMap::new(), resident: (0, 0), faults: Vec::new() };
    for client in clients {
        let (statuses, faults) = client.join().map_err(|_| "a client has died")?;
        for (status, count) in statuses {
            *report.statuses.entry(status).or_default() += count;
        }
        report.faults.extend(faults);
    }
    let last = resident(envoy.pid())?;
    report.resident = (warm.unwrap_or(last), last);
    if last > report.resident.0 + NOISE {
        report.faults.push(format!("Envoy grew from {} to {last} KiB", report.resident.0));
    }
    if upstream.requests("/v1/logs") == 0 {
        report.faults.push("no audit event has come to the collector".to_owned());
    }
    let reloads =
        ["success", "failure", "backoff"].map(|how| envoy.stat(&format!("wasm.soak.vm_reload_{how}")));
    if envoy.log().contains("panic at") || reloads.iter().any(|count| *count > 0) {
        report.faults.push("a VM has died".to_owned());
    }
    Ok(report)
}

/// Sends every kind of request again and again; what was answered, and what was wrong with it.
fn client(number: usize, server: SocketAddr, case: &Case, end: Instant) -> (BTreeMap<u16, u64>, Vec<String>) {
    let (mut statuses, mut faults) = (BTreeMap::new(), Vec::new());
    let begun = Instant::now();
    let start = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut model = Native::default();
    if let Err(error) = model.begin(case, &Plan { start, sends: Vec::new() }) {
        return (statuses, vec![error]);
    }
    let (mut turn, mut made, mut requests) = (0, None::<Instant>, Vec::new());
    let mut connection: Option<Client> = None;
    while Instant::now() < end && faults.len() < 20 {
        if made.is_none_or(|made| made.elapsed() > TOKENS) {
            made = Some(Instant::now());
            requests = match mixed(number, (start + begun.elapsed()).as_secs()) {
                Ok(requests) => requests,
                Err(error) => return (statuses, vec![error]),
            };
        }
        let request = &requests[turn % requests.len()];
        turn += 1;
        if turn % REQUESTS == 0 {
            connection = None;
        }
        let answer = match connection.take().map_or_else(|| Client::connect(server), Ok) {
            Ok(mut client) => client.exchange(request).map(|response| (client, response)),
            Err(error) => Err(error),
        };
        let response = match answer {
            Ok((client, response)) => {
                // A refusal in the middle of a body ends a connection.
                connection = (response.status < 400).then_some(client);
                response
            }
            Err(error) => {
                faults.push(format!("{}: {error}", String::from_utf8_lossy(&request.target)));
                continue;
            }
        };
        *statuses.entry(response.status).or_default() += 1;
        match model.send(begun.elapsed(), request) {
            Ok(expected) => {
                let (told, wanted) = (told(&response), told(&expected.response));
                if told != wanted {
                    faults.push(format!("{request:?}: {told:?} and not {wanted:?}"));
                }
            }
            Err(error) => faults.push(error),
        }
    }
    (statuses, faults)
}

/// What a client is told: the status, and of a refusal the reason.
fn told(response: &Response) -> (u16, Option<String>) {
    let problem: Option<serde_json::Value> = serde_json::from_slice(&response.body).ok();
    let code = problem.as_ref().and_then(|problem| problem.get("code")?.as_str());
    (response.status, code.map(str::to_owned))
}

/// One of each kind, with tokens of this moment.
fn mixed(number: usize, now: u64) -> Result<Vec<Request>, String> {
    let get = |path: &str| Request::get("api.example.com", path);
    let bearing = |key: &str, more: serde_json::Value, signature: Signature| {
        let mut claims =
            serde_json::json!({"sub": format!("user-{number}-{now}"), "scope": "read", "exp": now + 300});
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let claims = claims.as_object().cloned().unwrap_or_default();
        let token = Keys::of_this_run().mint(&TokenSpec { claims, signature, ..TokenSpec::of(key) }, now)?;
        Ok::<_, String>(get("/orders/7").with("authorization", format!("Bearer {token}")))
    };
    let none = || serde_json::json!({});
    let good = bearing("rs256", none(), Signature::Good)?;
    let post = |request: &Request, bytes: usize| Request {
        method: "POST".to_owned(),
        body: Body::Whole(vec![b'a'; bytes]),
        ..request.clone().with("content-type", "application/json")
    };
    let at = |target: &[u8]| Request { target: target.to_vec(), ..good.clone() };
    let many = (0..60).fold(good.clone(), |request, number| request.with(&format!("x-many-{number}"), "1"));
    Ok(vec![
        get("/open"),
        good.clone(),
        bearing("es256", none(), Signature::Good)?,
        bearing("eddsa", none(), Signature::Good)?,
        good.clone(),
        get("/partners").with("x-api-key", "pk_metered_0123456789abcdef"),
        good.clone().with("x-user", "root").with("x_user", "root"),
        post(&good, 100),
        get("/orders/7"),
        get("/partners").with("x-api-key", format!("pk_wrong_{now}_0123456789")),
        bearing("rs256", none(), Signature::Tampered)?,
        bearing("attacker", none(), Signature::Good)?,
        bearing("rs256", serde_json::json!({"exp": now - 3600}), Signature::Good)?,
        bearing("rs256", serde_json::json!({"aud": "others"}), Signature::Good)?,
        bearing("rs256", serde_json::json!({"scope": "write"}), Signature::Good)?,
        bearing("rs256", none(), Signature::HmacWithPublicKey)?,
        get("/orders/7").with("authorization", [b"Bearer ".as_slice(), &[0xff, 0xfe]].concat()),
        good.clone().with("authorization", "Bearer x.y.z"),
        at(b"/orders/../open"),
        at(b"/orders/%2e%2e/open"),
        at(b"/nowhere"),
        many,
        post(&good, 4000),
        Request { method: "DELETE".to_owned(), ..good.clone() },
    ])
}

fn resident(process: u32) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("not a size: {line}"))
}
