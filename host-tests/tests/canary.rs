//! Where does a secret that a client sends end up? Marks in every place where one travels, on every path through the filter, with
//! Envoy's `wasm` component at `trace`. It is looked for in Envoy's log, its access logs in every form of docs/audit.md, its traces and metrics,
//! at the collector, and in the answer.

#[path = "audit_sinks/access_log_service.rs"]
mod access_log_service;
#[path = "audit_sinks/document.rs"]
mod document;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use access_log_service::Service;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use host_tests::artifacts;
use host_tests::canaries::{Dice, KINDS, encoded, secret};
use host_tests::client;
use host_tests::collector::Collector;
use host_tests::corpus::Case;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::{Body, Request, latin1};
use host_tests::key_server::{Answer, KeyServer};
use host_tests::scenario::{self, Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

/// Looks like an ordinary word: only the place where it stands says that it is secret.
const PLAIN: &str = "canary7f3a9c51e8d2b640canary";
/// Looks like a key: it is hidden wherever it stands.
const SHAPED: &str = "CanaryQ7f3a9C51e8D2b640xYz5Kd83Wm";

const POLICY: &str = "
name: canary
why: a base
base: orders
policy:
  audit: {log: All, sinks: {accessLog: All, otlp: {cluster: collector, uri: 'http://collector/v1/logs', maxDelay: 100ms, maxBatch: 64}}}
  redaction: {headers: [x-internal], queryParams: [customer], claims: [sub]}
  jwt:
    providers:
    - name: corp
      issuer: https://id.example.com
      audiences: [orders-api]
      localJWKS: {inline: '{{jwks: rs256}}'}
      extractFrom: {headers: [{name: authorization, valuePrefix: 'Bearer '}], cookies: [session], params: [ticket-x]}
      claimToHeaders: [{claim: org.dept, header: x-dept}]
  apiKeyAuth:
    extractFrom: {headers: [x-partner-key], cookies: [partner], params: [partner-ref]}
    keys:
    - {client: plain, keyHash: 'sha256:ba859e5a8661b7954bd719d2cbcb951c4cf20261920c599078e61a1f048f76dc', scopes: [read]}
    - {client: shaped, keyHash: 'sha256:ee7fd52d35efffc4d64496c4c67525da8644f76721ff14f2b75c7ab74a20bee7', expiresAt: 2026-01-01T00:00:00Z}
  routes:
  - name: partners
    match: {path: {type: PathPrefix, value: /partners}}
    authentication: {anyOf: [{jwt: {}}, {apiKey: {}}]}
  - name: partners-limited
    match: {path: {type: Exact, value: /partners/limited}}
    authentication: {apiKey: {}}
    authorization: {rules: [{name: admins, action: Allow, principal: {scopes: [admin]}}]}
  - name: orders
    match: {path: {type: PathPrefix, value: /orders}}
    request: {methods: [GET, POST], maxQueryBytes: 2Ki, maxHeaders: 40, forbiddenHeaders: [x-debug], body: {maxBytes: 1Ki, contentTypes: [application/json]}}
    authentication: {jwt: {}}
  - name: limited
    match: {path: {type: Exact, value: /limited}}
    authentication: {jwt: {}}
    rateLimit: {local: {rules: [{name: one, by: [subject, {header: x-internal}], limit: {requests: 1, unit: Day}}]}}
  - name: scoped
    match: {path: {type: Exact, value: /scoped}}
    authentication: {jwt: {}}
    authorization: {rules: [{name: admins, action: Allow, principal: {scopes: [admin]}}]}
  - name: pages
    match: {path: {type: PathPrefix, value: /pages}}
    authentication: {jwt: {}}
    cors: {allowOrigins: ['https://app.example.com'], allowHeaders: [authorization]}
  - name: trial
    mode: Shadow
    match: {path: {type: Exact, value: /trial}}
    authentication: {jwt: {}}
requests: []
";

/// What becomes of a request, and with it of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its credential was used: nobody behind the filter sees it.
    Consumed,
    /// It was refused: what is secret in its head has been written over before Envoy's access log reads it.
    Refused(u16),
    /// The gateway answered it, which leaves of it what a refusal leaves.
    Answered,
    /// It passed in Shadow: nothing was taken off, and Envoy's access log may hold it if its format asks for it.
    Passed,
}
use End::{Answered, Consumed, Passed, Refused};

