//! Are the events what `docs/audit.schema.json` says, and does `docs/audit.md` tell of every field?

use std::collections::BTreeSet;

use host_tests::artifacts;
use host_tests::corpus::{self, Case};
use host_tests::native::Native;
use host_tests::observed::any_event;
use host_tests::scenario;
use jsonschema::Validator;
use serde_json::{Value, json};

fn document(name: &str) -> String {
    std::fs::read_to_string(artifacts::repository().join("docs").join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&document("audit.schema.json")).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap()
}

/// What is wrong with an event.
fn faults(validator: &Validator, event: &Value) -> Vec<String> {
    validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Every event of the whole corpus, as the filter's own code writes it. That the compiled plugin writes the same in Envoy is for
/// tests/corpus.rs to say, which compares the events.
#[test]
fn every_event_of_the_corpus_is_of_the_schema() {
    let validator = validator();
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for scenario in scenario::load_all().unwrap() {
        let case = Case::new(scenario).unwrap();
        let plan = case.plan().unwrap();
        let mut runner = Native::default();
        corpus::run(&mut runner, &case, &plan).unwrap();
        for line in runner.log() {
            let Some(event) = any_event(&line) else { continue };
            let faults = faults(&validator, &event);
            assert!(faults.is_empty(), "{}: {faults:?}\n{line}", case.scenario.name);
            seen.extend(event.as_object().unwrap().keys().cloned());
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
    let known: BTreeSet<String> = schema()["properties"].as_object().unwrap().keys().cloned().collect();
    // What no runner of the corpus can bring about, and the tests that do: keys come from an issuer, and a document that is refused is none of it.
    let elsewhere = ["portcullis.keys.added", "portcullis.keys.removed", "portcullis.policy.problems"];
    let missing: Vec<_> =
        known.difference(&seen).filter(|name| !elsewhere.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "the corpus has no event with {missing:?}");
}

/// What finds nothing would make the test above worthless.
#[test]
fn what_is_not_of_the_schema_is_found() {
    let validator = validator();
    let good = json!({
        "@timestamp": "2026-11-24T04:41:58.565Z", "event.action": "request", "portcullis.decision": "refused",
        "event.reason": "token_expired", "http.request.method": "GET", "url.domain": "h", "url.path": "/",
        "event.duration": 1, "portcullis.policy.name": "p", "portcullis.policy.digest": "0123456789ab",
        "event.category": ["api"], "event.type": ["denied"], "event.outcome": "failure",
        "portcullis.schema": "portcullis.audit/v2", "ecs.version": "8.17.0",
    });
    assert_eq!(faults(&validator, &good), Vec::<String>::new());
    for (name, value) in [
        ("portcullis.decision", json!("perhaps")),
        ("@timestamp", json!("yesterday")),
        ("event.duration", json!(-1)),
        ("event.reason", Value::Null),
        ("event.type", json!(["allowed"])),
        ("portcullis.schema", json!("portcullis.audit/v1")),
        ("portcullis.policy.digest", json!("0123")),
        ("trace.id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("portcullis.keys.added", json!(["k"])),
        ("authorization", json!("Bearer x")),
    ] {
        let mut event = good.clone();
        let members = event.as_object_mut().unwrap();
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
        assert!(!faults(&validator, &event).is_empty(), "{name}");
    }
}

/// The page's table is printed from the schema, as a person would read it.
#[test]
fn the_page_has_every_field() {
    let schema = schema();
    let mut table = String::from("| Field | What it says |\n| --- | --- |\n");
    for (name, property) in schema["properties"].as_object().unwrap() {
        let words =
            property.get("enum").or_else(|| property.pointer("/items/enum")).and_then(Value::as_array);
        let words = words.map(|words| {
            words.iter().map(|word| format!("`{}`", word.as_str().unwrap())).collect::<Vec<_>>().join(", ")
        });
        let constant = property.get("const").map(|word| format!("`{}`", word.as_str().unwrap()));
        let values = words.or(constant).map(|values| format!(" {values}.")).unwrap_or_default();
        table += &format!("| `{name}` | {}{values} |\n", property["description"].as_str().unwrap());
    }
    let page = document("audit.md");
    let there = page.split_once("<!-- fields -->").and_then(|(_, rest)| rest.split_once("<!-- /fields -->"));
    let (there, _) = there.expect("docs/audit.md has the markers `<!-- fields -->` and `<!-- /fields -->`");
    assert!(there.trim() == table.trim(), "between the markers of docs/audit.md should stand:\n\n{table}");
}
