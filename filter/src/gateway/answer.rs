//! The refusal becomes an answer: what the client may know, in the form in which it asked.

use super::admit::Journey;
use super::{Flow, telling};
use crate::decimal::Decimal;
use crate::decision::{Advice, Answered, Refusal, Telling};
use crate::guards::identity;
use crate::host::{Host, Level, LocalResponse};
use crate::http::Head;
use crate::policy::Policy;
use crate::redaction::Redacted;

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
    let body = if grpc { format!("{}: {}", row.code, row.sentence) } else { problem(journey, refusal) };
    // Envoy writes a gRPC answer's own headers.
    if !grpc {
        headers.push(("content-type", "application/problem+json".to_owned()));
    }
    LocalResponse {
        status: row.status,
        // A proxy may be told to show them: `proxy_status_config`, or a format of its own for answers.
        details: row.code,
        headers,
        body,
        grpc_status: refusal.reason.grpc_status(),
    }
}

fn problem(journey: Option<&Journey<'_>>, refusal: &Refusal) -> String {
    let row = refusal.reason.public().row();
    document(row.status, row.sentence, row.code, journey.and_then(Journey::request_id))
}

/// The document that tells a client what went wrong: RFC 9457. `type` is left to its default, `about:blank`, so `title` is the status's
/// own phrase; `code` is the stable name.
///
/// Written by hand, since it is written for each request of a flood. No part of it needs an escape: words of our own, which a test
/// holds to that, and a request id, which has none of the bytes that would.
pub(super) fn document(status: u16, detail: &str, code: &str, request_id: Option<&Redacted>) -> String {
    let status_digits = Decimal::of(status.into());
    let pieces = [
        r#"{"title":""#,
        phrase(status),
        r#"","status":"#,
        status_digits.as_str(),
        r#","detail":""#,
        detail,
        r#"","code":""#,
        code,
    ];
    let mut text = String::with_capacity(256);
    text.extend(pieces);
    if let Some(id) = request_id {
        text.extend([r#"","requestId":""#, id.as_str()]);
    }
    text.push_str("\"}");
    text
}

fn advise(advice: &Advice, telling: Telling, headers: &mut Vec<(&'static str, String)>) {
    match advice {
        Advice::None | Advice::Scope(_) | Advice::StepUp { .. } => {}
        Advice::RetryAfter(seconds) => headers.push(("retry-after", digits(*seconds))),
        Advice::DpopNonce(nonce) => headers.push(("dpop-nonce", nonce.to_string())),
        Advice::Allow(methods) => headers.push(("allow", methods.to_string())),
        Advice::Limited(limit) => {
            headers.push(("retry-after", digits(limit.reset)));
            headers.extend(telling::fields(core::slice::from_ref(limit), telling));
        }
    }
}

fn digits(number: u64) -> String {
    Decimal::of(number).as_str().to_owned()
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

#[cfg(test)]
mod tests {
    use super::document;
    use crate::decision::Reason;
    use crate::redaction;
    use crate::testing::test;

    #[test]
    fn a_problem_is_json_as_it_stands() {
        let id = redaction::request_id(b"0b7f3d8e-62f4.A_z");
        for row in Reason::ALL.iter().map(|reason| reason.row()) {
            for id in [None, id.as_ref()] {
                let text = document(row.status, row.sentence, row.code, id);
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!((&read["detail"], &read["code"]), (&row.sentence.into(), &row.code.into()));
                assert_eq!(read["status"], row.status);
                assert_eq!(read.get("requestId"), id.map(|id| id.as_str().into()).as_ref());
                assert_eq!(read.as_object().unwrap().len(), if id.is_some() { 5 } else { 4 });
            }
        }
        assert_eq!(
            document(404, "There is nothing here.", "no_route", id.as_ref()),
            r#"{"title":"Not Found","status":404,"detail":"There is nothing here.","code":"no_route","requestId":"0b7f3d8e-62f4.A_z"}"#
        );
    }
}
