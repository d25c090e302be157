//! HTTP/1.1: two lengths, bad chunks, folded lines, lone line ends, doubled hosts, paths of two readings.

use std::io::Write as _;
use std::net::TcpStream;

use host_tests::exchange::latin1;

use super::{Gateway, listen, statuses};

/// What follows a head that ends early for one reader: a request that nobody may send.
const HIDDEN: &str = "GET /admin HTTP/1.1\r\nhost: a\r\nx-request-id: hidden\r\n\r\n";

/// A head of these lines, which all have a number of their own in the place of `$ID`.
fn head(lines: &[&str]) -> String {
    format!("{}\r\n\r\n", lines.join("\r\n"))
}

/// Values of `transfer-encoding`.
const CODINGS: [&str; 17] = [
    "chunked, chunked",
    "identity",
    "identity, chunked",
    "chunked, identity",
    "gzip, chunked",
    "Chunked",
    " chunked",
    "\tchunked",
    "chunked ",
    "\"chunked\"",
    "xchunked",
    "chunked;q=1",
    "chunk",
    "\u{b}chunked",
    "chunked\r\ntransfer-encoding: x",
    "x\r\ntransfer-encoding: chunked",
    "",
];

/// Bodies in chunks.
const CHUNKS: [&str; 22] = [
    // An extension, a size that is bent, a line end that is half of one, data that is longer than it says.
    "1;a=b\r\nx\r\n0\r\n\r\n",
    "1;\n\r\nx\r\n0\r\n\r\n",
    "1;a=\"\r\nx\r\n0\r\n\r\n",
    "1 \r\nx\r\n0\r\n\r\n",
    " 1\r\nx\r\n0\r\n\r\n",
    "0x1\r\nx\r\n0\r\n\r\n",
    "+1\r\nx\r\n0\r\n\r\n",
    "-1\r\nx\r\n0\r\n\r\n",
    "01\r\nx\r\n0\r\n\r\n",
    "1\nx\n0\n\n",
    "1\r\nx0\r\n\r\n",
    "1\r\nxx\r\n0\r\n\r\n",
    "1\rx\r0\r\r",
    "\r\n1\r\nx\r\n0\r\n\r\n",
    "10000000000000001\r\nx\r\n0\r\n\r\n",
    "ffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "0\r\nx-note: y\r\n\r\n",
    "0\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nhost: b\r\n\r\n",
    "0\r\n\r",
    "0\n\n",
    "0;x\n\r\n\r\n",
    "\0\r\n\r\n",
];

/// Where a request ends is read in two ways.
fn lengths() -> Vec<String> {
    let post = |fields: &[&str], body: &str| {
        let lines =
            [&["POST /open/a HTTP/1.1", "host: a", "x-request-id: $ID", "x-note: y"], fields].concat();
        head(&lines) + body
    };
    let chunk = "transfer-encoding: chunked";
    let last = format!("0\r\n\r\n{HIDDEN}");
    let inside = format!("content-length: {}", HIDDEN.len());
    let mut all = vec![
        // Content-Length beside Transfer-Encoding, in both orders, and each of them bent.
        post(&["content-length: 4", chunk], &last),
        post(&[chunk, "content-length: 4"], &last),
        post(&["content-length: 0", chunk], &last),
        post(&["content-length: 6", "content-length: 0"], &last),
        post(&["content-length: 0, 6"], HIDDEN),
        post(&["content-length: +0"], HIDDEN),
        post(&["content-length: -1"], HIDDEN),
        post(&["content-length: 0x0"], HIDDEN),
        post(&["content-length: 00"], HIDDEN),
        post(&["content-length: 18446744073709551616"], HIDDEN),
        post(&["content-length:"], HIDDEN),
        post(&["content-length : 0"], HIDDEN),
        post(&[" content-length: 0"], HIDDEN),
        post(&["content_length: 0"], HIDDEN),
        post(&["content-length: 0\u{b}"], HIDDEN),
        post(&["x: y\rcontent-length: 0"], HIDDEN),
        post(&["x: y\ncontent-length: 0"], HIDDEN),
        post(&[&inside], HIDDEN),
        // A body where none is expected.
        head(&["GET /open/a HTTP/1.1", "host: a", "x-request-id: $ID", &inside]) + HIDDEN,
        head(&["HEAD /open/a HTTP/1.1", "host: a", "x-request-id: $ID", &inside]) + HIDDEN,
        head(&["OPTIONS /open/a HTTP/1.1", "host: a", "x-request-id: $ID", chunk]) + &last,
        // HTTP/1.0 knows no chunks.
        head(&["POST /open/a HTTP/1.0", "host: a", "x-request-id: $ID", chunk]) + &last,
        head(&[
            "POST /open/a HTTP/1.0",
            "host: a",
            "x-request-id: $ID",
            "connection: keep-alive",
            "content-length: 4",
            chunk,
        ]) + &last,
        head(&["POST /open/a HTTP/2.0", "host: a", "x-request-id: $ID", chunk]) + &last,
        head(&["POST /open/a", "host: a"]) + HIDDEN,
        // Who is told to forget a header (RFC 9110 §7.6.1) may forget the one that says where the body ends.
        post(&[&inside, "connection: content-length"], HIDDEN),
        post(&[chunk, "connection: transfer-encoding"], &last),
        post(&["expect: 100-continue", &inside], HIDDEN),
        post(
            &["upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAMAAABkAAQAAP__"],
            HIDDEN,
        ),
    ];
    for coding in CODINGS {
        all.push(post(&["content-length: 4", &format!("transfer-encoding: {coding}")], &last));
        all.push(post(&[&format!("transfer-encoding: {coding}")], &last));
    }
    for name in [
        "transfer-encoding ",
        "transfer_encoding",
        "x\r\n transfer-encoding",
        "\ttransfer-encoding",
        "transfer-encoding\u{0}",
    ] {
        all.push(post(&["content-length: 4", &format!("{name}: chunked")], &last));
    }
    for chunks in CHUNKS {
        all.push(post(&[chunk], &format!("{chunks}{HIDDEN}")));
    }
    all
}

