//! What does a user write under `request`?

use std::rc::Rc;

use super::{Limits, RequiredHeader};
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::guards::body;
use crate::{http, limits};

/// The `request` section.
pub static REQUEST: Shape = Shape::new(
    "request",
    "What a request may look like. The section stands in `defaults` or on a route, where it replaces the one of \
            `defaults` whole; a key that is left out has its default.",
    &[
        Key::new(
            "methods",
            "list of strings",
            Default::Is("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            "Methods that may come; any other is 405 with `Allow`.",
        ),
        Key::new(
            "maxPathBytes",
            "size",
            Default::Is("4Ki"),
            "Bytes of the path without query, at most `8Ki`; more is 414.",
        ),
        Key::new("maxQueryBytes", "size", Default::Is("8Ki"), "Bytes of the query; more is 414."),
        Key::new(
            "maxHeaders",
            "integer",
            Default::Is("64"),
            "Header fields, pseudo headers not counted; more is 431. The proxy's own limit (100 in Envoy) comes first.",
        ),
        Key::new(
            "maxHeaderBytes",
            "size",
            Default::Is("16Ki"),
            "Bytes of all names and values together; more is 431.",
        ),
        Key::new(
            "requiredHeaders",
            "list of maps",
            Default::Is("none"),
            "Headers that must be there, once each; else 400.",
        )
        .nested(&REQUIRED_HEADER),
        Key::new(
            "forbiddenHeaders",
            "list of strings",
            Default::Is("none"),
            "Headers that refuse a request (400). `x_a` passes for `x-a`, since some upstreams read them as one.",
        ),
        Key::new(
            "stripHeaders",
            "list of strings",
            Default::Is("none"),
            "Headers that are taken off before the upstream sees the request, in either spelling.",
        ),
        Key::new("body", "map", Default::Is("the defaults of its keys"), "What the body may be.")
            .nested(&body::BODY),
    ],
);

static REQUIRED_HEADER: Shape = Shape::new(
    "request.requiredHeaders[]",
    "A header that a request must carry exactly once.",
    &[
        Key::new("name", "string", Default::Required, "The header's name; case does not matter."),
        Key::new(
            "pattern",
            "regular expression",
            Default::Is("any value"),
            "Must match the whole value. A value that is not UTF-8 never matches.",
        ),
    ],
);

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl core::default::Default for Limits {
    fn default() -> Self {
        Self {
            methods: METHODS.map(str::to_owned).to_vec(),
            allow: METHODS.join(", ").into(),
            path_bytes: 4 << 10,
            query_bytes: 8 << 10,
            headers: 64,
            header_bytes: 16 << 10,
            required: Vec::new(),
            forbidden: Vec::new(),
            stripped: Vec::new(),
        }
    }
}

/// Reads the section.
pub fn read(field: &Field<'_>) -> Option<(Limits, body::Rules)> {
    let section = field.section(&REQUEST)?;
    let mut rules = Limits::default();
    if let Some(methods) = section.get("methods") {
        rules.methods = read_methods(&methods);
        rules.allow = rules.methods.join(", ").into();
    }
    let target = limits::TARGET_BYTES as u64;
    set(
        &mut rules.path_bytes,
        section.get("maxPathBytes").and_then(|f| f.size(1..=limits::PATH_BYTES as u64)),
    );
    set(&mut rules.query_bytes, section.get("maxQueryBytes").and_then(|f| f.size(0..=target)));
    set(&mut rules.headers, section.get("maxHeaders").and_then(|f| f.integer(1..=limits::HEADERS as u64)));
    set(
        &mut rules.header_bytes,
        section.get("maxHeaderBytes").and_then(|f| f.size(1..=limits::HEADER_BYTES as u64)),
    );
    rules.required = read_required(&section);
    rules.forbidden = names(section.get("forbiddenHeaders"));
    rules.stripped = names(section.get("stripHeaders"));
    for name in rules.required.iter().map(|header| &header.name) {
        if rules.forbidden.contains(name) {
            section.error(format!("{} is required and forbidden", quoted(name)), "keep one of the two");
        }
    }
    let body = section.get("body").and_then(|field| body::read(&field)).unwrap_or_default();
    Some((rules, body))
}

fn set(slot: &mut u64, value: Option<u64>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn read_methods(field: &Field<'_>) -> Vec<String> {
    let methods = field.texts().unwrap_or_default();
    for method in &methods {
        if !method.bytes().all(|b| http::is_token_byte(b) && !b.is_ascii_lowercase()) {
            field.error(
                format!("{} is not a method", quoted(method)),
                "methods are written in upper case: `GET`",
            );
        } else if *method == "CONNECT" || *method == "TRACE" {
            let help =
                "CONNECT has no path to judge; TRACE sends headers back to the client (RFC 9110 §9.3.8)";
            field.error(format!("{} cannot be allowed", quoted(method)), help);
        }
    }
    methods.into_iter().map(str::to_owned).collect()
}

fn read_required(section: &Section<'_>) -> Vec<RequiredHeader> {
    let Some(list) = section.get("requiredHeaders").and_then(|field| field.list()) else {
        return Vec::new();
    };
    list.iter().filter_map(read_required_header).collect()
}

fn read_required_header(field: &Field<'_>) -> Option<RequiredHeader> {
    let section = field.section(&REQUIRED_HEADER)?;
    let pattern = section.get("pattern").map(|field| field.pattern());
    let name = section.get("name").and_then(|field| field.header_name())?;
    match pattern {
        Some(None) => None,
        Some(pattern) => Some(RequiredHeader { name, pattern }),
        None => Some(RequiredHeader { name, pattern: None }),
    }
}

fn names(field: Option<Field<'_>>) -> Vec<Rc<str>> {
    field.and_then(|field| field.header_names()).unwrap_or_default()
}
