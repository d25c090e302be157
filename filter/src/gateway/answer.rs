//! The refusal becomes an answer: what the client may know, in the form in which it asked.

use serde::Serialize;

use super::admit::Journey;
use super::{Flow, telling};
use crate::decision::{Advice, Answered, Refusal, Telling};
use crate::guards::identity;
use crate::host::{Host, Level, LocalResponse};
use crate::http::Head;
use crate::policy::Policy;
use crate::redaction::{self, Redacted};

/// RFC 9457. `type` is left to its default, `about:blank`, so `title` is the status's own phrase; `code` is the stable name.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a Redacted>,
}

/// Answers a refused request, and says that it goes no further.
pub(super) fn refuse(
    host: &impl Host,
    policy: Option<&Policy>,
    journey: Option<&Journey<'_>>,
    refusal: &Refusal,
) -> Flow {
    send(host, &response(policy, journey, refusal))
}

/// Gives the answer that the gateway has itself.
pub(super) fn give(host: &impl Host, answered: &Answered) -> Flow {
    let Answered { what, status, headers, body, .. } = answered;
    // `OK` of gRPC, should the request have been one: it is no refusal.
    let (details, headers, body, grpc_status) = (*what, headers.clone(), body.to_string(), 0);
    send(host, &LocalResponse { status: *status, details, headers, body, grpc_status })
}

/// If even this call fails, the request stops without an answer: the proxy's own timeout ends it.
fn send(host: &impl Host, response: &LocalResponse) -> Flow {
    if let Err(error) = host.respond(response) {
        host.log(Level::Error, &format!("portcullis: a request got no answer: {error}"));
    }
    Flow::Stop
}

fn response(policy: Option<&Policy>, journey: Option<&Journey<'_>>, refusal: &Refusal) -> LocalResponse {
    let row = refusal.reason.public().row();
    let head = journey.map(Journey::head);
    let mut headers = Vec::with_capacity(6);
    let asked = policy.zip(journey).and_then(|(policy, journey)| Some((policy, journey, journey.route()?)));
    let challenge = asked.and_then(|(policy, journey, route)| {
        let (asked, head) = (&route.authentication, journey.head());
        let dpop = identity::confirmation::challenge::of(asked, &policy.providers, head);
        identity::challenge(&policy.name, asked, journey.caller(), dpop.as_ref(), refusal)
    });
    headers.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
    let telling = asked.map_or(Telling::default(), |(_, _, route)| route.rate_limit.telling());
    advise(&refusal.advice, telling, &mut headers);
    headers.push(("cache-control", "no-store".to_owned()));
    let grpc = head.is_some_and(is_grpc);
    let body = if grpc { format!("{}: {}", row.code, row.sentence) } else { problem(head, refusal) };
    // Envoy writes a gRPC answer's own headers.
    if !grpc {
        headers.push(("content-type", "application/problem+json".to_owned()));
    }
    LocalResponse {
        status: row.status,
        details: refusal.reason.code(),
        headers,
        body,
        grpc_status: refusal.reason.grpc_status(),
    }
}

fn problem(head: Option<&Head>, refusal: &Refusal) -> String {
    let row = refusal.reason.public().row();
    document(row.status, row.sentence, row.code, request_id(head).as_ref())
}

/// The document that tells a client what went wrong.
pub(super) fn document(status: u16, detail: &str, code: &str, request_id: Option<&Redacted>) -> String {
    let problem = Problem { title: phrase(status), status, detail, code, request_id };
    serde_json::to_string(&problem).unwrap_or_default()
}

/// The request's id, if it can be told.
pub(super) fn request_id(head: Option<&Head>) -> Option<Redacted> {
    head.and_then(|head| head.only("x-request-id").ok().flatten()).and_then(redaction::request_id)
}

fn advise(advice: &Advice, telling: Telling, headers: &mut Vec<(&'static str, String)>) {
    match advice {
        Advice::None | Advice::Scope(_) | Advice::StepUp { .. } => {}
        Advice::RetryAfter(seconds) => headers.push(("retry-after", seconds.to_string())),
        Advice::DpopNonce(nonce) => headers.push(("dpop-nonce", nonce.to_string())),
        Advice::Allow(methods) => headers.push(("allow", methods.to_string())),
        Advice::Limited(limit) => {
            headers.push(("retry-after", limit.reset.to_string()));
            headers.extend(telling::fields(core::slice::from_ref(limit), telling));
        }
    }
}

/// gRPC over HTTP/2: `application/grpc`, `application/grpc+proto`, …; not `application/grpc-web`, which is HTTP to its client.
fn is_grpc(head: &Head) -> bool {
    let Some(rest) =
        head.only("content-type").ok().flatten().and_then(|value| value.strip_prefix(b"application/grpc"))
    else {
        return false;
    };
    matches!(rest.first(), None | Some(b'+' | b';'))
}

/// RFC 9110 §15.
const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505..=599 => "Server Error",
        _ => "Service Unavailable",
    }
}
