//! What may be written, what is asked, and what follows from what is said?

use std::cell::RefCell;
use std::rc::Rc;

use super::message::{Code, Response, Status};
use super::{Asked, Asker, FailureMode, Fault, Global, Question, frame};
use crate::decision::{Advice, Detail, Limited, Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::Caller;
use crate::guards::identity::attempt::Attempt;
use crate::guards::rate_limit::tests::{Shared, Trouble};
use crate::guards::rate_limit::{self, Facts, Rules, Scope, Table};
use crate::host::{
    Answer, Call, CallId, Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, Swap,
    Verdict, Verifier,
};
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

/// Cluster, authority, path, fields, body and timeout of a call.
type Sent = (String, String, String, Vec<(String, String)>, Vec<u8>, u64);

/// A proxy that sends questions, or does not.
#[derive(Default)]
struct Proxy {
    is_down: bool,
    /// `None`: it cannot be read or written.
    data: Option<Shared>,
    sent: RefCell<Vec<Sent>>,
    log: RefCell<Vec<String>>,
}

const REFUSED: HostError = HostError { call: "test", status: 10 };
/// Where no fallback is asked, none has a table.
const NO_TABLE: Result<Table, HostError> = Err(REFUSED);

impl Calls for Proxy {
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        if self.is_down {
            return Err(REFUSED);
        }
        let fields = call.fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let place = (call.cluster.to_owned(), call.authority.to_owned(), call.path.to_owned());
        let mut sent = self.sent.borrow_mut();
        sent.push((place.0, place.1, place.2, fields.collect(), call.body.to_vec(), call.timeout));
        Ok(CallId(u32::try_from(sent.len()).unwrap()))
    }
}

impl SharedData for Proxy {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        self.data.as_ref().map_or(Err(REFUSED), |data| data.shared(key))
    }
    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        self.data.as_ref().map_or(Err(REFUSED), |data| data.set_shared(key, value, cas))
    }
}

impl Verifier for Proxy {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl Metrics for Proxy {}

impl Host for Proxy {
    fn now(&self) -> Result<Timestamp, HostError> {
        Err(REFUSED)
    }
    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        Err(REFUSED)
    }
    fn set_request_header(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Err(REFUSED)
    }
    fn remove_request_header(&self, _: &str) -> Result<(), HostError> {
        Err(REFUSED)
    }
    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        Err(REFUSED)
    }
    fn remove_request_trailer(&self, _: &str) -> Result<(), HostError> {
        Err(REFUSED)
    }
    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        Err(REFUSED)
    }
    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Err(REFUSED)
    }
    fn respond(&self, _: &LocalResponse) -> Result<(), HostError> {
        Err(REFUSED)
    }
    fn log(&self, _: Level, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }
    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The rules, and what was said on the way.
fn read(text: &str) -> (Option<Rules>, String) {
    let bounds = Bounds { depth: 16, values: 1000, duplicates: Duplicates::Keep };
    let document = Json::parse(text.as_bytes(), bounds).unwrap();
    let problems = Problems::new();
    let field = Field::at("", &document, &problems);
    let rules = rate_limit::read(&field, Scope { policy: "p", route: None });
    let lines: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    (rules, lines.join("\n"))
}

pub(super) fn document(more: &str) -> String {
    format!(
        r#"{{"service":{{"cluster":"rls"}},"domain":"shop","rules":[{{"name":"r","by":["route"]}}]{more}}}"#
    )
}

