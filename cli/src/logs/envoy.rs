//! What did a plugin tell Envoy's log? The message of a line in the formats that Envoy, Istio and Google's Kubernetes write.
//!
//! A line of another component, or of another kind (an access log), may hold what a client sent, an event of its own making too: only what
//! stands behind the whole beginning of a plugin's line counts.

/// The message of a line of the component `wasm`, up to the end of the line; also of one that is the message alone.
pub(super) fn message(line: &[u8]) -> Option<&[u8]> {
    let line = usual(line).or_else(|| of_istio(line)).or_else(|| of_glog(line)).unwrap_or(line);
    let behind = line.strip_prefix(b"wasm log ")?;
    // The names of the filter, its root and its VM; what a plugin says begins behind the first colon.
    let end = behind.windows(2).position(|pair| pair == b": ")?;
    behind.get(end + 2..)
}

/// `[2026-11-25 19:25:54.756][18049][warning][wasm] [source/extensions/common/wasm/context.cc:1195] …`
fn usual(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    let mut inside = || {
        let end = rest.iter().position(|b| *b == b']')?;
        let inside = rest.get(..end)?.strip_prefix(b"[")?;
        rest = rest.get(end + 1..)?;
        Some(inside)
    };
    let time = inside()?.iter().all(|b| b.is_ascii_digit() || b"-: .,TZ+".contains(b));
    let thread = digits(inside()?);
    let level = inside()?.iter().all(u8::is_ascii_alphabetic);
    let component = inside()? == b"wasm";
    (time && thread && level && component).then_some(())?;
    let end = rest.iter().position(|b| *b == b']')?;
    rest.strip_prefix(b" [")?;
    rest.get(end + 1..)?.strip_prefix(b" ")
}

/// With tabs: `2026-11-25T19:25:54.756123Z⇥warning⇥envoy wasm source/…:1195⇥…⇥thread=18`; before Istio 1.16 without the source.
fn of_istio(line: &[u8]) -> Option<&[u8]> {
    let mut parts = line.splitn(4, |b| *b == b'\t');
    let (time, level, component, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let component = component.strip_prefix(b"envoy wasm")?;
    let source = component.is_empty()
        || (component.starts_with(b" ") && component.iter().all(|b| matches!(b, b' '..=b'~')));
    let time = !time.is_empty() && time.iter().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(b));
    (time && level.iter().all(u8::is_ascii_alphabetic) && source).then_some(rest)
}

/// Which Envoy's documents show for Google's logs: `W1125 19:25:54.756 18049 envoy/source/…:1195] [18049][wasm]…`.
fn of_glog(line: &[u8]) -> Option<&[u8]> {
    let (day, rest) = word(line)?;
    let (time, rest) = word(rest)?;
    let (thread, rest) = word(rest)?;
    let (source, rest) = word(rest)?;
    let (level, day) = day.split_first()?;
    let known = level.is_ascii_uppercase() && digits(day) && digits(thread);
    let time = time.iter().all(|b| b.is_ascii_digit() || b":.".contains(b));
    (known && time && source.starts_with(b"envoy/") && source.ends_with(b"]")).then_some(())?;
    rest.strip_prefix(b"[")?.strip_prefix(thread)?.strip_prefix(b"][wasm]")
}

/// Up to the next blank, and what is behind that.
pub(super) fn word(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|b| *b == b' ').filter(|end| *end > 0)?;
    Some((line.get(..end)?, line.get(end + 1..)?))
}

/// Digits, and at least one.
pub(super) fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}
