//! What did the client send before the body?
//!
//! The host hands over the header map as one block of bytes. [`Head`] keeps that block and an index into it: one copy,
//! no string, no lossy decoding. A header that we do not understand is still there for the next reader, so we see what
//! the upstream sees.

use crate::limits;

/// The head of a request: pseudo headers and fields, as bytes.
#[derive(Debug)]
pub struct Head {
    raw: Vec<u8>,
    fields: Vec<Span>,
    method: Span,
    authority: Span,
    target: Span,
    scheme: Span,
}

/// Where a name and its value lie in the block.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    name: (u32, u32),
    value: (u32, u32),
}

/// Why a header map is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFault {
    /// The block is not in the ABI's form, or over [`limits::HEADERS`] or [`limits::HEADER_BYTES`].
    Unreadable,
    /// There is more in it than we are ready to walk.
    TooLarge,
    /// A pseudo header that a request must have is missing (`:method`, `:path`, `:authority`).
    Incomplete(&'static str),
    /// A pseudo header stands twice.
    Doubled(&'static str),
}

/// A header that should stand once stands more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubled;

impl Head {
    /// Reads the ABI's form: a count, that many pairs of lengths, then each name and value with a NUL behind it; numbers
    /// are 32 bit, little-endian. Nothing in it is believed.
    pub fn parse(raw: Vec<u8>) -> Result<Self, HeadFault> {
        Self::parse_trailers(raw)?.complete()
    }

    /// The same for the trailers of a request, which have no pseudo headers.
    pub fn parse_trailers(raw: Vec<u8>) -> Result<Self, HeadFault> {
        if raw.len() > limits::HEADER_BYTES {
            return Err(HeadFault::TooLarge);
        }
        let count = number(&raw, 0).ok_or(HeadFault::Unreadable)? as usize;
        if count > limits::HEADERS {
            return Err(HeadFault::TooLarge);
        }
        let mut head = Self { raw, fields: Vec::with_capacity(count), ..Self::empty() };
        let mut lengths = 4_usize;
        let mut at = count.saturating_mul(8).saturating_add(4);
        for _ in 0..count {
            let span = head.span(lengths, &mut at).ok_or(HeadFault::Unreadable)?;
            lengths = lengths.saturating_add(8);
            head.file(span)?;
        }
        Ok(head)
    }

    fn empty() -> Self {
        let none = Span::default();
        let (raw, fields) = (Vec::new(), Vec::new());
        Self { raw, fields, method: none, authority: none, target: none, scheme: none }
    }

    fn span(&self, lengths: usize, at: &mut usize) -> Option<Span> {
        let name = self.piece(number(&self.raw, lengths)?, at)?;
        let value = self.piece(number(&self.raw, lengths.saturating_add(4))?, at)?;
        Some(Span { name, value })
    }

    /// The piece of `len` bytes at `at`, which moves behind its NUL.
    fn piece(&self, len: u32, at: &mut usize) -> Option<(u32, u32)> {
        let start = u32::try_from(*at).ok()?;
        let end = start.checked_add(len)?;
        let nul = usize::try_from(end).ok()?;
        (self.raw.get(nul) == Some(&0)).then_some(())?;
        *at = nul.checked_add(1)?;
        Some((start, end))
    }

    fn file(&mut self, span: Span) -> Result<(), HeadFault> {
        let (slot, name) = match self.bytes(span.name) {
            b":method" => (&mut self.method, ":method"),
            b":authority" => (&mut self.authority, ":authority"),
            b":path" => (&mut self.target, ":path"),
            b":scheme" => (&mut self.scheme, ":scheme"),
            [b':', ..] => return Ok(()),
            _ => {
                self.fields.push(span);
                return Ok(());
            }
        };
        if slot.name.1 != 0 {
            return Err(HeadFault::Doubled(name));
        }
        *slot = span;
        Ok(())
    }

    fn complete(self) -> Result<Self, HeadFault> {
        for (span, name) in [(self.method, ":method"), (self.authority, ":authority"), (self.target, ":path")]
        {
            if span.name.1 == 0 {
                return Err(HeadFault::Incomplete(name));
            }
        }
        Ok(self)
    }

    fn bytes(&self, (start, end): (u32, u32)) -> &[u8] {
        self.raw.get(start as usize..end as usize).unwrap_or_default()
    }

    /// `:method`
    pub fn method(&self) -> &[u8] {
        self.bytes(self.method.value)
    }

    /// `:authority`, or `Host`.
    pub fn authority(&self) -> &[u8] {
        self.bytes(self.authority.value)
    }

    /// `:path`, query included.
    pub fn target(&self) -> &[u8] {
        self.bytes(self.target.value)
    }

    /// `:scheme`, as the proxy knows it; empty if it does not say.
    pub fn scheme(&self) -> &[u8] {
        self.bytes(self.scheme.value)
    }

    /// Every field but the pseudo headers, in order: lower-case name, value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.fields.iter().map(|span| (self.bytes(span.name), self.bytes(span.value)))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Bytes of all names and values, pseudo headers included.
    pub fn size(&self) -> usize {
        // Behind the count and the lengths stand names and values, each with a NUL. Pseudo headers that we do not keep count too.
        let entries = number(&self.raw, 0).unwrap_or(0) as usize;
        self.raw.len().saturating_sub(entries.saturating_mul(10)).saturating_sub(4)
    }

    /// Every value under `name` (lower case), in order.
    pub fn all<'h, 'n>(&'h self, name: &'n str) -> impl Iterator<Item = &'h [u8]> + Clone + use<'h, 'n> {
        self.fields().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// The value under `name`, if the field stands once.
    pub fn only(&self, name: &str) -> Result<Option<&[u8]>, Doubled> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() { Err(Doubled) } else { Ok(first) }
    }
}

