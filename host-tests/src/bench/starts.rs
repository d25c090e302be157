//! How long does a start take, and how large is the process then? With the plugin, with one that does nothing, and with none.

use std::time::Instant;

use super::cases::{BARE, Case};
use super::chain::{self, NO_LIMIT};
use super::cpu::{self, Cores};
use super::figures::Spread;
use super::memory::resident;
use super::{collector, start};
use crate::artifacts;
use crate::tokens::Keys;

/// What starting costs with these filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// What is started.
    pub name: &'static str,
    /// Milliseconds from the start of the process until it says that it is ready.
    pub millis: Spread,
    /// Milliseconds of CPU time until then, on all cores together.
    pub cpu: Spread,
    /// MiB in memory then (proc(5), `VmRSS`).
    pub resident: Spread,
}

/// What was found of one of them.
#[derive(Default)]
struct Found {
    millis: Vec<f64>,
    cpu: Vec<f64>,
    resident: Vec<f64>,
}

/// Starts each `times` times, in turn.
pub fn run(times: usize, progress: &mut dyn FnMut(&str)) -> Result<Vec<Start>, String> {
    // V8 compiles on all the cores that it may use.
    let (cores, collector) = (Cores::Shared, collector()?);
    let cases = cases()?;
    let mut found: Vec<Found> = cases.iter().map(|_| Found::default()).collect();
    for round in 1..=times {
        for (case, found) in cases.iter().zip(&mut found) {
            let began = Instant::now();
            let proxy = start(std::slice::from_ref(case), cores, &collector)?;
            let took = began.elapsed().as_secs_f64() * 1e3;
            let pid = proxy.envoy.pid();
            let cpu = cpu::time_of(pid).map_err(|error| error.to_string())?.as_secs_f64() * 1e3;
            let size = resident(pid)?;
            #[expect(clippy::cast_precision_loss, reason = "some hundred MiB")]
            let size = size as f64 / 1024.0;
            let told = format!("{took:6.0} ms, {cpu:6.0} ms of CPU, {size:5.1} MiB");
            progress(&format!("start {round} of {times}: {told}  {}", case.name));
            found.millis.push(took);
            found.cpu.push(cpu);
            found.resident.push(size);
        }
    }
    let told = |(case, found): (&Case, Found)| {
        let (millis, cpu) = (Spread::of(found.millis)?, Spread::of(found.cpu)?);
        Some(Start { name: case.name, millis, cpu, resident: Spread::of(found.resident)? })
    };
    cases.iter().zip(found).map(told).collect::<Option<_>>().ok_or_else(|| "nothing was started".to_owned())
}

fn cases() -> Result<Vec<Case>, String> {
    let keys = Keys::of_this_run();
    let (jwks, secret, plugin) =
        (keys.jwks(&["rs256", "es256"])?, keys.hmac_secret("hs256")?, artifacts::plugin()?);
    let policy = chain::policy("bench", &jwks, NO_LIMIT);
    let many = chain::with_routes(policy.clone(), 1000);
    Ok(vec![
        Case::of_filters(BARE, vec![]),
        Case::of_filters("no-op plugin", chain::noop(&artifacts::noop()?)),
        Case::of_filters("portcullis", chain::gateway(&plugin, policy, &secret)),
        Case::of_filters("portcullis, 1,000 routes more", chain::gateway(&plugin, many, &secret)),
    ])
}
