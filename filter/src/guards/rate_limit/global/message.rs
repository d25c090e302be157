//! What is said to a rate limit service, and what does it say? `envoy.service.ratelimit.v3`, as much of it as we need.
//!
//! <https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/ratelimit/v3/rls.proto>. Fields that we do not know are skipped, as in every
//! reader of Protocol Buffers. A field that we know and that is of another type, or a number that cannot be what it says, is garbage.

use core::str;

use crate::limits;
use crate::protobuf::{Fields, Garbage, put_bytes, put_number};

/// One descriptor: the entries that the service looks up in its own configuration, in order.
pub type Descriptor<'a> = Vec<(&'a str, String)>;

/// `RateLimitRequest`, as far as it says about what.
pub fn about(domain: &str, descriptors: &[Descriptor<'_>]) -> Vec<u8> {
    let mut message = Vec::new();
    put_bytes(1, domain.as_bytes(), &mut message);
    for descriptor in descriptors {
        let mut entries = Vec::new();
        for (key, value) in descriptor {
            let mut entry = Vec::new();
            put_bytes(1, key.as_bytes(), &mut entry);
            put_bytes(2, value.as_bytes(), &mut entry);
            put_bytes(1, &entry, &mut entries);
        }
        put_bytes(2, &entries, &mut message);
    }
    message
}

/// The rest of it: how much (`hits_addend`).
pub fn ask_for(hits: u64, message: &mut Vec<u8>) {
    put_number(3, hits, message);
}

/// `RateLimitResponse.Code`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// The service does not say, which is no answer.
    #[default]
    Unknown,
    /// Under the limit.
    Ok,
    /// Over the limit.
    OverLimit,
}

/// `RateLimitResponse`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// For all descriptors together.
    pub overall: Code,
    /// For each of them, in the order in which they were asked about, as far as the service says so much: envoyproxy/ratelimit does,
    /// Limitador does not.
    pub statuses: Vec<Status>,
    /// Seconds until the limit has room again, by a header that the service would have added to the answer: what Limitador says.
    pub reset: Option<u64>,
}

/// `RateLimitResponse.DescriptorStatus`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// For this descriptor.
    pub code: Code,
    /// Its limit: requests, and in how many seconds.
    pub limit: Option<(u64, u64)>,
    /// How many requests are left.
    pub remaining: u64,
    /// Seconds until there are more, rounded up.
    pub reset: Option<u64>,
}

/// Reads an answer to a question about `asked` descriptors.
pub fn response(message: &[u8], asked: usize) -> Result<Response, Garbage> {
    let mut response = Response::default();
    for field in Fields::of(message) {
        match field? {
            (1, value) => response.overall = code(value.number()?),
            (2, value) => {
                if response.statuses.len() >= asked {
                    return Err(Garbage);
                }
                response.statuses.push(status(value.bytes()?)?);
            }
            (3, value) => response.reset = reset_header(value.bytes()?)?.or(response.reset),
            _ => {}
        }
    }
    Ok(response)
}

const fn code(number: u64) -> Code {
    match number {
        1 => Code::Ok,
        2 => Code::OverLimit,
        _ => Code::Unknown,
    }
}

