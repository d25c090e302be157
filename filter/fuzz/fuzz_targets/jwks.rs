//! A key set is read or refused within its bounds, in the same way from a policy and from an issuer; an issuer's metadata never leads to
//! another origin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::guards::identity::jwt::keys::KeySet;
use portcullis_filter::guards::identity::jwt::remote::fetch::{jwks_uri, keys};
use portcullis_filter::host::Answer;
use portcullis_filter::http::head::serialize;
use portcullis_filter::limits;

const ISSUER: &str = "https://id.example.com/tenant";

fuzz_target!(|bytes: &[u8]| {
    let (first, rest) = bytes.split_at(bytes.len().min(16));
    let answer = |body: &[u8], cache: &[u8]| Answer {
        status: 200,
        headers: serialize([(&b"cache-control"[..], cache)].into_iter()),
        body: Some(body.to_vec()),
        ..Answer::default()
    };
    if let Ok((set, _)) = KeySet::read(bytes) {
        assert!((1..=limits::JWKS_KEYS).contains(&set.count()), "{}", set.count());
        let fetched = keys(answer(bytes, b"")).expect("what a policy may say, an issuer may");
        assert_eq!(fetched.keys.count(), set.count());
    }
    if let Ok(fetched) = keys(answer(rest, first)) {
        assert!(fetched.keys.count() > 0 && fetched.text == rest);
    }
    if let Ok(target) = jwks_uri(answer(bytes, b""), ISSUER) {
        assert_eq!((target.scheme, &*target.authority), ("https", "id.example.com"));
        assert!(target.path.starts_with('/') && target.path.bytes().all(|b| b.is_ascii_graphic()));
    }
});
