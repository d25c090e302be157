//! What does a certificate say? RFC 5280 §4.1, and nothing that we do not ask.

use super::der::{
    BIT_STRING, BOOLEAN, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Reader, SEQUENCE, UTC_TIME,
};
use crate::limits;
use crate::time::Timestamp;

/// A certificate, as slices of its bytes.
#[derive(Debug)]
pub(super) struct X509<'b> {
    /// What was signed.
    pub(super) signed: &'b [u8],
    /// The `AlgorithmIdentifier`'s content, the same inside of what was signed and behind it.
    pub(super) algorithm: &'b [u8],
    pub(super) signature: &'b [u8],
    /// Whole `Name`s.
    pub(super) issuer: &'b [u8],
    pub(super) subject: &'b [u8],
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// The whole `SubjectPublicKeyInfo`.
    pub(super) key: &'b [u8],
    /// Those of the kinds DNS and URI, in order.
    pub(super) names: Vec<Name<'b>>,
    /// Whether it may be used by a client: `extKeyUsage` is absent, or has it.
    pub(super) for_clients: bool,
    /// Whether it may issue others.
    pub(super) is_authority: bool,
}

/// A `GeneralName` of `subjectAltName`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'b> {
    /// `dNSName`
    Dns(&'b str),
    /// `uniformResourceIdentifier`
    Uri(&'b str),
}

const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXT_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// Which names an authority may vouch for. Nobody here looks at them, so whoever has them is not read.
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
/// `keyUsage` and `certificatePolicies`: critical by custom, and nothing that is asked here.
const HARMLESS: [&[u8]; 2] = [&[0x55, 0x1d, 0x0f], &[0x55, 0x1d, 0x20]];
/// `id-kp-clientAuth` and `anyExtendedKeyUsage`.
const FOR_CLIENTS: [&[u8]; 2] = [&[0x2b, 6, 1, 5, 5, 7, 3, 2], &[0x55, 0x1d, 0x25, 0]];
/// `version`, and its two optional neighbours of old, and the extensions.
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;
/// Of `GeneralName`.
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

impl<'b> X509<'b> {
    /// Reads a certificate. `None` if it is none, or not one that we are ready to read.
    pub(super) fn parse(der: &'b [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut certificate = outer.within(SEQUENCE)?;
        outer.end()?;
        let signed = certificate.expect(SEQUENCE)?;
        let algorithm = certificate.expect(SEQUENCE)?.content;
        // A bit string's first byte says how many bits at its end do not count: none.
        let signature = certificate.expect(BIT_STRING)?.content.strip_prefix(&[0])?;
        certificate.end()?;

        let mut tbs = Reader::new(signed.content);
        // Version 3: an older certificate has no names but a subject.
        (tbs.expect(VERSION)?.content == [INTEGER, 1, 2]).then_some(())?;
        tbs.expect(INTEGER)?;
        // RFC 5280 §4.1.1.2: "MUST contain the same algorithm identifier".
        (tbs.expect(SEQUENCE)?.content == algorithm).then_some(())?;
        let issuer = tbs.expect(SEQUENCE)?.whole;
        let mut validity = tbs.within(SEQUENCE)?;
        let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
        validity.end()?;
        let subject = tbs.expect(SEQUENCE)?.whole;
        let key = tbs.expect(SEQUENCE)?.whole;
        tbs.optional(ISSUER_ID)?;
        tbs.optional(SUBJECT_ID)?;
        let extensions = tbs.optional(EXTENSIONS)?;
        tbs.end()?;
        let mut found = Self {
            signed: signed.whole,
            algorithm,
            signature,
            issuer,
            subject,
            not_before,
            not_after,
            key,
            names: Vec::new(),
            for_clients: true,
            is_authority: false,
        };
        if let Some(extensions) = extensions {
            found.read_extensions(extensions.content)?;
        }
        Some(found)
    }

    fn read_extensions(&mut self, content: &'b [u8]) -> Option<()> {
        let mut outer = Reader::new(content);
        let mut list = outer.within(SEQUENCE)?;
        outer.end()?;
        let mut seen: Vec<&[u8]> = Vec::new();
        while !list.is_empty() {
            let mut extension = list.within(SEQUENCE)?;
            let id = extension.expect(OID)?.content;
            let critical = extension.optional(BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
            let value = extension.expect(OCTET_STRING)?.content;
            extension.end()?;
            // RFC 5280 §4.2: "MUST NOT include more than one instance of a particular extension".
            if seen.contains(&id) || seen.len() >= limits::CERTIFICATE_EXTENSIONS {
                return None;
            }
            seen.push(id);
            match id {
                SUBJECT_ALT_NAME => self.names = names(value)?,
                EXT_KEY_USAGE => self.for_clients = is_for_clients(value)?,
                BASIC_CONSTRAINTS => self.is_authority = is_authority(value)?,
                // RFC 5280 §4.2: "MUST reject the certificate if it encounters a critical extension it does not recognize".
                _ if id == NAME_CONSTRAINTS || (critical && !HARMLESS.contains(&id)) => return None,
                _ => {}
            }
        }
        Some(())
    }
}

fn names(value: &[u8]) -> Option<Vec<Name<'_>>> {
    let mut outer = Reader::new(value);
    let mut list = outer.within(SEQUENCE)?;
    outer.end()?;
    let mut names = Vec::new();
    let mut count = 0_usize;
    while !list.is_empty() {
        let Element { tag, content, .. } = list.next()?;
        count = count.saturating_add(1);
        if count > limits::CERTIFICATE_NAMES {
            return None;
        }
        match tag {
            DNS_NAME => names.push(Name::Dns(visible(content)?)),
            URI => names.push(Name::Uri(visible(content)?)),
            _ => {}
        }
    }
    Some(names)
}

/// A name as it may stand in a header and a log line: RFC 5280 §4.2.1.6 has an `IA5String` here, of which we take the visible part. A NUL,
/// which readers in C take for the end, is none.
fn visible(content: &[u8]) -> Option<&str> {
    let good = (1..=limits::CERTIFICATE_NAME_BYTES).contains(&content.len());
    let text = core::str::from_utf8(content).ok()?;
    (good && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')).then_some(text)
}

fn is_for_clients(value: &[u8]) -> Option<bool> {
    let mut outer = Reader::new(value);
    let mut list = outer.within(SEQUENCE)?;
    outer.end()?;
    let mut found = false;
    while !list.is_empty() {
        found |= FOR_CLIENTS.contains(&list.expect(OID)?.content);
    }
    Some(found)
}

fn is_authority(value: &[u8]) -> Option<bool> {
    let mut outer = Reader::new(value);
    let mut parts = outer.within(SEQUENCE)?;
    outer.end()?;
    Some(parts.optional(BOOLEAN)?.is_some_and(|flag| flag.content == [0xff]))
}

/// RFC 5280 §4.1.2.5: `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from then on. What our clock cannot hold lies before everything or behind it.
fn time(element: Element<'_>) -> Option<Timestamp> {
    let text = core::str::from_utf8(element.content).ok()?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (short, rest) = text.split_at_checked(2)?;
            let century = if digits(short)? < 50 { "20" } else { "19" };
            (format!("{century}{short}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let year_number = digits(&year)?;
    let rest = rest.strip_suffix('Z').filter(|rest| rest.len() == 10)?;
    digits(rest)?;
    // In a year that the clock holds the date is looked at whole; so one that does not exist is none, whatever its year.
    let shown = if (1970..2500).contains(&year_number) { &*year } else { "2000" };
    let part = |from: usize| rest.get(from..from.checked_add(2)?);
    let (month, day, hour) = (part(0)?, part(2)?, part(4)?);
    let read = Timestamp::parse(&format!("{shown}-{month}-{day}T{hour}:{}:{}Z", part(6)?, part(8)?))?;
    Some(match year_number {
        ..1970 => Timestamp::from_nanos(0),
        1970..2500 => read,
        2500.. => Timestamp::from_nanos(u64::MAX),
    })
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
