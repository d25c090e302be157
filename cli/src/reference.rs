//! What may stand in a policy? The reference, printed from the shapes that the gateway itself reads by.

use std::fmt::Write as _;

use portcullis_filter::document::{Default, Key, Shape};
use portcullis_filter::policy::POLICY;

const INTRODUCTION: &str = include_str!("reference/introduction.md");
const EXAMPLE: &str = include_str!("reference/example.yaml");

/// The whole page.
pub(crate) fn markdown() -> String {
    let mut page = INTRODUCTION.replace("{{example}}", EXAMPLE.trim_end());
    for shape in shapes() {
        section(&mut page, shape);
    }
    page
}

/// Every shape once, each before those inside it.
fn shapes() -> Vec<&'static Shape> {
    let mut found: Vec<&'static Shape> = Vec::new();
    let mut open = vec![&POLICY];
    while let Some(shape) = open.pop() {
        if found.iter().any(|known| known.name == shape.name) {
            continue;
        }
        found.push(shape);
        open.extend(shape.keys.iter().rev().filter_map(|key| key.shape));
    }
    found
}

fn section(page: &mut String, shape: &Shape) {
    let title = if shape.keys.iter().any(|key| key.name == "apiVersion") {
        "The document".to_owned()
    } else {
        format!("`{}`", shape.name)
    };
    let _ = write!(page, "\n## {title}\n\n{}\n", shape.about);
    if shape.keys.is_empty() {
        return;
    }
    page.push_str("\n| key | value | left out | meaning |\n| --- | --- | --- | --- |\n");
    for key in shape.keys {
        let _ =
            writeln!(page, "| `{}` | {} | {} | {} |", key.name, kind(key), left_out(key), cell(key.about));
    }
}

fn kind(key: &Key) -> String {
    match key.shape {
        Some(shape) => format!("{}: [`{}`](#{})", cell(key.kind), shape.name, anchor(shape.name)),
        None => cell(key.kind),
    }
}

/// The anchor that GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn left_out(key: &Key) -> String {
    match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Is(default) => cell(default),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
