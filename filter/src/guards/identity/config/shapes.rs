//! How is authentication written in a policy? These are the pages of the reference.

pub use crate::document::outside::ENV;
use crate::document::{Default, Key, Shape};
use crate::guards::identity::certificate::shapes::MTLS;
use crate::guards::identity::confirmation::config::CONFIRMATION;

/// `jwt`
pub static JWT: Shape = Shape::new(
    "jwt",
    "Whose tokens the gateway takes. What stands here holds for every route that names the provider.",
    &[Key::new(
        "providers",
        "list of providers",
        Default::Required,
        "One for each issuer. Two providers may share an issuer if no route takes both.",
    )
    .nested(&PROVIDER)],
);

/// `jwt.providers[]`
pub static PROVIDER: Shape = Shape::new(
    "jwt.providers[]",
    "An issuer of tokens, its keys, and what must hold of a token. A token that fails one of these checks is \
            refused; the answer says only that it is not valid, and the audit event says why.",
    &[
        Key::new("name", "string", Default::Required, "Its name, for routes, audit events and metrics."),
        Key::new("issuer", "string", Default::Required, "What `iss` must be, byte by byte. It chooses among the providers of a route."),
        Key::new("audiences", "list of strings", Default::Is("none; then `allowAnyAudience` must stand"),
            "One of them must be in `aud`, byte by byte. A token without `aud` is refused."),
        Key::new("allowAnyAudience", "map", Default::Is("not allowed"),
            "Take tokens that were made for other services too. Any of them can then use your caller's token here.").nested(&BECAUSE),
        Key::new("algorithms", "list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512",
            Default::Is("all but HS*"),
            "Which signature algorithms are taken. `alg` of a token must be one of them and fit its key. HS* must be named, \
             need `secret`, and cannot stand beside the others. The proxy checks RS* and ES*; PS* and EdDSA the plugin checks itself, which takes several times \
             as long, and a client chooses among what the key can do: name those alone that the issuer signs with."),
        Key::new("tokenTypes", "list of media types", Default::Is("absent, JWT, at+jwt"),
            "Which `typ` a token may have, without case and without `application/`. When written, a token without `typ` is refused. For \
             access tokens of RFC 9068 alone write `[at+jwt]`, and `requiredClaims: [sub, client_id, iat, jti]`; `iss`, `aud` and `exp` are \
             asked for anyway."),
        Key::new("localJWKS", "map", Default::Is("none"), "The issuer's public keys, as a JWK set.").nested(&LOCAL_JWKS),
        Key::new("remoteJWKS", "map", Default::Is("none"),
            "Where the issuer publishes its keys. One worker fetches them for all.").nested(&REMOTE_JWKS),
        Key::new("secret", "map", Default::Is("none"),
            "The shared secret for HS256, HS384, HS512: the variable's bytes as they are. It must be as long as the hash \
             (32, 48, 64 bytes); a shorter or missing one refuses this provider's tokens with 503.").nested(&ENV),
        Key::new("nextSecret", "map", Default::Is("none"),
            "A second secret, for the time of a change: tokens by either are taken. Put the new one here, let the issuer change, then let it be \
             `secret`. If only one of the two is there, it serves.").nested(&ENV),
        Key::new("extractFrom", "map", Default::Is("the `authorization` header behind `Bearer `"),
            "Where the token stands. A request with more than one credential is refused.").nested(&EXTRACT_FROM),
        Key::new("forward", "boolean", Default::Is("false"),
            "Let the upstream see the token. Else it is taken off the request, wherever it stood."),
        Key::new("clockSkew", "duration", Default::Is("30s"), "How far our clock and the issuer's may differ; at most `60s`."),
        Key::new("requireExpiration", "boolean", Default::Is("true"), "Refuse a token without `exp`."),
        Key::new("maxLifetime", "duration", Default::Is("no bound, with a warning"),
            "The longest `exp - iat`. A token without one of the two is then refused."),
        Key::new("requiredClaims", "list of claims", Default::Is("none"),
            "Claims that must be there and not null; `realm.roles` finds a nested one."),
        Key::new("claimToHeaders", "list of maps", Default::Is("none"),
            "Claims that the upstream gets as headers. What a client sends under these names is taken away on every route, open \
             ones too.").nested(&CLAIM_TO_HEADER),
        Key::new("revoked", "map", Default::Is("none"), "What is refused though it has not expired.").nested(&REVOKED),
        Key::new("confirmation", "map", Default::Is("unbound tokens only"),
            "Tokens bound to a certificate or a key (RFC 8705, RFC 9449).").nested(&CONFIRMATION),
        Key::new("introspection", "map", Default::Is("none"),
            "Ask the issuer about tokens that are no signed ones (RFC 7662). Beside keys, signed tokens are checked with the keys, and what \
             somebody could take for a signed token, but we do not (other letters of base64, padding, a fourth part), is refused and not asked about; an encrypted \
             one is asked about. Without keys, signed tokens of this issuer are asked about too, as they are. One such provider a route, since an opaque token names no issuer.").nested(&INTROSPECTION),
    ],
);

