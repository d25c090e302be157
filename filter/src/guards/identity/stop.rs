//! What can keep a request from being identified: a refusal, or an answer that is still on its way.

use std::rc::Rc;

use super::introspection::Pending;
use crate::decision::{Reason, Refusal};
use crate::host::HostError;

/// Why a request does not go on.
#[derive(Debug)]
pub enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// It waits, and is asked again from the top when there is an answer. Nothing has been counted, spent or written yet.
    Wait(Box<Need>),
}

/// What a request waits for.
#[derive(Debug)]
pub struct Need {
    /// What.
    pub what: What,
    /// For how long at most, in nanoseconds.
    pub patience: u64,
    /// What holds if it does not come, or if nobody can wait.
    pub otherwise: Refusal,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The outcome of a fetch of a provider's keys, after this many.
    Keys {
        /// Whose.
        provider: Rc<str>,
        /// How many outcomes were known when the waiting began.
        outcomes: u64,
    },
    /// What a provider's issuer says of a token.
    Token(Rc<Pending>),
}

impl Stop {
    /// What holds for a request that does not wait.
    pub fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Wait(need) => need.otherwise,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

impl From<HostError> for Stop {
    fn from(error: HostError) -> Self {
        Self::Refused(error.into())
    }
}
