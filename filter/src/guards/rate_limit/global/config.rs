//! How is `rateLimit.global` written?

use super::super::config::{self, plan};
use super::super::meter::Meter;
use super::super::rules::{self, Scope};
use super::descriptor::{self, Entry, Rule, Source};
use super::fallback::Fallback;
use super::{FailureMode, Global};
use crate::decision::Mode;
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::json::Json;
use crate::limits;
use crate::time::SECOND;

pub(in super::super) const GLOBAL: Shape = Shape::new(
    "rateLimit.global",
    "One limit across many gateways, kept by a service that speaks Envoy's rate limit protocol (`envoy.service.ratelimit.v3`), such as \
            envoyproxy/ratelimit or Limitador: see `docs/global-rate-limit.md`. It is asked last, about requests that every other check has admitted, `local` \
            among them. Over its limit a request is refused with 429, with `Retry-After`, `RateLimit` and `RateLimit-Policy` as far as the service says them. What \
            `local` took for it is not given back.",
    &[
        Key::new("service", "map", Default::Required, "where it is").nested(&SERVICE),
        Key::new(
            "domain",
            "string",
            Default::Required,
            "the part of the service's configuration that is meant; Limitador calls it a namespace",
        ),
        Key::new("timeout", "duration", Default::Is("`100ms`"), "for one question: 1ms to 5s"),
        Key::new(
            "failureMode",
            "`Deny`, `Allow` or `Local`",
            Default::Is("`Deny`"),
            "what holds when the service cannot be asked, is late, or says neither yes nor no: the request is refused with 503 `limiter_unavailable`, or passes; \
             `Local` passes it and demands a `fallback` or that a rule of `local` is enforced. After three failures in a row nobody asks for a second, and then one request finds \
             out whether it is back",
        ),
        Key::new(
            "fallback",
            "map",
            Default::Is("the local limits alone"),
            "with `failureMode: Local`, what this gateway admits by itself while the service is away",
        )
        .nested(&FALLBACK),
        Key::new(
            "cost",
            "integer",
            Default::Is("1"),
            "how much one request takes of each limit (`hits_addend`), up to 1,000,000",
        ),
        Key::new(
            "lease",
            "integer",
            Default::Is("each request asks"),
            "how much a worker may ask for at once, 2 to 1,000, to spend it within a second without asking. It asks for as much as a key has lately spent in that time, so a \
             key that comes now and then loses nothing. In the first second of a window, up to one lease of each worker of each gateway may pass beyond the limit; near the limit, one \
             request a second and worker may be refused though fewer than a lease are left; what is not spent is lost",
        ),
        Key::new(
            "refusalHolds",
            "duration",
            Default::Is("`100ms`"),
            "how long a *no* of the service holds at least without asking again, for the same descriptors and cost: 0s to 1s. It holds until the time that \
             the service named with it, a minute at most; so a client that is over its limit costs each worker one call in that time. `0s`: each request asks",
        ),
        Key::new(
            "mode",
            "`Enforce` or `Shadow`",
            Default::Is("`Enforce`"),
            "`Shadow` asks, waits, counts and audits what it would refuse, and lets it pass",
        ),
        Key::new(
            "rules",
            "list of rules",
            Default::Required,
            "1 to 16 descriptors, which are asked about in one question; all of them must admit a request",
        )
        .nested(&RULE),
    ],
);

const SERVICE: Shape = Shape::new(
    "rateLimit.global.service",
    "A cluster of the proxy that speaks HTTP/2.",
    &[
        Key::new("cluster", "string", Default::Required, "the proxy's name for it"),
        Key::new("authority", "string", Default::Is("`cluster`"), "the `:authority` of the question"),
    ],
);

const FALLBACK: Shape = Shape::new(
    "rateLimit.global.fallback",
    "A limit for requests that are equal in all descriptors of `rules`, kept by this gateway for all its workers and charged only for \
            requests to which the service gave no answer, with `cost`. So with n gateways, about n times of it pass while the service is away: write the shared limit divided by \
            the number of gateways. Over it a request is refused with 429.",
    &[
        Key::new("limit", "map", Default::Required, "the rate").nested(&plan::LIMIT),
        Key::new(
            "burst",
            "integer",
            Default::Is("`limit.requests`"),
            "how much may be taken at once when the service goes away",
        ),
    ],
);

