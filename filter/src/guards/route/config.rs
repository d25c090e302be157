//! Which requests does a route ask for? `match`, as a user writes it.

use super::path::{self, Pattern};
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::http::{self, Authority};

/// `routes[].match`
pub static MATCH: Shape = Shape::new(
    "routes[].match",
    "Which requests the route takes. All that stands here must hold; `{}` takes every request. The most specific \
            route decides, whatever the order: first by host (a name, then the longer wildcard, then none), then by path \
            (`Exact`, `Template`, `RegularExpression`, `PathPrefix`), then by the number of headers, then methods named over \
            methods left out. Two routes that could both take one request are an error, and so is a route that no request can \
            reach.",
    &[
        Key::new(
            "hosts",
            "list of strings",
            Default::Is("every host"),
            "Host names without port. `*.shop.example` takes every name below `shop.example`, at any depth, and not \
             `shop.example` itself.",
        ),
        Key::new("path", "map", Default::Is("every path"), "The path, percent-decoded once, without query.")
            .nested(&PATH),
        Key::new(
            "methods",
            "list of strings",
            Default::Is("every method"),
            "HTTP methods. `HEAD` is not `GET`: name both to take both.",
        ),
        Key::new("headers", "list of maps", Default::Is("none"), "Header fields that must be there.")
            .nested(&HEADER),
    ],
);

static PATH: Shape = Shape::new(
    "routes[].match.path",
    "How a path is compared: byte for byte, case included.",
    &[
        Key::new(
            "type",
            "`Exact`, `PathPrefix`, `Template` or `RegularExpression`",
            Default::Required,
            "`Exact`: this path. `PathPrefix`: this path and all below it, by whole segments: `/metrics` takes `/metrics` \
             and `/metrics/x`, never `/metrics-private`. `Template`: `/orders/{id}`, where a name in braces stands for one \
             segment that is not empty. `RegularExpression`: the whole path must match.",
        ),
        Key::new(
            "value",
            "string",
            Default::Required,
            "Begins with `/`. At most 64 segments; a regular expression has at most 512 bytes, and at most 64 routes may have \
             one.",
        ),
    ],
);

static HEADER: Shape = Shape::new(
    "routes[].match.headers[]",
    "A header field that must be there once, with this value. A request that says this value beside another, or under a name that \
            passes for this one (`x_a` for `x-a`), is `404`: it goes to no less specific route.",
    &[
        Key::new("name", "string", Default::Required, "The field's name, in any case."),
        Key::new("value", "string", Default::Required, "The whole value, byte for byte."),
    ],
);

/// What a route asks of a request.
#[derive(Clone, Debug)]
pub struct Match {
    /// Any of them; empty: every host.
    pub hosts: Vec<Host>,
    /// How the path is compared.
    pub path: Pattern,
    /// Any of them; empty: every method.
    pub methods: Vec<Box<str>>,
    /// All of them: lower-case name and value, each name once.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

/// A host as a route names it, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// This name or address.
    Exact(Box<str>),
    /// Every name below this one.
    Below(Box<str>),
}

/// Reads a `match`. `None` if a part of it was wrong, which is then noted.
pub fn read(field: &Field<'_>) -> Option<Match> {
    let section = field.section(&MATCH)?;
    let hosts = optional(&section, "hosts", hosts);
    let path = section.get("path").map_or(Some(Pattern::everything()), |field| read_path(&field));
    let methods = optional(&section, "methods", methods);
    let headers = optional(&section, "headers", headers);
    Some(Match { hosts: hosts?, path: path?, methods: methods?, headers: headers? })
}

