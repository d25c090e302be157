//! On what does the judgement of a token rest, and does that still stand?

use std::rc::{Rc, Weak};

use super::algorithm::Algorithm;
use super::keys::{Key, KeySet, Mark};
use crate::guards::identity::rules::Provider;
use crate::time::Timestamp;

/// What may move on after a token was checked: the clock, and its provider's keys. The provider's rules do not: they end with the policy.
#[derive(Debug)]
pub struct Grounds {
    window: Window,
    /// The set that was asked; not held on to, since an issuer replaces it.
    keys: Weak<KeySet>,
    key: Mark,
    kid: Option<Box<str>>,
    algorithm: Algorithm,
}

/// Nanoseconds in which every check of a token's dates gives the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub from: u64,
    /// The first after it; `u64::MAX` where there is no `exp`.
    pub until: u64,
}

impl Window {
    /// Whether the moment lies within.
    pub const fn holds(self, now: Timestamp) -> bool {
        self.from <= now.nanos() && now.nanos() < self.until
    }
}

impl Grounds {
    /// The key that was chosen out of `keys`, for what the token's header says.
    pub(super) fn new(
        window: Window,
        keys: &Rc<KeySet>,
        key: &Key,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Self {
        let (keys, key) = (Rc::downgrade(keys), key.mark());
        Self { window, keys, key, kid: kid.map(Box::from), algorithm }
    }

    /// Whether a check would find the same dates to hold and choose the same key. A provider whose keys are not at hand answers for
    /// itself, so then nothing is known.
    pub(super) fn hold(&mut self, provider: &Provider, now: Timestamp) -> bool {
        if !self.window.holds(now) {
            return false;
        }
        let Ok(keys) = provider.keys(now) else {
            return false;
        };
        if core::ptr::eq(self.keys.as_ptr(), Rc::as_ptr(&keys)) {
            return true;
        }
        let chosen = keys.choose(self.kid.as_deref(), self.algorithm);
        let same = chosen.is_ok_and(|key| key.is_marked(&self.key));
        self.keys = Rc::downgrade(&keys);
        same
    }
}
