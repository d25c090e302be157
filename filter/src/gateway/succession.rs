//! What does a policy leave to the one that comes after it?

use super::Gateway;
use crate::audit::Left;

impl Gateway {
    /// What is still to be sent when this policy is gone, with what it had from those before it. No call to the host: it may be about to end.
    pub fn leave(&self) -> Left {
        let mut left = Left::default();
        left.append(&self.left.take());
        if let Some(exporter) = self.policy.as_ref().and_then(|policy| policy.audit.sinks.otlp.as_ref()) {
            left.add(exporter);
        }
        left
    }

    /// Takes over what others have left: it is sent from the next tick on.
    pub fn inherit(&self, left: &Left) {
        self.left.borrow_mut().append(left);
    }
}
