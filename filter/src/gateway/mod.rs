//! One request's journey over any [`Host`]: read, decide, apply.

mod admit;
mod answer;
mod apply;
mod counting;
mod events;
mod halt;
mod leaving;
mod meters;
mod paused;
mod record;
mod response;
mod stay;
mod stream;
mod succession;
mod telling;
#[cfg(test)]
mod tests;
mod wait;

pub use stream::Stream;

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use self::meters::Meters;
use self::wait::Waiting;
use crate::audit::Left;
use crate::guards::identity::confirmation::dpop::Memory;
use crate::guards::overload::Load;
use crate::guards::rate_limit::Table;
use crate::guards::rate_limit::concurrency::Ledger;
use crate::guards::rate_limit::global::Asker;
use crate::host::{Host, HostError, Level};
use crate::metrics::Metric;
use crate::policy::Policy;
use crate::problem::Problem;

/// A loaded policy and the state that its requests share. One a plugin configuration and thread.
#[derive(Debug)]
pub struct Gateway {
    policy: Option<Policy>,
    table: Result<Table, HostError>,
    waiting: Waiting,
    asker: Asker,
    load: Load,
    meters: Meters,
    /// `None` if no route limits how many requests are under way.
    ledger: Option<Result<Ledger, HostError>>,
    /// `None` if no provider takes proofs of possession: a policy without them makes no slots.
    memory: Option<Result<Memory, HostError>>,
    /// Whether the collector has heard of the policy.
    announced: Cell<bool>,
    /// What policies before this one left to be sent.
    left: RefCell<Left>,
}

/// What the host does next with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It stops here; the client has been answered.
    Stop,
    /// It stops here until [`Gateway::on_tick`] or [`Gateway::on_answer`] lets it go on. The edge hands it to [`Gateway::on_wait`].
    Wait,
}

impl Gateway {
    /// Loads a policy. Whether it is refused depends on `document` alone. What the environment and the shared data lack becomes a
    /// state in which requests are refused with a reason.
    ///
    /// `seed` is random, and of this worker alone.
    pub fn start(document: &[u8], seed: [u8; 16], host: &impl Host) -> Result<Self, Vec<Problem>> {
        let me = seed.first_chunk().map_or(0, |half| u64::from_le_bytes(*half));
        let loaded = Policy::load(document);
        let (mut policy, warnings) = loaded.inspect_err(|problems| {
            Metric::PolicyLoads.add(host, &["refused"], 1);
            events::announce_refusal(document, problems.len(), host);
        })?;
        for problem in &warnings {
            host.log(Level::Warn, &format!("portcullis: {problem}"));
        }
        policy.providers.resolve(|name| host.env(name));
        let (name, digest) = (Rc::clone(&policy.name), Rc::clone(&policy.digest));
        let degraded = |what, told: &str| meters::degraded(host, &name, &digest, what, told);
        for (provider, why) in policy.providers.without_keys() {
            degraded("keys", &format!("portcullis: provider `{provider}` refuses every request: {why}"));
        }
        for (provider, why) in policy.providers.without_one_of_two(|name| host.env(name)) {
            degraded(
                "one_secret",
                &format!("portcullis: provider `{provider}` has one of two secrets alone: {why}"),
            );
        }
        for why in policy.providers.without_pepper() {
            degraded("pepper", &format!("portcullis: not every API key with a keyed hash is taken: {why}"));
        }
        policy.audit.resolve(|name| host.env(name));
        if let Some(variable) = policy.audit.subjects.without_key() {
            degraded(
                "subject_key",
                &format!(
                    "portcullis: no audit event names a subject: environment variable `{variable}` is missing or shorter than 32 bytes"
                ),
            );
        }
        if let Some(what) = policy.audit.sinks.otlp.as_ref().and_then(|exporter| exporter.without_header()) {
            degraded(
                "collector_header",
                &format!(
                    "portcullis: no audit event reaches the collector: environment variable `{what}` is missing or no header can hold it"
                ),
            );
        }
        if let Some(signing) = &mut policy.signing {
            signing.resolve(|name| host.env(name), seed);
            for (key, why) in signing.without_key() {
                degraded(
                    "signing_key",
                    &format!("portcullis: the key `{key}` of `signing` does not sign: {why}"),
                );
            }
        }
        let table = Table::prepare(host, seed, policy.state_bytes);
        if let Err(error) = &table {
            degraded("limits", &format!("portcullis: every limited request will be refused: {error}"));
        }
        let memory = policy.providers.takes_proofs().then(|| Memory::prepare(host, seed));
        if let Some(Err(error)) = &memory {
            degraded("proofs", &format!("portcullis: every proof of possession will be refused: {error}"));
        }
        let counts = policy.routes.iter().any(|route| route.rate_limit.limits_concurrency());
        let ledger = counts.then(|| Ledger::prepare(host, seed));
        if let Some(Err(error)) = &ledger {
            degraded(
                "concurrency",
                &format!("portcullis: where requests under way are limited, all are refused: {error}"),
            );
        }
        let routes = policy.routes.len();
        host.log(
            Level::Info,
            &format!("portcullis: policy `{name}` loaded, digest {digest}, {routes} routes"),
        );
        events::announce(&policy, host);
        let gateway = Self { policy: Some(policy), memory, ledger, ..Self::new(table) };
        gateway.begin(host, me);
        gateway.announce(host);
        Ok(gateway)
    }

    /// A gateway without a policy: it refuses everything.
    pub fn closed() -> Self {
        let table = Err(HostError { call: "on_configure", status: 0 });
        Self::new(table)
    }

    fn new(table: Result<Table, HostError>) -> Self {
        Self {
            policy: None,
            table,
            memory: None,
            waiting: Waiting::default(),
            asker: Asker::default(),
            ledger: None,
            load: Load::default(),
            meters: Meters::default(),
            announced: Cell::default(),
            left: RefCell::default(),
        }
    }
}
