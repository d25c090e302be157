//! What does a stream do when the host fails it halfway?

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Flow, Gateway, Stream};
use crate::guards::rate_limit::global::frame;
use crate::host::{
    Answer, Call, CallId, Calls, Cas, Host, HostError, Kind, Level, LocalResponse, MetricId, Metrics,
    SharedData, StreamId, Swap, Verdict, Verifier,
};
use crate::http::head::serialize;
use crate::limits;
use crate::testing::test;
use crate::time::Timestamp;

/// A host in which one call fails, and the calls that it was asked for.
#[derive(Default)]
struct Shaky {
    fails: &'static str,
    head: Vec<(&'static str, &'static str)>,
    path: Option<String>,
    /// Whether it sends calls; how many it has sent.
    sends: bool,
    sent: Cell<u32>,
    calls: RefCell<Vec<String>>,
    metrics: RefCell<Vec<String>>,
}

impl Shaky {
    /// What was counted of requests.
    fn counted(&self) -> Vec<String> {
        let calls = self.calls.borrow();
        let counts =
            calls.iter().filter_map(|call| call.strip_prefix("increment portcullis_requests_total."));
        counts.map(str::to_owned).collect()
    }

    fn call<T>(&self, call: &'static str, about: &str, value: T) -> Result<T, HostError> {
        if call == self.fails {
            return Err(HostError { call, status: 10 });
        }
        self.calls.borrow_mut().push(format!("{call} {about}").trim().to_owned());
        Ok(value)
    }

    fn called(&self, call: &str) -> bool {
        self.calls.borrow().iter().any(|made| made.starts_with(call))
    }
}

impl SharedData for Shaky {
    fn shared(&self, _: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Err(HostError { call: "get_shared_data", status: 10 })
    }

    fn set_shared(&self, _: &str, _: &[u8], _: Option<Cas>) -> Result<Swap, HostError> {
        Err(HostError { call: "set_shared_data", status: 10 })
    }
}

impl Calls for Shaky {
    fn call(&self, _: &Call<'_>) -> Result<CallId, HostError> {
        if !self.sends {
            return Err(HostError { call: "http_call", status: 10 });
        }
        self.sent.set(self.sent.get() + 1);
        Ok(CallId(self.sent.get()))
    }

    fn set_tick(&self, _: u32) -> Result<(), HostError> {
        Ok(())
    }

    fn enter(&self, _: StreamId) -> Result<(), HostError> {
        Ok(())
    }

    fn leave(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn resume(&self) -> Result<(), HostError> {
        self.call("resume", "", ())
    }
}

impl Verifier for Shaky {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

/// The number of a metric is the place of its name.
impl Metrics for Shaky {
    fn define(&self, _: Kind, name: &str) -> Result<MetricId, HostError> {
        let mut names = self.metrics.borrow_mut();
        let place = names.iter().position(|known| known == name).unwrap_or(names.len());
        if place == names.len() || self.fails == "define" {
            names.push(name.to_owned());
        }
        self.call("define", name, MetricId(u32::try_from(place).unwrap()))
    }

    fn increment(&self, MetricId(id): MetricId, count: u64) -> Result<(), HostError> {
        let name = self.metrics.borrow().get(id as usize).cloned().unwrap_or_default();
        self.call("increment", &format!("{name} {count}"), ())
    }

    fn record(&self, MetricId(id): MetricId, value: u64) -> Result<(), HostError> {
        let name = self.metrics.borrow().get(id as usize).cloned().unwrap_or_default();
        self.call("record", &format!("{name} {value}"), ())
    }
}

impl Host for Shaky {
    fn now(&self) -> Result<Timestamp, HostError> {
        self.call("now", "", Timestamp::from_seconds(1_795_489_800))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        let pseudo =
            [(":method", "POST"), (":authority", "h"), (":path", self.path.as_deref().unwrap_or("/a"))];
        let all: Vec<_> =
            pseudo.iter().chain(&self.head).map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        self.call("headers", "", serialize(all.into_iter()))
    }

    fn set_request_header(&self, name: &str, _: &[u8]) -> Result<(), HostError> {
        self.call("set", name, ())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.call("remove", name, ())
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        let sent =
            [("x-other", "1"), ("x_mine", "1"), ("x-bad", "1"), ("authorization", "1"), ("x_api.key", "1")];
        self.call("trailers", "", serialize(sent.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()))))
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), HostError> {
        self.call("untrail", name, ())
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        let address = (path == ["source", "address"]).then(|| b"10.0.0.1:4711".to_vec());
        self.call("property", "", address)
    }

