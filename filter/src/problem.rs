//! Every way a policy can be wrong: where, what, and what to write instead.

use core::fmt;
use std::borrow::Cow;
use std::cell::RefCell;

use crate::limits;

/// Words for a person. Most of them are known when the gateway is compiled, and are no more than a pointer at the places that say them.
pub type Words = Cow<'static, str>;

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
    pub message: Words,
    /// What to write instead; may be empty where the message says it all.
    pub help: Words,
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
    #[cold]
    #[inline(never)]
    pub fn note(&self, severity: Severity, place: &str, message: Words, help: Words) {
        let mut found = self.found.borrow_mut();
        let known = found.iter().filter(|p| p.severity == severity).count();
        if known < limits::PROBLEMS {
            found.push(Problem { severity, place: place.to_owned(), message, help });
        }
    }

    /// Notes an error at `place`.
    pub fn error(&self, place: &str, message: impl Into<Words>, help: impl Into<Words>) {
        self.note(Severity::Error, place, message.into(), help.into());
    }

    /// Notes a warning at `place`.
    pub fn warn(&self, place: &str, message: impl Into<Words>, help: impl Into<Words>) {
        self.note(Severity::Warning, place, message.into(), help.into());
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
