//! Nothing that a client can write is a token of ours: nobody has the key, so every input is refused, and none panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::gateway::{Flow, Gateway, Stream};
use portcullis_fuzz::Proxy;
use std::rc::Rc;

const POLICY: &str = r#"{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"fuzz",
"jwt":{"providers":[{"name":"p","issuer":"i","audiences":["a"],
"localJWKS":{"inline":"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"},
"extractFrom":{"headers":[{"name":"authorization","valuePrefix":"Bearer "}],"cookies":["s"],"params":["t"]}}]},
"routes":[{"name":"r","match":{},"authentication":{"jwt":{}}}],"audit":{"log":"All"}}"#;

thread_local! {
    static GATEWAY: Rc<Gateway> =
        Rc::new(Gateway::start(POLICY.as_bytes(), [7; 16], &Proxy::default()).expect("the policy is good"));
}

// The input is a token, behind a byte that says where it stands.
fuzz_target!(|bytes: &[u8]| {
    let Some((place, token)) = bytes.split_first() else { return };
    let with = |prefix: &[u8]| [prefix, token].concat();
    let (name, value) = match place % 3 {
        0 => ("authorization", with(b"Bearer ")),
        1 => ("cookie", with(b"s=")),
        _ => (":path", with(b"/?t=")),
    };
    let proxy = Proxy::get(name, &value);
    let mut stream = Stream::new(GATEWAY.with(Rc::clone));
    assert_eq!(stream.on_request_headers(&proxy, true), Flow::Stop);
    stream.on_log(&proxy);
    assert!((400..500).contains(&proxy.status()), "{}", proxy.status());
    assert!(!proxy.is_marked());
});