    fn set_property(&self, name: &str, _: &[u8]) -> Result<(), HostError> {
        self.call("mark", name, ())
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        self.call("respond", response.details, ())
    }

    fn log(&self, _: Level, line: &str) {
        self.calls.borrow_mut().push(format!("log {line}"));
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        (name == "S").then(|| b"secret".to_vec())
    }
}

/// `/a` is open, at most four bytes may come, and `x-mine` is taken off. So it is with `/a1` and on, if there are more routes.
fn document(mode: &str, routes: usize) -> String {
    let route = |number: usize| {
        let name = if number == 0 { "a".to_owned() } else { format!("a{number}") };
        format!(
            r#"{{"name":"{name}","match":{{"path":{{"type":"Exact","value":"/{name}"}}}},"authentication":{{"open":{{"because":"test"}}}},
            "request":{{"stripHeaders":["x-mine"],"forbiddenHeaders":["x-bad"],"body":{{"maxBytes":"4B"}}}}}}"#
        )
    };
    let routes: Vec<String> = (0..routes).map(route).collect();
    format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"p","mode":"{mode}","routes":[{}]}}"#,
        routes.join(",")
    )
}

fn stream(mode: &str) -> Stream {
    let gateway = Gateway::start(document(mode, 1).as_bytes(), [0; 16], &Shaky::default()).unwrap();
    Stream::new(Rc::new(gateway))
}

/// Envoy that was told to wait on the head sends it on once a piece of the body or the trailers may go on.
#[test]
fn what_was_refused_stays_refused_whether_or_not_it_could_be_answered() {
    for fails in ["respond", "now", "headers", "remove", "mark", ""] {
        let bad = if matches!(fails, "respond" | "") { vec![("x-bad", "1")] } else { vec![("x-mine", "1")] };
        let host = Shaky { fails, head: bad, ..Shaky::default() };
        let mut stream = stream("Enforce");
        assert_eq!(stream.on_request_headers(&host, false), Flow::Stop, "{fails}");
        assert_eq!(stream.on_request_body(&host, 1), Flow::Stop, "{fails}");
        assert_eq!(stream.on_request_trailers(&host), Flow::Stop, "{fails}");
        assert!(!host.called("mark"), "{fails}");
        assert_eq!(
            host.calls.borrow().iter().filter(|call| call.starts_with("respond")).count(),
            usize::from(fails != "respond")
        );
    }
    let host = Shaky { fails: "respond", ..Shaky::default() };
    let mut stream = stream("Enforce");
    assert_eq!(stream.on_request_headers(&host, false), Flow::Continue);
    assert_eq!(stream.on_request_body(&host, 4), Flow::Continue);
    assert_eq!(stream.on_request_body(&host, 1), Flow::Stop);
    assert_eq!(stream.on_request_body(&host, 1), Flow::Stop);
    assert_eq!(stream.on_request_trailers(&host), Flow::Stop);
}

/// What was found out of the request before its body was refused is told, too, and so is when it came.
#[test]
fn the_event_of_a_refused_body_tells_all_that_was_known() {
    let event = |host: &Shaky| {
        let calls = host.calls.borrow();
        let line = calls.iter().find_map(|call| call.strip_prefix("log {")).expect("an event").to_owned();
        serde_json::from_str::<serde_json::Value>(&format!("{{{line}")).unwrap()
    };
    let document = document("Enforce", 1).replace(
        r#""request""#,
        r#""authorization":{"rules":[{"name":"early","mode":"Shadow","action":"Deny","principal":{"clientCIDRs":["10.0.0.0/8"]}},
        {"name":"posts","action":"Allow","principal":{"clientCIDRs":["10.0.0.0/8"]}}]},"request""#,
    );
    let gateway = Gateway::start(document.as_bytes(), [0; 16], &Shaky::default());
    let gateway = Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let host = Shaky::default();
    let mut stream = Stream::new(gateway);
    assert_eq!(stream.on_request_headers(&host, false), Flow::Continue);
    assert_eq!(stream.on_request_body(&host, 5), Flow::Stop);
    stream.on_log(&host);
    let told = event(&host);
    for (field, value) in [
        ("event.reason", serde_json::json!("body_too_large")),
        ("portcullis.route", "a".into()),
        ("rule.name", "posts".into()),
        ("portcullis.shadow_rules", serde_json::json!(["early"])),
        ("http.request.method", "POST".into()),
    ] {
        assert_eq!(told[field], value, "{told}");
    }
}

