//! What becomes of events whose policy is gone? Whoever serves next in the same VM sends them, to the collector they were meant for and with the
//! fields that were read for it.
//!
//! A host may be asked to wait until they are sent (`proxy_on_done`), but whoever listens to that is entered for each request, too; and a VM that ends does
//! not wait (host fact H12). So nobody is asked, nothing is called while a policy goes, and what was on its way is sent again: it may arrive more
//! than once, which is better than not at all.

use std::rc::Rc;

use super::Exporter;
use crate::host::{Answer, CallId, Host, Level, Metrics};
use crate::limits;
use crate::metrics::Metric;
use crate::time::Timestamp;

/// What policies that are gone have left to be sent.
#[derive(Debug, Default)]
pub struct Left {
    /// The oldest first.
    exporters: Vec<Rc<Exporter>>,
    /// Events for which there was no room.
    lost: u64,
}

impl Left {
    /// Takes what one of them holds, as far as there is room.
    pub fn add(&mut self, exporter: &Rc<Exporter>) {
        exporter.leave();
        let room = if self.exporters.len() < limits::EXPORTERS_LEFT {
            limits::EXPORT_BYTES.saturating_sub(self.bytes())
        } else {
            0
        };
        self.lost = self.lost.saturating_add(exporter.cut(room));
        if !exporter.is_over() && self.exporters.len() < limits::EXPORTERS_LEFT {
            self.exporters.push(Rc::clone(exporter));
        }
    }

    /// Takes what somebody else could not send.
    pub fn append(&mut self, other: &Self) {
        self.lost = self.lost.saturating_add(other.lost);
        for exporter in &other.exporters {
            self.add(exporter);
        }
    }

    /// Nobody is left who could send it.
    pub fn perish(self, host: &impl Host) {
        let events =
            self.exporters.iter().fold(self.lost, |sum, exporter| sum.saturating_add(exporter.cut(0)));
        for exporter in &self.exporters {
            exporter.measure(host);
            exporter.close(host);
        }
        if events > 0 {
            host.log(
                Level::Warn,
                &format!("portcullis: {events} audit events end with this VM unacknowledged"),
            );
            count_dropped(host, events);
        }
    }

    fn bytes(&self) -> usize {
        self.exporters.iter().fold(0, |sum, exporter| sum.saturating_add(exporter.bytes()))
    }

    /// Sends what there is: to each collector one request at a time, by the rules that held for it.
    pub fn tick(&mut self, host: &impl Host, now: Timestamp) {
        for exporter in &self.exporters {
            exporter.tick(host, now);
        }
        let lost = core::mem::take(&mut self.lost);
        if lost > 0 {
            host.log(
                Level::Warn,
                &format!("portcullis: {lost} audit events are dropped: policies that are gone left more than is kept"),
            );
            count_dropped(host, lost);
        }
        self.clear(host);
    }

    /// An answer to a call; whether it was to one of these.
    pub fn answered(&mut self, host: &impl Host, id: CallId, answer: &Answer, now: Timestamp) -> bool {
        let ours = self.exporters.iter().any(|exporter| exporter.answered(host, id, answer, now));
        if ours {
            self.clear(host);
        }
        ours
    }

    /// Forgets those that are done.
    fn clear(&mut self, host: &impl Host) {
        self.exporters.retain(|exporter| {
            exporter.measure(host);
            if exporter.bytes() == 0 {
                exporter.close(host);
            }
            !exporter.is_over()
        });
    }
}

/// Counts events that no exporter tells of.
fn count_dropped(host: &impl Metrics, events: u64) {
    Metric::SinkDrops.add(host, &["otlp"], events);
}
