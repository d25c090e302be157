//! How does a policy travel? As JSON text, or as a `google.protobuf.Struct` in its wire form.
//!
//! Envoy hands a `StringValue` over as its text, and a `Struct` as the raw message (host fact H5), which is what a user gets who
//! writes the policy as plain YAML in Envoy's own configuration. Both become the same [`Json`].

use crate::json::{Bounds, Duplicates, Json};
use crate::limits;

/// Why bytes are no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarrierFault {
    /// There are none.
    Empty,
    /// More than [`limits::POLICY_BYTES`].
    TooLarge,
    /// Not JSON, or over a bound: the parser's words, with line and column.
    Text(String),
    /// Not a `Struct`, or over a bound.
    Message(&'static str),
}

/// Reads either form. A `Struct` begins with the tag of its first field, which is a line feed: so may a text, which is why a text
/// is tried where the message fails.
pub fn read(bytes: &[u8]) -> Result<Json, CarrierFault> {
    if bytes.len() > limits::POLICY_BYTES {
        return Err(CarrierFault::TooLarge);
    }
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    let is_text = first == Some(&b'{');
    match bytes.first() {
        _ if first.is_none() => Err(CarrierFault::Empty),
        Some(&FIELDS) => message(bytes).or_else(|fault| if is_text { text(bytes) } else { Err(fault) }),
        _ => text(bytes),
    }
}

fn text(bytes: &[u8]) -> Result<Json, CarrierFault> {
    let bounds =
        Bounds { depth: limits::POLICY_DEPTH, values: limits::POLICY_VALUES, duplicates: Duplicates::Keep };
    Json::parse(bytes, bounds).map_err(|error| CarrierFault::Text(error.to_string()))
}

fn message(bytes: &[u8]) -> Result<Json, CarrierFault> {
    let mut reader = Reader { values: limits::POLICY_VALUES };
    reader.structure(Wire(bytes), limits::POLICY_DEPTH).map_err(CarrierFault::Message)
}

// The tags of google/protobuf/struct.proto: field number times eight plus wire type.
const FIELDS: u8 = 1 << 3 | BYTES;
const ENTRY_KEY: u8 = 1 << 3 | BYTES;
const ENTRY_VALUE: u8 = 2 << 3 | BYTES;
const NULL: u8 = 1 << 3 | VARINT;
const NUMBER: u8 = 2 << 3 | FIXED64;
const TEXT: u8 = 3 << 3 | BYTES;
const BOOL: u8 = 4 << 3 | VARINT;
const STRUCT: u8 = 5 << 3 | BYTES;
const LIST: u8 = 6 << 3 | BYTES;
const ELEMENTS: u8 = 1 << 3 | BYTES;
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

type Fault = &'static str;
const CUT: Fault = "the message is cut short";
const UNKNOWN: Fault = "the message has a field that a google.protobuf.Struct has not";
const TWICE: Fault = "a field of the message stands twice";

/// Counts values down; depth comes down with each call.
struct Reader {
    values: usize,
}

impl Reader {
    fn structure(&mut self, mut wire: Wire<'_>, depth: usize) -> Result<Json, Fault> {
        self.count()?;
        let depth = depth.checked_sub(1).ok_or("nested too deep")?;
        let mut fields = Vec::new();
        while let Some(tag) = wire.tag() {
            if tag != FIELDS {
                return Err(UNKNOWN);
            }
            let entry = wire.bytes()?;
            fields.push(self.entry(entry, depth)?);
        }
        Ok(Json::Map(fields))
    }

    /// Language guide, "Maps": on the wire, a map is a repeated message of key and value.
    fn entry(&mut self, mut wire: Wire<'_>, depth: usize) -> Result<(String, Json), Fault> {
        let (mut key, mut value) = (None, None);
        while let Some(tag) = wire.tag() {
            let again = match tag {
                ENTRY_KEY => key.replace(wire.text()?).is_some(),
                ENTRY_VALUE => {
                    let inner = wire.bytes()?;
                    value.replace(self.value(inner, depth)?).is_some()
                }
                _ => return Err(UNKNOWN),
            };
            if again {
                return Err(TWICE);
            }
        }
        Ok((key.unwrap_or_default(), value.ok_or("a value is missing")?))
    }