/// `jwt.providers[].revoked`
pub static REVOKED: Shape = Shape::new(
    "jwt.providers[].revoked",
    "What was taken back before its time. Entries are compared byte by byte and found as fast among ten thousand as among ten; \
            none of them is ever logged. The list is asked once the signature has held. A new list holds as soon as the proxy has the \
            new policy; what has expired may be taken off.",
    &[
        Key::new(
            "jti",
            "list of strings",
            Default::Is("none"),
            "Tokens. Where this is written, a token without `jti`, or with one that is no string, cannot be checked and is refused.",
        ),
        Key::new(
            "sub",
            "list of strings",
            Default::Is("none"),
            "Subjects. A token without `sub` speaks for no subject and is not of this list; `requiredClaims: [sub]` refuses it.",
        ),
        Key::new(
            "clients",
            "list of strings",
            Default::Is("none"),
            "Clients: neither `client_id` nor `azp` may be one of them. A token without both is of no client and is not of this list; one \
             that has another type is refused.",
        ),
        Key::new(
            "kids",
            "list of strings",
            Default::Is("none"),
            "Keys, by `kid`: as if they were not in the key set. Refused before the signature is checked, as an unknown key.",
        ),
    ],
);

/// `{because: …}`
pub static BECAUSE: Shape = Shape::new(
    "{because}",
    "What weakens a check is written down with its reason.",
    &[Key::new("because", "string", Default::Required, "Why, for whoever reviews the policy.")],
);

/// `jwt.providers[].localJWKS`
pub static LOCAL_JWKS: Shape = Shape::new(
    "jwt.providers[].localJWKS",
    "A JWK set (RFC 7517) of public keys: RSA of 2048 to 4096 bits, P-256, P-384, Ed25519. A key for another purpose or \
            of another kind is skipped with a warning; a private key, a shared secret or a doubled `kid` is an error.",
    &[
        Key::new("inline", "string", Default::Is("none"), "The set as JSON text."),
        Key::new(
            "env",
            "name of a variable",
            Default::Is("none"),
            "A variable of the plugin's environment that holds the set. If it is missing or cannot be used, this provider's \
             tokens are refused with 503.",
        ),
    ],
);

