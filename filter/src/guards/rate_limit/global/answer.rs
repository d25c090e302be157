//! Is this an answer at all? gRPC over HTTP/2, as far as one question and one answer go.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. Whatever is not plainly an answer is a [`Fault`], and a fault is
//! never an admission by itself: what it means is the policy's `failureMode`.

use super::super::table;
use super::message::{self, Response};
use super::refused::Over;
use crate::host::Answer;
use crate::http::Head;

/// Why the service did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The question could not be sent: no such cluster, no host in it, a proxy without calls.
    NotSent,
    /// The service could not be reached, or did not answer in time, or by another status than 200.
    Status,
    /// It did not answer in time, and neither did the proxy.
    Late,
    /// `grpc-status` is missing or is not zero.
    Grpc,
    /// The answer cannot be read: another content type, too long, cut short, compressed, not the message.
    Garbage,
    /// The answer is neither yes nor no.
    Unknown,
    /// It failed a moment ago, so it was not asked.
    Resting,
    /// There are too many questions on their way or requests that wait, so it was not asked.
    Crowded,
    /// It has said no to the same question a moment ago, so it was not asked. The one fault that is an answer, whatever the policy says of
    /// the others.
    Over(Over),
    /// It did not answer, and what holds in its place is spent for so many nanoseconds.
    Spent(u64),
    /// It did not answer, and what holds in its place could not be charged.
    Unpaid(table::Fault),
}

impl Fault {
    /// For the audit event and the log.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotSent => "the rate limit service could not be asked",
            Self::Status => "the rate limit service could not be reached or was too slow",
            Self::Late => "the rate limit service did not answer in time",
            Self::Grpc => "the rate limit service answered with an error",
            Self::Garbage => "the answer of the rate limit service could not be read",
            Self::Unknown => "the rate limit service did not say yes or no",
            Self::Resting => "the rate limit service failed a moment ago and was not asked",
            Self::Crowded => "too many requests wait for the rate limit service",
            Self::Spent(_) => "the rate limit service did not answer, and its fallback is spent",
            Self::Unpaid(_) => "the rate limit service did not answer, and its fallback could not be charged",
            Self::Over(_) => "the rate limit service said no a moment ago and was not asked",
        }
    }
}

/// A message in its frame: not compressed, and its length.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len().saturating_add(5));
    frame.push(0);
    frame.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// What the service said of `asked` descriptors.
pub fn read(answer: Answer, asked: usize) -> Result<Response, Fault> {
    if answer.status != 200 {
        return Err(Fault::Status);
    }
    let head = Head::parse_trailers(answer.headers).map_err(|_| Fault::Garbage)?;
    let is_grpc = head
        .only("content-type")
        .ok()
        .flatten()
        .and_then(|value| value.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    if !is_grpc {
        return Err(Fault::Garbage);
    }
    // An error often comes without a body, and then the status stands in the head ("Trailers-Only"). A message that was cut off has none.
    let trailers = if answer.trailers.is_empty() { None } else { Head::parse_trailers(answer.trailers).ok() };
    if trailers.as_ref().unwrap_or(&head).only("grpc-status") != Ok(Some(b"0")) {
        return Err(Fault::Grpc);
    }
    let body = answer.body.ok_or(Fault::Garbage)?;
    let message = unframed(&body).ok_or(Fault::Garbage)?;
    message::response(message, asked).map_err(|_| Fault::Garbage)
}

/// The one message of a body, which must not be compressed, since we said nothing of understanding that.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let ([flag, length @ ..], message) = body.split_first_chunk::<5>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (*flag == 0 && length == message.len()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::{Fault, frame, read};
    use crate::guards::rate_limit::global::message::{Code, Response};
    use crate::host::Answer;
    use crate::http::head::serialize;
    use crate::testing::test;

    fn map(fields: &[(&str, &str)]) -> Vec<u8> {
        serialize(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8], trailers: &[(&str, &str)]) -> Answer {
        let (headers, trailers) = (map(headers), map(trailers));
        Answer { status, headers, body: Some(body.to_vec()), trailers }
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    const DONE: (&str, &str) = ("grpc-status", "0");

    #[test]
    fn answers_in_rows() {
        let ok = frame(&[8, 1]);
        assert_eq!(ok, [0, 0, 0, 0, 2, 8, 1]);
        let compressed = [&[1], &ok[1..]].concat();
        let two = [&ok[..], &ok].concat();
        let yes = || Ok(Response { overall: Code::Ok, ..Response::default() });
        let rows = [
            (answer(200, &[GRPC], &ok, &[DONE]), yes()),
            (answer(200, &[("content-type", "application/grpc+proto")], &ok, &[DONE]), yes()),
            (answer(200, &[GRPC], &frame(&[]), &[DONE]), Ok(Response::default())),
            // All of it in the head.
            (answer(200, &[GRPC, ("grpc-status", "14")], b"", &[]), Err(Fault::Grpc)),
            (answer(503, &[GRPC], &ok, &[DONE]), Err(Fault::Status)),
            (answer(0, &[], &ok, &[DONE]), Err(Fault::Status)),
            (answer(200, &[], &ok, &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[GRPC, GRPC], &ok, &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[("content-type", "application/grpc-web")], &ok, &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[("content-type", "text/html")], &ok, &[DONE]), Err(Fault::Garbage)),
            // A yes that was taken back, or was never finished.
            (answer(200, &[GRPC], &ok, &[("grpc-status", "13")]), Err(Fault::Grpc)),
            (answer(200, &[GRPC], &ok, &[("grpc-status", "00")]), Err(Fault::Grpc)),
            (answer(200, &[GRPC], &ok, &[DONE, DONE]), Err(Fault::Grpc)),
            (answer(200, &[GRPC], &ok, &[]), Err(Fault::Grpc)),
            (answer(200, &[GRPC], &ok, &[("other", "0")]), Err(Fault::Grpc)),
            (answer(200, &[GRPC], &compressed, &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[GRPC], &two, &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[GRPC], b"", &[DONE]), Err(Fault::Garbage)),
            (answer(200, &[GRPC], &frame(b"<html>"), &[DONE]), Err(Fault::Garbage)),
            (Answer { body: None, ..answer(200, &[GRPC], b"", &[DONE]) }, Err(Fault::Garbage)),
            (Answer { headers: vec![1; 9], ..answer(200, &[GRPC], &ok, &[DONE]) }, Err(Fault::Garbage)),
        ];
        for (number, (answer, expected)) in rows.into_iter().enumerate() {
            assert_eq!(read(answer, 1), expected, "row {number}");
        }
        for cut in 0..ok.len() {
            assert_eq!(
                read(answer(200, &[GRPC], &ok[..cut], &[DONE]), 1),
                Err(Fault::Garbage),
                "cut at {cut}"
            );
        }
    }
}
