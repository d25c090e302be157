use super::origin::OriginFault;
use super::{Origin, Rules, preflight, read};
use crate::decision::Detail;
use crate::document::Field;
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::Json;
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;

fn head(method: &str, fields: &[(&str, &str)]) -> Head {
    let pseudo = [(":method", method), (":authority", "api.example.com"), (":path", "/a")];
    let all = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Head::parse(serialize(all)).unwrap()
}

fn rules(text: &str) -> Result<Option<Rules>, Vec<String>> {
    let json: Json = serde_json::from_str(text).unwrap();
    let problems = Problems::new();
    let rules = read(&Field::at("cors", &json, &problems));
    match rules {
        Some(rules) if !problems.is_fatal() => Ok(rules),
        _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
    }
}

fn good(text: &str) -> Rules {
    rules(text).unwrap().unwrap()
}

#[test]
fn origins_in_rows() {
    use OriginFault::{DefaultPort, Form, Star};
    for (text, fault) in [
        ("*", None),
        ("null", None),
        ("https://app.example.com", None),
        ("http://localhost:8080", None),
        ("https://[::1]:8443", None),
        ("https://*.example.com", None),
        ("capacitor://localhost", None),
        ("chrome-extension://abcdef", None),
        ("web+a2.b://localhost", None),
        ("9p://localhost", Some(Form)),
        ("app.example.com", Some(Form)),
        ("https://", Some(Form)),
        ("https://app.example.com/", Some(Form)),
        ("https://App.example.com", Some(Form)),
        ("HTTPS://app.example.com", Some(Form)),
        ("https://app.example.com.", Some(Form)),
        ("https://user@app.example.com", Some(Form)),
        ("https://app.example.com:", Some(Form)),
        ("https://a,https://b", Some(Form)),
        ("https://*.[::1]", Some(Form)),
        ("https://app.example.com:443", Some(DefaultPort)),
        ("http://*.example.com:80", Some(DefaultPort)),
        ("https://*", Some(Star)),
        ("https://a.*.com", Some(Star)),
        ("https://*example.com", Some(Star)),
        ("https://*.*.com", Some(Star)),
    ] {
        assert_eq!(Origin::parse(text).err(), fault, "{text}");
    }
}

#[test]
fn which_origin_is_which() {
    for (named, sent, is) in [
        ("https://app.example.com", "https://app.example.com", true),
        ("https://app.example.com", "http://app.example.com", false),
        ("https://app.example.com", "https://app.example.com:8443", false),
        ("https://app.example.com", "https://app.example.com.evil.example", false),
        ("https://app.example.com", "https://APP.example.com", false),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://.example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:8443", false),
        ("https://*.example.com", "https://evil.com/.example.com", false),
        ("https://*.example.com", "https://evil.com#.example.com", false),
        ("https://*.example.com", "https://evil.com:1.example.com", false),
        ("https://*.example.com", "https://evil.com,https://a.example.com", false),
        ("https://*.example.com", "https://a@b.example.com", false),
        ("https://*.example.com:8443", "https://a.example.com:8443", true),
        ("https://*.example.com:8443", "https://a.example.com", false),
        ("null", "null", true),
        ("https://*.example.com", "null", false),
        ("*", "https://anything.example", true),
        ("*", "null", true),
    ] {
        assert_eq!(Origin::parse(named).unwrap().is(sent), is, "{named}: {sent}");
    }
}

#[test]
fn what_is_a_preflight() {
    let asks = ("access-control-request-method", "PUT");
    let page = ("origin", "https://app.example.com");
    for (method, fields, is) in [
        ("OPTIONS", vec![page, asks], true),
        ("GET", vec![page, asks], false),
        ("options", vec![page, asks], false),
        ("OPTIONS", vec![page], false),
        ("OPTIONS", vec![asks], false),
        ("OPTIONS", vec![page, asks, asks], false),
        ("OPTIONS", vec![page, ("access-control-request-method", "PUT,GET")], false),
        ("OPTIONS", vec![page, ("access-control-request-method", "")], false),
        (
            "OPTIONS",
            vec![page, ("access-control-request-method", "A-METHOD-THAT-IS-TOO-LONG-TO-BE-ONE-OF-ANYBODY")],
            false,
        ),
    ] {
        assert_eq!(preflight(&head(method, &fields)).is_some(), is, "{method} {fields:?}");
    }
}

