//! Are decisions the same over HTTP/2, where a request has no host field, cookies come in crumbs and a body needs no length?

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use host_tests::artifacts;
use host_tests::client;
use host_tests::corpus::Case;
use host_tests::envoy::{Envoy, Launch};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Fields, Request, Response, field, latin1};
use host_tests::observed::audit_event;
use host_tests::scenario::{self, Signature, TokenSpec};
use host_tests::tokens::Keys;
use host_tests::upstream::{Seen, Upstream};

/// What does not come in this time does not come.
const SOON: Duration = Duration::from_secs(10);

const POLICY: &str = "
name: http2
why: a base
base: orders
policy:
  jwt:
    providers:
    - name: corp
      issuer: https://id.example.com
      audiences: [orders-api]
      localJWKS: {inline: '{{jwks: rs256}}'}
      extractFrom: {headers: [{name: authorization, valuePrefix: 'Bearer '}], cookies: [session]}
      claimToHeaders: [{claim: sub, header: x-user}]
  routes:
  - name: orders
    match: {hosts: [api.example.com], path: {type: PathPrefix, value: /orders}}
    request: {methods: [GET, POST], maxHeaders: 20, forbiddenHeaders: [x-debug], body: {maxBytes: 1Ki, contentTypes: [application/json]}}
    authentication: {jwt: {}}
  - name: rpc
    match: {path: {type: PathPrefix, value: /shop.Orders}}
    authentication: {jwt: {}}
    request: {body: {maxBytes: 64B}}
    authorization: {rules: [{name: readers, action: Allow, principal: {scopes: [read]}}]}
    rateLimit: {local: {rules: [{name: one, by: [subject], limit: {requests: 1, unit: Hour}}]}}
  - name: health
    match: {path: {type: Exact, value: /healthz}}
    authentication: {open: {because: probe}}
requests: []
";

/// A gateway and what stands behind it.
struct Journey {
    envoy: Envoy,
    upstream: Upstream,
    server: SocketAddr,
}

/// An answer, and whether its head was all of it.
struct Answer {
    response: Response,
    head_only: bool,
}

impl Journey {
    fn start() -> Self {
        let upstream = Upstream::start().unwrap();
        let policy = Case::new(scenario::parse(POLICY).unwrap()).unwrap().policy;
        let plugin = artifacts::plugin().unwrap();
        let listeners = vec![Listener::new("http2", policy, plugin, upstream.address().port())];
        let envoy = Envoy::start(&Launch { listeners, ..Launch::default() });
        let envoy = envoy.unwrap_or_else(|failure| panic!("{failure}"));
        let server = envoy.listener("http2").unwrap();
        Self { envoy, upstream, server }
    }

