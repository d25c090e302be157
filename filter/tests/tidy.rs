//! Is the house as its plan says? Floors, the order of the guards, the size of files, and the documents that must not lag.
//!
//! All of it by reading text: a rule that takes a compiler to check belongs to clippy.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use portcullis_filter::decision::Reason;
use portcullis_filter::limits;
use portcullis_filter::metrics::Metric;

/// The table of `lib.rs`: a module looks at its own floor and down.
const FLOORS: [(&str, &[&str]); 6] = [
    ("bytes, bounds and clocks", &["decimal", "hex", "http", "json", "limits", "protobuf", "secret", "time"]),
    (
        "endings, faults, and what a proxy offers",
        &["audit", "decision", "document", "host", "metrics", "problem", "redaction", "slots"],
    ),
    ("the checks", &["guards"]),
    ("the policy", &["policy"]),
    ("the journey", &["gateway"]),
    ("the edge", &["envoy"]),
];

/// The longest a file may be, tests apart. One that grows beyond it holds two things.
const LINES: usize = 400;

/// A source file: its path in the repository, and its lines without comments and without its tests.
struct Source {
    path: String,
    modules: Vec<String>,
    lines: Vec<(usize, String)>,
    length: usize,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = read(path);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let under_src = path.strip_prefix(root().join("filter/src")).expect("a file of filter/src");
        let mut modules: Vec<String> =
            under_src.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        modules.pop_if(|last| last == "mod");
        Self {
            path: shown(path),
            modules,
            length: code.lines().count(),
            lines: code
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(index, line)| (index + 1, line.to_owned()))
                .collect(),
        }
    }

    /// Every path into the crate that it names, `crate::` and `super::` resolved, with the number of its line.
    fn references(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let text: String = self.lines.iter().fold(String::new(), |text, (_, line)| text + line + "\n");
        for (at, start) in text.match_indices("crate::").chain(text.match_indices("super::")) {
            let rest = &text[at..];
            let base = if start == "crate::" {
                // `$crate::` of a macro counts; `my_crate::` is somebody else.
                if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    continue;
                }
                Vec::new()
            } else {
                if text[..at].ends_with("super::") {
                    continue;
                }
                let up = rest.split("super::").take_while(|between| between.is_empty()).count();
                let depth = self.modules.len().saturating_sub(up);
                self.modules[..depth].to_vec()
            };
            let tree = rest.trim_start_matches("crate::").trim_start_matches("super::");
            let line = self.lines[text[..at].matches('\n').count()].0;
            for path in expand(tree) {
                found.push((line, base.iter().cloned().chain(path).collect()));
            }
        }
        found
    }
}

/// The paths of a `use` tree or of an expression: `a::{b, c::D}` is `a::b` and `a::c`, as far as two segments.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let Some(group) = tree.strip_prefix('{') else {
        let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
        let (name, rest) = tree.split_at(end);
        if name.is_empty() {
            return Vec::new();
        }
        let mut below = rest.strip_prefix("::").map(expand).unwrap_or_default();
        if below.is_empty() {
            below.push(Vec::new());
        }
        return below
            .into_iter()
            .map(|path| std::iter::once(name.to_owned()).chain(path).collect())
            .collect();
    };
    let mut depth = 0_usize;
    let mut paths = Vec::new();
    let mut begin = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                paths.extend(expand(group[begin..at].trim()));
                begin = at + 1;
            }
            '}' if depth == 0 => {
                paths.extend(expand(group[begin..at].trim()));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    paths
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Every file under `directory`, but for what is built.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() {
            found.push(path);
        } else if !["target", "corpus", "artifacts", "node_modules", "__pycache__"].contains(&name.as_str()) {
            found.extend(files(&path));
        }
    }
    found.sort();
    found
}

