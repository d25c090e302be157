//! What does a user write into `authorization`?

mod claims;

use std::rc::Rc;

use super::claim::Claim;
use crate::decision::Mode;
use crate::document::{Default, Field, Key, Section, Shape, quoted, suggestion};
use crate::http::Cidr;

/// `authorization`, on a route or in `defaults`.
pub static AUTHORIZATION: Shape = Shape::new(
    "authorization",
    "Which callers may. Rules are asked in order and the first that matches decides. Without this section, whoever was \
            authenticated may. A refusal is `403`: with `insufficient_scope` and the scopes it takes if a rule would have \
            allowed the caller but for a scope.",
    &[
        Key::new(
            "defaultAction",
            "`Deny` or `Allow`",
            Default::Is("`Deny`"),
            "What holds when no rule matches.",
        ),
        Key::new("rules", "list of maps", Default::Is("none"), "The rules, in order.").nested(&RULE),
    ],
);

static RULE: Shape = Shape::new(
    "authorization.rules[]",
    "One rule.",
    &[
        Key::new("name", "name", Default::Required, "Its name in audit events. Each name once."),
        Key::new("action", "`Allow` or `Deny`", Default::Required, "What it decides."),
        Key::new(
            "mode",
            "`Enforce` or `Shadow`",
            Default::Is("`Enforce`"),
            "A rule in `Shadow` changes nothing; where it would have, the audit event names it.",
        ),
        Key::new("principal", "map", Default::Required, "Whom it speaks of.").nested(&PRINCIPAL),
    ],
);

static PRINCIPAL: Shape = Shape::new(
    "authorization.rules[].principal",
    "Whom a rule speaks of: all that stands here must hold, and at least one key must. What cannot be checked, because the \
            proxy does not tell the client's address or a claim (`scope`, `client_id` too) has another type than it should, never admits: an `Allow` rule \
            does not match then, and a `Deny` rule refuses. A claim that is not there, or `null`, is no value: no rule that names values \
            matches it.",
    &[
        Key::new(
            "scopes",
            "list of strings",
            Default::Is("any"),
            "The credential must have all of them: `scope` or `scp` of the token, or `scopes` of the API key.",
        ),
        Key::new("jwt", "map", Default::Is("any"), "What a token must say. An API key is none.").nested(&JWT),
        Key::new(
            "clients",
            "list of strings",
            Default::Is("any"),
            "The client must be one of them: `client_id` of the token, or else `azp`; or `client` of the API key; or the name of a client's certificate. Of a token that has \
             both, and one of the list and one not, it cannot be told who the client is.",
        ),
        Key::new(
            "clientCIDRs",
            "list of strings",
            Default::Is("any"),
            "The client's address, as the proxy sees it, must be in one of these networks: `10.0.0.0/8`, `2001:db8::/32`. An IPv4 \
             address in IPv6 form is compared as IPv4.",
        ),
    ],
);

static JWT: Shape = Shape::new(
    "authorization.rules[].principal.jwt",
    "What a token must say: all that stands here.",
    &[
        Key::new(
            "provider",
            "string",
            Default::Is("any"),
            "The name of the provider whose token it must be; one that the route accepts.",
        ),
        Key::new("scopes", "list of strings", Default::Is("any"), "The token must have all of them."),
        Key::new("claims", "list of maps", Default::Is("any"), "Each of them must hold.")
            .nested(&claims::CLAIM),
    ],
);

/// The rules of a route.
#[derive(Clone, Debug)]
pub struct Authorization {
    pub(super) default: Action,
    pub(super) rules: Vec<Rule>,
}

/// What holds without the section: whoever was authenticated may.
impl core::default::Default for Authorization {
    fn default() -> Self {
        Self { default: Action::Allow, rules: Vec::new() }
    }
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The caller may.
    Allow,
    /// The caller may not.
    Deny,
}

const ACTIONS: [(&str, Action); 2] = [("Allow", Action::Allow), ("Deny", Action::Deny)];

