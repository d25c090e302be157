//! What does a request cost the plugin, counted and not timed? Instructions, allocations and host calls in wasmtime, the same on every machine
//! and on every run: nothing in [`host`] is random, and its clock stands still.
//!
//! The numbers that are committed (`baseline.txt`) are compared with those of the plugin at hand by `tests/baseline.rs`.

pub mod baseline;
pub mod cases;
pub mod counter;
pub mod endurance;
pub mod growth;
pub mod host;

use std::collections::BTreeMap;

/// What something cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Instructions, in wasmtime's unit of fuel: one each, as a rule.
    pub fuel: u64,
    /// How often memory was asked for.
    pub allocations: u64,
    /// How often each host call was made, by its name in the ABI without `proxy_`.
    pub calls: BTreeMap<String, u64>,
}
