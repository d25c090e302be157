//! Does the README show what the command does?

use std::path::{Path, PathBuf};
use std::process::Command;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn readme() -> String {
    std::fs::read_to_string(here("../README.md")).unwrap()
}

/// The fenced block that begins with `start`.
fn block(start: &str) -> String {
    let readme = readme();
    let blocks = readme.split("\n```").skip(1).step_by(2);
    let found = blocks.filter_map(|block| block.split_once('\n')).find(|(_, body)| body.starts_with(start));
    found.unwrap_or_else(|| panic!("no block of the README begins with {start:?}")).1.to_owned()
}

#[test]
fn the_example_is_a_good_policy() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme.yaml");
    std::fs::write(&file, block("apiVersion: portcullis/v1")).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("check").arg(&file).output().unwrap();
    let shown = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{shown}");
    assert!(shown.contains("readme.yaml: good, 1 warning"), "{shown}");
}

#[test]
fn the_bad_policy_has_the_problems_that_are_shown() {
    let out = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["check", "bad.yaml"])
        .current_dir(here("tests/documents"))
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let shown = String::from_utf8(out.stdout).unwrap();
    assert_eq!(
        block("$ portcullis check bad.yaml\n"),
        format!("$ portcullis check bad.yaml\n{}", shown.trim_end())
    );
}
