//! Which texts does an object hold, and under which names? Of a line of JSON, or of the attributes of a record.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The texts at the top of an object. What is no text is not looked at; an object that has a name twice is none, since two readers could
/// read it differently.
#[derive(Debug, Default)]
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// The object with which these bytes begin, and what stands behind it.
    pub(super) fn first(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut objects = serde_json::Deserializer::from_slice(bytes).into_iter::<Self>();
        let fields = objects.next()?.ok()?;
        Some((fields, bytes.get(objects.byte_offset()..)?))
    }

    /// The text of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The text of that name, taken out.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The text of the first name that `is` holds to be it. It is to hold for a few names at most.
    pub(super) fn find(&self, is: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.iter().find(|(name, _)| is(name)).map(|(_, text)| text.as_str())
    }

    /// One more; `false` if its name is taken.
    pub(super) fn put(&mut self, name: String, text: String) -> bool {
        self.0.insert(name, text).is_none()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OfAnObject)
    }
}

struct OfAnObject;

impl<'de> Visitor<'de> for OfAnObject {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some((name, Text(text))) = map.next_entry::<String, Text>()? {
            if let Some(text) = text
                && !fields.put(name, text)
            {
                return Err(A::Error::custom("a name twice"));
            }
        }
        Ok(fields)
    }
}

/// A text; `None` for any other value.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfAText)
    }
}

struct OfAText;

impl<'de> Visitor<'de> for OfAText {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Some(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_unit<E>(self) -> Result<Text, E> {
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

#[cfg(test)]
mod tests {
    use super::Fields;

    #[test]
    fn texts_are_kept_and_the_rest_is_passed_over() {
        let (mut fields, rest) =
            Fields::first(br#"{"a":"x","b":1,"c":-1,"d":1.5,"e":null,"f":true,"g":["y"],"h":{"a":"z"}} z"#)
                .unwrap();
        assert_eq!(
            (fields.get("a"), fields.get("g"), fields.get("h"), rest),
            (Some("x"), None, None, &b" z"[..])
        );
        assert_eq!((fields.take("a").as_deref(), fields.get("a")), (Some("x"), None));
        for none in [&br#"{"a":"x","a":"y"}"#[..], b"[]", b"\"a\"", b"{", b"{\"a\":\"\xff\"}", b""] {
            assert!(Fields::first(none).is_none(), "{none:?}");
        }
    }
}
