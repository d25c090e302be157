//! How does an event become a record of OpenTelemetry? `opentelemetry/proto/logs/v1/logs.proto`, in binary.
//!
//! Fields keep their names, as attributes. The trace and the time have places of their own there.

use super::event::Event;
use super::fields::Value;
use crate::hex;
use crate::protobuf::{
    put_bytes, put_fixed64, put_head, put_nested, put_number, size_of_bytes, size_of_number,
};

/// `SEVERITY_NUMBER_INFO` and `SEVERITY_NUMBER_WARN`.
const INFO: u64 = 9;
const WARN: u64 = 13;

/// Appends the event to the records of a `ScopeLogs`.
pub(super) fn put_record(event: &Event, out: &mut Vec<u8>) {
    put_nested(2, out, |record| {
        put_fixed64(1, event.time.nanos(), record);
        let (severity, word) = if event.is_notable() { (WARN, "WARN") } else { (INFO, "INFO") };
        put_number(2, severity, record);
        put_bytes(3, word.as_bytes(), record);
        event.own_fields(&mut |name, value| match (name, value) {
            ("trace.id", Value::Plain(digits)) => put_id::<16>(9, digits, record),
            ("span.id", Value::Plain(digits)) => put_id::<8>(10, digits, record),
            (name, value) => put_attribute(name, value, record),
        });
        record.extend_from_slice(event.alike().attributes.get_or_init(|| {
            let mut common = Vec::new();
            event.common_fields(&mut |name, value| put_attribute(name, value, &mut common));
            common
        }));
        let brief = event.brief();
        put_head(5, size_of_bytes(brief.len()), record);
        put_bytes(1, brief.as_bytes(), record);
    });
}

/// A `KeyValue`. An event has two dozen of them, and how long one is is known before it is written, so nothing is moved.
fn put_attribute(name: &str, value: Value<'_>, record: &mut Vec<u8>) {
    if let Value::Plain(text) | Value::Text(text) = value
        && let Some([all, key, any, value]) = short_lengths(name, text)
    {
        record.extend_from_slice(&[6 << 3 | 2, all, 1 << 3 | 2, key]);
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(&[2 << 3 | 2, any, 1 << 3 | 2, value]);
        record.extend_from_slice(text.as_bytes());
        return;
    }
    let any = match value {
        Value::Plain(text) | Value::Text(text) => size_of_bytes(text.len()),
        Value::Number(number) => size_of_number(number),
        Value::Texts(texts) => size_of_bytes(size_of_list(texts)),
    };
    put_head(6, size_of_bytes(name.len()).saturating_add(size_of_bytes(any)), record);
    put_bytes(1, name.as_bytes(), record);
    put_head(2, any, record);
    match value {
        Value::Plain(text) | Value::Text(text) => put_bytes(1, text.as_bytes(), record),
        Value::Number(number) => put_number(3, number, record),
        Value::Texts(texts) => {
            put_head(5, size_of_list(texts), record);
            for text in texts {
                put_head(1, size_of_bytes(text.len()), record);
                put_bytes(1, text.as_bytes(), record);
            }
        }
    }
}

/// The four lengths in a `KeyValue` of text, if each is a byte, as nearly all are: of all of it, of the key, of the `AnyValue` and of the text.
fn short_lengths(name: &str, text: &str) -> Option<[u8; 4]> {
    let (key, value) = (u8::try_from(name.len()).ok()?, u8::try_from(text.len()).ok()?);
    let any = value.checked_add(2)?;
    let all = any.checked_add(key)?.checked_add(4)?;
    (all < 0x80).then_some([all, key, any, value])
}

fn size_of_list(texts: &[&str]) -> usize {
    texts.iter().fold(0, |sum, text| sum.saturating_add(size_of_bytes(size_of_bytes(text.len()))))
}

/// The whole request for these records: `ExportLogsServiceRequest` of one resource and one scope.
pub(super) fn request(records: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len().saturating_add(128));
    put_nested(1, &mut out, |logs| {
        put_nested(1, logs, |resource| {
            put_nested(1, resource, |attribute| {
                put_bytes(1, b"service.name", attribute);
                put_nested(2, attribute, |any| put_bytes(1, b"portcullis", any));
            });
        });
        put_nested(2, logs, |scope_logs| {
            put_nested(1, scope_logs, |scope| {
                put_bytes(1, super::SCHEMA.as_bytes(), scope);
                put_bytes(2, env!("CARGO_PKG_VERSION").as_bytes(), scope);
            });
            scope_logs.extend_from_slice(records);
        });
    });
    out
}

/// A number of a trace, which OTLP has in bytes. An event holds no other.
fn put_id<const N: usize>(number: u32, digits: &str, record: &mut Vec<u8>) {
    if let Some(bytes) = hex::array::<N>(digits.as_bytes()) {
        put_bytes(number, &bytes, record);
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, put_attribute, put_bytes, put_nested};
    use crate::testing::test;

    #[test]
    fn an_attribute_is_a_key_value_however_long_it_is() {
        let text = "x".repeat(20_000);
        for (key, value) in [0, 1, 2, 60, 119, 120, 121, 122, 123, 126, 127, 128, 255, 256, 16_384]
            .into_iter()
            .flat_map(|key| {
                [0, 1, 61, 62, 63, 119, 120, 121, 122, 127, 128, 255, 300, 16_384].map(|value| (key, value))
            })
        {
            let (name, text) = (&text[..key], &text[..value]);
            let (mut written, mut expected) = (vec![7], vec![7]);
            put_attribute(name, Value::Text(text), &mut written);
            put_nested(6, &mut expected, |pair| {
                put_bytes(1, name.as_bytes(), pair);
                put_nested(2, pair, |any| put_bytes(1, text.as_bytes(), any));
            });
            assert_eq!(written, expected, "{key} {value}");
        }
    }
}
