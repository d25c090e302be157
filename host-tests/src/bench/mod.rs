//! What does a request cost, over an Envoy that does nothing but answer?
//!
//! Each round starts an Envoy of one worker with a listener for each of the [`cases`], all of which answer by themselves
//! (`direct_response`), so that no upstream is measured. Then it goes through the cases, several times in turn: a warm-up, the [`load`], and
//! the [`cpu`] time that Envoy's process took for it. A turn is short, so what slows the machine for a while slows
//! all cases, and each is compared with `bare` of the same turn. A response of another status than the case is about
//! ends the run: a benchmark of refusals by mistake is worth nothing.

pub mod cases;
pub mod chain;
pub mod contention;
pub mod cpu;
pub mod figures;
pub mod load;
pub mod machine;
pub mod memory;
mod ours;
pub mod peers;
pub mod plots;
pub mod report;
pub mod requests;
pub mod service;
pub mod starts;
pub mod svg;
mod theirs;
pub mod trials;

use std::fs;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::artifacts;
use crate::envoy::Envoy;
use crate::envoy_config::Cluster;
use crate::key_server::{Answer, KeyServer};
use crate::tokens::Keys;
use cases::Case;
use cpu::Cores;
use figures::{Micros, Table};
use load::Load;
use service::Service;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Processes, one after the other.
    pub rounds: usize,
    /// How often every case has its turn in each of them.
    pub turns: usize,
    /// Requests of a case in a turn.
    pub requests: usize,
    /// Requests before those that count, in the first turn; in the others a tenth of them.
    pub warm_up: usize,
}

impl Effort {
    /// Some minutes.
    pub const FULL: Self = Self { rounds: 5, turns: 8, requests: 640, warm_up: 1_000 };
    /// To see that all of it works, and a first idea.
    pub const QUICK: Self = Self { rounds: 2, turns: 3, requests: 640, warm_up: 400 };
}

/// Measures the cases. `progress` is told what happens.
pub fn run(cases: &[Case], effort: Effort, progress: &mut dyn FnMut(&str)) -> Result<Table, String> {
    let cores = Cores::choose().map_err(|error| error.to_string())?;
    progress(&cores.to_string());
    let collector = collector()?;
    let mut table = Table::of(cases);
    for round in 1..=effort.rounds {
        let proxy = start(cases, cores, &collector)?;
        let mut places: Vec<Place> = cases.iter().map(|_| Place::default()).collect();
        for turn in 1..=effort.turns {
            for (index, (case, place)) in cases.iter().zip(&mut places).enumerate() {
                let micros = measure(&proxy, index, case, effort, place)?;
                table.add(index, micros);
                let at = format!("round {round} of {}, turn {turn} of {}", effort.rounds, effort.turns);
                progress(&format!("{at}: {:7.2} us  {}", micros.all, case.name));
            }
        }
    }
    Ok(table)
}

/// Where a case stands in a round.
#[derive(Default)]
struct Place {
    /// Whether it has had a turn.
    warm: bool,
    /// Which of its requests is next. What is to be new in each turn is.
    next: usize,
}

