//! How does an event become a line? JSON, in printable ASCII only.
//!
//! Whatever else a client sent, a terminal, a log shipper and a person see `\u` escapes: no CR, LF, ANSI sequence or bidi override.

use super::event::Event;
use super::fields::Value;
use crate::decimal::Decimal;
use crate::hex;
use crate::time::Rfc3339;

/// The event as one line of JSON.
pub fn line(event: &Event) -> String {
    let mut out = String::with_capacity(1024);
    out.push_str("{\"@timestamp\":\"");
    out.push_str(Rfc3339::from(event.time).as_str());
    out.push('"');
    event.own_fields(&mut |name, value| put_member(name, value, &mut out));
    out.push_str(event.alike().line.get_or_init(|| {
        let mut common = String::new();
        event.common_fields(&mut |name, value| put_member(name, value, &mut common));
        common
    }));
    out.push('}');
    out
}

/// A member that is not the first of its object. Names are ours, and need no escape.
fn put_member(name: &str, value: Value<'_>, out: &mut String) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    match value {
        Value::Text(text) => quoted(text, out),
        Value::Plain(text) => {
            out.push('"');
            out.push_str(text);
            out.push('"');
        }
        Value::Number(number) => out.push_str(Decimal::of(number).as_str()),
        Value::Texts(texts) => {
            out.push('[');
            for (nth, text) in texts.iter().enumerate() {
                if nth > 0 {
                    out.push(',');
                }
                quoted(text, out);
            }
            out.push(']');
        }
    }
}

