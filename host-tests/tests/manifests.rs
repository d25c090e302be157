//! Do the manifests of `docs/secrets.md` fit the policy that they are for, and each other? Read as they stand there; what can be run here is run.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use host_tests::envoy::Envoy;
use host_tests::envoy_config::{Cluster, Listener, guard};
use host_tests::prometheus::samples;
use host_tests::upstream::Upstream;
use host_tests::{artifacts, client};
use portcullis_filter::guards::assertion::key::{Algorithm, public_jwks};
use portcullis_filter::json::Json;
use portcullis_filter::policy::Policy;
use serde_json::{Value, json};

/// The fenced blocks of the page in this language.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(artifacts::repository().join("docs/secrets.md")).unwrap();
    let fence = format!("```{language}\n");
    let found = page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    found.collect()
}

/// Every YAML document of the page.
fn documents() -> Vec<Value> {
    let blocks = blocks("yaml");
    let texts = blocks.iter().flat_map(|block| block.split("\n---\n"));
    texts.map(|text| serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))).collect()
}

fn of_kind(kind: &str) -> Value {
    let mut found = documents().into_iter().filter(|document| document["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "two of {kind}");
    first
}

type Names = BTreeSet<String>;

/// The strings under `key` of each element.
fn under(key: &str, list: &Value) -> Names {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|element| element[key].as_str().unwrap().to_owned()).collect()
}

/// Every `{env: NAME}` of a document.
fn variables(document: &Value, found: &mut Names) {
    match document {
        Value::Array(list) => list.iter().for_each(|element| variables(element, found)),
        Value::Object(map) => {
            found.extend(map.get("env").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| variables(value, found));
        }
        _ => {}
    }
}

/// The policy of the page, and the variables that it asks for.
fn policy() -> (Value, Names) {
    let policy = of_kind("GatewayPolicy");
    let document: Json = serde_json::from_value(policy.clone()).unwrap();
    let told = Policy::compile(&document).map(|(_, warnings)| warnings);
    assert!(matches!(&told, Ok(warnings) if warnings.is_empty()), "{told:?}");
    let mut names = Names::new();
    variables(&policy, &mut names);
    assert!(names.len() > 1, "{names:?}");
    (policy, names)
}

/// What the page writes into the plugin's configuration.
fn vm_config() -> Value {
    documents().into_iter().find_map(|document| document.get("vm_config").cloned()).expect("a vm_config")
}

#[test]
fn each_manifest_has_the_variables_of_the_policy() {
    let (_, names) = policy();
    let keys = vm_config()["environment_variables"]["host_env_keys"].clone();
    let keys: Names = serde_json::from_value(keys).unwrap();
    assert_eq!(keys, names, "vm_config");

    let container = of_kind("Deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(under("name", &container["env"]), names, "Deployment");
    let references: Value = container["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["valueFrom"]["secretKeyRef"].clone())
        .collect();
    let external = of_kind("ExternalSecret");
    let secret = external["spec"]["target"]["name"].as_str().unwrap().to_owned();
    assert_eq!(under("name", &references), Names::from([secret]), "one Secret");
    assert_eq!(under("secretKey", &external["spec"]["data"]), under("key", &references), "its entries");

    let plugin = of_kind("WasmPlugin");
    assert_eq!(under("name", &plugin["spec"]["vmConfig"]["env"]), names, "WasmPlugin");
    let from = under("valueFrom", &plugin["spec"]["vmConfig"]["env"]);
    assert_eq!(from, Names::from(["HOST".to_owned()]), "no value in the configuration");
    let patch = of_kind("EnvoyFilter");
    assert_eq!(plugin["metadata"]["namespace"], patch["metadata"]["namespace"]);
    let labels = &patch["spec"]["workloadSelector"]["labels"];
    assert_eq!(*labels, plugin["spec"]["selector"]["matchLabels"], "the guard is where the plugin is");

    let [task] = blocks("json").try_into().expect("one of JSON");
    let task: Value = serde_json::from_str(&task).unwrap();
    assert_eq!(under("name", &task["containerDefinitions"][0]["secrets"]), names, "ECS");

    let [agent] = blocks("hcl").try_into().expect("one of HCL");
    let templates =
        agent.split("env_template \"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    assert_eq!(templates.collect::<Names>(), names, "Vault");
}

/// A P-256 key as `openssl` writes it.
fn signing_key() -> String {
    let out = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    assert!(out.status.success());
    String::from_utf8(out.stdout).unwrap()
}

fn executable(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// By a shell, with an `envoy` that writes down its environment and a `gcloud` that has two secrets.
#[test]
fn each_start_script_gives_the_proxy_what_the_store_has() {
    let (_, names) = policy();
    let scripts = blocks("sh");
    assert_eq!(scripts.len(), 2, "one reads files, one asks a cloud");
    let key = signing_key();
    for script in scripts {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("2027-a.pem"), &key).unwrap();
        fs::write(at("introspection"), "s3cr&t with $signs\n").unwrap();
        executable(
            &at("envoy"),
            "#!/bin/sh\nfor name in $NAMES; do printenv \"$name\" > \"seen-$name\"; done\necho \"$@\" > arguments\n",
        );
        executable(
            &at("gcloud"),
            "#!/bin/sh\ncase \"$*\" in\n*--secret=portcullis-signing-2027-a) cat 2027-a.pem;;\n*--secret=portcullis-introspection) cat introspection;;\n*) exit 1;;\nesac\n",
        );
        let here = directory.path().display().to_string();
        let status = Command::new("sh")
            .args(["-eu", "-c", &script.replace("/run/secrets", &here)])
            .current_dir(directory.path())
            .env("PATH", format!("{here}:{}", std::env::var("PATH").unwrap()))
            .env("NAMES", names.iter().cloned().collect::<Vec<_>>().join(" "))
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
        let seen = |name: &str| fs::read_to_string(at(name)).unwrap_or_else(|_| panic!("{name}: {script}"));
        assert_eq!(seen("arguments"), "--config-path envoy.yaml\n");
        assert_eq!(seen("seen-INTROSPECTION_SECRET"), "s3cr&t with $signs\n");
        // `printenv` ends a line of its own; the breaks within the PEM are there.
        let pem = seen("seen-SIGNING_KEY_2027_A");
        assert!(public_jwks(Algorithm::ES256, "2027-a", pem.trim_end().as_bytes()).is_ok());
    }
}

/// The policy, `vm_config` and the guard of the page, in a real Envoy: its key is published, and what the guard has not been shown is refused.
#[test]
fn envoy_takes_what_the_page_gives_it() {
    let (policy, names) = policy();
    let patches = of_kind("EnvoyFilter")["spec"]["configPatches"].clone();
    let filter = patches[0].clone();
    assert_eq!(filter["patch"]["operation"], "INSERT_BEFORE");
    let placed = "/match/listener/filterChain/filter/subFilter/name";
    assert_eq!(filter.pointer(placed), Some(&json!("envoy.filters.http.router")));
    let written = filter["patch"]["value"].clone();
    assert_eq!(written["typed_config"], guard()["typed_config"], "the guard of every test here");

    let upstream = Upstream::start().unwrap();
    let port = upstream.address().port();
    let mut listener = Listener::new("page", policy, artifacts::plugin().unwrap(), port);
    // The names that Istio gives to both.
    listener.plugin_config = json!({"name": "istio-ingress.portcullis", "vm_config": vm_config()});
    listener.manager = json!({"stat_prefix": "outbound_0.0.0.0_8443"});
    let mut listener = listener.to_json();
    listener.as_object_mut().unwrap().remove("@type");
    let filters = listener.pointer_mut("/filter_chains/0/filters/0/typed_config/http_filters").unwrap();
    assert_eq!(filters[1], guard());
    filters[1] = written;
    let bootstrap = json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "stats_config": stats_config(&patches[1]),
        "static_resources": {"listeners": [listener], "clusters": [Cluster::of_upstream(port).to_json()]},
    });
    let directory = tempfile::TempDir::new().unwrap();
    let config = directory.path().join("envoy.json");
    fs::write(&config, bootstrap.to_string()).unwrap();
    let validated = Command::new(artifacts::envoy().unwrap())
        .args(["--mode", "validate", "--config-path"])
        .arg(&config)
        .current_dir(artifacts::repository())
        .output()
        .unwrap();
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));

    let key = signing_key();
    let value = |name: &String| if name == "SIGNING_KEY_2027_A" { key.clone() } else { "secret".to_owned() };
    let environment: Vec<(String, String)> = names.iter().map(|name| (name.clone(), value(name))).collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let envoy = Envoy::start_with(&config, directory, &[], &environment, artifacts::repository())
        .unwrap_or_else(|failure| panic!("{failure}"));
    let address = envoy.listener("page").unwrap();
    let published = client::get_text(address, "/.well-known/portcullis/jwks.json").unwrap();
    assert_eq!(published, public_jwks(Algorithm::ES256, "2027-a", key.as_bytes()).unwrap());
    let refused = client::send(address, &host_tests::exchange::Request::get("api", "/orders")).unwrap();
    assert_eq!(refused.status, 401);
    let dump = envoy.admin_text("/config_dump").unwrap();
    assert!(dump.contains("SIGNING_KEY_2027_A") && !dump.contains("PRIVATE KEY"), "names, and no secret");
    let told = samples(&envoy.admin_text("/stats/prometheus").unwrap()).unwrap();
    for (name, labels) in [
        ("envoy_wasm_portcullis_vm_reload_success", &[][..]),
        ("envoy_http_rbac_denied", &[("envoy_rbac_http_prefix", "portcullis_guard")]),
        ("portcullis_policy_loads_total", &[("outcome", "loaded")]),
        ("portcullis_requests_total", &[("route", "orders"), ("decision", "allowed")]),
    ] {
        assert!(told.iter().any(|sample| sample.name == name && sample.has(labels)), "{name}: {told:#?}");
    }
}