#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: Rc<str>,
    pub(super) action: Action,
    pub(super) mode: Mode,
    pub(super) principal: Principal,
}

#[derive(Clone, Debug)]
pub(super) struct Principal {
    /// Blank-separated, each once: of the principal and of its token. May be empty.
    pub(super) all_scopes: Rc<str>,
    pub(super) jwt: Option<Jwt>,
    pub(super) clients: Vec<Box<str>>,
    pub(super) cidrs: Vec<Cidr>,
}

#[derive(Clone, Debug)]
pub(super) struct Jwt {
    pub(super) provider: Option<Rc<str>>,
    pub(super) claims: Vec<Claim>,
}

/// Why a route's callers can never match a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// The rule.
    pub rule: Rc<str>,
    /// The provider that it names and the route does not accept; `None` if nobody on the route has a token.
    pub provider: Option<Rc<str>>,
}

impl Authorization {
    /// Whether a rule asks for the client's address.
    pub fn needs_address(&self) -> bool {
        self.rules.iter().any(|rule| !rule.principal.cidrs.is_empty())
    }

    /// Whether whoever passes comes from a network that a rule names.
    pub fn confines(&self) -> bool {
        let mut allowing =
            self.rules.iter().filter(|rule| rule.action == Action::Allow && rule.mode == Mode::Enforce);
        self.default == Action::Deny && allowing.all(|rule| !rule.principal.cidrs.is_empty())
    }

    /// Whether one of those networks is that of all addresses.
    pub fn names_everything(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.principal.cidrs).any(Cidr::is_everything)
    }

    /// Rules that speak of credentials which a route never sees. `providers` are the names of those whose tokens it accepts; none if
    /// it accepts none. `api_keys`: whether it accepts API keys.
    pub fn unreachable(&self, providers: &[Rc<str>], api_keys: bool) -> Vec<Unreachable> {
        let fault = |rule: &Rule| {
            let named = rule.principal.jwt.as_ref().and_then(|jwt| jwt.provider.clone());
            let missing = named.filter(|name| !providers.contains(name));
            let without = providers.is_empty() && rule.principal.needs_credential(api_keys);
            (without || missing.is_some()).then(|| Unreachable {
                rule: Rc::clone(&rule.name),
                provider: missing.filter(|_| !providers.is_empty()),
            })
        };
        self.rules.iter().filter_map(fault).collect()
    }
}

impl Principal {
    /// Whether it asks for a credential: of any kind, or for one that no API key is.
    fn needs_credential(&self, beyond_api_keys: bool) -> bool {
        let any = !self.all_scopes.is_empty() || !self.clients.is_empty();
        self.jwt.is_some() || (any && !beyond_api_keys)
    }
}

/// Reads an `authorization`. `providers` are the names of all providers of the policy.
pub fn read(field: &Field<'_>, providers: &[Rc<str>]) -> Option<Authorization> {
    let section = field.section(&AUTHORIZATION)?;
    let default = match section.get("defaultAction") {
        Some(field) => field.one_of(&ACTIONS),
        None => Some(Action::Deny),
    };
    let rules = match section.get("rules") {
        Some(field) => read_rules(&field, providers),
        None => Some(Vec::new()),
    };
    if !section.has("rules") && default == Some(Action::Deny) {
        section.error(
            "no rules, and `defaultAction` is `Deny`: nobody could pass",
            "write `rules`, or `defaultAction: Allow` to admit whoever was authenticated",
        );
    }
    Some(Authorization { default: default?, rules: rules? })
}

fn read_rules(field: &Field<'_>, providers: &[Rc<str>]) -> Option<Vec<Rule>> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut whole = true;
    for element in field.short_list()? {
        let Some(rule) = read_rule(&element, providers) else {
            whole = false;
            continue;
        };
        if rules.iter().any(|known| known.name == rule.name) {
            element.error(
                format!("a second rule is named {}", quoted(&rule.name)),
                "give each rule a name of its own",
            );
            whole = false;
        }
        rules.push(rule);
    }
    whole.then_some(rules)
}

