//! What does a proxy do around the filter? The little of Envoy that the two in-process runners need to say the same as Envoy.

use std::collections::BTreeMap;

use crate::exchange::{Fields, Request, Response, field, latin1};

/// Fields of which Envoy keeps one entry: a second one is joined to the first by a comma.
const SINGLE: [&str; 6] = ["authorization", ":authority", "content-type", "user-agent", "referer", "expect"];

/// A header map in the making, with Envoy's rules: names in lower case, pseudo headers first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap {
    entries: Fields,
}

impl HeaderMap {
    /// The map that the filter finds for a request's trailers.
    pub fn of_trailers(request: &Request) -> Self {
        let mut map = Self::default();
        for (name, value) in &request.trailers {
            map.add(name, value.trim_ascii());
        }
        map
    }

    /// The map that the filter finds for a request.
    pub fn of(request: &Request) -> Self {
        let mut map = Self::default();
        for (_, host) in request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")) {
            map.add(":authority", host);
        }
        map.add(":path", &request.target);
        map.add(":method", request.method.as_bytes());
        map.add(":scheme", b"http");
        let hops = hops(request);
        let kept =
            |name: &str| !name.eq_ignore_ascii_case("host") && !hops.contains(&name.to_ascii_lowercase());
        for (name, value) in request.fields.iter().filter(|(name, _)| kept(name)) {
            map.add(name, value.trim_ascii());
        }
        match &request.body {
            crate::exchange::Body::None => {}
            crate::exchange::Body::Whole(bytes) => {
                map.add("content-length", bytes.len().to_string().as_bytes());
            }
            crate::exchange::Body::Chunks(_) => map.add("transfer-encoding", b"chunked"),
        }
        map.add("x-forwarded-proto", b"http");
        map
    }

    /// The entries that are no pseudo headers.
    pub fn fields(&self) -> Fields {
        self.entries.iter().filter(|(name, _)| !name.starts_with(':')).cloned().collect()
    }

    /// The entries, in order.
    pub fn entries(&self) -> &Fields {
        &self.entries
    }

    /// Adds an entry, or joins it to the one that there can be.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if SINGLE.contains(&name.as_str())
            && let Some((_, known)) = self.entries.iter_mut().find(|(known, _)| *known == name)
        {
            known.push(b',');
            known.extend_from_slice(value);
            return;
        }
        self.entries.push((name, value.to_vec()));
    }

    /// Leaves one entry of this name.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let name = alias(name);
        self.remove(&name);
        self.entries.push((name, value.to_vec()));
    }

    /// Leaves none.
    pub fn remove(&mut self, name: &str) {
        let name = alias(name);
        self.entries.retain(|(known, _)| *known != name);
    }

    /// The first value.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let name = alias(name);
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice())
    }

    /// All values, joined as Envoy joins them.
    pub fn all(&self, name: &str) -> Option<Vec<u8>> {
        let name = alias(name);
        let values: Vec<_> = self
            .entries
            .iter()
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.as_slice())
            .collect();
        (!values.is_empty()).then(|| values.join(&b','))
    }

    /// The ABI's form: a count, that many pairs of lengths, then each name and value with a NUL behind it.
    pub fn to_abi(&self) -> Vec<u8> {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = number(self.entries.len()).to_vec();
        for (name, value) in &self.entries {
            bytes.extend(number(name.len()));
            bytes.extend(number(value.len()));
        }
        for (name, value) in &self.entries {
            for piece in [name.as_bytes(), value] {
                bytes.extend_from_slice(piece);
                bytes.push(0);
            }
        }
        bytes
    }

    /// What an upstream would read, as an HTTP/1.1 head: method, target, fields.
    pub fn to_upstream(&self) -> (String, String, Fields) {
        let text = |name: &str| field(&self.entries, name).unwrap_or_default();
        let mut fields = self.fields();
        if let Some(authority) = self.first(":authority") {
            fields.push(("host".to_owned(), authority.to_vec()));
        }
        (text(":method"), text(":path"), fields)
    }
}

/// What Envoy takes off before any filter: `connection`, and every field that it names (RFC 9110 §7.6.1).
fn hops(request: &Request) -> Vec<String> {
    let connection = request.fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let named =
        connection.flat_map(|(_, value)| value.split(|b| *b == b',').map(|name| latin1(name.trim_ascii())));
    let mut hops: Vec<String> = named.map(|name| name.to_ascii_lowercase()).collect();
    hops.push("connection".to_owned());
    hops
}

/// Envoy knows `host` and `:authority` as one.
fn alias(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name == "host" { ":authority".to_owned() } else { name }
}

/// The address from which the request comes, as `source.address` tells it: the last of `x-forwarded-for`, else the loopback.
pub fn source_address(request: &Request) -> String {
    let forwarded = field(&request.fields, "x-forwarded-for");
    let last = forwarded.as_deref().and_then(|list| list.rsplit(',').next()).map(str::trim);
    match last {
        Some(address) if address.contains(':') => format!("[{address}]:0"),
        Some(address) => format!("{address}:0"),
        None => "127.0.0.1:50000".to_owned(),
    }
}

