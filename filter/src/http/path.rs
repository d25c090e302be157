//! Which path does the client mean, and could another reader see another one?
//!
//! A gateway that judges one path while the upstream serves another is a way in (CVE-2019-9901 and its family). We do not
//! normalise: a path that needs it is refused, because whether the upstream normalises the same way cannot be known. What is left
//! reads the same for everyone, up to percent-encoding of bytes that have no meaning of their own, which is decoded here once.

use std::borrow::Cow;

/// A path that has one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    decoded: Cow<'a, str>,
    raw: &'a [u8],
    query: Option<&'a [u8]>,
}

/// Why a request target has no single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// No `/` at the start (`*`, an absolute or an authority form), a byte outside RFC 3986 (a control, a blank, 0x80 and
    /// above, `#`, `"`, `<`, `>`, `^`, a backquote, braces, a bar), or a `%` without two hex digits, or bytes that are not UTF-8.
    Invalid,
    /// Readers differ: the text says on what.
    Ambiguous(&'static str),
}

impl<'a> Path<'a> {
    /// Reads `:path`.
    pub fn parse(target: &'a [u8]) -> Result<Self, PathFault> {
        let (raw, query) = match target.iter().position(|&b| b == b'?') {
            Some(at) => (target.get(..at).unwrap_or_default(), target.get(at.saturating_add(1)..)),
            None => (target, None),
        };
        if raw.first() != Some(&b'/') {
            return Err(PathFault::Invalid);
        }
        if query.is_some_and(|query| !query.iter().all(|&b| is_query_byte(b))) {
            return Err(PathFault::Invalid);
        }
        let decoded = decode(raw)?;
        ambiguity(&decoded)?;
        Ok(Self { decoded, raw, query })
    }

    /// The path, percent-decoded once. For matching.
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// The path as it was sent, without query.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// What stands behind `?`, as it was sent.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query
    }
}

fn decode(raw: &[u8]) -> Result<Cow<'_, str>, PathFault> {
    if !raw.iter().all(|&b| is_path_byte(b)) {
        return Err(if raw.contains(&b'\\') {
            PathFault::Ambiguous("a back slash")
        } else {
            PathFault::Invalid
        });
    }
    if !raw.contains(&b'%') {
        return core::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| PathFault::Invalid);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(PathFault::Invalid);
        };
        let byte = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low).ok_or(PathFault::Invalid)?;
        encoded(byte)?;
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).map(Cow::Owned).map_err(|_| PathFault::Invalid)
}

/// Whether an encoded `byte` can be decoded without a second opinion.
fn encoded(byte: u8) -> Result<(), PathFault> {
    Err(PathFault::Ambiguous(match byte {
        b'/' | b'\\' => "an encoded slash",
        b'.' => "an encoded dot",
        b';' => "an encoded semicolon",
        0..=0x1f | 0x7f => "an encoded control byte",
        _ => return Ok(()),
    }))
}

fn ambiguity(path: &str) -> Result<(), PathFault> {
    // `/%2561` is `/%61` for one reader and `/a` for one that decodes twice. A `%` is here only if it was encoded.
    let twice = |at: usize| matches!(path.as_bytes().get(at..), Some([_, a, b, ..]) if hex(*a).and(hex(*b)).is_some());
    if path.match_indices('%').any(|(at, _)| twice(at)) {
        return Err(PathFault::Ambiguous("double encoding"));
    }
    if !path.is_ascii() && path.contains(LOOK_ALIKES) {
        return Err(PathFault::Ambiguous("what some readers take for a dot, a slash or another mark"));
    }
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() && !last {
            return Err(PathFault::Ambiguous("a doubled slash"));
        }
        // Servers on Windows cut blanks off.
        if matches!(segment.trim_matches(' '), "." | "..") {
            return Err(PathFault::Ambiguous("a dot segment"));
        }
        // Servlet containers cut `;x=y` off before they route (istio/istio#27409); others do not.
        if segment.contains(';') {
            return Err(PathFault::Ambiguous("a path parameter"));
        }
    }
    Ok(())
}

/// What becomes a dot, two dots, a slash, a back slash, a semicolon or a percent sign, alone or among letters, for a reader that normalises by
/// compatibility (Unicode Standard Annex 15, NFKC). Not what becomes a question mark or a number sign, which stand in titles.
const LOOK_ALIKES: [char; 18] = [
    '\u{37e}', '\u{2024}', '\u{2025}', '\u{2100}', '\u{2101}', '\u{2105}', '\u{2106}', '\u{fe14}',
    '\u{fe30}', '\u{fe52}', '\u{fe54}', '\u{fe68}', '\u{fe6a}', '\u{ff05}', '\u{ff0e}', '\u{ff0f}',
    '\u{ff1b}', '\u{ff3c}',
];

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// RFC 3986 §3.3: `pchar`, `/` and `%`.
const fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'/'
                | b'%'
        )
}