const RULE: Shape = Shape::new(
    "rateLimit.global.rules[]",
    "One descriptor. How often requests may come that are equal in it is said by the service.",
    &[
        Key::new(
            "name",
            "string",
            Default::Required,
            "named in the `RateLimit` header and the audit event: up to 64 letters, digits, `-`, `_` and `.`. The service does not see it",
        ),
        Key::new(
            "by",
            "list of `clientIP`, `subject`, `token`, `client`, `route`, `method`, `{header: name}`, `{claim: name}`, `{key: name, value: text}`",
            Default::Required,
            "the descriptor's entries, in order. Their keys are `remote_address`, `subject`, `token` (its `jti`, else the hash of its claims), `client`, `route`, `method`, the header's name and the claim's. Subjects, tokens, clients \
             and claims are told within their issuer (`https://id.example.com|ada`), an IPv6 address by its /64. What a request lacks is told as `-`, so that all that lack it share one \
             limit; a value that is longer than 256 bytes, not printable ASCII or a credential is told as `sha256:` and its hash",
        )
        .nested(&PART),
    ],
);

const PART: Shape = Shape::new(
    "rateLimit.global.rules[].by[]",
    "A word, or a map with `header` or `claim`, or with `key` and `value`.",
    &[
        Key::new("header", "string", Default::Is("–"), "a header's name"),
        Key::new("claim", "string", Default::Is("–"), "a claim's name, nested by dots: `org.dept`"),
        Key::new(
            "key",
            "string",
            Default::Is("the header's or claim's name"),
            "the entry's key: up to 64 letters, digits, `-`, `_` and `.`",
        ),
        Key::new(
            "value",
            "string",
            Default::Is("–"),
            "the same for every request, up to 256 printable ASCII characters: `{key: generic_key, value: orders}`",
        ),
    ],
);

/// Reads a `global` that stands beside those rules of `local`, if they can be read.
pub(in super::super) fn read(
    field: &Field<'_>,
    local: Option<&[rules::Rule]>,
    scope: Scope<'_>,
) -> Option<Global> {
    let section = field.section(&GLOBAL)?;
    // Each key is read before the first `?`, so that every problem is noted.
    let service = section.get("service").and_then(|field| service(&field));
    let domain = section.get("domain").and_then(|field| field.text());
    let timeout =
        section.get("timeout").map_or(Some(SECOND / 10), |field| field.duration(SECOND / 1000..=5 * SECOND));
    let cost = section.get("cost").map_or(Some(1), |field| field.integer(1..=limits::LIMITER_COST));
    let failure = failure(&section, local);
    let lease = section.get("lease").map_or(Some(0), |field| field.integer(2..=limits::LIMITER_LEASE));
    let refusal_holds =
        section.get("refusalHolds").map_or(Some(SECOND / 10), |field| field.duration(0..=SECOND));
    let mode = section.get("mode").map_or(Some(Mode::Enforce), |field| field.one_of(&Mode::WORDS));
    let rules = section.get("rules").and_then(|field| rules(&field));
    let fallback = match section.get("fallback") {
        Some(field) => {
            let around = Around { failure, cost, rules: rules.as_deref(), local: local.unwrap_or_default() };
            around.fallback(&field, scope).map(Some)
        }
        None => Some(None),
    };
    let (cluster, authority) = service?;
    Some(Global {
        cluster: cluster.into(),
        authority: authority.into(),
        domain: domain?.into(),
        timeout: timeout?,
        failure: failure?,
        fallback: fallback?,
        cost: cost?,
        lease: lease?,
        refusal_holds: refusal_holds?,
        mode: mode?,
        rules: rules?,
    })
}

/// The cluster and the authority.
fn service<'d>(field: &Field<'d>) -> Option<(&'d str, &'d str)> {
    let section = field.section(&SERVICE)?;
    let cluster = section.get("cluster").and_then(|field| field.text());
    let authority = match section.get("authority") {
        None => cluster,
        Some(field) => printable(&field),
    };
    Some((cluster?, authority?))
}

/// What is read beside a `fallback`, as far as it could be.
struct Around<'r> {
    failure: Option<FailureMode>,
    cost: Option<u64>,
    rules: Option<&'r [Rule]>,
    local: &'r [rules::Rule],
}

impl Around<'_> {
    fn fallback(&self, field: &Field<'_>, scope: Scope<'_>) -> Option<Fallback> {
        let written = plan::read(&field.section(&FALLBACK)?)?;
        if self.failure? != FailureMode::Local {
            field.error("no `fallback` holds in this `failureMode`", "write `failureMode: Local`");
            return None;
        }
        let cost = self.cost?;
        if cost > written.holds {
            field.error(
                format!("a request costs {cost}, and a bucket holds {}", written.holds),
                "raise `burst` (or an `Aligned` limit's `requests`) or lower `cost`: such a request could never pass",
            );
            return None;
        }
        let plan = written.fallback(scope);
        if let Some(rule) = self.local.iter().find(|rule| self.is_tighter(rule, plan.meter)) {
            field.warn(
                format!("it never refuses, since the local rule {} is as tight", quoted(&rule.name)),
                "write the shared limit divided by the number of gateways",
            );
        }
        Some(Fallback { plan })
    }

    /// Whether whatever that rule admits is within the fallback: it counts the same requests together, or more of them, and admits no more.
    fn is_tighter(&self, rule: &rules::Rule, fallback: Meter) -> bool {
        let (Meter::Bucket(here), Meter::Bucket(fallback)) = (rule.plan.meter, fallback) else {
            return false;
        };
        let entries = || self.rules.unwrap_or_default().iter().flat_map(|rule| &rule.by);
        let counted =
            |part| entries().any(|entry| matches!(&entry.source, Source::Part(known) if known == part));
        let enforced = rule.mode == Mode::Enforce && rule.tiers.is_none() && rule.cost.response.is_none();
        let takes = self.cost.is_some_and(|cost| rule.cost.least() >= cost);
        enforced && takes && here.is_within(&fallback) && rule.by.iter().all(counted)
    }
}

