//! How is authentication written in a policy? These are the pages of the reference.

use crate::document::{Default, Key, Shape};

/// `jwt`
pub static JWT: Shape = Shape {
    name: "jwt",
    about: "Whose tokens the gateway takes. What stands here holds for every route that names the provider.",
    keys: &[Key::new(
        "providers",
        "list of providers",
        Default::Required,
        "One for each issuer. Two providers may share an issuer if no route takes both.",
    )
    .nested(&PROVIDER)],
};

/// `jwt.providers[]`
pub static PROVIDER: Shape = Shape {
    name: "jwt.providers[]",
    about: "An issuer of tokens, its keys, and what must hold of a token. A token that fails one of these checks is \
            refused; the answer says only that it is not valid, and the audit event says why.",
    keys: &[
        Key::new("name", "string", Default::Required, "Its name, for routes, audit events and metrics."),
        Key::new("issuer", "string", Default::Required, "What `iss` must be, byte by byte. It chooses among the providers of a route."),
        Key::new("audiences", "list of strings", Default::Is("none; then `allowAnyAudience` must stand"),
            "One of them must be in `aud`, byte by byte. A token without `aud` is refused."),
        Key::new("allowAnyAudience", "map", Default::Is("not allowed"),
            "Take tokens that were made for other services too. Any of them can then use your caller's token here.").nested(&BECAUSE),
        Key::new("algorithms", "list of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512",
            Default::Is("all but HS*"),
            "Which signature algorithms are taken. `alg` of a token must be one of them and fit its key. HS* must be named, \
             need `secret`, and cannot stand beside the others."),
        Key::new("tokenTypes", "list of media types", Default::Is("absent, JWT, at+jwt"),
            "Which `typ` a token may have, without case and without `application/`. When written, a token without `typ` is refused."),
        Key::new("localJWKS", "map", Default::Is("none"), "The issuer's public keys, as a JWK set.").nested(&LOCAL_JWKS),
        Key::new("remoteJWKS", "map", Default::NotBuilt("write the keys into `localJWKS`"),
            "Where the issuer publishes its keys."),
        Key::new("secret", "map", Default::Is("none"),
            "The shared secret for HS256, HS384, HS512: the variable's bytes as they are. It must be as long as the hash \
             (32, 48, 64 bytes); a shorter or missing one refuses this provider's tokens with 503.").nested(&ENV),
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
        Key::new("confirmation", "map", Default::NotBuilt("leave it out: tokens are bearer tokens"),
            "Tokens bound to a certificate or a key (RFC 8705, RFC 9449)."),
        Key::new("introspection", "map", Default::NotBuilt("leave it out: only signed tokens are taken"), "Opaque tokens (RFC 7662)."),
    ],
};

/// `{because: …}`
pub static BECAUSE: Shape = Shape {
    name: "{because}",
    about: "What weakens a check is written down with its reason.",
    keys: &[Key::new("because", "string", Default::Required, "Why, for whoever reviews the policy.")],
};

/// `{env: NAME}`
pub static ENV: Shape = Shape {
    name: "{env}",
    about: "A variable of the plugin's environment (`vm_config.environment_variables` in Envoy), so that no secret stands in \
            the policy.",
    keys: &[Key::new("env", "name of a variable", Default::Required, "Letters, digits and `_`.")],
};

/// `jwt.providers[].localJWKS`
pub static LOCAL_JWKS: Shape = Shape {
    name: "jwt.providers[].localJWKS",
    about: "A JWK set (RFC 7517) of public keys: RSA of 2048 to 4096 bits, P-256, P-384, Ed25519. A key for another purpose or \
            of another kind is skipped with a warning; a private key, a shared secret or a doubled `kid` is an error.",
    keys: &[
        Key::new("inline", "string", Default::Is("none"), "The set as JSON text."),
        Key::new(
            "env",
            "name of a variable",
            Default::Is("none"),
            "A variable of the plugin's environment that holds the set. If it is missing or cannot be used, this provider's \
             tokens are refused with 503.",
        ),
    ],
};

/// `jwt.providers[].extractFrom`
pub static EXTRACT_FROM: Shape = Shape {
    name: "jwt.providers[].extractFrom",
    about: "Where a token may stand. What is written here replaces the default.",
    keys: &[
        Key::new("headers", "list of maps", Default::Is("none"), "Request headers.").nested(&EXTRACT_HEADER),
        Key::new("cookies", "list of strings", Default::Is("none"), "Cookies, by name, with case."),
        Key::new(
            "params",
            "list of strings",
            Default::Is("none"),
            "Query parameters, by name. A token in a URL ends up in logs and histories; RFC 6750 §2.3 advises against it.",
        ),
    ],
};

/// `jwt.providers[].extractFrom.headers[]`
pub static EXTRACT_HEADER: Shape = Shape {
    name: "jwt.providers[].extractFrom.headers[]",
    about: "A header and what stands before the token in it.",
    keys: &[
        Key::new("name", "header name", Default::Required, "Compared without case."),
        Key::new(
            "valuePrefix",
            "string",
            Default::Is("none"),
            "Must stand at the very start of the value, compared without case. A value of another scheme is no credential.",
        ),
    ],
};

/// `jwt.providers[].claimToHeaders[]`
pub static CLAIM_TO_HEADER: Shape = Shape {
    name: "jwt.providers[].claimToHeaders[]",
    about: "A claim and the header it becomes: text, a number, a boolean, or a list of texts joined with commas. A claim of \
            another kind, or one that holds what no header may hold, refuses the token; a missing one sets no header.",
    keys: &[
        Key::new("claim", "claim", Default::Required, "Its name; `org.dept` finds a nested one."),
        Key::new(
            "header",
            "header name",
            Default::Required,
            "The header. Not one that the proxy or the protocol uses itself.",
        ),
    ],
};

/// `routes[].authentication`
pub static AUTHENTICATION: Shape = Shape {
    name: "routes[].authentication",
    about: "Who may come: exactly one of these keys.",
    keys: &[
        Key::new("jwt", "map", Default::Is("none"), "The bearer of a token.").nested(&ROUTE_JWT),
        Key::new("open", "map", Default::Is("none"), "Anybody, unidentified.").nested(&BECAUSE),
        Key::new("anyOf", "list of maps", Default::Is("none"),
            "One of several. With `open` among them the credential is optional: a request without one passes as anonymous, a bad \
             one is refused all the same.").nested(&ANY_OF),
        Key::new("apiKey", "map", Default::NotBuilt("use `jwt`"), "The bearer of an API key."),
    ],
};

/// `routes[].authentication.anyOf[]`
pub static ANY_OF: Shape = Shape {
    name: "routes[].authentication.anyOf[]",
    about: "One of the ways in: exactly one of these keys.",
    keys: &[
        Key::new("jwt", "map", Default::Is("none"), "The bearer of a token.").nested(&ROUTE_JWT),
        Key::new("open", "map", Default::Is("none"), "Anybody who brings no credential.").nested(&BECAUSE),
        Key::new("apiKey", "map", Default::NotBuilt("use `jwt`"), "The bearer of an API key."),
    ],
};

/// `routes[].authentication.jwt`
pub static ROUTE_JWT: Shape = Shape {
    name: "routes[].authentication.jwt",
    about: "Whose tokens the route takes.",
    keys: &[Key::new(
        "providers",
        "list of provider names",
        Default::Is("all of `jwt.providers`"),
        "By name. No two of one issuer, since the issuer chooses.",
    )],
};
