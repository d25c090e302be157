//! Which bytes does the first block of a PEM text hold? RFC 7468 §3, strictly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----\n";
const END: &[u8] = b"\n-----END CERTIFICATE-----";

/// The first certificate: the client's own, where the host tells the whole chain.
pub(super) fn first(text: &[u8]) -> Option<Vec<u8>> {
    split(text).map(|(der, _)| der)
}

/// Every certificate. Nothing but blanks may stand beside them.
pub(super) fn all(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = text.trim_ascii();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (der, behind) = split(rest)?;
        found.push(der);
        rest = behind.trim_ascii();
    }
    (!found.is_empty()).then_some(found)
}

fn split(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let body = text.strip_prefix(BEGIN)?;
    let end = body.windows(END.len()).position(|window| window == END)?;
    let (lines, rest) = body.split_at_checked(end)?;
    let digits: Vec<u8> = lines.iter().copied().filter(|b| *b != b'\n').collect();
    Some((STANDARD.decode(digits).ok()?, rest.strip_prefix(END)?))
}
