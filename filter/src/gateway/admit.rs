//! May this request pass? A dozen lines, one per guard; the order of the lines is the order of the checks.

use core::cell::OnceCell;
use std::net::IpAddr;
use std::rc::Rc;

use super::Gateway;
use super::halt::Halt;
use super::response::Response;
use crate::audit::Penalty;
use crate::decision::{Detail, Ending, Mode, Reason, Refusal};
use crate::guards::identity::attempt::{Attempt, Open};
use crate::guards::identity::{self, Caller, Identified, Stop, Witness};
use crate::guards::rate_limit::concurrency::{self, Seats};
use crate::guards::rate_limit::failures::Watch;
use crate::guards::rate_limit::global::message::Response as Said;
use crate::guards::rate_limit::global::{Asked, Fault, Global, Question};
use crate::guards::rate_limit::{self, Facts, Permit, Table};
use crate::guards::shape::Wellformed;
use crate::guards::{access, body, cors, shape};
use crate::host::{Answer, Host, HostError};
use crate::http::Head;
use crate::policy::{Policy, Route};
use crate::redaction::{Redacted, Shown};
use crate::time::Timestamp;

/// A request on its way, and what has been found out about it so far: an audit event of a refusal tells as much as was known.
#[derive(Debug)]
pub(super) struct Journey<'p> {
    policy: &'p Policy,
    gateway: &'p Gateway,
    head: &'p Head,
    now: Timestamp,
    began: Timestamp,
    has_body: bool,
    arrived: usize,
    route: Option<usize>,
    /// Whether it is a preflight for its route.
    preflight: bool,
    /// Whether its route must not be known of.
    hidden: bool,
    address: Option<IpAddr>,
    /// Found out when somebody asks, since a request that passes in silence has no use for it.
    shown: OnceCell<Rc<Shown>>,
    caller: Option<Caller>,
    rule: Option<Rc<str>>,
    shadow_rules: Vec<Rc<str>>,
    penalties: Vec<Penalty>,
}

/// What a journey has found out, kept while the request waits for its last answer.
#[derive(Debug)]
pub(super) struct Passed {
    route: Option<usize>,
    address: Option<IpAddr>,
    rule: Option<Rc<str>>,
    shadow_rules: Vec<Rc<str>>,
}

/// What an admission asks of the edge.
#[derive(Debug)]
pub(super) struct Admission {
    /// Who, and which headers say so.
    pub(super) identified: Identified,
    /// Counts the body.
    pub(super) meter: body::Meter,
    /// What is left to be done with the response.
    pub(super) response: Option<Box<Response>>,
    /// What is given back when the stream is over.
    pub(super) seats: Seats,
}

impl<'p> Journey<'p> {
    pub(super) fn new(
        policy: &'p Policy,
        gateway: &'p Gateway,
        head: &'p Head,
        now: Timestamp,
        has_body: bool,
    ) -> Self {
        let (route, address, caller, rule) = (None, None, None, None);
        Self {
            policy,
            gateway,
            head,
            now,
            began: now,
            has_body,
            arrived: 0,
            route,
            preflight: false,
            hidden: false,
            address,
            shown: OnceCell::new(),
            caller,
            rule,
            shadow_rules: Vec::new(),
            penalties: Vec::new(),
        }
    }

    /// A request that came earlier and waited: its event tells when it came.
    pub(super) fn since(self, began: Option<Timestamp>) -> Self {
        Self { began: began.unwrap_or(self.began), ..self }
    }

    /// So much of its body has come while it waited.
    pub(super) fn with(self, arrived: usize) -> Self {
        Self { arrived, ..self }
    }

    /// What is kept of it.
    pub(super) fn passed(self) -> Passed {
        let Self { route, address, rule, shadow_rules, .. } = self;
        Passed { route, address, rule, shadow_rules }
    }

    /// Takes up a journey that had passed every guard, and waited for the last answer.
    pub(super) fn take_up(self, passed: Passed, caller: Caller) -> Self {
        let Passed { route, address, rule, shadow_rules } = passed;
        Self { route, address, rule, shadow_rules, caller: Some(caller), ..self }
    }

