use super::{Rules, read};
use crate::decision::Reason;
use crate::document::Field;
use crate::http::{Head, head::serialize};
use crate::json::{Bounds, Duplicates, Json};
use crate::problem::Problems;
use crate::testing::test;

fn head(fields: &[(&str, &[u8])]) -> Head {
    let pseudo: [(&str, &[u8]); 3] = [(":method", b"POST"), (":authority", b"h"), (":path", b"/")];
    let all: Vec<_> = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), *value)).collect();
    Head::parse(serialize(all.into_iter())).unwrap()
}

#[test]
fn heads_that_speak_of_a_body() {
    let rules = Rules { max_bytes: 10, content_types: vec!["application/json".into()] };
    let json: (&str, &[u8]) = ("content-type", b"Application/JSON ; charset=utf-8");
    for (fields, has_body, expected) in [
        (vec![], false, Ok(())),
        (vec![("content-length", b"0" as &[u8])], true, Ok(())),
        (vec![json], true, Ok(())),
        (vec![json, ("content-length", b"10")], true, Ok(())),
        (vec![json, ("content-length", b"11")], true, Err(Reason::BodyTooLarge)),
        (vec![json, ("content-length", b"99999999999999999999999")], true, Err(Reason::BodyTooLarge)),
        (vec![json, ("content-length", b"+1")], true, Err(Reason::MalformedRequest)),
        (vec![json, ("content-length", b"")], true, Err(Reason::MalformedRequest)),
        (vec![json, ("content-length", b"1"), ("content-length", b"1")], true, Err(Reason::MalformedRequest)),
        (vec![], true, Err(Reason::MediaTypeUnsupported)),
        (vec![json, json], true, Err(Reason::MediaTypeUnsupported)),
        (
            vec![("content-type", b"application/json;charset=utf-8,text/xml")],
            true,
            Err(Reason::MediaTypeUnsupported),
        ),
        (vec![("content-type", b"application/json;a=\"b,c\"")], true, Ok(())),
        (vec![("content-type", b"application/jsonx")], true, Err(Reason::MediaTypeUnsupported)),
        (vec![("content-type", b"\xff")], true, Err(Reason::MediaTypeUnsupported)),
    ] {
        let opened = rules.open(&head(&fields), has_body).map(|_| ()).map_err(|refusal| refusal.reason);
        assert_eq!(opened, expected, "{fields:?}");
    }
}

#[test]
fn a_body_is_counted() {
    let mut meter = Rules { max_bytes: 10, content_types: vec![] }.open(&head(&[]), true).unwrap();
    assert!(meter.take(10).is_ok());
    assert!(meter.take(0).is_ok());
    assert_eq!(meter.take(1).unwrap_err().reason, Reason::BodyTooLarge);
    assert!(meter.take(usize::MAX).is_err());
}

/// What is written, and the rules or the problem that it makes.
#[test]
fn policies() {
    let read = |text: &str| {
        let bounds = Bounds { depth: 4, values: 10, duplicates: Duplicates::Keep };
        let (document, problems) = (Json::parse(text.as_bytes(), bounds).unwrap(), Problems::new());
        let rules = read(&Field::root(&document, &problems));
        let told: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        rules
            .filter(|_| told.is_empty())
            .map(|rules| (rules.max_bytes, rules.content_types))
            .ok_or(told.join("\n"))
    };
    assert_eq!(read("{}"), Ok((1 << 20, vec![])));
    assert_eq!(read(r#"{"maxBytes":"1024Gi"}"#), Ok((1 << 40, vec![])));
    let of = |media_type: &str| read(&format!(r#"{{"contentTypes":["{media_type}"]}}"#));
    for (media_type, known) in [
        ("application/json", "application/json"),
        ("Application/VND.Example+JSON", "application/vnd.example+json"),
        ("a/b", "a/b"),
    ] {
        assert_eq!(of(media_type), Ok((1 << 20, vec![known.to_owned()])));
    }
    for media_type in
        ["json", "/json", "application/", "/", "a/b/c", "a b/c", "text/*", "*/json", "text/html;q=1"]
    {
        let told = of(media_type).unwrap_err();
        assert!(told.starts_with(&format!("contentTypes: `{media_type}` is not a media type")), "{told}");
    }
    for (text, problem) in [
        (r#"{"maxBytes":"1025Gi"}"#, "maxBytes: "),
        (r#"{"maxBytes":-1}"#, "maxBytes: "),
        (r#"{"contentTypes":[]}"#, "contentTypes: an empty list"),
        (r#"{"contentType":["a/b"]}"#, "unknown field `contentType`"),
    ] {
        let told = read(text).unwrap_err();
        assert!(told.starts_with(problem), "{text}: {told}");
    }
}
