//! Do the native code and the compiled plugin make the same of bytes that nobody has thought of? A fixed number of them; `make differential` tries
//! more. And would a difference be found?

use std::collections::BTreeSet;

use host_tests::artifacts;
use host_tests::differential::mutate::CREDENTIALS;
use host_tests::differential::search::{Search, beginnings};
use host_tests::differential::{Outcome, Pair};
use journey::credentials::{SIGNED, Wallet};
use journey::policies;
use journey::script::{Event, Fields, Journey};

/// How many changed inputs.
const CHANGED: usize = 3000;
/// How requests of the seeds end, beside those that go on: by every reason of `decision.rs` that two kilobytes can bring about. Those that are
/// missing take a longer token, a client certificate, a proof of possession, or somebody else who writes at the same time.
const REACHED: [&str; 46] = [
    "access_denied",
    "algorithm_unaccepted",
    "api_key_expired",
    "api_key_invalid",
    "assertion_unavailable",
    "audience_mismatch",
    "authentication_insufficient",
    "authority_invalid",
    "body_too_large",
    "claim_invalid",
    "claim_missing",
    "cors_denied",
    "credential_conflict",
    "credential_missing",
    "header_forbidden",
    "header_missing",
    "headers_too_large",
    "host_failed",
    "introspection_unavailable",
    "issuer_unknown",
    "key_unknown",
    "keys_unavailable",
    "limiter_unavailable",
    "malformed_request",
    "media_type_unsupported",
    "method_not_allowed",
    "no_route",
    "not_exposed",
    "overloaded",
    "path_ambiguous",
    "path_invalid",
    "rate_limited",
    "concurrency_limited",
    "scope_insufficient",
    "signature_invalid",
    "token_binding_unchecked",
    "token_critical",
    "token_expired",
    "token_inactive",
    "token_lifetime_exceeded",
    "token_malformed",
    "token_not_yet_valid",
    "token_revoked",
    "token_type_unaccepted",
    "too_many_failures",
    "uri_too_long",
];

fn plugin() -> Vec<u8> {
    std::fs::read(artifacts::plugin().unwrap()).unwrap()
}

fn seed(name: &str) -> Vec<u8> {
    std::fs::read(artifacts::repository().join("filter/fuzz/seeds/journey").join(name)).unwrap()
}

#[test]
fn seeds_and_thousands_of_their_like_end_alike() {
    let mut search = Search::new(Pair::new(&plugin()).unwrap(), 7);
    let seeds = beginnings(false).unwrap();
    let mut differences = Vec::new();
    for input in seeds {
        differences.extend(search.take(input).unwrap());
    }
    let missing: Vec<_> = REACHED.iter().filter(|reason| !search.endings.contains_key(**reason)).collect();
    assert!(missing.is_empty(), "no seed reaches {missing:?}, but {:?}", search.endings);
    for _ in 0..CHANGED {
        differences.extend(search.step().unwrap());
    }
    assert!(differences.is_empty(), "{}: {differences:#?}", differences.len());
    assert!(search.kept() > 100, "the search keeps {} inputs", search.kept());
}

/// Every reset is whole: what was tried before an input changes nothing of what comes of it.
#[test]
fn an_input_has_one_outcome() {
    let mut pair = Pair::new(&plugin()).unwrap();
    let seeds = beginnings(false).unwrap();
    let told = |outcome: Outcome| (outcome.shows, outcome.endings, outcome.differences);
    let first: Vec<_> = seeds.iter().map(|input| told(pair.examine(input).unwrap())).collect();
    let mut again: Vec<_> = seeds.iter().rev().map(|input| told(pair.examine(input).unwrap())).collect();
    again.reverse();
    assert_eq!(first, again);
}

