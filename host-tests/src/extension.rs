//! How does the plugin come to an Envoy by extension discovery (ECDS), and how is it replaced? By a watched file.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy::Envoy;
use crate::envoy_config::{Listener, guard, router};

/// How often Envoy has taken a filter so.
const TAKEN: &str = "extension_config_discovery.http_filter.portcullis.config_reload";
/// How long that may take.
const SOON: Duration = Duration::from_secs(20);

/// The file, with the plugin of a listener in it.
#[derive(Debug)]
pub struct Extension {
    directory: TempDir,
    version: u32,
}

impl Extension {
    /// With the plugin as this listener has it.
    ///
    /// # Panics
    /// If there can be no such file.
    pub fn of(listener: &Listener) -> Self {
        let mut extension = Self { directory: TempDir::new().expect("a directory"), version: 0 };
        extension.write(listener);
        extension
    }

    /// What the connection manager has otherwise, as a merge patch.
    pub fn manager(&self) -> Value {
        let discovered = json!({
            "name": "portcullis",
            "config_discovery": {
                "config_source": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": self.directory.path().join("filter.json")},
                },
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
            },
        });
        json!({"http_filters": [discovered, guard(), router()]})
    }

    /// Replaces the plugin by this listener's, and waits until it is taken.
    ///
    /// # Panics
    /// If it is not.
    pub fn update(&mut self, envoy: &Envoy, listener: &Listener) {
        let before = envoy.stat(TAKEN);
        self.write(listener);
        let start = Instant::now();
        while envoy.stat(TAKEN) == before {
            assert!(start.elapsed() < SOON, "{} is not taken\n{}", self.version, envoy.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// In one step.
    fn write(&mut self, listener: &Listener) {
        self.version += 1;
        let mut filter = listener.plugin_filter();
        filter["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        let answer = json!({"version_info": self.version.to_string(), "resources": [filter]});
        let next = self.directory.path().join("filter.next");
        std::fs::write(&next, answer.to_string()).expect("a file");
        std::fs::rename(next, self.directory.path().join("filter.json")).expect("a file in its place");
    }
}
