//! Tokens that hold and tokens that do not, with the reason for each.

use std::rc::Rc;

use super::algorithm::{Algorithm, Family};
use super::compact::media_type;
use super::vectors::{BoringHost, ED25519, NoHost, RSA, base64, hmac, jwk, set, sign, unbase64};
use super::{Compact, check};
use crate::decision::{Detail, Reason, Refusal};
use crate::guards::identity::caller::Token;
use crate::guards::identity::confirmation::Confirmation;
use crate::guards::identity::jwt::KeySet;
use crate::guards::identity::revoked::Revoked;
use crate::guards::identity::rules::{Audience, KeySource, Place, Provider, Providers, Tallies, TokenTypes};
use crate::json::Json;
use crate::limits;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

pub(super) const NOW: u64 = 1_800_000_000;
const SOUND: &str =
    r#"{"iss":"https://id.example","aud":"api","sub":"ada","iat":1799999990,"exp":1800000100}"#;
pub(super) const HEADER: &str = r#"{"alg":"ES256","kid":"ec"}"#;

pub(super) fn provider() -> Provider {
    let keys = [
        jwk(Family::P256, r#""kid":"ec","#),
        jwk(Family::Rsa, r#""kid":"rsa","#),
        jwk(Family::Rsa, r#""kid":"rs256","alg":"RS256","use":"sig","key_ops":["verify"],"#),
        jwk(Family::Ed25519, r#""kid":"ed","#),
    ];
    Provider {
        name: "corp".into(),
        issuer: "https://id.example".into(),
        audience: Audience::OneOf(vec!["api".into(), "other".into()]),
        algorithms: Algorithm::asymmetric(),
        token_types: TokenTypes { absent: true, named: vec!["jwt".to_owned(), "at+jwt".to_owned()] },
        source: KeySource::Inline,
        keys: Ok(Rc::new(KeySet::read(set(&keys).as_bytes()).unwrap().0)),
        places: vec![Place::Cookie("session".into())],
        forward: false,
        clock_skew: 30 * SECOND,
        require_expiration: true,
        max_lifetime: None,
        required_claims: Vec::new(),
        claim_headers: Vec::new(),
        confirmation: Confirmation::default(),
        revoked: Revoked::default(),
        introspection: None,
        tallies: Tallies::default(),
    }
}

fn mint_with(header: &str, claims: &str, algorithm: Algorithm) -> String {
    let text = format!("{}.{}", base64(header), base64(claims));
    let signature = base64(sign(algorithm, text.as_bytes()));
    format!("{text}.{signature}")
}

pub(super) fn mint(header: &str, claims: &str) -> String {
    mint_with(header, claims, Algorithm::ES256)
}

pub(super) fn judge(token: impl AsRef<[u8]>, provider: &Provider, now: Timestamp) -> Result<Token, Refusal> {
    let judged = |host: bool| {
        let token = Compact::parse(token.as_ref())?;
        if host { check(token, provider, now, &BoringHost) } else { check(token, provider, now, &NoHost) }
            .map(|(token, _)| token)
            .map_err(|fault| fault.into_stop(provider).into_refusal())
    };
    let (by_host, in_wasm) = (judged(true), judged(false));
    assert_eq!(by_host.as_ref().err(), in_wasm.as_ref().err(), "the two ways differ");
    by_host
}

pub(super) fn reason(token: impl AsRef<[u8]>, provider: &Provider) -> Option<Reason> {
    judge(token, provider, Timestamp::from_seconds(NOW)).err().map(|refusal| refusal.reason)
}

#[test]
fn a_sound_token_holds() {
    let token = judge(mint(HEADER, SOUND), &provider(), Timestamp::from_seconds(NOW)).unwrap();
    assert_eq!((&**token.provider(), token.kid()), ("corp", Some("ec")));
    assert_eq!(token.claim("sub").and_then(Json::as_text), Some("ada"));
    for (alg, kid) in
        [("RS256", "rs256"), ("RS512", "rsa"), ("PS384", "rsa"), ("EdDSA", "ed"), ("Ed25519", "ed")]
    {
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
        let token = mint_with(&header, SOUND, Algorithm::named(alg).unwrap());
        assert_eq!(reason(token, &provider()), None, "{alg}");
    }
}

#[test]
fn shapes_that_are_no_token() {
    let good = mint(HEADER, SOUND);
    let [header, claims, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let deep = format!(r#"{{"iss":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let wide = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(limits::TOKEN_VALUES));
    let bad_header = |text: &str| format!("{}.{claims}.{signature}", base64(text));
    let bad_claims = |text: &str| format!("{header}.{}.{signature}", base64(text));
    for (name, token) in [
        ("empty", String::new()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.")),
        ("a JWE", format!("{header}.a.b.c.d")),
        ("dots only", "..".to_owned()),
        ("an empty header", format!(".{claims}.{signature}")),
        ("an empty payload", format!("{header}..{signature}")),
        ("padding", format!("{header}.{claims}=.{signature}")),
        ("padding of the signature", format!("{good}==")),
        ("a blank", format!("{header}. {claims}.{signature}")),
        ("a newline", format!("{good}\n")),
        ("the other alphabet", format!("{header}.{claims}.{}+/", &signature[2..])),
        ("trailing bits", format!("{header}.{claims}.{}h", &signature[..85])),
        ("a lone digit", format!("{header}.{claims}A.{signature}")),
        ("not UTF-8 in JSON", format!("{header}.{}.{signature}", base64(b"{\"iss\":\"\xff\"}"))),
        ("a header twice", bad_header(r#"{"alg":"ES256","kid":"a","alg":"ES256"}"#)),
        ("a header twice, escaped", bad_header(r#"{"alg":"none","\u0061lg":"ES256"}"#)),
        ("a header that is a list", bad_header(r#"["ES256"]"#)),
        ("text behind the header", bad_header(r#"{"alg":"ES256"}{}"#)),
        ("a claim twice", bad_claims(r#"{"iss":"a","sub":"b","iss":"c"}"#)),
        ("a claim twice, nested", bad_claims(r#"{"iss":"a","b":{"c":1,"c":2}}"#)),
        ("claims 5,000 deep", bad_claims(&deep)),
        ("too many values", bad_claims(&wide)),
        ("claims that are text", bad_claims("\"iss\"")),
        ("a nested token", bad_claims(&good)),
        ("a BOM", bad_claims("\u{feff}{}")),
    ] {
        assert_eq!(reason(&token, &provider()), Some(Reason::TokenMalformed), "{name}");
    }
    assert_eq!(signature.len(), 86, "the rows cut a signature of 64 bytes");
}

#[test]
fn tokens_of_every_length() {
    let long = |size: usize| {
        let claims = format!(
            r#"{{"iss":"https://id.example","aud":"api","exp":1800000100,"x":"{}"}}"#,
            "x".repeat(size)
        );
        mint(HEADER, &claims)
    };
    assert_eq!(reason(long(11_000), &provider()), None);
    assert_eq!(reason(long(30_000), &provider()), Some(Reason::TokenTooLarge), "40 KB");
    assert_eq!(reason(vec![b'.'; 100_000], &provider()), Some(Reason::TokenTooLarge));
    let header = format!(r#"{{"alg":"ES256","kid":"ec","x5c":["{}"]}}"#, "x".repeat(8200));
    assert_eq!(reason(mint(&header, SOUND), &provider()), Some(Reason::TokenTooLarge), "the header");
}

#[test]
fn algorithms_that_are_not_taken() {
    use Reason::{AlgorithmUnaccepted, KeyUnknown, SignatureInvalid};
    for (header, expected) in [
        (r#"{"alg":"none","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"None"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"nOnE"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":256,"kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":null,"kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":["ES256"],"kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"es256","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"ES512","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"HS256","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"ES384","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"RS256","kid":"ec"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"ES256","kid":"rsa"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"RS512","kid":"rs256"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"PS256","kid":"rs256"}"#, AlgorithmUnaccepted),
        (r#"{"alg":"RS256","kid":"rsa"}"#, SignatureInvalid),
        (r#"{"alg":"ES384"}"#, KeyUnknown),
    ] {
        assert_eq!(reason(mint(header, SOUND), &provider()), Some(expected), "{header}");
    }
    let mut narrow = provider();
    narrow.algorithms = vec![Algorithm::RS256];
    assert_eq!(
        reason(mint(HEADER, SOUND), &narrow),
        Some(AlgorithmUnaccepted),
        "the provider takes RS256 only"
    );
    let unsigned = format!("{}.{}.", base64(r#"{"alg":"ES256","kid":"ec"}"#), base64(SOUND));
    assert_eq!(reason(unsigned, &provider()), Some(SignatureInvalid), "no signature");
}

#[test]
fn a_public_key_is_never_a_secret() {
    // RFC 8725 §2.1: HMAC with the bytes of the RSA public key, in the forms that libraries have taken it in.
    let jwks = jwk(Family::Rsa, "");
    for secret in [unbase64(RSA[0]), RSA[0].as_bytes().to_vec(), jwks.into_bytes(), Vec::new()] {
        for kid in [r#","kid":"rsa""#, r#","kid":"rs256""#, ""] {
            let text = format!("{}.{}", base64(format!(r#"{{"alg":"HS256"{kid}}}"#)), base64(SOUND));
            let token = format!("{text}.{}", base64(hmac(Algorithm::HS256, &secret, text.as_bytes())));
            assert_eq!(reason(&token, &provider()), Some(Reason::AlgorithmUnaccepted));
            let mut lax = provider();
            lax.algorithms.push(Algorithm::HS256);
            let expected = if kid.is_empty() { Reason::KeyUnknown } else { Reason::AlgorithmUnaccepted };
            assert_eq!(reason(&token, &lax), Some(expected), "no policy can say so, and the key refuses too");
        }
    }
}

#[test]
fn a_shared_secret_has_no_name() {
    let mut provider = provider();
    provider.algorithms = vec![Algorithm::HS256];
    let secret = unbase64(super::vectors::SECRET);
    provider.keys = Ok(Rc::new(KeySet::secret(vec![crate::secret::Secret::new(secret)])));
    for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"2026-11"}"#] {
        assert_eq!(reason(mint_with(header, SOUND, Algorithm::HS256), &provider), None, "{header}");
    }
    let other = mint_with(r#"{"alg":"HS512"}"#, SOUND, Algorithm::HS512);
    assert_eq!(reason(other, &provider), Some(Reason::AlgorithmUnaccepted), "HS512 is not named");
    assert_eq!(reason(mint(HEADER, SOUND), &provider), Some(Reason::AlgorithmUnaccepted));
}

/// While a secret is changed, tokens by the old one and by the new one hold, and by no other.
#[test]
fn two_secrets_for_the_time_of_a_change() {
    let mut provider = provider();
    provider.algorithms = vec![Algorithm::HS256];
    provider.source = KeySource::Secret { name: "OLD".into(), next: Some("NEW".into()) };
    let mut providers = Providers { list: vec![provider], ..Providers::default() };
    let (old, new, third) = ([1; 32], [2; 32], [3; 32]);
    let by = |secret: &[u8]| {
        let text = format!("{}.{}", base64(r#"{"alg":"HS256"}"#), base64(SOUND));
        format!("{text}.{}", base64(hmac(Algorithm::HS256, secret, text.as_bytes())))
    };
    let (wrong, missing) = (Some(Reason::SignatureInvalid), Some(Reason::KeysUnavailable));
    for (first, next, by_old, by_new) in [
        (Some(&old[..]), Some(&new[..]), None, None),
        (Some(&old[..]), None, None, wrong),
        (None, Some(&new[..]), wrong, None),
        (Some(&old[..]), Some(&b"short"[..]), None, wrong),
        (None, None, missing, missing),
    ] {
        providers.resolve(|name| if name == "OLD" { first } else { next }.map(<[u8]>::to_vec));
        let outcome = |secret: &[u8]| reason(by(secret), &providers.list[0]);
        assert_eq!((outcome(&old), outcome(&new)), (by_old, by_new));
        assert_eq!(outcome(&third), wrong.filter(|_| by_old.or(by_new) != missing).or(missing), "{first:?}");
    }
}

#[test]
fn a_token_does_not_bring_its_own_key() {
    // Signed by the Ed25519 key; the header claims that this key, wherever it says it is, vouches for the issuer.
    let own = jwk(Family::Ed25519, "");
    for member in [
        format!(r#""jwk":{own}"#),
        format!(r#""jku":"https://evil.example/jwks","x5u":"https://evil.example/{}""#, 1),
        r#""x5c":["MIIB"]"#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"EdDSA","kid":"evil",{member}}}"#);
        let token = mint_with(&header, SOUND, Algorithm::EdDSA);
        assert_eq!(reason(token, &provider()), Some(Reason::KeyUnknown), "{member}");
        // Beside the right key they are no fault: they are not looked at.
        let header = format!(r#"{{"alg":"ES256","kid":"ec",{member}}}"#);
        assert_eq!(reason(mint(&header, SOUND), &provider()), None, "{member}");
    }
}

#[test]
fn kids() {
    let ambiguous =
        |alg: &str| mint_with(&format!(r#"{{"alg":"{alg}"}}"#), SOUND, Algorithm::named(alg).unwrap());
    assert_eq!(reason(ambiguous("ES256"), &provider()), None, "one key could have been meant");
    assert_eq!(reason(ambiguous("RS256"), &provider()), Some(Reason::KeyUnknown), "two keys could");
    assert_eq!(reason(ambiguous("PS256"), &provider()), None, "the other RSA key is for RS256");
    for kid in [r#""EC""#, r#""ec ""#, r#""""#, r#""../ec""#, r#""' or 1=1""#, "1", "null", r#"["ec"]"#] {
        let header = format!(r#"{{"alg":"ES256","kid":{kid}}}"#);
        assert_eq!(reason(mint(&header, SOUND), &provider()), Some(Reason::KeyUnknown), "{kid}");
    }
    let mut nameless = provider();
    nameless.keys = Ok(Rc::new(KeySet::read(set(&[jwk(Family::P256, "")]).as_bytes()).unwrap().0));
    assert_eq!(reason(mint(HEADER, SOUND), &nameless), Some(Reason::KeyUnknown), "a kid that no key has");
    assert_eq!(reason(mint(r#"{"alg":"ES256"}"#, SOUND), &nameless), None);
}

#[test]
fn types_and_critical_parameters() {
    use Reason::{TokenCritical, TokenTypeUnaccepted};
    for (member, expected) in [
        (r#""typ":"JWT""#, None),
        (r#""typ":"jwt""#, None),
        (r#""typ":"AT+JWT""#, None),
        (r#""typ":"application/at+jwt""#, None),
        (r#""typ":"Application/JWT""#, None),
        (r#""typ":"application/a/jwt""#, Some(TokenTypeUnaccepted)),
        (r#""typ":"text/jwt""#, Some(TokenTypeUnaccepted)),
        (r#""typ":"dpop+jwt""#, Some(TokenTypeUnaccepted)),
        (r#""typ":"logout+jwt""#, Some(TokenTypeUnaccepted)),
        (r#""typ":"""#, Some(TokenTypeUnaccepted)),
        (r#""typ":null"#, Some(TokenTypeUnaccepted)),
        (r#""typ":["JWT"]"#, Some(TokenTypeUnaccepted)),
        (r#""crit":["exp"]"#, Some(TokenCritical)),
        (r#""crit":[]"#, Some(TokenCritical)),
        (r#""crit":null"#, Some(TokenCritical)),
        (r#""b64":false,"crit":["b64"]"#, Some(TokenCritical)),
        (r#""b64":true"#, Some(TokenCritical)),
        (r#""cty":"JWT","x5t":"x","zip":"DEF","salt":"s""#, None),
    ] {
        let header = format!(r#"{{"alg":"ES256","kid":"ec",{member}}}"#);
        assert_eq!(reason(mint(&header, SOUND), &provider()), expected, "{member}");
    }
    let mut strict = provider();
    strict.token_types = TokenTypes { absent: false, named: vec!["secevent".to_owned()] };
    assert_eq!(reason(mint(HEADER, SOUND), &strict), Some(TokenTypeUnaccepted), "no typ");
    assert_eq!(reason(mint(r#"{"alg":"ES256","kid":"ec","typ":"secevent"}"#, SOUND), &strict), None);
}

#[test]
fn signatures_come_last_and_count() {
    let good = mint(HEADER, SOUND);
    let (text, signature) = good.rsplit_once('.').unwrap();
    let other = mint(HEADER, &SOUND.replace("ada", "eve"));
    let swapped = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
    assert_eq!(reason(swapped, &provider()), Some(Reason::SignatureInvalid), "another's claims");
    assert_eq!(reason(format!("{text}."), &provider()), Some(Reason::SignatureInvalid));
    assert_eq!(reason(format!("{text}.{}", base64([0; 64])), &provider()), Some(Reason::SignatureInvalid));
    let expired = mint(HEADER, &SOUND.replace("1800000100", "1700000000"));
    let unsigned = format!("{}.", expired.rsplit_once('.').unwrap().0);
    assert_eq!(reason(unsigned, &provider()), Some(Reason::TokenExpired), "cheap checks first");
}

#[test]
fn without_keys_nothing_holds() {
    let mut provider = provider();
    provider.keys = Err(Detail::Fact("gone"));
    let refusal = judge(mint(HEADER, SOUND), &provider, Timestamp::from_seconds(NOW)).unwrap_err();
    assert_eq!((refusal.reason, refusal.detail), (Reason::KeysUnavailable, Detail::Fact("gone")));
    assert_eq!(refusal.advice, crate::decision::Advice::RetryAfter(limits::KEYS_RETRY_SECONDS));
}

#[test]
fn no_byte_of_a_token_reaches_a_detail() {
    // Marks in every part; a detail that repeated the parser's message or the token would hold one.
    let marked = r#"{"iss":"https://id.example","aud":"MARK","exp":1800000100,"MARK":"MARK"}"#;
    for token in [
        mint(r#"{"alg":"MARK"}"#, SOUND),
        mint(r#"{"alg":"ES256","kid":"MARK"}"#, SOUND),
        mint(r#"{"alg":"ES256","kid":"ec","typ":"MARK"}"#, SOUND),
        mint(r#"{"alg":"ES256","kid":"ec","crit":["MARK"]}"#, SOUND),
        mint(HEADER, marked),
        mint(HEADER, r#"{"MARK":1,"MARK":2}"#),
        mint(HEADER, r#"{"iss":"MARK"}"#),
        "MARK.MARK.MARK".to_owned(),
    ] {
        let refusal = judge(&token, &provider(), Timestamp::from_seconds(NOW)).unwrap_err();
        assert!(!format!("{refusal:?} {}", refusal.detail).contains("MARK"), "{refusal:?}");
    }
}

#[test]
fn as_long_as_may_be_and_a_byte_more() {
    let of = |token: &[u8]| Compact::parse(token).err().map(|refusal| refusal.reason);
    let token = vec![b'a'; limits::TOKEN_BYTES + 1];
    assert_eq!(of(&token[1..]), Some(Reason::TokenMalformed));
    assert_eq!(of(&token), Some(Reason::TokenTooLarge));
    let with_header = |bytes: usize| mint(&format!("{HEADER:bytes$}"), SOUND);
    assert_eq!(of(with_header(limits::TOKEN_HEADER_BYTES).as_bytes()), None);
    assert_eq!(of(with_header(limits::TOKEN_HEADER_BYTES + 1).as_bytes()), Some(Reason::TokenTooLarge));
}

#[test]
fn whoever_sends_an_encrypted_token_is_told() {
    let fact = |token: &str| Compact::parse(token.as_bytes()).err().map(|refusal| refusal.detail);
    assert_eq!(fact("a.b.c.d.e"), Some(Detail::Fact("more than three parts: encrypted tokens are not read")));
    assert_eq!(fact("a.b"), Some(Detail::Fact("not three parts")));
}

/// RFC 7515 §4.1.9.
#[test]
fn media_types_in_one_form() {
    for (typ, form) in [
        ("JWT", "jwt"),
        ("at+jwt", "at+jwt"),
        ("application/at+JWT", "at+jwt"),
        ("Application/jwt", "jwt"),
        ("application/a/b", "application/a/b"),
        ("text/jwt", "text/jwt"),
    ] {
        assert_eq!(media_type(typ), form);
    }
}

#[test]
fn a_key_that_stays_is_the_same_and_one_that_changes_is_told() {
    let families = [Family::Rsa, Family::P256, Family::Ed25519];
    let one = |family, kid: &str| jwk(family, &format!(r#""kid":"{kid}","#));
    let read = |keys: &[String]| KeySet::read(set(keys).as_bytes()).unwrap().0;
    let names = |of: &KeySet, beyond: Option<&KeySet>| {
        of.names_beyond(beyond).iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    for family in families {
        let (old, same) = (read(&[one(family, "a")]), read(&[one(family, "a"), one(family, "b")]));
        assert_eq!(names(&same, Some(&old)), ["b"], "{family:?}");
        assert_eq!(names(&old, Some(&same)), [""; 0], "{family:?}");
        assert_eq!(names(&same, None), ["a", "b"], "{family:?}");
    }
    // Another key under the same name, and the same name for another algorithm.
    let (a, b) = (read(&[one(Family::Ed25519, "a")]), read(&[one(Family::P256, "a")]));
    assert_eq!(names(&a, Some(&b)), ["a"]);
    // The base point of the curve, as a key.
    let mut base = [0x66; 32];
    base[0] = 0x58;
    let changed = one(Family::Ed25519, "a").replace(ED25519[0], &base64(base));
    assert_eq!(names(&read(&[changed]), Some(&a)), ["a"]);
}

#[test]
fn key_sets_as_large_as_may_be_and_a_little_more() {
    let fault = |text: &str| KeySet::read(text.as_bytes()).err().map(|notes| notes[0].what);
    let good = set(&[jwk(Family::Ed25519, "")]);
    let padded = |bytes: usize| format!("{good}{}", " ".repeat(bytes - good.len()));
    assert_eq!(fault(&padded(limits::JWKS_BYTES)), None);
    assert_eq!(fault(&padded(limits::JWKS_BYTES + 1)), Some("the key set is too long"));
    assert_eq!(fault(&padded(limits::JWKS_BYTES + 2)), Some("the key set is too long"));
    let keys = |count: usize| {
        let one = |nth| jwk(Family::Ed25519, &format!(r#""kid":"{nth}","#));
        set(&(0..count).map(one).collect::<Vec<_>>())
    };
    assert_eq!(fault(&keys(limits::JWKS_KEYS)), None);
    assert_eq!(fault(&keys(limits::JWKS_KEYS + 1)), Some("the key set holds too many keys"));
    // An exponent with zeros in front is the same number, and nobody needs so many.
    let exponent = |bytes: usize| {
        let number = [vec![0; bytes - 3], vec![1, 0, 1]].concat();
        let key = jwk(Family::Rsa, "").replace(r#""e":"AQAB""#, &format!(r#""e":"{}""#, base64(number)));
        KeySet::read(set(&[key]).as_bytes()).is_ok()
    };
    assert!(exponent(3) && exponent(limits::RSA_EXPONENT_BYTES));
    assert!(!exponent(limits::RSA_EXPONENT_BYTES + 1) && !exponent(limits::RSA_EXPONENT_BYTES + 2));
}
