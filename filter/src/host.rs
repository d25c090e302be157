//! What do we need from a proxy? A dozen calls, each of which may fail, none of which panics.

use core::fmt;

use crate::time::Timestamp;

/// A host call that did not do what it was asked: which one, and the ABI's status (1 not found, 2 bad argument, …).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostError {
    /// The call's name in the ABI, without `proxy_`.
    pub call: &'static str,
    /// The status it answered.
    pub status: u32,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host call {} answered status {}", self.call, self.status)
    }
}

/// The ABI's log levels that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For a developer.
    Debug,
    /// An allowed request, a policy loaded.
    Info,
    /// A refused request.
    Warn,
    /// A policy refused, a host that fails.
    Error,
}

/// The version of a shared value, as the host counts it. Never zero, which the ABI takes for "whatever is there".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cas(pub core::num::NonZeroU32);

/// What became of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// Written.
    Done,
    /// Somebody else wrote first; read again.
    Lost,
}

/// What the host says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is the key's.
    Valid,
    /// It is not.
    Invalid,
    /// This host has no such function (host fact H10): use the path in wasm.
    Unavailable,
}

/// An answer that the gateway itself gives. All of it is ours: names and values are checked where they are made, since
/// Envoy does not check them (a CR LF in a value reaches an HTTP/1 client as is).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u16,
    /// `%RESPONSE_CODE_DETAILS%` in Envoy's access log.
    pub details: &'static str,
    /// Header fields, in order.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// The `grpc-status` for a gRPC request.
    pub grpc_status: u32,
}

/// Bytes shared by all workers of one process (host fact H4): no delete, no expiry, no "create if absent".
pub trait SharedData {
    /// The value under `key` and its version; `None` if it was never written.
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError>;
    /// Writes `value` if the version is still `cas`. With `None` writes whatever is there: only where nobody else can be
    /// writing, which is the first load of a plugin.
    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError>;
}

/// The host's native signatures.
pub trait Verifier {
    /// Checks an RSASSA-PKCS1-v1_5 or ECDSA (DER-encoded) `signature` of `text` under the `SubjectPublicKeyInfo` `spki`.
    /// The host takes the key type from the key and the hash from the caller, so the caller binds the two.
    fn verify_signature(&self, hash: &'static str, spki: &[u8], signature: &[u8], text: &[u8]) -> Verdict;
    /// Signs `text` with ECDSA by a private key in PKCS#8 (DER): a signature in DER. `None` if this host has no such function (Envoy before
    /// 1.37), or did not sign: use the path in wasm.
    fn sign(&self, _hash: &'static str, _key: &[u8], _text: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// An HTTP request of our own, to a cluster that the proxy knows. All parts of it come from the policy or are checked where they are
/// made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The host's name for the cluster.
    pub cluster: &'a str,
    /// `:method`
    pub method: &'a str,
    /// `:scheme`
    pub scheme: &'a str,
    /// `:authority`
    pub authority: &'a str,
    /// `:path`
    pub path: &'a str,
    /// Fields.
    pub fields: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
    /// When the host gives up, in nanoseconds; whole milliseconds count.
    pub timeout: u64,
}

/// Which call an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub u32);

/// The answer to a [`Call`]. A cluster that is down answers 503, a timeout 504 (host fact H9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; zero if there is none.
    pub status: u16,
    /// The header map, in the form of [`Host::request_headers`].
    pub headers: Vec<u8>,
    /// The body; `None` if it is longer than [`crate::limits::ANSWER_BYTES`], of which nothing is read.
    pub body: Option<Vec<u8>>,
    /// The trailers, in the same form; empty if there are none or the host cannot tell.
    pub trailers: Vec<u8>,
}

/// A request that waits, by the host's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(pub u32);

/// What may be asked of a proxy outside of any request. Some proxies lack all of it (host fact H10), which is what holds unless a host
/// says otherwise: whoever needs an answer from the network then refuses.
pub trait Calls {
    /// Sends a call. The answer comes to [`crate::gateway::Gateway::on_answer`].
    fn call(&self, _: &Call<'_>) -> Result<CallId, HostError> {
        Err(HostError { call: "http_call", status: UNIMPLEMENTED })
    }

