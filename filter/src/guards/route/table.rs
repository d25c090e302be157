//! Which route of ten thousand, at the price of ten? An index of hosts, and for each host of paths.

use core::str::Split;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use regex_lite::Regex;

use super::config::{Host, Match};
use super::path::{Pattern, Segment, disjoint};
use crate::http::{Head, passes_for};
use crate::limits;

/// The routes of a policy, by what a request shows.
#[derive(Debug, Default)]
pub struct Table {
    names: HashMap<Box<str>, Paths>,
    below: HashMap<Box<str>, Paths>,
    any: Paths,
}

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

/// The routes of one host, by path, the most specific kind first.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Bucket>,
    templates: Trie,
    expressions: Vec<Expression>,
    prefixes: Trie,
}

#[derive(Debug)]
struct Expression {
    text: Box<str>,
    length: usize,
    regex: Regex,
    bucket: Bucket,
}

/// Paths segment by segment. The first node is the root.
#[derive(Debug)]
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize>,
    variable: Option<usize>,
    bucket: Bucket,
}

/// Routes of one host and path, the more specific first.
#[derive(Debug, Default)]
struct Bucket(Vec<Rc<Candidate>>);

#[derive(Debug)]
struct Candidate {
    route: usize,
    /// Under how many hosts the route stands.
    hosts: usize,
    methods: Vec<Box<str>>,
    headers: Vec<(Box<str>, Box<str>)>,
}

/// What is left to compare once host and path have led to a bucket.
#[derive(Clone, Copy)]
struct Rest<'r> {
    method: &'r [u8],
    head: &'r Head,
}

/// Whether there is a route.
#[derive(Clone, Copy)]
enum Found<T> {
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

impl Table {
    /// Indexes `routes` (each with the number that [`Table::choose`] answers with), and tells which of them clash.
    pub fn build<'m>(routes: impl Iterator<Item = (usize, &'m Match)>) -> (Self, Vec<Clash>) {
        let mut table = Self::default();
        let mut expressions = 0_usize;
        let mut clashes = Clashes::default();
        for (route, matched) in routes {
            if matches!(matched.path, Pattern::Expression(..)) {
                expressions = expressions.saturating_add(1);
                if expressions > limits::ROUTE_PATTERNS {
                    clashes.add(Clash::Expressions(route));
                    continue;
                }
            }
            table.insert(route, matched);
        }
        for paths in table.paths_mut() {
            paths.finish(&mut clashes);
        }
        (table, clashes.into_vec())
    }

    fn insert(&mut self, route: usize, matched: &Match) {
        let candidate = Rc::new(Candidate {
            route,
            hosts: matched.hosts.len().max(1),
            methods: matched.methods.clone(),
            headers: matched.headers.clone(),
        });
        if matched.hosts.is_empty() {
            self.any.insert(&matched.path, &candidate);
        }
        for host in &matched.hosts {
            let paths = match host {
                Host::Exact(name) => self.names.entry(name.clone()).or_default(),
                Host::Below(name) => self.below.entry(name.clone()).or_default(),
            };
            paths.insert(&matched.path, &candidate);
        }
    }

    fn paths_mut(&mut self) -> impl Iterator<Item = &mut Paths> {
        self.names.values_mut().chain(self.below.values_mut()).chain(core::iter::once(&mut self.any))
    }

    /// The most specific route that matches. `host` is in lower case and without port (`http::Authority`), `path`
    /// percent-decoded once (`http::Path`).
    ///
    /// A host costs one look-up a label, a path one a segment, whatever the number of routes; only regular expressions,
    /// and routes that differ in nothing but methods and headers, are tried one by one.
    pub fn choose(&self, host: &str, path: &str, method: &[u8], head: &Head) -> Option<usize> {
        match self.find(host, path, Rest { method, head })? {
            Found::Route(route) => Some(route),
            Found::Unclear => None,
        }
    }

    fn find(&self, host: &str, path: &str, rest: Rest<'_>) -> Option<Found<usize>> {
        if let Some(found) = self.names.get(host).and_then(|paths| paths.choose(path, rest)) {
            return Some(found);
        }
        if !self.below.is_empty() {
            let mut labels = host;
            while let Some((_, parent)) = labels.split_once('.') {
                labels = parent;
                if let Some(found) = self.below.get(parent).and_then(|paths| paths.choose(path, rest)) {
                    return Some(found);
                }
            }
        }
        self.any.choose(path, rest)
    }
}

