//! Which hash stands for a key, and which for a token?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Json;

/// The SHA-256 of `bytes` in base64url: `ath` (RFC 9449 §4.2) of a token.
pub(in crate::guards::identity::confirmation) fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(bytes))
}

/// RFC 7638 §3: the SHA-256 of the required members in the order of their names. The members are taken as they stand; those of a key
/// that could be read are base64url and need no escape.
pub(in crate::guards::identity::confirmation) fn of(jwk: &Json) -> Option<String> {
    let text = |name| jwk.get(name).and_then(Json::as_text);
    let canonical = match text("kty")? {
        "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text("e")?, text("n")?),
        "EC" => {
            format!(r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#, text("crv")?, text("x")?, text("y")?)
        }
        "OKP" => format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, text("crv")?, text("x")?),
        _ => return None,
    };
    Some(sha256(canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::guards::identity::jwt::vectors::ED25519;
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;

    #[test]
    fn published_thumbprints() {
        let rfc7638 = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
        let rfc8037 = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, ED25519[0]);
        let rfc9449 = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;
        for (jwk, expected) in [
            (rfc7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (&rfc8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (rfc9449, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ] {
            let bounds = Bounds { depth: 2, values: 20, duplicates: Duplicates::Refuse };
            assert_eq!(of(&Json::parse(jwk.as_bytes(), bounds).unwrap()).as_deref(), Some(expected));
        }
    }
}