/// `jwt.providers[].remoteJWKS`
pub static REMOTE_JWKS: Shape = Shape::new(
    "jwt.providers[].remoteJWKS",
    "A JWK set that the issuer publishes, of the kinds of `localJWKS`. A key that is odd, private, or shares its `kid` is \
            skipped and logged. Keys are fetched before they are needed, anew before they are stale, and once more when a token names a `kid` that \
            they lack (at most every 10 s, whoever asks). Before the first keys requests wait; when there are none to be had they are \
            refused with 503, never with 401.",
    &[
        Key::new(
            "uri",
            "URL",
            Default::Is("`jwks_uri` of the issuer's `/.well-known/openid-configuration`"),
            "Where the keys are. Left out, the issuer's metadata says so: it must name the same `issuer`, and keys of the same origin.",
        ),
        Key::new(
            "cluster",
            "string",
            Default::Required,
            "The proxy's name for where the issuer is reached. Its TLS settings decide who may answer.",
        ),
        Key::new(
            "cacheDuration",
            "duration",
            Default::Is("300s"),
            "How long keys are fresh, `1s` to `24h`. A `Cache-Control` of the issuer can shorten it, to 10 s at the least.",
        ),
        Key::new(
            "failedRefetchDuration",
            "duration",
            Default::Is("2s"),
            "The pause after a failure, `100ms` to `60s`. It doubles with each further one, up to 60 s.",
        ),
        Key::new(
            "timeout",
            "duration",
            Default::Is("2s"),
            "For one call, `10ms` to `30s`; and so the longest that a request waits (twice that where the metadata is asked first).",
        ),
        Key::new(
            "staleGrace",
            "duration",
            Default::Is("1h"),
            "How long keys that are no longer fresh serve while the issuer cannot be reached, up to `7d`. A key that was withdrawn serves as long.",
        ),
    ],
);

/// `jwt.providers[].introspection`
pub static INTROSPECTION: Shape = Shape::new(
    "jwt.providers[].introspection",
    "The issuer's introspection endpoint. What it answers is checked like the claims of a signed token: `aud`, `exp`, `maxLifetime`, \
            `requiredClaims`, `revoked`, and `iss` if it is there; where it is not, limits, rules, headers and events know the token by the provider's `issuer`. \
            What it calls a refresh token, an ID token or a logout token (`token_use`, which must be `access_token` or `access` if it is there; `typ`; `token_type`) is refused. \
            Endpoints say `active` of refresh tokens, too: where yours does not say which it is, ask for a claim that only access tokens have (`audiences`, `requiredClaims`). One question answers for all who wait for it. If the service has no answer \
            to a token, that token gets 503, never 401, and for one second nobody asks about it again. After three failures in a row that may be the service's own (none that is \
            reached, none in time, 5xx), and at once after 401, 429 or a question that could not be sent, for one second nobody asks about any token.",
    &[
        Key::new("uri", "URL", Default::Required, "The endpoint."),
        Key::new("cluster", "string", Default::Required, "The proxy's name for where it is reached. Its TLS settings decide who may answer."),
        Key::new("clientId", "string", Default::Required, "Who asks (HTTP Basic, RFC 6749 §2.3.1)."),
        Key::new(
            "clientSecret",
            "map",
            Default::Required,
            "The secret, in a variable of the plugin's environment. Missing, it refuses this provider's opaque tokens with 503.",
        )
        .nested(&ENV),
        Key::new(
            "nextClientSecret",
            "map",
            Default::Is("none"),
            "A second secret, for the time of a change: whichever of the two the issuer takes is used, and when it is refused (401), the other.",
        )
        .nested(&ENV),
        Key::new("timeout", "duration", Default::Is("1s"), "For one question, `10ms` to `30s`."),
        Key::new(
            "cacheDuration",
            "duration",
            Default::Is("30s"),
            "How long `active` is believed, up to `1h` and never beyond `exp`: for so long a token that was revoked is still taken. An \
             inactive token is remembered for 5 s at most. `0s`: each request asks.",
        ),
    ],
);

/// `jwt.providers[].extractFrom`
pub static EXTRACT_FROM: Shape = Shape::new(
    "jwt.providers[].extractFrom",
    "Where a token may stand. What is written here replaces the default.",
    &[
        Key::new("headers", "list of maps", Default::Is("none"), "Request headers.").nested(&EXTRACT_HEADER),
        Key::new("cookies", "list of strings", Default::Is("none"), "Cookies, by name, with case."),
        Key::new(
            "params",
            "list of strings",
            Default::Is("none"),
            "Query parameters, by name. A token in a URL ends up in logs and histories; RFC 6750 §2.3 advises against it.",
        ),
    ],
);

