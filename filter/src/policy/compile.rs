//! How does a document become a policy? Section by section, every problem collected.

use std::fmt::Write as _;
use std::rc::Rc;

use super::format::{DEFAULTS, POLICY, ROUTE};
use super::routes::{refuse_doubled_names, refuse_methods, refuse_unreachable, report, warn_of_unseen};
use super::{Policy, Route, former};
use crate::decision::Mode;
use crate::document::{Field, Section, quoted};
use crate::guards::access::{self, Authorization};
use crate::guards::assertion::{self, Assertion, Signer, Signing};
use crate::guards::exposure::{self, Exposure, Kept};
use crate::guards::identity::rules::Place;
use crate::guards::rate_limit::{self, Scope};
use crate::guards::route;
use crate::guards::route::config::Match;
use crate::guards::{body, cors, identity, overload, response, shape};
use crate::json::Json;
use crate::limits;
use crate::problem::Problems;
use crate::{audit, redaction};

/// Reads the document. `None`, or an error among `problems`, refuses it.
pub(super) fn policy(document: &Json, problems: &Problems) -> Option<Policy> {
    let section = Field::root(document, problems).section(&POLICY)?;
    let version = section.get("apiVersion").and_then(|f| f.one_of(&[("portcullis/v1", ())]));
    let kind = section.get("kind").and_then(|f| f.one_of(&[("GatewayPolicy", ())]));
    let name = section.get("name").and_then(|field| field.name());
    let mode = mode(&section);
    let mut providers =
        section.get("jwt").map(|field| identity::config::read_jwt(&field)).unwrap_or_default();
    if let Some(field) = section.get("apiKeyAuth") {
        identity::config::read_api_key_auth(&field, &mut providers);
    }
    if let Some(field) = section.get("clientCertificates") {
        identity::config::read_client_certificates(&field, &mut providers);
    }
    let audit = match section.get("audit") {
        Some(field) => audit::Rules::read(&field),
        None => Some(audit::Rules::default()),
    };
    let signing = section.get("signing").map(|field| assertion::read_signing(&field));
    let state_bytes = match section.get("stateBytes") {
        Some(field) => field.size(limits::STATE_BYTES_MIN..=limits::STATE_BYTES_MAX),
        None => Some(limits::STATE_BYTES),
    };
    let surroundings = Surroundings {
        policy: name.unwrap_or_default(),
        providers: &providers,
        audit: audit.as_ref().map(|audit| audit.requests).unwrap_or_default(),
        signing: match &signing {
            None => Signer::Missing,
            Some(None) => Signer::Unread,
            Some(Some(signing)) => Signer::Keys(signing),
        },
    };
    let defaults = match section.get("defaults") {
        Some(field) => Defaults::read(&field, surroundings),
        None => Some(Defaults::default()),
    };
    let routes =
        section.get("routes").and_then(|field| Routes::read(&field, surroundings, defaults.as_ref()));
    let redaction = match section.get("redaction") {
        Some(field) => redaction::Rules::read(&field),
        None => Some(redaction::Rules::default()),
    };
    let redaction = redaction.map(|rules| hiding_credentials(rules, &providers));
    let forwarded = match section.get("forwardedHeaders") {
        Some(field) => shape::Forwarded::read(&field),
        None => Some(shape::Forwarded::default()),
    };
    let overload = match section.get("overload") {
        Some(field) => overload::read(&field),
        None => Some(overload::Rules::default()),
    };
    let routes = routes?;
    routes.warn_of_idle(&section, &providers);
    version.and(kind)?;
    let compiled = routes.compiled?;
    // Where the document's own `log` is on, `audit` has been told already.
    let silent =
        |audit: &audit::Rules| audit.requests.is_off() && !audit.sinks.log && audit.sinks.otlp.is_none();
    if audit.as_ref().is_some_and(silent) && compiled.iter().any(|route| !route.audit.is_off()) {
        section.error(
            "a route's `audit` asks for events that would go nowhere",
            "leave `audit.sinks.log` on, or write `audit.sinks.otlp`",
        );
    }
    let signing = signing.map_or(Some(None), |signing| signing.map(Some))?;
    let signing = ring(&section, signing, &compiled, &mut providers);
    let (name, digest) = (name?.into(), digest(document.to_string().as_bytes()));
    Some(Policy {
        origin: audit::Origin::of_policy(&name, &digest).into(),
        name,
        digest,
        parts: former::parts(document),
        mode: mode?,
        providers,
        signing,
        takes_preflights: compiled.iter().any(|route| route.cors.is_some()),
        response: defaults.map(|defaults| defaults.response).unwrap_or_default(),
        longest_path: compiled.iter().map(|route| route.request.path_bytes).max().unwrap_or(0),
        routes: compiled,
        table: routes.table,
        overload: overload?,
        forwarded: forwarded?,
        state_bytes: state_bytes?,
        audit: audit?,
        redaction: redaction?,
    })
}

