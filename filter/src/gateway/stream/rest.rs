//! What happens to what comes behind the head: the body, and the trailers?

use std::rc::Rc;

use super::super::{Flow, apply, record};
use super::{Outcome, Stream};
use crate::audit::Decision;
use crate::decision::{Mode, Reason, Refusal};
use crate::host::Host;
use crate::time::Timestamp;

impl Stream {
    /// `bytes` of the body are here. While the request waits the host holds the body back and counts from its beginning.
    pub fn on_request_body(&mut self, host: &impl Host, bytes: usize) -> Flow {
        if self.ended {
            return Flow::Stop;
        }
        if let Some(paused) = &mut self.paused {
            paused.body = bytes;
            return self.hold_back(host, bytes);
        }
        let Some(body) = &mut self.body else {
            return Flow::Continue;
        };
        match body.take(bytes) {
            Ok(()) => Flow::Continue,
            Err(refusal) => self.cut_off(host, &refusal),
        }
    }

    /// The trailers are here. An upstream that takes them for headers (RFC 9110 §6.5.1 forbids it) must find no identity in them.
    pub fn on_request_trailers(&mut self, host: &impl Host) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let (false, Some(policy)) = (self.ended, &gateway.policy) else {
            return Flow::Stop;
        };
        let route = self.route.and_then(|route| policy.routes.get(route));
        match apply::clear_trailers(host, policy, route) {
            Ok(()) if self.paused.is_some() => Flow::Stop,
            Ok(()) => Flow::Continue,
            Err(refusal) if self.body.is_some() => self.cut_off(host, &refusal),
            Err(refusal) => {
                let now = host.now().unwrap_or(Timestamp::from_nanos(0));
                self.record = match self.record.take() {
                    Some(record) => Some(record.refused(&refusal)),
                    None => record::unread(policy, &refusal, now, host),
                };
                self.answer(host, Some(policy), None, &refusal)
            }
        }
    }

    /// A request that waits waits no longer when more of its body is here than its route takes.
    fn hold_back(&mut self, host: &impl Host, bytes: usize) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let Some(policy) = &gateway.policy else { return Flow::Stop };
        let Some(route) = self.route.and_then(|route| policy.routes.get(route)) else { return Flow::Stop };
        let refusal = match route.body.bear(bytes) {
            Err(refusal) if policy.mode == Mode::Enforce && route.mode == Mode::Enforce => refusal,
            _ => return Flow::Stop,
        };
        // Whoever waits for what a guard needs is decided on again, and the guard of the body comes before that one.
        self.go_on(host, false, Err(refusal))
    }

    /// The head went upstream long ago, so there is nothing to conceal or to clear; the body goes no further.
    fn cut_off(&mut self, host: &impl Host, refusal: &Refusal) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let (Some(policy), Some(body)) = (&gateway.policy, self.body.take()) else {
            return Flow::Stop;
        };
        body.end(policy, &gateway, |journey| {
            if journey.mode() == Mode::Shadow && refusal.reason != Reason::HostFailed {
                self.outcome = Some(Outcome { decision: Decision::Shadow, reason: Some(refusal.reason) });
                self.record = record::of(policy, journey, Decision::Shadow, Some(refusal), host);
                return Flow::Continue;
            }
            self.record = record::of(policy, journey, Decision::Refused, Some(refusal), host);
            self.answer(host, Some(policy), Some(journey), refusal)
        })
    }
}