fn number(raw: &[u8], at: usize) -> Option<u32> {
    let bytes = raw.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Writes a header map in the ABI's form; for tests and for hosts that are not a proxy.
pub fn serialize<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
    // Two lengths and two NULs a field, and the count.
    let room = |(name, value): (&[u8], &[u8])| name.len().saturating_add(value.len()).saturating_add(10);
    let mut out = Vec::with_capacity(fields.clone().map(room).fold(4, usize::saturating_add));
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(u32::try_from(fields.clone().count()).unwrap_or(u32::MAX).to_le_bytes());
    for (name, value) in fields.clone() {
        out.extend(size(name));
        out.extend(size(value));
    }
    for (name, value) in fields {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Doubled, Head, HeadFault, serialize};
    use crate::testing::test;

    fn head(fields: &[(&str, &[u8])]) -> Result<Head, HeadFault> {
        Head::parse(serialize(fields.iter().map(|(n, v)| (n.as_bytes(), *v))))
    }

    const GET: [(&str, &[u8]); 3] = [(":method", b"GET"), (":authority", b"h"), (":path", b"/p?q")];

    #[test]
    fn a_head_keeps_every_byte() {
        let mut fields = GET.to_vec();
        fields.extend([("x", b"\xff\xfe" as &[u8]), ("x", b""), ("y", b"1"), (":scheme", b"http")]);
        let head = head(&fields).unwrap();
        assert_eq!((head.method(), head.authority(), head.target()), (&b"GET"[..], &b"h"[..], &b"/p?q"[..]));
        assert_eq!(head.all("x").collect::<Vec<_>>(), [&b"\xff\xfe"[..], b""]);
        assert_eq!(
            (head.only("x"), head.only("y"), head.only("z")),
            (Err(Doubled), Ok(Some(&b"1"[..])), Ok(None))
        );
        assert_eq!(head.len(), 3);
        assert_eq!(head.size(), fields.iter().map(|(n, v)| n.len() + v.len()).sum::<usize>());
    }

    #[test]
    fn what_is_no_request() {
        assert_eq!(head(&GET[1..]).unwrap_err(), HeadFault::Incomplete(":method"));
        assert_eq!(head(&[GET[0], GET[1], GET[2], GET[2]]).unwrap_err(), HeadFault::Doubled(":path"));
        let good = serialize(GET.iter().map(|(n, v)| (n.as_bytes(), *v)));
        for cut in 0..good.len() {
            assert!(Head::parse(good[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for at in 0..28 {
            let mut bent = good.clone();
            bent[at] ^= 0xff;
            assert!(Head::parse(bent).is_err(), "bent at {at}");
        }
        assert_eq!(Head::parse(vec![0xff; 200]).unwrap_err(), HeadFault::TooLarge);
        assert_eq!(Head::parse(vec![0; 1 << 20]).unwrap_err(), HeadFault::TooLarge);
    }
}
