//! A stolen token is of no use: whatever proof goes with it, it is refused, for the client's key has signed none of them. Nor is a proof that the
//! client did sign, unless it says what RFC 9449 §4.3 asks for.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_fuzz::{NOW, Proxy, jwk_of, signed};
use serde_json::Value;
use std::cell::OnceCell;
use std::rc::Rc;

const ISSUER: u8 = 1;
const CLIENT: u8 = 2;

/// What does not change from input to input.
struct Fixed {
    gateway: Rc<Gateway>,
    token: String,
    ath: String,
}

thread_local! {
    static FIXED: OnceCell<Fixed> = const { OnceCell::new() };
}

fn fixed() -> Fixed {
    let key = jwk_of(ISSUER).replace('{', r#"{"kid":"k","#).replace('"', r#"\""#);
    let policy = format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"fuzz","jwt":{{"providers":[{{"name":"p","issuer":"i","audiences":["a"],
"localJWKS":{{"inline":"{{\"keys\":[{key}]}}"}},"confirmation":{{"dpop":"Required"}}}}]}},
"routes":[{{"name":"r","match":{{}},"authentication":{{"jwt":{{}}}}}}],"audit":{{"log":"All"}}}}"#
    );
    let gateway = Gateway::start(policy.as_bytes(), [7; 16], &Proxy::default());
    let jkt = URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(jwk_of(CLIENT).as_bytes()));
    let claims = format!(
        r#"{{"iss":"i","aud":"a","sub":"s","iat":{NOW},"exp":{},"cnf":{{"jkt":"{jkt}"}}}}"#,
        NOW + 60
    );
    let token = signed(ISSUER, r#"{"alg":"EdDSA","kid":"k"}"#, claims.as_bytes());
    let ath = URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(token.as_bytes()));
    Fixed { gateway: Rc::new(gateway.expect("the policy is good")), token, ath }
}

// The input is a proof, or, behind a first byte that is odd, the claims of one that the client signs.
fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    FIXED.with(|cell| {
        let Fixed { gateway, token, ath } = cell.get_or_init(fixed);
        let client = how % 2 == 1;
        let proof = if client {
            // `@` stands for the token's hash, which no fuzzer finds.
            let claims = String::from_utf8_lossy(rest).replace('@', ath);
            let header = format!(r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{}}}"#, jwk_of(CLIENT));
            signed(CLIENT, &header, claims.as_bytes()).into_bytes()
        } else {
            rest.to_vec()
        };
        let authorization = format!("DPoP {token}");
        let proxy = Proxy::of(&[(b"authorization", authorization.as_bytes()), (b"dpop", &proof)]);
        let mut stream = Stream::new(Rc::clone(gateway));
        let flow = stream.on_request_headers(&proxy, true);
        stream.on_log(&proxy);
        assert_eq!(proxy.is_marked(), flow == Flow::Continue);
        assert!(!proxy.is_marked() || client, "a proof that nobody signed");
        if proxy.is_marked() {
            let claims = String::from_utf8_lossy(rest).replace('@', ath);
            let claims: Value = serde_json::from_str(&claims).expect("what was admitted is JSON");
            assert_eq!((&claims["htm"], &claims["ath"]), (&Value::from("GET"), &Value::from(ath.as_str())));
            let htu = claims["htu"].as_str().unwrap_or_default().to_ascii_lowercase();
            assert!(htu.starts_with("https://h"), "{htu}");
            let age = claims["iat"].as_f64().map(|iat| NOW as f64 - iat);
            assert!(age.is_some_and(|age| (-60.0..=360.0).contains(&age)), "{age:?}");
        }
    });
});
