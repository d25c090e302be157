//! Key sets that serve, keys that are skipped, and sets that nobody may write.

use super::algorithm::{Algorithm, Family};
use super::keys::KeySet;
use super::signature::holds;
use super::vectors::{BoringHost, RSA, base64, jwk, set, sign, unbase64};
use crate::limits;
use crate::testing::test;

#[test]
fn key_sets() {
    let (ec, rsa, ed) = (jwk(Family::P256, ""), jwk(Family::Rsa, ""), jwk(Family::Ed25519, ""));
    let odd =
        |jwk: &str| KeySet::read(set(&[ec.clone(), jwk.to_owned()]).as_bytes()).map(|(_, skipped)| skipped);
    // Skipped: the set still serves.
    for (name, key) in [
        ("for encryption", jwk(Family::Rsa, r#""use":"enc","#)),
        ("a use that is no text", jwk(Family::Rsa, r#""use":1,"#)),
        ("for signing", jwk(Family::Rsa, r#""key_ops":["sign"],"#)),
        ("operations that are no list", jwk(Family::Rsa, r#""key_ops":"verify","#)),
        ("for RSA-OAEP", jwk(Family::Rsa, r#""alg":"RSA-OAEP","#)),
        ("RSA for ES256", jwk(Family::Rsa, r#""alg":"ES256","#)),
        ("RSA for HS256", jwk(Family::Rsa, r#""alg":"HS256","#)),
        ("a kid that is a number", jwk(Family::Rsa, r#""kid":1,"#)),
        ("another curve", ec.replace("P-256", "P-521")),
        ("a curve it is not on", ec.replace("P-256", "P-384")),
        ("a point off the curve", ec.replace("x_FEz", "x_FEy")),
        ("another kind", r#"{"kty":"AKP","pub":"x"}"#.to_owned()),
        ("no kind", "{}".to_owned()),
        ("no map", "7".to_owned()),
        ("X25519", ed.replace("Ed25519", "X25519")),
        ("a short x", ed.replace("11qYA", "11q")),
        ("no modulus", r#"{"kty":"RSA","e":"AQAB"}"#.to_owned()),
        ("an empty modulus", r#"{"kty":"RSA","n":"","e":"AQAB"}"#.to_owned()),
        ("1024 bits", format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64([0xff; 128]))),
        ("2047 bits", format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64([0x7f; 256]))),
        ("an even modulus", format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64([0xfe; 256]))),
        ("16384 bits", format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64([0xff; 2048]))),
        ("the exponent 1", rsa.replace("AQAB", "AQ")),
        ("an even exponent", rsa.replace("AQAB", "AQAA")),
        ("padding", rsa.replace("AQAB", "AQAB=")),
    ] {
        let skipped = odd(&key).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!(skipped.iter().map(|note| note.key).collect::<Vec<_>>(), [Some(1)], "{name}");
        assert!(KeySet::read(set(&[key]).as_bytes()).is_err(), "{name}: alone");
    }
    // Faults: whoever wrote this must hear of it.
    for (name, key, what) in [
        ("a private EC key", ec.replace("\"kty\"", "\"d\":\"x\",\"kty\""), "private key"),
        ("a private RSA key", rsa.replace("\"kty\"", "\"qi\":\"x\",\"kty\""), "private key"),
        ("a private key for encryption", jwk(Family::Rsa, r#""use":"enc","d":"x","#), "private key"),
        ("a secret", jwk(Family::Hmac, ""), "shared secret"),
        ("a secret in disguise", rsa.replace("\"kty\"", "\"k\":\"x\",\"kty\""), "shared secret"),
    ] {
        let faults = odd(&key).expect_err(name);
        assert!(faults.len() == 1 && faults[0].what.contains(what), "{name}: {faults:?}");
    }
    let twins = set(&[jwk(Family::P256, r#""kid":"a","#), jwk(Family::Rsa, r#""kid":"a","#)]);
    assert!(KeySet::read(twins.as_bytes()).unwrap_err()[0].what.contains("this `kid`"));
    let many = set(&vec![ec.clone(); limits::JWKS_KEYS + 1]);
    for text in [
        "",
        "{}",
        "[]",
        r#"{"keys":[]}"#,
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        &many,
        &" ".repeat(300_000),
    ] {
        assert!(KeySet::read(text.as_bytes()).is_err(), "{text:.40}");
    }
    // A leading zero, as some issuers write it, is the same number.
    let padded = [&[0][..], &unbase64(RSA[0])].concat();
    let key = format!(r#"{{"kty":"RSA","n":"{}","e":"AAEAAQ"}}"#, base64(padded));
    let (keys, _) = KeySet::read(set(&[key]).as_bytes()).unwrap();
    let key = keys.choose(None, Algorithm::RS256).unwrap();
    assert!(holds(key, Algorithm::RS256, b"x", &sign(Algorithm::RS256, b"x"), &BoringHost));
}