/// The trailers come when the rest has gone on, and its event says so; a clock that fails does not make it an event of 1970.
#[test]
fn an_event_is_of_today_and_of_its_request() {
    let all = document("Enforce", 1).replace(r#""name":"p""#, r#""name":"p","audit":{"log":"All"}"#);
    let start = || Rc::new(Gateway::start(all.as_bytes(), [0; 16], &Shaky::default()).unwrap());
    let lines = |host: &Shaky| {
        let calls = host.calls.borrow();
        let lines: Vec<String> = calls.iter().filter(|call| call.starts_with("log {")).cloned().collect();
        lines.join("\n")
    };
    let host = Shaky { fails: "trailers", path: Some("/a?x=1".into()), ..Shaky::default() };
    let mut stream = Stream::new(start());
    assert_eq!(stream.on_request_headers(&host, true), Flow::Continue);
    assert_eq!(stream.on_request_trailers(&host), Flow::Stop);
    stream.on_log(&host);
    let line = lines(&host);
    for part in [
        r#""portcullis.decision":"refused","event.reason":"host_failed""#,
        r#""url.path":"/a""#,
        r#""portcullis.route":"a""#,
    ] {
        assert!(line.contains(part), "{part} {line}");
    }
    let broken = Shaky { fails: "now", ..Shaky::default() };
    let mut stream = Stream::new(start());
    assert_eq!(stream.on_request_headers(&broken, true), Flow::Stop);
    let whole = Shaky::default();
    stream.on_log(&whole);
    assert!(lines(&whole).contains(r#"{"@timestamp":"2026-"#), "{}", lines(&whole));
}

/// gRPC upstreams and old HTTP/1 servers merge trailers into headers.
#[test]
fn trailers_say_nothing_that_headers_may_not() {
    for mode in ["Enforce", "Shadow"] {
        let host = Shaky::default();
        let mut stream = stream(mode);
        assert_eq!(stream.on_request_headers(&host, false), Flow::Continue);
        assert_eq!(stream.on_request_trailers(&host), Flow::Continue);
        let calls = host.calls.borrow();
        let gone: Vec<_> = calls.iter().filter_map(|call| call.strip_prefix("untrail ")).collect();
        assert_eq!(gone, ["x_mine", "x-bad", "authorization", "x_api.key"]);
    }
    for (fails, mode) in [("trailers", "Enforce"), ("untrail", "Enforce"), ("untrail", "Shadow")] {
        let host = Shaky { fails, ..Shaky::default() };
        let mut stream = stream(mode);
        assert_eq!(stream.on_request_headers(&host, false), Flow::Continue);
        assert_eq!(stream.on_request_trailers(&host), Flow::Stop);
        assert!(host.called("respond host_failed"));
    }
}

/// An expression costs time for each byte of a path, so what no route allows is not shown to them.
#[test]
fn a_path_longer_than_any_route_allows_is_not_looked_up() {
    for (bytes, code) in [(4095, "respond no_route"), (4097, "respond uri_too_long")] {
        let host = Shaky { path: Some(format!("/{}", "b".repeat(bytes - 1))), ..Shaky::default() };
        assert_eq!(stream("Enforce").on_request_headers(&host, true), Flow::Stop);
        assert!(host.called(code), "{:?}", host.calls);
    }
}

/// What became of a request is counted when it is over, as it ended.
#[test]
fn a_request_is_counted_once() {
    for (mode, head, bodies, expected) in [
        ("Enforce", vec![], &[4][..], "route=a.decision=allowed.reason=(none).exposure=(none).policy=p 1"),
        (
            "Enforce",
            vec![("x-bad", "1")],
            &[],
            "route=a.decision=refused.reason=header_forbidden.exposure=(none).policy=p 1",
        ),
        (
            "Shadow",
            vec![("x-bad", "1")],
            &[],
            "route=a.decision=shadow.reason=header_forbidden.exposure=(none).policy=p 1",
        ),
        // It was admitted, and then cut off.
        (
            "Enforce",
            vec![],
            &[4, 1],
            "route=a.decision=refused.reason=body_too_large.exposure=(none).policy=p 1",
        ),
        (
            "Shadow",
            vec![],
            &[4, 1],
            "route=a.decision=shadow.reason=body_too_large.exposure=(none).policy=p 1",
        ),
    ] {
        let host = Shaky { head, ..Shaky::default() };
        let mut stream = stream(mode);
        stream.on_request_headers(&host, bodies.is_empty());
        for bytes in bodies {
            stream.on_request_body(&host, *bytes);
        }
        assert_eq!(host.counted(), [""; 0], "not before it is over");
        stream.on_log(&host);
        stream.leave(&host);
        assert_eq!(host.counted(), [expected], "{mode} {bodies:?}");
    }
    let host = Shaky { path: Some("/b".to_owned()), ..Shaky::default() };
    let mut stream = stream("Enforce");
    stream.leave(&host);
    assert_eq!(host.counted(), [""; 0], "nothing was decided");
    stream.on_request_headers(&host, true);
    stream.leave(&host);
    assert_eq!(host.counted(), ["route=(none).decision=refused.reason=no_route.exposure=(none).policy=p 1"]);
}

#[test]
fn nothing_hangs_on_metrics() {
    for fails in ["define", "increment", "record"] {
        let host = Shaky { fails, ..Shaky::default() };
        let gateway = Rc::new(Gateway::start(document("Enforce", 1).as_bytes(), [0; 16], &host).unwrap());
        for _ in 0..2 * crate::limits::METRICS_TIMED {
            let mut stream = Stream::new(Rc::clone(&gateway));
            assert_eq!(stream.on_request_headers(&host, true), Flow::Continue, "{fails}");
            stream.on_log(&host);
        }
        gateway.on_tick(&host);
    }
}

/// A host that lacks them is asked once for each series, and not with each request.
#[test]
fn a_series_is_asked_for_once() {
    for fails in ["define", ""] {
        let host = Shaky { fails, ..Shaky::default() };
        let gateway = Rc::new(Gateway::start(document("Enforce", 1).as_bytes(), [0; 16], &host).unwrap());
        let asked = host.metrics.borrow().len();
        for _ in 0..100 {
            let mut stream = Stream::new(Rc::clone(&gateway));
            stream.on_request_headers(&host, true);
            stream.on_log(&host);
        }
        // The histogram is new; that of requests that pass was made when the policy was loaded.
        let again = usize::from(fails == "define");
        assert_eq!(host.metrics.borrow().len(), asked + 1 + again, "{:?}", host.metrics);
    }
}

/// The host has no shared data and no environment.
#[test]
fn what_is_missing_is_in_the_log_and_a_metric() {
    let hashed = r#""name":"p","audit":{"subject":"Hashed","hashKey":{"env":"NOT_THERE"}}"#;
    for (text, expected) in [
        (document("Enforce", 1), &["limits"][..]),
        (document("Enforce", 1).replace(r#""name":"p""#, hashed), &["subject_key", "limits"]),
    ] {
        let host = Shaky::default();
        let gateway = Gateway::start(text.as_bytes(), [0; 16], &host).unwrap();
        let digest = gateway.policy.as_ref().unwrap().digest.get(..12).unwrap().to_owned();
        let calls = host.calls.borrow();
        let set: Vec<&str> =
            calls.iter().filter_map(|call| call.strip_prefix("record portcullis_degraded.")).collect();
        let expected: Vec<String> =
            expected.iter().map(|what| format!("policy=p.digest={digest}.what={what} 1")).collect();
        assert_eq!(set, expected);
        assert!(
            calls
                .iter()
                .any(|call| call.starts_with("log portcullis: every limited request will be refused"))
        );
        // In milliseconds.
        let loaded = format!(
            "record portcullis_policy_loaded_timestamp_milliseconds.policy=p.digest={digest} 1795489800000"
        );
        assert!(calls.contains(&loaded), "{calls:?}");
    }
}

#[test]
fn routes_beyond_the_bound_are_counted_together() {
    let most = crate::limits::METRIC_ROUTES;
    let host = Shaky::default();
    let gateway = Rc::new(Gateway::start(document("Enforce", most + 3).as_bytes(), [0; 16], &host).unwrap());
    for number in [0, most - 1, most, most + 2] {
        let path = if number == 0 { "/a".to_owned() } else { format!("/a{number}") };
        let host = Shaky { path: Some(path), ..Shaky::default() };
        let mut stream = Stream::new(Rc::clone(&gateway));
        stream.on_request_headers(&host, true);
        stream.on_log(&host);
        let route = match number {
            0 => "a".to_owned(),
            number if number < most => format!("a{number}"),
            _ => "(other)".to_owned(),
        };
        // The numbers are those of the host that defined them first, so only the names that are asked for tell.
        let asked = host.metrics.borrow();
        let expected = format!(
            "portcullis_requests_total.route={route}.decision=allowed.reason=(none).exposure=(none).policy=p"
        );
        assert!(number > most || asked.contains(&expected), "{number}: {asked:?}");
        assert!(number <= most || asked.is_empty(), "{number}: {asked:?}");
    }
}

/// At `/token` an issuer is asked, which is away; at `/limited` a rate limit service. At both four bytes may come.
fn asking(mode: &str) -> Rc<Gateway> {
    let body = r#""request":{"body":{"maxBytes":"4B"}}"#;
    let document = format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"p","mode":"{mode}",
        "jwt":{{"providers":[{{"name":"corp","issuer":"https://corp","audiences":["api"],"introspection":
            {{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{{"env":"S"}}}}}}]}},
        "routes":[
            {{"name":"token","match":{{"path":{{"type":"Exact","value":"/token"}}}},"authentication":{{"jwt":{{}}}},{body}}},
            {{"name":"limited","match":{{"path":{{"type":"Exact","value":"/limited"}}}},"authentication":{{"open":{{"because":"test"}}}},{body},
                "rateLimit":{{"global":{{"service":{{"cluster":"rls"}},"domain":"d","lease":8,"rules":[{{"name":"r","by":["route"]}}]}}}}}}]}}"#
    );
    let gateway = Gateway::start(document.as_bytes(), [0; 16], &Shaky::default());
    Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:#?}")))
}

/// A request comes, and waits if it is told to.
fn comes(gateway: &Rc<Gateway>, host: &Shaky, id: u32) -> (Flow, Rc<RefCell<Stream>>) {
    let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(gateway))));
    let flow = stream.borrow_mut().on_request_headers(host, false);
    if flow == Flow::Wait {
        gateway.on_wait(host, StreamId(id), &stream);
    }
    (flow, stream)
}