fn with_less(number: usize) -> String {
    policies::policy(number).replace(r#""requests":3,"unit":"Day""#, r#""requests":2,"unit":"Day""#)
}

/// The third request passes here and not there.
#[test]
fn a_difference_is_told_and_made_small() {
    let mut search = Search::new(Pair::with(&plugin(), with_less).unwrap(), 7);
    let input = seed("twice");
    let difference = search.take(input.clone()).unwrap().expect("two policies make two things of it");
    assert!(difference.input.len() < input.len(), "{}", difference.input.escape_ascii());
    let outcome = Pair::with(&plugin(), with_less).unwrap().examine(&input).unwrap();
    let lines = outcome.differences;
    assert!(lines.iter().any(|line| line.starts_with("< 4 head: Pause")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("> 4 head: Continue")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("< 4 answer 429 rate_limited")), "{lines:#?}");
}

/// The plugin that breaks when it is asked to is the same plugin until it is asked.
#[test]
fn a_plugin_that_dies_is_a_difference_and_the_next_input_finds_another() {
    let mut pair = Pair::new(&std::fs::read(artifacts::faulty().unwrap()).unwrap()).unwrap();
    let good = seed("token");
    assert_eq!(pair.examine(&good).unwrap().differences, [""; 0]);
    let differences = pair.examine(b":path: /open\n?request.headers.x-fault: head").unwrap().differences;
    assert!(differences[1].starts_with("> proxy_on_request_headers: "), "{differences:#?}");
    assert_eq!(pair.examine(&good).unwrap().differences, [""; 0]);
}

#[test]
fn what_lines_stand_for() {
    let wallet = Wallet::default();
    let read = |text: &str| Journey::read(text.as_bytes(), &wallet).events;
    let fields = |fields: &[(&str, &str)]| -> Fields {
        fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    };
    let arrive = |more: &[(&str, &str)], end: bool| {
        let mut head = fields(&[(":method", "GET"), (":scheme", "https"), (":authority", "h")]);
        head.extend(fields(more));
        Event::Arrive { head, properties: Vec::new(), end }
    };
    let finish = || Event::Finish(Fields::new());
    for (text, expected) in [
        ("", vec![finish(), finish()]),
        (":path: /a", vec![arrive(&[(":path", "/a")], true), finish()]),
        (
            ":path: /a\nX-B:  c \nbad\nd: \u{1}",
            vec![arrive(&[(":path", "/a"), ("x-b", "c")], true), finish()],
        ),
        (
            ":path: /a\n+7\n~t: 1\n>x: y",
            vec![
                arrive(&[(":path", "/a")], false),
                Event::Body(7),
                Event::Trailers(fields(&[("t", "1")])),
                Event::Finish(fields(&[("x", "y")])),
            ],
        ),
        (
            ":path: /a\n&\n#5\n<a: b\n<200 {yes}\n-",
            vec![
                arrive(&[(":path", "/a")], true),
                Event::Pass(5),
                Event::Answer {
                    head: fields(&[(":status", "200"), ("a", "b")]),
                    body: b"\0\0\0\0\x02\x08\x01".to_vec(),
                },
                Event::Leave,
                finish(),
            ],
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
    assert_eq!(Journey::read(b"@6\n", &wallet).policy, 6);
}

#[test]
fn credentials_stand_where_they_are_named() {
    let wallet = Wallet::default();
    let filled = |line: &str| String::from_utf8(wallet.fill(line.as_bytes(), SIGNED).line).unwrap();
    assert_eq!(filled("a {key} b"), "a pk_0123456789abcdef0123 b");
    assert_eq!(filled("{key^0} {nobody} {key"), "qk_0123456789abcdef0123 {nobody} {key");
    let signed = wallet.fill(b"x [[{}]] [[{}]]", 1);
    let minted = &signed.minted[0];
    assert_eq!((signed.minted.len(), minted.claims.as_slice()), (1, b"{}".as_slice()));
    assert_eq!(signed.line, format!("x {} [[{{}}]]", minted.token).into_bytes());
    let known: BTreeSet<&str> = wallet.names().collect();
    assert!(CREDENTIALS.iter().all(|name| known.contains(name)), "{known:?}");
}
