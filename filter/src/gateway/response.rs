//! What is left to be done for an admitted request when its response is there?

use super::{Gateway, telling};
use crate::decision::Telling;
use crate::guards::rate_limit::Permit;
use crate::host::{Host, HostError, Level};
use crate::policy::Policy;

/// Takes off what an upstream sends back of what only it was told. Should that fail, the response goes out all the same: what is in it was
/// bound to a request that has been made.
pub(super) fn keep_back(host: &impl Host, policy: Option<&Policy>, route: Option<usize>) {
    let route = policy.zip(route).and_then(|(policy, route)| policy.routes.get(route));
    if let Some(assertion) = route.and_then(|route| route.assertion.as_ref())
        && let Err(error) = host.remove_response_header(&assertion.header)
    {
        host.log(Level::Warn, &format!("portcullis: a response may hold its request's assertion: {error}"));
    }
}

/// What the limits of a request still want of its response.
#[derive(Debug)]
pub(super) struct Response {
    permit: Permit,
    telling: Telling,
}

impl Response {
    /// `None` if nothing is left to be done, which is the usual case.
    pub(super) fn of(permit: Permit, telling: Telling) -> Option<Box<Self>> {
        let idle = permit.standings.is_empty() && permit.dues.is_empty();
        (!idle).then(|| Box::new(Self { permit, telling }))
    }

    /// Settles what the request has cost, and tells the caller how it stands. The response goes out in any case: what cannot be done is
    /// logged.
    pub(super) fn on_headers(&self, host: &impl Host, gateway: &Gateway) {
        for result in [self.settle(host, gateway), self.tell(host)] {
            if let Err(error) = result {
                host.log(
                    Level::Warn,
                    &format!("portcullis: a response kept its cost or lacks its limits: {error}"),
                );
            }
        }
    }

    fn settle(&self, host: &impl Host, gateway: &Gateway) -> Result<(), HostError> {
        if self.permit.dues.is_empty() {
            return Ok(());
        }
        let (now, table) = (host.now()?, gateway.table.as_ref().map_err(|error| *error)?);
        // Two rules may ask for one header, so it is taken off when all have read it.
        for due in &self.permit.dues {
            let said = host.response_header(due.header())?;
            if due.settle(said.as_deref(), now, host, table).is_err() {
                host.log(Level::Warn, "portcullis: a response's cost could not be charged");
            }
        }
        self.permit.dues.iter().try_for_each(|due| host.remove_response_header(due.header()))
    }

    fn tell(&self, host: &impl Host) -> Result<(), HostError> {
        let fields = telling::fields(&self.permit.standings, self.telling);
        fields.iter().try_for_each(|(name, value)| host.set_response_header(name, value.as_bytes()))
    }
}
