//! Thousands of generated secrets in every place where a client can put one, through every decision and every sink; and ordinary text, which
//! must stay readable. Natively; tests/canary.rs sends some of them through a real Envoy.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use host_tests::canaries::{Dice, KINDS, ORDINARY, encoded, ordinary, secret};
use host_tests::corpus::Case;
use host_tests::exchange::{Body, Request};
use host_tests::fake_host::{FakeHost, World};
use host_tests::observed::{self, any_event};
use host_tests::scenario::{self, TokenSpec};
use host_tests::tokens::Keys;
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_filter::host::{Answer, CallId};
use serde_json::{Value, json};

/// Of each kind.
const EACH: usize = 6;
/// How many of a thousand ordinary texts may be taken for a secret.
const MISTAKEN: usize = 10;

/// Where a client can put something: its name, and the request that has it there.
type Place = (&'static str, fn(&str) -> Request);

const PLACES: [Place; 24] = [
    ("bearer", |s| get("/").with("authorization", format!("Bearer {s}"))),
    ("basic", |s| get("/").with("authorization", format!("Basic {s}"))),
    ("cookie", |s| get("/").with("cookie", format!("a=1; session={s}; b={s}"))),
    ("API key", |s| get("/").with("x-api-key", s)),
    ("another header", |s| get("/").with("x-note", s)),
    ("user agent", |s| get("/").with("user-agent", format!("curl/8.5.0 ({s})"))),
    ("query value", |s| get(&format!("/?page=2&q={}", encoded(s)))),
    ("query value, as it is", |s| get(&format!("/?q={}", s.replace([' ', '%', '#'], "+")))),
    ("query name", |s| get(&format!("/?{}", encoded(s)))),
    ("query of a query", |s| get(&format!("/?next={}", encoded(&format!("https://a/?q={s}"))))),
    ("path", |s| get(&format!("/a/{}/b", encoded(s)))),
    ("path behind a word", |s| get(&format!("/a/key:{}", encoded(s)))),
    ("path parameter", |s| get(&format!("/a;v={}/b", encoded(s)))),
    ("host", |s| Request {
        fields: vec![("host".to_owned(), format!("ada:{s}@api").into_bytes())],
        ..get("/")
    }),
    ("request id", |s| {
        Request {
            fields: get("/").fields.into_iter().filter(|(n, _)| n != "x-request-id").collect(),
            ..get("/")
        }
        .with("x-request-id", s)
    }),
    ("traceparent", |s| get("/").with("traceparent", s).with("tracestate", format!("a={s}"))),
    ("subject", |s| with_token(&json!({"sub": s}))),
    ("client", |s| with_token(&json!({"client_id": s}))),
    ("issuer", |s| with_token(&json!({"iss": format!("https://id.example.com/{s}")}))),
    ("another claim", |s| with_token(&json!({"aud": s, "scope": s, "jti": s, "nonce": s}))),
    ("body", |s| {
        Request { method: "POST".to_owned(), body: Body::Chunks(vec![s.repeat(9).into_bytes()]), ..get("/") }
            .with("content-type", "text/plain")
    }),
    ("trailer", |s| {
        let names = ["authorization", "cookie", "x-api-key", "x-request-id", "traceparent", "x-note"];
        Request {
            method: "POST".to_owned(),
            body: Body::Chunks(vec![b"{}".to_vec()]),
            trailers: names.map(|name| (name.to_owned(), s.as_bytes().to_vec())).into(),
            ..get("/")
        }
        .with("content-type", "text/plain")
    }),
    ("origin", |s| get("/").with("origin", format!("https://{s}.example.com"))),
    ("header asked for", |s| get("/").with("access-control-request-headers", format!("authorization, {s}"))),
];

/// The same, as a browser that asks first. The places of a preflight are judged as its own.
fn preflight(mut request: Request) -> Request {
    "OPTIONS".clone_into(&mut request.method);
    if !request.fields.iter().any(|(name, _)| name == "origin") {
        request = request.with("origin", "https://app.example.com");
    }
    request.with("access-control-request-method", "GET")
}

fn get(path: &str) -> Request {
    Request::get("api.example.com", path).with("x-request-id", "canary")
}

fn with_token(claims: &Value) -> Request {
    get("/").with("authorization", format!("Bearer {}", token(claims)))
}

fn token(claims: &Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut claims = claims.as_object().cloned().unwrap();
    // Each request takes a second of a world's time.
    claims.insert("exp".to_owned(), json!(now.as_secs() + 86_400));
    let spec = TokenSpec { claims, ..TokenSpec::of("es256") };
    Keys::of_this_run().mint(&spec, now.as_secs()).unwrap()
}

/// What a proxy's own format does not show unless it is asked to.
const UNSHOWN: [&str; 6] =
    ["x-note", "traceparent", "tracestate", "content-type", "origin", "access-control-request-headers"];

/// A gateway that tells everything to everybody.
struct Teller {
    world: Rc<World>,
    gateway: Rc<Gateway>,
}

/// What came of one request.
struct Told {
    /// The proxy's log.
    log: String,
    /// What the collector got.
    exported: String,
    /// What the proxy's access log could show.
    access_log: String,
    /// What the client got.
    answer: String,
    passed: bool,
}

impl Teller {
    fn start(mode: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let world = World::new(u64::try_from(now.as_nanos()).unwrap(), BTreeMap::new(), true);
        world.know_clusters();
        let text = format!(
            "name: canaries\nwhy: a base\nbase: one-route\npolicy:\n  mode: {mode}\n  audit: {{log: All, sinks: {{accessLog: All, \
             otlp: {{cluster: c, uri: 'http://c/v1/logs', maxDelay: 100ms}}}}}}\n  jwt: {{providers: [{{name: corp, issuer: 'https://id.example.com', \
             audiences: [orders-api], localJWKS: {{inline: '{{{{jwks: es256}}}}'}}, extractFrom: {{headers: [{{name: authorization, valuePrefix: 'Bearer '}}], \
             cookies: [session]}}}}]}}\n  apiKeyAuth: {{keys: [{{client: a, keyHash: 'sha256:{0}'}}]}}\n  routes:\n  - {{name: all, match: {{}}, authentication: {{anyOf: \
             [{{jwt: {{}}}}, {{apiKey: {{}}}}]}}, cors: {{allowOrigins: ['https://app.example.com'], allowHeaders: [authorization, x-api-key]}}, request: {{body: \
             {{maxBytes: 8B}}}}}}\nrequests: []\n",
            "0".repeat(64)
        );
        let policy = Case::new(scenario::parse(&text).unwrap()).unwrap().policy;
        let host = FakeHost::new(Rc::clone(&world), &get("/"));
        let gateway = Gateway::start(policy.to_string().as_bytes(), [7; 16], &host);
        Self { world, gateway: Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:?}"))) }
    }

    fn tell(&self, request: &Request) -> Told {
        self.world.news();
        let host = FakeHost::new(Rc::clone(&self.world), request);
        let stream = RefCell::new(Stream::new(Rc::clone(&self.gateway)));
        let flow = stream.borrow_mut().on_request_headers(&host, !request.has_body());
        if flow == Flow::Continue {
            host.head_is_sent();
            for piece in request.body.pieces() {
                if stream.borrow_mut().on_request_body(&host, piece.len()) == Flow::Stop {
                    break;
                }
            }
            if !request.trailers.is_empty() {
                let _ = stream.borrow_mut().on_request_trailers(&host);
            }
        }
        host.finish();
        stream.borrow_mut().on_log(&host);
        let later = portcullis_filter::host::Host::now(&host).unwrap().nanos() + 1_000_000_000;
        self.world.set_now(later);
        self.gateway.on_tick(&host);
        let call = CallId(u32::try_from(self.world.calls_made()).unwrap());
        self.gateway.on_answer(
            &host,
            call,
            Answer { status: 200, body: Some(Vec::new()), ..Answer::default() },
        );
        let (log, bodies) = self.world.news();
        Told {
            log: log.join("\n"),
            exported: bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect(),
            access_log: host.written(&UNSHOWN),
            answer: host.answered_with(),
            passed: !host.has_answered(),
        }
    }
}

/// Where a secret is to be read, if anywhere: as it is, or encoded, or the better half of it.
fn leaks(told: &Told, secret: &str) -> Vec<&'static str> {
    let forms = [secret.to_owned(), encoded(secret), secret[secret.len() / 3..].to_owned()];
    let holds = |text: &str| forms.iter().any(|form| text.contains(form.as_str()));
    // What passes goes on as it is, and what the proxy's own format shows of it is the proxy's business: here only what the plugin put there counts.
    let of_plugin = told.access_log.lines().filter(|line| !told.passed || line.starts_with("portcullis_"));
    let sinks = [
        ("the log", holds(&told.log)),
        ("the collector", holds(&told.exported)),
        ("the access log", of_plugin.into_iter().any(holds)),
        ("the answer", holds(&told.answer)),
    ];
    sinks.into_iter().filter(|(_, leaks)| *leaks).map(|(sink, _)| sink).collect()
}

