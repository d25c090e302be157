//! How are assertions and the keys that sign them written in a policy? These are the pages of the reference.

use crate::document::{Default, Key, Shape};
use crate::guards::identity::config::shapes::ENV;

/// `signing`
pub static SIGNING: Shape = Shape::new(
    "signing",
    "The gateway's own keys, with which it signs what an upstream is told (`upstream.assertion`).",
    &[
        Key::new("issuer", "string", Default::Required, "`iss` of what is signed: a name of the gateway that upstreams know."),
        Key::new("keys", "list of maps", Default::Required,
            "The keys. Of those that may sign at the time of a request, the one that began last signs. To change one, add the next with its \
             `notBefore`, and take the old one out when its `notAfter` and the longest `ttl` have passed.").nested(&SIGNING_KEY),
        Key::new("jwks", "map", Default::Is("not published"), "Where upstreams find the public keys.").nested(&PUBLISHED),
    ],
);

pub(super) static SIGNING_KEY: Shape = Shape::new(
    "signing.keys[]",
    "A key, and when it signs. It is published from the moment the policy is loaded, and after `notAfter` for as long as what it \
            signed may be taken: the longest `ttl` of a route and a minute of clock skew.",
    &[
        Key::new(
            "kid",
            "name",
            Default::Required,
            "Its name, in the header of what it signs and in the published set. Each name once.",
        ),
        Key::new(
            "algorithm",
            "`EdDSA`, `ES256` or `HS256`",
            Default::Required,
            "What it signs with. With HS256, whoever can check can sign too; it is taken only where an assertion names it.",
        ),
        Key::new(
            "privateKey",
            "map",
            Default::Is("none; EdDSA and ES256 need it"),
            "The private key: PKCS#8 in PEM, or a private JWK. `portcullis keys new` makes one.",
        )
        .nested(&ENV),
        Key::new(
            "secret",
            "map",
            Default::Is("none; HS256 needs it"),
            "The shared secret: the variable's bytes as they are, at least 32.",
        )
        .nested(&ENV),
        Key::new("notBefore", "point in time", Default::Is("always"), "From when on it signs."),
        Key::new("notAfter", "point in time", Default::Is("for ever"), "When it ceases to sign."),
    ],
);

pub(super) static PUBLISHED: Shape = Shape::new(
    "signing.jwks",
    "The public keys as a JWK set, for whoever asks with `GET` or `HEAD`, on every host and before any route is looked for. There is no \
            secret in it: HS256 keys are never shown.",
    &[
        Key::new(
            "path",
            "path",
            Default::Required,
            "The path, as it is asked for: `/.well-known/portcullis/jwks.json`.",
        ),
        Key::new(
            "maxAge",
            "duration",
            Default::Is("5m"),
            "`1s` to `1d`: `max-age` of the answer. Load a new key at least so long before its `notBefore`, and know that one which is taken out is \
             believed for so long.",
        ),
    ],
);

/// `upstream`
pub static UPSTREAM: Shape = Shape::new(
    "upstream",
    "What the upstream is told. `upstream: {}` on a route takes away what `defaults` say.",
    &[Key::new(
        "assertion",
        "map",
        Default::Is("none"),
        "A signed proof, in a header, that the request came through this gateway, just now, for just that method, host, path and query.",
    )
    .nested(&ASSERTION)],
);

pub(super) static ASSERTION: Shape = Shape::new(
    "upstream.assertion",
    "A token (RFC 7519) of seconds with `typ: portcullis-assertion+jwt`. It says `iss`, `aud`, `sub`, `client_id`, `credential` (`token`, `api_key` or `certificate`), `provider`, `scope`, \
            `claims`, `jti`, `iat`, `nbf` and `exp`, as far as they are known, and what it is bound to: `htm` (the method), `authority` (in \
            lower case), `path` (up to the first `?`) and `query` (what stands behind it), or, if that is longer than 512 bytes, `query_hash` (its \
            SHA-256 in base64url). What a client sends under its header \
            is taken away on every route, and what an upstream sends back is taken off the response.",
    &[
        Key::new(
            "header",
            "header name",
            Default::Is("`x-portcullis-assertion`"),
            "The header that carries it.",
        ),
        Key::new(
            "audience",
            "string",
            Default::Required,
            "`aud`: a name of the upstream, of its own, so that no other one can use what it gets.",
        ),
        Key::new(
            "ttl",
            "duration",
            Default::Is("30s"),
            "`1s` to `5m`: how long it serves, from `iat` to `exp`.",
        ),
        Key::new(
            "reuse",
            "duration or `Off`",
            Default::Is("half of `ttl`"),
            "For how long it is sent again with requests that are the same in all that it says, at most half of `ttl`. With `Off` each request \
             has its own, with its `request_id`, at the cost of a signature; an upstream can then refuse a `jti` that it has seen.",
        ),
        Key::new(
            "algorithm",
            "`EdDSA`, `ES256` or `HS256`",
            Default::Is("of any key that is not HS256"),
            "Which keys may sign it.",
        ),
        Key::new("include", "map", Default::Is("all scopes, no claims"), "What it says of the caller.")
            .nested(&INCLUDE),
    ],
);

pub(super) static INCLUDE: Shape = Shape::new(
    "upstream.assertion.include",
    "What is passed on of what the caller's credential says.",
    &[
        Key::new(
            "claims",
            "list of claims",
            Default::Is("none"),
            "Claims of the caller's token, which go into `claims` under these names; `org.dept` finds a nested one.",
        ),
        Key::new(
            "scopes",
            "list of strings",
            Default::Is("all that the caller has"),
            "The scopes that this upstream needs; `scope` has those of them that the caller has.",
        ),
    ],
);