fn optional<T>(
    section: &Section<'_>,
    key: &'static str,
    read: fn(&Field<'_>) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    section.get(key).map_or(Some(Vec::new()), |field| read(&field))
}

/// Reads every element; one that is wrong spoils the list.
fn each<'d, T>(field: &Field<'d>, read: impl Fn(&Field<'d>, &[T]) -> Option<T>) -> Option<Vec<T>> {
    let mut whole = true;
    let mut out = Vec::new();
    for element in field.short_list()? {
        match read(&element, &out) {
            Some(value) => out.push(value),
            None => whole = false,
        }
    }
    whole.then_some(out)
}

fn hosts(field: &Field<'_>) -> Option<Vec<Host>> {
    each(field, |element, known| {
        let host = host(element)?;
        if known.contains(&host) {
            element.error("the host stands twice", "keep one of them");
            return None;
        }
        Some(host)
    })
}

fn host(field: &Field<'_>) -> Option<Host> {
    let text = field.text()?;
    if text == "*" {
        field.error("`*` is not a host", "leave `hosts` out to take every host");
        return None;
    }
    let (name, below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text, false),
    };
    let Ok(authority) = Authority::parse(name.as_bytes()) else {
        field.error(
            format!("{} is not a host", quoted(text)),
            "a name such as `api.example.com`, or `*.shop.example` for every name below it",
        );
        return None;
    };
    let bare = if name.starts_with('[') { name.ends_with(']') } else { !name.contains(':') };
    if !bare {
        field.error(
            format!("{} names a port", quoted(text)),
            "write the host alone: a route takes every port",
        );
        return None;
    }
    let name: Box<str> = authority.as_str().into();
    if below && !is_domain(&name) {
        field.error(format!("{}: an address has nothing below it", quoted(text)), "write the address itself");
        return None;
    }
    Some(if below { Host::Below(name) } else { Host::Exact(name) })
}

/// Whether names can stand below it: the last label of a name is never a number (RFC 3696 §2).
fn is_domain(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    !name.starts_with('[') && !last.bytes().all(|b| b.is_ascii_digit())
}

fn read_path(field: &Field<'_>) -> Option<Pattern> {
    let section = field.section(&PATH)?;
    let kind = section.get("type").and_then(|kind| kind.one_of(&path::KINDS));
    let value = section.get("value");
    Pattern::read(kind?, &value?)
}

fn methods(field: &Field<'_>) -> Option<Vec<Box<str>>> {
    each(field, |element, known: &[Box<str>]| {
        let method = element.text()?;
        if !method.bytes().all(http::is_token_byte) {
            element.error(format!("{} is not a method", quoted(method)), "such as `GET`");
            return None;
        }
        let upper = method.to_ascii_uppercase();
        if upper != method {
            element.error(
                format!("{}: a method is compared as it is written", quoted(method)),
                format!("did you mean {}?", quoted(&upper)),
            );
            return None;
        }
        if known.iter().any(|known| **known == *method) {
            element.error(format!("{} stands twice", quoted(method)), "");
            return None;
        }
        Some(method.into())
    })
}

fn headers(field: &Field<'_>) -> Option<Vec<(Box<str>, Box<str>)>> {
    each(field, |element, known: &[(Box<str>, Box<str>)]| {
        let section = element.section(&HEADER)?;
        let name = section.get("name").and_then(|name| header_name(&name));
        let value = section.get("value").and_then(|value| header_value(&value));
        let (name, value) = (name?, value?);
        if known.iter().any(|(known, _)| *known == name) {
            element.error(
                format!("{} stands twice, so the route can never match", quoted(&name)),
                "a field must be there once, with one value",
            );
            return None;
        }
        Some((name, value))
    })
}

fn header_name(field: &Field<'_>) -> Option<Box<str>> {
    let name = field.text()?.to_ascii_lowercase();
    if !http::is_field_name(&name) {
        let help = if name.starts_with(':') {
            "use `hosts`, `path` and `methods` for what is in a request line"
        } else {
            ""
        };
        field.error(format!("{} is not a header name", quoted(&name)), help);
        return None;
    }
    if name == "host" {
        field.error("`host` is no header here, so the route can never match", "use `hosts`");
        return None;
    }
    Some(name.into())
}

fn header_value(field: &Field<'_>) -> Option<Box<str>> {
    let value = field.text()?;
    let plain = http::is_field_value(value.as_bytes()) && http::trim(value.as_bytes()) == value.as_bytes();
    if !plain {
        field.error(
            "no header has this value, so the route can never match",
            "no control characters, and no blank at either end",
        );
        return None;
    }
    Some(value.into())
}
