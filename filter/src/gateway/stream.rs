//! What happens to one request, from its head to its end?

mod rest;

use std::rc::Rc;

use super::admit::{Admission, Journey};
use super::counting::{Counting, Trace};
use super::halt::Halt;
use super::leaving::Leaving;
use super::meters::Outcome;
use super::paused::{Held, Paused, Standing, Wait};
use super::record::{self, Record};
use super::response::{self, Response};
use super::stay::Stay;
use super::{Flow, Gateway, answer, apply};
use crate::audit::Decision;
use crate::decision::{Answered, Ending, Mode, Reason, Refusal};
use crate::guards::identity::Caller;
use crate::guards::rate_limit::global::Asked;
use crate::guards::{body, shape};
use crate::host::{Answer, CallId, Host};
use crate::http::Head;
use crate::policy::Policy;
use crate::time::Timestamp;

/// One request.
#[derive(Debug)]
pub struct Stream {
    gateway: Rc<Gateway>,
    /// Once refused or answered, nothing goes on, whether or not the answer could be given: a host that holds a head back sends it on when
    /// a later piece of the request may go on.
    ended: bool,
    route: Option<usize>,
    paused: Option<Box<Paused>>,
    body: Option<Box<Counting>>,
    record: Option<Record>,
    response: Option<Box<Response>>,
    leaving: Option<Box<Leaving>>,
    stay: Stay,
    /// What became of it so far; counted when it is over.
    outcome: Option<Outcome>,
}

/// What is known of a request when it is decided on.
struct Arrival {
    end_of_stream: bool,
    body: usize,
    /// Whether it can wait for what a guard needs.
    may_wait: bool,
    /// Whether it can wait for the last answer. So many of these there may be as questions on their way.
    may_ask: bool,
    /// When it came, if it has waited since.
    began: Option<Timestamp>,
}

impl Stream {
    /// A request that has not been seen yet.
    pub fn new(gateway: Rc<Gateway>) -> Self {
        Self {
            gateway,
            ended: false,
            route: None,
            paused: None,
            body: None,
            record: None,
            response: None,
            leaving: None,
            stay: Stay::default(),
            outcome: None,
        }
    }

    /// The head is here.
    pub fn on_request_headers(&mut self, host: &impl Host, end_of_stream: bool) -> Flow {
        let may_wait = self.gateway.has_room();
        self.decide(host, &Arrival { end_of_stream, body: 0, may_wait, may_ask: true, began: None })
    }

    /// What the request waits for may have come, or nobody waits any longer: it is decided on again, from the top. A request that does not
    /// wait is left alone.
    pub fn resume(&mut self, host: &impl Host, may_wait: bool) -> Flow {
        self.go_on(host, may_wait, Ok(None))
    }

    /// Takes up a request that waited: with the answer that came for it, or with why it is refused.
    fn go_on(&mut self, host: &impl Host, may_wait: bool, heard: Result<Option<Answer>, Refusal>) -> Flow {
        let Some(paused) = self.paused.take() else {
            return Flow::Stop;
        };
        let Paused { wait, end_of_stream, body, began, deadline } = *paused;
        let arrival = Arrival { end_of_stream, body, may_wait, may_ask: may_wait, began: Some(began) };
        let flow = match wait {
            Wait::Need(_) => self.decide(host, &arrival),
            Wait::Verdict(held) => self.take_up(host, *held, heard, &arrival),
        };
        // However often it waits, it does so once as long as the first need was worth.
        if let Some(paused) = &mut self.paused {
            paused.deadline = paused.deadline.min(deadline);
        }
        flow
    }

