//! Which events does a request of OpenTelemetry hold? As collectors write it to a file: one `ExportLogsServiceRequest` in JSON on a line.
//!
//! Such a line has as many records as the collector gathered, so it may be of any length. It is read as a stream: what is held is a record.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};

use portcullis_filter::time::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::event::Event;
use super::fields::{Fields, Text};
use super::lines::LINE;
use super::{access, event};

/// Where records stand; an empty name is each element of a list.
const RECORDS: [&str; 6] = ["resourceLogs", "", "scopeLogs", "", "logRecords", ""];

/// Whether a line begins as such a request does.
pub(super) fn is_one(line: &[u8]) -> bool {
    let behind = line.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    behind.is_some_and(|rest| rest.starts_with(b"\"resourceLogs\""))
}

/// Hands over what each record is: an event, a line of an access log, or `None`. `false` if the line is broken; what stood before that has
/// been handed over.
pub(super) fn each(line: impl Read, take: &mut dyn FnMut(Option<Event>)) -> bool {
    let left = Cell::new(LINE);
    let take = &mut |record: Record| {
        left.set(LINE);
        take(record.event());
    };
    let mut request = serde_json::Deserializer::from_reader(Bounded { line, left: &left });
    Within { path: &RECORDS, take }.deserialize(&mut request).is_ok() && request.end().is_ok()
}

/// A line of which no more than [`LINE`] bytes come without a record that ends in them.
struct Bounded<'l, R> {
    line: R,
    left: &'l Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left.get());
        if most == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let count = self.line.read(&mut buffer[..most])?;
        self.left.set(self.left.get().saturating_sub(count));
        Ok(count)
    }
}

/// Takes the records below a path out of a document, and passes over the rest.
struct Within<'p, F> {
    path: &'p [&'static str],
    take: &'p mut F,
}

impl<'de, F: FnMut(Record)> DeserializeSeed<'de> for Within<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.path.first() {
            None => Record::deserialize(deserializer).map(self.take),
            Some(&"") => deserializer.deserialize_seq(self),
            Some(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de, F: FnMut(Record)> Visitor<'de> for Within<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the logs of resources")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((name, below)) = self.path.split_first() else { return Ok(()) };
        while let Some(key) = map.next_key::<String>()? {
            if key == *name {
                map.next_value_seed(Within { path: below, take: &mut *self.take })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let below = self.path.get(1..).unwrap_or_default();
        while seq.next_element_seed(Within { path: below, take: &mut *self.take })?.is_some() {}
        Ok(())
    }
}

/// A `LogRecord`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    time_unix_nano: Nanos,
    #[serde(default)]
    attributes: Vec<Attribute>,
}

/// A `KeyValue`.
#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: Any,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Any {
    #[serde(default)]
    string_value: Text,
}

/// A `fixed64`: digits in quotes, as the mapping to JSON wants it, or without.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Nanos {
    Number(u64),
    Digits(String),
    #[default]
    None,
}

impl Record {
    fn event(self) -> Option<Event> {
        let time = match self.time_unix_nano {
            Nanos::Number(nanos) => Some(nanos),
            Nanos::Digits(digits) => digits.parse().ok(),
            Nanos::None => None,
        };
        let time = time.map(Timestamp::from_nanos);
        let mut fields = Fields::default();
        for Attribute { key, value } in self.attributes {
            if let Text(Some(text)) = value.string_value
                && !fields.put(key, text)
            {
                return None;
            }
        }
        event::of(&mut fields, time).or_else(|| access::of(&mut fields, time))
    }
}
