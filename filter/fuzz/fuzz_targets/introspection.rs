//! An answer of an introspection endpoint says "active" only if another reader of JSON finds the same in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::guards::identity::introspection::answer::{Said, read};
use portcullis_filter::host::Answer;
use serde_json::Value;

// The first two bytes are the status.
fuzz_target!(|bytes: &[u8]| {
    let Some((status, body)) = bytes.split_first_chunk() else { return };
    let answer = |status| Answer { status, body: Some(body.to_vec()), ..Answer::default() };
    let other = u16::from_le_bytes(*status);
    assert!(other == 200 || read(&answer(other)).is_err(), "{other}");
    let active = serde_json::from_slice(body).ok().and_then(|value: Value| value.get("active")?.as_bool());
    match read(&answer(200)) {
        Ok(Said::Active(_)) => assert_eq!(active, Some(true)),
        Ok(Said::Inactive) => assert_eq!(active, Some(false)),
        Err(_) => {}
    }
});
