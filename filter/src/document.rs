//! How is a policy document read? Section by section against a [`Shape`], every problem noted, none of them the last.
//!
//! A guard declares the [`Shape`] of its section (which is also its page in the reference), opens it with
//! [`Section::open`], and asks for its keys. Opening reports unknown and doubled keys at once.
//!
//! Documents are read once in a worker's life and their readers call these methods from hundreds of places: each stays one function
//! (`inline(never)`), since copies of it are bytes that every proxy compiles when it starts.

mod networks;
pub mod outside;
mod section;
mod shape;
mod words;

use core::ops::RangeInclusive;

use std::rc::Rc;

use regex_lite::{Regex, RegexBuilder};

use crate::json::Json;
use crate::problem::{Problems, Words};
use crate::time::Timestamp;
use crate::{http, limits};

pub use shape::{Default, Key, Shape, in_reference};
use words::{listed, show_duration};
pub use words::{quoted, suggestion};

/// A value in the document and the place where it stands.
#[derive(Clone, Debug)]
pub struct Field<'d> {
    /// `routes[2].match.path`
    pub place: String,
    /// What stands there.
    pub value: &'d Json,
    problems: &'d Problems,
}

/// A map in the document, opened against its shape.
#[derive(Debug)]
pub struct Section<'d> {
    place: String,
    shape: &'static Shape,
    fields: &'d [(String, Json)],
    problems: &'d Problems,
}

impl<'d> Field<'d> {
    /// The document as a whole.
    pub fn root(value: &'d Json, problems: &'d Problems) -> Self {
        Self { place: String::new(), value, problems }
    }

    /// A value that stands at `place`, for a reader of one section alone.
    pub fn at(place: &str, value: &'d Json, problems: &'d Problems) -> Self {
        Self { place: place.to_owned(), value, problems }
    }

    /// Notes an error here.
    pub fn error(&self, message: impl Into<Words>, help: impl Into<Words>) {
        self.problems.error(&self.place, message, help);
    }

    /// Notes a warning here.
    pub fn warn(&self, message: impl Into<Words>, help: impl Into<Words>) {
        self.problems.warn(&self.place, message, help);
    }

    #[inline(never)]
    fn expected(&self, what: &str) {
        // YAML 1.1, which Envoy and many tools read, knows eleven ways to write a boolean.
        let boolean = matches!(self.value, Json::Bool(_)) && what.contains("string");
        let help = if boolean {
            "YAML reads words like `n`, `no` and `off` as booleans: write it in quotes"
        } else {
            ""
        };
        self.error(format!("expected {what}, found {}", self.value.kind()), help);
    }