fn token(claims: &Value, signature: Signature) -> String {
    let mut claims = claims.as_object().cloned().unwrap();
    claims.insert("jti".to_owned(), json!(PLAIN));
    mint(&TokenSpec { claims, signature, ..TokenSpec::of("rs256") })
}

fn mint(spec: &TokenSpec) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    Keys::of_this_run().mint(spec, now.as_secs()).unwrap()
}

fn get(path: &str) -> Request {
    Request::get("api.example.com", path)
}

fn with_token(path: &str, claims: &Value) -> Request {
    get(path).with("authorization", format!("Bearer {}", token(claims, Signature::Good)))
}

fn post(request: Request, media: &str, body: Body) -> Request {
    Request { method: "POST".to_owned(), body, ..request.with("content-type", media) }
}

/// With a body, and behind it in trailers what could be taken for a credential.
fn with_trailers(request: Request, body: &[u8]) -> Request {
    let names = [
        "authorization",
        "cookie",
        "x-api-key",
        "x-partner-key",
        "x-internal",
        "x-request-id",
        "traceparent",
        "x-note",
    ];
    let trailers = names.map(|name| (name.to_owned(), format!("{PLAIN} {SHAPED}").into_bytes())).into();
    Request { trailers, ..post(request, "application/json", Body::Chunks(vec![body.to_vec()])) }
}

/// What a browser asks before it asks.
fn preflight(request: Request) -> Request {
    Request { method: "OPTIONS".to_owned(), ..request }
        .with("origin", "https://app.example.com")
        .with("access-control-request-method", "GET")
}

/// Preflights, in which no credential is looked for.
fn answered() -> Vec<(Request, End)> {
    let good = token(&json!({"sub": PLAIN}), Signature::Good);
    let requests = [
        get(&format!("/pages/{SHAPED}?token={PLAIN}&q={SHAPED}")),
        get("/pages")
            .with("authorization", format!("Bearer {good}"))
            .with("cookie", format!("session={PLAIN}")),
        get("/pages").with("x-partner-key", PLAIN).with("x-api-key", PLAIN).with("x-internal", PLAIN),
        get(&format!("/pages?ticket-x={good}&partner-ref={PLAIN}")),
    ];
    requests.into_iter().map(|request| (preflight(request), Answered)).collect()
}

/// Every way of a used credential.
fn consumed() -> Vec<(Request, End)> {
    let good = token(&json!({"sub": PLAIN}), Signature::Good);
    let requests = [
        with_token("/orders", &json!({"sub": PLAIN, "org": {"dept": "eu"}})),
        get("/orders").with("cookie", format!("a=1; session={good}; b=2")),
        get(&format!("/orders?page=1&ticket-x={good}&x=2")),
        get(&format!("/orders?%74icket-x={good}")),
        with_token("/limited", &json!({"sub": PLAIN})),
        post(with_token("/orders", &json!({})), "application/json", Body::Whole(b"{}".to_vec())),
        with_trailers(with_token("/orders", &json!({"sub": PLAIN})), b"{}"),
        // As API keys.
        get("/partners").with("x-partner-key", PLAIN),
        get("/partners").with("cookie", format!("a=1; partner={PLAIN}")),
        get(&format!("/partners?page=1&partner-ref={PLAIN}")),
        get(&format!("/partners?partner%2Dref={PLAIN}&x=2")),
    ];
    requests.into_iter().map(|request| (request, Consumed)).collect()
}

