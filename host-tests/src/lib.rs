//! Does the compiled plugin do in real hosts what its tests say it does?
//!
//! One corpus of scenarios (`scenarios/*.yaml`), three runners that must agree:
//!
//! | runner | the filter | the host | the clock |
//! | --- | --- | --- | --- |
//! | [`native`] | its Rust code, linked natively | [`fake_host`], a world of maps | virtual |
//! | [`in_wasmtime`] | the compiled plugin | [`wasm_host`]: wasmtime, in this process | virtual |
//! | [`envoy`] | the compiled plugin | a real Envoy with two workers | real |
//!
//! [`scenario`] says what is written, [`corpus`] brings it to life, [`observed`] is what a runner saw. [`client`] and [`upstream`]
//! are the two ends of the wire, [`tokens`] signs with keys made at start: no key is ever committed.
//! What the plugin calls while it serves is a certified provider ([`oidc`]) for what is usual, and a [`key_server`] that misbehaves on
//! demand for what is not; [`certificates`] and [`tls`] are for clients that are known by their certificate.
//! Its audit events go to a real [`collector`].
//! A real [`prometheus`] reads what it counts. [`mod@bench`] measures what a request costs, with the same Envoy and the same tokens;
//! [`metered`] counts it, in wasmtime. [`differential`] leads bytes that nobody has thought of through the native code and the plugin, and compares.

pub mod api_key;
pub mod artifacts;
#[cfg(feature = "in-process")]
pub mod bench;
pub mod canaries;
pub mod certificates;
pub mod client;
pub mod collector;
pub mod corpus;
pub mod demo;
#[cfg(feature = "in-process")]
pub mod differential;
pub mod dpop;
pub mod edge;
pub mod envoy;
pub mod envoy_config;
pub mod exchange;
pub mod extension;
pub mod fake_host;
#[cfg(feature = "in-process")]
mod guest;
#[cfg(feature = "in-process")]
pub mod in_wasmtime;
pub mod key_server;
#[cfg(feature = "in-process")]
pub mod metered;
pub mod native;
pub mod observed;
pub mod oidc;
pub mod probe;
pub mod prometheus;
pub mod scenario;
pub mod soak;
pub mod tls;
pub mod tokens;
pub mod upstream;
pub mod verify;
#[cfg(feature = "in-process")]
pub mod wasm_host;
#[cfg(feature = "in-process")]
pub mod wasm_stream;