#[test]
fn no_secret_is_told_by_anybody() {
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & 0xffff_ffff)
        .unwrap();
    let mut dice = Dice::of(seed);
    let tellers = [Teller::start("Enforce"), Teller::start("Shadow")];
    let good = format!("Bearer {}", token(&json!({})));
    let (mut sent, mut ends, mut found) = (0_usize, BTreeMap::<String, usize>::new(), Vec::new());
    for kind in KINDS {
        for _ in 0..EACH {
            let secret = secret(kind, &mut dice);
            for (place, request) in PLACES {
                let request = request(&secret);
                let authorized = request.fields.iter().any(|(name, _)| name == "authorization");
                // Refused; passed in Shadow; where it has no credential yet, passed with one; and answered, if it may be a preflight.
                let with_credential =
                    (!authorized).then(|| request.clone().with("authorization", good.as_str()));
                let asked = preflight(request.clone());
                let cases = [
                    (&tellers[0], Some(request.clone())),
                    (&tellers[1], Some(request)),
                    (&tellers[0], with_credential),
                    (&tellers[0], Some(asked)),
                ];
                for (teller, request) in
                    cases.into_iter().filter_map(|(teller, request)| Some((teller, request?)))
                {
                    let told = teller.tell(&request);
                    sent += 1;
                    if let Some(event) = told.log.lines().find_map(any_event) {
                        let end = observed::told(&event, "decision").as_str().unwrap_or_default().to_owned();
                        *ends.entry(end).or_default() += 1;
                    }
                    for sink in leaks(&told, &secret) {
                        found.push(format!("{kind} in the {place}: {sink}"));
                    }
                }
            }
        }
    }
    found.sort();
    found.dedup();
    let events: usize = ends.values().sum();
    println!(
        "canaries: {sent} requests with {} secrets, {events} events {ends:?}, {} leaks (seed {seed})",
        KINDS.len() * EACH,
        found.len()
    );
    assert!(found.is_empty(), "seed {seed}: {found:#?}");
    assert_eq!(events, sent, "a request left no event, so it shows nothing");
    assert!(sent > 5000, "{sent}");
    for decision in ["allowed", "refused", "shadow", "answered"] {
        assert!(ends.get(decision).is_some_and(|count| *count > 1000), "{decision}: {ends:?}");
    }
}