/// A proxy that sends what it is asked to, and a request for this path, with another token each.
fn at(path: &str, token: &'static str) -> Shaky {
    Shaky {
        path: Some(path.to_owned()),
        head: vec![("authorization", token)],
        sends: true,
        ..Shaky::default()
    }
}

fn said(code: u8) -> Answer {
    let map = |name: &str, value: &str| serialize([(name.as_bytes(), value.as_bytes())].into_iter());
    let headers = map("content-type", "application/grpc");
    Answer { status: 200, headers, body: Some(frame(&[8, code])), trailers: map("grpc-status", "0") }
}

/// Whoever has passed every guard is not kept from the last question by those whom nobody knows.
#[test]
fn strangers_who_wait_take_no_place_of_those_who_have_passed() {
    let (gateway, stranger) = (asking("Enforce"), at("/token", "Bearer unknown"));
    let mut waiting = Vec::new();
    for id in 0..u32::try_from(limits::WAITERS).unwrap() {
        let (flow, stream) = comes(&gateway, &stranger, id);
        assert_eq!(flow, Flow::Wait, "{id}");
        waiting.push(stream);
    }
    assert_eq!(comes(&gateway, &stranger, 5000).0, Flow::Stop, "there is no room for more of them");
    let limited = at("/limited", "none");
    for id in 5001..5001 + u32::try_from(limits::LIMITER_QUESTIONS).unwrap() {
        let (flow, stream) = comes(&gateway, &limited, id);
        assert_eq!(flow, Flow::Wait, "{id}");
        waiting.push(stream);
    }
    assert_eq!(comes(&gateway, &limited, 7000).0, Flow::Stop, "no more questions may be on their way");
    // And the other way round: those who have passed take no place of strangers.
    waiting.remove(0);
    gateway.on_tick(&stranger);
    assert_eq!(comes(&gateway, &stranger, 7001).0, Flow::Wait);
    assert_eq!(comes(&gateway, &stranger, 7002).0, Flow::Stop);
}

