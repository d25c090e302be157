//! Which route of ten thousand, at the price of ten? An index of hosts, and for each host of paths.

use core::str::Split;
use std::collections::HashMap;
use std::rc::Rc;

use regex_lite::Regex;

use super::bucket::{Bucket, Candidate, Clash, Clashes, Found, Rest};
use super::config::{Host, Match};
use super::path::{Pattern, Segment, disjoint};
use crate::http::Head;
use crate::limits;

/// The routes of a policy, by what a request shows.
#[derive(Debug, Default)]
pub struct Table {
    names: HashMap<Box<str>, Paths>,
    below: HashMap<Box<str>, Paths>,
    any: Paths,
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
