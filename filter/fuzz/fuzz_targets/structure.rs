//! A document says the same as text and as a `google.protobuf.Struct`, and bytes that are no such message are refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_filter::policy::Policy;
use portcullis_filter::policy::carrier;
use portcullis_filter::protobuf::put_bytes;
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    // As they are: a message of the fuzzer's own.
    let message = [&[0x0a], bytes].concat();
    if let Ok(json) = carrier::read(&message) {
        let text = json.to_string();
        assert_eq!(carrier::read(text.as_bytes()).map(|json| json.to_string()), Ok(text));
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return };
    // An empty message is no document at all, and an empty object is one without members.
    if fields.is_empty() {
        return;
    }
    let told = |document: &[u8]| match Policy::load(document) {
        Ok((policy, _)) => Ok(policy.digest),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    // As another reader has read it: of doubled keys the last.
    let text = Value::Object(fields.clone()).to_string();
    assert_eq!(told(&structure(&fields)), told(text.as_bytes()), "{text}");
});

/// google/protobuf/struct.proto, on the wire.
fn structure(fields: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in fields {
        let mut entry = Vec::new();
        put_bytes(1, key.as_bytes(), &mut entry);
        put_bytes(2, &wire(value), &mut entry);
        put_bytes(1, &entry, &mut out);
    }
    out
}

fn wire(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Null => out.extend([0x08, 0]),
        Value::Number(number) => {
            out.push(0x11);
            out.extend(number.as_f64().unwrap_or_default().to_le_bytes());
        }
        Value::String(text) => put_bytes(3, text.as_bytes(), &mut out),
        Value::Bool(truth) => out.extend([0x20, u8::from(*truth)]),
        Value::Object(fields) => put_bytes(5, &structure(fields), &mut out),
        Value::Array(items) => {
            let mut list = Vec::new();
            items.iter().for_each(|item| put_bytes(1, &wire(item), &mut list));
            put_bytes(6, &list, &mut out);
        }
    }
    out
}
