//! What stands in these bytes? A reader of DER (X.690 §10), as far as certificates need it.
//!
//! It goes forward only, holds slices only and never goes deeper than its caller asks. Whatever DER does not allow, so that there is one
//! encoding for one value, ends the reading: lengths of no definite form or longer than they must be, tags of several bytes.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;

/// What is left to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b>(&'b [u8]);

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'b> {
    pub(super) tag: u8,
    /// Without tag and length.
    pub(super) content: &'b [u8],
    /// With them.
    pub(super) whole: &'b [u8],
}

impl<'b> Reader<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever it is.
    pub(super) fn next(&mut self) -> Option<Element<'b>> {
        let (&tag, rest) = self.0.split_first()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = length(rest)?;
        let (content, rest) = rest.split_at_checked(length)?;
        let used = self.0.len().checked_sub(rest.len())?;
        let whole = self.0.get(..used)?;
        self.0 = rest;
        Some(Element { tag, content, whole })
    }

    /// The next value, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Element<'b>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next value if it has this tag; else it stays where it is.
    #[expect(clippy::option_option, reason = "broken, absent, or there")]
    pub(super) fn optional(&mut self, tag: u8) -> Option<Option<Element<'b>>> {
        if self.0.first() == Some(&tag) { self.next().map(Some) } else { Some(None) }
    }

    /// What stands within the next value, which must have this tag.
    pub(super) fn within(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(|element| Self(element.content))
    }

    /// Nothing may follow.
    pub(super) fn end(self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

/// X.690 §8.1.3 and §10.1: one byte below 128, else the fewest bytes that hold it. Three are as many as a certificate of ours can need.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=3).contains(&count) {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let length = digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
    let shortest = length >= 0x80 && digits.first() != Some(&0);
    shortest.then_some((length, rest))
}