/// RFC 3986 §3.4, and what browsers send beside it (`[`, `]`, `|`, `{`, `}`, `^`, a backquote, `"`, `<`, `>`, `\`). Nothing is
/// matched against a query, so it needs no single reading; controls, blanks and `#` have no place in it.
const fn is_query_byte(b: u8) -> bool {
    b.is_ascii_graphic() && b != b'#'
}

#[cfg(test)]
mod tests {
    use super::{Path, PathFault};
    use crate::testing::test;

    #[test]
    fn paths_with_one_reading() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a/b/", "/a/b/", None),
            ("/a?b?c=%zz", "/a", Some("b?c=%zz")),
            ("/a?", "/a", Some("")),
            ("/%61", "/a", None),
            ("/caf%c3%A9", "/café", None),
            ("/a%20b", "/a b", None),
            ("/100%25", "/100%", None),
            ("/a.b/..c/...", "/a.b/..c/...", None),
            ("/@me:1,2;".trim_end_matches(';'), "/@me:1,2", None),
        ] {
            let parsed = Path::parse(target.as_bytes()).expect(target);
            assert_eq!(parsed.as_str(), path);
            assert_eq!(parsed.query(), query.map(str::as_bytes));
        }
    }

    #[test]
    fn paths_that_are_refused() {
        use PathFault::{Ambiguous, Invalid};
        for (target, fault) in [
            ("", Invalid),
            ("*", Invalid),
            ("a", Invalid),
            ("http://h/", Invalid),
            ("?/", Invalid),
            ("/a b", Invalid),
            ("/a\u{0}", Invalid),
            ("/a\t", Invalid),
            ("/é", Invalid),
            ("/a#f", Invalid),
            ("/a?x#f", Invalid),
            ("/a?x y", Invalid),
            ("/%", Invalid),
            ("/%a", Invalid),
            ("/%zz", Invalid),
            ("/%ff", Invalid),
            ("/%c0%ae", Invalid),
            ("/%ed%a0%80", Invalid),
            ("/a\\b", Ambiguous("a back slash")),
            ("/a/../b", Ambiguous("a dot segment")),
            ("/a/./b", Ambiguous("a dot segment")),
            ("/a/..", Ambiguous("a dot segment")),
            ("/.", Ambiguous("a dot segment")),
            ("/a/..%20/b", Ambiguous("a dot segment")),
            ("/a/%20./b", Ambiguous("a dot segment")),
            ("/a/..%ef%bc%8fb", Ambiguous("what some readers take for a dot, a slash or another mark")),
            ("/a/%e2%80%a5/b", Ambiguous("what some readers take for a dot, a slash or another mark")),
            (
                "/public/%ef%b8%b0/admin",
                Ambiguous("what some readers take for a dot, a slash or another mark"),
            ),
            ("/a%e2%84%80", Ambiguous("what some readers take for a dot, a slash or another mark")),
            ("/a%cd%bejsessionid=1", Ambiguous("what some readers take for a dot, a slash or another mark")),
            ("/a%ef%bc%852e", Ambiguous("what some readers take for a dot, a slash or another mark")),
            ("/a%ef%bc%bcb", Ambiguous("what some readers take for a dot, a slash or another mark")),
            ("//a", Ambiguous("a doubled slash")),
            ("/a//", Ambiguous("a doubled slash")),
            ("/a%2fb", Ambiguous("an encoded slash")),
            ("/a%2Fb", Ambiguous("an encoded slash")),
            ("/a%5cb", Ambiguous("an encoded slash")),
            ("/%2e%2e/a", Ambiguous("an encoded dot")),
            ("/.%2E/a", Ambiguous("an encoded dot")),
            ("/a%00", Ambiguous("an encoded control byte")),
            ("/a%0d%0a", Ambiguous("an encoded control byte")),
            ("/a%7f", Ambiguous("an encoded control byte")),
            ("/a%2561", Ambiguous("double encoding")),
            ("/a%252e", Ambiguous("double encoding")),
            ("/a%25%32%65", Ambiguous("double encoding")),
            ("/a;x=y", Ambiguous("a path parameter")),
            ("/a/;/b", Ambiguous("a path parameter")),
            ("/a%3bx", Ambiguous("an encoded semicolon")),
        ] {
            assert_eq!(Path::parse(target.as_bytes()), Err(fault), "{target}");
        }
    }
}
