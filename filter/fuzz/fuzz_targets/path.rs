//! A path that is accepted has one reading: no dot segment, doubled slash, back slash, parameter or control byte in it,
//! and nothing left that a second decoding would change into one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::http::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = Path::parse(bytes) else {
        return;
    };
    let path = parsed.as_str();
    assert_one_reading(path);
    assert_one_reading(&decode(path));
    // Decoded by somebody else, the raw path is this one.
    let raw = bytes.split(|&b| b == b'?').next().expect("split has a first");
    assert_eq!(decode(core::str::from_utf8(raw).expect("accepted, so ASCII")), path);
    assert_eq!(parsed.query().map(<[u8]>::len), bytes.len().checked_sub(raw.len() + 1));
});

fn assert_one_reading(path: &str) {
    assert!(path.starts_with('/'), "{path:?}");
    assert!(!path.contains("//"), "{path:?}");
    assert!(!path.split('/').any(|segment| segment == "." || segment == ".."), "{path:?}");
    assert!(!path.contains(['\\', ';']), "{path:?}");
    assert!(!path.bytes().any(|b| b < 0x20 || b == 0x7f), "{path:?}");
}

/// Percent-decoding as a lenient server does it: what is no escape stays.
fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|two| core::str::from_utf8(two).ok());
        let byte =
            escape.filter(|two| !two.starts_with('+')).and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