/// Who is asked for what is read in two ways.
fn heads() -> Vec<String> {
    let get =
        |line: &str, fields: &[&str]| head(&[&[line, "x-request-id: $ID", "x-note: y"], fields].concat());
    let mut all = vec![
        get("GET /open/a HTTP/1.1", &["host: a", "host: b"]),
        get("GET /open/a HTTP/1.1", &["host: a, b"]),
        get("GET /open/a HTTP/1.1", &["host: a", " b"]),
        get("GET /open/a HTTP/1.1", &["host:"]),
        get("GET /open/a HTTP/1.1", &[]),
        get("GET /open/a HTTP/1.1", &["host: a@b"]),
        get("GET /open/a HTTP/1.1", &["host: a/admin"]),
        get("GET /open/a HTTP/1.1", &["host: a?b", "x-forwarded-host: b"]),
        get("GET /open/a HTTP/1.1", &["host : a"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note: b\r\n folded: c"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note: b\r\n\tx-request-id: other"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note"]),
        get("GET /open/a HTTP/1.1", &["host: a", ": empty"]),
        get("GET /open/a HTTP/1.1", &["host: a", ":path: /admin"]),
        get("GET /open/a HTTP/1.1", &["host: a", ":authority: b", ":method: POST"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note: a\0b"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note: a\rb"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-note: a\nGET /admin HTTP/1.1"]),
        get("GET /open/a HTTP/1.1", &["host: a", "x-original-url: /admin", "x-rewrite-url: /admin"]),
        get(
            "GET /open/a HTTP/1.1",
            &["host: a", "x-http-method-override: DELETE", "x-envoy-original-path: /admin"],
        ),
        get("GET http://b/open/a HTTP/1.1", &["host: a"]),
        get("GET http://b/admin HTTP/1.1", &["host: a"]),
        get("GET http://a@b/open/a HTTP/1.1", &["host: a"]),
        get("GET http://b HTTP/1.1", &["host: a"]),
        get("GET http://b?/open/a HTTP/1.1", &["host: a"]),
        get("GET http:///open/a HTTP/1.1", &["host: a"]),
        get("GET https://b/open/a HTTP/1.1", &["host: a"]),
        get("GET ftp://b/open/a HTTP/1.1", &["host: a"]),
        get("GET //b/open/a HTTP/1.1", &["host: a"]),
        get("GET open/a HTTP/1.1", &["host: a"]),
        get("GET * HTTP/1.1", &["host: a"]),
        get("OPTIONS * HTTP/1.1", &["host: a"]),
        get("CONNECT /open/a HTTP/1.1", &["host: a"]),
        get("GET  /open/a HTTP/1.1", &["host: a"]),
        get("GET /open/a  HTTP/1.1", &["host: a"]),
        get("GET\t/open/a\tHTTP/1.1", &["host: a"]),
        get("GET /open/a /admin HTTP/1.1", &["host: a"]),
        get("GET /open/a HTTP/1.1 HTTP/1.1", &["host: a"]),
        get("get /open/a HTTP/1.1", &["host: a"]),
        get("G@T /open/a HTTP/1.1", &["host: a"]),
        get("GET /open/a http/1.1", &["host: a"]),
        get("GET /open/a HTTP/1.1\r", &["host: a"]),
        format!("\r\n\r\n{}", get("GET /open/a HTTP/1.1", &["host: a"])),
        get("GET /open/a HTTP/1.1", &["host: a"]).replace("\r\n", "\n"),
        get("GET /open/a HTTP/1.1", &["host: a"]).replace("\r\n", "\r"),
        // Two in one: the second is judged by itself.
        get("GET /open/a HTTP/1.1", &["host: a"]) + HIDDEN,
        get("GET /open/a HTTP/1.1", &["host: a"])
            + &get("GET /open/b HTTP/1.1", &["host: b"]).replace("$ID", "$ID-again"),
    ];
    all.extend(paths().into_iter().map(|path| get(&format!("GET {path} HTTP/1.1"), &["host: a"])));
    all
}

/// Which path it is is read in two ways.
fn paths() -> Vec<String> {
    let inside = [
        "../admin",
        "./../admin",
        "..%2fadmin",
        "%2e%2e/admin",
        "%2E%2E%2Fadmin",
        ".%2e/admin",
        "..;/admin",
        "..;x/admin",
        "..\\admin",
        "..%5cadmin",
        "%2e%2e%5cadmin",
        "%252e%252e/admin",
        "%252e%252e%252fadmin",
        "..%00/admin",
        "..%c0%afadmin",
        "%c0%ae%c0%ae/admin",
        "%e0%80%ae%e0%80%ae/admin",
        "..%ef%bc%8fadmin",
        "\u{ff0e}\u{ff0e}/admin",
        "..%u002fadmin",
        "%u002e%u002e/admin",
        "..//admin",
        "/../admin",
        "//../admin",
        "..%0d%0a/admin",
        "..%09/admin",
        "..%20/admin",
        "..#/admin",
        "..?/admin",
        "x/../../admin",
        "x/%2e%2e/..%2fadmin",
        "...//x",
        "..../x",
        "%",
        "%2",
        "%zz",
        "%%32%65",
        "x%",
        "x;a=b",
        "x;/../admin",
        "x%3b/../admin",
        "x%3f/../admin",
        "x%23/../admin",
        "x%2f%2e%2e%2f%2e%2e%2fadmin",
        "\u{0}",
        "x\u{0}admin",
        "x\u{7f}",
        "x\u{e9}",
        "x|y",
        "x^y",
        "x`y",
        "x{y}",
        "x\"y",
        "x<y>",
        "x%0aGET%20/admin",
        "x HTTP/1.1\r\nx: y",
        "x?y=../other",
        "x?y#z",
        "x??y",
        "x&y",
        "x=y,z:@!$'()*+~-._",
    ];
    let mut all: Vec<String> = inside.iter().map(|rest| format!("/open/{rest}")).collect();
    for path in [
        "/open",
        "/open/",
        "/open//",
        "//open/a",
        "/./open/a",
        "/%6fpen/a",
        "/OPEN/a",
        "/open%2fa",
        "/openx",
        "/open.",
        "/open;a",
        "/open%00",
        "\\open\\a",
        "/\\open/a",
        "/admin/../open/a",
        "/admin/%2e%2e/open/a",
        "/%61dmin",
        "/admin",
        "/ADMIN",
        "/admin%20",
        "/admin;a",
        "/admin/",
        "/;/open/a",
        "/.;/open/a",
        "/open/a/.",
        "/open/a/..",
        "/open/..",
    ] {
        all.push(path.to_owned());
    }
    all
}

/// Bytes, each character of which is one.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .flat_map(|c| {
            u8::try_from(u32::from(c)).map_or_else(|_| c.to_string().into_bytes(), |byte| vec![byte])
        })
        .collect()
}

#[test]
fn what_was_judged_is_what_the_upstream_got() {
    let gateway = Gateway::start();
    let rows: Vec<String> = [lengths(), heads()].concat();
    for name in ["plain", "normal", "lenient"] {
        let server = gateway.address(name);
        let mut passed = 0;
        // Many at a time, since most of the time is spent listening to nothing.
        for (turn, group) in rows.chunks(16).enumerate() {
            let before = gateway.upstream.seen().len();
            std::thread::scope(|scope| {
                for (index, row) in group.iter().enumerate() {
                    let wire = bytes(&row.replace("$ID", &format!("h1-{name}-{turn}-{index}")));
                    scope.spawn(move || {
                        let mut stream = TcpStream::connect(server).unwrap();
                        // A server that has heard enough may close early.
                        drop(stream.write_all(&wire));
                        let said = statuses(&listen(&stream));
                        // 501: a transfer coding that Envoy does not know. 503 would be a broken filter.
                        assert!(said.iter().all(|status| *status <= 501), "{said:?} to {}", latin1(&wire));
                    });
                }
            });
            let told = format!("{name}: one of {group:#?}");
            gateway.judge(&told, before);
            passed += gateway.reached(before).len();
            gateway.next_client(name, &told);
        }
        // If nothing passed at all, this would show nothing.
        assert!(passed > 20, "{name}: {passed} of {} passed", rows.len());
    }
    assert!(!gateway.envoy.log().contains("panic at"), "{}", gateway.envoy.log());
}

/// What is only for the gateway to say is in no spelling that an upstream could take for it.
#[test]
fn rows_are_distinct_and_their_hidden_request_is_one() {
    let rows: Vec<String> = [lengths(), heads()].concat();
    let mut sorted = rows.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), rows.len());
    assert!(rows.len() > 150, "{}", rows.len());
    // Sent by itself it is refused, and not for its form.
    let gateway = Gateway::start();
    let mut stream = TcpStream::connect(gateway.address("lenient")).unwrap();
    stream.write_all(HIDDEN.as_bytes()).unwrap();
    assert_eq!(statuses(&listen(&stream)), [401]);
}
