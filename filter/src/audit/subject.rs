//! May an event say who somebody is?

use std::rc::Rc;

use super::Subject;
use crate::document::Section;
use crate::document::outside::{ENV, variable};
use crate::limits;
use crate::redaction::{self, Redacted};
use crate::secret::Secret;

/// How subjects are written down.
#[derive(Debug, Default)]
pub enum Subjects {
    /// By name.
    #[default]
    Plain,
    /// By a hash under a key from the environment. It correlates, and it does not identify for whoever lacks the key: names of people and
    /// numbers of accounts are few enough to try them all against a hash that has none.
    Hashed {
        /// The variable that holds the key.
        variable: Rc<str>,
        /// `None` if it is missing or too short: then no subject is written down at all.
        key: Option<Secret<Vec<u8>>>,
    },
}

impl Subjects {
    /// Reads `subject` and `hashKey`.
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let hashed = match section.get("subject") {
            Some(field) => field.one_of(&[("Plain", false), ("Hashed", true)])?,
            None => false,
        };
        let key = section.get("hashKey");
        match (hashed, key) {
            (false, None) => Some(Self::Plain),
            (false, Some(field)) => {
                field.error("`hashKey` has no effect without `subject: Hashed`", "write both or neither");
                None
            }
            (true, None) => {
                section.error("`subject: Hashed` needs a key", "write `hashKey: {env: NAME}`");
                None
            }
            (true, Some(field)) => {
                let variable = variable(&field.section(&ENV)?.get("env")?)?;
                Some(Self::Hashed { variable, key: None })
            }
        }
    }

    /// Reads the key. That it is missing is no fault of the document (host fact H1).
    pub(super) fn resolve(&mut self, env: impl Fn(&str) -> Option<Vec<u8>>) {
        if let Self::Hashed { variable, key } = self {
            *key =
                env(variable).map(Secret::new).filter(|key| key.expose().len() >= limits::PEPPER_BYTES_MIN);
        }
    }

    /// The variable for lack of which no subject is written down, if so.
    pub fn without_key(&self) -> Option<&Rc<str>> {
        match self {
            Self::Hashed { variable, key: None } => Some(variable),
            _ => None,
        }
    }

    /// A subject, as it may be written down. `plain` is what redaction has left of it, which a hash does not need.
    pub fn shown(&self, subject: &str, plain: impl FnOnce() -> Redacted) -> Option<Subject> {
        match self {
            Self::Plain => Some(Subject::Plain(plain())),
            Self::Hashed { key: None, .. } => None,
            Self::Hashed { key: Some(key), .. } => {
                let mac = hmac_sha256::HMAC::mac(subject.as_bytes(), key.expose());
                Some(Subject::Hashed(redaction::digits(mac.first_chunk::<16>()?)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Subjects;
    use crate::audit::Subject;
    use crate::redaction::Rules;
    use crate::testing::test;

    /// RFC 4231 §4.3 has a shorter key; this one is made with `printf alice | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`.
    #[test]
    fn a_subject_is_hashed_under_the_key_or_left_out() {
        let redaction = Rules::default();
        let shown =
            |subjects: &Subjects, name: &str| match subjects.shown(name, || redaction.claim("sub", name)) {
                Some(Subject::Plain(text)) => format!("plain {}", text.as_str()),
                Some(Subject::Hashed(text)) => format!("hashed {}", text.as_str()),
                None => "nothing".to_owned(),
            };
        assert_eq!(shown(&Subjects::Plain, "alice"), "plain alice");
        let mut hashed = Subjects::Hashed { variable: "KEY".into(), key: None };
        assert_eq!(shown(&hashed, "alice"), "nothing");
        for short in [None, Some(b"0123456789abcdef0123456789abcde".to_vec())] {
            hashed.resolve(|_| short.clone());
            assert_eq!((shown(&hashed, "alice").as_str(), hashed.without_key().is_some()), ("nothing", true));
        }
        hashed.resolve(|_| Some(b"0123456789abcdef0123456789abcdef".to_vec()));
        assert_eq!(hashed.without_key(), None);
        assert_eq!(shown(&hashed, "alice"), "hashed 433deb45467e4e53dbaba594c88bc3a2");
        assert_ne!(shown(&hashed, "bob"), shown(&hashed, "alice"));
    }
}
