//! Of the routes that share a host and a path, which one, and do two of them want the same request?

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::http::{Head, passes_for};
use crate::limits;

/// Why a set of routes has no one answer to some request. Routes are told by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Clash {
    /// One request can match both, and neither is more specific.
    Tie(usize, usize),
    /// Every request for the first is taken by the second.
    Covered(usize, usize),
    /// More routes than [`limits::ROUTE_VARIANTS`] share its host and path.
    Crowded(usize),
    /// More routes than [`limits::ROUTE_PATTERNS`] have a regular expression.
    Expressions(usize),
}

/// Routes of one host and path, the more specific first.
#[derive(Debug, Default)]
pub(super) struct Bucket(pub(super) Vec<Rc<Candidate>>);

#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) route: usize,
    /// Under how many hosts the route stands.
    pub(super) hosts: usize,
    pub(super) methods: Vec<Box<str>>,
    pub(super) headers: Vec<(Box<str>, Box<str>)>,
}

/// What is left to compare once host and path have led to a bucket.
#[derive(Clone, Copy)]
pub(super) struct Rest<'r> {
    pub(super) method: &'r [u8],
    pub(super) head: &'r Head,
}

/// Whether there is a route.
#[derive(Clone, Copy)]
pub(super) enum Found<T> {
    /// This one.
    Route(T),
    /// A header that one asks for stands there in two readings. A less specific route must not take what might be meant for that one.
    Unclear,
}

/// Whether a candidate takes a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Takes {
    No,
    Unclear,
    Yes,
}

impl Bucket {
    pub(super) fn choose(&self, rest: Rest<'_>) -> Option<Found<usize>> {
        self.find(rest).map(|found| match found {
            Found::Route(candidate) => Found::Route(candidate.route),
            Found::Unclear => Found::Unclear,
        })
    }

    pub(super) fn find(&self, rest: Rest<'_>) -> Option<Found<&Candidate>> {
        self.0.iter().find_map(|candidate| match candidate.takes(rest) {
            Takes::No => None,
            Takes::Unclear => Some(Found::Unclear),
            Takes::Yes => Some(Found::Route(candidate.as_ref())),
        })
    }

    pub(super) fn finish(&mut self, clashes: &mut Clashes) {
        self.0.sort_by_key(|c| core::cmp::Reverse(c.rank()));
        if let Some(beyond) = self.0.get(limits::ROUTE_VARIANTS) {
            clashes.add(Clash::Crowded(beyond.route));
            return;
        }
        for (index, a) in self.0.iter().enumerate() {
            for b in self.0.iter().skip(index.saturating_add(1)) {
                a.compare(b, clashes);
            }
        }
    }

    pub(super) fn compare(&self, other: &Bucket, clashes: &mut Clashes) {
        for a in &self.0 {
            for b in &other.0 {
                a.compare(b, clashes);
            }
        }
    }

    /// The route that takes whatever comes here, if there is one.
    pub(super) fn takes_all(&self) -> Option<usize> {
        let all = |c: &&Rc<Candidate>| c.methods.is_empty() && c.headers.is_empty();
        self.0.iter().find(all).map(|c| c.route)
    }
}

impl Candidate {
    fn takes(&self, rest: Rest<'_>) -> Takes {
        if !self.methods.is_empty() && !self.methods.iter().any(|m| m.as_bytes() == rest.method) {
            return Takes::No;
        }
        let headers = self.headers.iter().map(|(name, value)| stands(rest.head, name, value.as_bytes()));
        headers.min().unwrap_or(Takes::Yes)
    }

    pub(super) fn rank(&self) -> (usize, bool) {
        (self.headers.len(), !self.methods.is_empty())
    }

    /// Notes a tie: the same rank, a method that both take, and no header on whose value they differ.
    pub(super) fn compare(&self, other: &Self, clashes: &mut Clashes) {
        let method = self.methods.is_empty() || self.methods.iter().any(|m| other.methods.contains(m));
        let apart =
            |(name, value): &(Box<str>, Box<str>)| other.headers.iter().any(|(n, v)| n == name && v != value);
        if self.rank() == other.rank() && method && !self.headers.iter().any(apart) {
            clashes.add(Clash::Tie(self.route.min(other.route), self.route.max(other.route)));
        }
    }
}

/// Whether the header stands there with this value: once, and under no other name that an upstream could take for it.
fn stands(head: &Head, name: &str, value: &[u8]) -> Takes {
    let mut alike = head.fields().filter(|(sent, _)| passes_for(sent, name));
    if !alike.clone().any(|(_, found)| found == value) {
        return Takes::No;
    }
    let exact = alike.next().is_some_and(|(sent, _)| sent == name.as_bytes());
    if exact && alike.next().is_none() { Takes::Yes } else { Takes::Unclear }
}

/// Each clash once, though two routes may meet under several hosts.
#[derive(Default)]
pub(super) struct Clashes {
    found: HashSet<Clash>,
    /// Under how many of its hosts a route is covered, and by which.
    covered: HashMap<usize, (usize, usize)>,
}

impl Clashes {
    /// Bounded: nobody reads more, and ten thousand equal routes would make fifty million pairs.
    pub(super) fn add(&mut self, clash: Clash) {
        if self.found.len() < limits::ROUTE_CLASHES {
            self.found.insert(clash);
        }
    }

    pub(super) fn cover(&mut self, candidate: &Candidate, by: usize) {
        let (hosts, last) = self.covered.entry(candidate.route).or_insert((0, by));
        *hosts = hosts.saturating_add(1);
        *last = by;
        if *hosts == candidate.hosts {
            self.add(Clash::Covered(candidate.route, by));
        }
    }

    /// In the order of the document.
    pub(super) fn into_vec(self) -> Vec<Clash> {
        let mut found: Vec<Clash> = self.found.into_iter().collect();
        found.sort_unstable();
        found
    }
}
