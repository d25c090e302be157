//! What does the compiled plugin do with a scenario, in wasmtime and without a proxy?

use std::path::Path;
use std::time::Duration;

use crate::corpus::{Case, Plan, Runner};
use crate::exchange::Request;
use crate::observed::Observed;
use crate::wasm_host::{Compiled, Offer, WasmHost};

/// The compiled plugin in wasmtime.
pub struct InWasmtime {
    compiled: Compiled,
    host: Option<WasmHost>,
    verifies: bool,
}

impl InWasmtime {
    /// `verifies` says whether the host has `verify_signature`.
    pub fn new(plugin: &Path, verifies: bool) -> Result<Self, String> {
        Ok(Self { compiled: Compiled::new(plugin)?, host: None, verifies })
    }
}

impl Runner for InWasmtime {
    fn name(&self) -> &'static str {
        if self.verifies { "wasmtime" } else { "wasmtime without verify_signature" }
    }

    fn begin(&mut self, case: &Case, plan: &Plan) -> Result<(), String> {
        let offer = Offer {
            configuration: case.policy.to_string().into_bytes(),
            env: case.env.clone(),
            start: u64::try_from(plan.start.as_nanos()).map_err(|error| error.to_string())?,
            verifies: self.verifies,
        };
        let started = self.compiled.start(offer);
        self.host = Some(started.map_err(|(error, log)| format!("{error}: {log:#?}"))?);
        Ok(())
    }

    fn send(&mut self, offset: Duration, request: &Request) -> Result<Observed, String> {
        let host = self.host.as_mut().ok_or("not begun")?;
        host.set_time(offset);
        host.run(request)
    }
}