/// What the plugin is made of: filter/src without the files that hold only tests.
fn sources() -> Vec<Source> {
    let sources: Vec<Source> = files(&root().join("filter/src"))
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs"))
        .map(|path| Source::read(path))
        .collect();
    assert!(sources.len() > 20, "the sources have moved: {}", sources.len());
    sources
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn a_module_looks_down_only() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(module) = source.modules.first().filter(|module| *module != "lib") else {
            continue;
        };
        let Some(own) = floor(module) else {
            faults.push(format!("{}: `{module}` is on no floor; see FLOORS in {}", source.path, file!()));
            continue;
        };
        for (line, path) in source.references() {
            let Some(other) = path.first().and_then(|module| floor(module)) else {
                continue;
            };
            if other > own {
                let (path, what) = (path.join("::"), FLOORS[own].0);
                faults.push(format!(
                    "{}:{line}: floor {own} ({what}) names `{path}` of floor {other}",
                    source.path
                ));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_floors_are_those_of_the_map() {
    let map = read(&root().join("filter/src/lib.rs"));
    for (number, (_, modules)) in FLOORS.iter().enumerate() {
        let row = map.lines().find(|line| line.starts_with(&format!("//! | {number} |")));
        let row = row.unwrap_or_else(|| panic!("lib.rs has no row for floor {number}"));
        let named: Vec<&str> = row.split('|').nth(2).unwrap_or_default().split(',').collect();
        let named: Vec<&str> = named.iter().map(|name| name.trim().trim_matches(['[', ']', '`'])).collect();
        assert_eq!(&named, modules, "floor {number}");
    }
    for line in map.lines() {
        if let Some(module) = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod ")) {
            let module = module.trim_end_matches(';');
            assert!(floor(module).is_some(), "`{module}` is on no floor");
        }
    }
}

#[test]
fn only_the_edge_names_the_sdk() {
    let mut faults = Vec::new();
    for source in sources() {
        for (line, text) in &source.lines {
            if text.contains("proxy_wasm") && source.modules.first().is_none_or(|module| module != "envoy") {
                faults.push(format!("{}:{line}: {}", source.path, text.trim()));
            }
        }
    }
    none(&faults);
}

#[test]
fn a_guard_uses_only_guards_before_it() {
    let list = read(&root().join("filter/src/guards/mod.rs"));
    let order: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(order.len() >= 6, "{order:?}");
    let place = |guard: &str| order.iter().position(|name| *name == guard);
    let mut faults = Vec::new();
    for source in sources() {
        let [guards, guard, ..] = source.modules.as_slice() else {
            continue;
        };
        let Some(own) = place(guard).filter(|_| guards == "guards") else {
            continue;
        };
        // A section of the policy may hold another guard's: `request.body`. That is read once, before any request.
        if source.path.ends_with("/config.rs") {
            continue;
        }
        for (line, path) in source.references() {
            let [module, other, ..] = path.as_slice() else {
                continue;
            };
            if module == "guards" && place(other).is_some_and(|other| other > own) {
                faults.push(format!("{}:{line}: `{guard}` runs before `{other}`", source.path));
            }
        }
    }
    none(&faults);
}

#[test]
fn no_file_holds_two_things() {
    let long = |source: &Source| source.length > LINES;
    let faults: Vec<String> = sources()
        .iter()
        .filter(|source| long(source))
        .map(|source| format!("{}: {} lines without its tests, {LINES} at most", source.path, source.length))
        .collect();
    none(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, or this file would be the first finding.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("X", "XX"),
        concat!("to", "do!"),
        concat!("unimpl", "emented!"),
        concat!("#[ig", "nore"),
    ];
    let mut faults = Vec::new();
    for directory in ["filter", "host-tests", "cli", "scripts"] {
        for path in files(&root().join(directory)) {
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for (index, line) in text.lines().enumerate() {
                if words.iter().any(|word| stands_alone(line, word)) {
                    faults.push(format!("{}:{}: {}", shown(&path), index + 1, line.trim()));
                }
            }
        }
    }
    none(&faults);
}

/// Whether `word` is in `line`, and not as a part of a longer one (a token in base64, say).
fn stands_alone(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(letter)
            && (!word.ends_with(letter) || !line[at + word.len()..].starts_with(letter))
    })
}

#[test]
fn the_readme_has_every_reason() {
    let mut table = String::from("| Status | Code | When |\n| --- | --- | --- |\n");
    for reason in Reason::ALL {
        let row = reason.row();
        writeln!(table, "| {} | `{}` | {} |", row.status, row.code, row.meaning).expect("a string takes it");
    }
    has_table("README.md", "reasons", &table);
}

#[test]
fn the_metrics_are_told_of() {
    let mut table = String::from("| Name | Kind | Labels | What it counts |\n| --- | --- | --- | --- |\n");
    for metric in Metric::ALL {
        let row = metric.row();
        let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (format!("{:?}", row.kind).to_lowercase(), labels.join(", "));
        writeln!(table, "| `{}` | {kind} | {labels} | {} |", row.name, row.meaning)
            .expect("a string takes it");
    }
    has_table("docs/metrics.md", "metrics", &table);
    let named = format!("first {} routes", limits::METRIC_ROUTES);
    assert!(read(&root().join("docs/metrics.md")).contains(&named), "{named}");
    let meaning = Metric::Requests.row().meaning;
    assert!(meaning.contains(&format!("first {}", limits::METRIC_ROUTES)), "{meaning}");
    let timed = Metric::Decision.row().meaning;
    assert!(limits::METRICS_TIMED == 8 && timed.contains("every eighth request"), "{timed}");
}

/// Whether a document has that table between its markers.
fn has_table(document: &str, name: &str, table: &str) {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let text = read(&root().join(document));
    let there = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (there, _) = there.unwrap_or_else(|| panic!("{document} has not the markers `{begin}` and `{end}`"));
    assert!(
        there.trim() == table.trim(),
        "{document}: the table is not that of the code; between the markers should stand:\n\n{table}"
    );
}

#[test]
fn the_readme_names_only_targets_that_exist() {
    let makefile = read(&root().join("Makefile"));
    let targets: Vec<&str> = makefile
        .lines()
        .filter(|line| line.contains(": ") && line.contains("## "))
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .collect();
    assert!(targets.len() >= 10, "{targets:?}");
    for target in &targets {
        assert!(makefile.contains(&format!(".PHONY: {target}\n")), "`{target}` is not .PHONY");
    }
    let readme = read(&root().join("README.md"));
    for (at, _) in readme.match_indices("`make ") {
        let named: String = readme[at + 6..].chars().take_while(char::is_ascii_lowercase).collect();
        assert!(
            targets.contains(&named.as_str()),
            "README.md names `make {named}`, which the Makefile does not have"
        );
    }
}

#[test]
fn a_use_tree_is_read_to_its_leaves() {
    let paths = |tree| expand(tree).iter().map(|path| path.join("::")).collect::<Vec<_>>();
    for (tree, expected) in [
        ("a::B;", vec!["a::B"]),
        ("a::{b, c::{D, e::F}, g};", vec!["a::b", "a::c::D", "a::c::e::F", "a::g"]),
        ("{\n    limits, json::Json,\n};", vec!["limits", "json::Json"]),
        ("http::{self, Head};", vec!["http::self", "http::Head"]),
        ("limits::HEADERS {", vec!["limits::HEADERS"]),
    ] {
        assert_eq!(paths(tree), expected, "{tree}");
    }
}