/// What a request has asked for in the name of others too is theirs when it leaves.
#[test]
fn a_lease_outlives_the_request_that_asked_for_it() {
    let (gateway, host) = (asking("Enforce"), at("/limited", "none"));
    let (_, first) = comes(&gateway, &host, 1);
    gateway.on_answer(&host, CallId(1), said(1));
    assert!(host.called("resume") && first.borrow().question().is_none());
    // The key is busy: the second asks for two, and leaves. So does the third, which finds that out before the answer is here.
    let (flow, second) = comes(&gateway, &host, 2);
    assert_eq!((flow, host.sent.get()), (Flow::Wait, 2));
    drop(second);
    gateway.on_tick(&host);
    gateway.on_answer(&host, CallId(2), said(1));
    assert_eq!(comes(&gateway, &host, 3).0, Flow::Continue, "it was counted with the second");
    // What nobody has heard of is no lease, and a service that fails fails for all.
    for failure in 0..limits::LIMITER_FAILURES {
        let (flow, leaves) = comes(&gateway, &host, 4);
        assert_eq!(flow, Flow::Wait, "{failure}");
        drop(leaves);
        gateway.on_answer(&host, CallId(host.sent.get()), Answer { status: 503, ..Answer::default() });
    }
    assert_eq!(comes(&gateway, &host, 5).0, Flow::Stop, "it rests");
}