#[test]
fn a_preflight_tells_the_method_that_will_come() {
    let head = head("OPTIONS", &[("origin", "https://a.example"), ("access-control-request-method", "PUT")]);
    assert_eq!(preflight(&head).unwrap().method(), b"PUT");
}

#[test]
fn as_long_as_may_be_and_a_byte_more() {
    let anybody = good(r#"{"allowOrigins": ["*"], "allowHeaders": ["X-Request-Source"]}"#);
    let asks = ("access-control-request-method", "GET");
    let origin = "x".repeat(limits::ORIGIN_BYTES);
    assert!(asked(&anybody, &[("origin", &origin), asks]).is_ok());
    assert!(asked(&anybody, &[("origin", &format!("{origin}x")), asks]).is_err());
    let headers = format!("{:1$}", "x-request-source", limits::CORS_HEADERS_BYTES);
    let named = |headers: &str| {
        let fields = [("origin", "https://a.example"), asks, ("access-control-request-headers", headers)];
        asked(&anybody, &fields).is_ok()
    };
    assert!(named(&headers));
    assert!(!named(&format!("{headers} ")));
}

const SHOP: &str = r#"{"allowOrigins": ["https://app.example.com", "https://*.shop.example"], "allowMethods": ["PUT"], "allowHeaders": ["X-Request-Source", "authorization"],
    "exposeHeaders": ["x-total"], "maxAge": "10m", "allowCredentials": true}"#;

