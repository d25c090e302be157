//! What does this guard ask of the world outside of a request? Keys of issuers, and what they say of opaque tokens.
//!
//! The gateway calls these between requests; a request only finds what came of them.

use super::introspection::Introspection;
use super::jwt::remote::Remote;
use super::rules::Providers;
use super::stop::What;
use crate::audit::Rotation;
use crate::host::{Answer, CallId, Host, Metrics};
use crate::time::Timestamp;

impl Providers {
    /// Whether anything at all is asked for.
    pub fn look_outside(&self) -> bool {
        self.remotes().next().is_some() || self.introspections().next().is_some()
    }

    /// Makes what the workers share. `me` is random, and this worker's own.
    pub fn prepare(&self, host: &impl Host, me: u64) {
        self.remotes().for_each(|remote| remote.prepare(host, me));
    }

    /// Looks at what the others have done, and asks for what is due.
    pub fn tick(&self, host: &impl Host, now: Timestamp) {
        self.remotes().for_each(|remote| remote.tick(host, now));
        self.introspections().for_each(|introspection| introspection.tick(host, now));
    }

    /// Tells the host what has been counted since the last time. `began` is when that was first done.
    pub fn measure(&self, host: &impl Metrics, began: Timestamp, now: Timestamp) {
        self.list.iter().for_each(|provider| provider.measure(host, began, now));
    }

    /// An answer to one of our calls. An answer that nobody waits for any more is dropped.
    pub fn answered(&self, host: &impl Host, call: CallId, mut answer: Answer, now: Timestamp) {
        let _ = self.remotes().any(|remote| remote.answered(host, call, &mut answer, now))
            || self
                .introspections()
                .any(|introspection| introspection.answered(host, call, &mut answer, now));
    }

    /// Which keys came and went since this was last asked.
    pub fn rotations(&self) -> impl Iterator<Item = Rotation> {
        self.remotes().filter_map(Remote::rotation)
    }

    /// Whether something is under way.
    pub fn is_busy(&self) -> bool {
        self.remotes().any(Remote::is_busy) || self.introspections().any(Introspection::is_busy)
    }

    /// Whether what a request waits for is still on its way.
    pub fn is_pending(&self, what: &What) -> bool {
        match what {
            What::Keys { provider, outcomes } => self
                .list
                .iter()
                .filter(|known| known.name == *provider)
                .filter_map(|known| known.remote())
                .any(|remote| remote.outcomes() == *outcomes),
            What::Token { provider, token } => self
                .list
                .iter()
                .filter(|known| known.name == *provider)
                .filter_map(|known| known.introspection.as_ref())
                .any(|introspection| introspection.is_pending(token)),
        }
    }

    fn introspections(&self) -> impl Iterator<Item = &Introspection> {
        self.list.iter().filter_map(|provider| provider.introspection.as_deref())
    }

    fn remotes(&self) -> impl Iterator<Item = &Remote> {
        self.list.iter().filter_map(|provider| provider.remote())
    }
}
