//! A header map that is accepted is, written again, the same bytes' worth of fields, and none of it is invented.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::http::Head;
use portcullis_filter::http::head::serialize;

fuzz_target!(|bytes: &[u8]| {
    let Ok(head) = Head::parse(bytes.to_vec()) else {
        return;
    };
    assert_eq!(head.fields().count(), head.len());
    assert!(head.fields().all(|(name, _)| !name.starts_with(b":")));
    let fields = head.fields().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    assert!(head.size() >= fields, "{} < {fields}", head.size());
    assert!(head.size() <= bytes.len());

    let pseudo = [
        (&b":method"[..], head.method()),
        (&b":authority"[..], head.authority()),
        (&b":path"[..], head.target()),
    ];
    let again =
        Head::parse(serialize(pseudo.into_iter().chain(head.fields()))).expect("what was read can be read");
    assert_eq!(
        (again.method(), again.authority(), again.target()),
        (head.method(), head.authority(), head.target())
    );
    assert!(again.fields().eq(head.fields()));
    for (name, value) in head.fields() {
        let Ok(name) = core::str::from_utf8(name) else {
            continue;
        };
        assert!(head.all(name).any(|v| v == value));
        assert_eq!(head.only(name).is_err(), head.all(name).count() > 1);
    }
});
