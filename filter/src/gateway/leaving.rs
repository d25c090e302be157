//! What is said to a client in place of what the upstream says, and beside it? What `cors` and `response` of the route ask.

use super::admit::Journey;
use super::answer;
use crate::decision::Mode;
use crate::guards::{cors, response};
use crate::host::{Host, HostError, Level, LocalResponse};
use crate::http::{Head, trim};
use crate::policy::Policy;
use crate::redaction::Redacted;

/// What is kept of a request for its response. Only where there is something to be done with that.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    route: Option<usize>,
    /// The origin that may read the response.
    reader: Option<Box<str>>,
    /// Whether it is an answer to a preflight, which has its permissions already, or none.
    preflight: bool,
    authenticated: bool,
    request_id: Option<Redacted>,
}

/// The head of a response, or what will be one.
type Fields = Vec<(&'static str, String)>;

impl Leaving {
    /// For the request of this journey, as far as it has come. In Shadow responses stay as they are.
    pub(super) fn of(policy: &Policy, journey: &Journey<'_>) -> Option<Box<Self>> {
        let index = journey.shown_route();
        let route = index.and_then(|index| policy.routes.get(index));
        let cors = route.and_then(|route| route.cors.as_deref());
        let rules = route.map_or(&policy.response, |route| &route.response);
        if (cors.is_none() && rules.is_empty()) || journey.mode() == Mode::Shadow {
            return None;
        }
        Some(Box::new(Self {
            route: index,
            reader: cors.filter(|_| !journey.is_preflight()).and_then(|cors| cors.reader(journey.head())),
            preflight: journey.is_preflight(),
            authenticated: journey.caller().is_some_and(|caller| !caller.is_anonymous()),
            request_id: rules.replaces_errors().then(|| journey.request_id().cloned()).flatten(),
        }))
    }

    /// For a request whose head could not be read.
    pub(super) fn unread(policy: &Policy) -> Option<Box<Self>> {
        (!policy.response.is_empty() && policy.mode == Mode::Enforce).then(Box::default)
    }

    /// The head of the response is here, the upstream's or (`ours`) that of an answer of the gateway. It goes out in any case: what cannot
    /// be done is logged. Whether another response was put in its place.
    pub(super) fn on_headers(&self, host: &impl Host, policy: &Policy, ours: bool) -> bool {
        self.adorn(host, policy, ours).unwrap_or_else(|error| {
            host.log(Level::Error, &format!("portcullis: a response left as the upstream wrote it: {error}"));
            false
        })
    }

    /// Whether the response was replaced.
    fn adorn(&self, host: &impl Host, policy: &Policy, ours: bool) -> Result<bool, HostError> {
        let route = self.route.and_then(|route| policy.routes.get(route));
        let rules = route.map_or(&policy.response, |route| &route.response);
        let cors = route.and_then(|route| route.cors.as_deref()).filter(|_| !self.preflight);
        if rules.replaces_errors() && !ours && self.replace(host, rules, cors)? {
            return Ok(true);
        }
        if let Some(cors) = cors {
            for name in cors::PERMISSIONS {
                host.remove_response_header(name)?;
            }
            for (name, value) in self.permissions(cors) {
                host.set_response_header(name, value.as_bytes())?;
            }
            if cors.varies() {
                vary(host)?;
            }
        }
        for name in rules.removed() {
            host.remove_response_header(name)?;
        }
        for (name, value) in rules.added(self.leaves(host, rules)) {
            if host.response_header(name)?.is_none() {
                host.set_response_header(name, value.as_bytes())?;
            }
        }
        Ok(false)
    }

    fn permissions(&self, cors: &cors::Rules) -> Fields {
        self.reader.as_deref().map(|reader| cors.readable(reader)).unwrap_or_default()
    }

    fn leaves(&self, host: &impl Host, rules: &response::Rules) -> response::Leaves {
        let version = || host.property(&["connection", "tls_version"]).ok().flatten();
        let over_tls = rules.asks_for_tls() && version().is_some_and(|version| !version.is_empty());
        response::Leaves { authenticated: self.authenticated, over_tls }
    }

    /// Puts an answer of ours in place of an error that tells of the inside.
    fn replace(
        &self,
        host: &impl Host,
        rules: &response::Rules,
        cors: Option<&cors::Rules>,
    ) -> Result<bool, HostError> {
        let status = host.response_header(":status")?;
        let status = status.and_then(|status| core::str::from_utf8(&status).ok()?.parse::<u16>().ok());
        let media_type = host.response_header("content-type")?.unwrap_or_default();
        let Some(status) = status.filter(|status| rules.replaces(*status, &media_type)) else {
            return Ok(false);
        };
        let mut headers: Fields = cors.map(|cors| self.permissions(cors)).unwrap_or_default();
        headers.extend(cors.filter(|cors| cors.varies()).map(|_| ("vary", "Origin".to_owned())));
        let added = rules.added(self.leaves(host, rules)).filter(|(name, _)| *name != "cache-control");
        headers.extend(added.map(|(name, value)| (name, value.to_owned())));
        headers.push(("cache-control", "no-store".to_owned()));
        headers.push(("content-type", "application/problem+json".to_owned()));
        headers.extend(retry_after(host)?.map(|seconds| ("retry-after", seconds)));
        let body = answer::document(status, ERROR, "upstream_error", self.request_id.as_ref());
        host.respond(&LocalResponse {
            status,
            details: "error_body_replaced",
            headers,
            body,
            grpc_status: 2,
        })?;
        Ok(true)
    }
}

/// The sentence in place of what the upstream says of its errors.
const ERROR: &str = "The service could not answer.";

/// When the upstream wants to be asked again, where it says so in seconds.
fn retry_after(host: &impl Host) -> Result<Option<String>, HostError> {
    let said = host.response_header("retry-after")?.and_then(|value| String::from_utf8(value).ok());
    Ok(said.filter(|value| (1..=9).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit())))
}

/// Adds `Origin` to what the response varies by. RFC 9110 §5.3: a list may come in several fields of one name, which are one list.
fn vary(host: &impl Host) -> Result<(), HostError> {
    let Ok(head) = Head::parse_trailers(host.response_headers()?) else {
        // More than we walk: no cache can be told by what it varies, so none may use it again.
        return host.set_response_header("vary", b"*");
    };
    let mut value = Vec::new();
    for list in head.all("vary").filter(|list| !list.is_empty()) {
        let mut names = list.split(|&b| b == b',').map(trim);
        if names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin")) {
            return Ok(());
        }
        value.extend_from_slice(list);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(b"Origin");
    host.set_response_header("vary", &value)
}
