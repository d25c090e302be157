//! What does a user write under `response`?

use std::rc::Rc;

use super::{Rules, Transport};
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::guards::identity::config::shapes::BECAUSE;

/// `response`
pub static RESPONSE: Shape = Shape::new(
    "response",
    "What leaves a route, refusals and the proxy's own errors among it. Without the section nothing is changed; `response: {}` has the defaults below. \
            What is added is added only where the upstream says nothing of its own. Where the route or the document is in Shadow, responses stay as they are.",
    &[
        Key::new(
            "removeHeaders",
            "list of strings",
            Default::Is(
                "server, via, x-powered-by, x-aspnet-version, x-aspnetmvc-version, x-generator, x-runtime, x-envoy-upstream-service-time",
            ),
            "Fields that tell of the inside. Envoy writes `server` itself unless its `server_header_transformation` is `PASS_THROUGH`.",
        ),
        Key::new(
            "strictTransportSecurity",
            "map",
            Default::Is("none"),
            "`Strict-Transport-Security` (RFC 6797), over TLS only.",
        )
        .nested(&TRANSPORT),
        Key::new(
            "contentTypeOptions",
            "`NoSniff` or `Off`",
            Default::Is("`NoSniff`"),
            "`X-Content-Type-Options: nosniff`.",
        ),
        Key::new(
            "frameOptions",
            "`Deny`, `SameOrigin` or `Off`",
            Default::Is("`Deny`"),
            "Who may show the response in a frame: `X-Frame-Options`, and `frame-ancestors` of `Content-Security-Policy`, each where the upstream has \
             none.",
        ),
        Key::new(
            "referrerPolicy",
            "a word of the Referrer Policy standard, or `Off`",
            Default::Is("`no-referrer`"),
            "`Referrer-Policy`.",
        ),
        Key::new(
            "cacheControl",
            "`NoStore` or `Off`",
            Default::Is("`Off`"),
            "`NoStore`: `Cache-Control: no-store` for callers that were identified, where the upstream says nothing.",
        ),
        Key::new(
            "replaceErrorBodies",
            "boolean",
            Default::Is("false"),
            "Put a problem document (RFC 9457) with the request id in place of every response of status 5xx, with its fields but for `retry-after`. Streams are left alone: gRPC and \
             `text/event-stream`.",
        ),
    ],
);

static TRANSPORT: Shape = Shape::new(
    "response.strictTransportSecurity",
    "Browsers then use TLS alone for this host.",
    &[
        Key::new("maxAge", "duration", Default::Is("`365d`"), "For how long, `0s` to `730d`."),
        Key::new("includeSubDomains", "boolean", Default::Is("false"), "For every host below this one, too."),
        Key::new(
            "preload",
            "boolean",
            Default::Is("false"),
            "Agree to be in the lists that browsers are shipped with; it takes `includeSubDomains` and a year, and is hard to undo.",
        ),
        Key::new(
            "overPlaintext",
            "map",
            Default::Is("not then"),
            "Say it on plain connections too: where something before the proxy ends TLS.",
        )
        .nested(&BECAUSE),
    ],
);

const REMOVED: [&str; 8] = [
    "server",
    "via",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-generator",
    "x-runtime",
    "x-envoy-upstream-service-time",
];

/// What the message itself, or its reader, hangs on.
const NEEDED: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "grpc-message",
    "grpc-status",
    "te",
    "transfer-encoding",
    "www-authenticate",
];

const REFERRER: [(&str, Option<&str>); 9] = [
    ("no-referrer", Some("no-referrer")),
    ("no-referrer-when-downgrade", Some("no-referrer-when-downgrade")),
    ("origin", Some("origin")),
    ("origin-when-cross-origin", Some("origin-when-cross-origin")),
    ("same-origin", Some("same-origin")),
    ("strict-origin", Some("strict-origin")),
    ("strict-origin-when-cross-origin", Some("strict-origin-when-cross-origin")),
    ("unsafe-url", Some("unsafe-url")),
    ("Off", None),
];