fn asked(rules: &Rules, fields: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, Detail> {
    let head = head("OPTIONS", fields);
    let takes = |method: &[u8]| method != b"DELETE";
    rules
        .answer(&preflight(&head).unwrap(), takes)
        .map(|answered| answered.headers)
        .map_err(|refusal| refusal.detail)
}

#[test]
fn a_preflight_that_may_is_told_all_of_it() {
    let answer = asked(
        &good(SHOP),
        &[
            ("origin", "https://eu.shop.example"),
            ("access-control-request-method", "PUT"),
            ("access-control-request-headers", "x-request-source,AUTHORIZATION, "),
        ],
    );
    let expected = [
        ("access-control-allow-origin", "https://eu.shop.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-allow-headers", "x-request-source, authorization"),
        ("access-control-max-age", "600"),
        ("vary", "Origin"),
    ];
    assert_eq!(answer.unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
    let anybody = good(r#"{"allowOrigins": ["*"], "allowMethods": ["*"], "allowHeaders": ["*"]}"#);
    let answer = asked(
        &anybody,
        &[
            ("origin", "null"),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "x-a"),
        ],
    );
    let expected = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "*"),
        ("access-control-allow-headers", "*"),
    ];
    assert_eq!(answer.unwrap(), expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn a_preflight_that_may_not_is_told_nothing() {
    let page = ("origin", "https://app.example.com");
    let asks = |method| ("access-control-request-method", method);
    let long = format!("https://{}.shop.example", "a.".repeat(200));
    let many = "x-request-source,".repeat(300);
    for (fields, fact) in [
        (vec![("origin", "https://evil.example"), asks("PUT")], "an origin that is not allowed"),
        (vec![("origin", "null"), asks("PUT")], "an origin that is not allowed"),
        (vec![("origin", ""), asks("PUT")], "an origin that is not allowed"),
        (vec![page, page, asks("PUT")], "more than one origin"),
        (vec![("origin", &*long), asks("PUT")], "an origin that is too long"),
        (
            vec![("origin", "https://app.example.com,https://evil.example"), asks("PUT")],
            "an origin that is not allowed",
        ),
        (vec![page, asks("PATCH")], "a method that is not allowed"),
        (vec![page, asks("put")], "a method that is not allowed"),
        (vec![page, asks("DELETE")], "a method that is not allowed"),
        (
            vec![page, asks("PUT"), ("access-control-request-headers", "x-other")],
            "a header that is not allowed",
        ),
        (
            vec![
                page,
                asks("PUT"),
                ("access-control-request-headers", "x-request-source"),
                ("access-control-request-headers", "x-other"),
            ],
            "a header that is not allowed",
        ),
        (vec![page, asks("PUT"), ("access-control-request-headers", &*many)], "more headers than are read"),
        (vec![page, asks("PUT"), ("access-control-request-private-network", "true")], "a private network"),
    ] {
        assert_eq!(asked(&good(SHOP), &fields).unwrap_err(), Detail::Fact(fact), "{fields:?}");
    }
    let anybody = good(r#"{"allowOrigins": ["*"], "allowHeaders": ["*"]}"#);
    let bearer = [page, asks("GET"), ("access-control-request-headers", "authorization")];
    assert_eq!(asked(&anybody, &bearer).unwrap_err(), Detail::Fact("a header that is not allowed"));
}

#[test]
fn who_may_read_a_response() {
    let shop = good(SHOP);
    for (fields, reader) in [
        (vec![], None),
        (vec![("origin", "https://app.example.com")], Some("https://app.example.com")),
        (vec![("origin", "https://evil.example")], None),
        (vec![("origin", "https://app.example.com"), ("origin", "https://app.example.com")], None),
    ] {
        assert_eq!(shop.reader(&head("GET", &fields)).as_deref(), reader, "{fields:?}");
    }
    let told = shop.readable("https://app.example.com");
    assert_eq!(told.last().unwrap(), &("access-control-expose-headers", "x-total".to_owned()));
    assert!(shop.varies() && !good(r#"{"allowOrigins": ["*"]}"#).varies());
}

#[test]
fn what_no_policy_may_say() {
    for (text, problem) in [
        ("{}", "cors: `allowOrigins` is missing"),
        (r#"{"allowOrigins": []}"#, "an empty list"),
        (r#"{"allowOrigins": ["*"], "allowCredentials": true}"#, "the origin `*`, which is anybody"),
        (r#"{"allowOrigins": ["null"], "allowCredentials": true}"#, "the origin `null`, which is anybody"),
        (
            r#"{"allowOrigins": ["https://a.example"], "allowHeaders": ["*"], "allowCredentials": true}"#,
            "browsers then take for a name",
        ),
        (r#"{"allowOrigins": ["*", "https://a.example"]}"#, "`*` beside other origins"),
        (r#"{"allowOrigins": ["https://a.example", "https://a.example"]}"#, "stands twice"),
        (r#"{"allowOrigins": ["https://A.example/"]}"#, "did you mean `https://a.example`?"),
        (r#"{"allowOrigins": ["APP.example"]}"#, "a scheme and a host as browsers write them"),
        (r#"{"allowOrigins": ["https://a.example"], "allowMethods": ["PUT", "PUT"]}"#, "`PUT` stands twice"),
        (r#"{"allowOrigins": ["https://a.example:443"]}"#, "browsers leave the scheme's own port out"),
        (r#"{"allowOrigins": ["https://a.example"], "allowMethods": ["put"]}"#, "is not a method"),
        (
            r#"{"allowOrigins": ["https://a.example"], "allowMethods": ["*", "PUT"]}"#,
            "`*` beside other names",
        ),
        (r#"{"allowOrigins": ["https://a.example"], "exposeHeaders": ["x a"]}"#, "is not a header name"),
        (r#"{"allowOrigins": ["https://a.example"], "maxAge": "25h"}"#, "expected"),
        (r#"{"allowOrigins": ["https://a.example"], "allowOrigin": "x"}"#, "did you mean `allowOrigins`?"),
    ] {
        let problems = rules(text).unwrap_err();
        assert!(problems.iter().any(|told| told.contains(problem)), "{text}: {problems:?}");
    }
    assert!(rules(r#""Off""#).unwrap().is_none() && rules("false").unwrap().is_none());
}
