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
    /// This host has no such function (host-facts: other proxies lack foreign functions): use the path in wasm.
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

/// Bytes shared by all workers of one process (host-facts §2): no delete, no expiry, no "create if absent".
pub trait SharedData {
    /// The value under `key` and its version; `None` if it was never written.
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError>;
    /// Writes `value` if the version is still `cas`. With `None` writes whatever is there: only where nobody else can be
    /// writing, which is the first load of a plugin.
    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError>;
}

/// The host's native signature check.
pub trait Verifier {
    /// Checks an RSASSA-PKCS1-v1_5 or ECDSA (DER-encoded) `signature` of `text` under the `SubjectPublicKeyInfo` `spki`.
    /// The host takes the key type from the key and the hash from the caller, so the caller binds the two.
    fn verify_signature(&self, hash: &'static str, spki: &[u8], signature: &[u8], text: &[u8]) -> Verdict;
}

/// A proxy, as one request sees it.
pub trait Host: SharedData + Verifier {
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
