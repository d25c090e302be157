//! One request's journey over any [`Host`]: read, decide, apply.

mod admit;
mod answer;
mod apply;
mod record;
mod stream;
#[cfg(test)]
mod tests;

pub use stream::Stream;

use crate::guards::rate_limit::Table;
use crate::host::{Host, HostError, Level};
use crate::policy::Policy;
use crate::problem::Problem;

/// A loaded policy and the state that its requests share. One a plugin configuration and thread.
#[derive(Debug)]
pub struct Gateway {
    policy: Option<Policy>,
    table: Result<Table, HostError>,
}

/// What the host does next with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// It stops here; the client has been answered.
    Stop,
}

impl Gateway {
    /// Loads a policy. Whether it is refused depends on `document` alone. What the environment and the shared data lack becomes a
    /// state in which requests are refused with a reason.
    pub fn start(document: &[u8], seed: [u8; 16], host: &impl Host) -> Result<Self, Vec<Problem>> {
        let (mut policy, warnings) = Policy::load(document)?;
        for problem in &warnings {
            host.log(Level::Warn, &format!("portcullis: {problem}"));
        }
        policy.providers.resolve(|name| host.env(name));
        for (provider, why) in policy.providers.without_keys() {
            host.log(
                Level::Error,
                &format!("portcullis: provider `{provider}` refuses every request: {why}"),
            );
        }
        let table = Table::prepare(host, seed);
        if let Err(error) = &table {
            host.log(Level::Error, &format!("portcullis: every limited request will be refused: {error}"));
        }
        let (name, digest, routes) = (&policy.name, &policy.digest, policy.routes.len());
        host.log(
            Level::Info,
            &format!("portcullis: policy `{name}` loaded, digest {digest}, {routes} routes"),
        );
        Ok(Self { policy: Some(policy), table })
    }

    /// A gateway without a policy: it refuses everything.
    pub fn closed() -> Self {
        Self { policy: None, table: Err(HostError { call: "on_configure", status: 0 }) }
    }
}
