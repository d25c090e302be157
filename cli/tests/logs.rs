//! Does `portcullis logs` sum up what the gateway writes, and survive whatever else a log holds?

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::thread;

use portcullis_filter::audit::{self, Caller, Changes, Decision, Event, Origin, Request, Subject, What};
use portcullis_filter::decision::{Detail, Reason};
use portcullis_filter::redaction::{Rules, Shown};
use portcullis_filter::time::Timestamp;
use serde_json::Value;

/// What Envoy puts before a plugin's line.
const ENVOY: &str = "[2026-11-25 19:25:54.756][18049][warning][wasm] [source/extensions/common/wasm/context.cc:1195] wasm log portcullis portcullis portcullis-gateway: ";
const NOON: u64 = 1_795_608_000;

fn run(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("logs")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}

fn text(arguments: &[&str], input: &[u8]) -> String {
    let out = run(arguments, input);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn json(arguments: &[&str], input: &[u8]) -> Value {
    serde_json::from_str(&text(&[arguments, &["--format", "json"]].concat(), input)).unwrap()
}

/// The gateway's own line, so that what is read here is what is written there.
fn line(seconds: u64, decision: Decision, reason: Option<Reason>, subject: &str, address: [u8; 4]) -> String {
    let redaction = Rules::default();
    let subject = Some(Subject::Plain(redaction.word(subject.as_bytes())));
    let (target, host) = (redaction.target(b"/orders"), redaction.host(b"h"));
    let request = Request {
        shown: Shown { id: None, target, host }.into(),
        trace: None,
        route: Some("orders".into()),
        exposure: None,
        decision,
        reason,
        detail: Detail::None,
        rule: None,
        shadow_rules: Vec::new(),
        caller: Some(Caller { subject, ..Caller::default() }.into()),
        client_address: Some(address.into()),
        method: redaction.method(b"GET"),
        status: None,
        duration: 1,
    };
    event(seconds, What::Request(Box::new(request)))
}

fn event(seconds: u64, what: What) -> String {
    let time = Timestamp::from_seconds(seconds);
    audit::line(&Event { time, origin: Origin::of_policy(&"shop".into(), "0123456789ab").into(), what })
}

fn a_log() -> Vec<u8> {
    let mut lines = Vec::new();
    for second in 0..6 {
        lines.push(line(
            NOON + second,
            Decision::Refused,
            Some(Reason::TokenExpired),
            "mallory",
            [192, 0, 2, 66],
        ));
    }
    lines.push(format!("{ENVOY}{}", line(NOON + 6, Decision::Allowed, None, "alice", [192, 0, 2, 1])));
    lines.push(line(NOON + 7, Decision::Shadow, Some(Reason::AccessDenied), "alice", [192, 0, 2, 1]));
    lines.push(line(NOON + 8, Decision::Answered, None, "alice", [192, 0, 2, 1]));
    lines.push(event(NOON + 9, What::PolicyLoaded(Changes::default())));
    lines.push("[2026-11-25 19:25:50.000][18049][info][main] starting main dispatch loop".to_owned());
    lines.push(r#"{"status":200,"path":"/orders"}"#.to_owned());
    lines.join("\n").into_bytes()
}

#[test]
fn a_log_is_summed_up() {
    let shown = text(&[], &a_log());
    for part in [
        "10 audit events, 2026-11-25T12:00:00.000Z to 2026-11-25T12:00:09.000Z; 2 other lines\n",
        "         6  refused  66 %\n",
        "         1  shadow  11 %\n",
        "         6  token_expired\n         1  access_denied\n",
        "         6  mallory\n         3  alice\n",
        "         9  orders\n",
        "         6  192.0.2.66\n         3  192.0.2.1\n",
        "         1  policy-loaded\n",
        "timeline, 1 s a line\n  2026-11-25T12:00:00.000Z         1  ####",
        "# refused   + shadow   = answered   - allowed\n",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colour where no terminal is");
}

#[test]
fn it_can_be_narrowed() {
    let log = a_log();
    let refused = json(&["--decision", "refused"], &log);
    assert_eq!((&refused["events"], &refused["skipped"]), (&6.into(), &4.into()));
    assert_eq!(refused["callers"]["top"], serde_json::json!([{"name": "mallory", "count": 6}]));
    let late = json(&["--since", "2026-11-25T12:00:07Z"], &log);
    assert_eq!((&late["events"], &late["from"]), (&3.into(), &"2026-11-25T12:00:07.000Z".into()));
    let first = text(&["--top", "1"], &log);
    assert!(first.contains("mallory\n            … and 1 more\n") && !first.contains("alice"), "{first}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let recent = [
        line(now - 5000, Decision::Allowed, None, "a", [1; 4]),
        line(now - 60, Decision::Allowed, None, "b", [1; 4]),
    ]
    .join("\n");
    assert_eq!(json(&["--since", "1h"], recent.as_bytes())["callers"]["top"][0]["name"], "b");
    for (arguments, status) in [
        (&["--since", "soon"][..], 2),
        (&["--top", "0"], 2),
        (&["no-such-file"], 2),
        (&["--decision", "odd"], 2),
        (&["--address", "192.0.2.1/24"], 2),
        (&["--address", "h"], 2),
        (&["--every", "0s"], 2),
    ] {
        let out = run(arguments, b"");
        assert_eq!(out.status.code(), Some(status), "{arguments:?}");
        assert_ne!(out.stderr, b"");
    }
    assert!(text(&[], b"").starts_with("0 audit events; 0 other lines\n"));
}

#[test]
fn hostile_lines_are_counted_and_nothing_else() {
    let good = line(NOON, Decision::Refused, Some(Reason::TokenExpired), "ada", [192, 0, 2, 1]);
    let escaped = good.replace("ada", "\\u001b[2J\\u202egone\\n");
    let mut log = Vec::new();
    let (deep, deeper, blank) = (vec![b'['; 100_000], vec![b'{'; 50_000], vec![b' '; 200_000]);
    let hostile: [&[u8]; 8] = [
        b"\x1b[2J\x1b[1;1Hall is well",
        b"\xff\xfe\x00\x80",
        b"{\"portcullis.schema\":\"portcullis.audit/v2\"",
        b"{}",
        &deep,
        &deeper,
        &blank,
        b"[2026-11-25T12:00:00.000Z] \"GET /]",
    ];
    for line in hostile {
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    // An event that somebody has put into another line, and one in a path of an access log.
    log.extend_from_slice(
        format!(
            "GET /{good} 404\n[2026-11-25T12:00:00.000Z] \"GET /][1][warning][wasm] [x] wasm log a: {good}\n"
        )
        .as_bytes(),
    );
    log.extend_from_slice(format!("{escaped}\n{good}").as_bytes());
    let shown = text(&[], &log);
    assert!(shown.starts_with("2 audit events, "), "{shown}");
    assert!(shown.contains("; 10 other lines\n"), "{shown}");
    assert!(shown.contains("  \\u{1b}[2J\\u{202e}gone\\u{a}\n"), "{shown}");
    assert!(shown.bytes().all(|b| b == b'\n' || b >= b' '), "{shown:?}");
}

/// In an address space of 64 MiB: a line that never ends, and names without end.
#[test]
fn memory_is_bounded_whatever_the_log() {
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 65536; exec \"$0\" logs --top 2 --format json",
            env!("CARGO_BIN_EXE_portcullis"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..96 {
            stdin.write_all(&piece).unwrap();
        }
        stdin.write_all(b"\n").unwrap();
        let pattern = line(NOON, Decision::Refused, Some(Reason::TokenExpired), "NAME", [192, 0, 2, 1]);
        for number in 0..60_000 {
            let name =
                if number % 4 == 0 { "often".to_owned() } else { format!("{number}-{}", "n".repeat(500)) };
            let route = format!(
                r#""portcullis.exposure":"Admin","portcullis.route":"{number}-{}""#,
                "r".repeat(20_000)
            );
            let line = pattern.replace("NAME", &name);
            // Some with a route as long as no policy has one, and an exposure.
            let line =
                if number < 6000 { line.replace(r#""portcullis.route":"orders""#, &route) } else { line };
            writeln!(stdin, "{line}").unwrap();
        }
    });
    let out = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(out.status.success(), "{out:?}");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&report["events"], &report["otherLines"]), (&60_000.into(), &1.into()));
    let (often, missed) = (&report["callers"]["top"][0], &report["callers"]["missed"]);
    assert_eq!(often["name"], "often");
    let (count, missed) = (often["count"].as_u64().unwrap(), missed.as_u64().unwrap());
    assert!(count <= 15_000 && count + missed >= 15_000 && missed < 100, "{count} + {missed}");
    assert_eq!(report["reasons"]["top"][0]["count"], 60_000);
}

#[test]
fn who_reads_no_further_breaks_nothing() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["logs", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(&a_log()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
}
