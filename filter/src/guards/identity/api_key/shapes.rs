//! How are API keys written in a policy? These are the pages of the reference.

use crate::document::{Default, Key, Shape};
use crate::guards::identity::config::shapes::ENV;

/// `apiKeyAuth`
pub static API_KEY_AUTH: Shape = Shape::new(
    "apiKeyAuth",
    "The API keys of the gateway's clients, as hashes. `portcullis apikey new` makes a key and its entry. What stands here holds for \
            every route that takes API keys.",
    &[
        Key::new("extractFrom", "map", Default::Is("the `x-api-key` header"),
            "Where the key stands. A request with more than one credential is refused.").nested(&EXTRACT_FROM),
        Key::new("forwardClientIDHeader", "header name", Default::Is("none"),
            "The header in which the upstream gets the client's id. What a client sends under this name is taken away on every route, \
             open ones too. Not one that the proxy or the protocol uses itself."),
        Key::new("forward", "boolean", Default::Is("false"),
            "Let the upstream see the key. Else it is taken off the request, wherever it stood."),
        Key::new("pepper", "map", Default::Is("none"),
            "The secret under which `hmac-sha256:` hashes were made, the variable's bytes as they are: 32 or more. While it is missing, keys \
             that no `sha256:` hash knows are refused with 503.").nested(&ENV),
        Key::new("nextPepper", "map", Default::Is("none"),
            "Another one beside it while it is changed: a hash may be made under either. An `hmac-sha256:` hash does not say under which; where \
             one of the two is missing, keys that are not found are refused with 503.").nested(&ENV),
        Key::new("keys", "list of maps", Default::Required,
            "The keys, at most 50000. A client may have several at once, so that it can change from one to the next.").nested(&ENTRY),
    ],
);

/// `apiKeyAuth.extractFrom`
pub static EXTRACT_FROM: Shape = Shape::new(
    "apiKeyAuth.extractFrom",
    "Where a key may stand. What is written here replaces the default. A key is 16 to 256 characters of visible ASCII without a \
            comma, in a query also without `%` and `+`; it is not decoded.",
    &[
        Key::new(
            "headers",
            "list of header names",
            Default::Is("none"),
            "The whole value is the key. Compared without case.",
        ),
        Key::new(
            "cookies",
            "list of strings",
            Default::Is("none"),
            "Cookies, by name, with case. A browser sends a cookie with requests that other sites cause.",
        ),
        Key::new(
            "params",
            "list of strings",
            Default::Is("none"),
            "Query parameters, by name. A key in a URL ends up in logs and histories.",
        ),
    ],
);

/// `apiKeyAuth.keys[]`
pub static ENTRY: Shape = Shape::new(
    "apiKeyAuth.keys[]",
    "A key and what it stands for. Times are RFC 3339 (`2026-01-31T00:00:00Z`) and hold to the second, without skew.",
    &[
        Key::new(
            "client",
            "name",
            Default::Required,
            "Whose key it is: for rules, limits, audit events and the upstream.",
        ),
        Key::new(
            "keyHash",
            "`sha256:` or `hmac-sha256:` and 64 hexadecimal digits",
            Default::Required,
            "The hash of the key, never the key. `sha256:` is for random keys of 128 bits or more, such as `portcullis apikey new` \
             makes; `hmac-sha256:` is made under `pepper` and protects weaker ones too from whoever reads the policy.",
        ),
        Key::new(
            "scopes",
            "list of strings",
            Default::Is("none"),
            "What the key may, for rules that ask for `scopes`.",
        ),
        Key::new("tier", "name", Default::Is("none"), "The client's tier."),
        Key::new(
            "notBefore",
            "point in time",
            Default::Is("valid at once"),
            "When the key begins to be valid.",
        ),
        Key::new(
            "expiresAt",
            "point in time",
            Default::Is("never"),
            "From when on it is not: `api_key_expired`.",
        ),
    ],
);
