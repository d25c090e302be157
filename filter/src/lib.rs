//! Portcullis: a secure API gateway in one proxy-wasm filter.
//!
//! **Bytes come in and become a request. The request walks down a list of guards; each passes it on or stops it.
//! The stop, or the admission, is data. The edge turns that data into host calls.**
//!
//! The house has floors, and a module looks down only:
//!
//! | floor | module | what it knows |
//! | --- | --- | --- |
//! | 5 | `envoy` | the only code that names the SDK: callbacks in, host calls out |
//! | 4 | [`gateway`] | one request's journey over any [`host::Host`]: read, decide, apply |
//! | 3 | [`policy`] | what a user writes, compiled into what a request sees |
//! | 2 | [`guards`] | the checks, one folder each, in the order in which they run |
//! | 1 | [`audit`], [`decision`], [`document`], [`host`], [`metrics`], [`problem`], [`redaction`], [`slots`] | how a request can end, how a policy can be wrong, what is written down, what a proxy offers, what its workers share |
//! | 0 | [`decimal`], [`hex`], [`http`], [`json`], [`limits`], [`protobuf`], [`secret`], [`time`] | bytes, bounds and clocks |
//!
//! `tests/tidy.rs` holds the floors, the order of the guards and the documents to this page.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::unreachable,
        clippy::todo,
        clippy::unimplemented
    )
)]

pub mod audit;
pub mod decimal;
pub mod decision;
pub mod document;
pub mod gateway;
pub mod guards;
pub mod hex;
pub mod host;
pub mod http;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod policy;
pub mod problem;
pub mod protobuf;
pub mod redaction;
pub mod secret;
pub mod slots;
pub mod time;

#[cfg(target_os = "wasi")]
mod envoy;

/// `#[test]` on a native target, `#[wasm_bindgen_test]` under Node: unit tests import it as `test`.
#[cfg(test)]
pub(crate) mod testing {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    pub(crate) use core::prelude::v1::test;
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) use wasm_bindgen_test::wasm_bindgen_test as test;
}