/// RFC 8259 §7, with everything that is not printable ASCII as `\uXXXX`.
fn quoted(text: &str, out: &mut String) {
    let plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    out.push('"');
    // Nearly all text is plain, and bytes are looked at faster than characters.
    if text.bytes().all(|b| plain(char::from(b))) {
        out.push_str(text);
        out.push('"');
        return;
    }
    // Runs of what may stand as it is, which is nearly always all of it.
    for run in text.split_inclusive(|c| !plain(c)) {
        let kept = run.trim_end_matches(|c| !plain(c));
        out.push_str(kept);
        for c in run.get(kept.len()..).unwrap_or_default().chars() {
            if matches!(c, '"' | '\\') {
                out.extend(['\\', c]);
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str("\\u");
                out.extend(
                    [12, 8, 4, 0]
                        .iter()
                        .filter_map(|shift| hex::DIGITS.get(usize::from(*unit >> shift & 15))),
                );
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::audit::event::{Decision, Event, Request, Subject, What};
    use crate::audit::{Caller, Changes, Origin, Penalty, Rotation};
    use crate::decision::{Detail, Reason};
    use crate::http::TraceParent;
    use crate::redaction::{Rules as Redaction, Shown, request_id};
    use crate::testing::test;
    use crate::time::{SECOND, Timestamp};

    fn event(what: What) -> Event {
        let time = Timestamp::from_seconds(0);
        Event { time, origin: Origin::of_policy(&"shop".into(), "0123456789abcdef").into(), what }
    }

    fn request(target: &str) -> Request {
        let redaction = Redaction::default();
        let (target, host) = (redaction.target(target.as_bytes()), redaction.word(b"h:80"));
        Request {
            shown: Shown { id: None, target, host }.into(),
            trace: None,
            route: Some("orders".into()),
            exposure: None,
            decision: Decision::Refused,
            reason: Some(Reason::TokenExpired),
            detail: Detail::Named("provider", "corp".into()),
            rule: None,
            shadow_rules: vec![],
            caller: None,
            client_address: Some([127, 0, 0, 1].into()),
            method: redaction.method(b"GET"),
            status: Some(401),
            duration: 250_000,
        }
    }

    #[test]
    fn a_request_reads_as_documented() {
        assert_eq!(
            line(&event(What::Request(Box::new(request("/a?b=c?d"))))),
            concat!(
                r#"{"@timestamp":"1970-01-01T00:00:00.000Z","event.action":"request","portcullis.decision":"refused","#,
                r#""event.reason":"token_expired","portcullis.detail":"provider `corp`","http.response.status_code":401,"#,
                r#""http.request.method":"GET","url.domain":"h","url.port":80,"url.path":"/a","url.query":"b=c?d","#,
                r#""portcullis.route":"orders","client.ip":"127.0.0.1","event.duration":250000,"portcullis.policy.name":"shop","#,
                r#""portcullis.policy.digest":"0123456789ab","event.category":["api"],"event.type":["denied"],"#,
                r#""event.outcome":"failure","portcullis.schema":"portcullis.audit/v2","ecs.version":"8.17.0"}"#
            )
        );
        let redaction = Redaction::default();
        let caller = Caller {
            subject: Some(Subject::Plain(redaction.word(b"alice"))),
            client: Some(redaction.word(b"web")),
            api_key: Some("3335e59e".into()),
            ..Caller::default()
        };
        let (target, host) = (redaction.target(b"/"), redaction.word(b"h"));
        let admitted = Request {
            shown: Shown { id: request_id(b"r-1"), target, host }.into(),
            trace: TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            decision: Decision::Shadow,
            reason: None,
            detail: Detail::None,
            rule: Some("readers".into()),
            shadow_rules: vec!["a".into(), "b".into()],
            caller: Some(caller.into()),
            ..request("/")
        };
        let line = line(&event(What::Request(Box::new(admitted))));
        for part in [
            r#""portcullis.decision":"shadow","http.response"#,
            r#""rule.name":"readers","portcullis.shadow_rules":["a","b"],"user.id":"alice","portcullis.client":"web","#,
            r#""portcullis.api_key":"3335e59e","client.ip""#,
            r#""http.request.id":"r-1","trace.id":"4bf92f3577b34da6a3ce929d0e0e4736","span.id":"00f067aa0ba902b7","#,
            r#""event.type":["allowed"],"event.outcome":"success""#,
        ] {
            assert!(line.contains(part), "{part} {line}");
        }
    }

    #[test]
    fn what_is_no_request_reads_as_documented() {
        let redaction = Redaction::default();
        let changes = Changes {
            former: Some("ba9876543210".into()),
            added: vec!["routes.a".into()],
            ..Changes::default()
        };
        let rotation =
            Rotation { provider: "corp".into(), added: vec![redaction.word(b"k2")], removed: vec![] };
        let penalty = Penalty {
            rule: "guessing".into(),
            route: Some("login".into()),
            client_address: Some([10, 0, 0, 1].into()),
            id: request_id(b"r-1"),
            duration: 900 * SECOND,
        };
        for (what, part) in [
            (
                What::PolicyLoaded(changes),
                r#""event.action":"policy-loaded","portcullis.policy.former_digest":"ba9876543210","portcullis.policy.added":["routes.a"],"portcullis.policy.name":"shop""#,
            ),
            (
                What::PolicyRefused(3),
                r#""event.action":"policy-refused","portcullis.policy.problems":3,"portcullis.policy.name":"shop""#,
            ),
            (
                What::KeysChanged(rotation),
                r#""event.action":"keys-changed","portcullis.provider":"corp","portcullis.keys.added":["k2"],"portcullis.policy.name":"shop""#,
            ),
            (
                What::PenaltyEntered(penalty),
                r#""event.action":"penalty-entered","rule.name":"guessing","portcullis.route":"login","client.ip":"10.0.0.1","http.request.id":"r-1","event.duration":900000000000,"#,
            ),
        ] {
            let line = line(&event(what));
            assert!(line.contains(part), "{part} {line}");
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_line_cannot_be_forged() {
        for path in [
            "/\r\n{\"portcullis.decision\":\"allowed\"}",
            "/\u{1b}[31mred",
            "/\u{202e}evil",
            "/\u{7f}\0",
            "/\u{1f512}\"\\",
            "/\",\"portcullis.decision\":\"allowed\"",
        ] {
            let line = line(&event(What::Request(Box::new(request(path)))));
            assert!(line.bytes().all(|b| (0x20..0x7f).contains(&b)), "{line}");
            let back: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(back["url.path"], path);
            assert_eq!(back["portcullis.decision"], "refused");
        }
    }
}
