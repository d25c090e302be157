//! Does every test that the threat model and the hosts' facts name exist? A defence that is shown by nothing is a claim.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// What stands between two backticks and looks like a file of tests, with what is named in it.
fn named(text: &str) -> Vec<(&str, Option<&str>)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let parts =
        quoted.map(|words| words.split_once("::").map_or((words, None), |(file, what)| (file, Some(what))));
    parts.filter(|(file, _)| file.contains('/') && matches!(kind(file), Some("rs" | "yaml"))).collect()
}

fn kind(file: &str) -> Option<&str> {
    Path::new(file).extension()?.to_str()
}

fn is_there(file: &str, what: Option<&str>) -> bool {
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        return false;
    };
    what.is_none_or(|name| {
        let found =
            if kind(file) == Some("yaml") { format!("- name: {name}\n") } else { format!("fn {name}(") };
        text.contains(&found)
    })
}

#[test]
fn every_test_that_it_names_exists() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).expect("the threat model");
    let named = named(&text);
    assert!(named.len() > 40, "{} tests are named", named.len());
    let missing: Vec<_> = named.iter().filter(|(file, what)| !is_there(file, *what)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Each row of the hosts' facts is shown by something that exists, and each that a comment names is there.
#[test]
fn every_fact_that_the_code_names_is_told_and_shown() {
    let text = fs::read_to_string(root().join("docs/host-facts.md")).expect("the facts");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| H")).collect();
    for row in &rows {
        let named = named(row.rsplit('|').nth(1).unwrap_or_default());
        let shows = |(file, what): &(&str, Option<&str>)| what.is_some() && is_there(file, *what);
        assert!(!named.is_empty() && named.iter().all(shows), "{row}");
    }
    let mut told: Vec<usize> = Vec::new();
    each_file(&root().join("filter/src"), &mut |source| {
        for (at, words) in source.match_indices("host fact H") {
            let digits = source[at + words.len()..].split(|c: char| !c.is_ascii_digit()).next();
            told.push(digits.and_then(|digits| digits.parse().ok()).expect("a number"));
        }
    });
    told.sort_unstable();
    told.dedup();
    assert_eq!(told, (1..=rows.len()).collect::<Vec<_>>(), "rows that a comment names, and rows");
}

fn each_file(folder: &Path, look: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            each_file(&path, look);
        } else {
            look(&fs::read_to_string(&path).expect("text"));
        }
    }
}

/// Each attack has a defence and something that shows it.
#[test]
fn every_attack_is_shown_to_be_stopped() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).expect("the threat model");
    let (_, attacks) = text.split_once("## Attacks").expect("a section of attacks");
    let (attacks, _) = attacks.split_once("\n## ").expect("a section behind it");
    let rows = attacks
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| attack") && !line.contains("| --- |"));
    let bare: Vec<&str> = rows
        .clone()
        .filter(|row| row.rsplit('|').nth(1).is_none_or(|shown| named(shown).is_empty()))
        .collect();
    assert!(rows.count() > 25 && bare.is_empty(), "{bare:#?}");
}

#[test]
fn a_name_that_nothing_has_is_found() {
    assert_eq!(
        named("see `a/b.rs::c` and `d.md`, `make x`, `e/f.yaml`"),
        [("a/b.rs", Some("c")), ("e/f.yaml", None)]
    );
    assert!(is_there("filter/tests/threat_model.rs", Some("is_there")));
    assert!(
        !is_there("filter/tests/threat_model.rs", Some("is_nowhere"))
            && !is_there("filter/tests/no.rs", None)
    );
}
