//! What did a client send, and what came back, byte for byte?

/// Header fields in order: lower-case name, value. Pseudo headers (`:path`) stand among them where a host puts them there.
pub type Fields = Vec<(String, Vec<u8>)>;

/// A request as a client writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method, as it goes on the wire.
    pub method: String,
    /// The request target, query included, as it goes on the wire.
    pub target: Vec<u8>,
    /// All fields, `host` included, none added.
    pub fields: Fields,
    /// What follows the head.
    pub body: Body,
    /// What follows a body in chunks.
    pub trailers: Fields,
    /// The SHA-256 of the client's certificate, where a proxy is played.
    pub certificate: Option<String>,
}

/// How a body is framed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    #[default]
    None,
    /// With `content-length`.
    Whole(Vec<u8>),
    /// With `transfer-encoding: chunked`, one chunk each.
    Chunks(Vec<Vec<u8>>),
}

impl Body {
    /// The pieces in which a proxy would see it come.
    pub fn pieces(&self) -> Vec<Vec<u8>> {
        match self {
            Body::None => Vec::new(),
            Body::Whole(bytes) => vec![bytes.clone()],
            Body::Chunks(chunks) => chunks.clone(),
        }
    }
}

/// A response as a client reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The fields, names in lower case.
    pub fields: Fields,
    /// The body, unchunked.
    pub body: Vec<u8>,
}

impl Request {
    /// `GET target` of `host`, with no further field.
    pub fn get(host: &str, target: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.as_bytes().to_vec(),
            fields: vec![("host".to_owned(), host.as_bytes().to_vec())],
            ..Self::default()
        }
    }

    /// With one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The bytes that go on the wire.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        wire.extend_from_slice(self.method.as_bytes());
        wire.push(b' ');
        wire.extend_from_slice(&self.target);
        wire.extend_from_slice(b" HTTP/1.1\r\n");
        for (name, value) in &self.fields {
            write_field(&mut wire, name, value);
        }
        match &self.body {
            Body::None => wire.extend_from_slice(b"\r\n"),
            Body::Whole(bytes) => {
                write_field(&mut wire, "content-length", bytes.len().to_string().as_bytes());
                wire.extend_from_slice(b"\r\n");
                wire.extend_from_slice(bytes);
            }
            Body::Chunks(chunks) => {
                write_field(&mut wire, "transfer-encoding", b"chunked");
                wire.extend_from_slice(b"\r\n");
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n");
                for (name, value) in &self.trailers {
                    write_field(&mut wire, name, value);
                }
                wire.extend_from_slice(b"\r\n");
            }
        }
        wire
    }
}

fn write_field(wire: &mut Vec<u8>, name: &str, value: &[u8]) {
    wire.extend_from_slice(name.as_bytes());
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(value);
    wire.extend_from_slice(b"\r\n");
}

impl Response {
    /// The first value of a field, as text of one character a byte.
    pub fn field(&self, name: &str) -> Option<String> {
        field(&self.fields, name)
    }
}

/// The first value of a field, as text of one character a byte.
pub fn field(fields: &Fields, name: &str) -> Option<String> {
    let (_, value) = fields.iter().find(|(known, _)| known == name)?;
    Some(latin1(value))
}

/// Bytes as text, one character each: reversible, whatever the bytes.
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Body, Request, latin1};

    #[test]
    fn the_wire_form_is_what_was_asked_for() {
        let get = Request::get("a", "/x?y").with("x-bytes", [0xff, b'"']);
        assert_eq!(get.to_wire(), b"GET /x?y HTTP/1.1\r\nhost: a\r\nx-bytes: \xff\"\r\n\r\n");
        let whole = Request { body: Body::Whole(b"ab".to_vec()), ..Request::get("a", "/") };
        assert_eq!(whole.to_wire(), b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab");
        let chunks =
            Request { body: Body::Chunks(vec![b"ab".to_vec(), b"c".to_vec()]), ..Request::get("a", "/") };
        let wire = latin1(&chunks.to_wire());
        assert!(wire.ends_with("transfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), "{wire}");
        let wire = latin1(&Request { trailers: vec![("x-a".to_owned(), b"b".to_vec())], ..chunks }.to_wire());
        assert!(wire.ends_with("\r\nc\r\n0\r\nx-a: b\r\n\r\n"), "{wire}");
    }

    #[test]
    fn latin1_keeps_every_byte() {
        let all: Vec<u8> = (0..=255).collect();
        let back: Vec<u8> = latin1(&all).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        assert_eq!(back, all);
    }
}
