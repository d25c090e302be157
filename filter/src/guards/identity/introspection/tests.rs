//! One question for all who wait, and what comes of each answer, on a clock that we move.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::question::form;
use super::{Introspection, Source};
use crate::decision::Reason;
use crate::guards::identity::stop::{Stop, What};
use crate::guards::identity::target::Target;
use crate::host::{
    Answer, Call, CallId, Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, Swap,
    Verdict, Verifier,
};
use crate::limits::{INTROSPECTED, INTROSPECTIONS, WAITERS};
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

const NOW: u64 = 1_800_000_000;

/// A proxy that notes the calls.
#[derive(Default)]
struct Proxy {
    calls: RefCell<Vec<String>>,
    is_deaf: Cell<bool>,
    log: RefCell<Vec<String>>,
}

impl SharedData for Proxy {
    fn shared(&self, _: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        unreachable!()
    }

    fn set_shared(&self, _: &str, _: &[u8], _: Option<Cas>) -> Result<Swap, HostError> {
        unreachable!()
    }
}

impl Verifier for Proxy {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        unreachable!()
    }
}

impl Calls for Proxy {
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        if self.is_deaf.get() {
            return Err(HostError { call: "http_call", status: 2 });
        }
        let fields = call.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>();
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        self.calls.borrow_mut().push(format!("{} {} {} {body}", call.method, call.path, fields.join(" ")));
        Ok(CallId(u32::try_from(self.calls.borrow().len()).unwrap()))
    }
}

impl Metrics for Proxy {}

impl Host for Proxy {
    fn now(&self) -> Result<Timestamp, HostError> {
        unreachable!()
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        unreachable!()
    }

    fn set_request_header(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        unreachable!()
    }

    fn remove_request_header(&self, _: &str) -> Result<(), HostError> {
        unreachable!()
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        unreachable!()
    }

    fn remove_request_trailer(&self, _: &str) -> Result<(), HostError> {
        unreachable!()
    }

    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        unreachable!()
    }

    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        unreachable!()
    }

    fn respond(&self, _: &LocalResponse) -> Result<(), HostError> {
        unreachable!()
    }

    fn log(&self, _: Level, line: &str) {
        self.log.borrow_mut().push(line.to_owned());
    }

    fn env(&self, _: &str) -> Option<Vec<u8>> {
        unreachable!()
    }
}

fn endpoint(secret: Option<&str>) -> Introspection {
    let mut introspection = Introspection::new(Source {
        provider: "corp".into(),
        uri: Target::parse("https://id.example/introspect").unwrap(),
        cluster: "id".into(),
        client_id: "gate way".into(),
        secret: "SECRET".into(),
        next_secret: None,
        timeout: SECOND,
        cache: 30 * SECOND,
    });
    introspection.resolve(|_| secret.map(|secret| secret.as_bytes().to_vec()));
    introspection
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: Vec::new(), body: Some(body.as_bytes().to_vec()), ..Answer::default() }
}

/// `waits`, the subject, or the reason of the refusal.
fn outcome(endpoint: &Introspection, token: &str, now: Timestamp) -> String {
    match endpoint.claims(token.as_bytes(), now) {
        Ok(claims) => claims.get("sub").and_then(|sub| sub.as_text()).unwrap_or("nobody").to_owned(),
        Err(Stop::Refused(refusal)) => refusal.reason.code().to_owned(),
        Err(Stop::Wait(need)) => {
            let What::Token(about) = &need.what else { panic!("another need") };
            assert!(about.is_on_its_way() && endpoint.is_busy());
            // Somebody waits for as long as the test takes.
            Box::leak(need);
            "waits".to_owned()
        }
    }
}

