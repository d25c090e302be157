//! Whatever the bytes: a changed token is refused, and nothing panics.
#![cfg(not(target_family = "wasm"))]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_filter::document::Field;
use portcullis_filter::guards::identity::attempt::Open;
use portcullis_filter::guards::identity::config::{read_authentication, read_jwt};
use portcullis_filter::guards::identity::jwt::{Compact, KeySet};
use portcullis_filter::guards::identity::spent::{cookies_without, target_without};
use portcullis_filter::guards::identity::{Authentication, Identified, Providers, Witness, identify};
use portcullis_filter::host::{Cas, HostError, SharedData, Swap, Verdict, Verifier};
use portcullis_filter::http::Head;
use portcullis_filter::http::head::serialize;
use portcullis_filter::json::{Bounds, Duplicates, Json};
use portcullis_filter::problem::Problems;
use portcullis_filter::time::Timestamp;
use proptest::prelude::*;

struct NoHost;

impl Verifier for NoHost {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl SharedData for NoHost {
    fn shared(&self, _: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Ok(None)
    }

    fn set_shared(&self, _: &str, _: &[u8], _: Option<Cas>) -> Result<Swap, HostError> {
        Ok(Swap::Lost)
    }
}

/// A gateway with two keys, and a sound token of each.
struct World {
    providers: Providers,
    route: Authentication,
    tokens: [String; 2],
}

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: 5000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap()
}

fn world() -> World {
    let ed = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new([7; 32]));
    let ec = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = ec.verifying_key().to_sec1_point(false);
    let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let keys = format!(
        r#"{{"keys":[{{"kid":"ed","kty":"OKP","crv":"Ed25519","x":"{}"}},{{"kid":"ec","kty":"EC","crv":"P-256","x":"{}","y":"{}"}}]}}"#,
        base64(&*ed.pk),
        base64(x),
        base64(y)
    );
    let keys = Json::Text(keys);
    let section = json(&format!(
        r#"{{"providers":[{{"name":"p","issuer":"i","audiences":["a"],"maxLifetime":"1h","localJWKS":{{"inline":{keys}}},
        "extractFrom":{{"headers":[{{"name":"authorization","valuePrefix":"Bearer "}}],"cookies":["c"],"params":["t"]}},
        "claimToHeaders":[{{"claim":"sub","header":"x-user"}}]}}]}}"#
    ));
    let problems = Problems::new();
    let providers = read_jwt(&Field::root(&section, &problems));
    let route = json(r#"{"jwt":{}}"#);
    let route = read_authentication(&Field::root(&route, &problems), &providers).unwrap();
    assert!(!problems.is_fatal());

    let text = |header: &str| {
        let claims = r#"{"iss":"i","aud":"a","sub":"ada","iat":1000,"exp":2000,"jti":"0123456789"}"#;
        format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()))
    };
    let edwards = text(r#"{"alg":"EdDSA","kid":"ed","typ":"JWT"}"#);
    let curve = text(r#"{"alg":"ES256","kid":"ec","typ":"JWT"}"#);
    let signed = base64(&*ed.sk.sign(&edwards, None));
    let p256: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&ec, curve.as_bytes());
    let p256 = base64(&p256.to_bytes());
    let tokens = [format!("{edwards}.{signed}"), format!("{curve}.{p256}")];
    World { providers, route, tokens }
}

fn head(target: &[u8], fields: &[(&str, Vec<u8>)]) -> Head {
    let pseudo: [(&[u8], &[u8]); 3] = [(b":method", b"GET"), (b":authority", b"h"), (b":path", target)];
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    Head::parse(serialize(pseudo.into_iter().chain(fields).collect::<Vec<_>>().into_iter())).unwrap()
}

fn ask(world: &World, target: &[u8], fields: &[(&str, Vec<u8>)]) -> Option<Identified> {
    let query = target.iter().position(|&b| b == b'?').map(|at| &target[at + 1..]);
    let now = Timestamp::from_seconds(1500);
    let witness = Witness {
        gate: &Open,
        certificate: &|| Ok(None),
        presented: &|| Ok(None),
        data: &NoHost,
        memory: None,
    };
    identify(&world.route, &world.providers, &head(target, fields), query, now, &NoHost, &witness).ok()
}

