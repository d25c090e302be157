//! On which line of the file does `routes[2].match.path` stand?

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::document;

/// Where each value of a document stands.
pub(crate) struct Places(Option<Spanned<Tree>>);

impl Places {
    /// Reads the document once more, for its lines. A document that cannot be read has none.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(serde_saphyr::from_slice_with_options(bytes, document::options()).ok())
    }

    /// Line and column of a place, or of the nearest one above it that is in the document; counted from one.
    pub(crate) fn find(&self, place: &str) -> Option<(u64, u64)> {
        let mut at = self.0.as_ref()?;
        let mut rest = place;
        while let Some((next, tail)) = at.value.step(rest) {
            (at, rest) = (next, tail);
        }
        let line = at.referenced.line();
        (line > 0).then(|| (line, at.referenced.column()))
    }
}

enum Tree {
    Leaf,
    List(Vec<Spanned<Tree>>),
    Map(Vec<(String, Spanned<Tree>)>),
}

impl Tree {
    /// One step down `place`, and what is left of it. A key may hold dots of its own, so the longest that fits is taken; of a doubled
    /// key, the last.
    fn step<'t, 'p>(&'t self, place: &'p str) -> Option<(&'t Spanned<Tree>, &'p str)> {
        match self {
            Tree::Leaf => None,
            Tree::List(list) => {
                let (index, rest) = place.strip_prefix('[')?.split_once(']')?;
                Some((list.get(index.parse::<usize>().ok()?)?, rest))
            }
            Tree::Map(fields) => {
                let place = place.strip_prefix('.').unwrap_or(place);
                let fit = |(key, value): &'t (String, Spanned<Tree>)| {
                    let rest = place.strip_prefix(key.as_str())?;
                    (rest.is_empty() || rest.starts_with(['.', '['])).then_some((key.len(), value, rest))
                };
                let (_, value, rest) = fields.iter().filter_map(fit).max_by_key(|(len, ..)| *len)?;
                Some((value, rest))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_none<E: Error>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element()? {
            list.push(element);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Map(fields))
    }
}