fn read_rule(field: &Field<'_>, providers: &[Rc<str>]) -> Option<Rule> {
    let section = field.section(&RULE)?;
    let name = section.get("name").and_then(|name| name.name());
    let action = section.get("action").and_then(|action| action.one_of(&ACTIONS));
    let mode = match section.get("mode") {
        Some(mode) => mode.one_of(&Mode::WORDS),
        None => Some(Mode::Enforce),
    };
    let principal = section.get("principal").and_then(|principal| read_principal(&principal, providers));
    Some(Rule { name: name?.into(), action: action?, mode: mode?, principal: principal? })
}

fn read_principal(field: &Field<'_>, providers: &[Rc<str>]) -> Option<Principal> {
    let section = field.section(&PRINCIPAL)?;
    if section.present().is_empty() {
        section.error(
            "an empty principal",
            "say whom the rule speaks of: `scopes`, `jwt`, `clients` or `clientCIDRs`; for everybody else use `defaultAction`",
        );
        return None;
    }
    let scopes = optional(&section, "scopes", read_scopes);
    let clients = optional(&section, "clients", |field| Some(boxed(&field.texts()?)));
    let cidrs = optional(&section, "clientCIDRs", networks);
    let jwt = match section.get("jwt") {
        Some(field) => Some(read_jwt(&field, providers)?),
        None => None,
    };
    let (mut scopes, clients, cidrs) = (scopes?, clients?, cidrs?);
    let jwt = jwt.map(|(jwt, more)| {
        for scope in more {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        jwt
    });
    Some(Principal { all_scopes: scopes.join(" ").into(), jwt, clients, cidrs })
}

fn optional<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl Fn(&Field<'_>) -> Option<Vec<T>>,
) -> Option<Vec<T>> {
    section.get(key).map_or(Some(Vec::new()), |field| read(&field))
}

fn networks(field: &Field<'_>) -> Option<Vec<Cidr>> {
    field.networks()
}

fn boxed(texts: &[&str]) -> Vec<Box<str>> {
    texts.iter().map(|text| Box::from(*text)).collect()
}

/// RFC 6749 §3.3: `scope-token`, which has no blank, no `"` and no backslash, so that it can stand in a challenge.
fn read_scopes(field: &Field<'_>) -> Option<Vec<Box<str>>> {
    let good = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    let texts = field.texts()?;
    let bad = texts.iter().find(|text| !text.bytes().all(good));
    if let Some(bad) = bad {
        field.error(format!("{} is not a scope", quoted(bad)), "one scope an element, without blanks");
        return None;
    }
    Some(boxed(&texts))
}

fn read_jwt(field: &Field<'_>, providers: &[Rc<str>]) -> Option<(Jwt, Vec<Box<str>>)> {
    let section = field.section(&JWT)?;
    if section.present().is_empty() {
        section.error("nothing is asked of the token", "write `provider`, `scopes` or `claims`");
        return None;
    }
    let provider = match section.get("provider") {
        Some(field) => Some(read_provider(&field, providers)?),
        None => None,
    };
    let scopes = optional(&section, "scopes", read_scopes);
    let claims = optional(&section, "claims", |field| {
        let claims: Vec<Option<Claim>> = field.list()?.iter().map(claims::read).collect();
        claims.into_iter().collect()
    });
    let jwt = Jwt { provider, claims: claims? };
    Some((jwt, scopes?))
}

fn read_provider(field: &Field<'_>, providers: &[Rc<str>]) -> Option<Rc<str>> {
    let name = field.text()?;
    if let Some(known) = providers.iter().find(|known| ***known == *name) {
        return Some(Rc::clone(known));
    }
    let names: Vec<&str> = providers.iter().map(AsRef::as_ref).collect();
    field.error(
        format!("there is no provider {}", quoted(name)),
        suggestion(name, &names).unwrap_or_else(|| "name one of `jwt.providers`".to_owned()),
    );
    None
}