/// A suite that finds nothing would be worthless: what is not shaped like a secret is found in every sink.
#[test]
fn what_is_told_is_found() {
    let teller = Teller::start("Enforce");
    let told = teller.tell(&get("/a/an-ordinary-word?q=x"));
    assert_eq!(leaks(&told, "an-ordinary-word"), ["the log", "the collector", "the access log"]);
    let told = teller.tell(&with_token(&json!({"sub": "an-ordinary-word"})));
    assert_eq!(leaks(&told, "an-ordinary-word"), ["the log", "the collector", "the access log"]);
    let told = teller.tell(&preflight(get("/a/an-ordinary-word?q=x")));
    assert!(told.log.contains("\"answered\""), "{}", told.log);
    assert_eq!(leaks(&told, "an-ordinary-word"), ["the log", "the collector", "the access log"]);
    let told = teller.tell(&get("/").with("x-note", "an-ordinary-word"));
    assert_eq!(leaks(&told, "an-ordinary-word"), Vec::<&str>::new());
}

#[test]
fn ordinary_text_stays_readable() {
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() & 0xffff_ffff)
        .unwrap();
    let (mut dice, teller) = (Dice::of(seed), Teller::start("Enforce"));
    let (mut count, mut mistaken) = (0_usize, BTreeMap::<&str, usize>::new());
    let mut example = BTreeMap::new();
    for kind in ORDINARY {
        for _ in 0..100 {
            let text = ordinary(kind, &mut dice);
            let shown = encoded(&text);
            let told_of = teller.tell(&get(&format!("/o/{shown}?q={shown}")));
            let event = told_of.log.lines().find_map(any_event).unwrap();
            count += 1;
            if observed::told(&event, "path") != format!("/o/{shown}?q={shown}") {
                *mistaken.entry(kind).or_default() += 1;
                example.insert(kind, text);
            }
        }
    }
    let all: usize = mistaken.values().sum();
    println!(
        "canaries: {all} of {count} ordinary texts taken for secrets: {mistaken:?}, such as {example:?} (seed {seed})"
    );
    assert!(all * 1000 <= count * MISTAKEN, "seed {seed}: {all} of {count}: {mistaken:?} {example:?}");
}

