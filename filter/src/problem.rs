//! Every way a policy can be wrong: where, what, and what to write instead.

use core::fmt;
use std::cell::RefCell;

use crate::limits;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document is taken; a reader should know.
    Warning,
    /// The document is refused whole.
    Error,
}

/// One fault of a policy document, written for the person who wrote the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the document can be taken all the same.
    pub severity: Severity,
    /// Where, in the document's own words: `routes[2].match.path`. Empty for the document as a whole.
    pub place: String,
    /// What is wrong: lower case, no full stop, their words in backticks. Never the value of a secret.
    pub message: String,
    /// What to write instead; may be empty where the message says it all.
    pub help: String,
}

/// `routes[1].jwt: unknown field `isuer` · help: did you mean `issuer`?`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)?;
        if !self.help.is_empty() {
            write!(f, " · help: {}", self.help)?;
        }
        Ok(())
    }
}

/// The problems of one document, collected while it is read: a reader never stops at the first.
#[derive(Debug, Default)]
pub struct Problems {
    found: RefCell<Vec<Problem>>,
}

impl Problems {
    /// Starts with none.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes one; beyond [`limits::PROBLEMS`] it is dropped, which `is_fatal` does not forget since the first were kept.
    pub fn note(&self, severity: Severity, place: &str, message: impl Into<String>, help: impl Into<String>) {
        let mut found = self.found.borrow_mut();
        let known = found.iter().filter(|p| p.severity == severity).count();
        if known < limits::PROBLEMS {
            found.push(Problem {
                severity,
                place: place.to_owned(),
                message: message.into(),
                help: help.into(),
            });
        }
    }

    /// Notes an error at `place`.
    pub fn error(&self, place: &str, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, place, message, help);
    }

    /// Notes a warning at `place`.
    pub fn warn(&self, place: &str, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, place, message, help);
    }

    /// Whether one of them refuses the document.
    pub fn is_fatal(&self) -> bool {
        self.found.borrow().iter().any(|p| p.severity == Severity::Error)
    }

    /// All of them, in the order in which they were found.
    pub fn into_vec(self) -> Vec<Problem> {
        self.found.into_inner()
    }
}
