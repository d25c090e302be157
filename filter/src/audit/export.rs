//! How do events get to a collector? OTLP over HTTP, <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
//!
//! Each worker gathers its own and sends them in batches, one request at a time, between requests of clients and never within one. What
//! it holds is bounded: when the collector is away or slow, the newest events are dropped and counted. Requests of clients are
//! decided on as ever.
//!
//! When the policy is gone, who serves next in the VM sends the rest ([`super::Left`]).
//!
//! What it does *not* protect against: what a worker holds when its VM ends is lost, and so is what the collector acknowledged and
//! then lost itself. A batch that was taken and whose answer got lost is sent again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::{Event, otlp};
use crate::host::{Answer, Call, CallId, Host, Level, Metrics};
use crate::http::{Head, Target, is_field_value};
use crate::limits;
use crate::metrics::Metric;
use crate::protobuf::{Fields, Value};
use crate::secret::Secret;
use crate::time::{SECOND, Timestamp};

/// What the policy says of a collector. Durations are nanoseconds.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it takes logs: `/v1/logs` by default of the protocol.
    pub uri: Target,
    /// The host's name for where it is.
    pub cluster: Box<str>,
    /// Fields for it, such as who we are.
    pub headers: Vec<(Rc<str>, HeaderValue)>,
    /// For one request.
    pub timeout: u64,
    /// Events of one request.
    pub max_batch: usize,
    /// How long an event waits for others.
    pub max_delay: u64,
    /// Events that are held.
    pub max_buffered: usize,
}

/// Where the value of a field comes from.
#[derive(Clone, Debug)]
pub enum HeaderValue {
    /// From the policy.
    Plain(Rc<str>),
    /// From a variable of the environment.
    Env(Rc<str>),
}

/// A field with its value.
type Header = (Rc<str>, Secret<String>);

/// A collector as one worker knows it.
#[derive(Debug)]
pub struct Exporter {
    source: Source,
    /// The fields, or the variable that is missing or cannot be a field: then nothing is sent.
    fields: Result<Vec<Header>, Rc<str>>,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first one is sent next, or on its way.
    queue: VecDeque<Batch>,
    /// Events in all of them.
    events: usize,
    bytes: usize,
    /// The request that is on its way, and when it is given up.
    flight: Option<(CallId, u64)>,
    /// How often the first batch has failed.
    attempts: u32,
    /// After a failure: until when nothing is sent.
    not_before: u64,
    /// Events that never got there.
    dropped: u64,
    /// Those of them that the host has been told of.
    told: u64,
    /// Those of the present spell of them.
    spell: u64,
    /// Once the policy is gone: when to give up what is left.
    end: Option<u64>,
}

#[derive(Debug)]
struct Batch {
    records: Vec<u8>,
    events: usize,
    /// When the first of them came.
    since: u64,
}

impl Exporter {
    /// A collector that nothing has been sent to, and whose secrets are not read.
    pub fn new(source: Source) -> Self {
        Self { source, fields: Err("".into()), state: RefCell::default() }
    }

