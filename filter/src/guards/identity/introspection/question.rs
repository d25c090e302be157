//! How is a question about a token written?

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secret::Secret;

/// RFC 6749 §2.3.1: name and secret are form-encoded before they are joined and written in base64.
pub(super) fn basic(client_id: &str, secret: &Secret<Vec<u8>>) -> String {
    let joined = Secret::new(format!("{}:{}", form(client_id.as_bytes()), form(secret.expose())));
    format!("Basic {}", STANDARD.encode(joined.expose()))
}

/// `application/x-www-form-urlencoded`: RFC 3986's unreserved characters as they are, all else by its bytes. A blank as `%20` is read by
/// every decoder.
pub(super) fn form(bytes: &[u8]) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut out = String::with_capacity(bytes.len());
    for b in bytes {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(*b));
        } else {
            out.push('%');
            out.extend([b >> 4, b & 15].iter().filter_map(|digit| HEX.get(usize::from(*digit))));
        }
    }
    out
}
