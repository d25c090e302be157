//! JSON as a small tree: bounded, and with every key as it was written.
//!
//! `serde_json::Value` keeps the last of two equal keys in silence, so that two readers of one token can see two
//! different claims. This tree keeps both, and [`Bounds::duplicates`] says whether that is a fault.

use core::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. Maps keep order and duplicates.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction or exponent that fits.
    Integer(i64),
    /// Any other number; always finite.
    Number(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object.
    Map(Vec<(String, Json)>),
}

/// What a parser accepts.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many arrays and objects may be open at once.
    pub depth: usize,
    /// How many values there may be in all.
    pub values: usize,
    /// Whether an object may hold a key twice.
    pub duplicates: Duplicates,
}

/// What to do with a key that stands twice in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// RFC 7515 §4 and RFC 7519 §4: "must be unique", or the parser takes the last. We take the first half.
    Refuse,
    /// Kept, for a reader that reports each.
    Keep,
}

impl Json {
    /// Reads one JSON text, all of it.
    pub fn parse(text: &[u8], bounds: Bounds) -> Result<Json, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let value = Json::read(&mut deserializer, bounds)?;
        deserializer.end()?;
        Ok(value)
    }

    /// Reads a value out of any self-describing format; the command line reads YAML this way.
    pub fn read<'de, D: Deserializer<'de>>(deserializer: D, bounds: Bounds) -> Result<Json, D::Error> {
        let mut left = bounds.values;
        Seed { depth: bounds.depth, left: &mut left, duplicates: bounds.duplicates }.deserialize(deserializer)
    }

    /// The value under `key`, the first if there are several; `None` if this is no map.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Map(fields) => fields.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// About how many bytes it takes, itself and what it holds. Recursion is bounded by what bounded the parser.
    pub fn weight(&self) -> usize {
        let below = match self {
            Json::Text(text) => text.capacity(),
            Json::List(list) => list.iter().map(Json::weight).fold(0, usize::saturating_add),
            Json::Map(fields) => {
                let field = |(name, value): &(String, Json)| {
                    size_of::<String>().saturating_add(name.capacity()).saturating_add(value.weight())
                };
                fields.iter().map(field).fold(0, usize::saturating_add)
            }
            Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Number(_) => 0,
        };
        // A piece of memory of its own costs the allocator's head and, on the average, half of what it is rounded up to.
        below.saturating_add(size_of::<Json>()).saturating_add(8)
    }

    /// What a person would call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Integer(_) | Json::Number(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Map(_) => "a map",
        }
    }
}

struct Seed<'b> {
    depth: usize,
    left: &'b mut usize,
    duplicates: Duplicates,
}

impl Seed<'_> {
    fn deeper<E: de::Error>(&mut self) -> Result<usize, E> {
        self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))
    }

    fn nested(&mut self, depth: usize) -> Seed<'_> {
        Seed { depth, left: self.left, duplicates: self.duplicates }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| de::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_none<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "beyond 2^63 a number is a magnitude, as in every JSON reader"
        )]
        Ok(i64::try_from(value).map_or(Json::Number(value as f64), Json::Integer))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Json, E> {
        if value.is_finite() {
            Ok(Json::Number(value))
        } else {
            Err(E::custom("a number that is not finite"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Json, A::Error> {
        let depth = self.deeper()?;
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(self.nested(depth))? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Json, A::Error> {
        let depth = self.deeper()?;
        let mut fields: Vec<(String, Json)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.nested(depth))?;
            fields.push((key, value));
        }
        if self.duplicates == Duplicates::Refuse && has_duplicate(&fields) {
            return Err(de::Error::custom("a key stands twice"));
        }
        Ok(Json::Map(fields))
    }
}

/// Sorts references, so that an object of many keys costs n log n and not n².
fn has_duplicate(fields: &[(String, Json)]) -> bool {
    if let [(a, _), (b, _)] = fields {
        return a == b;
    }
    let mut keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

/// The canonical text: keys sorted, no blanks, integers without fraction. Equal documents in JSON, YAML and `Struct` have
/// equal text, so that one digest names them all.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => value.fmt(f),
            Json::Integer(value) => value.fmt(f),
            Json::Number(value) => value.fmt(f),
            Json::Text(text) => write_text(f, text),
            Json::List(list) => {
                f.write_str("[")?;
                for (index, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Json::Map(fields) => {
                let mut sorted: Vec<&(String, Json)> = fields.iter().collect();
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
                f.write_str("{")?;
                for (index, (key, value)) in sorted.into_iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    write_text(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        let bounds = Bounds {
            depth: crate::limits::POLICY_DEPTH,
            values: crate::limits::POLICY_VALUES,
            duplicates: Duplicates::Keep,
        };
        Json::read(deserializer, bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Duplicates, Json};
    use crate::testing::test;

    const TIGHT: Bounds = Bounds { depth: 3, values: 8, duplicates: Duplicates::Refuse };

    #[test]
    fn what_is_refused() {
        for (text, fault) in [
            (r#"{"a":1,"a":2}"#, "a key stands twice"),
            (r#"{"b":1,"a":2,"c":{"x":0,"y":0,"x":0}}"#, "a key stands twice"),
            (r#"{"a":1,"\u0061":2}"#, "a key stands twice"),
            ("[[[[1]]]]", "nested too deep"),
            ("[1,2,3,4,5,6,7,8]", "too many values"),
            ("{} {}", "trailing characters"),
            ("{\"a\":\"\u{0}\"}", "control character"),
            ("1e999", "number out of range"),
            ("", "EOF"),
        ] {
            let error = Json::parse(text.as_bytes(), TIGHT).expect_err(text).to_string();
            assert!(error.contains(fault), "{text}: {error}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}", TIGHT).is_err(), "not UTF-8");
        assert!(Json::parse("[".repeat(5000).as_bytes(), TIGHT).is_err());
    }

    #[test]
    fn equal_documents_have_equal_canonical_text() {
        let a = Json::parse(br#"{"b":[1,2.5,"x\n"],"a":null}"#, TIGHT).unwrap();
        let b = Json::parse(br#" {"a" : null, "b": [1, 2.50, "x\u000a"]}"#, TIGHT).unwrap();
        assert_eq!(a.to_string(), b.to_string());
        assert_eq!(a.to_string(), r#"{"a":null,"b":[1,2.5,"x\n"]}"#);
    }
}