/// Every kind of refusal for a credential.
fn refused_credentials() -> Vec<(Request, End)> {
    let bad = |claims: Value| with_token("/orders", &claims);
    let header = |header: Value| {
        let header = header.as_object().cloned().unwrap();
        get("/orders").with(
            "authorization",
            format!("Bearer {}", mint(&TokenSpec { header, ..TokenSpec::of("rs256") })),
        )
    };
    let tampered = token(&json!({}), Signature::Tampered);
    let rows = [
        (get("/orders").with("authorization", format!("Bearer {tampered}")), 401),
        (get("/orders").with("authorization", format!("Bearer {PLAIN}")), 401),
        (get("/orders").with("authorization", format!("Bearer {PLAIN}.{PLAIN}.{PLAIN}")), 401),
        (get("/orders").with("authorization", format!("Basic {PLAIN}")), 401),
        (get("/orders").with("authorization", format!("Bearer {PLAIN}\u{ff}")), 401),
        (get("/orders").with("authorization", format!("Bearer {}", PLAIN.repeat(700))), 431),
        (with_token("/orders", &json!({})).with("authorization", format!("Bearer {PLAIN}")), 400),
        (with_token("/orders", &json!({})).with("cookie", format!("session={PLAIN}")), 400),
        (get("/orders").with("cookie", format!("session={PLAIN}; other={PLAIN}")), 401),
        (get(&format!("/orders?ticket-x={PLAIN}")), 401),
        (bad(json!({"exp": 1})), 401),
        (bad(json!({"iss": format!("https://{SHAPED}.example")})), 401),
        (bad(json!({"aud": SHAPED})), 401),
        (bad(json!({"nbf": PLAIN})), 401),
        (bad(json!({"sub": [PLAIN]})), 401),
        (bad(json!({"org": {"dept": format!("{SHAPED}\r\nx-a: b")}})), 401),
        (header(json!({"kid": SHAPED})), 401),
        (header(json!({"alg": SHAPED})), 401),
        (header(json!({"typ": SHAPED})), 401),
        (header(json!({"crit": [SHAPED]})), 401),
        (with_token("/scoped", &json!({"sub": PLAIN, "scope": SHAPED})), 403),
        (with_token("/limited", &json!({"sub": PLAIN})), 429),
        (get("/partners").with("x-partner-key", SHAPED), 401),
        (get("/partners").with("x-partner-key", format!("{PLAIN}x")), 401),
        (get("/partners").with("x-partner-key", format!("{PLAIN},{PLAIN}")), 400),
        (get("/partners").with("x-partner-key", PLAIN).with("x_partner_key", PLAIN), 400),
        (get("/partners").with("x-partner-key", PLAIN.repeat(20)), 401),
        (get("/partners").with("cookie", format!("partner={PLAIN}x; partner2={SHAPED}")), 401),
        (get(&format!("/partners?partner-ref={PLAIN}%20&x=1")), 401),
        (get(&format!("/partners?partner-ref={PLAIN}")).with("x-partner-key", PLAIN), 400),
        (with_token("/partners", &json!({})).with("x-partner-key", PLAIN), 400),
        (get("/partners/limited").with("x-partner-key", PLAIN), 403),
        (get(&format!("/partners/limited?partner-ref={PLAIN}")), 403),
    ];
    rows.into_iter().map(|(request, status)| (request, Refused(status))).collect()
}

/// Secrets that are no credential of ours, in requests that are refused for anything.
fn refused_for_other_things() -> Vec<(Request, End)> {
    let body = format!("{{\"password\":\"{PLAIN}\",\"key\":\"{SHAPED}\"}}{}", " ".repeat(2000)).into_bytes();
    let chunks = Body::Chunks(vec![body[..900].to_vec(), body[900..].to_vec()]);
    let media = "application/json";
    let many =
        (0..60).fold(with_token("/orders", &json!({})), |request, n| request.with(&format!("x-{n}"), "1"));
    // More than the filter reads at all: it cannot even tell the names.
    let unread =
        (0..600).fold(with_token("/orders", &json!({})), |request, n| request.with(&format!("x-{n}"), "1"));
    let grpc = get("/orders").with("authorization", format!("Bearer {PLAIN}"));
    let rows = [
        (get("/orders").with("x-api-key", PLAIN).with("x-internal", PLAIN).with("x-auth-token", PLAIN), 401),
        (get(&format!("/orders?access_token={PLAIN}&code={PLAIN}&customer={PLAIN}&page=1")), 401),
        (get(&format!("/orders?p%61ssword={PLAIN}&q={SHAPED}")), 401),
        (get(&format!("/orders?{SHAPED}")), 401),
        (get(&format!("/orders/{SHAPED}/lines")), 401),
        (get(&format!("/nowhere/{SHAPED}?token={PLAIN}")), 404),
        (get(&format!("/orders/../x?code={PLAIN}")), 400),
        (get(&format!("/orders/%2e/{SHAPED}")), 400),
        (get(&format!("/orders/%zz/{SHAPED}")), 400),
        (get(&format!("/orders?token={PLAIN}&x={}", "a".repeat(3000))), 414),
        (
            Request {
                method: "DELETE".to_owned(),
                ..with_token(&format!("/orders?pin={PLAIN}"), &json!({}))
            },
            405,
        ),
        (with_token(&format!("/orders?otp={PLAIN}"), &json!({})).with("x-debug", PLAIN), 400),
        (many, 431),
        (unread, 431),
        (
            post(with_token(&format!("/orders?key={PLAIN}"), &json!({})), media, Body::Whole(body.clone())),
            413,
        ),
        (post(with_token("/orders", &json!({})), "text/plain", Body::Whole(body[..40].to_vec())), 415),
        // Cut off in the middle: the head has gone, but its credential had been taken off it.
        (post(with_token("/orders", &json!({"sub": PLAIN})), media, chunks), 413),
        (post(grpc, "application/grpc", Body::Whole(vec![0; 5])), 200),
        (with_trailers(get("/orders"), b"{}"), 401),
        (with_trailers(with_token("/orders", &json!({"sub": PLAIN})), &body), 413),
        (preflight(get("/pages")).with("origin", format!("https://{SHAPED}.example")), 403),
        (
            preflight(get(&format!("/pages/{SHAPED}?pin={PLAIN}")))
                .with("access-control-request-headers", SHAPED),
            403,
        ),
    ];
    rows.into_iter().map(|(request, status)| (request, Refused(status))).collect()
}

