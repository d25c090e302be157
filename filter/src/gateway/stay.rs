//! What does a request occupy while it lasts?

use super::Gateway;
use crate::guards::rate_limit::concurrency::Seats;
use crate::host::Host;
use crate::policy::Policy;
use crate::time::Timestamp;

/// Its part of the worker's load, and of the limits on requests under way. Given back when the stream is over, however it ends.
#[derive(Debug, Default)]
pub(super) struct Stay {
    /// Of the limits.
    pub(super) seats: Seats,
    /// Whether it is part of the load, if that is looked at.
    counts: bool,
    /// When it went to the upstream, whole. Of one with a body that cannot be said, and a client that sends it slowly must not make
    /// the upstream look slow.
    sent: Option<Timestamp>,
}

impl Stay {
    /// The request begins, or is looked at again after it has waited.
    pub(super) fn begin(&mut self, policy: &Policy, gateway: &Gateway) {
        if !self.counts && !policy.overload.is_empty() {
            self.counts = true;
            gateway.load.begin();
        }
    }

    /// It goes to the upstream, and there is no more of it to come.
    pub(super) fn sent(&mut self, now: Timestamp) {
        self.sent = self.counts.then_some(now);
    }

    /// The upstream has answered.
    pub(super) fn answered(&self, host: &impl Host, gateway: &Gateway) {
        if let Some(sent) = self.sent
            && let Ok(now) = host.now()
        {
            gateway.load.answered(sent, now);
        }
    }

    /// It is over. Once is enough, and twice does no harm.
    pub(super) fn end(&mut self, host: &impl Host, gateway: &Gateway) {
        if core::mem::take(&mut self.counts) {
            gateway.load.end();
        }
        let seats = core::mem::take(&mut self.seats);
        if seats.is_empty() {
            return;
        }
        // Without a clock nothing can be written, and what a worker no longer says ends by itself.
        if let (Some(Ok(ledger)), Ok(now)) = (&gateway.ledger, host.now()) {
            seats.end(ledger, host, now);
        }
    }
}
