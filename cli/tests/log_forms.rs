//! Does `portcullis logs` read logs as they are? `documents/logs` has one run of `envoy.yaml`, with an `Admin` route and a limit on failures, as Envoy 1.40 wrote
//! it: eight requests, of which three were allowed, a penalty and a policy; in four formats of its log, and in its access log. `otlp.jsonl` is what the plugin
//! sent to a collector meanwhile, as OTLP's mapping to JSON has it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};

const ENVOY: &str = include_str!("documents/logs/envoy.log");
const ISTIO: &str = include_str!("documents/logs/istio.log");
const GKE: &str = include_str!("documents/logs/gke.log");
const JSON: &str = include_str!("documents/logs/json.log");
const OTLP: &str = include_str!("documents/logs/otlp.jsonl");
const ACCESS: &str = include_str!("documents/logs/access.log");

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("logs").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], input: &str) -> Output {
    fed(command(arguments), input)
}

fn fed(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().unwrap()
    })
}

fn text(arguments: &[&str], input: &str) -> String {
    let out = run(arguments, input);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    String::from_utf8(out.stdout).unwrap()
}

fn report(arguments: &[&str], input: &str) -> Value {
    serde_json::from_str(&text(&[arguments, &["--format", "json"]].concat(), input)).unwrap()
}

/// What all forms of the run say.
fn is_the_run(report: &Value, what: &str) {
    let expected = json!({"refused": 5, "shadow": 0, "answered": 0, "allowed": 3});
    assert_eq!(report["decisions"], expected, "{what}");
    let (reasons, routes) = (report["reasons"]["top"].to_string(), &report["routes"]["top"]);
    assert_eq!(
        reasons,
        r#"[{"count":2,"name":"signature_invalid"},{"count":1,"name":"no_route"},{"count":1,"name":"token_expired"},{"count":1,"name":"too_many_failures"}]"#,
        "{what}"
    );
    assert_eq!((&routes[0]["name"], &routes[0]["count"]), (&json!("orders"), &json!(5)), "{what}");
    assert_eq!(report["callers"]["top"][1], json!({"name": "alice", "count": 2}), "{what}");
    assert_eq!(report["addresses"]["top"], json!([{"name": "127.0.0.1", "count": 8}]), "{what}");
}