pub(super) fn global(document: &str) -> Rc<Global> {
    let (rules, said) = read(&format!(r#"{{"global":{document}}}"#));
    rules.unwrap_or_else(|| panic!("{document}: {said}")).global.unwrap()
}

const LOCAL: &str = r#""local":{"rules":[{"name":"l","limit":{"requests":1,"unit":"Day"}}]}"#;

#[test]
fn what_holds_when_nothing_else_is_written() {
    let global = global(&document(""));
    assert_eq!((&*global.cluster, &*global.authority, &*global.domain), ("rls", "rls", "shop"));
    assert_eq!((global.timeout, global.cost, global.failure), (SECOND / 10, 1, FailureMode::Deny));
    assert_eq!((global.lease, global.refusal_holds), (0, SECOND / 10));
}

/// What is written, where the problem is, and what it says.
#[test]
fn policies_that_do_not_hold() {
    let rule = |by: &str| {
        format!(r#"{{"service":{{"cluster":"rls"}},"domain":"shop","rules":[{{"name":"r","by":{by}}}]}}"#)
    };
    let text = "x".repeat(257);
    for (document, problem) in [
        (document(r#","timeout":"0ms""#), "global.timeout: expected 1ms to 5s"),
        (document(r#","timeout":"6s""#), "global.timeout: expected 1ms to 5s"),
        (document(r#","failureMode":"deny""#), "global.failureMode: unknown value `deny`"),
        (document(r#","failureMode":"Local""#), "global.failureMode: there is no local limit"),
        (document(r#","cost":0"#), "global.cost: expected a whole number from 1 to 1000000"),
        (document(r#","cost":1000001"#), "global.cost: expected a whole number"),
        (document(r#","lease":1"#), "global.lease: expected a whole number from 2 to 1000"),
        (document(r#","refusalHolds":"1001ms""#), "global.refusalHolds: expected 0"),
        (document(r#","refusalHolds":1"#), "global.refusalHolds: expected"),
        (document(r#","mode":"shadow""#), "global.mode: unknown value `shadow`"),
        (document(r#","limit":{}"#), "global: unknown field `limit`"),
        (document("").replace("rls", ""), "global.service.cluster: an empty string"),
        (document("").replace("\"rls\"", "\"rls\",\"authority\":\"a\\nb\""), "global.service.authority: "),
        (document("").replace("shop", ""), "global.domain: an empty string"),
        (rule("[]"), "global.rules[0].by: an empty list"),
        (rule("[\"ip\"]"), "global.rules[0].by[0]: unknown value `ip`"),
        (rule("[\"route\",\"route\"]"), "global.rules[0].by[1]: the key `route` stands twice"),
        (rule(r#"[{"header":"a"},{"claim":"a"}]"#), "global.rules[0].by[1]: the key `a` stands twice"),
        (rule(r#"[{"header":"a b"}]"#), "global.rules[0].by[0].header: `a b` is not a header name"),
        (rule(r#"[{"header":"a","claim":"b"}]"#), "global.rules[0].by[0]: expected one of"),
        (rule(r#"[{"value":"b"}]"#), "global.rules[0].by[0]: expected one of"),
        (rule(r#"[{"key":"b"}]"#), "global.rules[0].by[0]: expected one of"),
        (rule(r#"[{"header":"a","key":"b c"}]"#), "global.rules[0].by[0].key: `b c` is not a name"),
        (rule(&format!(r#"[{{"key":"a","value":"{text}"}}]"#)), "global.rules[0].by[0].value: "),
        (rule("[\"route\"]").replace("\"r\"", "\"a b\""), "global.rules[0].name: `a b` is not a name"),
    ] {
        let (_, said) = read(&format!(r#"{{"global":{document}}}"#));
        assert!(said.lines().any(|line| line.starts_with(problem)), "{document}: {said}");
    }
    let shadow = LOCAL.replace(r#""name":"l""#, r#""name":"l","mode":"Shadow""#);
    let local = document(r#","failureMode":"Local""#);
    assert!(
        read(&format!(r#"{{{shadow},"global":{local}}}"#)).1.contains("no local limit"),
        "one in Shadow is none"
    );
    assert!(read(&format!(r#"{{{LOCAL},"global":{local}}}"#)).0.is_some());
    let (rules, said) = read(&format!(r#"{{"global":{}}}"#, document(r#","failureMode":"Allow""#)));
    assert!(
        rules.is_some() && said.contains("whoever can keep the service from answering has no limit"),
        "{said}"
    );
}

/// What may not be written there, and what is said of one that would never hold.
#[test]
fn fallbacks_that_do_not_hold() {
    let fallback = |more: &str| document(&format!(r#","failureMode":"Local","fallback":{{{more}}}"#));
    let ten = r#""limit":{"requests":10,"unit":"Minute"}"#;
    for (document, problem) in [
        (fallback(""), "global.fallback: `limit` is missing"),
        (fallback(&ten.replace("10", "0")), "global.fallback.limit.requests: expected a whole number from 1"),
        (
            fallback(&ten.replace("10", "-1")),
            "global.fallback.limit.requests: expected a whole number from 1",
        ),
        (
            fallback(&ten.replace("10", "0.5")),
            "global.fallback.limit.requests: expected a whole number from 1",
        ),
        (
            fallback(&ten.replace("10", "1e300")),
            "global.fallback.limit.requests: expected a whole number from 1",
        ),
        (
            fallback(&format!(r#"{ten},"burst":1000000000"#)),
            "global.fallback: at this rate, the burst takes more",
        ),
        (fallback(&format!(r#"{ten},"burst":0"#)), "global.fallback.burst: expected a"),
        (fallback(&format!(r#"{ten},"by":[]"#)), "global.fallback: unknown field `by`"),
        (
            fallback(ten).replace(r#","failureMode""#, r#","cost":11,"failureMode""#),
            "global.fallback: a request costs 11, and a bucket holds 10",
        ),
        (
            fallback(ten).replace("Local", "Deny"),
            "global.fallback: no `fallback` holds in this `failureMode`",
        ),
        (
            fallback(ten).replace("Local", "Allow"),
            "global.fallback: no `fallback` holds in this `failureMode`",
        ),
    ] {
        let (_, said) = read(&format!(r#"{{"global":{document}}}"#));
        assert!(said.lines().any(|line| line.contains(problem)), "{document}: {said}");
    }
    // With a fallback no rule of `local` is needed; one that is as tight makes it idle.
    let beside = |rule: &str| {
        let local = format!(r#""local":{{"rules":[{{"name":"l",{rule}}}]}}"#);
        let (rules, said) = read(&format!(r#"{{{local},"global":{}}}"#, fallback(ten)));
        assert!(rules.is_some(), "{rule}: {said}");
        said.contains("global.fallback: it never refuses, since the local rule `l` is as tight")
    };
    assert_eq!(read(&format!(r#"{{"global":{}}}"#, fallback(ten))).1, "");
    for (rule, idle) in [
        (r#""limit":{"requests":10,"unit":"Minute"}"#, true),
        (r#""by":["route"],"limit":{"requests":600,"unit":"Hour"},"burst":10"#, true),
        (r#""by":["method"],"limit":{"requests":10,"unit":"Minute"}"#, false),
        (r#""limit":{"requests":10,"unit":"Minute"},"mode":"Shadow""#, false),
        (r#""limit":{"requests":10,"unit":"Minute"},"cost":{"request":1,"responseHeader":"x"}"#, false),
        (r#""limit":{"requests":10,"unit":"Minute","window":"Aligned"}"#, false),
        (r#""limit":{"requests":10,"unit":"Minute"},"burst":11"#, false),
        (r#""limit":{"requests":11,"unit":"Minute"},"burst":10"#, false),
    ] {
        assert_eq!(beside(rule), idle, "{rule}");
    }
}

fn head() -> Head {
    let pseudo = [(":method", "GET"), (":authority", "h"), (":path", "/")];
    Head::parse(serialize(pseudo.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))).unwrap()
}

fn ask(global: &Rc<Global>, asker: &Asker, proxy: &Proxy, now: u64) -> Result<Question, Fault> {
    let head = head();
    let facts = Facts {
        client_address: None,
        route: "orders",
        head: &head,
        caller: &Caller::Anonymous,
        attempt: Attempt::default(),
    };
    match global.ask(&facts, asker, &NO_TABLE, proxy, Timestamp::from_nanos(now), true)? {
        Asked::Sent(question) => Ok(question),
        Asked::Before => panic!("nothing is leased"),
    }
}

#[test]
fn the_question_on_the_wire() {
    let (proxy, asker) = (Proxy::default(), Asker::default());
    let global = global(&document(r#","timeout":"20ms","cost":3"#));
    let question = ask(&global, &asker, &proxy, SECOND).unwrap();
    assert_eq!((question.call, question.patience), (CallId(1), SECOND / 50 + SECOND / 8));
    let sent = proxy.sent.borrow();
    let (cluster, authority, path, fields, body, timeout) = &sent[0];
    assert_eq!((cluster.as_str(), authority.as_str(), *timeout), ("rls", "rls", SECOND / 50));
    assert_eq!(path, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "20m")] {
        assert!(fields.iter().any(|(n, v)| n == name && v == value), "{name}");
    }
    let message = b"\x0a\x04shop\x12\x11\x0a\x0f\x0a\x05route\x12\x06orders\x18\x03";
    assert_eq!(*body, frame(message));
}

fn answer(message: &[u8]) -> Answer {
    let map = |name: &str, value: &str| serialize([(name.as_bytes(), value.as_bytes())].into_iter());
    let headers = map("content-type", "application/grpc");
    Answer { status: 200, headers, body: Some(frame(message)), trailers: map("grpc-status", "0") }
}

#[test]
fn nobody_asks_a_service_that_fails_and_it_is_logged_once() {
    let (mut proxy, asker) = (Proxy { is_down: true, ..Proxy::default() }, Asker::default());
    let global = global(&document(r#","refusalHolds":"0s""#));
    for _ in 0..limits::LIMITER_FAILURES {
        assert_eq!(ask(&global, &asker, &proxy, SECOND), Err(Fault::NotSent));
    }
    assert_eq!(ask(&global, &asker, &proxy, SECOND), Err(Fault::Resting));
    assert_eq!(proxy.log.borrow().len(), 1, "{:?}", proxy.log);
    assert!(proxy.log.borrow()[0].ends_with("could not be asked: cluster `rls`; requests are refused"));
    proxy.is_down = false;
    let now = SECOND + limits::LIMITER_REST;
    let question = ask(&global, &asker, &proxy, now).unwrap();
    assert!(asker.answered(question.call).is_some());
    let at = Timestamp::from_nanos(now);
    // No is an answer: the service is well.
    assert!(global.hear(question, Some(answer(&[8, 2])), &asker, &NO_TABLE, &proxy, at).is_ok());
    assert!(ask(&global, &asker, &proxy, now).is_ok());
    for (answer, fault) in
        [(None, Fault::Late), (Some(answer(&[8, 0])), Fault::Unknown), (Some(answer(&[8])), Fault::Garbage)]
    {
        assert_eq!(global.hear(question, answer, &asker, &NO_TABLE, &proxy, at), Err(fault));
    }
    assert_eq!(ask(&global, &asker, &proxy, now), Err(Fault::Resting));
    assert_eq!(
        global.ask(
            &Facts {
                client_address: None,
                route: "r",
                head: &head(),
                caller: &Caller::Anonymous,
                attempt: Attempt::default()
            },
            &Asker::default(),
            &NO_TABLE,
            &proxy,
            at,
            false
        ),
        Err(Fault::Crowded),
        "nobody could wait"
    );
}

#[test]
fn what_follows_from_what_is_said() {
    let yes = || Ok(Response { overall: Code::Ok, ..Response::default() });
    let no = |statuses, reset| Ok(Response { overall: Code::OverLimit, statuses, reset });
    let status = |code, reset| Status { code, limit: Some((10, 60)), remaining: 0, reset };
    let reason = |verdict: Result<super::Permit, Refusal>| {
        verdict.map(|permit| permit.shadowed().map(|r| r.reason)).map_err(|r| r.reason)
    };
    for (mode, fault) in [("Deny", Err(Reason::LimiterUnavailable)), ("Allow", Ok(None))] {
        let global = global(&document(&format!(r#","failureMode":"{mode}""#)));
        assert_eq!(reason(global.verdict(Err(Fault::Late))), fault, "{mode}");
        assert_eq!(reason(global.verdict(yes())), Ok(None), "{mode}");
        assert_eq!(reason(global.verdict(no(vec![], None))), Err(Reason::RateLimited), "{mode}");
    }
    let shadow = global(&document(r#","mode":"Shadow""#));
    assert_eq!(reason(shadow.verdict(yes())), Ok(None));
    assert_eq!(reason(shadow.verdict(no(vec![], None))), Ok(Some(Reason::RateLimited)));
    let shadowed = shadow.verdict(Err(Fault::Garbage)).unwrap();
    assert_eq!(shadowed.shadowed().unwrap().reason, Reason::LimiterUnavailable);
    assert_eq!(shadowed.shadowed().unwrap().detail, Detail::Named("rule", "r".into()));

    let two = global(&document("").replace(
        r#"{"name":"r","by":["route"]}"#,
        r#"{"name":"a","by":["route"]},{"name":"b","by":["method"]}"#,
    ));
    let refusal = |response| two.verdict(response).unwrap_err();
    let limited = |rule: &str, retry_after| {
        Advice::Limited(Limited {
            rule: rule.into(),
            quota: 10,
            window: 60,
            remaining: 0,
            reset: retry_after,
        })
    };
    // The longest wait of those that are passed.
    let both = refusal(no(vec![status(Code::OverLimit, Some(5)), status(Code::OverLimit, Some(9))], None));
    assert_eq!((both.detail, both.advice), (Detail::Named("rule", "b".into()), limited("b", 9)));
    let first = refusal(no(vec![status(Code::OverLimit, None), status(Code::Ok, Some(9))], None));
    assert_eq!((first.detail, first.advice), (Detail::Named("rule", "a".into()), limited("a", 1)));
    // Limitador names none.
    let none = refusal(no(vec![], Some(41)));
    assert_eq!(
        (none.detail, none.advice),
        (Detail::Named("rate limit domain", "shop".into()), Advice::RetryAfter(41))
    );
    let unlimited = Status { code: Code::OverLimit, ..Status::default() };
    assert_eq!(refusal(no(vec![unlimited], None)).advice, Advice::RetryAfter(1));
}

/// A busy key asks for two, four, eight, and the rest pass.
#[test]
fn what_was_asked_for_at_once_is_spent_without_asking() {
    let (proxy, asker) = (Proxy::default(), Asker::default());
    let global = global(&document(r#","cost":3,"lease":10"#));
    let (now, head) = (Timestamp::from_nanos(SECOND), head());
    let facts = Facts {
        client_address: None,
        route: "orders",
        head: &head,
        caller: &Caller::Anonymous,
        attempt: Attempt::default(),
    };
    let mut passed = 0;
    for _ in 0..12 {
        match global.ask(&facts, &asker, &NO_TABLE, &proxy, now, true).unwrap() {
            Asked::Before => passed += 1,
            Asked::Sent(question) => {
                assert!(asker.answered(question.call).is_some());
                assert!(global.hear(question, Some(answer(&[8, 1])), &asker, &NO_TABLE, &proxy, now).is_ok());
            }
        }
    }
    // `hits_addend`, the last field of each question.
    let hits: Vec<u8> = proxy.sent.borrow().iter().map(|sent| *sent.4.last().unwrap()).collect();
    assert_eq!(hits, [3, 6, 10, 10, 10], "and 27 of 39 are spent by others");
    assert_eq!(passed, 7);
    let other = Facts { route: "other", ..facts };
    assert!(
        matches!(global.ask(&other, &asker, &NO_TABLE, &proxy, now, true), Ok(Asked::Sent(_))),
        "another key"
    );
    // A question that cannot be sent leaves nobody waiting for its lease.
    let down = Proxy { is_down: true, ..Proxy::default() };
    let third = Facts { route: "third", ..facts };
    for _ in 0..2 {
        assert_eq!(global.ask(&third, &asker, &NO_TABLE, &down, now, true), Err(Fault::NotSent));
    }
}

/// What was refused a moment ago is refused again, with what was said then and without a question, until it is time to ask.
#[test]
fn a_no_is_remembered_for_the_same_question() {
    let (proxy, asker) = (Proxy::default(), Asker::default());
    let global = |more: &str| global(&document(more));
    let (one, seven, shadow) = (global(""), global(r#","cost":7"#), global(r#","mode":"Shadow""#));
    let (elsewhere, forgetful) = (
        self::global(&document("").replace("shop", "other")),
        global(r#","refusalHolds":"0s","failureMode":"Allow""#),
    );
    let hear = |global: &Global, question: Question, message: &[u8], now| {
        assert!(asker.answered(question.call).is_some());
        let at = Timestamp::from_nanos(now);
        global.verdict(global.hear(question, Some(answer(message)), &asker, &NO_TABLE, &proxy, at))
    };
    // OVER_LIMIT, and of the one rule: over 10 a minute, for 3 s more.
    let no = [8, 2, 18, 12, 8, 2, 18, 4, 8, 10, 16, 2, 34, 2, 8, 3];
    let question = ask(&one, &asker, &proxy, SECOND).unwrap();
    let told = hear(&one, question, &no, SECOND).unwrap_err();
    let Advice::Limited(Limited { quota: 10, window: 60, reset: 3, .. }) = told.advice else {
        panic!("{told:?}")
    };
    let again = ask(&one, &asker, &proxy, 2 * SECOND).unwrap_err();
    let Fault::Over(_) = again else { panic!("{again:?}") };
    assert_eq!(proxy.sent.borrow().len(), 1);
    let refused = one.verdict(Err(again)).unwrap_err();
    assert_eq!((refused.reason, &refused.detail), (told.reason, &told.detail));
    assert!(matches!(refused.advice, Advice::Limited(Limited { quota: 10, window: 60, reset: 2, .. })));
    // No is no, whatever the policy says of a service that is away; but one in Shadow refuses nobody.
    assert_eq!(forgetful.verdict(Err(again)).unwrap_err().reason, Reason::RateLimited);
    let fault = ask(&shadow, &asker, &proxy, 2 * SECOND).unwrap_err();
    assert_eq!(shadow.verdict(Err(fault)).unwrap().shadowed().unwrap().reason, Reason::RateLimited);
    // Another cost, another domain and another service behind the same cluster are other questions, and who is told to forget asks.
    let another = self::global(&document("").replace(r#""rls""#, r#""rls","authority":"another""#));
    for (global, hits) in [(&seven, 7), (&elsewhere, 1), (&another, 1), (&forgetful, 1)] {
        let question = ask(global, &asker, &proxy, 2 * SECOND).unwrap();
        assert_eq!(proxy.sent.borrow().last().unwrap().4.last(), Some(&hits));
        assert!(hear(global, question, &[8, 1], 2 * SECOND).is_ok());
    }
    // Then it is asked again, and yes is yes.
    let question = ask(&one, &asker, &proxy, 4 * SECOND).unwrap();
    assert!(hear(&one, question, &[8, 1], 4 * SECOND).is_ok());
    assert!(ask(&one, &asker, &proxy, 4 * SECOND).is_ok());
    // One that is told to forget asks each time.
    let (asker, proxy) = (Asker::default(), Proxy::default());
    for _ in 0..2 {
        let question = ask(&forgetful, &asker, &proxy, SECOND).unwrap();
        let said = forgetful.hear(
            question,
            Some(answer(&no)),
            &asker,
            &NO_TABLE,
            &proxy,
            Timestamp::from_nanos(SECOND),
        );
        assert!(said.is_ok());
    }
}

/// That there is no room for many says nothing of one.
#[test]
fn a_no_to_a_lease_is_not_remembered() {
    let (proxy, asker) = (Proxy::default(), Asker::default());
    let global = global(&document(r#","lease":10"#));
    for (hits, says) in [(1, 1), (2, 2)] {
        let question = ask(&global, &asker, &proxy, SECOND).unwrap();
        assert_eq!(proxy.sent.borrow().last().unwrap().4.last(), Some(&hits));
        let at = Timestamp::from_nanos(SECOND);
        assert!(global.hear(question, Some(answer(&[8, says])), &asker, &NO_TABLE, &proxy, at).is_ok());
    }
    let question = ask(&global, &asker, &proxy, SECOND).unwrap();
    assert_eq!(proxy.sent.borrow().last().unwrap().4.last(), Some(&1), "it asks for itself");
    let at = Timestamp::from_nanos(SECOND);
    assert!(global.hear(question, Some(answer(&[8, 2])), &asker, &NO_TABLE, &proxy, at).is_ok());
    assert!(matches!(ask(&global, &asker, &proxy, SECOND), Err(Fault::Over(_))), "and that is remembered");
}

/// What a gateway of its own admits, by question, in the place of each answer that did not come, and of no other.
#[test]
fn the_fallback_holds_while_the_service_is_away() {
    let fallback = r#","failureMode":"Local","cost":2,"fallback":{"limit":{"requests":6,"unit":"Day"}}"#;
    let (mut proxy, asker) = (Proxy { data: Some(Shared::default()), ..Proxy::default() }, Asker::default());
    let now = Timestamp::from_nanos(1_795_489_800 * SECOND);
    let global = global(&document(fallback));
    let with = |table: &Result<Table, HostError>, proxy: &Proxy, global: &Rc<Global>, route: &str| {
        let head = head();
        let (caller, attempt) = (&Caller::Anonymous, Attempt::default());
        let facts = Facts { client_address: None, route, head: &head, caller, attempt };
        match global.ask(&facts, &asker, table, proxy, now, true) {
            Ok(Asked::Sent(question)) => {
                global.verdict(global.hear(question, Some(answer(&[8, 1])), &asker, table, proxy, now))
            }
            Ok(Asked::Before) => panic!("nothing is leased"),
            Err(fault) => global.verdict(Err(fault)),
        }
    };
    // Without a table nothing can be charged, and Shadow does not cover that.
    let shadow = self::global(&document(&format!(r#"{fallback},"mode":"Shadow""#)));
    proxy.is_down = true;
    for global in [&global, &shadow] {
        assert_eq!(with(&NO_TABLE, &proxy, global, "orders").unwrap_err().reason, Reason::HostFailed);
    }
    let table = Table::prepare(&proxy, [7; 16], 0);
    let passes = |proxy: &Proxy, global: &Rc<Global>, route: &str| with(&table, proxy, global, route);
    // As long as there are answers it is not charged.
    proxy.is_down = false;
    for _ in 0..20 {
        asker.worked("rls");
        assert!(passes(&proxy, &global, "orders").is_ok());
    }
    proxy.is_down = true;
    for _ in 0..3 {
        assert!(passes(&proxy, &global, "orders").is_ok(), "two of six");
    }
    let refused = passes(&proxy, &global, "orders").unwrap_err();
    assert_eq!(
        (refused.reason, &refused.detail),
        (Reason::RateLimited, &Detail::Named("fallback of rule", "r".into()))
    );
    let Advice::Limited(Limited { quota: 6, window: 86_400, remaining: 0, reset: 28_800, .. }) =
        refused.advice
    else {
        panic!("{refused:?}")
    };
    assert!(passes(&proxy, &global, "other").is_ok(), "another question has another bucket");
    // In Shadow it refuses nobody. With other numbers it is another bucket.
    let shadowed = passes(&proxy, &shadow, "orders").unwrap();
    assert_eq!(shadowed.shadowed().unwrap().reason, Reason::RateLimited);
    let more = self::global(&document(&fallback.replace("Day", "Hour")));
    assert!(passes(&proxy, &more, "orders").is_ok());
    // A bucket that others overtake each time is a refusal.
    proxy.data.as_ref().unwrap().trouble.set(Trouble::Loses);
    assert_eq!(passes(&proxy, &global, "third").unwrap_err().reason, Reason::LimiterBusy);
    // Several rules are one question.
    let two = document(fallback).replace(
        r#"{"name":"r","by":["route"]}"#,
        r#"{"name":"a","by":["route"]},{"name":"b","by":["method"]}"#,
    );
    proxy.data.as_ref().unwrap().trouble.set(Trouble::None);
    let two = self::global(&two);
    assert_eq!((0..9).filter(|_| passes(&proxy, &two, "orders").is_ok()).count(), 3);
    let refused = passes(&proxy, &two, "orders").unwrap_err();
    assert_eq!(refused.detail, Detail::Named("fallback of rate limit domain", "shop".into()));
    assert_eq!(refused.advice, Advice::RetryAfter(28_800));
}

/// What became of the wish to ask, each under its own name.
#[test]
fn what_came_of_questions_is_told() {
    let (proxy, down) = (Proxy::default(), Proxy { is_down: true, ..Proxy::default() });
    let (now, head) = (Timestamp::from_nanos(SECOND), head());
    let (caller, attempt) = (&Caller::Anonymous, Attempt::default());
    let facts = Facts { client_address: None, route: "orders", head: &head, caller, attempt };
    let global = global(&document(""));
    let told = |asker: &Asker| {
        let counts = rate_limit::tests::Counts::default();
        asker.measure(&counts);
        ["ok", "over_limit", "failed", "unasked", "leased", "remembered"]
            .map(|outcome| counts.of(&format!("outcome={outcome}")))
    };
    let asker = Asker::default();
    for says in [1, 2] {
        let question = ask(&global, &asker, &proxy, SECOND).unwrap();
        assert!(global.hear(question, Some(answer(&[8, says])), &asker, &NO_TABLE, &proxy, now).is_ok());
    }
    assert_eq!(told(&asker), [1, 1, 0, 0, 0, 0]);
    assert!(matches!(ask(&global, &asker, &proxy, SECOND), Err(Fault::Over(_))));
    assert_eq!(told(&asker), [0, 0, 0, 0, 0, 1]);
    // Nobody can wait, the service cannot be reached, and then it rests.
    let asker = Asker::default();
    assert_eq!(global.ask(&facts, &asker, &NO_TABLE, &proxy, now, false), Err(Fault::Crowded));
    assert_eq!(told(&asker), [0, 0, 0, 1, 0, 0]);
    for _ in 0..limits::LIMITER_FAILURES {
        assert_eq!(ask(&global, &asker, &down, SECOND), Err(Fault::NotSent));
    }
    assert_eq!(ask(&global, &asker, &down, SECOND), Err(Fault::Resting));
    assert_eq!(told(&asker), [0, 0, u64::from(limits::LIMITER_FAILURES), 1, 0, 0]);
}

/// Two routes that ask the same share a counter of the service, and not what one of them may do without asking.
#[test]
fn who_is_told_to_ask_each_time_does() {
    let (proxy, asker) = (Proxy::default(), Asker::default());
    let (leases, asks) = (global(&document(r#","lease":10"#)), global(&document(r#","refusalHolds":"0s""#)));
    let now = Timestamp::from_nanos(SECOND);
    for _ in 0..2 {
        let question = ask(&leases, &asker, &proxy, SECOND).unwrap();
        assert!(leases.hear(question, Some(answer(&[8, 1])), &asker, &NO_TABLE, &proxy, now).is_ok());
    }
    // One is left of two that were asked for.
    let question = ask(&asks, &asker, &proxy, SECOND).unwrap();
    assert_eq!(proxy.sent.borrow().len(), 3);
    // And what it was refused, for 3 s more, it keeps for nobody.
    let no = [8, 2, 18, 12, 8, 2, 18, 4, 8, 10, 16, 2, 34, 2, 8, 3];
    assert!(asks.hear(question, Some(answer(&no)), &asker, &NO_TABLE, &proxy, now).is_ok());
    assert!(ask(&global(&document("")), &asker, &proxy, SECOND).is_ok());
}

/// A local rule makes a fallback idle if each request takes as much of it as of the fallback, whatever the method.
#[test]
fn what_a_request_takes_counts_for_an_idle_fallback() {
    for (cost, idle) in [
        ("1", false),
        ("2", true),
        (r#"{"request":2,"methods":[{"methods":["HEAD"],"cost":1}]}"#, false),
        (r#"{"request":3,"methods":[{"methods":["HEAD"],"cost":2}]}"#, true),
    ] {
        let limit = r#""limit":{"requests":10,"unit":"Minute"}"#;
        let local = format!(r#""local":{{"rules":[{{"name":"l",{limit},"cost":{cost}}}]}}"#);
        let fallback = document(&format!(r#","cost":2,"failureMode":"Local","fallback":{{{limit}}}"#));
        let (rules, said) = read(&format!(r#"{{{local},"global":{fallback}}}"#));
        assert!(rules.is_some(), "{cost}: {said}");
        assert_eq!(said.contains("it never refuses"), idle, "{cost}: {said}");
    }
}

/// As much as there may be, and one more.
#[test]
fn as_much_as_there_may_be() {
    let rule = |number: usize, parts: usize| {
        let by: Vec<String> = (0..parts).map(|part| format!(r#"{{"header":"x-{part}"}}"#)).collect();
        format!(r#"{{"name":"r{number}","by":[{}]}}"#, by.join(","))
    };
    let of = |rules: usize, parts: usize| {
        let rules: Vec<String> = (0..rules).map(|number| rule(number, parts)).collect();
        document("").replace(r#"{"name":"r","by":["route"]}"#, &rules.join(","))
    };
    let (rules, parts) = (limits::RATE_RULES, limits::RATE_KEY_PARTS);
    let fallback = |cost| {
        document(&format!(
            r#","failureMode":"Local","cost":{cost},"fallback":{{"limit":{{"requests":7,"unit":"Day"}}}}"#
        ))
    };
    for (document, problem) in [
        (of(rules, parts), ""),
        (of(rules + 1, 1), "global.rules: 17 rules, at most 16 are possible"),
        (of(1, parts + 1), "global.rules[0].by: 10 parts, at most 9 are possible"),
        // The dearest request that a fallback can admit.
        (fallback(7), ""),
        (fallback(8), "global.fallback: a request costs 8, and a bucket holds 7"),
    ] {
        let (read, said) = read(&format!(r#"{{"global":{document}}}"#));
        assert!(said.starts_with(problem) && read.is_some() == problem.is_empty(), "{problem}: {said}");
    }
}
