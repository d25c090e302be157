//! What of the request does the upstream not get to see, once the credential has been used?

use std::rc::Rc;

use super::credential::{cookie_pairs, cookie_value, param_value, query_pairs};
use super::rules::Place;
use crate::http::{Head, trim};

/// A credential that was used and goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// The header of this name goes.
    Header(Rc<str>),
    /// The header of this name goes, and the proof of possession in `dpop`.
    Proved(Rc<str>),
    /// The cookie of this name goes; see [`cookies_without`].
    Cookie(Rc<str>),
    /// The query parameter of this name goes; see [`target_without`].
    Param(Rc<str>),
}

impl Spent {
    pub(super) fn at(place: &Place) -> Self {
        match place {
            Place::Header { name, .. } if place.is_dpop() => Spent::Proved(Rc::clone(name)),
            Place::Header { name, .. } => Spent::Header(Rc::clone(name)),
            Place::Cookie(name) => Spent::Cookie(Rc::clone(name)),
            Place::Param(name) => Spent::Param(Rc::clone(name)),
        }
    }
}

/// The `cookie` header without the cookie of that name: the other pairs byte for byte, several headers joined with `; `
/// (RFC 9113 §8.2.3). `None` if no cookie is left, and the header goes.
pub fn cookies_without(head: &Head, name: &str) -> Option<Vec<u8>> {
    let mut headers = Vec::new();
    for header in head.all("cookie") {
        let kept: Vec<&[u8]> =
            cookie_pairs(header).filter(|pair| cookie_value(pair, name).is_none()).collect();
        let joined = kept.join(&b';');
        let rest = trim(&joined);
        if !rest.is_empty() {
            headers.push(rest.to_vec());
        }
    }
    (!headers.is_empty()).then(|| headers.join(&b"; "[..]))
}

/// `:path` without the query parameter of that name, however its name is encoded: everything else byte for byte. If no
/// parameter is left the `?` goes too.
pub fn target_without(target: &[u8], name: &str) -> Vec<u8> {
    let mut halves = target.splitn(2, |&b| b == b'?');
    let (Some(path), Some(query)) = (halves.next(), halves.next()) else {
        return target.to_vec();
    };
    let kept: Vec<&[u8]> = query_pairs(query).filter(|pair| param_value(pair, name).is_none()).collect();
    if kept.is_empty() {
        return path.to_vec();
    }
    [path, &kept.join(&b'&')].join(&b'?')
}