/// Envoy's lines, each in another.
fn each(written: &dyn Fn(&str) -> String) -> String {
    ENVOY.lines().map(written).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_form_says_the_same() {
    let before = |prefix: &str| each(&|line| format!("{prefix}{line}"));
    let quoted = |name: &str| each(&|line| json!({name: line, "stream": "stderr"}).to_string());
    let alone = ENVOY
        .lines()
        .filter_map(|line| line.split_once("gateway: "))
        .map(|(_, event)| format!("{event}\r\n"));
    for (what, log, others) in [
        ("Envoy's log", ENVOY.to_owned(), 3),
        ("Istio's", ISTIO.to_owned(), 3),
        ("Google's", GKE.to_owned(), 3),
        ("JSON", JSON.to_owned(), 3),
        ("a collector's", OTLP.to_owned(), 0),
        ("events alone", alone.collect(), 0),
        ("kubectl --timestamps", before("2026-11-26T09:45:57.759123456Z "), 3),
        (
            "kubectl --prefix --timestamps",
            before("[pod/gateway-7d9c/envoy] 2026-11-26T09:45:57.759123456Z "),
            3,
        ),
        ("CRI", before("2026-11-26T09:45:57.759123456+00:00 stderr F "), 3),
        ("Compose", before("envoy-1  | "), 3),
        ("journald", before("Nov 26 09:45:57 host envoy[23289]: "), 3),
        ("journald, short-iso", before("2026-11-26T09:45:57+0000 host envoy[23289]: "), 3),
        ("journald's JSON", quoted("MESSAGE"), 3),
        ("Docker's JSON", quoted("log"), 3),
    ] {
        let report = report(&[], &log);
        is_the_run(&report, what);
        let counts = [&report["events"], &report["otherLines"], &report["leftOut"], &report["unreadLines"]];
        assert_eq!(counts, [10, others, 0, 0], "{what}");
        assert_eq!(report["source"], "events", "{what}");
        assert_eq!(report["otherEvents"]["top"], json!([{"name": "policy-loaded", "count": 1}]), "{what}");
        assert_eq!(
            report["penalties"]["top"],
            json!([{"name": "guessing from 127.0.0.1", "count": 1}]),
            "{what}"
        );
        let payouts = json!({"name": "payouts", "count": 1, "exposure": "Admin"});
        assert!(report["routes"]["top"].as_array().unwrap().contains(&payouts), "{what}: {report}");
    }
    let shown = text(&[], ISTIO);
    assert!(shown.contains("         1  payouts  [Admin]\n"), "{shown}");
    assert!(shown.contains("penalties\n         1  guessing from 127.0.0.1\n"), "{shown}");
}

/// A gateway that has both sinks writes two lines about a request.
#[test]
fn no_request_counts_twice() {
    let both = format!("{ENVOY}{ACCESS}");
    let events = report(&[], &both);
    is_the_run(&events, "both");
    assert_eq!(
        (&events["source"], &events["leftOut"], &events["otherLines"]),
        (&json!("events"), &json!(8), &json!(3))
    );
    assert!(text(&[], &both).starts_with("10 audit events, 2026-"));
    assert!(text(&[], &both).contains("; 8 lines of an access log left out; 3 other lines\n"));
    let access = report(&["--access-log"], &both);
    is_the_run(&access, "the access log of both");
    assert_eq!(
        (&access["source"], &access["leftOut"], &access["events"]),
        (&json!("accessLog"), &json!(8), &json!(10))
    );
    let shown = text(&["--access-log"], &both);
    assert!(shown.starts_with("8 requests of an access log and 2 audit events, 2026-"), "{shown}");
    assert!(shown.contains("; 8 events of requests left out; 3 other lines\n"), "{shown}");
    let alone = report(&[], ACCESS);
    is_the_run(&alone, "the access log");
    assert_eq!(
        (&alone["source"], &alone["leftOut"], &alone["otherLines"]),
        (&json!("accessLog"), &json!(0), &json!(0))
    );
    // Events of which nobody asked for one are events all the same: what is asked for does not change where it is looked for.
    let none = report(&["--route", "nobody"], &both);
    assert_eq!(
        (&none["source"], &none["skipped"], &none["events"]),
        (&json!("events"), &json!(10), &json!(0))
    );
}

/// As an OpenTelemetry collector gets it from Envoy itself, by the format of docs/audit.md.
#[test]
fn an_access_log_at_a_collector() {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let record = json!({
        "timeUnixNano": "1795685952216159000", "body": {"stringValue": "GET /orders 401"},
        "attributes": [
            attribute("log", "envoy"), attribute("decision", "refused"), attribute("reason", "token_expired"),
            attribute("route", "orders"), attribute("policy", "demo@0123456789ab"), attribute("subject", "-"),
        ],
    });
    let log = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}).to_string();
    let report = report(&[], &log);
    assert_eq!((&report["source"], &report["events"]), (&json!("accessLog"), &json!(1)));
    assert_eq!(report["reasons"]["top"][0]["name"], "token_expired");
    assert_eq!(report["callers"]["top"][0]["name"], "(nobody known)");
    assert_eq!(report["from"], "2026-11-26T09:39:12.216Z");
}

