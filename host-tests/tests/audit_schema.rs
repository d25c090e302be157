//! Are the events what `docs/audit.schema.json` says, and does `docs/audit.md` tell of every field?

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use host_tests::artifacts;
use host_tests::corpus::{self, Case};
use host_tests::exchange::Request;
use host_tests::fake_host::{FakeHost, World};
use host_tests::native::Native;
use host_tests::observed::any_event;
use host_tests::scenario;
use host_tests::tokens::Keys;
use portcullis_filter::gateway::Gateway;
use portcullis_filter::host::{Answer, CallId};
use regex_lite::Regex;
use serde_json::{Value, json};

fn document(name: &str) -> String {
    std::fs::read_to_string(artifacts::repository().join("docs").join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&document("audit.schema.json")).unwrap()
}

/// What is wrong with a value, by the keywords of JSON Schema 2020-12 that the schema uses. One that it does not know is a fault, so that none
/// is passed over.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (keyword, rule) in schema.as_object().expect("a schema") {
        let told = |holds: bool| {
            if holds { Vec::new() } else { vec![format!("{value} is not by `{keyword}: {rule}`")] }
        };
        let number = |value: &Value| value.as_f64().expect("a number");
        let within = |holds: fn(f64, f64) -> bool, found: Option<f64>| {
            told(found.is_none_or(|found| holds(found, number(rule))))
        };
        let length = value.as_array().map(|list| number(&json!(list.len())));
        let members = || value.as_object().into_iter().flatten();
        let names =
            |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).expect("a list of names") };
        let lacks = |name: &String| value.as_object().is_some_and(|members| !members.contains_key(name));
        faults.extend(match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "format" | "then" => Vec::new(),
            "type" => told(match rule.as_str().expect("a type") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("the type `{other}`"),
            }),
            "const" => told(value == rule),
            "enum" => told(rule.as_array().expect("a list").contains(value)),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().expect("a pattern")).expect("a pattern");
                told(value.as_str().is_none_or(|text| pattern.is_match(text)))
            }
            "minimum" => within(|found, least| found >= least, value.as_f64()),
            "maximum" => within(|found, most| found <= most, value.as_f64()),
            "minItems" => within(|found, least| found >= least, length),
            "maxItems" => within(|found, most| found <= most, length),
            "items" => {
                value.as_array().into_iter().flatten().flat_map(|item| self::faults(rule, item)).collect()
            }
            "properties" => members()
                .filter_map(|(name, value)| Some(self::faults(rule.get(name)?, value)))
                .flatten()
                .collect(),
            "additionalProperties" => {
                assert_eq!(rule, &json!(false));
                members()
                    .filter(|(name, _)| schema["properties"].get(name).is_none())
                    .map(|(name, _)| format!("`{name}` is unknown"))
                    .collect()
            }
            "propertyNames" => members().flat_map(|(name, _)| self::faults(rule, &json!(name))).collect(),
            "required" => told(!names(rule).iter().any(lacks)),
            "dependentRequired" => {
                let asked = rule.as_object().expect("a map").iter().filter(|(name, _)| !lacks(name));
                told(!asked.flat_map(|(_, needed)| names(needed)).any(|name| lacks(&name)))
            }
            "allOf" => {
                rule.as_array().expect("a list").iter().flat_map(|rule| self::faults(rule, value)).collect()
            }
            "not" => told(!self::faults(rule, value).is_empty()),
            "if" => {
                let holds = self::faults(rule, value).is_empty();
                if holds { self::faults(&schema["then"], value) } else { Vec::new() }
            }
            other => panic!("the keyword `{other}`"),
        });
    }
    faults
}

