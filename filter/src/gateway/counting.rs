//! What is kept of an admitted request while its body is counted?

use std::rc::Rc;

use super::Gateway;
use super::admit::{Journey, Passed};
use crate::decision::Refusal;
use crate::guards::body::Meter;
use crate::guards::identity::Caller;
use crate::http::Head;
use crate::policy::Policy;
use crate::time::Timestamp;

/// A body on its way. The head is kept and not read again: once it has gone to the next filter, Envoy shows an empty one.
#[derive(Debug)]
pub(super) struct Counting {
    meter: Meter,
    head: Head,
    now: Timestamp,
    began: Timestamp,
    passed: Passed,
    caller: Caller,
}

/// What of a journey outlives its decision.
pub(super) struct Trace {
    passed: Passed,
    now: Timestamp,
    began: Timestamp,
}

impl Trace {
    /// Of this one, which is over.
    pub(super) fn of(journey: Journey<'_>) -> Self {
        Self { now: journey.now(), began: journey.began(), passed: journey.passed() }
    }
}

impl Counting {
    /// Begins to count.
    pub(super) fn new((meter, caller): (Meter, Caller), head: Head, trace: Trace) -> Self {
        let Trace { passed, now, began } = trace;
        Self { meter, head, now, began, passed, caller }
    }

    /// `bytes` of it are here.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.meter.take(bytes)
    }

    /// Takes the request's journey up again, with all that had been found out, and hands it to `end`.
    pub(super) fn end<T>(
        self,
        policy: &Policy,
        gateway: &Rc<Gateway>,
        end: impl FnOnce(&Journey<'_>) -> T,
    ) -> T {
        let Self { head, now, began, passed, caller, .. } = self;
        let journey = Journey::new(policy, gateway, &head, now, true).since(Some(began));
        end(&journey.take_up(passed, caller))
    }
}
