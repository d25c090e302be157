//! Which keys does the document have? The outermost shapes; each guard has its own below them.

use crate::document::{Default, Key, Shape};
use crate::guards::access::AUTHORIZATION;
use crate::guards::assertion::{SIGNING, UPSTREAM};
use crate::guards::cors::CORS;
use crate::guards::exposure::EXPOSURE;
use crate::guards::identity::api_key::shapes::API_KEY_AUTH;
use crate::guards::identity::certificate::shapes::CLIENT_CERTIFICATES;
use crate::guards::identity::config::shapes::{AUTHENTICATION, JWT};
use crate::guards::overload::{OVERLOAD, PRIORITY};
use crate::guards::rate_limit::RATE_LIMIT;
use crate::guards::response::RESPONSE;
use crate::guards::route::MATCH;
use crate::guards::shape::{FORWARDED, REQUEST};
use crate::{audit, redaction};

const REQUEST_KEY: Key = Key::new(
    "request",
    "map",
    Default::Is("that of `defaults`, or else the defaults of its keys"),
    "What a request may look like.",
)
.nested(&REQUEST);

const AUTHORIZATION_KEY: Key = Key::new(
    "authorization",
    "map",
    Default::Is("that of `defaults`, or else whoever was authenticated may"),
    "Who may.",
)
.nested(&AUTHORIZATION);

const RATE_LIMIT_KEY: Key =
    Key::new("rateLimit", "map", Default::Is("that of `defaults`, or else no limit"), "How often.")
        .nested(&RATE_LIMIT);

const UPSTREAM_KEY: Key = Key::new(
    "upstream",
    "map",
    Default::Is("that of `defaults`, or else nothing beside the headers of claims"),
    "What the upstream is told.",
)
.nested(&UPSTREAM);
const CORS_KEY: Key = Key::new(
    "cors",
    "map, or `Off`",
    Default::Is("that of `defaults`, or else what upstreams say themselves"),
    "Which pages of other origins may use it from a browser.",
)
.nested(&CORS);

const RESPONSE_KEY: Key = Key::new(
    "response",
    "map",
    Default::Is("that of `defaults`, or else responses stay as they are"),
    "What may leave. That of `defaults` holds for requests without a route, too.",
)
.nested(&RESPONSE);

const MODE_KEY: Key = Key::new(
    "mode",
    "`Enforce` or `Shadow`",
    Default::Is("`Enforce`"),
    "`Shadow` decides, counts and audits as usual and then lets the request pass. It stands on the document, on a route and on a \
     rule; the outermost Shadow wins.",
);

/// The document.
pub static POLICY: Shape = Shape::new(
    "the document",
    "A policy is one document.",
    &[
        Key::new("apiVersion", "`portcullis/v1`", Default::Required, "The version of this format."),
        Key::new("kind", "`GatewayPolicy`", Default::Required, "The kind of document."),
        Key::new("name", "name", Default::Required, "The policy's name in audit events and metrics."),
        MODE_KEY,
        Key::new(
            "overload",
            "map",
            Default::Is("nothing is refused for it"),
            "When a worker has too much to do.",
        )
        .nested(&OVERLOAD),
        Key::new("jwt", "map", Default::Is("none"), "Who issues tokens, and what a token must be to hold.")
            .nested(&JWT),
        Key::new("apiKeyAuth", "map", Default::Is("none"), "The API keys of clients, as hashes.")
            .nested(&API_KEY_AUTH),
        Key::new("signing", "map", Default::Is("none"), "The keys with which the gateway signs.")
            .nested(&SIGNING),
        Key::new(
            "clientCertificates",
            "map",
            Default::Is("none"),
            "Who vouches for the certificates of clients.",
        )
        .nested(&CLIENT_CERTIFICATES),
        Key::new(
            "forwardedHeaders",
            "map",
            Default::Is("none is trusted"),
            "Which headers of a proxy before this one are believed.",
        )
        .nested(&FORWARDED),
        Key::new(
            "stateBytes",
            "size",
            Default::Is("`8Mi`"),
            "`64Ki` to `256Mi`: shared memory for the buckets of all limits, 32 bytes a key. It is taken when the policy is loaded and given back \
             when Envoy ends; another size is another table, in which all buckets are full again",
        ),
        Key::new(
            "defaults",
            "map",
            Default::Is("none"),
            "Sections for the routes that have none of their own.",
        )
        .nested(&DEFAULTS),
        Key::new(
            "routes",
            "list of maps",
            Default::Required,
            "What can be reached, and by whom. A request that no route takes is `404`.",
        )
        .nested(&ROUTE),
        Key::new("redaction", "map", Default::Is("the built-in set"), "What is never written down.")
            .nested(&redaction::REDACTION),
        Key::new("audit", "map", Default::Is("refused requests"), "What is written down.")
            .nested(&audit::AUDIT),
    ],
);

/// `defaults`
pub(super) static DEFAULTS: Shape = Shape::new(
    "defaults",
    "Sections that hold for every route. One that stands on a route too replaces the one here as a whole; the two are not \
            merged. `authentication` has no default: every route names its own.",
    &[PRIORITY, REQUEST_KEY, CORS_KEY, AUTHORIZATION_KEY, RATE_LIMIT_KEY, UPSTREAM_KEY, RESPONSE_KEY],
);

/// `routes[]`
pub(super) static ROUTE: Shape = Shape::new(
    "routes[]",
    "What can be reached, and what it takes.",
    &[
        Key::new("name", "name", Default::Required, "The route's name in audit events. Each name once."),
        MODE_KEY,
        Key::new("match", "map", Default::Required, "Which requests the route takes; `{}` takes every one.")
            .nested(&MATCH),
        Key::new(
            "authentication",
            "map",
            Default::Required,
            "Who is asked for. An open route says so, and why.",
        )
        .nested(&AUTHENTICATION),
        Key::new("exposure", "a word, or map", Default::Is("nothing is said"), "For whom the route is.")
            .nested(&EXPOSURE),
        REQUEST_KEY,
        AUTHORIZATION_KEY,
        PRIORITY,
        CORS_KEY,
        RATE_LIMIT_KEY,
        UPSTREAM_KEY,
        RESPONSE_KEY,
        Key::new("audit", "map", Default::Is("that of the document"), "Which requests are written down.")
            .nested(&audit::ROUTE_AUDIT),
    ],
);