/// Every event of the whole corpus, as the filter's own code writes it. That the compiled plugin writes the same in Envoy is for
/// tests/corpus.rs to say, which compares the events.
#[test]
fn every_event_of_the_corpus_is_of_the_schema() {
    let schema = schema();
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for scenario in scenario::load_all().unwrap() {
        let case = Case::new(scenario).unwrap();
        let plan = case.plan().unwrap();
        let mut runner = Native::default();
        corpus::run(&mut runner, &case, &plan).unwrap();
        for line in runner.log() {
            let Some(event) = any_event(&line) else { continue };
            let faults = faults(&schema, &event);
            assert!(faults.is_empty(), "{}: {faults:?}\n{line}", case.scenario.name);
            seen.extend(event.as_object().unwrap().keys().cloned());
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
    let known: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    // What no scenario can bring about; see below.
    let of_gateway =
        |name: &&String| name.starts_with("portcullis.policy.") || name.starts_with("portcullis.keys.");
    let missing: Vec<_> = known.difference(&seen).filter(|name| !of_gateway(name)).collect();
    assert!(missing.is_empty(), "the corpus has no event with {missing:?}");
}

/// A process with two workers, to which policies come, and keys of an issuer.
struct Process {
    world: Rc<World>,
    now: u64,
}

impl Process {
    fn host(&self) -> FakeHost {
        FakeHost::new(Rc::clone(&self.world), &Request::get("", "/"))
    }

    /// Both workers load a document.
    fn load(&self, document: &str) -> Vec<Gateway> {
        let load = |worker| Gateway::start(document.as_bytes(), [worker; 16], &self.host()).ok();
        [1, 2].into_iter().filter_map(load).collect()
    }

    /// The worker fetches keys, and this set is what it gets.
    fn fetch(&mut self, worker: &Gateway, jwks: &str) {
        self.now += 600 * 1_000_000_000;
        self.world.set_now(self.now);
        worker.on_tick(&self.host());
        let call = CallId(u32::try_from(self.world.calls_made()).unwrap());
        worker.on_answer(
            &self.host(),
            call,
            Answer { status: 200, body: Some(jwks.into()), ..Answer::default() },
        );
    }

    /// The events since the last time, each by what happened and what is told of it alone.
    fn told(&self) -> Vec<Value> {
        let events: Vec<Value> = self.world.news().0.iter().filter_map(|line| any_event(line)).collect();
        for event in &events {
            assert_eq!(faults(&schema(), event), Vec::<String>::new(), "{event}");
        }
        let telling = |name: &str| {
            let policy = name.starts_with("portcullis.policy.") && !name.ends_with("digest");
            matches!(name, "event.action" | "portcullis.provider")
                || policy
                || name.starts_with("portcullis.keys.")
        };
        let own = |event: &Value| -> Value {
            let members = event.as_object().unwrap().iter().filter(|(name, _)| telling(name));
            members.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        events.iter().map(own).collect()
    }
}

/// Whatever thread is the first tells; the others have nothing to add.
#[test]
fn what_happens_to_the_gateway_itself_is_told_once() {
    let start = 1_800_000_000_000_000_000;
    let mut process = Process { world: World::new(start, BTreeMap::new(), true), now: start };
    process.world.know_clusters();
    let open = json!({"open": {"because": "test"}});
    let route = |name: &str, path: &str| json!({"name": name, "match": {"path": {"type": "Exact", "value": path}}, "authentication": open});
    let corp = json!({
        "name": "corp", "issuer": "https://id.example.com", "audiences": ["a"], "maxLifetime": "1h",
        "remoteJWKS": {"uri": "https://id.example.com/jwks", "cluster": "id"},
    });
    let policy = |routes: Value, key: &str, value: Value| {
        let mut policy = json!({"apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "p", "jwt": {"providers": [corp]}, "routes": routes});
        policy[key] = value;
        policy.to_string()
    };
    let first = policy(json!([route("a", "/a"), route("b", "/b")]), "mode", json!("Enforce"));
    assert_eq!(process.load(&first).len(), 2);
    assert_eq!(process.told(), [json!({"event.action": "policy-loaded", "portcullis.policy.name": "p"})]);
    process.load(&first);
    assert_eq!(process.told(), Vec::<Value>::new(), "nothing is new");

    let second =
        policy(json!([route("a", "/other"), route("c", "/c")]), "redaction", json!({"mailAddresses": true}));
    let workers = process.load(&second);
    assert_eq!(
        process.told(),
        [json!({
            "event.action": "policy-loaded", "portcullis.policy.name": "p", "portcullis.policy.added": ["redaction", "routes.c"],
            "portcullis.policy.changed": ["routes.a"], "portcullis.policy.removed": ["mode", "routes.b"],
        })]
    );
    // Who wants no events gets none of these either.
    process.load(&policy(json!([route("a", "/a")]), "audit", json!({"log": "Off"})));
    assert_eq!(process.told(), Vec::<Value>::new());
    for (document, problems) in [("", 1), ("{\"ghp_secret", 1)] {
        assert_eq!(process.load(document).len(), 0);
        let told = json!({"event.action": "policy-refused", "portcullis.policy.problems": problems});
        // In a proxy only the main thread gets so far.
        assert_eq!(process.told(), [told.clone(), told]);
    }

    let jwks = |names: &[&str]| Keys::of_this_run().jwks(names).unwrap();
    let sets: [(&[&str], &[&str], &[&str]); 4] = [
        (&["rs256", "es256"], &["rs256", "es256"], &[]),
        (&["rs256", "es256"], &[], &[]),
        (&["rs256", "eddsa"], &["eddsa"], &["es256"]),
        (&["eddsa"], &[], &["rs256"]),
    ];
    for (set, added, removed) in sets {
        process.fetch(&workers[0], &jwks(set));
        let mut event = json!({"event.action": "keys-changed", "portcullis.policy.name": "p", "portcullis.provider": "corp"});
        for (name, kids) in [("portcullis.keys.added", added), ("portcullis.keys.removed", removed)] {
            if !kids.is_empty() {
                event[name] = json!(kids);
            }
        }
        let expected = if added.is_empty() && removed.is_empty() { vec![] } else { vec![event] };
        assert_eq!(process.told(), expected, "{set:?}");
    }
}

/// What finds nothing would make the test above worthless.
#[test]
fn what_is_not_of_the_schema_is_found() {
    let schema = schema();
    let good = json!({
        "@timestamp": "2026-11-24T04:41:58.565Z", "event.action": "request", "portcullis.decision": "refused",
        "event.reason": "token_expired", "http.request.method": "GET", "url.domain": "h", "url.path": "/",
        "event.duration": 1, "portcullis.policy.name": "p", "portcullis.policy.digest": "0123456789ab",
        "event.category": ["api"], "event.type": ["denied"], "event.outcome": "failure",
        "portcullis.schema": "portcullis.audit/v2", "ecs.version": "8.17.0",
    });
    assert_eq!(faults(&schema, &good), Vec::<String>::new());
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
        assert!(!faults(&schema, &event).is_empty(), "{name}");
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
        let about = property["description"].as_str().unwrap();
        table.extend(["| `", name, "` | ", about, &values, " |\n"]);
    }
    let page = document("audit.md");
    let there = page.split_once("<!-- fields -->").and_then(|(_, rest)| rest.split_once("<!-- /fields -->"));
    let (there, _) = there.expect("docs/audit.md has the markers `<!-- fields -->` and `<!-- /fields -->`");
    // In an order that a person reads by; a map of JSON has none.
    let rows = |table: &str| table.trim().lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (there, table) = (rows(there), rows(&table));
    assert_eq!(
        there.difference(&table).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "rows that should not be there"
    );
    assert_eq!(table.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "rows that are missing");
}
