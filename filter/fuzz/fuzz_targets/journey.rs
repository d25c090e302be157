//! A whole request, of any head, past every guard: it is answered or goes on, and never both; and who goes on is whom the gateway says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_fuzz::{Field, NOW, Proxy, jwk_of, signed};
use std::cell::OnceCell;
use std::rc::Rc;

/// SHA-256 of [`API_KEY`] is in the policy.
const API_KEY: &str = "pk_0123456789abcdef0123";

thread_local! {
    static FIXED: OnceCell<(Rc<Gateway>, String)> = const { OnceCell::new() };
}

fn fixed() -> (Rc<Gateway>, String) {
    let key = jwk_of(1).replace('{', r#"{"kid":"k","#).replace('"', r#"\""#);
    let hash: String =
        hmac_sha256::Hash::hash(API_KEY.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let policy = format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"fuzz",
"jwt":{{"providers":[{{"name":"p","issuer":"i","audiences":["a"],"localJWKS":{{"inline":"{{\"keys\":[{key}]}}"}},
"extractFrom":{{"headers":[{{"name":"authorization","valuePrefix":"Bearer "}}],"cookies":["s"],"params":["t"]}},
"claimToHeaders":[{{"claim":"sub","header":"x-user"}}]}}]}},
"apiKeyAuth":{{"extractFrom":{{"headers":["x-api-key"],"params":["k"]}},"keys":[{{"client":"c","keyHash":"sha256:{hash}"}}]}},
"routes":[
{{"name":"open","match":{{"path":{{"type":"PathPrefix","value":"/open"}}}},"authentication":{{"open":{{"because":"test"}}}}}},
{{"name":"keys","match":{{"path":{{"type":"PathPrefix","value":"/keys"}}}},"authentication":{{"anyOf":[{{"jwt":{{}}}},{{"apiKey":{{}}}}]}}}},
{{"name":"limited","match":{{"path":{{"type":"Exact","value":"/limited"}},"methods":["GET"]}},"authentication":{{"jwt":{{}}}},
"rateLimit":{{"local":{{"rules":[{{"name":"one","by":["subject"],"limit":{{"requests":3,"unit":"Day"}}}}]}}}}}},
{{"name":"all","match":{{}},"authentication":{{"jwt":{{}}}},
"request":{{"methods":["GET","POST"],"maxHeaders":40,"forbiddenHeaders":["x-debug"],"body":{{"maxBytes":"64B","contentTypes":["application/json"]}}}}}}],
"audit":{{"log":"All"}}}}"#
    );
    let gateway = Gateway::start(policy.as_bytes(), [7; 16], &Proxy::default());
    let claims = format!(r#"{{"iss":"i","aud":"a","sub":"s","iat":{NOW},"exp":{}}}"#, NOW + 60);
    let token = signed(1, r#"{"alg":"EdDSA","kid":"k"}"#, claims.as_bytes());
    (Rc::new(gateway.unwrap_or_else(|problems| panic!("{problems:#?}"))), token)
}

// The input is a head, one field a line: `:path: /x`. `{token}` stands for a good token, `{key}` for a good key. A `+` as its first
// byte says that there is a body.
fuzz_target!(|bytes: &[u8]| {
    FIXED.with(|cell| {
        let (gateway, token) = cell.get_or_init(fixed);
        let (has_body, text) = match bytes.strip_prefix(b"+") {
            Some(rest) => (true, rest),
            None => (false, bytes),
        };
        let fields: Vec<Field> = text.split(|&b| b == b'\n').filter_map(|line| field(line, token)).collect();
        let borrowed: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let proxy = Proxy::of(&borrowed);
        let before = proxy.upstream();
        let mut stream = Stream::new(Rc::clone(gateway));
        let flow = stream.on_request_headers(&proxy, !has_body);
        assert_eq!(
            (proxy.is_marked(), proxy.status() == 0),
            (flow == Flow::Continue, flow == Flow::Continue)
        );
        if flow == Flow::Continue {
            judge(&before, &proxy.upstream(), token);
            if has_body {
                let flow = stream.on_request_body(&proxy, 1000);
                assert_eq!(proxy.status() == 0, flow == Flow::Continue);
            }
        }
        stream.on_log(&proxy);
    });
});

fn field(line: &[u8], token: &str) -> Option<Field> {
    let skip = usize::from(line.first() == Some(&b':'));
    let colon = line.iter().skip(skip).position(|&b| b == b':')? + skip;
    let (name, value) = line.split_at(colon);
    let value = value[1..].trim_ascii();
    // A host hands over names in lower case, and no value with a control byte.
    if name.is_empty() || value.iter().any(|b| *b < 0x20 || *b == 0x7f) {
        return None;
    }
    let value = replaced(&replaced(value, b"{token}", token.as_bytes()), b"{key}", API_KEY.as_bytes());
    Some((name.to_ascii_lowercase(), value))
}

fn replaced(value: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    match value.windows(what.len()).position(|window| window == what) {
        Some(at) => [&value[..at], with, &value[at + what.len()..]].concat(),
        None => value.to_vec(),
    }
}

fn judge(before: &[Field], after: &[Field], token: &str) {
    let path = |fields: &[Field]| {
        let (_, path) =
            fields.iter().find(|(name, _)| name == b":path").expect("what was admitted has a path");
        path.clone()
    };
    let (sent, goes) = (path(before), path(after));
    let users: Vec<&Field> = after.iter().filter(|(name, _)| spelled(name) == b"x-user").collect();
    let (has_token, has_key) = (holds(before, token), holds(before, API_KEY));
    if sent.starts_with(b"/open") {
        assert!(users.is_empty(), "{users:?} on an open route");
        assert_eq!(sent, goes);
        return;
    }
    match users.as_slice() {
        [(name, value)] => assert!(has_token && name == b"x-user" && value == b"s", "{name:?}: {value:?}"),
        // A client that is known by its key is no subject of an issuer.
        [] => assert!(has_key && sent.starts_with(b"/keys"), "{sent:?} without anybody"),
        many => panic!("{many:?}"),
    }
}

fn holds(fields: &[Field], secret: &str) -> bool {
    let secret = secret.as_bytes();
    fields.iter().any(|(_, value)| value.windows(secret.len()).any(|window| window == secret))
}

/// As a careless reader takes it.
fn spelled(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect()
}