fn passed() -> Vec<(Request, End)> {
    let tampered = token(&json!({"sub": PLAIN}), Signature::Tampered);
    vec![
        (get("/trial").with("authorization", format!("Bearer {tampered}")), Passed),
        (get("/trial").with("cookie", format!("session={PLAIN}")).with("x-api-key", PLAIN), Passed),
    ]
}

/// Generated secrets of every kind, where it is their shape alone that tells: all of them are refused, and so written over.
fn generated(dice: &mut Dice) -> Vec<(String, Request)> {
    let one = |kind: &&str| {
        let secret = secret(kind, dice);
        let shown = encoded(&secret);
        let requests = [
            get(&format!("/orders?page=2&q={shown}")),
            get(&format!("/orders/{shown}/lines")),
            get(&format!("/orders?{shown}")),
            get("/orders").with("authorization", format!("Bearer {secret}")),
            get("/orders").with("cookie", format!("session={secret}; other={secret}")),
            get("/orders").with("traceparent", secret.as_str()).with("tracestate", format!("a={secret}")),
            with_token("/scoped", &json!({"sub": secret, "client_id": secret, "scope": secret})),
        ];
        requests.map(|request| (secret.clone(), request))
    };
    KINDS.iter().flat_map(one).collect()
}

/// Everything by which a mark would be known: as it is, and in base64url behind 0, 1 or 2 other bytes, as in a token.
fn hidden() -> Vec<String> {
    let forms = |mark: &str| {
        let inside = |shift: usize| {
            let whole = URL_SAFE_NO_PAD.encode(format!("{}{mark}", "x".repeat(shift)));
            whole[4..whole.len() - 4].to_owned()
        };
        [mark.to_owned(), inside(0), inside(1), inside(2)]
    };
    [forms(PLAIN), forms(SHAPED)].concat()
}

fn leak(text: &str, hidden: &[String]) -> Option<String> {
    // Text by text first: there are many of both.
    hidden.iter().find(|mark| text.contains(mark.as_str()))?;
    text.lines().find(|line| hidden.iter().any(|mark| line.contains(mark.as_str()))).map(str::to_owned)
}

fn access_log(path: &Path, format: Option<&str>) -> Value {
    let mut log = json!({
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
    });
    if let Some(format) = format {
        log["log_format"] = json!({"text_format_source": {"inline_string": format}});
    }
    json!({"name": "envoy.access_loggers.file", "typed_config": log})
}