    /// One of six kinds. Protobuf would take the last of several; we refuse, as for a doubled key.
    fn value(&mut self, mut wire: Wire<'_>, depth: usize) -> Result<Json, Fault> {
        let value = match wire.tag().ok_or("a value is missing")? {
            NULL => wire.varint().map(|_| Json::Null),
            NUMBER => wire.double().and_then(number),
            TEXT => wire.text().map(Json::Text),
            BOOL => wire.varint().map(|value| Json::Bool(value != 0)),
            STRUCT => return self.last(wire, |reader, inner| reader.structure(inner, depth)),
            LIST => return self.last(wire, |reader, inner| reader.list(inner, depth)),
            _ => return Err(UNKNOWN),
        }?;
        self.count()?;
        if wire.0.is_empty() { Ok(value) } else { Err(TWICE) }
    }

    fn last(
        &mut self,
        mut wire: Wire<'_>,
        read: impl Fn(&mut Self, Wire<'_>) -> Result<Json, Fault>,
    ) -> Result<Json, Fault> {
        let inner = wire.bytes()?;
        if !wire.0.is_empty() {
            return Err(TWICE);
        }
        read(self, inner)
    }

    fn list(&mut self, mut wire: Wire<'_>, depth: usize) -> Result<Json, Fault> {
        self.count()?;
        let depth = depth.checked_sub(1).ok_or("nested too deep")?;
        let mut list = Vec::new();
        while let Some(tag) = wire.tag() {
            if tag != ELEMENTS {
                return Err(UNKNOWN);
            }
            let element = wire.bytes()?;
            list.push(self.value(element, depth)?);
        }
        Ok(Json::List(list))
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.values = self.values.checked_sub(1).ok_or("too many values")?;
        Ok(())
    }
}

/// A whole double becomes an integer, so that one document has one digest however it came. Beyond 2^53 not every integer is a
/// double, and what came is kept.
fn number(double: f64) -> Result<Json, Fault> {
    if !double.is_finite() {
        return Err("a number that is not finite");
    }
    let negative_zero = double == 0.0 && double.is_sign_negative();
    if double.fract() == 0.0 && double.abs() < 9_007_199_254_740_992.0 && !negative_zero {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and below 2^53")]
        return Ok(Json::Integer(double as i64));
    }
    Ok(Json::Number(double))
}

/// What is left of a message.
#[derive(Clone, Copy)]
struct Wire<'w>(&'w [u8]);

impl<'w> Wire<'w> {
    /// The next tag, all of which have one byte here; `None` at the end.
    fn tag(&mut self) -> Option<u8> {
        let (&tag, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(tag)
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let byte = self.tag().ok_or(CUT)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part.wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of the message is longer than 64 bits")
    }

    fn take(&mut self, len: usize) -> Result<&'w [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<Wire<'w>, Fault> {
        let len = usize::try_from(self.varint()?).map_err(|_| CUT)?;
        self.take(len).map(Wire)
    }

    fn text(&mut self) -> Result<String, Fault> {
        let bytes = self.bytes()?;
        let text = core::str::from_utf8(bytes.0).map_err(|_| "a string is not UTF-8")?;
        Ok(text.to_owned())
    }

    fn double(&mut self) -> Result<f64, Fault> {
        let bytes = self.take(8)?;
        Ok(f64::from_le_bytes(bytes.try_into().map_err(|_| CUT)?))
    }
}

#[cfg(test)]
mod tests {
    use super::{CarrierFault, read};
    use crate::testing::test;

