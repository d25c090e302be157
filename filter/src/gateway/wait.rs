//! Who waits for what, and who is let go on?
//!
//! Calls of our own belong to the plugin and not to a request: a client that leaves takes no answer with it that others wait for. A
//! request that waits for what a guard needs is decided on again from the top when there is an outcome, or when its time is up. One that
//! waits for the last answer, which is its own, has passed every guard, and goes on from there.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::paused::Standing;
use super::{Flow, Gateway, Stream};
use crate::guards::rate_limit::global::{Global, Question};
use crate::host::{Answer, CallId, Host, HostError, Level, StreamId};
use crate::limits;
use crate::policy::Policy;
use crate::time::Timestamp;

/// The requests that wait, and how often we look.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: RefCell<Vec<Request>>,
    /// Milliseconds; zero where nothing is ever waited for.
    pace: Cell<u32>,
}

/// A request that the host may end at any time, and then drops.
#[derive(Debug)]
struct Request {
    id: StreamId,
    stream: Weak<RefCell<Stream>>,
    /// The question to which it waits for an answer, if that is what it waits for.
    question: Option<CallId>,
}

impl Gateway {
    /// Begins to fetch what the policy needs from elsewhere, if it needs anything.
    pub(super) fn begin(&self, host: &impl Host, me: u64) {
        let Some(policy) = &self.policy else { return };
        if policy.providers.look_outside() {
            policy.providers.prepare(host, me);
            self.set_pace(host, 1);
        } else if self.ledger.is_some() || policy.audit.sinks.otlp.is_some() {
            self.set_pace(host, self.idle());
        } else {
            // Only for what was counted, which nobody is refused for the want of.
            self.waiting.pace.set(limits::TICK_IDLE_MS);
            let _ = host.set_tick(limits::TICK_IDLE_MS);
        }
    }

    /// How often we look when nothing waits.
    fn idle(&self) -> u32 {
        let exporter = self.policy.as_ref().and_then(|policy| policy.audit.sinks.otlp.as_ref());
        exporter.map_or(limits::TICK_IDLE_MS, |exporter| exporter.pace().min(limits::TICK_IDLE_MS))
    }

    /// There is more to do than can wait for the next look: it comes soon.
    pub fn hurry(&self, host: &impl Host) {
        if self.waiting.pace.get() > limits::TICK_WAITING_MS {
            self.set_pace(host, limits::TICK_WAITING_MS);
        }
    }

    /// Whether one more request can wait for what a guard needs. Those that wait for their last answer are not counted: they have passed every
    /// guard, and strangers take none of their [`limits::LIMITER_QUESTIONS`].
    pub(super) fn has_room(&self) -> bool {
        let is_stranger = |request: &&Request| request.question.is_none();
        self.waiting.requests.try_borrow().is_ok_and(|requests| {
            requests.len() < limits::WAITERS || requests.iter().filter(is_stranger).count() < limits::WAITERS
        })
    }

    /// A request was told to wait.
    pub fn on_wait(&self, host: &impl Host, id: StreamId, stream: &Rc<RefCell<Stream>>) {
        let question = stream.borrow().question();
        self.waiting.requests.borrow_mut().push(Request { id, stream: Rc::downgrade(stream), question });
        // What a guard needs is asked for at the next look. A question is on its way, and we look only whether it is late.
        if question.is_none() {
            self.set_pace(host, 1);
        } else if !(1..=limits::TICK_WAITING_MS).contains(&self.waiting.pace.get()) {
            self.set_pace(host, limits::TICK_WAITING_MS);
        }
    }

    /// Time has passed.
    pub fn on_tick(&self, host: &impl Host) {
        let Some(policy) = &self.policy else { return };
        let now = host.now();
        if let Ok(now) = now {
            policy.providers.tick(host, now);
            if let Some(Ok(ledger)) = &self.ledger {
                ledger.renew(host, now);
            }
            self.tell_rotations(host, now);
            self.left.borrow_mut().tick(host, now);
            self.export(host, now);
            self.measure(host, now);
        }
        self.wake(host, now);
    }