/// What an access log holds once it has a line for each of `count` requests.
fn written(path: &Path, count: usize) -> String {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() >= count {
            return text;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{} lines of {count}", text.lines().count());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A log that an operator could write: every header in which a credential may stand.
const CURIOUS: &str = "%REQ(X-REQUEST-ID)% %REQ(:PATH)% %REQ(AUTHORIZATION)% %REQ(COOKIE)% %REQ(X-API-KEY)% %REQ(X-AUTH-TOKEN)% %REQ(X-INTERNAL)% %REQ(X-PARTNER-KEY)% %FILTER_STATE(wasm.portcullis_decision:PLAIN)% %FILTER_STATE(wasm.portcullis_reason:PLAIN)% %FILTER_STATE(wasm.portcullis_subject:PLAIN)% %FILTER_STATE(wasm.portcullis_route:PLAIN)%\n";

/// The sinks that speak gRPC: Envoy's access log as entries and as records of OpenTelemetry, and its spans.
struct Grpc {
    service: Service,
    /// `None` on a machine that has none.
    collector: Option<Collector>,
}

impl Grpc {
    /// Starts them, and has a listener tell them everything.
    fn start(listener: &mut Listener, clusters: &mut Vec<Cluster>) -> Self {
        let (service, collector) = (Service::start(), Collector::start());
        // Before 1.37 Envoy knows no `value` of a tag.
        let has_tags = artifacts::envoy_version().unwrap() >= (1, 37);
        let mut entries = document::block("grpc");
        if !has_tags {
            entries["typed_config"]["common_config"].as_object_mut().unwrap().remove("custom_tags");
        }
        listener.access_log.push(entries);
        clusters.push(Cluster::of_grpc("access_log_service", service.port()));
        if let Some(collector) = &collector {
            let mut tracing = document::block("tracing");
            if !has_tags {
                tracing.as_object_mut().unwrap().remove("custom_tags");
            }
            listener.tracing = Some(tracing);
            listener.access_log.push(document::block("opentelemetry"));
            clusters.push(Cluster::of_grpc("collector_grpc", collector.grpc.port()));
        }
        Self { service, collector }
    }

    /// What they have been told, once it is something of each of `count` requests, of which Envoy traces `traced`: the sinks by their names.
    fn said(&self, count: usize, traced: usize) -> Vec<(&'static str, String)> {
        let enough = || Some(self.service.entries()).filter(|entries| entries.len() >= count);
        let entries = wait("entries by gRPC", enough);
        let entries: Vec<String> = entries.into_iter().map(|(_, whole)| whole).collect();
        let mut said = vec![("the access log by gRPC", entries.join("\n"))];
        if let Some(collector) = &self.collector {
            let told = collector.wait("records and spans of all requests", |said| {
                said.matches("-> log: Str(envoy)").count() >= count
                    && said.matches("Span #").count() >= traced
            });
            said.push(("the access log and the spans at a collector", told));
        }
        said
    }
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How ids of requests end. They are UUIDs, by which Envoy decides whether to trace one, and notes in another digit that it does.
fn id(index: usize) -> String {
    format!("-a000-{index:012}")
}

fn identified(request: &Request, index: usize) -> Request {
    request.clone().with("x-request-id", format!("018f2f6c-7b1e-4c3a{}", id(index)))
}

#[test]
fn a_marked_secret_is_in_no_log_answer_or_metric() {
    let upstream = Upstream::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (usual, curious) = (directory.path().join("usual"), directory.path().join("curious"));
    let policy = Case::new(scenario::parse(POLICY).unwrap()).unwrap().policy;
    let mut listener =
        Listener::new("canary", policy, artifacts::plugin().unwrap(), upstream.address().port());
    listener.access_log = vec![access_log(&usual, None), access_log(&curious, Some(CURIOUS))];
    listener.manager = json!({"http_protocol_options": {"enable_trailers": true}});
    let component_log_level = Some("wasm:trace".to_owned());
    let (collector, exported) = (KeyServer::start().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&exported);
    collector.answer_with("/v1/logs", move |seen| {
        kept.lock().unwrap().extend_from_slice(&seen.body);
        Answer::of("application/x-protobuf", "")
    });
    let mut clusters = vec![Cluster::new("collector", collector.port())];
    let grpc = Grpc::start(&mut listener, &mut clusters);
    let launch = Launch { listeners: vec![listener], clusters, component_log_level, ..Launch::default() };
    let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let (server, mut hidden) = (envoy.listener("canary").unwrap(), hidden());

    let rows = [consumed(), refused_credentials(), refused_for_other_things(), answered(), passed()].concat();
    for (index, (request, end)) in rows.iter().enumerate() {
        let response = client::send(server, &identified(request, index)).unwrap();
        let told = format!("{} {} {end:?}", id(index), latin1(&request.target));
        let expected = match end {
            Refused(status) => *status,
            Answered => 204,
            Consumed | Passed => 200,
        };
        assert_eq!(response.status, expected, "{told}: {}", latin1(&response.body));
        let of_this = |value: &str| value.ends_with(&id(index));
        let seen = upstream
            .seen()
            .into_iter()
            .find(|seen| seen.field("x-request-id").as_deref().is_some_and(of_this));
        assert_eq!(seen.is_some(), matches!(end, Consumed | Passed), "{told}");
        if *end != Passed {
            // A body that was echoed would be the upstream's; here it is empty or refused.
            let whole = format!("{response:?} {} {seen:?}", latin1(&response.body));
            assert_eq!(leak(&whole, &hidden), None, "{told}");
            let head = seen.map(|seen| seen.to_json().to_string()).unwrap_or_default();
            assert_eq!(leak(&head, &hidden), None, "upstream of {told}");
        }
    }

    let seed = std::process::id().into();
    let generated = generated(&mut Dice::of(seed));
    for (number, (secret, request)) in generated.iter().enumerate() {
        let index = rows.len() + number;
        let response = client::send(server, &identified(request, index)).unwrap();
        assert!((400..500).contains(&response.status), "{index} {}", response.status);
        hidden.extend([secret.clone(), encoded(secret)]);
    }
    hidden.sort();
    hidden.dedup();
    let count = rows.len() + generated.len();

    let last = id(count - 1);
    wait("event of the last request at the collector", || {
        String::from_utf8_lossy(&exported.lock().unwrap()).contains(&last).then_some(())
    });
    let exported = String::from_utf8_lossy(&exported.lock().unwrap()).into_owned();
    assert_eq!(leak(&exported, &hidden), None, "the collector, seed {seed}");
    assert!(envoy.wait_for_log(&[&last, "\"portcullis.decision\""]).is_some(), "no audit event of {last}");
    assert!(envoy.log().contains("proxy_on_request_trailers("), "the filter saw no trailers");
    assert_eq!(leak(&envoy.log(), &hidden), None, "Envoy's log, with the events in it");
    assert_eq!(leak(&envoy.admin_text("/stats").unwrap(), &hidden), None, "metrics");
    assert_eq!(leak(&envoy.admin_text("/stats/prometheus").unwrap(), &hidden), None, "metrics");
    // Envoy makes no span of a request whose `traceparent` it cannot read.
    let untraced =
        |(_, request): &&(String, Request)| request.fields.iter().any(|(name, _)| name == "traceparent");
    let traced = count - generated.iter().filter(untraced).count();
    for (sink, said) in grpc.said(count, traced) {
        assert!(said.contains("/orders") && said.contains(&last), "{sink} shows nothing");
        assert_eq!(leak(&said, &hidden), None, "{sink}, seed {seed}");
    }
    // The usual format shows method, target, host and user agent. A secret that an *allowed* request holds in a place that the policy
    // does not know (`?note=…`) would be in it: such a request goes on as it is, and what Envoy writes of it is Envoy's business.
    assert_eq!(leak(&written(&usual, count), &hidden), None, "access log in the usual format");
    let curious = written(&curious, count);
    for (index, _) in rows.iter().enumerate().filter(|(_, (_, end))| *end != Passed) {
        let line = curious.lines().find(|line| line.split(' ').next().unwrap().ends_with(&id(index)));
        assert!(line.is_some(), "no line of {index}");
        assert_eq!(leak(line.unwrap_or_default(), &hidden), None, "access log that asks for credentials");
    }
    println!("canary: {count} requests of which {} are generated (seed {seed})", generated.len());
}

/// What finds nothing would make the test above worthless.
#[test]
fn a_leak_is_found_in_every_form() {
    let hidden = hidden();
    assert_eq!(leak("a\nb", &hidden), None);
    for claims in [json!({}), json!({"a": 1}), json!({"a": 12}), json!({"a": 123})] {
        assert!(leak(&format!("x\n{}", token(&claims, Signature::Good)), &hidden).is_some(), "{claims}");
    }
    assert!(leak(&format!("x={SHAPED}"), &hidden).is_some());
}