/// A collector gathers from many.
#[test]
fn records_of_others_are_counted_apart() {
    let mixed =
        OTLP.replace(r#""logRecords":["#, r#""logRecords":[{"body":{"stringValue":"x"},"attributes":[]},"#);
    let report = report(&[], &mixed);
    is_the_run(&report, "a collector's with other records");
    assert_eq!([&report["events"], &report["otherLines"], &report["unreadLines"]], [10, 2, 0]);
}

#[test]
fn it_can_be_asked_for_a_part() {
    for (arguments, events, penalties) in [
        (&["--route", "orders"][..], 6, 1),
        (&["--route", "orders", "--route", "(none)"], 7, 1),
        (&["--reason", "signature_invalid"], 2, 0),
        (&["--reason", "signature_invalid", "--reason", "no_route"], 3, 0),
        (&["--reason", "no_route", "--route", "orders"], 0, 0),
        (&["--decision", "allowed", "--decision", "refused"], 8, 0),
        (&["--address", "127.0.0.1"], 9, 1),
        (&["--address", "::ffff:127.0.0.1"], 9, 1),
        (&["--address", "127.0.0.0/8", "--decision", "allowed"], 3, 0),
        (&["--address", "192.0.2.0/24"], 0, 0),
        (&["--address", "192.0.2.0/24", "--address", "127.0.0.0/8"], 9, 1),
        (&["--address", "::/0"], 0, 0),
        (&["--until", "2026-11-26T09:45:57.800Z"], 1, 0),
        (&["--since", "2026-11-26T09:45:57.800Z"], 9, 1),
        (&["--since", "2026-11-26T09:45:57.800Z", "--until", "2026-11-26T09:45:57.800Z"], 0, 0),
    ] {
        let report = report(arguments, ENVOY);
        assert_eq!(
            (&report["events"], &report["skipped"]),
            (&json!(events), &json!(10 - events)),
            "{arguments:?}"
        );
        assert_eq!(report["penalties"]["top"].as_array().unwrap().len(), penalties, "{arguments:?}");
    }
    assert!(text(&["--route", "orders"], ENVOY).contains(", 4 not asked for; 3 other lines\n"));
    let out = run(&["--address", "192.0.2.1/24"], ENVOY);
    assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean `192.0.2.0/24`?"), "{out:?}");
}

#[test]
fn a_log_in_no_form_that_is_read_is_told() {
    let changed = ENVOY.replace("wasm log ", "<wasm> ");
    let strangers = ENVOY.lines().take(3).collect::<Vec<_>>().join("\n");
    for (log, count) in [(changed.as_str(), 13), (strangers.as_str(), 3), ("\n", 1)] {
        for arguments in [&[][..], &["--format", "json"], &["--route", "orders"]] {
            let out = run(arguments, log);
            let told = String::from_utf8(out.stderr).unwrap();
            assert_eq!(out.status.code(), Some(1), "{arguments:?}: {told}");
            assert!(
                told.starts_with(&format!("none of these {count} lines holds an audit event.")),
                "{told}"
            );
            assert!(told.contains("Istio") && told.contains("OTLP") && told.contains("CRI"), "{told}");
            assert_ne!(out.stdout, b"");
        }
    }
    // Nothing is read out of nothing.
    assert_eq!(run(&[], "").status.code(), Some(0));
    // Some are read and some are not: the latter are told, too.
    let mixed = run(&[], &format!("{ENVOY}{changed}"));
    assert_eq!(mixed.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&mixed.stderr).starts_with("10 lines name the schema"), "{mixed:?}");
}

/// In an address space of 64 MiB: a line of a collector that gathered ten thousand records, and ones that are not what they seem.
#[test]
fn a_collectors_line_may_be_of_any_length() {
    let whole: Value = serde_json::from_str(OTLP.lines().last().unwrap()).unwrap();
    let scope = &whole["resourceLogs"][0]["scopeLogs"][0];
    let records = scope["logRecords"].as_array().unwrap();
    let all =
        vec![Value::Array(records.clone()).to_string().trim_matches(['[', ']']).to_owned(); 1200].join(",");
    let count = records.len() * 1200;
    let begin = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#;
    let long = format!("{begin}{all}]}}]}}]}}\n");
    assert!(long.len() > 10 << 20, "{}", long.len());
    let endless = format!("{begin}{{\"attributes\":[{{\"key\":\"{}\n", "x".repeat(80 << 20));
    let padded = format!("{begin}{}\n", " ".repeat(80 << 20));
    let input = format!("{endless}{long}{padded}{OTLP}{}\n", &long[..long.len() - 3]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 65536; exec \"$0\" logs --format json", env!("CARGO_BIN_EXE_portcullis")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let out = fed(command, &input);
    assert_eq!(out.status.code(), Some(0), "{out:?}");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&report["events"], &report["otherLines"]), (&json!(2 * count + 10), &json!(3)));
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    for format in ["text", "json"] {
        let mut command = command(&["--format", format]);
        command.stdout(full.try_clone().unwrap());
        let out = fed(command, ENVOY);
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        let told = String::from_utf8_lossy(&out.stderr);
        assert!(told.starts_with("the report cannot be written: "), "{told}");
    }
}

/// `tail -f | portcullis logs --every 1s`: a report without an end of the log, another when there is more, and the last one at the end.
#[test]
fn a_log_that_goes_on_is_told_of_again_and_again() {
    let mut child = command(&["--every", "1s", "--format", "json"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut reports = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut wait_for = |events: u64| loop {
        let report: Value = serde_json::from_str(&reports.next().expect("one more").unwrap()).unwrap();
        if report["events"] == events {
            return;
        }
    };
    for round in 1..=2 {
        stdin.write_all(ENVOY.as_bytes()).unwrap();
        wait_for(10 * round);
    }
    drop(stdin);
    wait_for(20);
    assert!(child.wait().unwrap().success());
}

/// As `--help` says it: Ctrl-C ends what writes, and the report comes.
#[cfg(unix)]
#[test]
fn whoever_ignores_the_interrupt_gets_the_report() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' INT; exec \"$0\" logs", env!("CARGO_BIN_EXE_portcullis")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds: the program reads, so the shell has become it.
    stdin.write_all(ENVOY.repeat(20).as_bytes()).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    stdin.write_all(ENVOY.as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("210 audit events, "), "{out:?}");
}