impl Paths {
    fn insert(&mut self, path: &Pattern, candidate: &Rc<Candidate>) {
        let bucket = match path {
            Pattern::Exact(path) => Some(self.exact.entry(path.clone()).or_default()),
            Pattern::Template(segments) => self.templates.grow(segments.iter().map(Segment::text)),
            Pattern::Prefix(segments) => self.prefixes.grow(segments.iter().map(|s| Some(&**s))),
            Pattern::Expression(text, regex) => self.expression(text, regex),
        };
        if let Some(bucket) = bucket {
            bucket.0.push(Rc::clone(candidate));
        }
    }

    fn expression(&mut self, text: &str, regex: &Regex) -> Option<&mut Bucket> {
        let known = self.expressions.iter().position(|e| *e.text == *text);
        if known.is_none() {
            self.expressions.push(Expression {
                text: text.into(),
                length: text.chars().count(),
                regex: regex.clone(),
                bucket: Bucket::default(),
            });
        }
        let at = known.unwrap_or(self.expressions.len().saturating_sub(1));
        self.expressions.get_mut(at).map(|e| &mut e.bucket)
    }

    /// Sorts what is walked, and finds what clashes.
    fn finish(&mut self, clashes: &mut Clashes) {
        for bucket in self.exact.values_mut() {
            bucket.finish(clashes);
        }
        for trie in [&mut self.templates, &mut self.prefixes] {
            for node in &mut trie.nodes {
                node.bucket.finish(clashes);
            }
        }
        for expression in &mut self.expressions {
            expression.bucket.finish(clashes);
        }
        self.expressions.sort_by_key(|e| core::cmp::Reverse(e.length));
        self.compare_expressions(clashes);
    }

    /// Two expressions of one length have no order of their own: their routes may stand together if no path matches both,
    /// or if headers and methods tell them apart.
    fn compare_expressions(&self, clashes: &mut Clashes) {
        for (index, a) in self.expressions.iter().enumerate() {
            let (alike, shorter): (Vec<_>, Vec<_>) =
                self.expressions.iter().skip(index.saturating_add(1)).partition(|b| b.length == a.length);
            for b in alike.iter().filter(|b| !disjoint(&a.text, &b.text)) {
                a.bucket.compare(&b.bucket, clashes);
            }
            if let (true, Some(by)) = (takes_all(&a.text), a.bucket.takes_all()) {
                let prefixes = self.prefixes.nodes.iter().map(|node| &node.bucket);
                for bucket in shorter.iter().map(|e| &e.bucket).chain(prefixes) {
                    bucket.0.iter().for_each(|candidate| clashes.cover(candidate, by));
                }
            }
        }
    }

    fn choose(&self, path: &str, rest: Rest<'_>) -> Option<Found<usize>> {
        let segments = || {
            let mut segments = path.split('/');
            segments.next();
            segments
        };
        self.exact
            .get(path)
            .and_then(|bucket| bucket.choose(rest))
            .or_else(|| self.templates.whole(0, segments(), rest))
            .or_else(|| self.expressed(path, rest))
            .or_else(|| self.prefixes.longest(0, segments(), rest))
    }

    /// The longest expression that matches and has a route for the rest; of equal length, the route that asks for more.
    fn expressed(&self, path: &str, rest: Rest<'_>) -> Option<Found<usize>> {
        let mut best: Option<(usize, &Candidate)> = None;
        for expression in &self.expressions {
            if best.is_some_and(|(length, _)| length > expression.length) {
                break;
            }
            let Some(found) = expression.bucket.find(rest) else {
                continue;
            };
            let Found::Route(found) = found else {
                if expression.regex.is_match(path) {
                    return Some(Found::Unclear);
                }
                continue;
            };
            if best.is_none_or(|(_, best)| found.rank() > best.rank()) && expression.regex.is_match(path) {
                best = Some((expression.length, found));
            }
        }
        best.map(|(_, candidate)| Found::Route(candidate.route))
    }
}