    /// Whether there is something to be decided for a request that waits.
    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        self.paused
            .as_ref()
            .map_or(Standing::Over, |paused| paused.standing(self.gateway.policy.as_ref(), now))
    }

    /// The question that it waits for an answer to.
    pub(super) fn question(&self) -> Option<CallId> {
        self.paused.as_ref()?.question()
    }

    /// The last answer is here.
    pub(super) fn hear(&mut self, host: &impl Host, answer: Answer) -> Flow {
        self.go_on(host, false, Ok(Some(answer)))
    }

    fn decide(&mut self, host: &impl Host, arrival: &Arrival) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let Some(policy) = &gateway.policy else {
            return self.answer(host, None, None, &Refusal::new(Reason::HostFailed));
        };
        let now = host.now();
        let head = now.and_then(|_| host.request_headers()).map_err(Refusal::from);
        let now = now.unwrap_or(Timestamp::from_nanos(0));
        self.stay.begin(policy, &gateway);
        let head = match head.and_then(|raw| Head::parse(raw).map_err(shape::unreadable)) {
            Ok(head) => head,
            Err(refusal) => {
                apply::conceal_unread(host, policy);
                self.leaving = Leaving::unread(policy);
                self.record = record::unread(policy, &refusal, now, host);
                return self.answer(host, Some(policy), None, &refusal);
            }
        };
        let has_body = !arrival.end_of_stream;
        let journey = Journey::new(policy, &gateway, &head, now, has_body).since(arrival.began);
        let mut journey = journey.with(arrival.body);
        let verdict = journey.admit(host);
        self.route = journey.route_index();
        gateway.tell_penalties(journey.penalties(), host, now);
        self.leaving = Leaving::of(policy, &journey);
        let verdict = match verdict {
            Err(Halt::Wait(need)) if arrival.may_wait => {
                return self.pause(Wait::Need(need.what), need.patience, arrival, now);
            }
            Err(halt) => Err(halt.into_ending()),
            Ok(mut admission) => {
                self.stay.seats = core::mem::take(&mut admission.seats);
                match journey.ask(host, arrival.may_ask) {
                    None | Some(Ok(Asked::Before)) => Ok(admission),
                    Some(Ok(Asked::Sent(question))) => {
                        let passed = journey.passed();
                        let wait = Wait::Verdict(Box::new(Held { question, head, passed, admission }));
                        return self.pause(wait, question.patience, arrival, now);
                    }
                    Some(Err(fault)) => journey.settle(Err(fault)).map(|()| admission).map_err(Ending::from),
                }
            }
        };
        let (flow, counted) = self.conclude(host, policy, &journey, verdict, arrival);
        let trace = Trace::of(journey);
        self.body = counted.map(|counted| Box::new(Counting::new(counted, head, trace)));
        gateway.meters.decided(host, now);
        flow
    }

    /// Goes on with a request that waited for the last answer; `None` if it did not come.
    fn take_up(
        &mut self,
        host: &impl Host,
        held: Held,
        heard: Result<Option<Answer>, Refusal>,
        arrival: &Arrival,
    ) -> Flow {
        let gateway = Rc::clone(&self.gateway);
        let Some(policy) = &gateway.policy else {
            return self.answer(host, None, None, &Refusal::new(Reason::HostFailed));
        };
        let Held { question, head, passed, admission } = held;
        let caller = admission.identified.caller.clone();
        let (time, has_body) = (host.now(), !arrival.end_of_stream);
        let now = time.unwrap_or(Timestamp::from_nanos(0));
        let journey = Journey::new(policy, &gateway, &head, now, has_body).since(arrival.began);
        let mut journey = journey.take_up(passed, caller);
        // Nothing is charged at a time that nobody knows. What was asked for at once ends by its own patience.
        let verdict = time.map_err(Refusal::from).and_then(|_| {
            let said = journey.hear(host, question, heard?);
            journey.settle(said)
        });
        let verdict = verdict.map(|()| admission).map_err(Ending::from);
        let (flow, counted) = self.conclude(host, policy, &journey, verdict, arrival);
        let trace = Trace::of(journey);
        self.body = counted.map(|counted| Box::new(Counting::new(counted, head, trace)));
        flow
    }

    /// It is known what becomes of the request; what it takes to count the rest of an admitted one.
    fn conclude(
        &mut self,
        host: &impl Host,
        policy: &Policy,
        journey: &Journey<'_>,
        verdict: Result<Admission, Ending>,
        arrival: &Arrival,
    ) -> (Flow, Option<(body::Meter, Caller)>) {
        let verdict = verdict.and_then(|mut admission| {
            admission.meter.take(arrival.body)?;
            apply::admit(host, policy, journey.route(), journey.head(), &admission, journey.now())?;
            Ok(admission)
        });
        match verdict {
            Ok(Admission { identified, meter, response, .. }) => {
                self.response = response;
                if arrival.end_of_stream {
                    self.stay.sent(journey.now());
                }
                let shadowed = !journey.shadow_rules().is_empty();
                let decision = if shadowed { Decision::Shadow } else { Decision::Allowed };
                self.outcome = Some(Outcome { decision, reason: None });
                self.record = record::of(policy, journey, decision, None, host);
                (Flow::Continue, (!arrival.end_of_stream).then_some((meter, identified.caller)))
            }
            Err(Ending::Refused(refusal)) => (self.refuse(host, policy, journey, &refusal), None),
            Err(Ending::Answered(answered)) => (self.give(host, policy, journey, &answered), None),
        }
    }

    fn pause(&mut self, wait: Wait, patience: u64, arrival: &Arrival, now: Timestamp) -> Flow {
        let (body, end_of_stream) = (arrival.body, arrival.end_of_stream);
        let deadline = Timestamp::from_nanos(now.nanos().saturating_add(patience));
        let began = arrival.began.unwrap_or(now);
        self.paused = Some(Box::new(Paused { wait, deadline, began, end_of_stream, body }));
        Flow::Wait
    }

    fn refuse(
        &mut self,
        host: &impl Host,
        policy: &Policy,
        journey: &Journey<'_>,
        refusal: &Refusal,
    ) -> Flow {
        // A check that could not be made is no decision, and Shadow lets decisions pass.
        if journey.mode() == Mode::Shadow && refusal.reason != Reason::HostFailed {
            return match apply::pass(host, policy, journey.route(), journey.head()) {
                Ok(()) => {
                    self.outcome = Some(Outcome { decision: Decision::Shadow, reason: Some(refusal.reason) });
                    self.record = record::of(policy, journey, Decision::Shadow, Some(refusal), host);
                    self.response = Response::unpaid(journey.route());
                    Flow::Continue
                }
                Err(error) => self.stop(host, policy, journey, &error.into()),
            };
        }
        self.stop(host, policy, journey, refusal)
    }

    /// The gateway has the answer itself; but for Shadow, where the upstream may have its own.
    fn give(
        &mut self,
        host: &impl Host,
        policy: &Policy,
        journey: &Journey<'_>,
        answered: &Answered,
    ) -> Flow {
        if journey.mode() == Mode::Shadow && !answered.in_shadow {
            return match apply::pass(host, policy, journey.route(), journey.head()) {
                Ok(()) => {
                    self.outcome = Some(Outcome { decision: Decision::Shadow, reason: None });
                    self.record = record::answered(policy, journey, Decision::Shadow, answered, host);
                    Flow::Continue
                }
                Err(error) => self.stop(host, policy, journey, &error.into()),
            };
        }
        self.outcome = Some(Outcome { decision: Decision::Answered, reason: None });
        self.record = record::answered(policy, journey, Decision::Answered, answered, host);
        apply::conceal(host, policy, journey);
        self.ended = true;
        answer::give(host, answered)
    }

    fn stop(&mut self, host: &impl Host, policy: &Policy, journey: &Journey<'_>, refusal: &Refusal) -> Flow {
        let record = record::of(policy, journey, Decision::Refused, Some(refusal), host);
        self.record = record.map(|record| record.with_status(refusal.reason.status()));
        apply::conceal(host, policy, journey);
        self.answer(host, Some(policy), Some(journey), refusal)
    }

    fn answer(
        &mut self,
        host: &impl Host,
        policy: Option<&Policy>,
        journey: Option<&Journey<'_>>,
        refusal: &Refusal,
    ) -> Flow {
        self.ended = true;
        self.paused = None;
        self.outcome = Some(Outcome { decision: Decision::Refused, reason: Some(refusal.reason) });
        answer::refuse(host, policy, journey, refusal)
    }

    /// The head of the response is here: the upstream's, or the proxy's, or that of an answer of ours.
    pub fn on_response_headers(&mut self, host: &impl Host) -> Flow {
        if !self.ended {
            self.stay.answered(host, &self.gateway);
        }
        if let Some(response) = self.response.take() {
            response.on_headers(host, &self.gateway);
        }
        response::keep_back(host, self.gateway.policy.as_ref(), self.route);
        match (self.leaving.take(), &self.gateway.policy) {
            (Some(leaving), Some(policy)) if leaving.on_headers(host, policy, self.ended) => Flow::Stop,
            _ => Flow::Continue,
        }
    }

    /// What the request occupied is free again, and it is counted. Called when it is over, and again when the host forgets it.
    pub fn leave(&mut self, host: &impl Host) {
        self.stay.end(host, &self.gateway);
        if let Some(outcome) = self.outcome.take() {
            self.gateway.count(host, self.route, outcome);
        }
    }

    /// The stream is over: the event, if there is one, is written.
    pub fn on_log(&mut self, host: &impl Host) {
        self.leave(host);
        if let Some(record) = self.record.take() {
            record.write(&self.gateway, host);
        }
    }
}
