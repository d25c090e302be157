//! What does a line of a log say? An event stands alone on it, in Envoy's log, in an object of another log, or in a collector's.
//!
//! Whatever else a line holds may come from a client: an event that stands in a path or behind the name of a program is none. So each form is
//! read as it is written, from the first byte on, and no event is looked for in the middle of a text.

use super::event::Event;
use super::fields::Fields;
use super::{access, envoy, event, frame, otlp};

/// Lines in lines: an object of a container's log, which holds one of Envoy's, which holds an event.
const DEEP: usize = 3;
/// Under which names logs have the text of a line, in any spelling: Envoy's `%j` in the formats of its documents and of Istio, journald,
/// Docker, Fluent Bit, Google. What a client sent stands under other names: its path, its agent.
const MESSAGES: [&str; 5] = ["message", "msg", "log", "line", "textPayload"];

/// For whoever has none of them.
pub(super) const FORMS: [&str; 5] = [
    "audit events alone, one a line",
    "Envoy's log: as it is, in Istio's format, in that for Google's logs, or as JSON with the message under `message`, `msg` or `log`",
    "each of these behind what Kubernetes, CRI, Docker, Compose, journald or syslog puts before it",
    "the access log as JSON, with the fields of `envoy.yaml`",
    "OTLP as JSON, as a collector's file exporter writes it",
];

/// Hands over what a line says: events, and `None` for what is none.
pub(super) fn line(line: &[u8], take: &mut dyn FnMut(Option<Event>)) {
    below(line, DEEP, take);
}

