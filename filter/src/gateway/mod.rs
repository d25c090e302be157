//! One request's journey over any [`Host`]: read, decide, apply.

mod admit;
mod answer;
mod apply;
mod record;

use std::rc::Rc;

use self::admit::{Admission, Journey};
use self::record::Record;
use crate::audit::Decision;
use crate::decision::{Mode, Reason, Refusal};
use crate::guards::identity::Caller;
use crate::guards::rate_limit::Table;
use crate::guards::{body, shape};
use crate::host::{Host, HostError, Level};
use crate::http::Head;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::time::Timestamp;

/// A loaded policy and the state that its requests share. One a plugin configuration and thread.
#[derive(Debug)]
pub struct Gateway {
    policy: Option<Policy>,
    table: Result<Table, HostError>,
}

/// What the host does next with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It stops here; the client has been answered.
    Stop,
}

impl Gateway {
    /// Loads a policy. Whether it is refused depends on `document` alone. What the environment and the shared data lack becomes a
    /// state in which requests are refused with a reason.
    pub fn start(document: &[u8], seed: [u8; 16], host: &impl Host) -> Result<Self, Vec<Problem>> {
        let (mut policy, warnings) = Policy::load(document)?;
        for problem in &warnings {
            host.log(Level::Warn, &format!("portcullis: {problem}"));
        }
        policy.providers.resolve(|name| host.env(name));
        for (provider, why) in policy.providers.without_keys() {
            host.log(
                Level::Error,
                &format!("portcullis: provider `{provider}` refuses every request: {why}"),
            );
        }
        let table = Table::prepare(host, seed);
        if let Err(error) = &table {
            host.log(
                Level::Error,
                &format!("portcullis: every limited request will be refused: {error}"),
            );
        }
        let (name, digest, routes) = (&policy.name, &policy.digest, policy.routes.len());
        host.log(
            Level::Info,
            &format!("portcullis: policy `{name}` loaded, digest {digest}, {routes} routes"),
        );
        Ok(Self {
            policy: Some(policy),
            table,
        })
    }

    /// A gateway without a policy: it refuses everything.
    pub fn closed() -> Self {
        Self {
            policy: None,
            table: Err(HostError {
                call: "on_configure",
                status: 0,
            }),
        }
    }
}

/// What is kept of an admitted head, for a body that is refused later.
#[derive(Debug)]
struct Begun {
    now: Timestamp,
    route: Option<usize>,
    caller: Option<Caller>,
}

/// One request, from its head to its end.
#[derive(Debug)]
pub struct Stream {
    gateway: Rc<Gateway>,
    meter: Option<body::Meter>,
    record: Option<Box<Record>>,
    begun: Option<Begun>,
}

impl Stream {
    /// A request that has not been seen yet.
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self {
            gateway,
            meter: None,
            record: None,
            begun: None,
        }
    }

    /// The head is here.
    pub fn on_request_headers(&mut self, host: &impl Host, end_of_stream: bool) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let Some(policy) = &gateway.policy else {
            return answer::refuse(host, None, None, &Refusal::new(Reason::HostFailed));
        };
        let read = host.now().and_then(|now| Ok((now, host.request_headers()?)));
        let (now, raw) = match read {
            Ok(read) => read,
            Err(error) => return answer::refuse(host, Some(policy), None, &error.into()),
        };
        let head = match Head::parse(raw) {
            Ok(head) => head,
            Err(fault) => {
                let refusal = shape::unreadable(fault);
                apply::conceal_unread(host);
                self.record = record::unreadable(policy, &refusal, now);
                return answer::refuse(host, Some(policy), None, &refusal);
            }
        };
        let mut journey = Journey::new(policy, &gateway.table, &head, now, !end_of_stream);
        let verdict = journey.admit(host).and_then(|admission| {
            apply::admit(host, policy, journey.route(), &head, &admission)?;
            Ok(admission)
        });
        self.settle(host, policy, &journey, verdict)
    }

    fn settle(
        &mut self,
        host: &impl Host,
        policy: &Policy,
        journey: &Journey<'_>,
        verdict: Result<Admission, Refusal>,
    ) -> Flow {
        let refusal = match verdict {
            Ok(admission) => {
                self.meter = Some(admission.meter);
                let caller = Some(admission.identified.caller);
                self.begun = Some(Begun {
                    now: journey.now(),
                    route: journey.route_index(),
                    caller,
                });
                let decision = if journey.shadow_rules().is_empty() {
                    Decision::Allowed
                } else {
                    Decision::Shadow
                };
                self.record = record::of(policy, journey, decision, None, host);
                return Flow::Continue;
            }
            Err(refusal) => refusal,
        };
        // A check that could not be made is no decision, and Shadow lets decisions pass.
        if journey.mode() == Mode::Shadow && refusal.reason != Reason::HostFailed {
            self.record = record::of(policy, journey, Decision::Shadow, Some(&refusal), host);
            match apply::pass(host, policy, journey.route(), journey.head()) {
                Ok(()) => return Flow::Continue,
                Err(error) => return answer::refuse(host, Some(policy), Some(journey), &error.into()),
            }
        }
        self.record = record::of(policy, journey, Decision::Refused, Some(&refusal), host);
        apply::conceal(host, policy, journey.head());
        answer::refuse(host, Some(policy), Some(journey), &refusal)
    }

    /// `bytes` of the body are here.
    pub fn on_request_body(&mut self, host: &impl Host, bytes: usize) -> Flow {
        let Some(meter) = &mut self.meter else {
            return Flow::Continue;
        };
        let Err(refusal) = meter.take(bytes) else {
            return Flow::Continue;
        };
        self.refuse_body(host, &refusal)
    }

    fn refuse_body(&mut self, host: &impl Host, refusal: &Refusal) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        self.meter = None;
        let (Some(policy), Some(begun)) = (&gateway.policy, self.begun.take()) else {
            return Flow::Stop;
        };
        // The head is read again: holding it for the few bodies that end here would cost every request that does not.
        let head = host.request_headers().ok().and_then(|raw| Head::parse(raw).ok());
        let Some(head) = head else {
            return answer::refuse(host, Some(policy), None, refusal);
        };
        let journey =
            Journey::new(policy, &gateway.table, &head, begun.now, true).resume(begun.route, begun.caller);
        if journey.mode() == Mode::Shadow {
            self.record = record::of(policy, &journey, Decision::Shadow, Some(refusal), host);
            return Flow::Continue;
        }
        self.record = record::of(policy, &journey, Decision::Refused, Some(refusal), host);
        answer::refuse(host, Some(policy), Some(&journey), refusal)
    }

    /// The stream is over: the event, if there is one, is written.
    pub fn on_log(&mut self, host: &impl Host) {
        if let Some(record) = self.record.take() {
            record.write(host);
        }
    }
}