    #[test]
    fn texts_and_messages() {
        for (bytes, json) in [
            (&b"{}"[..], "{}"),
            (b" \r\n\t{\"a\":1}", r#"{"a":1}"#),
            (b"\n{\"a\":1}", r#"{"a":1}"#),
            (b"\x0a\x07\x0a\x01a\x12\x02\x20\x01", r#"{"a":true}"#),
            (b"\x0a\x07\x0a\x01a\x12\x02\x08\x00", r#"{"a":null}"#),
            (b"\x0a\x07\x0a\x01a\x12\x02\x1a\x00", r#"{"a":""}"#),
            (b"\x0a\x05\x12\x03\x1a\x01b", r#"{"":"b"}"#),
            (b"\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\x14\x40", r#"{"a":5}"#),
            (b"\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\x16\x40", r#"{"a":5.5}"#),
            (b"\x0a\x07\x0a\x01a\x12\x02\x2a\x00", r#"{"a":{}}"#),
            (b"\x0a\x0b\x0a\x01a\x12\x06\x32\x04\x0a\x02\x20\x00", r#"{"a":[false]}"#),
        ] {
            assert_eq!(read(bytes).expect(json).to_string(), json);
        }
    }

    #[test]
    fn a_struct_whose_first_length_is_an_opening_brace() {
        // The entry is 123 bytes long, and 123 is `{`.
        let mut bytes = b"\x0a{\x0a\x01a\x12v\x1at".to_vec();
        bytes.extend([b'x'; 116]);
        let json = read(&bytes).unwrap();
        assert_eq!(json.get("a").and_then(|a| a.as_text()).map(str::len), Some(116));
    }

    /// A list in a list, so many deep, as the field `a`.
    fn nested(depth: usize) -> Vec<u8> {
        let wrap = |tag: u8, inner: &[u8]| {
            let mut out = vec![tag, u8::try_from(inner.len() & 0x7f).unwrap() | 0x80];
            out.push(u8::try_from(inner.len() >> 7).unwrap());
            out.extend(inner);
            out
        };
        let lists = (1..depth).fold(wrap(0x32, &[]), |inner, _| wrap(0x32, &wrap(0x0a, &inner)));
        let entry = [b"\x0a\x01a".to_vec(), wrap(0x12, &lists)].concat();
        wrap(0x0a, &entry)
    }

    #[test]
    fn what_is_refused() {
        use CarrierFault::{Empty, Message, Text, TooLarge};
        for (bytes, fault) in [
            (&b""[..], Empty),
            (b"\n \n", Empty),
            (b"\x0a\xff", Message("the message is cut short")),
            (
                b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                Message("a number of the message is longer than 64 bits"),
            ),
            (b"\x0a\x03\x0a\x01a", Message("a value is missing")),
            (b"\x0a\x05\x0a\x01a\x12\x00", Message("a value is missing")),
            (b"\x0a\x09\x0a\x01a\x12\x04\x20\x01\x20\x01", Message("a field of the message stands twice")),
            (b"\x0a\x0a\x0a\x01a\x0a\x01a\x12\x02\x20\x01", Message("a field of the message stands twice")),
            (
                b"\x0a\x07\x0a\x01a\x12\x02\x38\x01",
                Message("the message has a field that a google.protobuf.Struct has not"),
            ),
            (b"\x0a\x07\x0a\x01\xff\x12\x02\x20\x01", Message("a string is not UTF-8")),
            (b"\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\xf0\x7f", Message("a number that is not finite")),
            (b"\x0a\x0e\x0a\x01a\x12\x09\x11\0\0\0\0\0\0\xf8\x7f", Message("a number that is not finite")),
            (b"{", Text("EOF while parsing an object at line 1 column 1".to_owned())),
            (b"nothing", Text("expected ident at line 1 column 2".to_owned())),
        ] {
            assert_eq!(read(bytes), Err(fault), "{bytes:?}");
        }
        assert_eq!(read(&nested(23)).map(|_| ()), Ok(()));
        assert_eq!(read(&nested(24)), Err(Message("nested too deep")));
        assert_eq!(read(&vec![b' '; (8 << 20) + 1]), Err(TooLarge));
    }
}
