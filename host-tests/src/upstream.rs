//! What did the upstream see? A server that answers with exactly that, and remembers it. A request can ask it for header fields of its
//! own ([`crate::edge::RESPOND`]).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::client::{Chunk, Framing, broken, framing, next_chunk, owned};
use crate::edge::upstream_head;
use crate::exchange::{Fields, field, latin1};

/// How much of a body is echoed.
const BODY_START: usize = 256;
/// A request head that we are ready to read.
const MAX_FIELDS: usize = 256;

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target, query included.
    pub target: String,
    /// The fields, names in lower case.
    pub fields: Fields,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

impl Seen {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.fields, name)
    }

    /// What the client gets to read: every byte as one character, so that nothing is lost.
    pub fn to_json(&self) -> serde_json::Value {
        let headers: Vec<_> = self.fields.iter().map(|(name, value)| json!([name, latin1(value)])).collect();
        let start = &self.body[..self.body.len().min(BODY_START)];
        json!({
            "method": self.method,
            "target": self.target,
            "headers": headers,
            "body": {"bytes": self.body.len(), "start": latin1(start)},
        })
    }
}

/// The server. It stops when it is dropped.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stopping: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Upstream {
    /// On a free port of the loopback interface.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// On a given port of the loopback interface.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stopping = Arc::new(AtomicBool::new(false));
        let (to_record, to_stop) = (Arc::clone(&seen), Arc::clone(&stopping));
        let accepting = std::thread::spawn(move || accept(&listener, &to_record, &to_stop));
        Ok(Self { address, seen, stopping, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The request that carried this `x-request-id`.
    pub fn seen_with_id(&self, id: &str) -> Option<Seen> {
        self.seen().into_iter().find(|seen| seen.field("x-request-id").as_deref() == Some(id))
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // `accept` waits for a connection: this is the last one.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
    }
}

fn accept(listener: &TcpListener, seen: &Arc<Mutex<Vec<Seen>>>, stopping: &AtomicBool) {
    for stream in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let seen = Arc::clone(seen);
        std::thread::spawn(move || {
            // A proxy that goes away is no failure of ours.
            drop(serve(stream, &seen));
        });
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read)? {
        let body = request.to_json().to_string();
        let own = upstream_head(&request.fields);
        let status = own.first(":status").map(latin1).unwrap_or_default();
        let media_type =
            if own.first("content-type").is_none() { "content-type: application/json\r\n" } else { "" };
        let length = body.len();
        let mut head =
            format!("HTTP/1.1 {status} Told\r\n{media_type}content-length: {length}\r\n").into_bytes();
        for (name, value) in own.fields() {
            head.extend([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        }
        head.extend(b"\r\n");
        let has_body = request.method != "HEAD";
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        stream.write_all(&head)?;
        if has_body {
            stream.write_all(body.as_bytes())?;
        }
    }
    Ok(())
}

/// Reads the next request; `None`: the client has closed the connection.
pub(crate) fn next_request(stream: &mut impl Read, read: &mut Vec<u8>) -> io::Result<Option<Seen>> {
    loop {
        if let Some((used, mut seen)) = parse_request(read)? {
            read.drain(..used);
            seen.body = body(stream, read, &seen.fields)?;
            return Ok(Some(seen));
        }
        if !more(stream, read)? {
            return Ok(None);
        }
    }
}

fn parse_request(bytes: &[u8]) -> io::Result<Option<(usize, Seen)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(bytes).map_err(|error| broken(&format!("not a request: {error}")))?;
    let httparse::Status::Complete(used) = status else {
        return Ok(None);
    };
    let seen = Seen {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        fields: owned(request.headers),
        body: Vec::new(),
    };
    Ok(Some((used, seen)))
}

fn body(stream: &mut impl Read, read: &mut Vec<u8>, fields: &Fields) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    match framing(fields)? {
        Framing::Nothing => return Ok(body),
        Framing::Length(length) => {
            while read.len() < length {
                must(more(stream, read)?)?;
            }
            body.extend(read.drain(..length));
        }
        Framing::Chunked => loop {
            match next_chunk(read)? {
                Chunk::Data(data) => body.extend(data),
                Chunk::End => break,
                Chunk::Partial => must(more(stream, read)?)?,
            }
        },
    }
    Ok(body)
}

fn more(stream: &mut impl Read, read: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 16 << 10];
    let count = stream.read(&mut piece)?;
    read.extend_from_slice(&piece[..count]);
    Ok(count > 0)
}

fn must(more: bool) -> io::Result<()> {
    if more { Ok(()) } else { Err(broken("the body ended early")) }
}

#[cfg(test)]
mod tests {
    use super::Upstream;
    use crate::client::{Client, send};
    use crate::exchange::{Body, Request};

    #[test]
    fn it_echoes_what_it_saw_and_remembers_it() {
        let upstream = Upstream::start().unwrap();
        let request =
            Request::get("api", "/a?b=%2F").with("x-request-id", "one").with("x-bytes", [0xfe, 0x22]);
        let request = request.with("respond-x-cost", "7");
        let response = send(upstream.address(), &request).unwrap();
        assert_eq!((response.status, response.field("x-cost")), (200, Some("7".to_owned())));
        let echo: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(echo["target"], "/a?b=%2F");
        assert_eq!(echo["headers"][2], serde_json::json!(["x-bytes", "\u{fe}\""]));
        assert_eq!(upstream.seen_with_id("one").unwrap().fields, request.fields);
        assert_eq!(upstream.seen_with_id("two"), None);
    }

    #[test]
    fn bodies_of_both_framings_arrive_on_one_connection() {
        let upstream = Upstream::start().unwrap();
        let mut client = Client::connect(upstream.address()).unwrap();
        for body in [Body::Whole(b"abc".to_vec()), Body::Chunks(vec![b"a".to_vec(), b"bc".to_vec()])] {
            let request = Request { method: "POST".to_owned(), body, ..Request::get("api", "/") };
            let response = client.exchange(&request).unwrap();
            assert!(String::from_utf8(response.body).unwrap().contains(r#""bytes":3,"start":"abc""#));
        }
        assert_eq!(upstream.seen().len(), 2);
    }

    #[test]
    fn it_stops_when_dropped() {
        let upstream = Upstream::start().unwrap();
        let address = upstream.address();
        drop(upstream);
        assert!(send(address, &Request::get("api", "/")).is_err());
    }
}