/// Istio's own, as its source has it (`pkg/bootstrap`), with what the page adds to it: `MERGE` puts lists behind lists.
fn stats_config(patch: &Value) -> Value {
    assert_eq!((&patch["applyTo"], &patch["patch"]["operation"]), (&json!("BOOTSTRAP"), &json!("MERGE")));
    let more = &patch["patch"]["value"]["stats_config"];
    let text = fs::read_to_string(artifacts::repository().join("envoy.yaml")).unwrap();
    let reference: Value = serde_saphyr::from_str(&text).unwrap();
    let tags = more["stats_tags"].as_array().unwrap();
    for tag in reference["stats_config"]["stats_tags"].as_array().unwrap() {
        assert!(tags.contains(tag), "{tag}");
    }
    let kept = [
        ("prefix", "cluster_manager"),
        ("prefix", "listener_manager"),
        ("prefix", "server"),
        ("prefix", "wasm"),
        ("suffix", "rbac.allowed"),
        ("suffix", "rbac.denied"),
    ];
    let mut patterns: Vec<Value> = kept.iter().map(|(how, what)| json!({*how: what})).collect();
    patterns.extend(more["stats_matcher"]["inclusion_list"]["patterns"].as_array().unwrap().clone());
    json!({
        "use_all_default_tags": false,
        "stats_tags": tags,
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
    })
}