    /// Walks down the guards, but for the last question.
    pub(super) fn admit(&mut self, host: &impl Host) -> Result<Admission, Halt> {
        let policy = self.policy;
        let request = shape::examine(self.head)?;
        shape::within_path(&request, policy.longest_path)?;
        self.answer_for_keys(&request)?;
        self.choose(&request);
        let route = self.route().ok_or(Reason::NoRoute)?;
        if route.exposure.needs_address() {
            route.exposure.check(client_address(host)?).inspect_err(|_| self.hidden = true)?;
        }
        policy.overload.check(route.priority, &self.gateway.load, self.now)?;
        self.answer_preflight(route, &request)?;
        route.request.check(self.head, &request)?;
        let meter = route.body.open(self.head, self.has_body)?;
        route.body.bear(self.arrived)?;
        self.address = if route.needs_address { client_address(host)? } else { None };
        let address = self.address;
        let identified = self.identify(host, route, address, request.path().query())?;
        self.caller = Some(identified.caller.clone());
        let caller = &identified.caller;
        self.rule =
            access::check(&route.authorization, caller, address, &mut self.shadow_rules)?.rule().cloned();
        let facts = self.facts(route, address, caller);
        let seats = self.seat(host, route, &facts)?;
        let charged = self.charge(host, route, &facts);
        self.shadow_rules.extend(seats.shadowed().cloned());
        match charged {
            Ok(permit) => {
                self.shadow_rules.extend(permit.shadowed().and_then(rule_of));
                let response = Response::of(permit, route.rate_limit.telling());
                Ok(Admission { identified, meter, response, seats })
            }
            Err(refusal) => {
                self.leave(host, seats);
                Err(refusal.into())
            }
        }
    }

    /// Does it ask for the public keys of the gateway? They are no route's, and there is nothing secret in them.
    fn answer_for_keys(&self, request: &Wellformed<'_>) -> Result<(), Ending> {
        let ring = self.policy.signing.as_ref();
        match ring.and_then(|ring| ring.answer(request.path().as_str(), request.method(), self.now)) {
            None => Ok(()),
            Some(answer) => Err(answer?.into()),
        }
    }

    /// Which route? A preflight is for the route of the request that it asks for; where that has no `cors`, it is a request like any other.
    fn choose(&mut self, request: &Wellformed<'_>) {
        let policy = self.policy;
        let by = |method| policy.table.choose(request.host(), request.path().as_str(), method, self.head);
        if policy.takes_preflights
            && let Some(preflight) = cors::preflight(self.head)
        {
            self.route = by(preflight.method());
            // In Shadow it goes upstream as what it is, which must not lead past the route that it has by its own method.
            let own = by(request.method()).and_then(|own| policy.routes.get(own));
            let enforced = policy.mode == Mode::Enforce && own.is_some_and(|own| own.mode == Mode::Enforce);
            let leads_past = enforced && self.mode() == Mode::Shadow;
            if !leads_past && self.route().is_some_and(|route| route.cors.is_some()) {
                self.preflight = true;
                return;
            }
        }
        self.route = by(request.method());
    }

    /// May the page do it? It is asked before anybody is asked who they are, since a preflight carries no credential.
    fn answer_preflight(&self, route: &Route, request: &Wellformed<'_>) -> Result<(), Ending> {
        let (true, Some(rules), Some(asked)) = (self.preflight, &route.cors, cors::preflight(self.head))
        else {
            return Ok(());
        };
        route.request.tolerates(self.head, request)?;
        Err(rules.answer(&asked, |method| route.request.takes(method))?.into())
    }

    /// Is there room for one more?
    fn seat(&self, host: &impl Host, route: &Route, facts: &Facts<'_>) -> Result<Seats, Refusal> {
        if !route.rate_limit.limits_concurrency() {
            return Ok(Seats::default());
        }
        // Made whenever a route asks for it.
        let ledger = self.gateway.ledger.as_ref().ok_or(Reason::HostFailed)?;
        let ledger = ledger.as_ref().map_err(|error| Refusal::from(*error))?;
        concurrency::begin(&route.rate_limit, facts, self.now, host, ledger)
    }

    fn leave(&self, host: &impl Host, seats: Seats) {
        if let Some(Ok(ledger)) = &self.gateway.ledger {
            seats.end(ledger, host, self.now);
        }
    }

    /// Does every limit of this proxy have a token left?
    fn charge(&self, host: &impl Host, route: &Route, facts: &Facts<'_>) -> Result<Permit, Refusal> {
        if route.rate_limit.is_empty() {
            return Ok(Permit::default());
        }
        rate_limit::admit(&route.rate_limit, facts, self.now, host, self.table()?)
    }

    /// Who is calling? Where failures are counted, those who have failed too often are not asked.
    fn identify(
        &mut self,
        host: &impl Host,
        route: &Route,
        address: Option<IpAddr>,
        query: Option<&[u8]>,
    ) -> Result<Identified, Stop> {
        let certificate = || host.property(&["connection", "sha256_peer_certificate_digest"]);
        let presented = || host.property(&["connection", "peer_certificate"]);
        let (asked, providers) = (&route.authentication, &self.policy.providers);
        let witness = |gate| Witness {
            gate,
            certificate: &certificate,
            presented: &presented,
            data: host,
            memory: self.gateway.memory.as_ref(),
        };
        if !route.rate_limit.watches_failures() {
            return identity::identify(asked, providers, self.head, query, self.now, host, &witness(&Open));
        }
        let facts = self.facts(route, address, &Caller::Anonymous);
        let watch = Watch::new(&route.rate_limit, facts, self.now, host, self.table()?);
        let identified =
            identity::identify(asked, providers, self.head, query, self.now, host, &witness(&watch));
        let mut penalties = Vec::new();
        if let Err(Stop::Refused(refusal)) = &identified {
            let penalty = |(rule, duration)| Penalty {
                rule,
                route: Some(Rc::clone(&route.name)),
                client_address: address,
                id: self.request_id().cloned(),
                duration,
            };
            penalties = watch.failed(refusal.reason).into_iter().map(penalty).collect();
        }
        self.shadow_rules.extend(watch.shadowed());
        self.penalties = penalties;
        identified
    }

