//! What do the systems that gather logs put before a line? The name of a container or of a pod, a time, a stream, a host and a process.
//!
//! Each beginning is taken off only if it is written as its system writes it, up to the first byte that is not: what a client sent stands
//! further behind, in quotes or after words that no such beginning has.

use super::envoy::{digits, word};
use portcullis_filter::time::Timestamp;

/// Beginnings of one line. Compose before a time before a pod's is more than anybody has.
const MOST: usize = 4;

/// The line without what was put before it.
pub(super) fn strip(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    for _ in 0..MOST {
        let Some(rest) =
            pod(line).or_else(|| compose(line)).or_else(|| syslog(line)).or_else(|| stamped(line))
        else {
            break;
        };
        line = rest.trim_ascii_start();
    }
    line
}

/// `kubectl logs --prefix`: `[pod/gateway-7d9c/envoy] …`.
fn pod(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = word(line.strip_prefix(b"[pod/")?)?;
    name.strip_suffix(b"]")?.iter().all(|b| is_of_a_name(*b) || *b == b'/').then_some(rest)
}

/// `docker compose logs`: `envoy-1  | …`.
fn compose(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = word(line)?;
    let rest = rest.trim_ascii_start().strip_prefix(b"|")?;
    name.iter().all(|b| is_of_a_name(*b)).then_some(rest)
}

/// A point in time: `kubectl logs --timestamps`, `docker logs --timestamps`; and files of a container runtime (CRI), which tell the stream
/// and whether the line is a whole one: `2026-11-25T19:25:54.756123456Z stderr F …`.
fn stamped(line: &[u8]) -> Option<&[u8]> {
    let (time, rest) = word(line)?;
    Timestamp::parse(std::str::from_utf8(time).ok()?)?;
    let stream = rest.strip_prefix(b"stdout ").or_else(|| rest.strip_prefix(b"stderr "));
    Some(stream.and_then(|rest| rest.strip_prefix(b"F ")).unwrap_or(rest))
}

/// journald and syslog: `Nov 25 19:25:54 host envoy[1234]: …`, also with a fraction, and `2026-11-25T19:25:54+0000 host envoy[1234]: …`.
fn syslog(line: &[u8]) -> Option<&[u8]> {
    let rest = date(line).or_else(|| iso(line))?;
    let (host, rest) = word(rest)?;
    let (tag, rest) = word(rest)?;
    let tag = tag.strip_suffix(b":")?;
    let name = match tag.strip_suffix(b"]") {
        Some(tag) => {
            let at = tag.iter().position(|b| *b == b'[')?;
            tag.get(at + 1..).filter(|pid| digits(pid))?;
            tag.get(..at)?
        }
        None => tag,
    };
    (!name.is_empty() && [host, name].concat().iter().all(|b| is_of_a_name(*b))).then_some(rest)
}

/// `Nov 25 19:25:54 `, `Nov  5 19:25:54.756123 `.
fn date(line: &[u8]) -> Option<&[u8]> {
    let (month, rest) = word(line)?;
    let (day, rest) = word(rest.trim_ascii_start())?;
    let (time, rest) = word(rest)?;
    let month = month.len() == 3 && month.iter().all(u8::is_ascii_alphabetic);
    (month && digits(day) && time.iter().all(|b| b.is_ascii_digit() || b":.".contains(b))).then_some(rest)
}

/// `2026-11-25T19:25:54+0000 `, which is not quite RFC 3339, and what is.
fn iso(line: &[u8]) -> Option<&[u8]> {
    let (time, rest) = word(line)?;
    let all = time.iter().all(|b| b.is_ascii_digit() || b"-:.+,TZ".contains(b));
    (all && time.first().is_some_and(u8::is_ascii_digit)).then_some(rest)
}

const fn is_of_a_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn what_was_put_before_a_line_is_taken_off() {
        for (line, rest) in [
            ("{}", "{}"),
            ("  [2026-11-25 19:25:54.756][1] x\r\n", "[2026-11-25 19:25:54.756][1] x"),
            ("[pod/gateway-7d9c/envoy] {}", "{}"),
            ("[pod/gateway-7d9c/envoy] 2026-11-25T19:25:54.756123456Z {}", "{}"),
            ("envoy-1  | {}", "{}"),
            ("envoy-1  | 2026-11-25T19:25:54.756123456Z {}", "{}"),
            ("2026-11-25T19:25:54.756123456Z {}", "{}"),
            ("2026-11-25T19:25:54.756123456+01:00 stderr F {}", "{}"),
            ("2026-11-25T19:25:54.756123456Z stdout F [x] y", "[x] y"),
            ("Nov 25 19:25:54 host-1 envoy[1234]: {}", "{}"),
            ("Nov  5 19:25:54.756123 host-1 envoy: {}", "{}"),
            ("2026-11-25T19:25:54+0000 host envoy[1]: {}", "{}"),
            ("2026-11-25T19:25:54+00:00 host envoy[1]: {}", "{}"),
            // Half of a line, and what only resembles.
            ("2026-11-25T19:25:54.756123456Z stderr P {}", "stderr P {}"),
            ("GET /x: {}", "GET /x: {}"),
            ("host envoy: {}", "host envoy: {}"),
            ("[pod/a b] {}", "[pod/a b] {}"),
            ("[pod/\"] {}", "[pod/\"] {}"),
            ("a\" | {}", "a\" | {}"),
            ("Nov 25 19:25:54 host envoy[x]: {}", "Nov 25 19:25:54 host envoy[x]: {}"),
            (
                "[2026-11-25T19:25:54.756Z] \"GET / HTTP/1.1\" {}",
                "[2026-11-25T19:25:54.756Z] \"GET / HTTP/1.1\" {}",
            ),
            ("a | b | c | d | e | {}", "e | {}"),
            ("", ""),
        ] {
            assert_eq!(std::str::from_utf8(strip(line.as_bytes())), Ok(rest), "{line}");
        }
    }
}
