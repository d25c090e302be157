//! What is there to tell?

use std::net::IpAddr;
use std::rc::Rc;

use super::origin::{Filed, Origin};
use crate::decision::{Detail, Reason};
use crate::http::TraceParent;
use crate::redaction::{Redacted, Shown};
use crate::time::Timestamp;

/// Something that happened.
#[derive(Debug)]
pub struct Event {
    /// When. For a request, when its head was judged.
    pub time: Timestamp,
    /// Under which policy.
    pub origin: Rc<Origin>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug)]
pub enum What {
    /// A request came.
    Request(Box<Request>),
    /// The policy is in force.
    PolicyLoaded(Changes),
    /// A document was refused, with so many errors; the policy before it, if there is one, stays in force.
    PolicyRefused(u64),
    /// An issuer's keys are others than before.
    KeysChanged(Rotation),
    /// A rule of `rateLimit.failures` has had enough of somebody.
    PenaltyEntered(Penalty),
}

/// How a request ended, seen from the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It went on to the upstream.
    Allowed,
    /// It did not.
    Refused,
    /// It did not need to: the gateway answered it itself.
    Answered,
    /// It would not have, but for `mode: Shadow`.
    Shadow,
}

impl Decision {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Shadow => "shadow",
        }
    }
}

/// Who was calling, as far as that was proved.
#[derive(Debug, Default)]
pub struct Caller {
    /// `sub`
    pub subject: Option<Subject>,
    /// `client_id` or `azp`, or the client of the API key.
    pub client: Option<Redacted>,
    /// `iss`
    pub issuer: Option<Redacted>,
    /// The policy's name of the provider, if a token came.
    pub provider: Option<Rc<str>>,
    /// The key that signed.
    pub kid: Option<Redacted>,
    /// The first eight digits of the API key's hash in the policy.
    pub api_key: Option<Rc<str>>,
}

/// A subject, as it may be written down.
#[derive(Debug)]
pub enum Subject {
    /// By name.
    Plain(Redacted),
    /// By a keyed hash: the same for the same subject, and nothing to whoever lacks the key.
    Hashed(Redacted),
}

/// One request.
#[derive(Debug)]
pub struct Request {
    /// `x-request-id`, `:path` and `:authority`, secrets taken out.
    pub shown: Rc<Shown>,
    /// `traceparent`
    pub trace: Option<TraceParent>,
    /// The route, if one matched.
    pub route: Option<Rc<str>>,
    /// For whom the route is, if the policy says so.
    pub exposure: Option<&'static str>,
    /// How it ended.
    pub decision: Decision,
    /// Why it was refused, or would have been.
    pub reason: Option<Reason>,
    /// The fact behind the reason.
    pub detail: Detail,
    /// The authorization rule that decided.
    pub rule: Option<Rc<str>>,
    /// Rules in Shadow that would have refused.
    pub shadow_rules: Vec<Rc<str>>,
    /// Who.
    pub caller: Option<Rc<Caller>>,
    /// From where.
    pub client_address: Option<IpAddr>,
    /// `:method`
    pub method: Redacted,
    /// What the client got, if the host tells.
    pub status: Option<u16>,
    /// From the head to the end of the stream, in nanoseconds.
    pub duration: u64,
}

/// What a policy changes in the one before it: names of sections (`jwt`) and routes (`routes.orders`), at most
/// [`crate::limits::CHANGES_TOLD`] of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The digest of the policy before it, if the process had one.
    pub former: Option<Rc<str>>,
    /// What is new.
    pub added: Vec<Rc<str>>,
    /// What is otherwise.
    pub changed: Vec<Rc<str>>,
    /// What is gone.
    pub removed: Vec<Rc<str>>,
}

/// Which keys of an issuer came and which went, by `kid`, at most [`crate::limits::CHANGES_TOLD`] of each kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The provider's name in the policy.
    pub provider: Rc<str>,
    /// New ones.
    pub added: Vec<Redacted>,
    /// Those that are gone.
    pub removed: Vec<Redacted>,
}

/// Who has failed too often.
#[derive(Debug)]
pub struct Penalty {
    /// The rule.
    pub rule: Rc<str>,
    /// Where.
    pub route: Option<Rc<str>>,
    /// From where.
    pub client_address: Option<IpAddr>,
    /// `x-request-id` of the attempt that was one too many.
    pub id: Option<Redacted>,
    /// For how long, in nanoseconds.
    pub duration: u64,
}

impl Event {
    /// The word for what happened.
    pub const fn action(&self) -> &'static str {
        match self.what {
            What::Request(_) => "request",
            What::PolicyLoaded(_) => "policy-loaded",
            What::PolicyRefused(_) => "policy-refused",
            What::KeysChanged(_) => "keys-changed",
            What::PenaltyEntered(_) => "penalty-entered",
        }
    }

    pub(super) const fn filed(&self) -> Filed {
        match &self.what {
            What::Request(request) => match request.decision {
                Decision::Refused => Filed::Denied,
                Decision::Allowed | Decision::Answered | Decision::Shadow => Filed::Allowed,
            },
            What::PolicyLoaded(_) | What::KeysChanged(_) => Filed::Changed,
            What::PolicyRefused(_) => Filed::Failed,
            What::PenaltyEntered(_) => Filed::Intrusion,
        }
    }

    /// Whether somebody should look: everything but what went as it should.
    pub const fn is_notable(&self) -> bool {
        match &self.what {
            What::Request(request) => matches!(request.decision, Decision::Refused | Decision::Shadow),
            What::PolicyRefused(_) | What::PenaltyEntered(_) => true,
            What::PolicyLoaded(_) | What::KeysChanged(_) => false,
        }
    }
}