/// Microseconds of CPU a request.
fn measure(
    proxy: &Proxy,
    index: usize,
    case: &Case,
    effort: Effort,
    place: &mut Place,
) -> Result<Micros, String> {
    let told = |error: std::io::Error| format!("{}: {error}", case.name);
    let address = proxy.envoy.listener(&listener_name(index)).ok_or("a listener is gone")?;
    let first = !core::mem::replace(&mut place.warm, true);
    let warm_up = if first { effort.warm_up } else { effort.warm_up / 10 };
    let (warm_up, requests) = (warm_up / case.part, effort.requests / case.part);
    if case.part > 1 && place.next + warm_up + requests + 2 * load::CONNECTIONS > case.requests.len() {
        return Err(format!("{}: there are {} requests, no more", case.name, case.requests.len()));
    }
    if case.whole && first {
        trials::hold(address).map_err(|error| format!("{}: {error}", case.name))?;
    }
    let mut load = Load::connect(address, &case.requests, place.next).map_err(told)?;
    load.run(warm_up).map_err(told)?;
    let before = proxy.spent(case).map_err(told)?;
    let statuses = load.run(requests).map_err(told)?;
    let after = proxy.spent(case).map_err(told)?;
    place.next = load.next();
    let answered: u64 = statuses.values().sum();
    if statuses.keys().ne([&case.status]) {
        return Err(format!("{}: {} was expected, and there came {statuses:?}", case.name, case.status));
    }
    // A script that fails lets the request pass, and a script that does nothing is quick.
    let failed = proxy.envoy.stat(&format!("http.{}.lua.errors", listener_name(index)));
    if failed > 0 {
        return Err(format!("{}: the script has failed {failed} times", case.name));
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let each = |after: Duration, before| after.saturating_sub(before).as_secs_f64() * 1e6 / answered as f64;
    let (envoy, service) = (each(after.0, before.0), each(after.1, before.1));
    Ok(Micros { all: envoy + service, service: case.service.then_some(service) })
}

/// What is measured: an Envoy, and the service that it asks, if any case has one.
struct Proxy {
    envoy: Envoy,
    service: Option<Service>,
}

impl Proxy {
    /// CPU time of Envoy and, for a case in which it has a part, of the service.
    fn spent(&self, case: &Case) -> io::Result<(Duration, Duration)> {
        let service = self.service.as_ref().filter(|_| case.service);
        let service = service.map_or(Ok(Duration::ZERO), |service| cpu::time_of(service.pid()));
        Ok((cpu::time_of(self.envoy.pid())?, service?))
    }
}

/// Takes audit events, and forgets them. It runs in this process, so what it costs is not Envoy's.
fn collector() -> Result<KeyServer, String> {
    let collector = KeyServer::start().map_err(|error| error.to_string())?;
    collector.answer("/v1/logs", Answer::of("application/x-protobuf", ""));
    Ok(collector)
}

fn start(cases: &[Case], cores: Cores, collector: &KeyServer) -> Result<Proxy, String> {
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let config = directory.path().join("envoy.json");
    // The plugin's own lines are written, as they are by default: an event of an allowed request is one.
    let arguments = ["--concurrency", "1", "--log-level", "warning", "--component-log-level", "wasm:info"]
        .map(ToOwned::to_owned);
    let start = || {
        let rules = || peers::service_rules(&Keys::of_this_run().jwks(&["rs256"])?);
        let asked = cases.iter().any(|case| case.service);
        let service = asked.then(|| Service::start(&rules()?)).transpose()?;
        let bootstrap = bootstrap(cases, collector.port(), service.as_ref().map(Service::port));
        fs::write(&config, bootstrap.to_string()).map_err(|error| error.to_string())?;
        let envoy = Envoy::start_with(&config, directory, &arguments, &[], artifacts::repository());
        Ok(Proxy { envoy: envoy.map_err(|failure| failure.to_string())?, service })
    };
    // The service shares the proxy's core: what both take is then what the machine gives for a request.
    cores.with_proxy_core(start).map_err(|error| error.to_string())?
}

fn bootstrap(cases: &[Case], collector: u16, service: Option<u16>) -> Value {
    let listeners = cases.iter().enumerate();
    let listeners = listeners
        .map(|(index, case)| chain::listener(&listener_name(index), case.filters.clone(), case.access_log));
    let service = service.map(|port| Cluster::new(peers::SERVICE, port).to_json());
    let clusters = std::iter::once(Cluster::new(chain::COLLECTOR, collector).to_json()).chain(service);
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": listeners.collect::<Vec<_>>(),
            "clusters": clusters.collect::<Vec<_>>(),
        },
    })
}

fn listener_name(index: usize) -> String {
    format!("case-{index}")
}