/// Whatever a client sends, and however much: one line, of printable ASCII, of bounded length, and the same for every sink.
#[test]
fn an_event_is_one_short_line() {
    let teller = Teller::start("Enforce");
    let bytes = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let raw = |target: &[u8]| Request { target: target.to_vec(), ..get("/") };
    let long = "\u{1f512}\u{202e}\"".repeat(20_000);
    let requests = [
        raw(format!("/{}", "a/".repeat(30_000)).as_bytes()),
        raw(format!("/?{}", "a=b&".repeat(15_000)).as_bytes()),
        raw(b"/\xff\xfe\xc3(\x1b[31m\x7f"),
        raw("/\u{202e}evil\u{2028}".as_bytes()),
        raw(b"/%0d%0a{%22portcullis.decision%22:%22allowed%22}"),
        raw(b"/\r\n{\"@timestamp\":\"x\",\"portcullis.decision\":\"allowed\"}"),
        Request { fields: vec![bytes("host", &[0xff; 5000])], ..get("/") },
        Request { method: "A".repeat(5000), ..get("/") },
        get("/").with("x-request-id", "a\r\nb"),
        with_token(&json!({"sub": "\r\n\u{1b}[2J\u{202e}", "client_id": "a\" b=c\\"})),
        with_token(&json!({"sub": long.chars().take(1500).collect::<String>()})),
    ];
    for request in requests {
        let told = teller.tell(&request);
        let target = String::from_utf8_lossy(&request.target[..request.target.len().min(40)]).into_owned();
        let events: Vec<&str> = told.log.lines().filter(|line| any_event(line).is_some()).collect();
        assert_eq!(events.len(), 1, "{target}: {}", told.log);
        assert!(events[0].bytes().all(|b| (0x20..0x7f).contains(&b)), "{target}");
        // A thousand characters of each of a few texts, each of which may take twelve bytes as an escape.
        assert!(events[0].len() < 32 << 10, "{target}: {} bytes", events[0].len());
        assert!(told.exported.len() < 16 << 10, "{target}: {} bytes", told.exported.len());
        for line in told.access_log.lines().filter(|line| line.starts_with("portcullis_")) {
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)) && line.len() < 300, "{target}: {line}");
            assert!(!line.contains(['"', '\\', '\'']), "{target}: {line}");
        }
    }
}