fn status(message: &[u8]) -> Result<Status, Garbage> {
    let mut status = Status::default();
    for field in Fields::of(message) {
        match field? {
            (1, value) => status.code = code(value.number()?),
            (2, value) => status.limit = limit(value.bytes()?)?,
            (3, value) => status.remaining = uint32(value.number()?)?,
            (4, value) => status.reset = Some(duration(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(status)
}

/// `RateLimitResponse.RateLimit`; `None` if it names no unit.
fn limit(message: &[u8]) -> Result<Option<(u64, u64)>, Garbage> {
    let (mut requests, mut unit) = (0, 0);
    for field in Fields::of(message) {
        match field? {
            (1, value) => requests = uint32(value.number()?)?,
            (2, value) => unit = value.number()?,
            _ => {}
        }
    }
    let seconds = match unit {
        1 => 1,
        2 => 60,
        3 => 3_600,
        4 => 86_400,
        // Months and years as envoyproxy/ratelimit counts them.
        5 => 30 * 86_400,
        6 => 365 * 86_400,
        7 => 7 * 86_400,
        _ => return Ok(None),
    };
    Ok(Some((requests, seconds)))
}

/// `google.protobuf.Duration`, rounded up to seconds and bounded; one that lies behind us is garbage.
fn duration(message: &[u8]) -> Result<u64, Garbage> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(message) {
        match field? {
            (1, value) => seconds = value.number()?,
            (2, value) => nanos = value.number()?,
            _ => {}
        }
    }
    if i64::try_from(seconds).is_err() || nanos > 999_999_999 {
        return Err(Garbage);
    }
    Ok(seconds.saturating_add(u64::from(nanos > 0)).min(limits::LIMITER_RESET_MAX))
}

/// `envoy.config.core.v3.HeaderValue`: the seconds of an `X-RateLimit-Reset`, as Limitador (`--rate-limit-headers DRAFT_VERSION_03`) sends
/// it. Any other header is left alone, and a number that cannot be read says nothing: the answer itself does not hang on it.
fn reset_header(message: &[u8]) -> Result<Option<u64>, Garbage> {
    let (mut name, mut text) = (&b""[..], &b""[..]);
    for field in Fields::of(message) {
        match field? {
            (1, value) => name = value.bytes()?,
            // The value as text, or as bytes.
            (2 | 3, value) => text = value.bytes()?,
            _ => {}
        }
    }
    if !name.eq_ignore_ascii_case(b"x-ratelimit-reset") {
        return Ok(None);
    }
    let seconds = str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    Ok(seconds.map(|seconds| seconds.min(limits::LIMITER_RESET_MAX)))
}

fn uint32(number: u64) -> Result<u64, Garbage> {
    u32::try_from(number).map(u64::from).map_err(|_| Garbage)
}

#[cfg(test)]
mod tests {
    use super::{Code, Response, Status, about, ask_for, response};
    use crate::limits::LIMITER_RESET_MAX;
    use crate::protobuf::{Garbage, put_bytes, put_number};
    use crate::testing::test;

    fn message(build: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        build(&mut bytes);
        bytes
    }

    /// What envoyproxy/ratelimit says when a limit is passed.
    fn over() -> Vec<u8> {
        let limit = message(|m| {
            put_number(1, 10, m);
            put_number(2, 2, m);
            put_bytes(3, b"name", m);
        });
        let duration = message(|m| {
            put_number(1, 41, m);
            put_number(2, 5, m);
        });
        let status = message(|m| {
            put_number(1, 2, m);
            put_bytes(2, &limit, m);
            put_bytes(4, &duration, m);
        });
        let header = message(|m| {
            put_bytes(1, b"X-RateLimit-Reset", m);
            put_bytes(2, b"17", m);
        });
        message(|m| {
            put_number(1, 2, m);
            put_bytes(2, &status, m);
            put_bytes(3, &header, m);
            put_bytes(99, b"of a later version", m);
        })
    }

    #[test]
    fn a_question_on_the_wire() {
        let descriptors = [vec![("a", "b".to_owned()), ("c", String::new())], vec![("d", "e".to_owned())]];
        let expected =
            b"\x0a\x04shop\x12\x0f\x0a\x06\x0a\x01a\x12\x01b\x0a\x05\x0a\x01c\x12\x00\x12\x08\x0a\x06\x0a\x01d\x12\x01e\x18\x03";
        let mut message = about("shop", &descriptors);
        ask_for(3, &mut message);
        assert_eq!(message, expected);
    }

    #[test]
    fn an_answer_in_full() {
        let status = Status { code: Code::OverLimit, limit: Some((10, 60)), remaining: 0, reset: Some(42) };
        let expected = Response { overall: Code::OverLimit, statuses: vec![status], reset: Some(17) };
        assert_eq!(response(&over(), 1), Ok(expected));
        assert_eq!(response(&over(), 0), Err(Garbage), "more than was asked about");
    }

    /// An answer that was cut says OK or over the limit only if its first field did, and is never read beyond its end.
    #[test]
    fn every_truncation_and_every_bent_byte_is_read_or_refused() {
        let whole = over();
        for cut in 0..whole.len() {
            if let Ok(response) = response(&whole[..cut], 1) {
                assert_ne!(response.overall, Code::Ok, "cut at {cut}");
            }
        }
        for at in 0..whole.len() {
            for bits in 1..=255 {
                let mut bent = whole.clone();
                bent[at] ^= bits;
                // Only the byte of the code itself makes an OK of it.
                if at != 1
                    && let Ok(response) = response(&bent, 1)
                {
                    assert_ne!(response.overall, Code::Ok, "bent at {at} by {bits}");
                }
            }
        }
    }

    #[test]
    fn codes_and_numbers_in_rows() {
        let code = |code| Ok(Response { overall: code, ..Response::default() });
        let status = |status: &[u8]| message(|m| put_bytes(2, status, m));
        let rows: [(Vec<u8>, Result<Response, Garbage>); 12] = [
            (vec![], code(Code::Unknown)),
            (vec![8, 0], code(Code::Unknown)),
            (vec![8, 1], code(Code::Ok)),
            (vec![8, 2], code(Code::OverLimit)),
            (vec![8, 3], code(Code::Unknown)),
            // -1 of an enumeration.
            (vec![8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], code(Code::Unknown)),
            // The last one counts.
            (vec![8, 1, 8, 2], code(Code::OverLimit)),
            // The code as text.
            (vec![10, 1, b'1'], Err(Garbage)),
            // A status that is a number.
            (vec![16, 1], Err(Garbage)),
            // More than 32 bits are left.
            (status(&message(|m| put_number(3, 1 << 32, m))), Err(Garbage)),
            // A duration of -1 s, and one of 10^9 ns.
            (status(&message(|m| put_bytes(4, &message(|m| put_number(1, u64::MAX, m)), m))), Err(Garbage)),
            (
                status(&message(|m| put_bytes(4, &message(|m| put_number(2, 1_000_000_000, m)), m))),
                Err(Garbage),
            ),
        ];
        for (bytes, expected) in rows {
            assert_eq!(response(&bytes, 1), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn resets_are_bounded_and_headers_are_believed_when_they_are_numbers() {
        let far = message(|m| put_bytes(4, &message(|m| put_number(1, 1 << 62, m)), m));
        let read = response(&message(|m| put_bytes(2, &far, m)), 1).unwrap();
        assert_eq!(read.statuses[0].reset, Some(LIMITER_RESET_MAX));
        let header = |name: &[u8], value: &[u8]| {
            let header = message(|m| {
                put_bytes(1, name, m);
                put_bytes(3, value, m);
            });
            response(&message(|m| put_bytes(3, &header, m)), 1).unwrap().reset
        };
        for (name, value, reset) in [
            (&b"x-ratelimit-reset"[..], &b"9"[..], Some(9)),
            (b"x-ratelimit-reset", b"99999999999999999999", None),
            (b"x-ratelimit-reset", b"18446744073709551615", Some(LIMITER_RESET_MAX)),
            (b"x-ratelimit-reset", b"-1", None),
            (b"x-ratelimit-reset", b"\xff", None),
            (b"x-ratelimit-limit", b"9", None),
            (b"", b"", None),
        ] {
            assert_eq!(header(name, value), reset, "{value:?}");
        }
    }

    /// The units of `RateLimitResponse.RateLimit.Unit`, in seconds; months and years as envoyproxy/ratelimit counts them.
    #[test]
    fn limits_and_durations_in_rows() {
        let read = |field, content: &[u8]| {
            let status = message(|m| put_bytes(field, content, m));
            response(&message(|m| put_bytes(2, &status, m)), 1).unwrap().statuses.remove(0)
        };
        for (unit, seconds) in [
            (0, None),
            (1, Some(1)),
            (2, Some(60)),
            (3, Some(3_600)),
            (4, Some(86_400)),
            (5, Some(2_592_000)),
            (6, Some(31_536_000)),
            (7, Some(604_800)),
            (8, None),
        ] {
            let limit = message(|m| {
                put_number(1, 10, m);
                put_number(2, unit, m);
            });
            assert_eq!(read(2, &limit).limit, seconds.map(|seconds| (10, seconds)), "{unit}");
        }
        for (seconds, nanos, rounded) in [(0, 0, 0), (41, 0, 41), (41, 1, 42), (41, 999_999_999, 42)] {
            let duration = message(|m| {
                put_number(1, seconds, m);
                put_number(2, nanos, m);
            });
            assert_eq!(read(4, &duration).reset, Some(rounded), "{seconds}.{nanos:09}");
        }
    }
}