/// The keys, for as long as what they sign for these routes serves. Nobody but the gateway may set the headers that it stands in.
fn ring(
    section: &Section<'_>,
    signing: Option<Signing>,
    routes: &[Route],
    providers: &mut identity::Providers,
) -> Option<assertion::Ring> {
    let assertions = || routes.iter().filter_map(|route| route.assertion.as_ref());
    assertions().for_each(|assertion| providers.add_identity_header(&assertion.header));
    let longest = assertions().map(|assertion| assertion.ttl()).max();
    if let Some(field) = section.get("signing").filter(|_| longest.is_none()) {
        field.warn("no route has an `upstream.assertion`, so nothing is signed", "");
    }
    signing.map(|signing| assertion::Ring::new(signing, longest.unwrap_or(0)))
}

/// Wherever the policy takes a credential, none is written down.
fn hiding_credentials(mut rules: redaction::Rules, providers: &identity::Providers) -> redaction::Rules {
    for place in providers.places() {
        match place {
            Place::Header { name, .. } => rules.hide_header(name),
            Place::Param(name) => rules.hide_param(name),
            // All cookies are hidden anyway.
            Place::Cookie(_) => {}
        }
    }
    rules
}

pub(super) fn digest(document: &[u8]) -> Rc<str> {
    let mut hex = String::with_capacity(64);
    for byte in hmac_sha256::Hash::hash(document) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex.into()
}

fn mode(section: &Section<'_>) -> Option<Mode> {
    let Some(field) = section.get("mode") else {
        return Some(Mode::Enforce);
    };
    let mode = field.one_of(&Mode::WORDS)?;
    if mode == Mode::Shadow {
        field.warn(
            "in `Shadow`, nothing is refused here",
            "write `Enforce` once the audit shows what you expect",
        );
    }
    Some(mode)
}

/// What the reader of a section needs to know of the rest of the document.
#[derive(Clone, Copy)]
struct Surroundings<'p> {
    policy: &'p str,
    providers: &'p identity::Providers,
    audit: audit::Level,
    signing: Signer<'p>,
}

/// The sections that a route may have and `defaults` too. Shared, since ten thousand routes may have the same.
#[derive(Clone, Default)]
pub(super) struct Defaults {
    pub(super) request: Rc<shape::Limits>,
    body: Rc<body::Rules>,
    authorization: Rc<Authorization>,
    rate_limit: Rc<rate_limit::Rules>,
    priority: overload::Priority,
    assertion: Option<Rc<Assertion>>,
    pub(super) cors: Option<Rc<cors::Rules>>,
    response: Rc<response::Rules>,
}

impl Defaults {
    fn read(field: &Field<'_>, around: Surroundings<'_>) -> Option<Self> {
        Self::default().replaced(&field.section(&DEFAULTS)?, around, None)
    }

    /// With what stands in `section` in place of what was there, section by section. `route` is the name of the route that it is of,
    /// if it is one's.
    fn replaced(&self, section: &Section<'_>, around: Surroundings<'_>, route: Option<&str>) -> Option<Self> {
        let request = match section.get("request") {
            Some(field) => shape::read(&field).map(|(limits, body)| (Rc::new(limits), Rc::new(body))),
            None => Some((Rc::clone(&self.request), Rc::clone(&self.body))),
        };
        let authorization = match section.get("authorization") {
            Some(field) => access::config::read(&field, around.providers.names()).map(Rc::new),
            None => Some(Rc::clone(&self.authorization)),
        };
        let rate_limit = match section.get("rateLimit") {
            Some(field) => rate_limit::read(&field, Scope { policy: around.policy, route }).map(Rc::new),
            None => Some(Rc::clone(&self.rate_limit)),
        };
        let priority = match section.get("priority") {
            Some(field) => overload::Priority::read(&field),
            None => Some(self.priority),
        };
        let assertion = match section.get("upstream") {
            Some(field) => {
                let Surroundings { providers, signing, .. } = around;
                let upstream = assertion::read_upstream(&field, assertion::Around { providers, signing });
                upstream.map(|upstream| upstream.assertion)
            }
            None => Some(self.assertion.clone()),
        };
        let cors = match section.get("cors") {
            Some(field) => cors::read(&field).map(|rules| rules.map(Rc::new)),
            None => Some(self.cors.clone()),
        };
        let response = match section.get("response") {
            Some(field) => response::read(&field).map(Rc::new),
            None => Some(Rc::clone(&self.response)),
        };
        let (request, body) = request?;
        let (authorization, rate_limit) = (authorization?, rate_limit?);
        let (priority, assertion) = (priority?, assertion?);
        let (cors, response) = (cors?, response?);
        Some(Self { request, body, authorization, rate_limit, priority, assertion, cors, response })
    }
}

/// The routes, as far as they could be read: what is between two routes is looked for among those that could.
struct Routes {
    compiled: Option<Vec<Route>>,
    table: route::Table,
    accepted: Vec<Rc<str>>,
    takes_api_keys: bool,
}

