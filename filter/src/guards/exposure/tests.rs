use super::{Exposure, FOR_ALL, Kept, Level, read};
use crate::decision::Reason;
use crate::document::Field;
use crate::json::Json;
use crate::problem::Problems;
use crate::testing::test;

fn exposure(text: &str) -> Result<Exposure, Vec<String>> {
    let json: Json = serde_json::from_str(text).unwrap();
    let problems = Problems::new();
    let exposure = read(&Field::at("exposure", &json, &problems));
    match exposure {
        Some(exposure) if !problems.is_fatal() => Ok(exposure),
        _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
    }
}

const OPEN: Kept = Kept { takes_anybody: true, by_certificate: false, by_address: false };
const KNOWN: Kept = Kept { takes_anybody: false, ..OPEN };

#[test]
fn what_is_not_for_everybody_is_kept_from_somebody() {
    for (text, kept, good) in [
        (r#""Public""#, OPEN, true),
        (r#""Partner""#, OPEN, false),
        (r#""Partner""#, KNOWN, true),
        (r#"{"to": "Partner", "because": "x"}"#, OPEN, true),
        (r#""Admin""#, KNOWN, false),
        (r#""Internal""#, KNOWN, false),
        (r#""Internal""#, Kept { by_certificate: true, ..KNOWN }, true),
        (r#""Admin""#, Kept { by_address: true, ..KNOWN }, true),
        (r#"{"to": "Admin", "clientCIDRs": ["10.0.0.0/8"]}"#, OPEN, true),
        (r#"{"to": "Admin", "because": "another network"}"#, OPEN, true),
    ] {
        assert_eq!(exposure(text).unwrap().fault(kept).is_none(), good, "{text} {kept:?}");
    }
}

#[test]
fn its_word_is_that_of_the_policy() {
    for (word, level) in Level::WORDS {
        assert_eq!(level.word(), word);
        assert_eq!(exposure(&format!("{word:?}")).unwrap().level(), Some(word));
    }
    assert_eq!(Exposure::default().level(), None);
}

#[test]
fn a_network_of_all_addresses_is_told_of() {
    for (text, told) in [
        (r#"{"to": "Admin", "clientCIDRs": ["0.0.0.0/0"]}"#, true),
        (r#"{"to": "Internal", "clientCIDRs": ["10.0.0.0/8", "::/0"]}"#, true),
        (r#"{"to": "Internal", "clientCIDRs": ["10.0.0.0/8", "fd00::/8"]}"#, false),
        (r#"{"to": "Public", "clientCIDRs": ["0.0.0.0/0"]}"#, false),
        (r#"{"to": "Partner", "clientCIDRs": ["0.0.0.0/0"]}"#, false),
    ] {
        let json: Json = serde_json::from_str(text).unwrap();
        let problems = Problems::new();
        assert!(read(&Field::at("exposure", &json, &problems)).is_some() && !problems.is_fatal());
        let warned = problems.into_vec();
        assert_eq!(warned.iter().any(|problem| problem.message == FOR_ALL), told, "{text}: {warned:?}");
    }
}

#[test]
fn from_elsewhere_it_is_not_there() {
    let admin = exposure(r#"{"to": "Admin", "clientCIDRs": ["10.0.0.0/8", "2001:db8::/32"]}"#).unwrap();
    for (address, inside) in [
        (Some("10.1.2.3"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("2001:db8::1"), true),
        (Some("11.0.0.1"), false),
        (None, false),
    ] {
        let refused = admin.check(address.map(|address| address.parse().unwrap())).err();
        assert_eq!(
            refused.map(|refusal| refusal.reason),
            (!inside).then_some(Reason::NotExposed),
            "{address:?}"
        );
    }
    // Word for word what is said of a path that no route has.
    assert_eq!(Reason::NotExposed.public().row().code, Reason::NoRoute.code());
    let words = |reason: Reason| (reason.status(), reason.grpc_status(), reason.row().sentence);
    assert_eq!(words(Reason::NotExposed), words(Reason::NoRoute));
    assert!(exposure(r#""Public""#).unwrap().check(None).is_ok());
}

#[test]
fn what_no_policy_may_say() {
    for (text, problem) in [
        (r#""admin""#, "did you mean `Admin`?"),
        ("{}", "`to` is missing"),
        (r#"{"to": "Admin", "clientCIDRs": []}"#, "an empty list"),
        (r#"{"to": "Admin", "clientCIDRs": ["10.0.0.1"]}"#, "is not a network"),
        (r#"{"to": "Admin", "clientCIDR": ["10.0.0.0/8"]}"#, "did you mean `clientCIDRs`?"),
        (r#"{"to": "Admin", "because": ""}"#, "an empty string"),
    ] {
        let problems = exposure(text).unwrap_err();
        assert!(problems.iter().any(|told| told.contains(problem)), "{text}: {problems:?}");
    }
}
