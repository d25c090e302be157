//! What is kept of a request that waits, and how does it stand with it?

use super::admit::{Admission, Passed};
use crate::guards::identity::What;
use crate::guards::rate_limit::global::Question;
use crate::host::CallId;
use crate::http::Head;
use crate::policy::Policy;
use crate::time::Timestamp;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Paused {
    pub(super) wait: Wait,
    pub(super) deadline: Timestamp,
    pub(super) began: Timestamp,
    pub(super) end_of_stream: bool,
    /// How much of the body the host holds back.
    pub(super) body: usize,
}

/// What it waits for.
#[derive(Debug)]
pub(super) enum Wait {
    /// What a guard needs. Nothing has been spent, so it is decided on again from the top.
    Need(What),
    /// The last answer. Every guard has passed it and been paid, so it goes on from there.
    Verdict(Box<Held>),
}

/// What is kept of a request that has passed every guard, and waits for the last answer.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) question: Question,
    pub(super) head: Head,
    pub(super) passed: Passed,
    pub(super) admission: Admission,
}

/// How it stands with a request that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What it waits for is still on its way.
    Waits,
    /// It has come, or will not.
    Ready,
    /// It has waited long enough.
    Late,
    /// It waits for nothing.
    Over,
}

impl Paused {
    /// Whether there is something to be decided for it.
    pub(super) fn standing(&self, policy: Option<&Policy>, now: Timestamp) -> Standing {
        let Some(policy) = policy else { return Standing::Ready };
        if now >= self.deadline {
            return Standing::Late;
        }
        match &self.wait {
            Wait::Need(what) if policy.providers.is_pending(what) => Standing::Waits,
            // The answer comes to it by the number of its call.
            Wait::Verdict(_) => Standing::Waits,
            Wait::Need(_) => Standing::Ready,
        }
    }

    /// The question that it waits for an answer to.
    pub(super) fn question(&self) -> Option<CallId> {
        match &self.wait {
            Wait::Verdict(held) => Some(held.question.call),
            Wait::Need(_) => None,
        }
    }
}