    /// Reads the secrets. Loading a policy does not look there (host fact H1).
    pub fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        let field = |(name, value): &(Rc<str>, HeaderValue)| {
            let text = match value {
                HeaderValue::Plain(text) => Some(text.to_string()),
                HeaderValue::Env(variable) => env(variable).and_then(|bytes| String::from_utf8(bytes).ok()),
            };
            let text = text
                .map(Secret::new)
                .filter(|text| !text.expose().is_empty() && is_field_value(text.expose().as_bytes()));
            match (text, value) {
                (Some(text), _) => Ok((Rc::clone(name), text)),
                (None, HeaderValue::Plain(what) | HeaderValue::Env(what)) => Err(Rc::clone(what)),
            }
        };
        self.fields = self.source.headers.iter().map(field).collect();
    }

    /// The variable for lack of which nothing can be sent, if so.
    pub fn without_header(&self) -> Option<&Rc<str>> {
        self.fields.as_ref().err()
    }

    /// How many events never got there.
    pub fn dropped(&self) -> u64 {
        self.state.borrow().dropped
    }

    /// Tells the host how many more of them there are than at the last time.
    pub fn measure(&self, host: &impl Metrics) {
        let mut state = self.state.borrow_mut();
        let more = state.dropped.saturating_sub(state.told);
        state.told = state.dropped;
        Metric::SinkDrops.add(host, &["otlp"], more);
    }

    /// How often [`Exporter::tick`] must be called, in milliseconds.
    pub fn pace(&self) -> u32 {
        u32::try_from(self.source.max_delay / (2 * SECOND / 1000))
            .unwrap_or(u32::MAX)
            .max(limits::TICK_WAITING_MS)
    }

    /// Whether there is more to be sent than can wait for the next call of [`Exporter::tick`] at its pace.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        let state = self.state.borrow();
        state.flight.is_none()
            && state.rest(now) == 0
            && state.queue.front().is_some_and(|batch| self.is_full(batch))
    }

    fn is_full(&self, batch: &Batch) -> bool {
        batch.events >= self.source.max_batch || batch.records.len() >= limits::EXPORT_BATCH_BYTES
    }

    /// Takes an event, or drops it.
    pub fn push(&self, event: &Event, host: &impl Host, now: Timestamp) {
        let mut state = self.state.borrow_mut();
        if self.fields.is_err() {
            state.drop(1, "a field for the collector is missing", host);
            return;
        }
        if state.events >= self.source.max_buffered || state.bytes >= limits::EXPORT_BYTES {
            state.drop(1, "more of them come than the collector takes", host);
            return;
        }
        // The first one is not touched once it is on its way, nor when it will be sent again.
        let sent = usize::from(state.flight.is_some() || state.attempts > 0);
        let open = state.queue.len() > sent && state.queue.back().is_some_and(|batch| !self.is_full(batch));
        if !open {
            state.queue.push_back(Batch { records: Vec::new(), events: 0, since: now.nanos() });
        }
        let Some(batch) = state.queue.back_mut() else { return };
        let before = batch.records.len();
        otlp::put_record(event, &mut batch.records);
        batch.events = batch.events.saturating_add(1);
        let more = batch.records.len().saturating_sub(before);
        state.events = state.events.saturating_add(1);
        state.bytes = state.bytes.saturating_add(more);
    }

    /// The policy is gone, and with it the call that was on its way: what became of that nobody hears any more, so its batch is sent again
    /// as if it had failed. Nothing waits for others now. No call to the host: it may be about to end.
    pub fn leave(&self) {
        let mut state = self.state.borrow_mut();
        if state.flight.take().is_some() {
            state.attempts = state.attempts.saturating_add(1);
        }
        // Its time is counted from the next look at the clock.
        state.end.get_or_insert(u64::MAX);
    }

    /// Bytes of all events that are held.
    pub fn bytes(&self) -> usize {
        self.state.borrow().bytes
    }

    /// Whether nothing is held, and everybody knows of all that was dropped.
    pub fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.queue.is_empty() && state.told == state.dropped && state.spell == 0
    }

    /// Lets go of the newest batches until there are so many bytes or fewer: how many events that were.
    pub fn cut(&self, bytes: usize) -> u64 {
        let mut state = self.state.borrow_mut();
        let before = state.events;
        while state.bytes > bytes
            && let Some(batch) = state.queue.pop_back()
        {
            state.forget(&batch);
        }
        before.saturating_sub(state.events) as u64
    }

    /// Tells how many were dropped and not told of yet, since there will be no end of this spell.
    pub fn close(&self, host: &impl Host) {
        let spell = core::mem::take(&mut self.state.borrow_mut().spell);
        if spell > 0 {
            host.log(
                Level::Warn,
                &format!("portcullis: {spell} audit events of a policy that is gone were dropped"),
            );
        }
    }

    /// Sends what has waited long enough.
    pub fn tick(&self, host: &impl Host, now: Timestamp) {
        let mut state = self.state.borrow_mut();
        if state.flight.take_if(|(_, given_up)| now.nanos() >= *given_up).is_some() {
            // The host answers at the timeout at the latest; this one did not.
            state.fail("no answer", None, host, now);
        }
        if state.flight.is_some() {
            return;
        }
        if state.is_late(now) {
            while !state.queue.is_empty() {
                state.give_up("their policy has been gone for too long", host);
            }
        }
        if state.attempts >= limits::EXPORT_ATTEMPTS && !state.queue.is_empty() {
            // One policy after the other went while this batch was on its way.
            state.give_up("no answer", host);
        }
        if state.rest(now) > 0 {
            return;
        }
        let Some(batch) = state.queue.front() else { return };
        // Looked at twice in its time: half of it is over, or will be at the next look.
        let waited = state.end.is_some() || now.nanos().abs_diff(batch.since) >= self.source.max_delay / 2;
        if !(waited || state.attempts > 0 || state.queue.len() > 1 || self.is_full(batch)) {
            return;
        }
        // The last call ends with the time that is left.
        let left = state.end.map_or(u64::MAX, |end| end.saturating_sub(now.nanos()));
        let timeout = self.source.timeout.min(left);
        match self.send(&batch.records, timeout, host) {
            Some(id) => {
                let given_up = now.nanos().saturating_add(timeout).saturating_add(SECOND / 8);
                state.flight = Some((id, given_up));
            }
            None => state.fail("the proxy did not send them, is the cluster known?", None, host, now),
        }
    }

    fn send(&self, records: &[u8], timeout: u64, host: &impl Host) -> Option<CallId> {
        let own = self.fields.as_ref().ok()?;
        let mut fields = vec![("content-type", "application/x-protobuf"), ("user-agent", "portcullis")];
        fields.extend(own.iter().map(|(name, value)| (&**name, value.expose().as_str())));
        let uri = &self.source.uri;
        let call = Call {
            cluster: &self.source.cluster,
            method: "POST",
            scheme: uri.scheme,
            authority: &uri.authority,
            path: &uri.path,
            fields: &fields,
            body: &otlp::request(records),
            timeout,
        };
        host.call(&call).ok()
    }

    /// An answer to a call; whether it was ours.
    pub fn answered(&self, host: &impl Host, id: CallId, answer: &Answer, now: Timestamp) -> bool {
        let mut state = self.state.borrow_mut();
        if state.flight.take_if(|(ours, _)| *ours == id).is_none() {
            return false;
        }
        match answer.status {
            200..=299 => state.arrived(rejected(answer), host),
            // "The client SHOULD retry" on these, and on no other. A cluster that is down is 503, a timeout 504 (host fact H9).
            429 | 502..=504 => {
                state.fail("the collector is away or has too much to do", retry_after(answer), host, now);
            }
            _ => state.give_up("the collector refuses them", host),
        }
        drop(state);
        self.tick(host, now);
        true
    }
}

