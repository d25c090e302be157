//! What does Envoy read to put the plugin before an upstream? One listener for one policy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::{Authority, Certificate};
use crate::corpus::merge;
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
    /// Variables that the plugin takes over from the proxy's own environment, so that no configuration holds their values.
    pub host_env: BTreeMap<String, String>,
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
    /// Where its traces go, as the connection manager's `tracing`.
    pub tracing: Option<Value>,
    /// Whether clients speak TLS to it.
    pub tls: Option<Tls>,
    /// Fields that the router adds for the upstream: name, and value in Envoy's own format (`%DOWNSTREAM_PEER_FINGERPRINT_256%`).
    pub upstream_fields: Vec<(String, String)>,
    /// What its connection manager has otherwise, as a merge patch (RFC 7396).
    pub manager: Value,
    /// What its plugin's configuration has otherwise, as a merge patch.
    pub plugin_config: Value,
}

/// What a listener shows of itself, and what it asks of clients.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The listener's own certificate.
    pub certificate: Certificate,
    /// The client's.
    pub client: ClientCertificate,
}

/// What a listener asks of clients. A certificate that the authority did not issue ends the connection, but for the last.
#[derive(Clone, Debug)]
pub enum ClientCertificate {
    /// Nothing: what a client has, it does not show.
    NotAsked,
    /// A certificate of this authority, or none.
    Optional(Authority),
    /// A certificate of this authority.
    Required(Authority),
    /// One must be there, and no authority is named: Envoy then asks for none.
    RequiredOfNobody,
    /// A certificate of whomever, though an authority is named: `ACCEPT_UNTRUSTED`.
    Untrusted(Authority),
}

impl Tls {
    /// As `envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`, in the place where a filter chain has it.
    fn to_json(&self) -> Value {
        let mut context = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{
                "certificate_chain": {"inline_string": self.certificate.to_pem()},
                "private_key": {"inline_string": self.certificate.key_to_pem()},
            }]},
        });
        let (authority, required) = match &self.client {
            ClientCertificate::NotAsked => (None, false),
            ClientCertificate::RequiredOfNobody => (None, true),
            ClientCertificate::Optional(authority) => (Some(authority), false),
            ClientCertificate::Required(authority) | ClientCertificate::Untrusted(authority) => {
                (Some(authority), true)
            }
        };
        if let Some(authority) = authority {
            context["common_tls_context"]["validation_context"] =
                json!({"trusted_ca": {"inline_string": authority.to_pem()}});
        }
        if matches!(self.client, ClientCertificate::Untrusted(_)) {
            context["common_tls_context"]["validation_context"]["trust_chain_verification"] =
                json!("ACCEPT_UNTRUSTED");
        }
        context["require_client_certificate"] = json!(required);
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
    }
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
            host_env: BTreeMap::new(),
            plugin,
            upstream,
            normalize: false,
            plugin_disabled: false,
            access_log: Vec::new(),
            tracing: None,
            tls: None,
            upstream_fields: Vec::new(),
            manager: json!({}),
            plugin_config: json!({}),
        }
    }

    /// As `envoy.config.listener.v3.Listener`.
    pub fn to_json(&self) -> Value {
        let mut chain = json!({"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": self.connection_manager(),
        }]});
        if let Some(tls) = &self.tls {
            chain["transport_socket"] = tls.to_json();
        }
        json!({
            "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
            "name": self.name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [chain],
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
        if let Some(tracing) = &self.tracing {
            manager["tracing"] = tracing.clone();
        }
        if self.normalize {
            manager["normalize_path"] = json!(true);
            manager["merge_slashes"] = json!(true);
            manager["path_with_escaped_slashes_action"] = json!("REJECT_REQUEST");
        }
        merge(&mut manager, &self.manager);
        manager
    }

    fn virtual_host(&self) -> Value {
        let mut route = json!({
            "match": {"prefix": "/"},
            "route": {"cluster": upstream_name(self.upstream)},
            "request_headers_to_add": self.upstream_fields.iter().map(|(name, value)| json!({
                "header": {"key": name, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            })).collect::<Vec<_>>(),
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
        let mut filter = json!({
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
                        "environment_variables": {
                            "key_values": self.env,
                            "host_env_keys": self.host_env.keys().collect::<Vec<_>>(),
                        },
                    },
                },
            },
        });
        merge(&mut filter["typed_config"]["config"], &self.plugin_config);
        filter
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
            "rules_stat_prefix": "portcullis_guard.",
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
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, by which the plugin's policy asks for it.
    pub name: String,
    /// The endpoint's port.
    pub port: u16,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Its limits, as `envoy.config.cluster.v3.CircuitBreakers.Thresholds`; `None`: Envoy's defaults.
    pub thresholds: Option<Value>,
    /// The whole of it, as somebody wrote it, in place of all this.
    pub written: Option<Value>,
}

impl Cluster {
    /// A cluster of this name, with nothing special.
    pub fn new(name: &str, port: u16) -> Self {
        let connect_timeout = Duration::from_secs(2);
        Self { name: name.to_owned(), port, connect_timeout, thresholds: None, written: None }
    }

    /// A cluster as it stands in a document, with the port of a test in place of its own.
    pub fn written(mut cluster: Value, port: u16) -> Self {
        let name = cluster["name"].as_str().unwrap_or_default().to_owned();
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
        if let Some(address) = cluster.pointer_mut(endpoint) {
            *address = json!({"address": "127.0.0.1", "port_value": port});
        }
        Self { written: Some(cluster), ..Self::new(&name, port) }
    }

    /// A cluster that speaks HTTP/2, as gRPC needs.
    pub fn of_grpc(name: &str, port: u16) -> Self {
        let cluster = json!({
            "name": name,
            "connect_timeout": "2s",
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            }}]}]},
        });
        Self::written(cluster, port)
    }

    /// With room for `count` requests at once, and as many that wait for them; one more is refused with 503. A worker may always
    /// have one connection of its own, so what is refused first depends on who serves it.
    #[must_use]
    pub fn at_most(mut self, count: u32) -> Self {
        // A request waits until there is a connection for it: with no place to wait, not even the first would go.
        self.thresholds = Some(json!({
            "max_connections": count,
            "max_pending_requests": count,
            "max_requests": count,
            "max_retries": 0,
        }));
        self
    }

    /// The cluster that a listener's route goes to.
    pub fn of_upstream(port: u16) -> Self {
        Self::new(&upstream_name(port), port)
    }

    /// As `envoy.config.cluster.v3.Cluster`.
    pub fn to_json(&self) -> Value {
        if let Some(cluster) = &self.written {
            return cluster.clone();
        }
        // As the README says: shorter than the five seconds after which Node closes a connection that nobody uses.
        let http = json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "common_http_protocol_options": {"idle_timeout": "1s"},
            "explicit_http_config": {"http_protocol_options": {}},
        });
        let mut cluster = json!({
            "name": self.name,
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http},
            "connect_timeout": format!("{}.{:03}s", self.connect_timeout.as_secs(), self.connect_timeout.subsec_millis()),
            "load_assignment": {"cluster_name": self.name, "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}},
            }}]}]},
        });
        if let Some(thresholds) = &self.thresholds {
            cluster["circuit_breakers"] = json!({"thresholds": [thresholds]});
        }
        cluster
    }
}

fn upstream_name(port: u16) -> String {
    format!("upstream-{port}")
}

/// An answer of the file-based listener discovery.
pub fn discovery(listeners: &[Listener], version: u32) -> Value {
    let resources: Vec<Value> = listeners.iter().map(Listener::to_json).collect();
    json!({"version_info": version.to_string(), "resources": resources})
}
