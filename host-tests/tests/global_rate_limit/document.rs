//! What `docs/global-rate-limit.md` has its readers write: the tests use these blocks and no others.

use std::fs;

use host_tests::artifacts;
use host_tests::envoy_config::Cluster;
use serde_json::Value;

/// The blocks of the document, by the word behind their language.
pub(crate) struct Document {
    pub(crate) policy: Value,
    cluster: Value,
    pub(crate) limitador: String,
    pub(crate) envoyproxy: String,
}

impl Document {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(artifacts::repository().join("docs/global-rate-limit.md")).unwrap();
        let block = |word: &str| {
            let begin = format!("```yaml {word}\n");
            let block = text.split(&begin).nth(1).and_then(|rest| rest.split("```\n").next());
            block.unwrap_or_else(|| panic!("no block `{word}`")).to_owned()
        };
        let yaml = |word: &str| serde_saphyr::from_str(&block(word)).unwrap();
        Self {
            policy: yaml("policy"),
            cluster: yaml("cluster"),
            limitador: block("limitador"),
            envoyproxy: block("envoyproxy"),
        }
    }

    /// The cluster, with a test's port.
    pub(crate) fn cluster(&self, port: u16) -> Cluster {
        Cluster::written(self.cluster.clone(), port)
    }
}
