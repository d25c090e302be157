//! Which paths does a route ask for? The four kinds of pattern, each read once.

use regex_lite::Regex;

use crate::document::{Field, quoted};
use crate::http::Path;
use crate::http::path::PathFault;
use crate::limits;

/// The kinds, by the words of Gateway API and, for `Template`, of Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The whole path.
    Exact,
    /// Its first segments.
    PathPrefix,
    /// Segment by segment, some of them free.
    Template,
    /// The whole path against an expression.
    RegularExpression,
}

/// The words of the policy.
pub const KINDS: [(&str, Kind); 4] = [
    ("Exact", Kind::Exact),
    ("PathPrefix", Kind::PathPrefix),
    ("Template", Kind::Template),
    ("RegularExpression", Kind::RegularExpression),
];

/// A path pattern. Literals are percent-decoded, as the path of a request is when it is compared.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The whole path.
    Exact(Box<str>),
    /// Segment by segment.
    Template(Box<[Segment]>),
    /// The whole path must match. The text is as the user wrote it, without our anchors.
    Expression(Box<str>, Regex),
    /// The first segments, without the slashes; none takes every path.
    Prefix(Box<[Box<str>]>),
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text.
    Literal(Box<str>),
    /// Any text but none.
    Variable,
}

impl Pattern {
    /// What a route without `path` asks for; the same as the prefix `/`.
    pub fn everything() -> Self {
        Self::Prefix(Box::default())
    }

    /// Reads the `value` of a `kind`.
    pub fn read(kind: Kind, field: &Field<'_>) -> Option<Self> {
        let text = field.text()?;
        match kind {
            Kind::Exact => literal(field, text).map(|path| Self::Exact(path.into())),
            Kind::PathPrefix => prefix(field, text).map(Self::Prefix),
            Kind::Template => template(field, text).map(Self::Template),
            Kind::RegularExpression => {
                expression(field, text).map(|regex| Self::Expression(text.into(), regex))
            }
        }
    }
}

/// The path that `text` stands for. It must pass the rules that a request's path must pass, or no request could match.
fn literal(field: &Field<'_>, text: &str) -> Option<String> {
    if text.contains('?') {
        field.error(
            format!("{} has a query", quoted(text)),
            "a path is compared without its query: leave it out",
        );
        return None;
    }
    let problem = match Path::parse(text.as_bytes()) {
        Ok(path) if path.as_str().split('/').count() > limits::ROUTE_SEGMENTS.saturating_add(1) => {
            format!("more than {} segments", limits::ROUTE_SEGMENTS)
        }
        Ok(path) => return Some(path.as_str().to_owned()),
        Err(PathFault::Ambiguous(what)) => {
            format!("{what}, so every request for it is refused")
        }
        Err(PathFault::Invalid) if text.starts_with('/') => {
            "not a path: percent-encode what is no letter, digit or one of `-._~!$&'()*+,=:@`".to_owned()
        }
        Err(PathFault::Invalid) => {
            field.error(format!("{} does not begin with `/`", quoted(text)), "");
            return None;
        }
    };
    field.error(format!("{}: {problem}", quoted(text)), "");
    None
}

/// `/orders/` and `/orders` are one prefix, as in Gateway API.
fn prefix(field: &Field<'_>, text: &str) -> Option<Box<[Box<str>]>> {
    let path = literal(field, text)?;
    let bare = path.strip_suffix('/').unwrap_or(&path);
    Some(bare.split('/').skip(1).map(Box::from).collect())
}

fn template(field: &Field<'_>, text: &str) -> Option<Box<[Segment]>> {
    let mut names: Vec<&str> = Vec::new();
    let mut free = Vec::new();
    let mut plain = Vec::new();
    for segment in text.split('/') {
        let name = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'));
        if let Some(name) = name {
            if !is_variable(name) || names.contains(&name) {
                field.error(
                    format!("{} is not a variable of a template, or stands twice", quoted(segment)),
                    "letters, digits and `_` in braces, each name once: `/orders/{id}`",
                );
                return None;
            }
            names.push(name);
        } else if segment.contains(['{', '}']) {
            field.error(
                format!("{} is neither text nor a variable", quoted(segment)),
                "a variable is a whole segment: `/orders/{id}`",
            );
            return None;
        }
        free.push(name.is_some());
        // The rules for a path are asked of the text with something harmless in place of each variable.
        plain.push(if name.is_some() { "v" } else { segment });
    }
    if names.is_empty() {
        field.error("a template without a variable", "write `type: Exact`");
        return None;
    }
    let path = literal(field, &plain.join("/"))?;
    let segment = |(literal, free): (&str, bool)| {
        if free { Segment::Variable } else { Segment::Literal(literal.into()) }
    };
    Some(path.split('/').zip(free).skip(1).map(segment).collect())
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn expression(field: &Field<'_>, text: &str) -> Option<Regex> {
    if text.len() > limits::ROUTE_PATTERN_BYTES {
        field.error(format!("longer than {} bytes", limits::ROUTE_PATTERN_BYTES), "");
        return None;
    }
    let regex = field.pattern()?;
    if begins_without_slash(text) {
        field.error(
            format!("{}: every path begins with `/`, so the route can never match", quoted(text)),
            "the whole path must match; begin with `/` or `.*`",
        );
        return None;
    }
    Some(regex)
}

/// Whether it is plain that no path can match: the first character is a letter or a digit and nothing makes it optional.
fn begins_without_slash(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(char::is_alphanumeric);
    first && !text.contains('|') && !matches!(chars.next(), Some('?' | '*' | '{'))
}

/// Whether it is plain that no path matches both expressions: they begin with different literal text, or end with it.
/// `false` means that they might.
pub(super) fn disjoint(a: &str, b: &str) -> bool {
    let (Some(a), Some(b)) = (literal_start(a), literal_start(b)) else {
        return false;
    };
    !a.starts_with(b) && !b.starts_with(a)
}

/// The literal text with which every match begins, if the expression has no alternatives and no flags.
fn literal_start(text: &str) -> Option<&str> {
    if text.contains('|') || text.contains("(?") {
        return None;
    }
    let text = text.strip_prefix('^').unwrap_or(text);
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '/' | '-' | '_' | '~' | '@' | ':' | '%' | ' ')))
        .unwrap_or(text.len());
    let start = text.get(..end)?;
    // A quantifier behind the last character makes that character optional, or many.
    if matches!(text.get(end..)?.chars().next(), Some('?' | '*' | '+' | '{')) {
        let last = start.char_indices().next_back().map_or(0, |(at, _)| at);
        return start.get(..last);
    }
    Some(start)
}
