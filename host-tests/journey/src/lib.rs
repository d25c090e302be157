//! What comes of any bytes at all, if they are read as requests on their way through a gateway?
//!
//! | file | what it says |
//! | --- | --- |
//! | [`script`] | which requests, answers and pauses the bytes stand for |
//! | [`credentials`] | the tokens and keys that they may name |
//! | [`policies`] | the policies among which they choose |
//! | [`world`] | the proxy around the gateway, the same for each of its forms |
//! | [`drive`] | how a proxy leads requests through it, and what there was to see |
//! | [`native`] | the gateway's first form: its Rust code |
//!
//! libFuzzer looks for panics and broken promises in that form alone (`filter/fuzz/fuzz_targets/journey.rs`). The other form is the compiled
//! plugin; `host_tests::differential` leads both through the same journey and compares.

pub mod credentials;
pub mod drive;
pub mod native;
pub mod policies;
pub mod script;
pub mod world;
