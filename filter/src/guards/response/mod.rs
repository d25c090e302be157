//! What may leave? What a response tells of the inside is taken off, and what browsers should know is added where the upstream is silent.
//!
//! What it does *not* protect against: what a body tells, but for those of errors where the policy says so; and a `server` header that the proxy writes
//! itself after every filter (Envoy: `server_header_transformation`).

mod config;
#[cfg(test)]
mod tests;

pub use config::{RESPONSE, read};

use std::rc::Rc;

/// The compiled `response` section. Without the section it is empty, and nothing is done.
#[derive(Debug, Default)]
pub struct Rules {
    /// Lower case.
    removed: Vec<Rc<str>>,
    /// Names and values that are added where the name is absent.
    added: Vec<(&'static str, Box<str>)>,
    transport: Option<Transport>,
    no_store: bool,
    replaces_errors: bool,
}

/// `strictTransportSecurity`
#[derive(Debug)]
struct Transport {
    value: Box<str>,
    over_plaintext: bool,
}

/// What a response that is about to leave is like, as far as the rules ask.
#[derive(Clone, Copy, Debug)]
pub struct Leaves {
    /// Whether the caller was identified.
    pub authenticated: bool,
    /// Whether the client speaks TLS with the proxy.
    pub over_tls: bool,
}

impl Rules {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.added.is_empty()
            && self.transport.is_none()
            && !self.no_store
            && !self.replaces_errors
    }

    /// What is taken off.
    pub fn removed(&self) -> &[Rc<str>] {
        &self.removed
    }

    /// What is added where it is absent.
    pub fn added(&self, leaves: Leaves) -> impl Iterator<Item = (&'static str, &str)> {
        // RFC 6797 §7.2: "MUST NOT include the STS header field in HTTP responses conveyed over non-secure transport".
        let transport =
            self.transport.iter().filter(move |transport| leaves.over_tls || transport.over_plaintext);
        let transport = transport.map(|transport| ("strict-transport-security", &*transport.value));
        let no_store = (self.no_store && leaves.authenticated).then_some(("cache-control", "no-store"));
        self.added.iter().map(|(name, value)| (*name, &**value)).chain(transport).chain(no_store)
    }

    /// Whether it matters how the client is connected.
    pub fn asks_for_tls(&self) -> bool {
        self.transport.as_ref().is_some_and(|transport| !transport.over_plaintext)
    }

    /// Whether the body of a response of this status and media type is replaced. A stream is left alone: its client has a protocol of its own for
    /// what went wrong (gRPC's trailers, the events of `text/event-stream`), and would read ours as broken.
    pub fn replaces(&self, status: u16, media_type: &[u8]) -> bool {
        let streams = [&b"application/grpc"[..], b"text/event-stream"];
        self.replaces_errors
            && (500..=599).contains(&status)
            && !streams.iter().any(|stream| {
                media_type.get(..stream.len()).is_some_and(|front| front.eq_ignore_ascii_case(stream))
            })
    }

    /// Whether it replaces bodies of errors at all.
    pub fn replaces_errors(&self) -> bool {
        self.replaces_errors
    }
}
