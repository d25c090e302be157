//! What is remembered of a request for its audit event, and only of one that will have one.

use std::rc::Rc;

use super::Gateway;
use super::admit::{Journey, client_address};
use super::events::plain;
use crate::audit::{self, Decision, Event, Request, Subject, What};
use crate::decision::{Answered, Detail, Refusal};
use crate::guards::identity::{Caller, Token};
use crate::host::Host;
use crate::http::TraceParent;
use crate::json::Json;
use crate::policy::Policy;
use crate::redaction::Redacted;
use crate::time::Timestamp;

/// An event that waits for the end of its stream.
#[derive(Debug)]
pub(super) struct Record {
    request: Box<Request>,
    time: Timestamp,
}

/// The record of a request, if the policy wants one.
pub(super) fn of(
    policy: &Policy,
    journey: &Journey<'_>,
    decision: Decision,
    refusal: Option<&Refusal>,
    host: &impl Host,
) -> Option<Record> {
    if policy.audit.sinks.access_log.wants(decision) {
        mark(policy, Some(journey), decision, refusal, host);
    }
    let level = journey.route().map_or(policy.audit.requests, |route| route.audit);
    level.wants(decision, journey.began()).then_some(())?;
    let head = journey.head();
    let request = Request {
        shown: Rc::clone(journey.shown()),
        trace: head.only("traceparent").ok().flatten().and_then(TraceParent::parse),
        route: journey.route().map(|route| route.name.clone()),
        exposure: journey.route().and_then(|route| route.exposure.level()),
        rule: journey.rule().cloned(),
        shadow_rules: journey.shadow_rules().to_vec(),
        caller: journey.caller().and_then(|caller| shown(policy, caller)),
        client_address: journey.address().or_else(|| client_address(host).ok().flatten()),
        method: policy.redaction.method(head.method()),
        ..blank(decision, refusal)
    };
    Some(Record { request: Box::new(request), time: journey.began() })
}

/// The record of a request that the gateway answered itself.
pub(super) fn answered(
    policy: &Policy,
    journey: &Journey<'_>,
    decision: Decision,
    answered: &Answered,
    host: &impl Host,
) -> Option<Record> {
    let mut record = of(policy, journey, decision, None, host)?;
    record.request.detail = Detail::Fact(answered.what);
    Some(record)
}

/// The record of a head that could not be read.
pub(super) fn unread(policy: &Policy, refusal: &Refusal, now: Timestamp, host: &impl Host) -> Option<Record> {
    if policy.audit.sinks.access_log.wants(Decision::Refused) {
        mark(policy, None, Decision::Refused, Some(refusal), host);
    }
    policy.audit.requests.wants(Decision::Refused, now).then_some(())?;
    Some(Record { request: Box::new(blank(Decision::Refused, Some(refusal))), time: now })
}

/// Puts the decision where the proxy's access log finds it. A call that fails leaves a `-` there.
fn mark(
    policy: &Policy,
    journey: Option<&Journey<'_>>,
    decision: Decision,
    refusal: Option<&Refusal>,
    host: &impl Host,
) {
    let _ = host.set_property("portcullis_decision", decision.word().as_bytes());
    if let Some(refusal) = refusal {
        let _ = host.set_property("portcullis_reason", refusal.reason.code().as_bytes());
    }
    let _ = host.set_property("portcullis_policy", policy.origin.label().as_bytes());
    if let Some(route) = journey.and_then(Journey::route) {
        let _ = host.set_property("portcullis_route", route.name.as_bytes());
    }
    let caller = journey.and_then(Journey::caller).and_then(|caller| shown(policy, caller));
    if let Some(subject) = caller.as_deref().and_then(subject) {
        let _ = host.set_property("portcullis_subject", &plain(subject.as_str()));
    }
}