fn below(line: &[u8], deep: usize, take: &mut dyn FnMut(Option<Event>)) {
    let line = frame::strip(line);
    if otlp::is_one(line) {
        if !otlp::each(line, take) {
            take(None);
        }
        return;
    }
    let told = envoy::message(line);
    let Some((mut fields, rest)) = Fields::first(told.unwrap_or(line)) else { return take(None) };
    // Formats of Envoy's log may have something behind the message; nothing else has.
    let ends = if told.is_some() {
        rest.first().is_none_or(u8::is_ascii_whitespace)
    } else {
        rest.trim_ascii().is_empty()
    };
    if !ends {
        return take(None);
    }
    if let Some(event) = event::of(&mut fields, None) {
        return take(Some(event));
    }
    if told.is_some() {
        return take(None);
    }
    if let Some(entry) = access::of(&mut fields, None) {
        return take(Some(entry));
    }
    let message = MESSAGES.iter().find_map(|known| fields.find(|name| name.eq_ignore_ascii_case(known)));
    match (message, deep.checked_sub(1)) {
        (Some(text), Some(deep)) => below(text.as_bytes(), deep, take),
        _ => take(None),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::logs::event::{Decision, Event, Request, What};

    const EVENT: &str = r#"{"@timestamp":"2026-11-25T19:00:00.000Z","event.action":"request","portcullis.decision":"refused","event.reason":"token_expired","portcullis.route":"orders","user.id":"ada","client.ip":"192.0.2.1","portcullis.schema":"portcullis.audit/v2"}"#;
    const ENTRY: &str = r#"{"decision":"refused","policy":"demo@0123456789ab","reason":"token_expired","route":"orders","status":401,"subject":null,"client":"-","time":"2026-11-25T19:00:00.000Z"}"#;
    const ENVOY: &str = "[2026-11-25 19:25:54.756][18049][warning][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log portcullis portcullis portcullis-gateway: ";
    const ISTIO: &str = "2026-11-25T19:25:54.756123Z\twarning\tenvoy wasm external/envoy/source/extensions/common/wasm/context.cc:1195\twasm log istio-system.portcullis: ";
    const GLOG: &str = "W1125 19:25:54.756 18049 envoy/source/extensions/common/wasm/context.cc:1195] [18049][wasm]wasm log portcullis: ";

    /// What a line says, for each that it says something of.
    fn said(text: &[u8]) -> Vec<Option<Event>> {
        let mut said = Vec::new();
        line(text, &mut |event| said.push(event));
        said
    }

    fn request(text: &str) -> Request {
        match said(text.as_bytes()).pop() {
            Some(Some(Event { what: What::Request(request) | What::Entry(request), .. })) => request,
            other => panic!("{other:?}: {text}"),
        }
    }

    fn quoted(text: &str) -> String {
        serde_json::to_string(text).unwrap()
    }

    #[test]
    fn an_event_in_every_form() {
        for line in [
            EVENT.to_owned(),
            format!("  {EVENT}\r"),
            format!("{ENVOY}{EVENT}"),
            format!("{ENVOY}{EVENT} behind"),
            format!("{ISTIO}{EVENT}\tthread=18"),
            format!("2026-11-25T19:25:54.756123Z\twarning\tenvoy wasm\twasm log a: {EVENT}"),
            format!("{GLOG}{EVENT}"),
            format!("wasm log portcullis: {EVENT}"),
            format!("envoy-1  | {ENVOY}{EVENT}"),
            format!("2026-11-25T19:25:54.756123456Z stderr F {ENVOY}{EVENT}"),
            format!("[pod/a/b] 2026-11-25T19:25:54.756123456Z {ISTIO}{EVENT}\tthread=18"),
            format!("Nov 25 19:25:54 host envoy[1234]: {ENVOY}{EVENT}"),
            format!(
                r#"{{"level":"warning","scope":"envoy wasm","msg":{}}}"#,
                quoted(&format!("wasm log a: {EVENT}"))
            ),
            format!(r#"{{"Level":"warning","Message":{}}}"#, quoted(&format!("wasm log a: {EVENT}"))),
            format!(r#"{{"MESSAGE":{},"_PID":"1"}}"#, quoted(&format!("{ENVOY}{EVENT}"))),
            format!(r#"{{"log":{},"stream":"stderr","time":"x"}}"#, quoted(&format!("{ENVOY}{EVENT}\n"))),
            format!(
                r#"2026-11-25T19:25:54Z {{"log":{}}}"#,
                quoted(&format!(r#"{{"msg":{}}}"#, quoted(&format!("wasm log a: {EVENT}"))))
            ),
        ] {
            let request = request(&line);
            let found = (request.decision, request.caller.as_deref(), request.route.as_deref());
            assert_eq!(found, (Decision::Refused, Some("ada"), Some("orders")), "{line}");
        }
        let other = EVENT.replace(r#""event.action":"request""#, r#""event.action":"policy-loaded""#);
        let what = said(other.as_bytes()).pop().flatten().map(|event| event.what);
        assert_eq!(what, Some(What::Other("policy-loaded".to_owned())));
    }

    #[test]
    fn an_access_log_has_its_decisions() {
        for line in [ENTRY.to_owned(), format!("2026-11-25T19:00:00.000123Z stdout F {ENTRY}")] {
            let request = request(&line);
            let found = (request.decision, request.reason.as_deref(), request.caller, request.address);
            assert_eq!(found, (Decision::Refused, Some("token_expired"), None, None), "{line}");
        }
        for none in [
            ENTRY.replace("@0123456789ab", ""),
            ENTRY.replace("\"refused\"", "null"),
            ENTRY.replace("2026-11-25T19", "later"),
        ] {
            assert_eq!(said(none.as_bytes()), [None], "{none}");
        }
    }

    #[test]
    fn what_a_client_sent_is_no_event() {
        for line in [
            format!("[2026-11-25T19:00:00.000Z] \"GET /{EVENT}"),
            format!("[2026-11-25T19:00:00.000Z] \"GET /][1][warning][wasm] [x] wasm log a: {EVENT}"),
            format!("[2026-11-25T19:00:00.000Z] \"GET /\t\tenvoy wasm\twasm log a: {EVENT}"),
            format!("192.0.2.1 - - \"GET / HTTP/1.1\" 200 {EVENT}"),
            format!("[2026-11-25 19:25:54.756][18049][warning][http] [x.cc:1] wasm log a: {EVENT}"),
            format!("2026-11-25T19:25:54.756123Z\twarning\tenvoy lua x.cc:1\twasm log a: {EVENT}"),
            format!("W1125 19:25:54.756 18049 envoy/x.cc:1] [18049][lua]wasm log a: {EVENT}"),
            format!("{ENVOY}portcullis: provider {{x}}: {EVENT}"),
            format!("{ENVOY}another plugin says: {EVENT}"),
            format!("{ENVOY}{EVENT}trailing"),
            format!("{EVENT} trailing"),
            format!("{ENVOY}{ENTRY}"),
            format!("{ENVOY}{{\"message\":{}}}", quoted(EVENT)),
            format!("{{\"path\":{EVENT}}}"),
            format!("{{\"path\":{}}}", quoted(EVENT)),
            format!("{{\"msg\":{}}}", quoted(&format!("script log: {EVENT}"))),
            format!("Nov 25 19:25:54 host envoy[1]: GET {EVENT}"),
            format!("stderr P {EVENT}"),
            EVENT.replace("portcullis.audit/v2", "other/v2"),
            EVENT.replace("2026-11-25T19:00:00.000Z", "yesterday"),
            EVENT.replace("\"refused\"", "\"perhaps\""),
            EVENT.replacen('{', r#"{"portcullis.decision":"allowed","#, 1),
            "[".repeat(10_000),
            format!("{{\"a\":{}", "[".repeat(10_000)),
            (0..9).fold(EVENT.to_owned(), |inner, _| format!("{{\"log\":{}}}", quoted(&inner))),
            String::new(),
        ] {
            assert_eq!(said(line.as_bytes()), [None], "{line}");
        }
        assert_eq!(said(b"{\"portcullis.schema\":\"portcullis.audit/\xff\"}"), [None]);
    }

    fn record(attributes: &str) -> String {
        format!(
            r#"{{"timeUnixNano":"1795685952216159000","severityNumber":9,"body":{{"stringValue":"{{\"a\":1}}"}},"attributes":[{attributes}],"traceId":""}}"#
        )
    }

    fn attribute(key: &str, value: &str) -> String {
        format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
    }

    fn logs(records: &str) -> String {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{}]}},"scopeLogs":[{{"scope":{{"name":"x"}},"logRecords":[{records}],"schemaUrl":""}}]}}]}}"#,
            attribute("service.name", "portcullis")
        )
    }

    #[test]
    fn a_collectors_records() {
        let ours = record(
            &[
                attribute("event.action", "request"),
                attribute("portcullis.decision", "shadow"),
                r#"{"key":"http.response.status_code","value":{"intValue":"200"}}"#.to_owned(),
                r#"{"key":"event.type","value":{"arrayValue":{"values":[{"stringValue":"info"}]}}}"#
                    .to_owned(),
                attribute("portcullis.route", "orders"),
                attribute("portcullis.schema", "portcullis.audit/v2"),
            ]
            .join(","),
        );
        let envoys = record(
            &[
                attribute("decision", "allowed"),
                attribute("policy", "demo@0123456789ab"),
                attribute("subject", "-"),
            ]
            .join(","),
        );
        let others = record(&attribute("log", "x"));
        let kinds = |text: &str| -> Vec<&'static str> {
            let kind = |event: Option<Event>| match event.map(|event| event.what) {
                Some(What::Request(Request { decision: Decision::Shadow, .. })) => "event",
                Some(What::Entry(Request { decision: Decision::Allowed, caller: None, .. })) => "entry",
                Some(_) => "another",
                None => "none",
            };
            said(text.as_bytes()).into_iter().map(kind).collect()
        };
        let all = logs(&[ours.as_str(), &envoys, &others, &ours].join(","));
        assert_eq!(kinds(&all), ["event", "entry", "none", "event"]);
        assert_eq!(kinds(&logs("")), [""; 0]);
        assert_eq!(kinds(&ours.replace("17956", "x")), ["none"], "a record alone is no line of a collector");
        let unquoted = logs(&ours.replace("\"1795685952216159000\"", "1795685952216159000"));
        assert_eq!(kinds(&unquoted), ["event"]);
        assert_eq!(
            kinds(&logs(&ours.replace("\"1795685952216159000\"", "\"\""))),
            ["none"],
            "it has no time"
        );
        let twice =
            ours.replace(&attribute("portcullis.route", "orders"), &attribute("event.action", "request"));
        assert_eq!(kinds(&logs(&twice)), ["none"], "an attribute stands there twice");
        // What was whole counts, and the broken rest is told.
        assert_eq!(kinds(&all[..all.len() - 20]), ["event", "entry", "none", "event", "none"]);
        assert_eq!(kinds(&format!("{all} x")), ["event", "entry", "none", "event", "none"]);
        assert_eq!(kinds(r#"{"resourceLogs":{}}"#), ["none"]);
        assert_eq!(kinds(&format!(r#"{{"resourceLogs":[{}"#, "[".repeat(10_000))), ["none"]);
        assert_eq!(kinds(&format!(r#"{{"resourceLogs":[{{"x":{}"#, "[".repeat(10_000))), ["none"]);
    }
}