/// `X-Frame-Options` and what is the same in `Content-Security-Policy`.
type Frame = Option<(&'static str, &'static str)>;

const FRAMES: [(&str, Frame); 3] = [
    ("Deny", Some(("DENY", "frame-ancestors 'none'"))),
    ("SameOrigin", Some(("SAMEORIGIN", "frame-ancestors 'self'"))),
    ("Off", None),
];

/// Reads a `response`.
pub fn read(field: &Field<'_>) -> Option<Rules> {
    let section = field.section(&RESPONSE)?;
    let removed = match section.get("removeHeaders") {
        Some(field) => read_removed(&field),
        None => Some(REMOVED.iter().map(|name| Rc::from(*name)).collect()),
    };
    let sniff = word(&section, "contentTypeOptions", &[("NoSniff", true), ("Off", false)], true);
    let frame = word(&section, "frameOptions", &FRAMES, Some(("DENY", "frame-ancestors 'none'")));
    let referrer = word(&section, "referrerPolicy", &REFERRER, Some("no-referrer"));
    let no_store = word(&section, "cacheControl", &[("NoStore", true), ("Off", false)], false);
    let replaces_errors = section.get("replaceErrorBodies").map_or(Some(false), |field| field.boolean());
    let transport = match section.get("strictTransportSecurity") {
        Some(field) => read_transport(&field).map(Some),
        None => Some(None),
    };
    let mut added: Vec<(&'static str, Box<str>)> = Vec::new();
    if sniff? {
        added.push(("x-content-type-options", "nosniff".into()));
    }
    if let Some((options, ancestors)) = frame? {
        added.push(("x-frame-options", options.into()));
        added.push(("content-security-policy", ancestors.into()));
    }
    added.extend(referrer?.map(|policy| ("referrer-policy", policy.into())));
    Some(Rules {
        removed: removed?,
        added,
        transport: transport?,
        no_store: no_store?,
        replaces_errors: replaces_errors?,
    })
}

fn word<T: Copy>(
    section: &Section<'_>,
    key: &'static str,
    words: &[(&'static str, T)],
    otherwise: T,
) -> Option<T> {
    section.get(key).map_or(Some(otherwise), |field| field.one_of(words))
}

fn read_removed(field: &Field<'_>) -> Option<Vec<Rc<str>>> {
    let names = field.header_names()?;
    let needed = names.iter().find(|name| NEEDED.contains(&&***name));
    if let Some(name) = needed {
        field.error(
            format!("{} cannot be taken off", quoted(name)),
            "the response could not be read without it",
        );
        return None;
    }
    Some(names)
}

fn read_transport(field: &Field<'_>) -> Option<Transport> {
    const YEAR: u64 = 365 * 86_400;
    let section = field.section(&TRANSPORT)?;
    let max_age = match section.get("maxAge") {
        Some(field) => field.duration(0..=2 * YEAR * 1_000_000_000).map(|nanos| nanos / 1_000_000_000),
        None => Some(YEAR),
    };
    let flag = |key| section.get(key).map_or(Some(false), |field| field.boolean());
    let (below, preload) = (flag("includeSubDomains"), flag("preload"));
    let over_plaintext = match section.get("overPlaintext") {
        Some(field) => field.section(&BECAUSE)?.get("because")?.text().map(|_| true),
        None => Some(false),
    };
    let (max_age, below, preload) = (max_age?, below?, preload?);
    if preload && (!below || max_age < YEAR) {
        section.error(
            "`preload` without `includeSubDomains` and a `maxAge` of 365d",
            "no list of browsers takes it so",
        );
    }
    let mut value = format!("max-age={max_age}");
    for (on, text) in [(below, "; includeSubDomains"), (preload, "; preload")] {
        if on {
            value.push_str(text);
        }
    }
    Some(Transport { value: value.into(), over_plaintext: over_plaintext? })
}