/// What a proxy tells of the connection, by name.
pub fn properties(request: &Request) -> BTreeMap<String, Vec<u8>> {
    let mut known = BTreeMap::from([("source.address".to_owned(), source_address(request).into_bytes())]);
    if let Some(digest) = &request.certificate {
        known.insert("connection.sha256_peer_certificate_digest".to_owned(), digest.clone().into_bytes());
    }
    known
}

/// What of a request's fields a test's upstream sends back as its own: those that begin so, without it.
pub const RESPOND: &str = "respond-";

/// The head with which the upstream answers a request of these fields: `respond-status` is the status, 200 otherwise.
pub fn upstream_head(fields: &Fields) -> HeaderMap {
    let mut own: Fields = Vec::new();
    let mut status = b"200".to_vec();
    for (name, value) in fields {
        match name.strip_prefix(RESPOND) {
            Some("status") => status.clone_from(value),
            Some(name) => own.push((name.to_owned(), value.clone())),
            None => {}
        }
    }
    let mut head = HeaderMap::default();
    head.add(":status", &status);
    for (name, value) in &own {
        head.add(name, value);
    }
    head
}

/// The head of an answer that the filter gives, as its own response callback finds it.
pub fn answer_head(status: u16, fields: &Fields) -> HeaderMap {
    let mut head = HeaderMap::default();
    head.add(":status", status.to_string().as_bytes());
    for (name, value) in fields {
        head.add(name, value);
    }
    head
}

/// The status of a response.
pub fn status_of(head: &HeaderMap) -> Option<u16> {
    std::str::from_utf8(head.first(":status")?).ok()?.parse().ok()
}

/// A local response as a client reads it: to a gRPC request it is a 200 whose `grpc-status` tells.
pub fn local_response(
    request: &Request,
    status: u16,
    grpc_status: Option<u32>,
    fields: Fields,
    body: &[u8],
) -> Response {
    if !is_grpc(request) {
        let body = if request.method == "HEAD" { Vec::new() } else { body.to_vec() };
        return Response { status, fields, body };
    }
    let own = fields.into_iter().filter(|(name, _)| name != "content-type");
    let mut fields: Fields = own.collect();
    fields.push(("content-type".to_owned(), b"application/grpc".to_vec()));
    let status = grpc_status.unwrap_or_else(|| grpc_status_of(status)).to_string();
    fields.push(("grpc-status".to_owned(), status.into_bytes()));
    Response { status: 200, fields, body: Vec::new() }
}

/// The status that a client reads of a local response.
pub fn local_status(request: &Request, status: u16) -> u16 {
    if is_grpc(request) { 200 } else { status }
}

/// Envoy's own mapping, for an answer that names no gRPC status.
fn grpc_status_of(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

fn is_grpc(request: &Request) -> bool {
    let media = field(&request.fields, "content-type").unwrap_or_default();
    media == "application/grpc" || media.starts_with("application/grpc+")
}

#[cfg(test)]
mod tests {
    use portcullis_filter::http::Head;

    use super::{HeaderMap, local_response, source_address};
    use crate::exchange::Request;

    #[test]
    fn the_filter_reads_the_map_that_we_write() {
        let request =
            Request::get("api", "/x").with("Authorization", "a").with("authorization", "b").with("x", [0xff]);
        let head = Head::parse(HeaderMap::of(&request).to_abi()).unwrap();
        assert_eq!((head.method(), head.authority(), head.target()), (&b"GET"[..], &b"api"[..], &b"/x"[..]));
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields[..2], [(&b"authorization"[..], &b"a,b"[..]), (&b"x"[..], &[0xff][..])]);
    }

    #[test]
    fn host_and_authority_are_one() {
        let mut map = HeaderMap::of(&Request::get("a", "/").with("host", "b"));
        assert_eq!(map.first("host"), Some(&b"a,b"[..]));
        map.set("host", b"c");
        assert_eq!(map.to_upstream().2.last().unwrap(), &("host".to_owned(), b"c".to_vec()));
    }

    #[test]
    fn the_client_is_the_last_one_that_forwarded() {
        for (forwarded, expected) in
            [("10.0.0.1", "10.0.0.1:0"), ("1.1.1.1, 10.0.0.2", "10.0.0.2:0"), ("::1", "[::1]:0")]
        {
            assert_eq!(source_address(&Request::get("a", "/").with("x-forwarded-for", forwarded)), expected);
        }
    }

    #[test]
    fn a_refused_grpc_request_gets_a_200_that_tells_the_status() {
        let request = Request::get("a", "/").with("content-type", "application/grpc");
        let response = local_response(&request, 403, Some(7), Vec::new(), b"no");
        assert_eq!((response.status, response.field("grpc-status")), (200, Some("7".to_owned())));
        assert_eq!(local_response(&Request::get("a", "/"), 403, Some(7), Vec::new(), b"no").status, 403);
    }
}
