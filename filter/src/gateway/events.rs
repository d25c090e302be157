//! How does what happened reach the sinks, and what does the gateway tell of itself?

use std::rc::Rc;

use super::{Gateway, record};
use crate::audit::{self, Changes, Event, Origin, Penalty, What};
use crate::host::{Host, HostError, Level};
use crate::limits;
use crate::policy::{Policy, former};
use crate::time::Timestamp;

impl Gateway {
    /// Hands an event to every sink. None of them makes anybody wait.
    pub(super) fn emit(&self, event: &Event, host: &impl Host, now: Timestamp) {
        let Some(policy) = &self.policy else { return };
        let sinks = &policy.audit.sinks;
        if sinks.log {
            log(event, host);
        }
        if let Some(exporter) = &sinks.otlp {
            exporter.push(event, host, now);
            if exporter.is_busy(now) {
                self.hurry(host);
            }
        }
    }

    /// How many events never reached the collector. For a metric.
    pub fn events_dropped(&self) -> u64 {
        let exporter = self.policy.as_ref().and_then(|policy| policy.audit.sinks.otlp.as_ref());
        exporter.map_or(0, |exporter| exporter.dropped())
    }

    /// The penalties that a request has brought about.
    pub(super) fn tell_penalties(&self, penalties: Vec<Penalty>, host: &impl Host, now: Timestamp) {
        for penalty in penalties {
            if let Some(policy) = self.policy.as_ref().filter(|policy| !policy.audit.requests.is_off()) {
                self.emit(&record::event(policy, now, What::PenaltyEntered(penalty)), host, now);
            }
        }
    }

    /// What has become of issuers' keys since the last look.
    pub(super) fn tell_rotations(&self, host: &impl Host, now: Timestamp) {
        let Some(policy) = &self.policy else { return };
        for rotation in policy.providers.rotations() {
            if !policy.audit.requests.is_off() {
                self.emit(&record::event(policy, now, What::KeysChanged(rotation)), host, now);
            }
        }
    }

    /// Sends what is to be sent. The collector hears of the policy first: not when it is loaded, since the plugin that loads it first is
    /// thrown away (host fact H5).
    pub(super) fn export(&self, host: &impl Host, now: Timestamp) {
        let Some(policy) = &self.policy else { return };
        let Some(exporter) = &policy.audit.sinks.otlp else { return };
        if !self.announced.replace(true)
            && let Some(changes) = news(policy, "otlp", host)
        {
            exporter.push(&record::event(policy, now, What::PolicyLoaded(changes)), host, now);
        }
        exporter.tick(host, now);
    }
}

/// Writes an event into the host's log.
fn log(event: &Event, host: &impl Host) {
    let level = if event.is_notable() { Level::Warn } else { Level::Info };
    host.log(level, &audit::line(event));
}

/// The policy is in force. Every thread of the process loads it; one of them tells.
pub(super) fn announce(policy: &Policy, host: &impl Host) {
    if !policy.audit.sinks.log {
        return;
    }
    if let (Some(changes), Ok(now)) = (news(policy, "log", host), host.now()) {
        log(&record::event(policy, now, What::PolicyLoaded(changes)), host);
    }
}

/// A document was refused.
pub(super) fn announce_refusal(document: &[u8], problems: usize, host: &impl Host) {
    if let Ok(time) = host.now() {
        let origin = Origin::of_refused(&former::digest_of_refused(document)).into();
        log(&Event { time, origin, what: What::PolicyRefused(problems as u64) }, host);
    }
}

/// What the policy changes, if nobody has told this sink of it. Events that are told twice are better than one that is told never.
fn news(policy: &Policy, sink: &str, host: &impl Host) -> Option<Changes> {
    if policy.audit.requests.is_off() {
        return None;
    }
    let changes = former::replace(policy, sink, host);
    changes.unwrap_or_else(|error: HostError| {
        host.log(Level::Warn, &format!("portcullis: what the policy changes cannot be told: {error}"));
        Some(Changes::default())
    })
}

/// Printable ASCII that ends no value of a log's line, whatever the line's format: what is not goes as `?`.
pub(super) fn plain(text: &str) -> Rc<[u8]> {
    let kept = |b: u8| if b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'\'') { b } else { b'?' };
    text.bytes().take(limits::ACCESS_LOG_BYTES).map(kept).collect()
}
