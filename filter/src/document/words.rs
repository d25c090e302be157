//! How are a document's words and numbers said back to its author?

use core::fmt::Write as _;

use crate::redaction::{REDACTED, is_secret_shaped};

#[inline(never)]
pub(super) fn join(place: &str, key: &str) -> String {
    if place.is_empty() { key.to_owned() } else { format!("{place}.{}", plain(key)) }
}

/// A word of the document for a message: control characters escaped, cut at 64 characters, in backticks.
///
/// A word that is shaped like a secret is not said: somebody may have written it where a name belongs.
#[inline(never)]
pub fn quoted(word: &str) -> String {
    format!("`{}`", if is_secret_shaped(word.as_bytes()) { REDACTED.to_owned() } else { plain(word) })
}

#[inline(never)]
fn plain(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars().take(64) {
        if c.is_control() || (!c.is_ascii() && !c.is_alphanumeric()) {
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    if word.chars().nth(64).is_some() {
        out.push('…');
    }
    out
}

#[inline(never)]
pub(super) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// `did you mean …?`, if one of `known` is near.
#[inline(never)]
pub fn suggestion(word: &str, known: &[&str]) -> Option<String> {
    let word: Vec<char> = word.chars().take(64).flat_map(char::to_lowercase).collect();
    let (distance, best) = known.iter().map(|candidate| (distance_to(&word, candidate), candidate)).min()?;
    let near = distance <= 2.max(best.len() / 4) && distance < best.len();
    near.then(|| format!("did you mean `{best}`?"))
}

/// How far `word` (lower case) is from `candidate`; its beginning is as near as a typing mistake.
fn distance_to(word: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
    if word.len() > 3 && candidate.starts_with(word) { 1 } else { distance(word, &candidate) }
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        for (cell, to) in row.iter_mut().skip(1).zip(b) {
            let above = *cell;
            let next = (left.saturating_add(1))
                .min(above.saturating_add(1))
                .min(diagonal.saturating_add(usize::from(from != to)));
            diagonal = above;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or(0)
}

pub(super) fn show_duration(nanos: u64) -> String {
    for (unit, scale) in
        [("d", 86_400_000_000_000_u64), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)]
    {
        if nanos >= scale && nanos.is_multiple_of(scale) {
            return format!("{}{unit}", nanos.checked_div(scale).unwrap_or(0));
        }
    }
    format!("{}ms", nanos / 1_000_000)
}