#[test]
fn one_question_answers_for_all_who_wait() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("p:ss wörd")));
    for _ in 0..50 {
        assert_eq!(outcome(&endpoint, "a+b/c==", at(0)), "waits");
    }
    endpoint.tick(&proxy, at(0));
    endpoint.tick(&proxy, at(0));
    assert_eq!(outcome(&endpoint, "a+b/c==", at(0)), "waits");
    // The name and the secret are form-encoded, then joined, then base64: `gate%20way:p%3Ass%20w%C3%B6rd`.
    assert_eq!(
        *proxy.calls.borrow(),
        ["POST /introspect authorization: Basic Z2F0ZSUyMHdheTpwJTNBc3MlMjB3JUMzJUI2cmQ= \
          content-type: application/x-www-form-urlencoded accept: application/json user-agent: portcullis \
          token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token"]
    );
    assert!(!endpoint.answered(&proxy, CallId(9), &mut answer(200, "{}"), at(0)), "somebody else's");
    assert!(endpoint.answered(&proxy, CallId(1), &mut answer(200, r#"{"active":true,"sub":"ada"}"#), at(0)));
    assert!(!endpoint.is_busy());
    assert_eq!(outcome(&endpoint, "a+b/c==", at(29)), "ada");
    assert_eq!(outcome(&endpoint, "a+b/c==", at(30)), "waits", "believed for so long and no longer");
    let shown = format!("{endpoint:?}");
    assert!(!shown.contains("a+b/c") && !shown.contains("Z2F0ZSU"), "{shown}");
}

/// The secret is being changed: whichever the service takes is used, each question is asked at most twice, and nobody is refused.
#[test]
fn two_secrets_for_the_time_of_a_change() {
    let secrets = |first: Option<&'static str>, next: Option<&'static str>| {
        let mut endpoint = endpoint(None);
        endpoint.source.next_secret = Some("NEXT".into());
        endpoint.resolve(|name| {
            let secret = if name == "NEXT" { next } else { first };
            secret.map(|secret| secret.as_bytes().to_vec())
        });
        endpoint
    };
    // `gate%20way:old` and `gate%20way:new`.
    let (old, new) = ("Basic Z2F0ZSUyMHdheTpvbGQ=", "Basic Z2F0ZSUyMHdheTpuZXc=");
    let asked_with = |proxy: &Proxy| {
        let calls = proxy.calls.borrow();
        calls
            .iter()
            .map(|call| {
                if call.contains(old) {
                    'o'
                } else if call.contains(new) {
                    'n'
                } else {
                    '?'
                }
            })
            .collect::<String>()
    };
    let (proxy, endpoint) = (Proxy::default(), secrets(Some("old"), Some("new")));
    let good = || answer(200, r#"{"active":true,"sub":"ada"}"#);
    let ask = |token| {
        assert_eq!(outcome(&endpoint, token, at(0)), "waits");
        endpoint.tick(&proxy, at(0));
    };
    ask("t");
    endpoint.answered(&proxy, CallId(1), &mut good(), at(0));
    ask("u");
    endpoint.answered(&proxy, CallId(2), &mut answer(401, ""), at(0));
    assert!(endpoint.is_busy(), "it is asked with the other one");
    endpoint.answered(&proxy, CallId(3), &mut good(), at(0));
    assert_eq!((outcome(&endpoint, "u", at(0)), asked_with(&proxy)), ("ada".to_owned(), "oon".to_owned()));
    ask("v");
    endpoint.answered(&proxy, CallId(4), &mut answer(401, ""), at(0));
    endpoint.answered(&proxy, CallId(5), &mut answer(401, ""), at(0));
    assert_eq!(outcome(&endpoint, "v", at(0)), "introspection_unavailable", "it takes neither");
    assert_eq!(asked_with(&proxy), "oonno");
    assert!(!endpoint.is_busy());
    for (first, next, used) in [(Some("old"), None, "o"), (None, Some("new"), "n")] {
        let (proxy, endpoint) = (Proxy::default(), secrets(first, next));
        assert_eq!(outcome(&endpoint, "t", at(0)), "waits");
        endpoint.tick(&proxy, at(0));
        endpoint.answered(&proxy, CallId(1), &mut answer(401, ""), at(0));
        assert_eq!(outcome(&endpoint, "t", at(0)), "introspection_unavailable");
        assert_eq!(asked_with(&proxy), used, "there is no other");
    }
    assert!(secrets(None, None).without_secret().is_some());
    for (there, missing) in
        [(&["SECRET", "NEXT"][..], ""), (&["NEXT"], "SECRET"), (&["SECRET"], "NEXT"), (&[], "SECRET NEXT")]
    {
        let env = |name: &str| there.contains(&name).then(|| b"a secret".to_vec());
        let told: Vec<String> = endpoint.without_one_of_two(env).map(|why| why.text().into_owned()).collect();
        let names = missing.split_whitespace().map(|name| format!("missing environment variable `{name}`"));
        assert_eq!(told, names.collect::<Vec<_>>(), "{there:?}");
    }
    assert_eq!(self::endpoint(None).without_one_of_two(|_| None).count(), 0, "one secret is no change");
}

#[test]
fn what_is_believed_ends_with_the_token() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    assert_eq!(outcome(&endpoint, "t", at(0)), "waits");
    endpoint.tick(&proxy, at(0));
    let active = format!(r#"{{"active":true,"sub":"ada","exp":{}}}"#, NOW + 10);
    endpoint.answered(&proxy, CallId(1), &mut answer(200, &active), at(0));
    assert_eq!(outcome(&endpoint, "t", at(9)), "ada");
    assert_eq!(outcome(&endpoint, "t", at(10)), "waits");
}

#[test]
fn inactive_is_told_and_remembered_shortly() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    assert_eq!(outcome(&endpoint, "t", at(0)), "waits");
    endpoint.tick(&proxy, at(0));
    endpoint.answered(&proxy, CallId(1), &mut answer(200, r#"{"active":false}"#), at(0));
    let Err(Stop::Refused(refusal)) = endpoint.claims(b"t", at(4)) else { panic!("inactive") };
    assert_eq!(refusal.reason, Reason::TokenInactive);
    assert_eq!(outcome(&endpoint, "t", at(5)), "waits");
}

/// What the service says to one token says nothing of itself: a client that chooses such a token harms nobody else, however often.
#[test]
fn what_one_token_brings_about_ends_with_that_token() {
    for (status, words) in
        [(200, "cannot be read"), (302, "another status"), (403, "another status"), (414, "another status")]
    {
        let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
        for round in 0..10 {
            let token = format!("odd {round}");
            for token in [token.as_str(), "u"] {
                assert_eq!(outcome(&endpoint, token, at(round)), "waits");
            }
            endpoint.tick(&proxy, at(round));
            let [odd, good] = [1, 2].map(|n| CallId(u32::try_from(round * 2 + n).unwrap()));
            endpoint.answered(&proxy, odd, &mut answer(status, "<html>"), at(round));
            assert_eq!(outcome(&endpoint, &token, at(round)), "introspection_unavailable");
            endpoint.answered(&proxy, good, &mut answer(200, r#"{"active":true,"exp":1}"#), at(round));
            assert_eq!(outcome(&endpoint, "u", at(round)), "nobody");
        }
        assert!(proxy.log.borrow()[0].contains(words), "{:?}", proxy.log);
        // And with nothing that works in between.
        for number in 0..10 {
            let token = format!("odder {number}");
            assert_eq!(outcome(&endpoint, &token, at(20)), "waits", "nobody rests");
            endpoint.tick(&proxy, at(20));
            let call = CallId(u32::try_from(proxy.calls.borrow().len()).unwrap());
            endpoint.answered(&proxy, call, &mut answer(status, "<html>"), at(20));
            assert_eq!(outcome(&endpoint, &token, at(20)), "introspection_unavailable");
        }
        assert_eq!(proxy.log.borrow().len(), 11, "told once a second: {:?}", proxy.log);
        assert_eq!(outcome(&endpoint, "odder 0", at(21)), "waits", "it is asked about again after a second");
    }
}

/// A failure may be one token's doing, so one is not enough; what cannot be a token's doing is.
#[test]
fn a_service_that_fails_is_503_for_all_and_left_alone_for_a_second() {
    for (status, failures, words) in [
        (0, 3, "cannot be reached"),
        (503, 3, "cannot be reached"),
        (504, 3, "did not answer in time"),
        (500, 3, "failed"),
        (599, 3, "failed"),
        (401, 1, "does not take the gateway's own"),
        (429, 1, "asked too often"),
    ] {
        let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
        let last = || CallId(u32::try_from(proxy.calls.borrow().len()).unwrap());
        let fails = |token: &str, now| {
            assert_eq!(outcome(&endpoint, token, now), "waits", "{status} {token}");
            endpoint.tick(&proxy, now);
            endpoint.answered(&proxy, last(), &mut answer(status, "<html>"), now);
            if matches!(status, 0 | 503) {
                assert_eq!(
                    outcome(&endpoint, token, now),
                    "waits",
                    "the connection may have ended: once more"
                );
                endpoint.answered(&proxy, last(), &mut answer(status, "<html>"), now);
            }
            assert_eq!(outcome(&endpoint, token, now), "introspection_unavailable");
        };
        let works = |token: &str, now| {
            assert_eq!(outcome(&endpoint, token, now), "waits", "{status} {token}");
            endpoint.tick(&proxy, now);
            endpoint.answered(&proxy, last(), &mut answer(200, r#"{"active":true,"sub":"bob"}"#), now);
            assert_eq!(outcome(&endpoint, token, now), "bob");
        };
        // A success in between, and it begins anew.
        (1..failures).for_each(|number| fails(&format!("one {number}"), at(0)));
        works("good", at(0));
        (1..failures).for_each(|number| fails(&format!("two {number}"), at(0)));
        for token in ["u", "w"] {
            assert_eq!(outcome(&endpoint, token, at(0)), "waits");
        }
        endpoint.tick(&proxy, at(0));
        let [u, w] = [1, 0].map(|back| CallId(last().0 - back));
        assert_eq!(outcome(&endpoint, "queued", at(0)), "waits");
        endpoint.answered(&proxy, w, &mut answer(status, "<html>"), at(0));
        if matches!(status, 0 | 503) {
            endpoint.answered(&proxy, last(), &mut answer(status, "<html>"), at(0));
        }
        let calls = proxy.calls.borrow().len();
        endpoint.tick(&proxy, at(0));
        for token in ["w", "queued", "v"] {
            assert_eq!(
                outcome(&endpoint, token, at(0)),
                "introspection_unavailable",
                "{status}: nobody asks"
            );
        }
        assert_eq!(proxy.calls.borrow().len(), calls, "{status}");
        assert!(proxy.log.borrow()[0].contains(words), "{:?}", proxy.log);
        // The other answer comes all the same, and tells that it is back.
        endpoint.answered(&proxy, u, &mut answer(200, r#"{"active":true,"sub":"bob"}"#), at(0));
        assert_eq!(outcome(&endpoint, "u", at(0)), "bob");
        assert_eq!(outcome(&endpoint, "good", at(0)), "bob", "what is known serves");
        (0..failures).for_each(|number| fails(&format!("three {number}"), at(1)));
        assert_eq!(outcome(&endpoint, "v", at(1)), "introspection_unavailable");
        // After a rest one failure is enough, and one success to be done with it.
        fails("four", at(2));
        assert_eq!(outcome(&endpoint, "v", at(2)), "introspection_unavailable");
        works("v", at(3));
        (1..failures).for_each(|number| fails(&format!("five {number}"), at(3)));
        works("w", at(3));
    }
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    proxy.is_deaf.set(true);
    assert_eq!(outcome(&endpoint, "t", at(0)), "waits");
    endpoint.tick(&proxy, at(0));
    let Err(Stop::Refused(refusal)) = endpoint.claims(b"t", at(0)) else { panic!("refused") };
    assert_eq!(refusal.reason, Reason::IntrospectionUnavailable);
    assert!(!endpoint.is_busy());
}

#[test]
fn an_answer_that_never_comes_is_given_up() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    assert_eq!(outcome(&endpoint, "t", at(0)), "waits");
    endpoint.tick(&proxy, at(0));
    endpoint.tick(&proxy, at(2));
    assert!(!endpoint.is_busy());
    assert!(!endpoint.answered(&proxy, CallId(1), &mut answer(200, r#"{"active":true}"#), at(2)), "too late");
}

#[test]
fn a_flood_of_tokens_is_asked_about_at_a_bounded_width() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    for number in 0..WAITERS {
        assert_eq!(outcome(&endpoint, &format!("t{number}"), at(0)), "waits");
    }
    assert_eq!(outcome(&endpoint, "one more", at(0)), "introspection_unavailable");
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), INTROSPECTIONS);
    endpoint.answered(&proxy, CallId(1), &mut answer(200, r#"{"active":false}"#), at(0));
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), INTROSPECTIONS + 1);
    endpoint.answered(&proxy, CallId(2), &mut answer(503, ""), at(0));
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), INTROSPECTIONS + 2, "once more");
    endpoint.answered(&proxy, CallId(3), &mut answer(429, ""), at(0));
    endpoint.answered(&proxy, CallId(4), &mut answer(503, ""), at(0));
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), INTROSPECTIONS + 2, "it rests");
    assert_eq!(outcome(&endpoint, &format!("t{}", WAITERS - 1), at(0)), "introspection_unavailable");
}

#[test]
fn without_the_secret_nothing_is_asked() {
    for secret in [None, Some("")] {
        let endpoint = endpoint(secret);
        assert_eq!(outcome(&endpoint, "t", at(0)), "keys_unavailable");
        assert_eq!(endpoint.without_secret().unwrap().to_string(), "missing environment variable `SECRET`");
    }
}

#[test]
fn forms() {
    assert_eq!(form(b"aZ9-._~"), "aZ9-._~");
    assert_eq!(form(b"a b&c=d+\xff\x00"), "a%20b%26c%3Dd%2B%FF%00");
    assert_eq!(Rc::<str>::from(form(b"")).len(), 0);
}

/// A flood of tokens that are none pushes out no answer about a token that is one.
#[test]
fn strangers_push_out_no_token_that_is_known() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    let ask = |token: &str, status, said: &str| {
        assert_eq!(outcome(&endpoint, token, at(0)), "waits", "{token}");
        endpoint.tick(&proxy, at(0));
        let call = CallId(u32::try_from(proxy.calls.borrow().len()).unwrap());
        endpoint.answered(&proxy, call, &mut answer(status, said), at(0));
    };
    ask("ada's", 200, r#"{"active":true,"sub":"ada"}"#);
    for number in 0..INTROSPECTED {
        let (status, said) = if number % 2 == 0 { (200, r#"{"active":false}"#) } else { (400, "") };
        ask(&format!("random {number}"), status, said);
    }
    assert_eq!(outcome(&endpoint, "ada's", at(0)), "ada");
}

/// Whoever has left, or could not wait, is not asked for, and takes nobody's place.
#[test]
fn what_nobody_waits_for_is_not_asked() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    let comes = |token: &str| match endpoint.claims(token.as_bytes(), at(0)) {
        Err(Stop::Wait(need)) => need,
        other => panic!("{token}: {other:?}"),
    };
    for number in 0..WAITERS {
        drop(comes(&format!("left {number}")));
    }
    endpoint.tick(&proxy, at(0));
    assert_eq!((proxy.calls.borrow().len(), endpoint.is_busy()), (0, false));
    let (first, second) = (comes("t"), comes("t"));
    drop(first);
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), 1, "one of two is still there");
    let third = comes("t");
    drop(second);
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), 1, "one question for one token");
    endpoint.answered(&proxy, CallId(1), &mut answer(200, r#"{"active":true,"sub":"ada"}"#), at(0));
    drop(third);
    assert_eq!(outcome(&endpoint, "t", at(0)), "ada");
    // One left while it was queued, another comes for the same token.
    drop(comes("u"));
    let late = comes("u");
    endpoint.tick(&proxy, at(0));
    assert_eq!(proxy.calls.borrow().len(), 2);
    drop(late);
    // With as many on their way as there may be, those who leave free the queue all the same.
    let asked: Vec<_> = (2..INTROSPECTIONS).map(|number| comes(&format!("asked {number}"))).collect();
    endpoint.tick(&proxy, at(0));
    let full: Vec<_> = (0..WAITERS).map(|number| comes(&format!("full {number}"))).collect();
    endpoint.tick(&proxy, at(0));
    drop(full);
    endpoint.tick(&proxy, at(0));
    assert_eq!(outcome(&endpoint, "one more", at(0)), "waits");
    drop(asked);
}

/// What a service says to one token tells nothing of the service, also when it has just failed for others.
#[test]
fn one_token_makes_no_service_rest_again() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    let hears = |token: &str, status: u16, now| {
        assert_eq!(outcome(&endpoint, token, now), "waits", "{token}");
        endpoint.tick(&proxy, now);
        let call = CallId(u32::try_from(proxy.calls.borrow().len()).unwrap());
        endpoint.answered(&proxy, call, &mut answer(status, "<html>"), now);
    };
    (0..3).for_each(|number| hears(&format!("broken {number}"), 500, at(0)));
    assert_eq!(outcome(&endpoint, "next", at(0)), "introspection_unavailable", "it rests");
    hears("odd", 403, at(1));
    assert_eq!(outcome(&endpoint, "odd", at(1)), "introspection_unavailable");
    assert_eq!(outcome(&endpoint, "next", at(1)), "waits", "and is asked");
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    let Err(Stop::Wait(need)) = endpoint.claims(b"t", at(0)) else { panic!("it waits") };
    assert_eq!(need.patience, SECOND + SECOND / 4, "who waits should hear why");
    endpoint.tick(&proxy, at(0));
    // The host answers after a second at the latest.
    let after = |nanos: u64| Timestamp::from_nanos(at(0).nanos() + nanos);
    endpoint.tick(&proxy, after(SECOND + SECOND / 8 - 1));
    assert!(endpoint.is_busy());
    endpoint.tick(&proxy, after(SECOND + SECOND / 8));
    assert!(!endpoint.is_busy(), "given up");
}

#[test]
fn who_has_left_takes_no_place_while_others_are_asked_about() {
    let (proxy, endpoint) = (Proxy::default(), endpoint(Some("s")));
    for number in 0..INTROSPECTIONS {
        assert_eq!(outcome(&endpoint, &format!("stays {number}"), at(0)), "waits");
    }
    endpoint.tick(&proxy, at(0));
    for number in 0..10 {
        assert!(endpoint.claims(format!("leaves {number}").as_bytes(), at(0)).is_err());
    }
    assert_eq!(endpoint.state.borrow().queue.len(), 10);
    endpoint.tick(&proxy, at(0));
    let state = endpoint.state.borrow();
    assert_eq!(
        (state.queue.len(), state.pending.len(), state.asked.len()),
        (0, INTROSPECTIONS, INTROSPECTIONS)
    );
}
