//! What does a request cost, over an Envoy that does nothing but answer?
//!
//! Each round starts an Envoy of one worker with a listener for each of the [`cases`], all of which answer by themselves
//! (`direct_response`), so that no upstream is measured. Then it goes through the cases: a warm-up, the [`load`], and the [`cpu`]
//! time that Envoy's process took for it. Rounds alternate between the cases, so what slows the machine for a while slows
//! all of them, and each case is compared with `bare` of the same round. A response of another status than the case is about
//! ends the run: a benchmark of refusals by mistake is worth nothing.

pub mod cases;
pub mod chain;
pub mod cpu;
pub mod figures;
pub mod load;
pub mod machine;
pub mod memory;
pub mod report;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artifacts;
use crate::envoy::Envoy;
use crate::envoy_config::Cluster;
use crate::key_server::{Answer, KeyServer};
use cases::Case;
use cpu::Cores;
use figures::Table;
use load::Load;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How often every case is measured, each time in another process.
    pub rounds: usize,
    /// Requests of a case in a round.
    pub requests: usize,
    /// Requests before those that count.
    pub warm_up: usize,
}

impl Effort {
    /// Some minutes.
    pub const FULL: Self = Self { rounds: 11, requests: 20_000, warm_up: 3_000 };
    /// To see that all of it works, and a first idea.
    pub const QUICK: Self = Self { rounds: 3, requests: 3_000, warm_up: 1_000 };
}

/// Measures the cases. `progress` is told what happens.
pub fn run(cases: &[Case], effort: Effort, progress: &mut dyn FnMut(&str)) -> Result<Table, String> {
    let cores = Cores::choose().map_err(|error| error.to_string())?;
    progress(&cores.to_string());
    let collector = collector()?;
    let mut table = Table::of(cases);
    for round in 1..=effort.rounds {
        let envoy = start(cases, cores, &collector)?;
        for (index, case) in cases.iter().enumerate() {
            let micros = measure(&envoy, index, case, effort)?;
            table.add(index, micros);
            progress(&format!("round {round} of {}: {:7.2} us  {}", effort.rounds, micros, case.name));
        }
    }
    Ok(table)
}

/// Microseconds of CPU a request.
fn measure(envoy: &Envoy, index: usize, case: &Case, effort: Effort) -> Result<f64, String> {
    let told = |error: std::io::Error| format!("{}: {error}", case.name);
    let address = envoy.listener(&listener_name(index)).ok_or("a listener is gone")?;
    let mut load = Load::connect(address, &case.requests).map_err(told)?;
    load.run(effort.warm_up).map_err(told)?;
    let before = cpu::time_of(envoy.pid()).map_err(told)?;
    let statuses = load.run(effort.requests).map_err(told)?;
    let spent = cpu::time_of(envoy.pid()).map_err(told)?.saturating_sub(before);
    let answered: u64 = statuses.values().sum();
    if statuses.keys().ne([&case.status]) {
        return Err(format!("{}: {} was expected, and there came {statuses:?}", case.name, case.status));
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let answered = answered as f64;
    Ok(spent.as_secs_f64() * 1e6 / answered)
}

/// Takes audit events, and forgets them. It runs in this process, so what it costs is not Envoy's.
fn collector() -> Result<KeyServer, String> {
    let collector = KeyServer::start().map_err(|error| error.to_string())?;
    collector.answer("/v1/logs", Answer::of("application/x-protobuf", ""));
    Ok(collector)
}

fn start(cases: &[Case], cores: Cores, collector: &KeyServer) -> Result<Envoy, String> {
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let config = directory.path().join("envoy.json");
    fs::write(&config, bootstrap(cases, collector.port()).to_string()).map_err(|error| error.to_string())?;
    // The plugin's own lines are written, as they are by default: an event of an allowed request is one.
    let arguments = ["--concurrency", "1", "--log-level", "warning", "--component-log-level", "wasm:info"]
        .map(ToOwned::to_owned);
    let start = || Envoy::start_with(&config, directory, &arguments, &[], artifacts::repository());
    cores.with_proxy_core(start).map_err(|error| error.to_string())?.map_err(|failure| failure.to_string())
}

fn bootstrap(cases: &[Case], collector: u16) -> Value {
    let listeners = cases.iter().enumerate();
    let listeners = listeners
        .map(|(index, case)| chain::listener(&listener_name(index), case.filters.clone(), case.access_log));
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": listeners.collect::<Vec<_>>(),
            "clusters": [Cluster::new(chain::COLLECTOR, collector).to_json()],
        },
    })
}

fn listener_name(index: usize) -> String {
    format!("case-{index}")
}