    fn facts<'f>(&'f self, route: &'f Route, address: Option<IpAddr>, caller: &'f Caller) -> Facts<'f> {
        Facts {
            client_address: address,
            route: &route.name,
            head: self.head,
            caller,
            attempt: Attempt::default(),
        }
    }

    fn table(&self) -> Result<&'p Table, Refusal> {
        self.gateway.table.as_ref().map_err(|error| Refusal::from(*error))
    }

    /// The limit across gateways, if the route has one.
    fn global(&self) -> Option<&'p Rc<Global>> {
        self.route()?.rate_limit.global()
    }

    /// Asks the last question, if there is one: the rate limit service.
    pub(super) fn ask(&self, host: &impl Host, may_wait: bool) -> Option<Result<Asked, Fault>> {
        let global = self.global()?;
        let (route, caller) = (self.route()?, self.caller.as_ref()?);
        let facts = self.facts(route, self.address, caller);
        Some(global.ask(&facts, &self.gateway.asker, &self.gateway.table, host, self.now, may_wait))
    }

    /// What the service said to that; `None` if it said nothing in time.
    pub(super) fn hear(
        &self,
        host: &impl Host,
        question: Question,
        answer: Option<Answer>,
    ) -> Result<Said, Fault> {
        let global = self.global().ok_or(Fault::Unknown)?;
        global.hear(question, answer, &self.gateway.asker, &self.gateway.table, host, self.now)
    }

    /// What follows from that.
    pub(super) fn settle(&mut self, said: Result<Said, Fault>) -> Result<(), Refusal> {
        let Some(global) = self.global() else { return Err(Reason::HostFailed.into()) };
        let permit = global.verdict(said)?;
        self.shadow_rules.extend(permit.shadowed().and_then(rule_of));
        Ok(())
    }

    /// Where the client is, if a guard had to know.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What of the head may be written down.
    pub(super) fn shown(&self) -> &Rc<Shown> {
        self.shown.get_or_init(|| self.policy.redaction.head(self.head).into())
    }

    /// `x-request-id`, if it may be repeated.
    pub(super) fn request_id(&self) -> Option<&Redacted> {
        self.shown().id.as_ref()
    }

    pub(super) fn head(&self) -> &'p Head {
        self.head
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    pub(super) fn route_index(&self) -> Option<usize> {
        self.route
    }

    pub(super) fn route(&self) -> Option<&'p Route> {
        self.policy.routes.get(self.route?)
    }

    /// The route, as far as a client may know of it.
    pub(super) fn shown_route(&self) -> Option<usize> {
        self.route.filter(|_| !self.hidden)
    }

    pub(super) fn is_preflight(&self) -> bool {
        self.preflight
    }

    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    pub(super) fn rule(&self) -> Option<&Rc<str>> {
        self.rule.as_ref()
    }

    pub(super) fn shadow_rules(&self) -> &[Rc<str>] {
        &self.shadow_rules
    }

    /// What the request has brought upon its client; told once.
    pub(super) fn penalties(&mut self) -> Vec<Penalty> {
        core::mem::take(&mut self.penalties)
    }

    /// The outermost Shadow wins.
    pub(super) fn mode(&self) -> Mode {
        let modes = [Some(self.policy.mode), self.route().map(|route| route.mode)];
        if modes.contains(&Some(Mode::Shadow)) { Mode::Shadow } else { Mode::Enforce }
    }
}

/// The rule that a refusal by a limit names.
fn rule_of(refusal: &Refusal) -> Option<Rc<str>> {
    match &refusal.detail {
        Detail::Named(_, rule) => Some(Rc::clone(rule)),
        _ => None,
    }
}

/// Where the client is, as the host judges it (in Envoy: by its own rules for `x-forwarded-for`). `source.address` is
/// `127.0.0.1:60382` or `[::1]:60382`; anything else (a pipe) is no address.
pub(super) fn client_address(host: &impl Host) -> Result<Option<IpAddr>, HostError> {
    let Some(text) = host.property(&["source", "address"])? else {
        return Ok(None);
    };
    let text = core::str::from_utf8(&text).unwrap_or_default();
    let with_port = text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    Ok(with_port.or_else(|_| text.parse()).ok().map(|address: IpAddr| address.to_canonical()))
}
