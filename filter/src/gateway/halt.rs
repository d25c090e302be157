//! Why does a request not go on? It has ended, or it waits.

use crate::decision::{Answered, Ending, Reason, Refusal};
use crate::guards::identity::{Need, Stop};
use crate::host::HostError;

/// What keeps a request from going on.
#[derive(Debug)]
pub(super) enum Halt {
    /// It is refused or answered.
    Ended(Ending),
    /// It waits, and is decided on again from the top.
    Wait(Box<Need>),
}

impl Halt {
    /// What holds for a request that does not wait.
    pub(super) fn into_ending(self) -> Ending {
        match self {
            Self::Ended(ending) => ending,
            Self::Wait(need) => need.otherwise.into(),
        }
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => refusal.into(),
            Stop::Wait(need) => Self::Wait(need),
        }
    }
}

impl From<Ending> for Halt {
    fn from(ending: Ending) -> Self {
        Self::Ended(ending)
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Ended(refusal.into())
    }
}

impl From<Answered> for Halt {
    fn from(answered: Answered) -> Self {
        Self::Ended(answered.into())
    }
}

impl From<Reason> for Halt {
    fn from(reason: Reason) -> Self {
        Self::Ended(reason.into())
    }
}

impl From<HostError> for Halt {
    fn from(error: HostError) -> Self {
        Self::Ended(error.into())
    }
}
