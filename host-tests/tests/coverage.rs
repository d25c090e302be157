//! Does the corpus show every reason for which a request can be refused, and every key that a policy can have?

use std::collections::BTreeSet;

use host_tests::artifacts;
use host_tests::corpus::{Case, Runner};
use host_tests::native::Native;
use host_tests::scenario::{self, Carrier, Expect};
use portcullis_filter::decision::Reason;
use portcullis_filter::document::Shape;
use portcullis_filter::policy::POLICY;
use serde_json::Value;

/// Reasons that no client can bring about through a proxy that works: what the proxy does instead, and the file and the name of the
/// test that reaches the reason another way.
const BEYOND_A_CORPUS: [(Reason, &str, &str, &str); 9] = [
    (
        Reason::TokenInactive,
        "no runner has an introspection service; tests/introspection.rs has, in Envoy",
        "filter/src/guards/identity/introspection/tests.rs",
        "inactive_is_told_and_remembered_shortly",
    ),
    (
        Reason::CertificateInvalid,
        "a scenario's connection is plain; tests/client_certificates.rs shows certificates, to Envoy",
        "filter/src/guards/identity/certificate/tests.rs",
        "when_it_holds_and_for_whom",
    ),
    (
        Reason::CertificateUnaccepted,
        "a scenario's connection is plain; tests/client_certificates.rs shows certificates, to Envoy",
        "filter/src/guards/identity/certificate/tests.rs",
        "whose_certificate_it_is",
    ),
    (
        Reason::MalformedRequest,
        "Envoy answers a request without a method, host or path, or with two lengths, by itself",
        "filter/src/guards/shape/tests.rs",
        "limits_in_rows",
    ),
    (
        Reason::ProofMemoryBusy,
        "a million proofs in a minute, or 64 lost races in a row for one slot",
        "filter/src/guards/identity/confirmation/tests.rs",
        "what_cannot_be_remembered_is_refused",
    ),
    (
        Reason::ConcurrencyLimited,
        "a scenario sends one request after the other; tests/concurrency.rs sends them at once, in Envoy",
        "filter/src/guards/rate_limit/concurrency/tests.rs",
        "so_many_at_once_over_all_workers",
    ),
    (
        Reason::Overloaded,
        "a scenario sends one request after the other to an upstream that is quick; tests/concurrency.rs has a slow one, in Envoy",
        "filter/src/guards/overload/tests.rs",
        "what_matters_less_goes_first",
    ),
    (
        Reason::LimiterBusy,
        "64 lost races in a row for one bucket",
        "filter/src/guards/rate_limit/tests/mod.rs",
        "what_cannot_be_charged_is_refused",
    ),
    (
        Reason::HostFailed,
        "a proxy whose calls fail",
        "filter/src/guards/rate_limit/tests/mod.rs",
        "what_cannot_be_charged_is_refused",
    ),
];

fn cases() -> Vec<Case> {
    let scenarios = scenario::load_all().unwrap();
    scenarios.into_iter().map(|scenario| Case::new(scenario).unwrap()).collect()
}

/// A policy that is refused keeps Envoy from starting with any of them: here the problems are told one by one.
#[test]
fn every_policy_of_the_corpus_loads() {
    for case in cases() {
        let plan = case.plan().unwrap();
        let begun = Native::default().begin(&case, &plan);
        assert!(begun.is_ok(), "{}: {}", case.scenario.name, begun.unwrap_err());
    }
}

#[test]
fn every_reason_is_shown_or_has_another_test() {
    let cases = cases();
    let steps = cases.iter().flat_map(|case| &case.scenario.requests);
    // What a client is told, or, of what is kept from it, what the audit event says.
    let expected = steps.filter_map(|step| step.expect.as_ref());
    let shown: BTreeSet<&str> = expected.flat_map(told).collect();
    for reason in Reason::ALL {
        let beyond = BEYOND_A_CORPUS.iter().find(|(known, ..)| known == reason);
        assert_ne!(shown.contains(reason.code()), beyond.is_some(), "`{}`", reason.code());
    }
    let known = |code: &&str| {
        ["admitted", "answered"].contains(code) || Reason::ALL.iter().any(|reason| reason.code() == *code)
    };
    assert_eq!(shown.iter().find(|code| !known(code)), None);
    for (reason, _, file, test) in BEYOND_A_CORPUS {
        let text = std::fs::read_to_string(artifacts::repository().join(file)).unwrap();
        let body = text.split(&format!("fn {test}(")).nth(1).and_then(|rest| rest.split("\n}\n").next());
        let names_it = body.is_some_and(|body| body.contains(&format!("Reason::{reason:?}")));
        assert!(names_it, "{file} has no test `{test}` that speaks of `{}`", reason.code());
    }
}

#[test]
fn every_key_of_a_policy_is_shown() {
    let mut missing = BTreeSet::new();
    known_keys(&POLICY, &mut missing);
    let keys = missing.len();
    for case in cases() {
        found_keys(&POLICY, &case.policy, &mut missing);
    }
    assert_eq!(missing, BTreeSet::new(), "of {keys} keys");
}

/// The reasons that a step expects.
fn told(expect: &Expect) -> impl Iterator<Item = &str> {
    let kept = expect.audit.get("reason").and_then(Value::as_str);
    expect.code.as_deref().into_iter().chain(kept)
}

/// Every value that the reference lists as a word stands in the corpus too: what is chosen by a word is a branch of its own.
#[test]
fn both_carriers_and_every_word_are_shown() {
    let cases = cases();
    let carriers: Vec<Carrier> = cases.iter().map(|case| case.scenario.carrier).collect();
    assert!([Carrier::String, Carrier::Struct].iter().all(|carrier| carriers.contains(carrier)));
    let text: String = cases.iter().map(|case| case.policy.to_string()).collect();
    let words = [
        "Enforce Shadow Allow Deny Exact PathPrefix Template RegularExpression String StringArray Number Boolean Any All Denied Off",
        "Second Minute Hour Day clientIP subject client route method",
        "NoStore NoSniff SameOrigin",
        "Optional Required RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA HS256 HS384 HS512",
    ];
    let missing: Vec<&str> = words
        .iter()
        .flat_map(|line| line.split(' '))
        .filter(|word| !text.contains(&format!("\"{word}\"")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// `section.key` of every key.
fn known_keys(shape: &'static Shape, keys: &mut BTreeSet<String>) {
    for key in shape.keys {
        keys.insert(format!("{}.{}", shape.name, key.name));
        if let Some(inner) = key.shape {
            known_keys(inner, keys);
        }
    }
}

/// Takes away what stands in `value`, which is a map of this shape or a list of such.
fn found_keys(shape: &'static Shape, value: &Value, missing: &mut BTreeSet<String>) {
    if let Value::Array(elements) = value {
        for element in elements {
            found_keys(shape, element, missing);
        }
    }
    for (key, value) in shape.keys.iter().filter_map(|key| Some((key, value.get(key.name)?))) {
        missing.remove(&format!("{}.{}", shape.name, key.name));
        if let Some(inner) = key.shape {
            found_keys(inner, value, missing);
        }
    }
}
