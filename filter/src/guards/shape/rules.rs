//! How large may a request be, which methods and headers may it have? One [`Limits`] a route.

use std::rc::Rc;

use regex_lite::Regex;

use super::Wellformed;
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::http::{Head, passes_for};

/// The compiled `request` section, but for the body.
#[derive(Debug)]
pub struct Limits {
    /// Methods that may come.
    pub methods: Vec<String>,
    /// The same, as `Allow` tells them.
    pub allow: Rc<str>,
    /// Bytes of the path without query.
    pub path_bytes: u64,
    /// Bytes of the query without `?`.
    pub query_bytes: u64,
    /// Header fields, pseudo headers not counted.
    pub headers: u64,
    /// Bytes of all names and values.
    pub header_bytes: u64,
    /// Headers that must stand once.
    pub required: Vec<RequiredHeader>,
    /// Headers that may not stand.
    pub forbidden: Vec<Rc<str>>,
    /// Headers that are taken off.
    pub stripped: Vec<Rc<str>>,
}

/// A header that must stand once, and what it must look like.
#[derive(Debug)]
pub struct RequiredHeader {
    /// Lower case.
    pub name: Rc<str>,
    /// Matches the whole value.
    pub pattern: Option<Regex>,
}

impl Limits {
    /// Cheap checks first. Nothing is read of a header but its name and length until the number and size are known to be in bounds.
    pub fn check(&self, head: &Head, request: &Wellformed<'_>) -> Result<(), Refusal> {
        if !self.takes(request.method()) {
            return Err(Refusal::new(Reason::MethodNotAllowed).advise(Advice::Allow(self.allow.clone())));
        }
        self.tolerates(head, request)?;
        self.required.iter().try_for_each(|header| header.check(head))
    }

    /// Whether it may be so large, and have such headers. Holds for a preflight too, which is of another method and has none of the
    /// required headers yet.
    pub fn tolerates(&self, head: &Head, request: &Wellformed<'_>) -> Result<(), Refusal> {
        within_path(request, self.path_bytes)?;
        within(
            Reason::UriTooLong,
            "bytes of query",
            request.path().query().map_or(0, <[u8]>::len),
            self.query_bytes,
        )?;
        within(Reason::HeadersTooLarge, "headers", head.len(), self.headers)?;
        within(Reason::HeadersTooLarge, "bytes of headers", head.size(), self.header_bytes)?;
        for name in &self.forbidden {
            if head.fields().any(|(sent, _)| passes_for(sent, name)) {
                return Err(Refusal::because(Reason::HeaderForbidden, Detail::Named("header", name.clone())));
            }
        }
        Ok(())
    }

    /// Whether such a method may come.
    pub fn takes(&self, method: &[u8]) -> bool {
        self.methods.iter().any(|known| known.as_bytes() == method)
    }
}

impl RequiredHeader {
    fn check(&self, head: &Head) -> Result<(), Refusal> {
        // A second field that passes for it is a second opinion on its value.
        let alike = head.fields().filter(|(sent, _)| passes_for(sent, &self.name)).count();
        let value = head.only(&self.name).ok().flatten().filter(|_| alike == 1);
        let good = match (&self.pattern, value) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(pattern), Some(value)) => {
                core::str::from_utf8(value).is_ok_and(|value| pattern.is_match(value))
            }
        };
        if good {
            Ok(())
        } else {
            Err(Refusal::because(Reason::HeaderMissing, Detail::Named("header", self.name.clone())))
        }
    }
}

/// Whether the path is no longer than `limit` bytes.
pub fn within_path(request: &Wellformed<'_>, limit: u64) -> Result<(), Refusal> {
    within(Reason::UriTooLong, "bytes of path", request.path().raw().len(), limit)
}

pub(super) fn within(reason: Reason, what: &'static str, got: usize, limit: u64) -> Result<(), Refusal> {
    let got = u64::try_from(got).unwrap_or(u64::MAX);
    if got <= limit { Ok(()) } else { Err(Refusal::because(reason, Detail::Over { what, got, limit })) }
}