/// `jwt.providers[].extractFrom.headers[]`
pub static EXTRACT_HEADER: Shape = Shape::new(
    "jwt.providers[].extractFrom.headers[]",
    "A header and what stands before the token in it.",
    &[
        Key::new("name", "header name", Default::Required, "Compared without case."),
        Key::new(
            "valuePrefix",
            "string",
            Default::Is("none"),
            "Must stand at the very start of the value, compared without case. A value of another scheme is no credential.",
        ),
    ],
);

/// `jwt.providers[].claimToHeaders[]`
pub static CLAIM_TO_HEADER: Shape = Shape::new(
    "jwt.providers[].claimToHeaders[]",
    "A claim and the header it becomes: text, a number, a boolean, or a list of texts joined with commas. A claim of \
            another kind, or one that holds what no header may hold, refuses the token; a missing one sets no header.",
    &[
        Key::new("claim", "claim", Default::Required, "Its name; `org.dept` finds a nested one."),
        Key::new(
            "header",
            "header name",
            Default::Required,
            "The header. Not one that the proxy or the protocol uses itself.",
        ),
    ],
);

/// `routes[].authentication`
pub static AUTHENTICATION: Shape = Shape::new(
    "routes[].authentication",
    "Who may come: exactly one of these keys.",
    &[
        Key::new("jwt", "map", Default::Is("none"), "The bearer of a token.").nested(&ROUTE_JWT),
        Key::new("open", "map", Default::Is("none"), "Anybody, unidentified.").nested(&BECAUSE),
        Key::new("anyOf", "list of maps", Default::Is("none"),
            "One of several. With `open` among them the credential is optional: a request without one passes as anonymous, a bad \
             one is refused all the same; so is a request with a token and an API key.").nested(&ANY_OF),
        Key::new("apiKey", "`{}`", Default::Is("none"), "The bearer of one of the keys of `apiKeyAuth`."),
        Key::new("mtls", "map", Default::Is("none"), "Whoever shows a client certificate with one of these names.").nested(&MTLS),
    ],
);

/// `routes[].authentication.anyOf[]`
pub static ANY_OF: Shape = Shape::new(
    "routes[].authentication.anyOf[]",
    "One of the ways in: exactly one of these keys.",
    &[
        Key::new("jwt", "map", Default::Is("none"), "The bearer of a token.").nested(&ROUTE_JWT),
        Key::new("open", "map", Default::Is("none"), "Anybody who brings no credential.").nested(&BECAUSE),
        Key::new("apiKey", "`{}`", Default::Is("none"), "The bearer of one of the keys of `apiKeyAuth`."),
        Key::new(
            "mtls",
            "map",
            Default::Is("none"),
            "Whoever shows a client certificate with one of these names.",
        )
        .nested(&MTLS),
    ],
);

/// `routes[].authentication.jwt`
pub static ROUTE_JWT: Shape = Shape::new(
    "routes[].authentication.jwt",
    "Whose tokens the route takes, and what it asks of the authentication behind them (RFC 9470, step-up authentication). A token \
            that is good and not good enough is refused with `insufficient_user_authentication`, and the client is told what it takes. In \
            `anyOf`, what one way asks holds for the providers of that way; no provider may stand in two ways that ask for different things.",
    &[
        Key::new(
            "providers",
            "list of provider names",
            Default::Is("all of `jwt.providers`"),
            "By name. No two of one issuer, since the issuer chooses.",
        ),
        Key::new(
            "acrValues",
            "list of strings",
            Default::Is("any"),
            "`acr` of the token must be one of them, byte by byte. In order of preference, as the client is told them.",
        ),
        Key::new(
            "maxAge",
            "duration in whole seconds",
            Default::Is("any"),
            "How long ago the user may have been authenticated: `auth_time` of the token, give or take the provider's `clockSkew`. One that \
             is missing, lies ahead or is no number is refused.",
        ),
    ],
);
