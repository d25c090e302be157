//! The configurations of `docs/audit.md`, as a reader copies them: what is shown there is what is tested here.

use host_tests::{artifacts, scenario};
use serde_json::Value;

/// The block of YAML behind `<!-- name -->`, with the clusters' names as they stand.
pub(crate) fn block(name: &str) -> Value {
    let page = std::fs::read_to_string(artifacts::repository().join("docs/audit.md")).unwrap();
    let marker = format!("<!-- {name} -->");
    let block =
        page.split_once(&marker).and_then(|(_, rest)| rest.split_once("```yaml\n")?.1.split_once("```"));
    let (yaml, _) = block.unwrap_or_else(|| panic!("docs/audit.md has no block {marker}"));
    scenario::parse(yaml).unwrap_or_else(|error| panic!("{marker}: {error}"))
}