impl State {
    /// Whether the policy has been gone for too long. Where more time is left than there ever is, the clock was set back.
    fn is_late(&mut self, now: Timestamp) -> bool {
        let Some(end) = &mut self.end else { return false };
        *end = now.nanos().saturating_add(limits::EXPORT_LEFT).min(*end);
        now.nanos() >= *end
    }

    /// How long nothing is sent yet. No pause is longer than the longest: where more is left of one, the clock was set back, and that is
    /// time, too.
    fn rest(&self, now: Timestamp) -> u64 {
        Some(self.not_before.saturating_sub(now.nanos()))
            .filter(|left| *left <= limits::EXPORT_REST_MAX)
            .unwrap_or(0)
    }

    fn arrived(&mut self, rejected: u64, host: &impl Host) {
        self.forget_first();
        if rejected > 0 {
            self.drop(rejected, "the collector rejects some", host);
        } else if self.spell > 0 {
            let spell = core::mem::take(&mut self.spell);
            host.log(
                Level::Info,
                &format!("portcullis: audit events reach the collector again, {spell} were dropped"),
            );
        }
    }

    /// The first batch is sent again later, unless it has been often enough.
    fn fail(&mut self, why: &'static str, after: Option<u64>, host: &impl Host, now: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        // One second, two, four, …
        let pause = SECOND.checked_shl(self.attempts.saturating_sub(1)).unwrap_or(u64::MAX);
        let pause = pause.max(after.unwrap_or(0)).min(limits::EXPORT_REST_MAX);
        self.not_before = now.nanos().saturating_add(pause);
        if self.attempts >= limits::EXPORT_ATTEMPTS {
            self.give_up(why, host);
        }
    }

    fn give_up(&mut self, why: &'static str, host: &impl Host) {
        let events = self.forget_first();
        self.drop(events as u64, why, host);
    }

    fn forget_first(&mut self) -> usize {
        self.attempts = 0;
        let Some(batch) = self.queue.pop_front() else { return 0 };
        self.forget(&batch);
        batch.events
    }

    fn forget(&mut self, batch: &Batch) {
        self.events = self.events.saturating_sub(batch.events);
        self.bytes = self.bytes.saturating_sub(batch.records.len());
    }

    /// The log hears of the first one of a spell.
    fn drop(&mut self, events: u64, why: &'static str, host: &impl Host) {
        if self.spell == 0 {
            host.log(Level::Warn, &format!("portcullis: audit events are dropped: {why}"));
        }
        self.spell = self.spell.saturating_add(events);
        self.dropped = self.dropped.saturating_add(events);
    }
}

/// `partial_success.rejected_log_records` of an `ExportLogsServiceResponse`. An answer that cannot be read is one that says nothing of it.
fn rejected(answer: &Answer) -> u64 {
    let first = |message| {
        let found = Fields::of(message).flatten().find(|(number, _)| *number == 1);
        found.map(|(_, value)| value)
    };
    let partial = answer.body.as_deref().and_then(first).and_then(|value: Value<'_>| value.bytes().ok());
    partial
        .and_then(first)
        .and_then(|value| value.number().ok())
        .unwrap_or(0)
        .min(limits::EXPORT_BATCH as u64)
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3), as nanoseconds.
fn retry_after(answer: &Answer) -> Option<u64> {
    let head = Head::parse_trailers(answer.headers.clone()).ok()?;
    let seconds: u64 = core::str::from_utf8(head.only("retry-after").ok()??).ok()?.trim().parse().ok()?;
    Some(seconds.saturating_mul(SECOND))
}
