use super::{Limits, RequiredHeader, examine};
use crate::decision::{Advice, Reason};
use crate::document::Field;
use crate::http::{Head, head::serialize, passes_for};
use crate::json::Json;
use crate::problem::Problems;
use crate::testing::test;

fn head(method: &str, target: &str, fields: &[(&str, &[u8])]) -> Head {
    let pseudo: [(&str, &[u8]); 3] =
        [(":method", method.as_bytes()), (":authority", b"api.example.com"), (":path", target.as_bytes())];
    let all: Vec<_> = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), *value)).collect();
    Head::parse(serialize(all.into_iter())).unwrap()
}

fn check(limits: &Limits, head: &Head) -> Result<(), Reason> {
    limits.check(head, &examine(head).map_err(|r| r.reason)?).map_err(|refusal| refusal.reason)
}

#[test]
fn limits_in_rows() {
    let source = RequiredHeader {
        name: "x-source".into(),
        pattern: Some(regex_lite::Regex::new("^(?:web|app)$").unwrap()),
    };
    let limits = Limits {
        path_bytes: 8,
        query_bytes: 4,
        headers: 3,
        header_bytes: 120,
        required: vec![source],
        forbidden: vec!["x-internal".into()],
        ..Limits::default()
    };
    let web: (&str, &[u8]) = ("x-source", b"web");
    let long = [b'a'; 100];
    for (method, target, fields, expected) in [
        ("GET", "/2345678?123", vec![web], Ok(())),
        ("get", "/", vec![web], Err(Reason::MethodNotAllowed)),
        ("TRACE", "/", vec![web], Err(Reason::MethodNotAllowed)),
        ("G ET", "/", vec![web], Err(Reason::MalformedRequest)),
        ("", "/", vec![web], Err(Reason::MalformedRequest)),
        ("GET", "/23456789", vec![web], Err(Reason::UriTooLong)),
        ("GET", "/?12345", vec![web], Err(Reason::UriTooLong)),
        ("GET", "/", vec![web, ("a", b""), ("b", b""), ("c", b"")], Err(Reason::HeadersTooLarge)),
        ("GET", "/", vec![web, ("a", &long)], Err(Reason::HeadersTooLarge)),
        ("GET", "/", vec![], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![("x-source", b"webx")], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![("x-source", b"web\xff")], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![web, web], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![web, ("x_source", b"evil")], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![("x_source", b"web")], Err(Reason::HeaderMissing)),
        ("GET", "/", vec![web, ("x-internal", b"")], Err(Reason::HeaderForbidden)),
        ("GET", "/", vec![web, ("x_internal", b"1")], Err(Reason::HeaderForbidden)),
        ("GET", "/a//b", vec![web], Err(Reason::PathAmbiguous)),
        ("GET", "*", vec![web], Err(Reason::PathInvalid)),
    ] {
        assert_eq!(check(&limits, &head(method, target, &fields)), expected, "{method} {target} {fields:?}");
    }
}

#[test]
fn what_is_well_formed_has_its_one_reading() {
    let head = head("GET", "/a%2Db?c=d", &[]);
    let read = examine(&head).unwrap();
    assert_eq!((read.method(), read.host()), (&b"GET"[..], "api.example.com"));
    assert_eq!((read.path().as_str(), read.path().query()), ("/a-b", Some(&b"c=d"[..])));
}

#[test]
fn what_is_too_long_to_be_looked_at() {
    for (target, expected) in [
        (format!("/?{}", "a".repeat(60_000)), None),
        (format!("/?{}", "a".repeat(70_000)), Some(Reason::UriTooLong)),
    ] {
        let refused = examine(&head("GET", &target, &[])).err().map(|refusal| refusal.reason);
        assert_eq!(refused, expected, "{}", target.len());
    }
}

#[test]
fn a_refused_method_is_told_the_others() {
    let limits = Limits { methods: vec!["GET".into()], allow: "GET".into(), ..Limits::default() };
    let head = head("POST", "/", &[]);
    let refusal = limits.check(&head, &examine(&head).unwrap()).unwrap_err();
    assert_eq!(refusal.advice, Advice::Allow("GET".into()));
}

