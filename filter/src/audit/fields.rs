//! Under which names are the fields of an event written?
//!
//! Names are those of the Elastic Common Schema where it has one, and begin with `portcullis.` where it has none.

use std::net::IpAddr;
use std::rc::Rc;

use super::SCHEMA;
use super::event::{Caller, Changes, Event, Penalty, Request, Rotation, Subject, What};
use super::origin::Alike;
use crate::decimal::Decimal;
use crate::decision::Detail;
use crate::redaction::Redacted;

/// The version of the Elastic Common Schema whose names are used.
const ECS: &str = "8.17.0";

/// The value of a field. It holds only what the types above let in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'e> {
    /// Printable ASCII without quotes and backslashes, whoever sent it: words of our own, digits.
    Plain(&'e str),
    Text(&'e str),
    Texts(&'e [&'e str]),
    Number(u64),
}

/// Takes the fields of an event, one after the other.
pub(super) type Put<'p> = dyn FnMut(&'static str, Value<'_>) + 'p;

impl Event {
    /// The fields that are its own, in the order in which a person would read them. Its time comes before them, and behind them
    /// [`Self::common_fields`].
    pub(super) fn own_fields(&self, put: &mut Put<'_>) {
        put("event.action", Value::Plain(self.action()));
        match &self.what {
            What::Request(request) => request.fields(put),
            What::PolicyLoaded(changes) => changes.fields(put),
            What::PolicyRefused(problems) => put("portcullis.policy.problems", Value::Number(*problems)),
            What::KeysChanged(rotation) => rotation.fields(put),
            What::PenaltyEntered(penalty) => penalty.fields(put),
        }
    }

    /// The fields that it has in common with all events of its policy that are filed as it is.
    pub(super) fn common_fields(&self, put: &mut Put<'_>) {
        text("portcullis.policy.name", self.origin.policy.as_deref(), put);
        put("portcullis.policy.digest", Value::Plain(&self.origin.digest));
        let (category, kind, outcome) = self.filed().words();
        put("event.category", Value::Texts(&[category]));
        put("event.type", Value::Texts(&[kind]));
        put("event.outcome", Value::Plain(outcome));
        put("portcullis.schema", Value::Plain(SCHEMA));
        put("ecs.version", Value::Plain(ECS));
    }

    /// The same, written out.
    pub(super) fn alike(&self) -> &Alike {
        self.origin.alike(self.filed())
    }

    /// What a person reads where nothing else is shown: `request refused token_expired GET /orders`.
    pub(super) fn brief(&self) -> String {
        let mut brief = String::with_capacity(96);
        brief.push_str(self.action());
        let mut add = |word: &str| {
            brief.push(' ');
            brief.push_str(word);
        };
        match &self.what {
            What::Request(request) => {
                add(request.decision.word());
                if let Some(reason) = request.reason {
                    add(reason.code());
                }
                add(request.method.as_str());
                add(request.path_and_query().0);
                if let Some(rule) = &request.rule {
                    add(rule);
                }
                if let Some(provider) = request.caller.as_ref().and_then(|caller| caller.provider.as_ref()) {
                    add(provider);
                }
            }
            What::KeysChanged(rotation) => add(&rotation.provider),
            What::PenaltyEntered(penalty) => add(&penalty.rule),
            What::PolicyLoaded(_) | What::PolicyRefused(_) => {}
        }
        brief
    }
}

impl Request {
    fn fields(&self, put: &mut Put<'_>) {
        put("portcullis.decision", Value::Plain(self.decision.word()));
        if let Some(reason) = self.reason {
            put("event.reason", Value::Plain(reason.code()));
        }
        if self.detail != Detail::None {
            put("portcullis.detail", Value::Text(&self.detail.text()));
        }
        if let Some(status) = self.status {
            put("http.response.status_code", Value::Number(status.into()));
        }
        put("http.request.method", Value::Text(self.method.as_str()));
        let (domain, port) = without_port(self.shown.host.as_str());
        put("url.domain", Value::Text(domain));
        if let Some(port) = port {
            put("url.port", Value::Number(port.into()));
        }
        let (path, query) = self.path_and_query();
        put("url.path", Value::Text(path));
        text("url.query", query, put);
        text("portcullis.route", self.route.as_deref(), put);
        text("portcullis.exposure", self.exposure, put);
        text("rule.name", self.rule.as_deref(), put);
        names("portcullis.shadow_rules", &self.shadow_rules, put);
        if let Some(caller) = &self.caller {
            caller.fields(put);
        }
        address(self.client_address, put);
        text("http.request.id", self.shown.id.as_ref().map(Redacted::as_str), put);
        if let Some(trace) = &self.trace {
            put("trace.id", Value::Plain(trace.trace_id()));
            put("span.id", Value::Plain(trace.span_id()));
        }
        put("event.duration", Value::Number(self.duration));
    }

