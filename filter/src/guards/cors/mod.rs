//! Which pages of other origins may use a route from a browser? The CORS protocol of the Fetch standard.
//!
//! A browser asks before it sends what a plain form could not send (a preflight), and it hides a response from a page unless the response
//! names the page's origin. A preflight carries no credential, so it is answered here, before anybody is asked who they are; every
//! other response of the route, a refusal too, says which origin may read it.
//!
//! What it does *not* protect against: anybody but a browser. A script on a server sends whatever `Origin` it likes, so an origin that is
//! not allowed is no reason to refuse a request: it only gets no permission to be read. Nor does it stop what a form of another site can send
//! (a `POST` of plain text with cookies).

mod config;
mod origin;
#[cfg(test)]
mod tests;

pub use config::{CORS, read};
pub use origin::Origin;

use crate::decision::{Answered, Detail, Reason, Refusal};
use crate::http::{Head, is_token_byte, trim};
use crate::limits;

/// The compiled `cors` section.
#[derive(Debug)]
pub struct Rules {
    /// Who may; never empty.
    origins: Vec<Origin>,
    methods: Names,
    headers: Names,
    /// The value of `access-control-expose-headers`.
    expose: Option<Box<str>>,
    /// The value of `access-control-max-age`.
    max_age: Option<Box<str>>,
    credentials: bool,
}

/// Names that may come, and how a response lists them.
#[derive(Debug)]
struct Names {
    /// Whether `*` stands there, alone.
    any: bool,
    list: Vec<Box<str>>,
    /// Comma-joined; empty if there are none.
    text: Box<str>,
}

/// What a browser asks before it sends a request.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'h> {
    head: &'h Head,
    method: &'h [u8],
}

/// The methods that a page may use without asking: Fetch §2.2.1, "CORS-safelisted method".
const SAFELISTED: [&str; 3] = ["GET", "HEAD", "POST"];

/// Every field by which a server gives a permission of this kind. What an upstream says here would stand beside what the policy says.
pub const PERMISSIONS: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// The preflight that this request is, if it is one: Fetch §3.2.2, "CORS-preflight request". One whose parts stand there twice, which no browser
/// sends, is a request like any other.
pub fn preflight(head: &Head) -> Option<Preflight<'_>> {
    if head.method() != b"OPTIONS" {
        return None;
    }
    head.all("origin").next()?;
    let method = head.only("access-control-request-method").ok().flatten()?;
    let good =
        (1..=limits::CORS_METHOD_BYTES).contains(&method.len()) && method.iter().all(|b| is_token_byte(*b));
    good.then_some(Preflight { head, method })
}

impl<'h> Preflight<'h> {
    /// The method of the request that the browser would send.
    pub fn method(&self) -> &'h [u8] {
        self.method
    }
}

impl Rules {
    /// The origin that may read the response, as the response names it. Of two origins, or one too long to be one, none may.
    pub fn reader(&self, head: &Head) -> Option<Box<str>> {
        self.allowed(head).ok()
    }

    fn allowed(&self, head: &Head) -> Result<Box<str>, &'static str> {
        let sent = head.only("origin").map_err(|_| "more than one origin")?.ok_or("no origin")?;
        if sent.len() > limits::ORIGIN_BYTES {
            return Err("an origin that is too long");
        }
        let sent = core::str::from_utf8(sent).map_err(|_| "an origin that is none")?;
        if self.takes_any() {
            return Ok("*".into());
        }
        let known = self.origins.iter().any(|origin| origin.is(sent));
        known.then(|| sent.into()).ok_or("an origin that is not allowed")
    }

    fn takes_any(&self) -> bool {
        matches!(self.origins.as_slice(), [Origin::Any])
    }

    /// Answers a preflight. `takes` says whether the route takes a method at all. Errors: `CorsDenied`, an answer without any permission, by
    /// which a browser knows that it may not (Fetch §4.8, "CORS check").
    pub fn answer(
        &self,
        preflight: &Preflight<'_>,
        takes: impl Fn(&[u8]) -> bool,
    ) -> Result<Answered, Refusal> {
        let origin = self
            .judge(preflight, takes)
            .map_err(|fact| Refusal::because(Reason::CorsDenied, Detail::Fact(fact)))?;
        let mut headers = self.permissions(&origin);
        headers.push(("access-control-allow-methods", self.methods.text.to_string()));
        if !self.headers.text.is_empty() {
            headers.push(("access-control-allow-headers", self.headers.text.to_string()));
        }
        headers.extend(self.max_age.iter().map(|age| ("access-control-max-age", age.to_string())));
        headers.extend(self.varies().then(|| ("vary", "Origin".to_owned())));
        Ok(Answered { what: "cors_preflight", status: 204, headers, body: "".into(), in_shadow: false })
    }

    /// The origin, if it may do what it asks for.
    fn judge(
        &self,
        preflight: &Preflight<'_>,
        takes: impl Fn(&[u8]) -> bool,
    ) -> Result<Box<str>, &'static str> {
        let Preflight { head, method } = *preflight;
        let origin = self.allowed(head)?;
        // A page of the open network that reaches for a private one (Private Network Access). No key of the policy allows it.
        if head.all("access-control-request-private-network").next().is_some() {
            return Err("a private network");
        }
        let safelisted = SAFELISTED.iter().any(|known| known.as_bytes() == method);
        if !takes(method) || !(safelisted || self.methods.has(method)) {
            return Err("a method that is not allowed");
        }
        let mut bytes = 0_usize;
        for value in head.all("access-control-request-headers") {
            bytes = bytes.saturating_add(value.len());
            if bytes > limits::CORS_HEADERS_BYTES {
                return Err("more headers than are read");
            }
            for name in value.split(|&b| b == b',').map(trim).filter(|name| !name.is_empty()) {
                self.takes_header(name)?;
            }
        }
        Ok(origin)
    }

    /// Fetch §4.8: `*` does not cover `authorization`.
    fn takes_header(&self, name: &[u8]) -> Result<(), &'static str> {
        let listed = self.headers.list.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        let covered = self.headers.any && !name.eq_ignore_ascii_case(b"authorization");
        if listed || covered { Ok(()) } else { Err("a header that is not allowed") }
    }

    /// What a response to `origin` says, a preflight's and any other's.
    fn permissions(&self, origin: &str) -> Vec<(&'static str, String)> {
        let mut headers = Vec::with_capacity(6);
        headers.push(("access-control-allow-origin", origin.to_owned()));
        if self.credentials {
            headers.push(("access-control-allow-credentials", "true".to_owned()));
        }
        headers
    }

    /// What a response that is no preflight's says to `reader`, who is one of [`Rules::reader`].
    pub fn readable(&self, reader: &str) -> Vec<(&'static str, String)> {
        let mut headers = self.permissions(reader);
        headers.extend(self.expose.iter().map(|names| ("access-control-expose-headers", names.to_string())));
        headers
    }

    /// Whether two origins get two answers, so that a cache must keep them apart: `Vary: Origin`, on a response without permission too.
    pub fn varies(&self) -> bool {
        !self.takes_any()
    }
}

impl Names {
    fn has(&self, name: &[u8]) -> bool {
        self.any || self.list.iter().any(|known| known.as_bytes() == name)
    }
}