    /// How often [`crate::gateway::Gateway::on_tick`] is called from now on, in milliseconds.
    fn set_tick(&self, _: u32) -> Result<(), HostError> {
        Err(HostError { call: "set_tick_period_milliseconds", status: UNIMPLEMENTED })
    }

    /// What is asked next is asked for that request, not for the one whose callback this is.
    fn enter(&self, _: StreamId) -> Result<(), HostError> {
        Err(HostError { call: "set_effective_context", status: UNIMPLEMENTED })
    }

    /// What is asked next is asked for no request again.
    fn leave(&self) -> Result<(), HostError> {
        Err(HostError { call: "set_effective_context", status: UNIMPLEMENTED })
    }

    /// The entered request goes on.
    fn resume(&self) -> Result<(), HostError> {
        Err(HostError { call: "continue_stream", status: UNIMPLEMENTED })
    }
}

/// The ABI's word for a call that a host does not have.
const UNIMPLEMENTED: u32 = 12;

/// How the values of a metric add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it was last set to.
    Gauge,
    /// How its values are spread.
    Histogram,
}

/// A metric, by the host's number for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// Counters that the host shows to whoever watches it. Some proxies lack all of it (host fact H10), which is what holds unless a host says
/// otherwise; nothing that is decided hangs on it.
pub trait Metrics {
    /// Makes a metric of this name. The same name has the same number, however often it is asked for.
    fn define(&self, _: Kind, _: &str) -> Result<MetricId, HostError> {
        Err(HostError { call: "define_metric", status: UNIMPLEMENTED })
    }

    /// Counts so many more.
    fn increment(&self, _: MetricId, _: u64) -> Result<(), HostError> {
        Err(HostError { call: "increment_metric", status: UNIMPLEMENTED })
    }

    /// Sets a gauge, or adds a value to a histogram.
    fn record(&self, _: MetricId, _: u64) -> Result<(), HostError> {
        Err(HostError { call: "record_metric", status: UNIMPLEMENTED })
    }
}

/// A proxy, as one request sees it.
pub trait Host: SharedData + Verifier + Calls + Metrics {
    /// The real time.
    fn now(&self) -> Result<Timestamp, HostError>;
    /// The request's header map in the ABI's own form: one copy, no parsing. See [`crate::http::Head::parse`].
    fn request_headers(&self) -> Result<Vec<u8>, HostError>;
    /// Sets a request header, in place of every one of that name.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError>;
    /// Takes every request header of that name away.
    fn remove_request_header(&self, name: &str) -> Result<(), HostError>;
    /// The request's trailers, in the form of [`Host::request_headers`].
    fn request_trailers(&self) -> Result<Vec<u8>, HostError>;
    /// Takes every request trailer of that name away.
    fn remove_request_trailer(&self, name: &str) -> Result<(), HostError>;
    /// The response's header map, in the form of [`Host::request_headers`]; only while the response's head is passing, as the next three.
    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        Err(HostError { call: "get_header_map_pairs", status: UNIMPLEMENTED })
    }
    /// A header of the response. Of one that came more than once hosts tell the first value, or all of them in one: for a list, read the map.
    fn response_header(&self, _: &str) -> Result<Option<Vec<u8>>, HostError> {
        Err(HostError { call: "get_header_map_value", status: UNIMPLEMENTED })
    }
    /// Sets a response header, in place of every one of that name.
    fn set_response_header(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Err(HostError { call: "replace_header_map_value", status: UNIMPLEMENTED })
    }
    /// Takes every response header of that name away.
    fn remove_response_header(&self, _: &str) -> Result<(), HostError> {
        Err(HostError { call: "remove_header_map_value", status: UNIMPLEMENTED })
    }
    /// A property of the stream (`source.address`, `response.code`); `None` if this host or moment has none.
    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError>;
    /// Sets a filter-state property of one segment: `portcullis_admitted` becomes `wasm.portcullis_admitted`.
    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError>;
    /// Answers the client instead of the upstream.
    fn respond(&self, response: &LocalResponse) -> Result<(), HostError>;
    /// Writes a line to the host's log. The caller escapes it.
    fn log(&self, level: Level, line: &str);
    /// A variable of the plugin's environment; read when the VM starts.
    fn env(&self, name: &str) -> Option<Vec<u8>>;
}
