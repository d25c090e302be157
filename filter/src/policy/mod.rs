//! What does a user write, and what does a request see of it? The document, read once, and compiled.
//!
//! Loading is a pure function of the bytes: no clock, no randomness, no environment, no call. A worker that refused what the main
//! thread took would be taken off the path by Envoy in silence (host fact H1). What can differ later, such as a missing
//! variable of the environment, becomes a state that refuses requests.

pub mod carrier;
mod compile;
mod format;
pub mod former;
mod routes;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use format::POLICY;

use crate::decision::Mode;
use crate::guards::access::Authorization;
use crate::guards::{
    assertion, body, cors, exposure, identity, overload, rate_limit, response, route, shape,
};
use crate::json::Json;
use crate::problem::{Problem, Problems, Severity};
use crate::{audit, redaction};
use carrier::CarrierFault;

/// A policy that holds: every part of it was read, and nothing of it was left out.
#[derive(Debug)]
pub struct Policy {
    /// In every audit event and metric.
    pub name: Rc<str>,
    /// SHA-256 of the document's canonical text, in lower-case hex: the same for JSON, YAML and `Struct`.
    pub digest: Rc<str>,
    /// Both, as audit events say them.
    pub origin: Rc<audit::Origin>,
    /// Its sections and routes, to tell what the next policy changes.
    pub parts: Vec<former::Part>,
    /// `Shadow`: nothing is enforced.
    pub mode: Mode,
    /// `jwt.providers`
    pub providers: identity::Providers,
    /// `signing`: what assertions are signed with.
    pub signing: Option<assertion::Ring>,
    /// In the order of the document.
    pub routes: Vec<Route>,
    /// Chooses among them, by index.
    pub table: route::Table,
    /// `maxPathBytes` of the route that allows the most: a longer path is refused before a route is looked for, since expressions cost
    /// time for each byte.
    pub longest_path: u64,
    /// Which words of a proxy a client may say.
    pub forwarded: shape::Forwarded,
    /// Whether some route has a `cors`: else nobody looks for preflights.
    pub takes_preflights: bool,
    /// What holds for responses to requests without a route.
    pub response: Rc<response::Rules>,
    /// When a worker has too much to do.
    pub overload: overload::Rules,
    /// Memory for the buckets of all limits.
    pub state_bytes: u64,
    /// What is written down.
    pub audit: audit::Rules,
    /// What is not.
    pub redaction: redaction::Rules,
}

/// What holds for the requests of one route.
#[derive(Debug)]
pub struct Route {
    /// In every audit event.
    pub name: Rc<str>,
    /// `Shadow`: nothing is enforced here.
    pub mode: Mode,
    /// For whom it is.
    pub exposure: exposure::Exposure,
    /// What a request may look like.
    pub request: Rc<shape::Limits>,
    /// What its body may be.
    pub body: Rc<body::Rules>,
    /// Who is asked for.
    pub authentication: identity::Authentication,
    /// Who may.
    pub authorization: Rc<Authorization>,
    /// How much it matters.
    pub priority: overload::Priority,
    /// Which pages of other origins may use it.
    pub cors: Option<Rc<cors::Rules>>,
    /// How often.
    pub rate_limit: Rc<rate_limit::Rules>,
    /// Which of them are written down.
    pub audit: audit::Level,
    /// What the upstream is told, and proof of it.
    pub assertion: Option<Rc<assertion::Assertion>>,
    /// What may leave.
    pub response: Rc<response::Rules>,
    /// Whether a rule asks for the client's address.
    pub needs_address: bool,
}

impl Policy {
    /// Reads a document in either carrier. With a policy come its warnings; without one, every problem of the document.
    pub fn load(bytes: &[u8]) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let document = carrier::read(bytes).map_err(|fault| vec![fault.into_problem()])?;
        Self::compile(&document)
    }

    /// The same for a document that is already read; the command line reads YAML.
    pub fn compile(document: &Json) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let problems = Problems::new();
        let policy = compile::policy(document, &problems);
        if policy.is_none() && !problems.is_fatal() {
            // A reader that gives up must say why. Should one fail to, the document is still refused.
            problems.error(
                "",
                "the document could not be read",
                "this is a fault of the gateway: please report it",
            );
        }
        match policy {
            Some(policy) if !problems.is_fatal() => Ok((policy, problems.into_vec())),
            _ => Err(problems.into_vec()),
        }
    }
}

impl CarrierFault {
    /// As a problem of the document as a whole.
    fn into_problem(self) -> Problem {
        let (message, help) = match self {
            CarrierFault::Empty => (
                "the document is empty".to_owned(),
                "write a policy as the plugin's `configuration`: JSON text, or a google.protobuf.Struct",
            ),
            CarrierFault::TooLarge => {
                (format!("the document is larger than {} MiB", crate::limits::POLICY_BYTES >> 20), "")
            }
            CarrierFault::Text(error) => (format!("not JSON: {error}"), ""),
            CarrierFault::Message(fault) => (format!("not a google.protobuf.Struct: {fault}"), ""),
        };
        Problem {
            severity: Severity::Error,
            place: String::new(),
            message: message.into(),
            help: help.into(),
        }
    }
}