/// While a request waits, the proxy holds its body back: no more of it than the route takes.
#[test]
fn a_body_that_is_too_long_waits_for_nothing() {
    for (path, calls) in [("/token", 0), ("/limited", 1)] {
        let (gateway, host) = (asking("Enforce"), at(path, "Bearer unknown"));
        let (flow, stream) = comes(&gateway, &host, 1);
        assert_eq!((flow, host.sent.get()), (Flow::Wait, calls), "{path}");
        assert_eq!(stream.borrow_mut().on_request_body(&host, 4), Flow::Stop);
        assert!(!host.called("respond"), "four bytes may come: {path}");
        assert_eq!(stream.borrow_mut().on_request_body(&host, 5), Flow::Stop);
        assert!(host.called("respond body_too_large"), "{path}: {:?}", host.calls);
        assert_eq!(stream.borrow_mut().on_request_body(&host, 6), Flow::Stop);
        gateway.on_tick(&host);
        gateway.on_answer(&host, CallId(1), said(1));
        let answers = host.calls.borrow().iter().filter(|call| call.starts_with("respond")).count();
        assert_eq!((answers, host.called("resume"), host.called("mark")), (1, false, false), "{path}");
        // Shadow lets pass what it would refuse, when there is an outcome.
        let (gateway, host) = (asking("Shadow"), at(path, "Bearer unknown"));
        let (flow, stream) = comes(&gateway, &host, 1);
        assert_eq!(flow, Flow::Wait);
        assert_eq!(stream.borrow_mut().on_request_body(&host, 5), Flow::Stop, "{path}");
        assert!(!host.called("respond") && !host.called("resume"), "{path}");
        stream.borrow_mut().resume(&host, false);
        assert!(host.called("mark") && !host.called("respond"), "{path}: {:?}", host.calls);
    }
}

#[test]
fn an_exposure_is_counted_apart_beyond_the_bound_too() {
    let most = crate::limits::METRIC_ROUTES;
    let admin = |text: String, route: usize| {
        let name = format!(r#""name":"a{route}","#);
        text.replace(&name, &format!(r#"{name}"exposure":{{"to":"Admin","clientCIDRs":["10.0.0.0/8"]}},"#))
    };
    let text = admin(admin(document("Enforce", most + 3), 1), most + 1);
    let host = Shaky::default();
    let gateway = Rc::new(Gateway::start(text.as_bytes(), [0; 16], &host).unwrap());
    for (number, expected) in [
        (1, "route=a1.decision=allowed.reason=(none).exposure=Admin.policy=p"),
        (2, "route=a2.decision=allowed.reason=(none).exposure=(none).policy=p"),
        (most, "route=(other).decision=allowed.reason=(none).exposure=(none).policy=p"),
        (most + 1, "route=(other).decision=allowed.reason=(none).exposure=Admin.policy=p"),
    ] {
        let host = Shaky { path: Some(format!("/a{number}")), ..Shaky::default() };
        let mut stream = Stream::new(Rc::clone(&gateway));
        stream.on_request_headers(&host, true);
        stream.on_log(&host);
        assert!(
            host.metrics.borrow().contains(&format!("portcullis_requests_total.{expected}")),
            "{number}: {:?}",
            host.metrics
        );
    }
}
