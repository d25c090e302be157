//! Does Envoy take the configuration that the README shows?

use std::process::Command;

use host_tests::artifacts;
use serde_json::{Value, json};

/// The fenced block that begins with `start`.
fn block(start: &str) -> String {
    let readme = std::fs::read_to_string(artifacts::repository().join("README.md")).unwrap();
    let mut blocks = readme.split("\n```").skip(1).step_by(2);
    let found = blocks.find_map(|block| block.split_once('\n').filter(|(_, body)| body.starts_with(start)));
    found.unwrap_or_else(|| panic!("no block of the README begins with {start:?}")).1.to_owned()
}

#[test]
fn envoy_takes_the_issuers_cluster() {
    let mut cluster: Value = serde_saphyr::from_str(&block("name: id_example_com")).unwrap();
    let directory = tempfile::TempDir::new().unwrap();
    // Not every machine has its authorities in the same place: an authority of this test's own stands for them.
    let file = directory.path().join("authorities.pem");
    let authority = host_tests::certificates::Authority::new("authorities").unwrap();
    std::fs::write(&file, authority.to_pem()).unwrap();
    let trusted =
        &mut cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"];
    assert!(trusted["trusted_ca"]["filename"].is_string());
    trusted["trusted_ca"]["filename"] = json!(file);
    let config = directory.path().join("envoy.json");
    std::fs::write(&config, json!({"static_resources": {"clusters": [cluster]}}).to_string()).unwrap();
    let out = Command::new(artifacts::envoy().unwrap())
        .args(["--mode", "validate", "--disable-hot-restart", "--use-dynamic-base-id", "--config-path"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