    fn path_and_query(&self) -> (&str, Option<&str>) {
        let target = self.shown.target.as_str();
        target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
    }
}

impl Caller {
    fn fields(&self, put: &mut Put<'_>) {
        match &self.subject {
            Some(Subject::Plain(subject)) => put("user.id", Value::Text(subject.as_str())),
            Some(Subject::Hashed(subject)) => put("user.hash", Value::Text(subject.as_str())),
            None => {}
        }
        text("portcullis.client", self.client.as_ref().map(Redacted::as_str), put);
        text("portcullis.issuer", self.issuer.as_ref().map(Redacted::as_str), put);
        text("portcullis.provider", self.provider.as_deref(), put);
        text("portcullis.kid", self.kid.as_ref().map(Redacted::as_str), put);
        text("portcullis.api_key", self.api_key.as_deref(), put);
    }
}

impl Changes {
    fn fields(&self, put: &mut Put<'_>) {
        text("portcullis.policy.former_digest", self.former.as_deref(), put);
        names("portcullis.policy.added", &self.added, put);
        names("portcullis.policy.changed", &self.changed, put);
        names("portcullis.policy.removed", &self.removed, put);
    }
}

impl Rotation {
    fn fields(&self, put: &mut Put<'_>) {
        put("portcullis.provider", Value::Text(&self.provider));
        let mut list = |name, kids: &[Redacted]| {
            if !kids.is_empty() {
                put(name, Value::Texts(&kids.iter().map(Redacted::as_str).collect::<Vec<_>>()));
            }
        };
        list("portcullis.keys.added", &self.added);
        list("portcullis.keys.removed", &self.removed);
    }
}

impl Penalty {
    fn fields(&self, put: &mut Put<'_>) {
        put("rule.name", Value::Text(&self.rule));
        text("portcullis.route", self.route.as_deref(), put);
        address(self.client_address, put);
        text("http.request.id", self.id.as_ref().map(Redacted::as_str), put);
        put("event.duration", Value::Number(self.duration));
    }
}

fn text(name: &'static str, value: Option<&str>, put: &mut Put<'_>) {
    if let Some(value) = value {
        put(name, Value::Text(value));
    }
}

fn names(name: &'static str, list: &[Rc<str>], put: &mut Put<'_>) {
    if !list.is_empty() {
        put(name, Value::Texts(&list.iter().map(AsRef::as_ref).collect::<Vec<_>>()));
    }
}

fn address(address: Option<IpAddr>, put: &mut Put<'_>) {
    if let Some(address) = address {
        match address {
            // Nearly all are of the kind that takes no formatter.
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets().map(|octet| Decimal::of(octet.into()));
                let text = [a.as_str(), b.as_str(), c.as_str(), d.as_str()].join(".");
                put("client.ip", Value::Plain(&text));
            }
            IpAddr::V6(address) => put("client.ip", Value::Plain(&address.to_string())),
        }
    }
}

/// Host and port of an authority. Where a port cannot be told for sure, all of it is the host.
fn without_port(authority: &str) -> (&str, Option<u16>) {
    let parts = authority.rsplit_once(':').filter(|(host, _)| host.ends_with(']') || !host.contains(':'));
    let parts = parts.filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    match parts.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;
    use crate::testing::test;

    #[test]
    fn ports() {
        for (authority, host, port) in [
            ("a", "a", None),
            ("a:443", "a", Some(443)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
            ("::1", "::1", None),
            ("a:", "a:", None),
            ("a:+1", "a:+1", None),
            ("a:65536", "a:65536", None),
            ("", "", None),
        ] {
            assert_eq!(without_port(authority), (host, port), "{authority}");
        }
    }
}
