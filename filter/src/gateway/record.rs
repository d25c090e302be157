//! What is remembered of a request for its audit event, and only of one that will have one.

use std::rc::Rc;

use super::admit::{Journey, client_address};
use crate::audit::{self, Decision, Event};
use crate::decision::{Answered, Detail, Refusal};
use crate::guards::identity::{Caller, Token};
use crate::host::{Host, Level};
use crate::json::Json;
use crate::policy::Policy;
use crate::redaction;
use crate::time::Timestamp;

/// An event that waits for the end of its stream.
#[derive(Debug)]
pub(super) struct Record {
    event: Event,
}

/// The record of a request, if the policy wants one.
pub(super) fn of(
    policy: &Policy,
    journey: &Journey<'_>,
    decision: Decision,
    refusal: Option<&Refusal>,
    host: &impl Host,
) -> Option<Box<Record>> {
    policy.audit.wants(decision, journey.began()).then_some(())?;
    let (head, redaction) = (journey.head(), &policy.redaction);
    let event = Event {
        request_id: head.only("x-request-id").ok().flatten().and_then(redaction::request_id),
        route: journey.route().map(|route| route.name.clone()),
        exposure: journey.route().and_then(|route| route.exposure.level()),
        rule: journey.rule().cloned(),
        shadow_rules: journey.shadow_rules().to_vec(),
        caller: journey.caller().and_then(|caller| shown(policy, caller)),
        client_address: client_address(host).ok().flatten(),
        method: redaction.word(head.method()),
        host: redaction.host(head.authority()),
        path: redaction.target(head.target()),
        ..blank(policy, decision, refusal, journey.began())
    };
    Some(Box::new(Record { event }))
}

/// The record of a request that the gateway answered itself.
pub(super) fn answered(
    policy: &Policy,
    journey: &Journey<'_>,
    decision: Decision,
    answered: &Answered,
    host: &impl Host,
) -> Option<Box<Record>> {
    let mut record = of(policy, journey, decision, None, host)?;
    record.event.detail = Detail::Fact(answered.what);
    Some(record)
}

/// The record of a head that could not be read.
pub(super) fn unread(policy: &Policy, refusal: &Refusal, now: Timestamp) -> Option<Box<Record>> {
    policy.audit.wants(Decision::Refused, now).then_some(())?;
    Some(Box::new(Record { event: blank(policy, Decision::Refused, Some(refusal), now) }))
}

fn blank(policy: &Policy, decision: Decision, refusal: Option<&Refusal>, time: Timestamp) -> Event {
    Event {
        schema: audit::SCHEMA,
        time,
        policy: policy.name.clone(),
        digest: policy.digest.get(..12).unwrap_or_default().into(),
        request_id: None,
        route: None,
        exposure: None,
        decision,
        reason: refusal.map(|refusal| refusal.reason),
        detail: refusal.map_or(Detail::None, |refusal| refusal.detail.clone()),
        rule: None,
        shadow_rules: Vec::new(),
        caller: None,
        client_address: None,
        method: policy.redaction.word(b""),
        host: policy.redaction.word(b""),
        path: policy.redaction.target(b""),
        status: None,
        duration_ms: 0.0,
    }
}

fn shown(policy: &Policy, caller: &Caller) -> Option<audit::Caller> {
    match caller {
        Caller::Anonymous => None,
        Caller::Token(token) => Some(bearer(policy, caller, token)),
        // The client's name is the policy's own.
        Caller::ApiKey(key) => Some(audit::Caller {
            client: Some(policy.redaction.word(key.client().as_bytes())),
            api_key: Some(Rc::clone(key.fingerprint())),
            ..audit::Caller::default()
        }),
        Caller::Certificate(certificate) => Some(audit::Caller {
            subject: Some(policy.redaction.word(certificate.name().as_bytes())),
            ..audit::Caller::default()
        }),
    }
}

fn bearer(policy: &Policy, caller: &Caller, token: &Token) -> audit::Caller {
    let claim = |name, value: Option<&str>| value.map(|value| policy.redaction.claim(name, value));
    // `client_id`, or else `azp`, by whose name the policy may hide it.
    let named = if token.claims().get("client_id").is_some_and(|claim| *claim != Json::Null) {
        "client_id"
    } else {
        "azp"
    };
    audit::Caller {
        subject: claim("sub", caller.subject()),
        client: claim(named, caller.client()),
        issuer: claim("iss", caller.issuer()),
        provider: Some(token.provider().clone()),
        kid: claim("kid", token.kid()),
        api_key: None,
    }
}

impl Record {
    /// Writes the event.
    pub(super) fn write(mut self: Box<Self>, host: &impl Host) {
        let status = host.property(&["response", "code"]).ok().flatten();
        // An i64, little-endian (host-facts §5). A stream that ended without an answer has zero or none.
        let status = status.and_then(|bytes| Some(i64::from_le_bytes(bytes.try_into().ok()?)));
        self.event.status =
            status.and_then(|status| u16::try_from(status).ok()).filter(|status| *status != 0);
        let nanos = host.now().map_or(0, |now| now.since(self.event.time));
        #[expect(clippy::cast_precision_loss, reason = "a duration of milliseconds with three digits")]
        let millis = (nanos / 1000) as f64 / 1000.0;
        self.event.duration_ms = millis;
        let level = match self.event.decision {
            Decision::Allowed | Decision::Answered => Level::Info,
            Decision::Refused | Decision::Shadow => Level::Warn,
        };
        host.log(level, &self.event.line());
    }
}