/// The ways to write "every path" that one meets.
fn takes_all(expression: &str) -> bool {
    let bare = expression.strip_prefix('^').unwrap_or(expression);
    let bare = bare.strip_suffix('$').unwrap_or(bare);
    matches!(bare, ".*" | "/.*" | ".+" | "(.*)" | "/(.*)")
}

impl Segment {
    fn text(&self) -> Option<&str> {
        match self {
            Segment::Literal(text) => Some(text),
            Segment::Variable => None,
        }
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    /// The bucket at the end of these segments (`None` is a variable), with the nodes that lead there.
    fn grow<'s>(&mut self, segments: impl Iterator<Item = Option<&'s str>>) -> Option<&mut Bucket> {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let node = self.nodes.get_mut(at)?;
            at = match segment {
                Some(text) => *node.literals.entry(text.into()).or_insert(fresh),
                None => *node.variable.get_or_insert(fresh),
            };
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        self.nodes.get_mut(at).map(|node| &mut node.bucket)
    }

    /// The route whose segments are these, literals before variables from the left. A node is seen at most once, and the
    /// depth is that of the policy's own paths.
    fn whole(&self, at: usize, mut segments: Split<'_, char>, rest: Rest<'_>) -> Option<Found<usize>> {
        let node = self.nodes.get(at)?;
        let Some(segment) = segments.next() else {
            return node.bucket.choose(rest);
        };
        let literal = node.literals.get(segment);
        literal.and_then(|&next| self.whole(next, segments.clone(), rest)).or_else(|| {
            let next = node.variable.filter(|_| !segment.is_empty())?;
            self.whole(next, segments, rest)
        })
    }

    /// The route with the most of the first segments.
    fn longest(&self, at: usize, mut segments: Split<'_, char>, rest: Rest<'_>) -> Option<Found<usize>> {
        let node = self.nodes.get(at)?;
        segments
            .next()
            .and_then(|segment| node.literals.get(segment))
            .and_then(|&next| self.longest(next, segments, rest))
            .or_else(|| node.bucket.choose(rest))
    }
}

impl Bucket {
    fn choose(&self, rest: Rest<'_>) -> Option<Found<usize>> {
        self.find(rest).map(|found| match found {
            Found::Route(candidate) => Found::Route(candidate.route),
            Found::Unclear => Found::Unclear,
        })
    }

    fn find(&self, rest: Rest<'_>) -> Option<Found<&Candidate>> {
        self.0.iter().find_map(|candidate| match candidate.takes(rest) {
            Takes::No => None,
            Takes::Unclear => Some(Found::Unclear),
            Takes::Yes => Some(Found::Route(candidate.as_ref())),
        })
    }

    fn finish(&mut self, clashes: &mut Clashes) {
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

    fn compare(&self, other: &Bucket, clashes: &mut Clashes) {
        for a in &self.0 {
            for b in &other.0 {
                a.compare(b, clashes);
            }
        }
    }

    /// The route that takes whatever comes here, if there is one.
    fn takes_all(&self) -> Option<usize> {
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

    fn rank(&self) -> (usize, bool) {
        (self.headers.len(), !self.methods.is_empty())
    }

    /// Notes a tie: the same rank, a method that both take, and no header on whose value they differ.
    fn compare(&self, other: &Self, clashes: &mut Clashes) {
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
struct Clashes {
    found: HashSet<Clash>,
    /// Under how many of its hosts a route is covered, and by which.
    covered: HashMap<usize, (usize, usize)>,
}

impl Clashes {
    /// Bounded: nobody reads more, and ten thousand equal routes would make fifty million pairs.
    fn add(&mut self, clash: Clash) {
        if self.found.len() < limits::ROUTE_CLASHES {
            self.found.insert(clash);
        }
    }

    fn cover(&mut self, candidate: &Candidate, by: usize) {
        let (hosts, last) = self.covered.entry(candidate.route).or_insert((0, by));
        *hosts = hosts.saturating_add(1);
        *last = by;
        if *hosts == candidate.hosts {
            self.add(Clash::Covered(candidate.route, by));
        }
    }

    /// In the order of the document.
    fn into_vec(self) -> Vec<Clash> {
        let mut found: Vec<Clash> = self.found.into_iter().collect();
        found.sort_unstable();
        found
    }
}