fn bearer(world: &World, token: &[u8]) -> Option<Identified> {
    ask(world, b"/", &[("authorization", [b"Bearer ", token].concat())])
}

#[test]
fn the_tokens_hold_as_they_are() {
    let world = world();
    for token in &world.tokens {
        assert_eq!(bearer(&world, token.as_bytes()).unwrap().caller.subject(), Some("ada"));
    }
}

/// Not a sample: every place of both tokens, with every value of the byte.
#[test]
fn no_single_byte_can_be_changed() {
    let world = world();
    // The alphabet in full, and what stands for everything outside of it: the rest is refused before it is decoded.
    let mut values: Vec<u8> = (b'0'..=b'9').chain(b'a'..=b'z').chain(b'A'..=b'Z').collect();
    values.extend(b"-_.=+/%\", \t\r\n\0\x7f\x80\xff");
    for token in &world.tokens {
        for at in 0..token.len() {
            for &value in &values {
                let mut bent = token.clone().into_bytes();
                // The first byte of the value may be a blank: RFC 9110 allows more than one behind the scheme.
                if bent[at] == value || (at == 0 && value == b' ') {
                    continue;
                }
                bent[at] = value;
                assert!(bearer(&world, &bent).is_none(), "{value:#x} at {at}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn no_piece_can_be_cut_put_in_or_swapped(which in 0..2_usize, at in 0..400_usize, len in 1..40_usize, piece in proptest::collection::vec(any::<u8>(), 0..40)) {
        let world = world();
        let token = world.tokens[which].as_bytes();
        let at = at % token.len();
        let end = (at + len).min(token.len());
        let cut = [&token[..at], &token[end..]].concat();
        prop_assert!(bearer(&world, &cut).is_none());
        let replaced = [&token[..at], &piece, &token[end..]].concat();
        prop_assert!(replaced == token || bearer(&world, &replaced).is_none());
        let put_in = [&token[..at], &piece, &token[at..]].concat();
        // Blanks between the scheme and the token are the one addition that means nothing.
        let blanks = at == 0 && piece.iter().all(|&b| b == b' ');
        prop_assert!(piece.is_empty() || blanks || bearer(&world, &put_in).is_none());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let world = world();
        let _ = Compact::parse(&bytes);
        let _ = KeySet::read(&bytes);
        let target = [b"/?t=", bytes.as_slice()].concat();
        prop_assert!(ask(&world, &target, &[("authorization", bytes.clone()), ("cookie", bytes.clone())]).is_none());
        let _ = target_without(&target, "t");
        let _ = cookies_without(&head(b"/", &[("cookie", bytes)]), "c");
    }

    #[test]
    fn no_json_panics(header in "\\PC{0,60}", claims in "\\PC{0,120}", signature in proptest::collection::vec(any::<u8>(), 0..80)) {
        let world = world();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        for header in [header.as_bytes(), br#"{"alg":"EdDSA","kid":"ed"}"#] {
            let token = format!("{}.{}.{}", part(header), part(claims.as_bytes()), part(&signature));
            prop_assert!(bearer(&world, token.as_bytes()).is_none());
        }
    }

    #[test]
    fn what_is_taken_off_is_gone_and_the_rest_stays(before in "[a-bt=&%?+]{0,20}", after in "[a-bt=&%?+]{0,20}", value in "[a-z.]{0,8}") {
        let target = format!("/p?{before}&t={value}&{after}");
        let left = String::from_utf8(target_without(target.as_bytes(), "t")).unwrap();
        let pairs = |target: &str| -> Vec<String> {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            query.split('&').filter(|pair| *pair != "t" && !pair.starts_with("t=")).map(str::to_owned).collect()
        };
        prop_assert!(!left.split(['?', '&']).skip(1).any(|pair| pair.starts_with("t=")) || before.contains('?') || after.contains('?'));
        let kept: Vec<String> = pairs(&target).into_iter().filter(|pair| !pair.is_empty()).collect();
        let found: Vec<String> = pairs(&left).into_iter().filter(|pair| !pair.is_empty()).collect();
        prop_assert_eq!(kept, found);
    }
}