#[test]
fn spellings_that_pass_for_ours() {
    for (sent, passes) in [
        ("x-user", true),
        ("x_user", true),
        ("X-User", true),
        ("x-users", false),
        ("x-use", false),
        ("x.user", true),
        ("x~user", true),
        ("xauser", false),
        ("", false),
    ] {
        assert_eq!(passes_for(sent.as_bytes(), "x-user"), passes, "{sent}");
    }
}

#[test]
fn what_a_user_may_not_write() {
    for (document, problem) in [
        (
            r#"{"methods":[]}"#,
            "request.methods: an empty list · help: write at least one element or leave the key out",
        ),
        (
            r#"{"methods":["get"]}"#,
            "request.methods: `get` is not a method · help: methods are written in upper case: `GET`",
        ),
        (
            r#"{"methods":["CONNECT"]}"#,
            "request.methods: `CONNECT` cannot be allowed · help: CONNECT has no path to judge; TRACE sends headers back to the client (RFC 9110 §9.3.8)",
        ),
        (
            r#"{"methods":["TRACE"]}"#,
            "request.methods: `TRACE` cannot be allowed · help: CONNECT has no path to judge; TRACE sends headers back to the client (RFC 9110 §9.3.8)",
        ),
        (r#"{"maxHeaders":0}"#, "request.maxHeaders: expected a whole number from 1 to 512"),
        (r#"{"maxHeaders":5.5}"#, "request.maxHeaders: expected a whole number from 1 to 512"),
        (
            r#"{"maxPathBytes":4096}"#,
            "request.maxPathBytes: expected a size such as `64Ki` or `1Mi`, found a number · help: write it as a string with its unit",
        ),
        (r#"{"maxPathBytes":"1Gi"}"#, "request.maxPathBytes: expected 1B to 8192B"),
        (r#"{"maxPath":"1Ki"}"#, "request: unknown field `maxPath` · help: did you mean `maxPathBytes`?"),
        (
            r#"{"requiredHeaders":[{"name":"a","pattern":"a)|(b"}]}"#,
            "request.requiredHeaders[0].pattern: not a regular expression: found closing ')' without matching '('",
        ),
        (
            r#"{"requiredHeaders":[{"name":"a b"}]}"#,
            "request.requiredHeaders[0].name: `a b` is not a header name · help: letters, digits and dashes",
        ),
        (r#"{"forbiddenHeaders":["X-A","x-a"]}"#, "request.forbiddenHeaders[1]: `x-a` stands twice"),
        (
            r#"{"forbiddenHeaders":["a"],"requiredHeaders":[{"name":"A"}]}"#,
            "request: `a` is required and forbidden · help: keep one of the two",
        ),
        (
            r#"{"body":{"maxBytes":"-1B"}}"#,
            "request.body.maxBytes: expected a size such as `64Ki` or `1Mi`, found `-1B`",
        ),
        (
            r#"{"body":{"contentTypes":["json"]}}"#,
            "request.body.contentTypes: `json` is not a media type · help: write `application/json`, without parameters",
        ),
    ] {
        let json: Json = serde_json::from_str(document).unwrap();
        let problems = Problems::new();
        super::read(&Field::at("request", &json, &problems));
        let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(found, [problem], "{document}");
    }
}

#[test]
fn no_header_is_taken_off_behind_us() {
    let value = |name: &'static str, value: &'static str| (name, value.as_bytes());
    for (fields, good) in [
        (vec![value("connection", "close")], true),
        (vec![value("connection", "Keep-Alive, TE"), value("te", "trailers")], true),
        (vec![value("connection", "upgrade"), value("upgrade", "websocket")], true),
        (vec![value("connection", "")], true),
        (vec![value("connection", "x-user")], false),
        (vec![value("connection", "close, x-portcullis-assertion")], false),
        (vec![value("connection", "close"), value("connection", "X-User")], false),
        (vec![value("connection", "authorization")], false),
        (vec![value("connection", "upgrade, http2-settings"), value("upgrade", "h2c")], false),
        (vec![value("connection", "upgrade"), value("upgrade", "websocket, H2C")], false),
        (vec![value("upgrade", "h2c")], false),
    ] {
        let refused = examine(&head("GET", "/", &fields)).err().map(|refusal| refusal.reason);
        assert_eq!(refused, (!good).then_some(Reason::HeaderForbidden), "{fields:?}");
    }
}