/// One route on its way, and where it stands.
pub(super) struct Draft<'d> {
    pub(super) place: String,
    pub(super) name: Option<&'d str>,
    matched: Option<Match>,
    route: Option<Route>,
    accepted: Vec<Rc<str>>,
    takes_api_keys: bool,
}

impl Routes {
    fn read(field: &Field<'_>, around: Surroundings<'_>, defaults: Option<&Defaults>) -> Option<Self> {
        let elements = field.list()?;
        let drafts: Vec<Draft<'_>> =
            elements.iter().map(|element| Draft::read(element, around, defaults)).collect();
        refuse_doubled_names(&elements, &drafts);
        let matches = drafts.iter().enumerate();
        let (table, clashes) =
            route::Table::build(matches.filter_map(|(index, draft)| Some((index, draft.matched.as_ref()?))));
        for clash in clashes {
            report(clash, &elements, &drafts);
        }
        let mut accepted: Vec<Rc<str>> =
            drafts.iter().flat_map(|draft| draft.accepted.iter().cloned()).collect();
        accepted.sort_unstable();
        accepted.dedup();
        let takes_api_keys = drafts.iter().any(|draft| draft.takes_api_keys);
        let compiled = drafts.into_iter().map(|draft| draft.route).collect();
        Some(Self { compiled, table, accepted, takes_api_keys })
    }

    /// A provider that no route accepts is a mistake more often than not.
    fn warn_of_idle(&self, section: &Section<'_>, providers: &identity::Providers) {
        let idle = self.compiled.is_some() && !self.takes_api_keys;
        if let Some(field) = section.get("apiKeyAuth").filter(|_| idle) {
            field.warn("no route accepts API keys", "");
        }
        let Some(field) = section.get("jwt").filter(|_| self.compiled.is_some()) else {
            return;
        };
        for name in providers.names().iter().filter(|name| !self.accepted.contains(name)) {
            field.warn(format!("no route accepts the provider {}", quoted(name)), "");
        }
    }
}

impl<'d> Draft<'d> {
    fn read(field: &Field<'d>, around: Surroundings<'_>, defaults: Option<&Defaults>) -> Self {
        let mut draft = Self {
            place: field.place.clone(),
            name: None,
            matched: None,
            route: None,
            accepted: Vec::new(),
            takes_api_keys: false,
        };
        let Some(section) = field.section(&ROUTE) else {
            return draft;
        };
        draft.name = section.get("name").and_then(|name| name.name());
        let mode = mode(&section);
        draft.matched = section.get("match").and_then(|field| route::config::read(&field));
        let authentication = section
            .get("authentication")
            .and_then(|field| identity::config::read_authentication(&field, around.providers));
        // With faults in `defaults`, the route's own sections are read all the same.
        let rules = defaults.cloned().unwrap_or_default().replaced(
            &section,
            around,
            Some(draft.name.unwrap_or_default()),
        );
        let exposure =
            section.get("exposure").map_or(Some(Exposure::default()), |field| exposure::read(&field));
        let audit = match section.get("audit") {
            Some(field) => audit::Level::read(&field),
            None => Some(around.audit),
        };
        if let Some(authentication) = &authentication {
            draft.accepted = authentication.accepted(around.providers);
            draft.takes_api_keys = authentication.takes_api_keys();
        }
        if let (Some(rules), Some(authentication)) = (&rules, &authentication) {
            let named = draft.takes_api_keys || authentication.takes_certificates();
            let faults = rules.authorization.unreachable(&draft.accepted, named);
            refuse_unreachable(&section, faults);
            let kept = Kept {
                takes_anybody: authentication.takes_anybody(),
                by_certificate: authentication.takes_certificates_alone(),
                by_address: rules.authorization.confines(),
            };
            let fault = |kept| exposure.as_ref().and_then(|exposure| exposure.fault(kept));
            if let Some((message, help)) = fault(kept) {
                section.error(message, help);
            } else if rules.authorization.names_everything()
                && fault(Kept { by_address: false, ..kept }).is_some()
            {
                section.warn(exposure::FOR_ALL, "name the networks of those for whom the route is");
            }
        }
        if let (Some(rules), Some(matched)) = (&rules, &draft.matched) {
            warn_of_unseen(&section, rules, matched);
            refuse_methods(&section, &rules.request, matched);
        }
        draft.route = (|| {
            let rules = rules?;
            Some(Route {
                name: draft.name?.into(),
                mode: mode?,
                exposure: exposure?,
                needs_address: rules.authorization.needs_address() || rules.rate_limit.needs_address(),
                request: rules.request,
                body: rules.body,
                authentication: authentication?,
                authorization: rules.authorization,
                rate_limit: rules.rate_limit,
                priority: rules.priority,
                audit: audit?,
                assertion: rules.assertion,
                cors: rules.cors,
                response: rules.response,
            })
        })();
        draft
    }

    pub(super) fn called(&self) -> String {
        self.name.map_or_else(|| self.place.clone(), |name| format!("{} ({})", quoted(name), self.place))
    }
}
