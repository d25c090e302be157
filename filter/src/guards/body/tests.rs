use super::Rules;
use crate::decision::Reason;
use crate::http::{Head, head::serialize};
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
