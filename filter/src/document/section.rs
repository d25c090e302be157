//! Which keys does a map of the document have, and which may it have?

use super::words::{join, listed};
use super::{Default, Field, Section, Shape, quoted, suggestion};
use crate::json::Json;
use crate::problem::Words;

impl<'d> Section<'d> {
    /// Opens a map: notes what is no map, every unknown key (with the nearest known one), every doubled key, every required key that is
    /// missing.
    #[inline(never)]
    pub fn open(field: &Field<'d>, shape: &'static Shape) -> Option<Self> {
        let Json::Map(fields) = field.value else {
            field.expected("a map");
            return None;
        };
        let section = Self { place: field.place.clone(), shape, fields, problems: field.problems };
        let mut seen: Vec<&str> = Vec::with_capacity(fields.len().min(shape.keys.len()));
        for (name, _) in fields {
            section.admit(name, &seen);
            if shape.keys.iter().any(|key| key.name == name) && !seen.contains(&name.as_str()) {
                seen.push(name);
            }
        }
        for key in shape.keys.iter().filter(|key| key.default == Default::Required) {
            let in_a_file = key.name == "env" && section.names_a_file();
            if !seen.contains(&key.name) && !in_a_file {
                section.error(format!("`{}` is missing", key.name), format!("{}: {}", key.kind, key.about));
            }
        }
        Some(section)
    }

    #[inline(never)]
    fn admit(&self, name: &str, seen: &[&str]) {
        if seen.contains(&name) {
            self.problems.error(&join(&self.place, name), "the key stands twice", "keep one of them");
            return;
        }
        let known: Vec<&str> = self.shape.keys.iter().map(|key| key.name).collect();
        if name == "file" && self.names_a_file() {
            // The proxy's sandbox has no files. Told as an unknown key, it would look like a mistake in spelling.
            let help = "write `{env: NAME}`, and start the proxy with the file's content in that variable: `NAME=\"$(cat FILE)\"`, and NAME in \
                        `host_env_keys`; `{file: …}` is for `portcullis check` alone";
            self.problems.error(&self.place, "a file is out of the filter's reach", help);
        } else if !known.contains(&name) {
            let help = suggestion(name, &known).unwrap_or_else(|| format!("known here: {}", listed(&known)));
            self.problems.error(&self.place, format!("unknown field {}", quoted(name)), help);
        }
    }

    /// Whether a file stands where a variable of the environment could.
    #[inline(never)]
    fn names_a_file(&self) -> bool {
        let takes = |name| self.shape.keys.iter().any(|key| key.name == name);
        takes("env") && !takes("file") && self.has("file")
    }

    /// The value under `key`, if it is there. `key` must be one of the shape's.
    #[inline(never)]
    pub fn get(&self, key: &'static str) -> Option<Field<'d>> {
        debug_assert!(self.shape.keys.iter().any(|k| k.name == key), "{} has no key {key}", self.shape.name);
        let (_, value) = self.fields.iter().find(|(name, _)| name == key)?;
        Some(Field { place: join(&self.place, key), value, problems: self.problems })
    }

    /// Whether the key is there.
    #[inline(never)]
    pub fn has(&self, key: &'static str) -> bool {
        self.fields.iter().any(|(name, _)| name == key)
    }

    /// Which of the shape's keys are there, once each.
    #[inline(never)]
    pub fn present(&self) -> Vec<&'static str> {
        self.shape
            .keys
            .iter()
            .map(|key| key.name)
            .filter(|name| self.fields.iter().any(|(n, _)| n == name))
            .collect()
    }

    /// Where the section stands.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Notes an error of the section as a whole.
    pub fn error(&self, message: impl Into<Words>, help: impl Into<Words>) {
        self.problems.error(&self.place, message, help);
    }

    /// Notes a warning on the section as a whole.
    pub fn warn(&self, message: impl Into<Words>, help: impl Into<Words>) {
        self.problems.warn(&self.place, message, help);
    }
}
