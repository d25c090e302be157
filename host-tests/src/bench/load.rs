//! How do we keep an Envoy busy from one thread, and know what it answered?

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::broken;

/// Connections that are kept alive and take turns, each with one request under way.
pub const CONNECTIONS: usize = 32;
/// What does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A response that we are ready to read.
const MAX_RESPONSE: usize = 16 << 10;
const MAX_FIELDS: usize = 64;

/// How often each status came.
pub type Statuses = BTreeMap<u16, u64>;

/// Open connections to a listener.
#[derive(Debug)]
pub struct Load<'r> {
    connections: Vec<Connection>,
    requests: &'r [Vec<u8>],
    /// Which request is next.
    next: usize,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    read: Box<[u8; MAX_RESPONSE]>,
    filled: usize,
}

impl<'r> Load<'r> {
    /// Connects. The connections send `requests`, of which there must be some, in turn from the `next` on, and begin anew after the last.
    pub fn connect(server: SocketAddr, requests: &'r [Vec<u8>], next: usize) -> io::Result<Self> {
        let connections = (0..CONNECTIONS).map(|_| Connection::open(server)).collect::<Result<_, _>>()?;
        Ok(Self { connections, requests, next })
    }

    /// Which request is next.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Sends at least `count` requests and reads their responses.
    pub fn run(&mut self, count: usize) -> io::Result<Statuses> {
        let mut statuses = Statuses::new();
        for connection in &mut self.connections {
            connection.send(turn(self.requests, &mut self.next))?;
        }
        // Each connection has its next request under way as soon as its response is read, so the proxy does not run dry.
        for _ in 1..count.div_ceil(CONNECTIONS) {
            for connection in &mut self.connections {
                *statuses.entry(connection.receive()?).or_default() += 1;
                connection.send(turn(self.requests, &mut self.next))?;
            }
        }
        for connection in &mut self.connections {
            *statuses.entry(connection.receive()?).or_default() += 1;
        }
        Ok(statuses)
    }
}

fn turn<'r>(requests: &'r [Vec<u8>], next: &mut usize) -> &'r [u8] {
    let at = *next;
    *next = (at + 1) % requests.len();
    &requests[at]
}

impl Connection {
    fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Box::new([0; MAX_RESPONSE]), filled: 0 })
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Reads one response, of which only the status is kept.
    fn receive(&mut self) -> io::Result<u16> {
        loop {
            if let Some((status, length)) = response(&self.read[..self.filled])? {
                // One request, one response: what stands behind it was not asked for.
                if length != self.filled {
                    return Err(broken("more than a response"));
                }
                self.filled = 0;
                return Ok(status);
            }
            match self.stream.read(&mut self.read[self.filled..])? {
                0 => return Err(broken("the connection was closed, or the response is too long")),
                count => self.filled += count,
            }
        }
    }
}

/// The status and the length of the response, if all of it is there.
fn response(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(parsed) = response.parse(bytes) else {
        return Err(broken("not a response"));
    };
    let httparse::Status::Complete(head) = parsed else {
        return Ok(None);
    };
    let length = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Some(0), |field| std::str::from_utf8(field.value).ok()?.parse().ok());
    let length: usize = length.ok_or_else(|| broken("content-length is no number"))?;
    let whole = head + length;
    Ok((bytes.len() >= whole).then(|| (response.code.unwrap_or(0), whole)))
}

#[cfg(test)]
mod tests {
    use super::response;

    #[test]
    fn a_response_is_told_from_a_part_of_one() {
        let whole = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(response(whole).unwrap(), Some((401, whole.len())));
        for length in 0..whole.len() {
            assert_eq!(response(&whole[..length]).unwrap(), None, "{length}");
        }
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(), Some((200, 19)));
        assert!(response(b"SSH-2.0\r\n\r\n").is_err());
        assert!(response(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").is_err());
    }
}
