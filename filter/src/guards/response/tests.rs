use super::{Leaves, Rules, read};
use crate::document::Field;
use crate::json::Json;
use crate::problem::Problems;
use crate::testing::test;

fn rules(text: &str) -> Result<Rules, Vec<String>> {
    let json: Json = serde_json::from_str(text).unwrap();
    let problems = Problems::new();
    let rules = read(&Field::at("response", &json, &problems));
    match rules {
        Some(rules) if !problems.is_fatal() => Ok(rules),
        _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
    }
}

fn added(rules: &Rules, authenticated: bool, over_tls: bool) -> Vec<(&'static str, String)> {
    rules.added(Leaves { authenticated, over_tls }).map(|(name, value)| (name, value.to_owned())).collect()
}

#[test]
fn without_the_section_nothing_is_done() {
    assert!(Rules::default().is_empty() && !rules("{}").unwrap().is_empty());
}

#[test]
fn whoever_has_one_thing_to_do_is_not_idle() {
    let off = r#""contentTypeOptions": "Off", "frameOptions": "Off", "referrerPolicy": false"#;
    for more in [
        r#""strictTransportSecurity": {}"#,
        r#""cacheControl": "NoStore""#,
        r#""replaceErrorBodies": true"#,
        r#""removeHeaders": ["server"]"#,
    ] {
        assert!(!rules(&format!("{{{off}, {more}}}")).unwrap().is_empty(), "{more}");
    }
    let removing = rules(&format!(r#"{{{off}, "removeHeaders": ["x-powered-by", "server"]}}"#)).unwrap();
    assert_eq!(removing.removed().iter().map(|name| &**name).collect::<Vec<_>>(), ["x-powered-by", "server"]);
    // As lists of browsers take it.
    let year = r#"{"preload": true, "includeSubDomains": true, "maxAge": "365d"}"#;
    assert!(rules(&format!(r#"{{{off}, "strictTransportSecurity": {year}}}"#)).is_ok());
    let transport = |text: &str| {
        rules(&format!(r#"{{{off}, "strictTransportSecurity": {text}}}"#)).unwrap().asks_for_tls()
    };
    assert!(transport("{}") && !transport(r#"{"overPlaintext": {"because": "TLS ends before"}}"#));
    assert!(!removing.asks_for_tls());
}

#[test]
fn what_is_added() {
    let all =
        |pairs: &[(&'static str, &str)]| pairs.iter().map(|(n, v)| (*n, (*v).to_owned())).collect::<Vec<_>>();
    let usual = [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
    ];
    assert_eq!(added(&rules("{}").unwrap(), true, true), all(&usual));
    let off = r#"{"contentTypeOptions": "Off", "frameOptions": "Off", "referrerPolicy": false"#;
    for (more, authenticated, over_tls, expected) in [
        ("", true, true, vec![]),
        (r#", "cacheControl": "NoStore""#, true, false, vec![("cache-control", "no-store")]),
        (r#", "cacheControl": "NoStore""#, false, false, vec![]),
        (
            r#", "strictTransportSecurity": {}"#,
            false,
            true,
            vec![("strict-transport-security", "max-age=31536000")],
        ),
        (r#", "strictTransportSecurity": {}"#, false, false, vec![]),
        (
            r#", "strictTransportSecurity": {"maxAge": "400d", "includeSubDomains": true, "preload": true, "overPlaintext": {"because": "TLS ends before"}}"#,
            false,
            false,
            vec![("strict-transport-security", "max-age=34560000; includeSubDomains; preload")],
        ),
    ] {
        assert_eq!(
            added(&rules(&format!("{off}{more}}}")).unwrap(), authenticated, over_tls),
            all(&expected),
            "{more}"
        );
    }
}

#[test]
fn which_bodies_are_replaced() {
    let on = rules(r#"{"replaceErrorBodies": true}"#).unwrap();
    for (status, media_type, replaced) in [
        (500, "text/html", true),
        (503, "", true),
        (599, "application/json", true),
        (499, "text/html", false),
        (200, "text/html", false),
        (600, "text/html", false),
        (500, "application/grpc", false),
        (500, "Application/gRPC+proto", false),
        (500, "text/event-stream; charset=utf-8", false),
    ] {
        assert_eq!(on.replaces(status, media_type.as_bytes()), replaced, "{status} {media_type}");
        assert!(!rules("{}").unwrap().replaces(status, media_type.as_bytes()));
    }
    assert!(on.replaces_errors() && !rules("{}").unwrap().replaces_errors());
}

#[test]
fn what_no_policy_may_say() {
    for (text, problem) in [
        (r#"{"removeHeaders": ["content-length"]}"#, "cannot be taken off"),
        (r#"{"removeHeaders": ["WWW-Authenticate"]}"#, "cannot be taken off"),
        (r#"{"removeHeaders": []}"#, "an empty list"),
        (r#"{"frameOptions": "deny"}"#, "did you mean `Deny`?"),
        (r#"{"referrerPolicy": "none"}"#, "unknown value"),
        (r#"{"strictTransportSecurity": {"preload": true}}"#, "`preload` without"),
        (
            r#"{"strictTransportSecurity": {"preload": true, "includeSubDomains": true, "maxAge": "364d"}}"#,
            "`preload` without",
        ),
        (r#"{"strictTransportSecurity": {"overPlaintext": true}}"#, "expected a map"),
        (r#"{"strictTransportSecurity": {"overPlaintext": {}}}"#, "`because` is missing"),
        (r#"{"strictTransportSecurity": {"maxAge": "731d"}}"#, "expected"),
        (r#"{"replaceErrorBody": true}"#, "did you mean `replaceErrorBodies`?"),
    ] {
        let problems = rules(text).unwrap_err();
        assert!(problems.iter().any(|told| told.contains(problem)), "{text}: {problems:?}");
    }
}
