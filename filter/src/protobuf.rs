//! How are the messages of Protocol Buffers written and read? The little of the wire format that we speak to others.
//!
//! <https://protobuf.dev/programming-guides/encoding/>. Reading is total: every byte sequence is a list of fields or garbage, in time
//! linear in its length, and a nested message is read only where somebody asks for it.

/// Appends a field of bytes, text or a nested message.
pub fn put_bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    put_head(number, value.len(), out);
    out.extend_from_slice(value);
}

/// Appends a field that is a number.
pub fn put_number(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3, out);
    put_varint(value, out);
}

/// Appends a field of eight bytes.
pub fn put_fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | 1, out);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a nested message that `write` writes in place. What it has written is moved up by the few bytes of its length.
pub fn put_nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    put_varint(u64::from(number) << 3 | 2, out);
    let start = out.len();
    write(out);
    let length = out.len().saturating_sub(start) as u64;
    let end = out.len();
    put_varint(length, out);
    let width = out.len().saturating_sub(end);
    // The length was written behind the message, and belongs before it.
    if let Some(message) = out.get_mut(start..) {
        message.rotate_right(width);
    }
}

/// Appends what stands before a nested message of so many bytes.
pub fn put_head(number: u32, length: usize, out: &mut Vec<u8>) {
    let tag = u64::from(number) << 3 | 2;
    // Nearly all are a byte each.
    if let (Ok(tag @ ..0x80), Ok(length @ ..0x80)) = (u8::try_from(tag), u8::try_from(length)) {
        out.extend_from_slice(&[tag, length]);
    } else {
        put_varint(tag, out);
        put_varint(length as u64, out);
    }
}

/// Bytes that a field of so many bytes takes, one of the first fifteen of its message.
pub fn size_of_bytes(length: usize) -> usize {
    size_of_varint(length as u64).saturating_add(length).saturating_add(1)
}

/// Bytes that a field that is this number takes, one of the first fifteen of its message.
pub fn size_of_number(value: u64) -> usize {
    size_of_varint(value).saturating_add(1)
}

const fn size_of_varint(value: u64) -> usize {
    // Seven bits a byte; zero takes one, too.
    let bits = 64_u32.saturating_sub((value | 1).leading_zeros());
    bits.div_ceil(7) as usize
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or(0));
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbage;

/// The value of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'m> {
    /// `int32`, `uint64`, `bool`, an enumeration: 64 bits as they came.
    Number(u64),
    /// `string`, `bytes`, a nested message.
    Bytes(&'m [u8]),
    /// `fixed32`, `fixed64`, `float`, `double`, none of which we need.
    Fixed,
}

impl<'m> Value<'m> {
    /// The number, where a number must stand.
    pub fn number(self) -> Result<u64, Garbage> {
        if let Self::Number(number) = self { Ok(number) } else { Err(Garbage) }
    }

    /// The bytes, where bytes must stand.
    pub fn bytes(self) -> Result<&'m [u8], Garbage> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Garbage) }
    }
}

/// The fields of a message, in the order in which they stand: number and value. Nothing comes after garbage.
#[derive(Clone, Debug)]
pub struct Fields<'m>(&'m [u8]);

impl<'m> Fields<'m> {
    /// The fields of this message.
    pub fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<(u32, Value<'m>), Garbage> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Garbage)?;
        // Field numbers begin at 1.
        if number == 0 {
            return Err(Garbage);
        }
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Garbage)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are of proto2, and deprecated there.
            _ => return Err(Garbage),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, Garbage> {
        let mut value = 0_u64;
        for shift in (0_u32..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Garbage)?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && part > 1 {
                return Err(Garbage);
            }
            value |= part.wrapping_shl(shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Garbage)
    }

    fn take(&mut self, length: usize) -> Result<&'m [u8], Garbage> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Garbage)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u32, Value<'m>), Garbage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Fields, Garbage, Value, put_bytes, put_fixed64, put_head, put_nested, put_number, size_of_bytes,
        size_of_number,
    };
    use crate::testing::test;

    type Read<'m> = Result<Vec<(u32, Value<'m>)>, Garbage>;

    #[test]
    fn what_is_written_is_read() {
        let long = vec![7; 300];
        for (number, value) in [(1, u64::MAX), (15, 0), (16, 127), (2047, 128), (0x1fff_ffff, 1 << 63)] {
            let mut message = Vec::new();
            put_number(number, value, &mut message);
            put_bytes(number, &long, &mut message);
            put_nested(number, &mut message, |inner| put_fixed64(1, value, inner));
            put_nested(number, &mut message, |inner| inner.extend_from_slice(&long));
            put_nested(number, &mut message, |_| {});
            let read: Read<'_> = Fields::of(&message).collect();
            let fixed = [&[9][..], &value.to_le_bytes()].concat();
            let expected = [
                Value::Number(value),
                Value::Bytes(&long),
                Value::Bytes(&fixed),
                Value::Bytes(&long),
                Value::Bytes(&[]),
            ];
            assert_eq!(read, Ok(expected.map(|value| (number, value)).to_vec()));
        }
    }

    #[test]
    fn what_a_field_takes_is_known_before() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX >> 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(1, number, &mut out);
            assert_eq!(out.len(), size_of_number(number), "{number}");
        }
        for length in [0, 1, 127, 128, 16_383, 16_384] {
            let (mut field, mut head) = (Vec::new(), Vec::new());
            put_bytes(15, &vec![7; length], &mut field);
            put_head(15, length, &mut head);
            assert_eq!((field.len(), head.len()), (size_of_bytes(length), size_of_bytes(length) - length));
        }
    }

    /// Bytes by hand, after the encoding guide.
    #[test]
    fn messages_in_rows() {
        let rows: [(&[u8], Read<'_>); 14] = [
            (b"", Ok(vec![])),
            (b"\x08\x96\x01", Ok(vec![(1, Value::Number(150))])),
            (b"\x12\x07testing", Ok(vec![(2, Value::Bytes(b"testing"))])),
            (b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0", Ok(vec![(1, Value::Fixed), (1, Value::Fixed)])),
            (b"\x08", Err(Garbage)),
            (b"\x08\x80", Err(Garbage)),
            (b"\x00\x01", Err(Garbage)),
            (b"\x0b\x0c", Err(Garbage)),
            (b"\x0e\x00", Err(Garbage)),
            (b"\x12\x08testing", Err(Garbage)),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", Err(Garbage)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", Err(Garbage)),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", Err(Garbage)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", Err(Garbage)),
        ];
        for (message, expected) in rows {
            assert_eq!(Fields::of(message).collect::<Read<'_>>(), expected, "{message:x?}");
        }
    }

    #[test]
    fn nothing_comes_after_garbage() {
        let mut fields = Fields::of(b"\x08\x01\x0b\x08\x01");
        assert_eq!(fields.next(), Some(Ok((1, Value::Number(1)))));
        assert_eq!((fields.next(), fields.next()), (Some(Err(Garbage)), None));
    }
}
