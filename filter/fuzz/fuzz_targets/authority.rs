//! An authority that is accepted is one host, and reads the same a second time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::http::Authority;

fuzz_target!(|bytes: &[u8]| {
    let Ok(authority) = Authority::parse(bytes) else {
        return;
    };
    let host = authority.as_str();
    assert!(!host.is_empty() && !host.ends_with('.') && !host.contains(".."), "{host:?}");
    assert!(
        host.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && !b",@/\\?#%".contains(&b)),
        "{host:?}"
    );
    assert!(host.starts_with('[') || !host.contains(':'), "a port in {host:?}");
    let again = Authority::parse(host.as_bytes()).expect("a host is an authority");
    assert_eq!(again.as_str(), host);
});