    fn send(&self, request: &Request, body: &[&'static [u8]]) -> Answer {
        exchange(self.server, request, body)
    }

    fn upstream_of(&self, id: &str) -> Option<Seen> {
        self.upstream.seen_with_id(id)
    }

    fn reason_of(&self, id: &str) -> Option<String> {
        let event = self.envoy.find_in_log(SOON, |line| audit_event(line, id))?;
        event.get("event.reason").and_then(|reason| reason.as_str()).map(str::to_owned)
    }
}

/// One request on a connection of its own, in the clear and without asking first (RFC 9113 §3.3).
fn exchange(server: SocketAddr, request: &Request, body: &[&'static [u8]]) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let whole = async { tokio::time::timeout(SOON, converse(server, request, body)).await };
    runtime.block_on(whole).expect("an answer in time").expect("an answer")
}

async fn converse(
    server: SocketAddr,
    request: &Request,
    body: &[&'static [u8]],
) -> Result<Answer, Box<dyn std::error::Error>> {
    let stream = tokio::net::TcpStream::connect(server).await?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    tokio::spawn(connection);
    let (answer, mut out) = sender.send_request(head(request)?, body.is_empty())?;
    for (index, piece) in body.iter().enumerate() {
        // A server that has heard enough closes the stream: what it said counts.
        if out.send_data(Bytes::from_static(piece), index + 1 == body.len()).is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let (parts, mut rest) = answer.await?.into_parts();
    let head_only = rest.is_end_stream();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = rest.data().await {
        bytes.extend_from_slice(&piece);
    }
    let fields: Fields =
        parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Ok(Answer { response: Response { status: parts.status.as_u16(), fields, body: bytes }, head_only })
}

/// `host` becomes `:authority`; the other fields stay as they are, doubled ones too.
fn head(request: &Request) -> Result<http::Request<()>, Box<dyn std::error::Error>> {
    let host = field(&request.fields, "host").unwrap_or_default();
    let mut builder = http::Request::builder()
        .method(request.method.as_str())
        .uri(format!("http://{host}{}", latin1(&request.target)));
    for (name, value) in request.fields.iter().filter(|(name, _)| name != "host") {
        builder = builder.header(name, http::HeaderValue::from_bytes(value)?);
    }
    Ok(builder.body(())?)
}

fn get(path: &str) -> Request {
    Request::get("api.example.com", path)
}

fn post(path: &str, media: &str) -> Request {
    Request { method: "POST".to_owned(), ..get(path).with("content-type", media) }
}

fn bearer(claims: &str, signature: Signature) -> String {
    let claims: serde_json::Map<_, _> = serde_json::from_str(claims).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let spec = TokenSpec { claims, signature, ..TokenSpec::of("rs256") };
    format!("Bearer {}", Keys::of_this_run().mint(&spec, now.as_secs()).unwrap())
}

fn good() -> String {
    bearer("{}", Signature::Good)
}

fn code(response: &Response) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(&response.body).ok()?;
    problem.get("code")?.as_str().map(str::to_owned)
}

/// Requests, and the code that each is refused with; `None`: it is admitted.
fn rows() -> Vec<(Request, Option<&'static str>)> {
    let good = good();
    let with = |path: &str| get(path).with("authorization", good.as_str());
    let many =
        (0..30).fold(with("/orders"), |request, number| request.with(&format!("x-many-{number}"), "1"));
    vec![
        (with("/orders/7?page=2&x=%2F"), None),
        (with("/orders").with("x-user", "root").with("x_user", "root").with("x-bytes", [0xff, 0xfe]), None),
        (get("/healthz").with("x-user", "root"), None),
        (Request::get("api.example.com:8080", "/orders").with("authorization", good.as_str()), None),
        (get("/orders"), Some("credential_missing")),
        (with("/orders").with("authorization", good.as_str()), Some("credential_conflict")),
        (with("/orders").with("cookie", good.replace("Bearer ", "session=")), Some("credential_conflict")),
        (get("/orders").with("authorization", bearer("{}", Signature::Tampered)), Some("signature_invalid")),
        (
            get("/orders").with("authorization", [b"Bearer ".as_slice(), &[0xff]].concat()),
            Some("token_malformed"),
        ),
        (Request::get("other.example", "/orders").with("authorization", good.as_str()), Some("no_route")),
        (with("/healthz/../orders"), Some("path_ambiguous")),
        (with("/orders%2f"), Some("path_ambiguous")),
        (with("/orders;x"), Some("path_ambiguous")),
        (Request { method: "DELETE".to_owned(), ..with("/orders") }, Some("method_not_allowed")),
        (with("/orders").with("x_debug", "1"), Some("header_forbidden")),
        (many, Some("headers_too_large")),
    ]
}

#[test]
fn both_versions_get_the_same_decisions() {
    let journey = Journey::start();
    for (index, (request, expected)) in rows().into_iter().enumerate() {
        let told = format!("{index}: {} {}", request.method, latin1(&request.target));
        let named = |version: &str| request.clone().with("x-request-id", format!("{version}-{index}"));
        let one = client::send(journey.server, &named("one")).unwrap();
        let two = journey.send(&named("two"), &[]).response;
        assert_eq!((code(&one).as_deref(), one.status), (code(&two).as_deref(), two.status), "{told}");
        let seen = [format!("one-{index}"), format!("two-{index}")].map(|id| journey.upstream_of(&id));
        if let Some(expected) = expected {
            assert_eq!((code(&two).as_deref(), &seen), (Some(expected), &[None, None]), "{told}");
            continue;
        }
        let [one, two] = seen.map(|seen| seen.unwrap_or_else(|| panic!("{told} did not arrive")));
        assert_eq!((&one.method, &one.target), (&two.method, &two.target), "{told}");
        for name in ["host", "authorization", "x-user", "x_user", "x-bytes"] {
            assert_eq!(one.field(name), two.field(name), "{told}: {name}");
        }
        let user = (latin1(&request.target) != "/healthz").then(|| "alice".to_owned());
        assert_eq!(
            (two.field("x-user"), two.field("x_user"), two.field("authorization")),
            (user, None, None)
        );
    }
}

/// gRPC's own answer: 200, `grpc-status` in the head, and nothing behind it ("Trailers-Only").
#[test]
fn a_grpc_client_reads_refusals_in_its_own_words() {
    let journey = Journey::start();
    let call = |authorization: Option<String>, id: &str| {
        let request =
            post("/shop.Orders/List", "application/grpc").with("te", "trailers").with("x-request-id", id);
        authorization.into_iter().fold(request, |request, value| request.with("authorization", value))
    };
    let message: &[&'static [u8]] = &[b"\0\0\0\0\x02", b"\x08\x01"];
    let reader = || Some(bearer(r#"{"scope":"read"}"#, Signature::Good));
    let rows = [
        (None, "16", "credential_missing"),
        (Some(bearer("{}", Signature::Tampered)), "16", "signature_invalid"),
        (Some(good()), "7", "scope_insufficient"),
        (reader(), "", ""),
        (reader(), "8", "rate_limited"),
    ];
    for (index, (authorization, status, reason)) in rows.into_iter().enumerate() {
        let id = format!("grpc-{index}");
        let Answer { response, head_only } = journey.send(&call(authorization, &id), message);
        assert_eq!(response.status, 200, "{id}");
        if reason.is_empty() {
            assert_eq!(journey.upstream_of(&id).unwrap().body, message.concat());
            continue;
        }
        assert_eq!(response.field("grpc-status").as_deref(), Some(status), "{id}");
        assert_eq!(response.field("content-type").as_deref(), Some("application/grpc"), "{id}");
        assert!(head_only && response.body.is_empty(), "{id}");
        assert_eq!((journey.reason_of(&id).as_deref(), journey.upstream_of(&id)), (Some(reason), None));
    }
}

/// RFC 9113 §8.2.3: a client may split its cookies over several fields, and they mean what they mean in one.
#[test]
fn cookies_in_crumbs_are_one_field() {
    let journey = Journey::start();
    let session = good().replace("Bearer ", "session=");
    let crumbs = get("/orders").with("cookie", "a=1").with("cookie", session.as_str()).with("cookie", "b=2");
    let answer = journey.send(&crumbs.clone().with("x-request-id", "crumbs"), &[]);
    assert_eq!(answer.response.status, 200, "{}", latin1(&answer.response.body));
    let seen = journey.upstream_of("crumbs").unwrap();
    let cookies: Vec<_> = seen.fields.iter().filter(|(name, _)| name == "cookie").collect();
    assert_eq!(cookies, [&("cookie".to_owned(), b"a=1; b=2".to_vec())]);
    let twice = journey.send(&crumbs.with("cookie", "session=x"), &[]).response;
    assert_eq!((twice.status, code(&twice).as_deref()), (400, Some("credential_conflict")));
}

#[test]
fn a_body_without_a_length_is_counted_and_cut_off() {
    let journey = Journey::start();
    let request = |id: &str| {
        let request = post("/orders", "application/json").with("authorization", good());
        request.with("x-request-id", id)
    };
    let small = journey.send(&request("small"), &[&[b'a'; 512], &[b'b'; 512]]);
    assert_eq!(small.response.status, 200);
    assert_eq!(journey.upstream_of("small").unwrap().body.len(), 1024);
    let large = journey.send(&request("large"), &[&[b'a'; 800], &[b'b'; 800]]).response;
    assert_eq!((large.status, code(&large).as_deref()), (413, Some("body_too_large")));
    assert_eq!(journey.reason_of("large").as_deref(), Some("body_too_large"));
    assert_eq!(
        journey.upstream_of("large"),
        None,
        "the upstream took a body that was cut off for a whole one"
    );
    let typeless = Request { method: "POST".to_owned(), ..get("/orders").with("authorization", good()) };
    let typeless = journey.send(&typeless, &[b"{}"]).response;
    assert_eq!((typeless.status, code(&typeless).as_deref()), (415, Some("media_type_unsupported")));
    assert_eq!(journey.send(&get("/healthz"), &[]).response.status, 200);
}

/// What the filter judges is what the upstream is told: a `host` beside `:authority` is no second opinion.
#[test]
fn a_host_field_beside_the_authority_changes_nothing() {
    let journey = Journey::start();
    let mut request = head(&Request::get("other.example", "/orders").with("authorization", good())).unwrap();
    request.headers_mut().insert("host", http::HeaderValue::from_static("api.example.com"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(journey.server).await.unwrap();
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let (answer, _) = sender.send_request(request, true).unwrap();
        tokio::time::timeout(SOON, answer).await.unwrap().map(|answer| answer.status().as_u16())
    });
    // Refused by the proxy as malformed, or judged by `:authority`, for which there is no route.
    assert!(status.as_ref().is_err() || matches!(status, Ok(400 | 404)), "{status:?}");
    assert_eq!(journey.upstream.seen(), []);
}
