//! How do we say exactly these bytes to a server, and read exactly what it answers?

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::exchange::{Body, Fields, Request, Response};

/// A test must not hang: what does not answer within this time has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A head that we are ready to read.
const MAX_FIELDS: usize = 256;

/// One HTTP/1.1 connection that adds nothing of its own. Over TLS it is made by [`tls::connect`](crate::tls::connect).
#[derive(Debug)]
pub struct Client<Stream = TcpStream> {
    stream: Stream,
    read: Vec<u8>,
}

impl Client {
    /// Connects, with a time limit on everything.
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        tcp(server).map(Self::over)
    }
}

/// A connection with a time limit on everything.
pub(crate) fn tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl<Stream: Read + Write> Client<Stream> {
    /// On a connection that is there.
    pub fn over(stream: Stream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Sends one request and reads its response. A server that answers early may close before it has read all: what it
    /// said still counts, so a failed write is told only if nothing can be read.
    pub fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        self.exchange_raw(&request.to_wire(), request.method == "HEAD")
    }

    /// The same for bytes that need not be a request at all. `to_head` says that a response has no body.
    pub fn exchange_raw(&mut self, wire: &[u8], to_head: bool) -> io::Result<Response> {
        let written = self.stream.write_all(wire);
        match self.response(to_head) {
            Ok(response) => Ok(response),
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    fn response(&mut self, to_head: bool) -> io::Result<Response> {
        loop {
            let (status, fields) = self.head()?;
            if status == 100 {
                continue;
            }
            let bodiless = to_head || status == 204 || status == 304;
            let body = if bodiless { Vec::new() } else { self.body(&fields)? };
            return Ok(Response { status, fields, body });
        }
    }

    fn head(&mut self) -> io::Result<(u16, Fields)> {
        loop {
            if let Some((used, status, fields)) = parse_response(&self.read)? {
                self.read.drain(..used);
                return Ok((status, fields));
            }
            self.more()?;
        }
    }

    fn body(&mut self, fields: &Fields) -> io::Result<Vec<u8>> {
        match framing(fields)? {
            Framing::Chunked => self.chunks(),
            Framing::Length(length) => self.take(length),
            Framing::Nothing => {
                self.stream.read_to_end(&mut self.read)?;
                Ok(std::mem::take(&mut self.read))
            }
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            self.more()?;
        }
        Ok(self.read.drain(..length).collect())
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            match next_chunk(&mut self.read)? {
                Chunk::Data(data) => body.extend(data),
                Chunk::End => return Ok(body),
                Chunk::Partial => self.more()?,
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => {
                self.read.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

/// One request on a connection of its own.
pub fn send(server: SocketAddr, request: &Request) -> io::Result<Response> {
    Client::connect(server)?.exchange(request)
}

/// A `GET` for its text, as of Envoy's admin interface.
pub fn get_text(server: SocketAddr, target: &str) -> io::Result<String> {
    let response = send(server, &Request::get("localhost", target).with("connection", "close"))?;
    if response.status == 200 {
        return Ok(String::from_utf8_lossy(&response.body).into_owned());
    }
    Err(broken(&format!("{target} answered {}", response.status)))
}

/// How the end of a body is known.
pub(crate) enum Framing {
    /// By its chunks.
    Chunked,
    /// By `content-length`.
    Length(usize),
    /// By nothing: there is none, or it lasts until the connection closes.
    Nothing,
}

/// Reads the framing from the fields.
pub(crate) fn framing(fields: &Fields) -> io::Result<Framing> {
    if fields
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case(b"chunked"))
    {
        return Ok(Framing::Chunked);
    }
    let Some((_, value)) = fields.iter().find(|(name, _)| name == "content-length") else {
        return Ok(Framing::Nothing);
    };
    let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    length.map(Framing::Length).ok_or_else(|| broken("content-length is no number"))
}

/// What stands at the front of a chunked body.
pub(crate) enum Chunk {
    /// A whole chunk, taken off.
    Data(Vec<u8>),
    /// The last one, taken off, trailers not looked at.
    End,
    /// More must be read first.
    Partial,
}

/// Takes the next chunk off `read`, if all of it is there.
pub(crate) fn next_chunk(read: &mut Vec<u8>) -> io::Result<Chunk> {
    let (start, size) = match httparse::parse_chunk_size(read) {
        Ok(httparse::Status::Complete(found)) => found,
        Ok(httparse::Status::Partial) => return Ok(Chunk::Partial),
        Err(_) => return Err(broken("a chunk size is no number")),
    };
    let size = usize::try_from(size).map_err(|_| broken("a chunk is too long"))?;
    if read.len() < start + size + 2 {
        return Ok(Chunk::Partial);
    }
    let data = read[start..start + size].to_vec();
    read.drain(..start + size + 2);
    Ok(if size == 0 { Chunk::End } else { Chunk::Data(data) })
}

fn parse_response(bytes: &[u8]) -> io::Result<Option<(usize, u16, Fields)>> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let status = response.parse(bytes).map_err(|error| broken(&format!("not a response: {error}")))?;
    let httparse::Status::Complete(used) = status else {
        return Ok(None);
    };
    Ok(Some((used, response.code.unwrap_or(0), owned(response.headers))))
}

/// The parsed fields, with names in lower case.
pub(crate) fn owned(fields: &[httparse::Header<'_>]) -> Fields {
    fields.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect()
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Request {
    /// Whether anything follows the head.
    pub fn has_body(&self) -> bool {
        self.body != Body::None
    }
}
