//! What does Envoy read to put the plugin before an upstream? One listener for one policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::scenario::Carrier;

/// The filter-state key that the plugin sets on what it admits, and the guard behind it demands.
pub const ADMITTED: &str = "wasm.portcullis_admitted";

/// A listener on a free port, with the plugin and the guard before the upstream.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name, and the plugin's.
    pub name: String,
    /// The policy, as the document.
    pub policy: Value,
    /// How the policy is handed over.
    pub carrier: Carrier,
    /// Whose shared data it sees. Listeners of one `vm_id` and one environment share a VM, which then compiles once.
    pub vm_id: String,
    /// The plugin's environment.
    pub env: BTreeMap<String, String>,
    /// The compiled plugin.
    pub plugin: PathBuf,
    /// The upstream's port on the loopback interface.
    pub upstream: u16,
    /// Whether the proxy rewrites paths before the plugin sees them, as `envoy.yaml` makes it. The corpus leaves it off: the
    /// plugin must hold alone.
    pub normalize: bool,
    /// Whether the plugin is switched off on the listener's one route, as an owner of a route could.
    pub plugin_disabled: bool,
    /// Where Envoy writes of each request, as `envoy.config.accesslog.v3.AccessLog`.
    pub access_log: Vec<Value>,
}

impl Listener {
    /// A listener that runs `policy`, with nothing special.
    pub fn new(name: &str, policy: Value, plugin: PathBuf, upstream: u16) -> Self {
        Self {
            name: name.to_owned(),
            policy,
            carrier: Carrier::String,
            vm_id: "portcullis-test".to_owned(),
            env: BTreeMap::new(),
            plugin,
            upstream,
            normalize: false,
            plugin_disabled: false,
            access_log: Vec::new(),
        }
    }

    /// As `envoy.config.listener.v3.Listener`.
    pub fn to_json(&self) -> Value {
        json!({
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": self.name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": self.connection_manager(),
            }]}],
        })
    }

    fn connection_manager(&self) -> Value {
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": self.name,
            "route_config": {"virtual_hosts": [self.virtual_host()]},
            "access_log": self.access_log,
            "http_filters": [self.plugin_filter(), guard(), router()],
            // The client's address is the last one of `x-forwarded-for`, so that a test can come from anywhere.
            "use_remote_address": false,
            // A test finds its audit event by the id that it sent.
            "generate_request_id": false,
            "preserve_external_request_id": true,
            // Envoy's own bounds are lifted as far as they go: the plugin must hold alone.
            "common_http_protocol_options": {"max_headers_count": 1000},
            "max_request_headers_kb": 200,
            "request_timeout": "10s",
            "stream_idle_timeout": "10s",
        });
        if self.normalize {
            manager["normalize_path"] = json!(true);
            manager["merge_slashes"] = json!(true);
            manager["path_with_escaped_slashes_action"] = json!("REJECT_REQUEST");
        }
        manager
    }

    fn virtual_host(&self) -> Value {
        let mut route = json!({
            "match": {"prefix": "/"},
            "route": {"cluster": format!("upstream-{}", self.upstream)},
        });
        if self.plugin_disabled {
            route["typed_per_filter_config"] = json!({
                "portcullis": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true},
            });
        }
        json!({"name": "all", "domains": ["*"], "routes": [route]})
    }

    /// The plugin as an HTTP filter.
    pub fn plugin_filter(&self) -> Value {
        json!({
            "name": "portcullis",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": self.name,
                    "root_id": "portcullis",
                    "failure_policy": "FAIL_RELOAD",
                    "allow_on_headers_stop_iteration": true,
                    "configuration": self.configuration(),
                    "vm_config": {
                        "vm_id": self.vm_id,
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": self.plugin}},
                        "environment_variables": {"key_values": self.env},
                    },
                },
            },
        })
    }

    fn configuration(&self) -> Value {
        match self.carrier {
            Carrier::String => json!({
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": self.policy.to_string(),
            }),
            Carrier::Struct => json!({
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": self.policy,
            }),
        }
    }
}

/// Lets pass only what the plugin marked: if the proxy has dropped the plugin, or somebody switched it off, nothing passes.
pub fn guard() -> Value {
    json!({
        "name": "portcullis-guard",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": "ALLOW", "policies": {"admitted": {
                "permissions": [{"any": true}],
                "principals": [{"filter_state": {"key": ADMITTED, "string_match": {"exact": "1"}}}],
            }}},
        },
    })
}

/// The last filter of every chain.
pub fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

/// A cluster of one endpoint on the loopback interface.
pub fn cluster(port: u16) -> Value {
    let name = format!("upstream-{port}");
    json!({
        "name": name,
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        }}]}]},
    })
}

/// An answer of the file-based listener discovery.
pub fn discovery(listeners: &[Listener], version: u32) -> Value {
    let resources: Vec<Value> = listeners.iter().map(Listener::to_json).collect();
    json!({"version_info": version.to_string(), "resources": resources})
}