/// Who calls: the subject of a token, or the client of an API key.
fn subject(caller: &audit::Caller) -> Option<&Redacted> {
    match &caller.subject {
        Some(Subject::Plain(subject) | Subject::Hashed(subject)) => Some(subject),
        None => caller.client.as_ref().filter(|_| caller.api_key.is_some()),
    }
}

fn blank(decision: Decision, refusal: Option<&Refusal>) -> Request {
    Request {
        shown: Rc::default(),
        trace: None,
        route: None,
        exposure: None,
        decision,
        reason: refusal.map(|refusal| refusal.reason),
        detail: refusal.map_or(Detail::None, |refusal| refusal.detail.clone()),
        rule: None,
        shadow_rules: Vec::new(),
        caller: None,
        client_address: None,
        method: Redacted::default(),
        status: None,
        duration: 0,
    }
}

fn shown(policy: &Policy, caller: &Caller) -> Option<Rc<audit::Caller>> {
    let shown = match caller {
        Caller::Anonymous => return None,
        Caller::Token(token) => return Some(Rc::clone(token.told(|| bearer(policy, caller, token)))),
        // The client's name is the policy's own.
        Caller::ApiKey(key) => audit::Caller {
            client: Some(policy.redaction.word(key.client().as_bytes())),
            api_key: Some(Rc::clone(key.fingerprint())),
            ..audit::Caller::default()
        },
        // A name of the certificate, which the policy's lists named or cover.
        Caller::Certificate(certificate) => audit::Caller {
            subject: policy
                .audit
                .subjects
                .shown(certificate.name(), || policy.redaction.word(certificate.name().as_bytes())),
            ..audit::Caller::default()
        },
    };
    Some(Rc::new(shown))
}

fn bearer(policy: &Policy, caller: &Caller, token: &Token) -> audit::Caller {
    let (redaction, subjects) = (&policy.redaction, &policy.audit.subjects);
    let claim = |name, value: Option<&str>| value.map(|value| redaction.claim(name, value));
    // `client_id`, or else `azp`, by whose name the policy may hide it.
    let named = if token.claims().get("client_id").is_some_and(|claim| *claim != Json::Null) {
        "client_id"
    } else {
        "azp"
    };
    audit::Caller {
        subject: caller
            .subject()
            .and_then(|subject| subjects.shown(subject, || redaction.claim("sub", subject))),
        client: claim(named, caller.client()),
        issuer: claim("iss", caller.issuer()),
        provider: Some(token.provider().clone()),
        kid: claim("kid", token.kid()),
        api_key: None,
    }
}

impl Record {
    /// The gateway itself answers with this status, so the host need not be asked for it.
    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.request.status = Some(status);
        self
    }

    /// It was let go on, and was refused after all.
    pub(super) fn refused(mut self, refusal: &Refusal) -> Self {
        self.request.decision = Decision::Refused;
        self.request.reason = Some(refusal.reason);
        self.request.detail = refusal.detail.clone();
        self
    }

    /// Writes the event.
    pub(super) fn write(self, gateway: &Gateway, host: &impl Host) {
        let Some(policy) = &gateway.policy else { return };
        let Self { mut request, time } = self;
        request.status = request.status.or_else(|| status(host));
        let now = host.now().unwrap_or(time);
        // A request whose clock failed came when its event is written, as far as anybody can tell.
        let time = if time == Timestamp::from_nanos(0) { now } else { time };
        request.duration = now.since(time);
        gateway.emit(&event(policy, time, What::Request(request)), host, now);
    }
}

/// What the client got. An i64, little-endian (host fact H7). A stream that ended without an answer has zero or none.
fn status(host: &impl Host) -> Option<u16> {
    let status = host.property(&["response", "code"]).ok().flatten()?;
    let status = i64::from_le_bytes(status.try_into().ok()?);
    u16::try_from(status).ok().filter(|status| *status != 0)
}

/// Something that happened under this policy.
pub(super) fn event(policy: &Policy, time: Timestamp, what: What) -> Event {
    Event { time, origin: Rc::clone(&policy.origin), what }
}
