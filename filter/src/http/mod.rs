//! The parts of an HTTP request, each parsed once and then trusted.

pub mod authority;
pub mod cidr;
pub mod head;
pub mod path;
pub mod target;
pub mod trace;

pub use authority::Authority;
pub use cidr::{Cidr, CidrFault};
pub use head::Head;
pub use path::Path;
pub use target::Target;
pub use trace::TraceParent;

/// Whether `value` may stand in a header field: RFC 9110 §5.5, visible ASCII, blank, tab, and bytes from 0x80 on. CR, LF and
/// NUL never: Envoy writes them to the wire as they are (host fact H2).
pub fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|&b| b == b'\t' || (b >= 0x20 && b != 0x7f))
}

/// Whether `name` is a header name as HTTP/2 writes it: RFC 9110 §5.1 token, lower case.
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| is_token_byte(b) && !b.is_ascii_uppercase())
}

/// RFC 9110 §5.6.2 `tchar`.
pub const fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a client's header `sent` is, to some reader, the header `ours` (lower case): CGI and its heirs (RFC 3875 §4.1.18) turn `-` and
/// `_` into one, and some of them every byte that is no letter and no digit, so that `x_user` and `x.user` arrive as `x-user`.
pub fn passes_for(sent: &[u8], ours: &str) -> bool {
    let fold = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'-' };
    sent.len() == ours.len() && sent.iter().zip(ours.bytes()).all(|(&a, b)| fold(a) == fold(b))
}

/// Strips blanks and tabs from both ends: RFC 9110 §5.6.3 `OWS`.
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::is_field_value;
    use crate::testing::test;

    /// What ends a field on the wire of HTTP/1, wherever it stands, and what does not.
    #[test]
    fn what_may_stand_in_a_field() {
        for good in [&b""[..], b"a b\tc", b"\"q\\\"", b"caf\xc3\xa9", b"\x80\xff", b"~"] {
            assert!(is_field_value(good), "{good:?}");
        }
        for byte in (0..=0x1f).filter(|b| *b != b'\t').chain([0x7f]) {
            for bad in [vec![byte], vec![b'a', byte], vec![byte, b'a'], vec![b'a', byte, b'a']] {
                assert!(!is_field_value(&bad), "{bad:?}");
            }
        }
    }
}