    /// A call was answered.
    pub fn on_answer(&self, host: &impl Host, call: CallId, answer: Answer) {
        let Some(policy) = &self.policy else { return };
        if let Some((question, global)) = self.asker.answered(call) {
            self.hand_over(host, question, &global, answer);
            return;
        }
        let now = host.now();
        if let Ok(now) = now {
            let exporter = policy.audit.sinks.otlp.as_ref();
            let ours = exporter.is_some_and(|exporter| exporter.answered(host, call, &answer, now))
                || self.left.borrow_mut().answered(host, call, &answer, now);
            if !ours {
                policy.providers.answered(host, call, answer, now);
                self.tell_rotations(host, now);
            }
        }
        self.wake(host, now);
    }

    /// Gives an answer to the one request that waits for it, if it is still there.
    fn hand_over(&self, host: &impl Host, question: Question, global: &Global, answer: Answer) {
        let call = Some(question.call);
        let mut requests = self.waiting.requests.borrow_mut();
        let place = requests.iter().position(|request| request.question == call);
        let request = place.map(|place| requests.swap_remove(place));
        drop(requests);
        let waits = request.and_then(|request| Some((request.id, request.stream.upgrade()?)));
        let Some((id, stream)) = waits.filter(|(_, stream)| stream.borrow().question() == call) else {
            if let Ok(now) = host.now() {
                let _ = global.heard(question, Some(answer), &self.asker, host, now);
            }
            return;
        };
        act_for(host, id, || stream.borrow_mut().hear(host, answer));
        if let Err(error) = host.leave() {
            host.log(Level::Error, &format!("portcullis: {error}"));
        }
    }

    /// Lets go on whoever has nothing left to wait for. Without a clock that is everybody: it cannot be told who is late, and a request that
    /// has no time is refused.
    fn wake(&self, host: &impl Host, now: Result<Timestamp, HostError>) {
        let requests = core::mem::take(&mut *self.waiting.requests.borrow_mut());
        let anybody = !requests.is_empty();
        let mut still = Vec::new();
        for mut request in requests {
            let Some(stream) = request.stream.upgrade() else { continue };
            let standing = now.map_or(Standing::Late, |now| stream.borrow().standing(now));
            let waits = match standing {
                Standing::Waits => true,
                Standing::Over => false,
                Standing::Ready | Standing::Late => {
                    let flow = act_for(host, request.id, || {
                        stream.borrow_mut().resume(host, standing == Standing::Ready)
                    });
                    flow == Some(Flow::Wait)
                }
            };
            if waits {
                request.question = stream.borrow().question();
                still.push(request);
            }
        }
        if anybody && let Err(error) = host.leave() {
            host.log(Level::Error, &format!("portcullis: {error}"));
        }
        let mut waiting = self.waiting.requests.borrow_mut();
        waiting.append(&mut still);
        let busy = |policy: &Policy| {
            policy.providers.is_busy()
                || policy
                    .audit
                    .sinks
                    .otlp
                    .as_ref()
                    .is_some_and(|exporter| now.is_ok_and(|now| exporter.is_busy(now)))
        };
        let busy = !waiting.is_empty() || self.policy.as_ref().is_some_and(busy);
        drop(waiting);
        self.set_pace(host, if busy { limits::TICK_WAITING_MS } else { self.idle() });
    }

    fn set_pace(&self, host: &impl Host, milliseconds: u32) {
        if self.waiting.pace.replace(milliseconds) != milliseconds
            && let Err(error) = host.set_tick(milliseconds)
        {
            host.log(Level::Error, &format!("portcullis: nothing can be fetched: {error}"));
        }
    }
}

/// Decides on a request that waited, in its name. A host that cannot be told leaves the request to its own timeout, unanswered and not
/// admitted: `None`.
fn act_for(host: &impl Host, id: StreamId, decide: impl FnOnce() -> Flow) -> Option<Flow> {
    let outcome = host.enter(id).and_then(|()| {
        let flow = decide();
        if flow == Flow::Continue {
            host.resume()?;
        }
        Ok(flow)
    });
    outcome
        .inspect_err(|error| {
            host.log(Level::Error, &format!("portcullis: a request that waited could not go on: {error}"));
        })
        .ok()
}