    /// A string, not empty.
    #[inline(never)]
    pub fn text(&self) -> Option<&'d str> {
        match self.value {
            Json::Text(text) if text.is_empty() => {
                self.error("an empty string", "write a value or leave the key out");
                None
            }
            Json::Text(text) => Some(text),
            _ => {
                self.expected("a string");
                None
            }
        }
    }

    /// A name: 1 to [`limits::NAME_CHARS`] letters, digits, dots, underscores and hyphens, so that it can stand in any log
    /// line, header or metric as it is.
    #[inline(never)]
    pub fn name(&self) -> Option<&'d str> {
        let text = self.text()?;
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.len() <= limits::NAME_CHARS && text.bytes().all(good) {
            return Some(text);
        }
        self.error(
            format!("{} is not a name", quoted(text)),
            format!("1 to {} letters, digits, `.`, `_` and `-`", limits::NAME_CHARS),
        );
        None
    }

    /// `true` or `false`.
    #[inline(never)]
    pub fn boolean(&self) -> Option<bool> {
        if let Json::Bool(value) = self.value {
            return Some(*value);
        }
        self.expected("`true` or `false`");
        None
    }

    /// A whole number within `range`. A `Struct` carries every number as a double, so `5.0` is five and `5.5` is refused.
    #[inline(never)]
    pub fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let number = match *self.value {
            Json::Integer(value) => u64::try_from(value).ok(),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, positive and below 2^53"
            )]
            Json::Number(value)
                if value.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&value) =>
            {
                Some(value as u64)
            }
            Json::Number(_) => None,
            _ => {
                self.expected("a whole number");
                return None;
            }
        };
        let within = number.filter(|n| range.contains(n));
        if within.is_none() {
            let message = format!("expected a whole number from {} to {}", range.start(), range.end());
            self.error(message, "");
        }
        within
    }

    /// A number within `range`, fractions allowed.
    #[inline(never)]
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match *self.value {
            #[expect(clippy::cast_precision_loss, reason = "bounded by `range`")]
            Json::Integer(value) => value as f64,
            Json::Number(value) => value,
            _ => {
                self.expected("a number");
                return None;
            }
        };
        if range.contains(&number) {
            return Some(number);
        }
        self.error(format!("expected a number from {} to {}", range.start(), range.end()), "");
        None
    }

    /// One of a few words.
    pub fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        // Where `Off` is a word, YAML's `false` for it is no mistake of the writer's.
        let text = if *self.value == Json::Bool(false) && words.iter().any(|(word, _)| *word == "Off") {
            "Off"
        } else {
            self.text()?
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("unknown value {}", quoted(text));
        self.error(message, suggestion(text, &known).unwrap_or_else(|| format!("one of {}", listed(&known))));
        None
    }

    /// A duration with a unit (`250ms`, `30s`, `5m`, `1h`, `1d`) within `range`, in nanoseconds.
    #[inline(never)]
    pub fn duration(&self, range: RangeInclusive<u64>) -> Option<u64> {
        const UNITS: [(&str, u64); 5] = [
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
            ("d", 86_400_000_000_000),
        ];
        self.with_unit(&UNITS, "a duration such as `30s`, `250ms` or `1h`", range, show_duration)
    }

    /// A point in time, as [`Timestamp::parse`] reads it.
    #[inline(never)]
    pub fn timestamp(&self) -> Option<Timestamp> {
        let text = self.text()?;
        let time = Timestamp::parse(text);
        if time.is_none() {
            let help =
                "RFC 3339 with seconds and a zone: `2026-01-31T00:00:00Z`, `2026-01-31T01:00:00+01:00`";
            self.error(format!("{} is not a point in time", quoted(text)), help);
        }
        time
    }

    /// A size with a unit (`64Ki`, `1Mi`, `512B`) within `range`, in bytes.
    #[inline(never)]
    pub fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        const UNITS: [(&str, u64); 6] =
            [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1000), ("M", 1_000_000), ("B", 1)];
        self.with_unit(&UNITS, "a size such as `64Ki` or `1Mi`", range, |bytes| format!("{bytes}B"))
    }

    #[inline(never)]
    fn with_unit(
        &self,
        units: &[(&str, u64)],
        what: &str,
        range: RangeInclusive<u64>,
        show: fn(u64) -> String,
    ) -> Option<u64> {
        let Json::Text(text) = self.value else {
            self.error(
                format!("expected {what}, found {}", self.value.kind()),
                "write it as a string with its unit",
            );
            return None;
        };
        let parsed = units.iter().find_map(|(unit, scale)| {
            let digits = text.strip_suffix(unit)?;
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()?.checked_mul(*scale))?
        });
        match parsed {
            None => self.error(format!("expected {what}, found {}", quoted(text)), ""),
            Some(value) if !range.contains(&value) => {
                self.error(format!("expected {} to {}", show(*range.start()), show(*range.end())), "");
            }
            Some(value) => return Some(value),
        }
        None
    }

    /// The elements of a list, each with its place. An empty list is an error.
    #[inline(never)]
    pub fn list(&self) -> Option<Vec<Field<'d>>> {
        let Json::List(list) = self.value else {
            self.expected("a list");
            return None;
        };
        if list.is_empty() {
            self.error("an empty list", "write at least one element or leave the key out");
            return None;
        }
        let at = |(index, value): (usize, &'d Json)| Field {
            place: format!("{}[{index}]", self.place),
            value,
            problems: self.problems,
        };
        Some(list.iter().enumerate().map(at).collect())
    }

    /// The same of at most [`limits::POLICY_LIST`] elements, each of which is compared with those before it.
    #[inline(never)]
    pub fn short_list(&self) -> Option<Vec<Field<'d>>> {
        match self.value {
            Json::List(list) if list.len() > limits::POLICY_LIST => {
                self.error(
                    format!("{} elements, at most {} are possible", list.len(), limits::POLICY_LIST),
                    "",
                );
                None
            }
            _ => self.list(),
        }
    }

    /// A list of strings, none of them empty or doubled. What is wrong is noted and left out.
    #[inline(never)]
    pub fn texts(&self) -> Option<Vec<&'d str>> {
        let mut texts = Vec::new();
        for element in self.short_list()? {
            let Some(text) = element.text() else { continue };
            if texts.contains(&text) {
                element.error(format!("{} stands twice", quoted(text)), "");
            } else {
                texts.push(text);
            }
        }
        Some(texts)
    }

    /// A header name, in lower case. Pseudo headers are not header names.
    #[inline(never)]
    pub fn header_name(&self) -> Option<Rc<str>> {
        let name = self.text()?.to_ascii_lowercase();
        if http::is_field_name(&name) {
            return Some(name.into());
        }
        self.error(format!("{} is not a header name", quoted(&name)), "letters, digits and dashes");
        None
    }

    /// A list of header names, in lower case, none doubled.
    #[inline(never)]
    pub fn header_names(&self) -> Option<Vec<Rc<str>>> {
        let mut names: Vec<Rc<str>> = Vec::new();
        for element in self.short_list()? {
            let Some(name) = element.header_name() else {
                continue;
            };
            if names.contains(&name) {
                element.error(format!("{} stands twice", quoted(&name)), "");
            } else {
                names.push(name);
            }
        }
        Some(names)
    }

    /// A regular expression that matches a whole text, never a part of it.
    #[inline(never)]
    pub fn pattern(&self) -> Option<Regex> {
        let text = self.text()?;
        // The bare pattern is compiled first: `a)|(b` is refused here and cannot break out of the group below.
        let whole = RegexBuilder::new(text).size_limit(limits::PATTERN_BYTES).build().and_then(|_| {
            RegexBuilder::new(&format!("^(?:{text})$")).size_limit(limits::PATTERN_BYTES).build()
        });
        whole.map_err(|error| self.error(format!("not a regular expression: {error}"), "")).ok()
    }

    /// The map, opened against `shape`.
    #[inline(never)]
    pub fn section(&self, shape: &'static Shape) -> Option<Section<'d>> {
        Section::open(self, shape)
    }
}
