//! HTTP/2: pseudo headers that say two things, and what becomes of a request that goes on as HTTP/1.1. Frames are written by hand, since
//! no client would.

use std::io::Write as _;
use std::net::TcpStream;

use super::{Gateway, listen};

/// A field as it stands in the head, in order.
type Field = (&'static str, String);

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// RFC 7541 §6.2.2: literals, with new names, without compression.
fn block(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name.as_bytes(), value.as_bytes()] {
            match u8::try_from(text.len()) {
                Ok(length @ ..127) => out.push(length),
                _ => out.extend([0x7f, u8::try_from(text.len() - 127).unwrap()]),
            }
            out.extend_from_slice(text);
        }
    }
    out
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A head, and what follows it: pieces of a body, or trailers.
struct Row {
    head: Vec<Field>,
    data: Vec<&'static str>,
    trailers: Vec<Field>,
}

fn fields(list: &[(&'static str, &str)]) -> Vec<Field> {
    list.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// A good head with these fields changed, by name, or added.
fn with(changes: &[(&'static str, &str)]) -> Row {
    let mut head = fields(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/open/a"),
        ("x-request-id", "$ID"),
    ]);
    for (name, value) in changes {
        match head.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => (*value).clone_into(known),
            None => head.push((name, (*value).to_owned())),
        }
    }
    Row { head, data: Vec::new(), trailers: Vec::new() }
}

/// A good head with one field more, whatever is there.
fn beside(name: &'static str, value: &str) -> Row {
    let mut row = with(&[]);
    row.head.push((name, value.to_owned()));
    row
}

fn without(name: &str) -> Row {
    let mut row = with(&[]);
    row.head.retain(|(known, _)| *known != name);
    row
}

fn rows() -> Vec<Row> {
    let hidden = "GET /admin HTTP/1.1\r\nhost: a\r\nx-request-id: hidden\r\n\r\n";
    let mut rows = vec![
        with(&[]),
        // Pseudo headers that are missing, doubled, late, unknown or strange.
        without(":method"),
        without(":scheme"),
        without(":authority"),
        without(":path"),
        beside(":path", "/admin"),
        beside(":method", "POST"),
        beside(":authority", "b"),
        beside(":scheme", "https"),
        beside(":status", "200"),
        beside(":protocol", "websocket"),
        beside(":x", "y"),
        beside("host", "b"),
        beside("host", "a"),
        with(&[(":authority", "")]),
        with(&[(":authority", "a@b")]),
        with(&[(":authority", "a, b")]),
        with(&[(":authority", "a/admin")]),
        with(&[(":authority", "a\r\nx-evil: b")]),
        with(&[(":scheme", "ftp")]),
        with(&[(":scheme", "http://b/admin?")]),
        with(&[(":method", "")]),
        with(&[(":method", "get")]),
        with(&[(":method", "CONNECT")]),
        with(&[(":method", "GET /admin HTTP/1.1\r\nx:")]),
        with(&[(":method", "GET /admin")]),
        with(&[(":path", "")]),
        with(&[(":path", "*")]),
        with(&[(":path", "open/a")]),
        with(&[(":path", "http://b/admin")]),
        with(&[(":path", "//b/open/a")]),
        with(&[(":path", "/open/a HTTP/1.1\r\nhost: b\r\n\r\nGET /admin")]),
        with(&[(":path", "/open/a b")]),
        with(&[(":path", "/open/a\0")]),
        with(&[(":path", "/open/\u{e9}")]),
        with(&[(":path", "/open/a#/admin")]),
        with(&[(":path", "/open/../admin")]),
        with(&[(":path", "/open/%2e%2e/admin")]),
        // Names and values that HTTP/1.1 would read as something else.
        beside("X-Note", "y"),
        beside("x note", "y"),
        beside("x:note", "y"),
        beside("", "y"),
        beside("x-note\r\nx-evil", "y"),
        beside("x-note", "y\r\nx-evil: z"),
        beside("x-note", &format!("y\r\n\r\n{hidden}")),
        beside("x-note", "y\nz"),
        beside("x-note", "y\0z"),
        beside("x-note", " y "),
        beside("x-note: y\r\nhost", "b"),
        // What only HTTP/1.1 has (RFC 9113 §8.2.2).
        beside("connection", "close"),
        beside("connection", "content-length"),
        beside("keep-alive", "1"),
        beside("proxy-connection", "x"),
        beside("upgrade", "websocket"),
        beside("te", "trailers"),
        beside("te", "chunked"),
    ];
    let post = |more: &[(&'static str, &str)], data: &[&'static str]| Row {
        data: data.to_vec(),
        ..with(&[&[(":method", "POST")], more].concat())
    };
    rows.extend([
        post(&[], &["hello"]),
        // A length that is not the body's, and one that is a chunk's.
        post(&[("content-length", "0")], &["GET /admin HTTP/1.1\r\nhost: a\r\n\r\n"]),
        post(&[("content-length", "3")], &["hello"]),
        post(&[("content-length", "7")], &["hello"]),
        post(&[("content-length", "5")], &["hel", "lo"]),
        post(&[("content-length", "5, 5")], &["hello"]),
        post(&[("content-length", "x")], &["hello"]),
        post(&[("transfer-encoding", "chunked")], &["0\r\n\r\nGET /admin HTTP/1.1\r\nhost: a\r\n\r\n"]),
        post(&[("transfer-encoding", "chunked"), ("content-length", "5")], &["hello"]),
        post(&[("transfer_encoding", "chunked")], &["0\r\n\r\n"]),
        post(&[("expect", "100-continue")], &["hello"]),
        Row { trailers: fields(&[("x-note", "y")]), ..post(&[], &["hello"]) },
        Row { trailers: fields(&[(":path", "/admin")]), ..post(&[], &["hello"]) },
        Row { trailers: fields(&[("content-length", "0")]), ..post(&[], &["hello"]) },
        Row { trailers: fields(&[("transfer-encoding", "chunked"), ("host", "b")]), ..post(&[], &["hello"]) },
        Row { trailers: fields(&[("x-note", "y\r\n\r\nGET /admin HTTP/1.1")]), ..post(&[], &["hello"]) },
    ]);
    let mut late = with(&[]);
    late.head.rotate_left(1);
    rows.push(late);
    rows
}

/// A connection with this one request on it, in the clear and without asking first.
fn wire(row: &Row, id: &str) -> Vec<u8> {
    let named = |fields: &[Field]| {
        fields.iter().map(|(name, value)| (*name, value.replace("$ID", id))).collect::<Vec<_>>()
    };
    let mut wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    wire.extend(frame(4, 0, 0, &[]));
    let end = |last: bool| if last { END_STREAM } else { 0 };
    let bare = row.data.is_empty() && row.trailers.is_empty();
    wire.extend(frame(1, END_HEADERS | end(bare), 1, &block(&named(&row.head))));
    for (index, piece) in row.data.iter().enumerate() {
        let last = index + 1 == row.data.len() && row.trailers.is_empty();
        wire.extend(frame(0, end(last), 1, piece.as_bytes()));
    }
    if !row.trailers.is_empty() {
        wire.extend(frame(1, END_HEADERS | END_STREAM, 1, &block(&named(&row.trailers))));
    }
    wire
}

#[test]
fn what_was_judged_is_what_the_upstream_got_as_http_1() {
    let gateway = Gateway::start();
    let rows = rows();
    for name in ["plain", "normal", "lenient"] {
        let server = gateway.address(name);
        let mut passed = 0;
        for (turn, group) in rows.chunks(16).enumerate() {
            let before = gateway.upstream.seen().len();
            std::thread::scope(|scope| {
                for (index, row) in group.iter().enumerate() {
                    let wire = wire(row, &format!("h2-{name}-{turn}-{index}"));
                    scope.spawn(move || {
                        let mut stream = TcpStream::connect(server).unwrap();
                        drop(stream.write_all(&wire));
                        let _ = listen(&stream);
                    });
                }
            });
            let heads: Vec<_> = group.iter().map(|row| (&row.head, &row.data, &row.trailers)).collect();
            let told = format!("{name}: one of {heads:#?}");
            gateway.judge(&told, before);
            passed += gateway.reached(before).len();
            gateway.next_client(name, &told);
        }
        assert!(passed > 5, "{name}: {passed} of {} passed", rows.len());
    }
    assert!(!gateway.envoy.log().contains("panic at"), "{}", gateway.envoy.log());
}
