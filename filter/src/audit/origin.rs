//! Under which policy did something happen? What all events of a policy say alike, which each sink writes out once.

use std::cell::OnceCell;
use std::rc::Rc;

/// A policy, as its events name it.
#[derive(Debug)]
pub struct Origin {
    /// The policy's name; none if a document was refused before it had one.
    pub(super) policy: Option<Rc<str>>,
    /// The first twelve digits of the policy's digest.
    pub(super) digest: Rc<str>,
    label: Rc<str>,
    alike: [Alike; Filed::COUNT],
}

/// How an analyst's tools file an event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filed {
    /// A request went on.
    Allowed,
    /// A request did not.
    Denied,
    /// What is in force has changed.
    Changed,
    /// What should be in force is not.
    Failed,
    /// Somebody does what an attacker would.
    Intrusion,
}

/// The last fields of every event that is filed in this way, as the sinks write them.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// In a line of JSON.
    pub(super) line: OnceCell<String>,
    /// As attributes of OTLP.
    pub(super) attributes: OnceCell<Vec<u8>>,
}

impl Filed {
    const COUNT: usize = 5;

    /// Category and type of the Elastic Common Schema, and whether it went well.
    pub(super) const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Allowed => ("api", "allowed", "success"),
            Self::Denied => ("api", "denied", "failure"),
            Self::Changed => ("configuration", "change", "success"),
            Self::Failed => ("configuration", "info", "failure"),
            Self::Intrusion => ("intrusion_detection", "info", "success"),
        }
    }
}

impl Origin {
    /// A policy of this name, and its digest, of which twelve digits are told.
    pub fn of_policy(name: &Rc<str>, digest: &str) -> Self {
        Self::new(Some(Rc::clone(name)), digest)
    }

    /// A document that was refused: nothing of it can be believed, so it has no name.
    pub fn of_refused(digest: &str) -> Self {
        Self::new(None, digest)
    }

    fn new(policy: Option<Rc<str>>, digest: &str) -> Self {
        let digest = digest.get(..12).unwrap_or_default();
        let label = format!("{}@{digest}", policy.as_deref().unwrap_or_default());
        Self { policy, digest: digest.into(), label: label.into(), alike: Default::default() }
    }

    /// Both in a word: `shop@0123456789ab`.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn alike(&self, filed: Filed) -> &Alike {
        let [allowed, denied, changed, amiss, intrusion] = &self.alike;
        match filed {
            Filed::Allowed => allowed,
            Filed::Denied => denied,
            Filed::Changed => changed,
            Filed::Failed => amiss,
            Filed::Intrusion => intrusion,
        }
    }
}