fn failure(section: &Section<'_>, local: Option<&[rules::Rule]>) -> Option<FailureMode> {
    let has_local = local.is_none_or(|rules| rules.iter().any(|rule| rule.mode == Mode::Enforce));
    let has_local = has_local || section.get("fallback").is_some();
    let Some(field) = section.get("failureMode") else {
        return Some(FailureMode::Deny);
    };
    let failure = field.one_of(&FailureMode::WORDS)?;
    match failure {
        FailureMode::Local if !has_local => {
            field.error(
                "there is no local limit to fall back to",
                "write `fallback`, or a rule in `rateLimit.local` beside `global` that is not in `Shadow`",
            );
            return None;
        }
        FailureMode::Allow => {
            field.warn(
                "whoever can keep the service from answering has no limit",
                "`Deny` or `Local` bound it",
            );
        }
        _ => {}
    }
    Some(failure)
}

fn rules(field: &Field<'_>) -> Option<Vec<Rule>> {
    let elements = field.list()?;
    if elements.len() > limits::RATE_RULES {
        field.error(format!("{} rules, at most {} are possible", elements.len(), limits::RATE_RULES), "");
        return None;
    }
    let unique = config::doubled(&elements);
    let read: Vec<Option<Rule>> = elements.iter().map(rule).collect();
    let rules: Option<Vec<Rule>> = read.into_iter().collect();
    rules.filter(|_| unique)
}

fn rule(field: &Field<'_>) -> Option<Rule> {
    let section = field.section(&RULE)?;
    let name = section.get("name").and_then(|field| field.name());
    let by = section.get("by").and_then(|field| entries(&field));
    Some(Rule { name: name?.into(), by: by? })
}

fn entries(field: &Field<'_>) -> Option<Vec<Entry>> {
    let elements = field.list()?;
    if elements.len() > limits::RATE_KEY_PARTS {
        field.error(format!("{} parts, at most {} are possible", elements.len(), limits::RATE_KEY_PARTS), "");
        return None;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(elements.len());
    for element in &elements {
        match entry(element) {
            Some(entry) if entries.iter().any(|known| known.key == entry.key) => {
                let help = "give one of them another `key`: Limitador sees only one of two";
                element.error(format!("the key {} stands twice", quoted(&entry.key)), help);
            }
            Some(entry) => entries.push(entry),
            None => {}
        }
    }
    (entries.len() == elements.len()).then_some(entries)
}

fn entry(field: &Field<'_>) -> Option<Entry> {
    if !matches!(field.value, Json::Map(_)) {
        let part = config::part::one(field)?;
        return Some(Entry { key: descriptor::key(&part).into(), source: Source::Part(part) });
    }
    let section = field.section(&PART)?;
    let named = section.get("key").map(|field| field.name());
    let source = match section.present().as_slice() {
        ["header"] | ["header", "key"] => {
            Source::Part(super::Part::Header(section.get("header")?.header_name()?.as_ref().into()))
        }
        ["claim"] | ["claim", "key"] => {
            Source::Part(super::Part::Claim(section.get("claim")?.text()?.into()))
        }
        ["key", "value"] => Source::Constant(printable(&section.get("value")?)?.into()),
        _ => {
            section.error(
                "expected one of `header`, `claim`, and `key` with `value`",
                "write a list element for each",
            );
            return None;
        }
    };
    let key: Box<str> = match (&source, named) {
        (_, Some(key)) => key?.into(),
        (Source::Part(part), None) => descriptor::key(part).into(),
        // `present` saw the key.
        (Source::Constant(_), None) => return None,
    };
    Some(Entry { key, source })
}

/// A text that goes on the wire as it is.
fn printable<'d>(field: &Field<'d>) -> Option<&'d str> {
    let text = field.text()?;
    if text.len() <= limits::LIMITER_VALUE_BYTES && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Some(text);
    }
    field.error(
        format!("{} cannot be told to the service", quoted(text)),
        format!("up to {} printable ASCII characters", limits::LIMITER_VALUE_BYTES),
    );
    None
}
