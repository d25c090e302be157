//! Every way a request can end, in one table.

use core::fmt;
use std::borrow::Cow;
use std::rc::Rc;

use crate::decimal::Decimal;
use crate::document::in_reference;
use crate::host::HostError;

/// Whether a decision is carried out. `mode` of the document, of a route and of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Enforce,
    /// It is made, counted and audited; then the request passes.
    Shadow,
}

impl Mode {
    /// The words of the policy.
    pub const WORDS: [(&'static str, Mode); 2] = [("Enforce", Mode::Enforce), ("Shadow", Mode::Shadow)];
}

/// One row of the table: what a reason means to a client, to a log and to a reader.
#[derive(Debug)]
pub struct Row {
    /// The stable `code` of the problem document, the audit event and the metric.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// The sentence that a client is told. It says nothing of keys, limits or claims.
    pub sentence: &'static str,
    /// What it means, for the reference.
    pub meaning: &'static str,
}

macro_rules! reasons {
    ($($variant:ident = $code:literal, $status:literal, $sentence:literal, $meaning:literal;)+) => {
        /// Why a request was refused. One variant a row of the table; the README's table is checked against it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $(#[doc = $meaning] $variant,)+ }

        impl Reason {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The row of the table.
            pub const fn row(self) -> &'static Row {
                match self { $(Reason::$variant => &Row { code: $code, status: $status, sentence: $sentence, meaning: const { in_reference($meaning) } },)+ }
            }
        }
    };
}

reasons! {
    // shape
    MalformedRequest = "malformed_request", 400, "The request is malformed.", "a pseudo header is missing or doubled, or the header map cannot be read";
    AuthorityInvalid = "authority_invalid", 400, "The host is not valid.", "`Host` is missing, doubled (it arrives comma-joined), or no host name or address";
    PathInvalid = "path_invalid", 400, "The path is not valid.", "the path holds a byte that no path may hold, or broken percent-encoding";
    PathAmbiguous = "path_ambiguous", 400, "The path could be read in more than one way.", "two readers could disagree on the path: dot segments, doubled, encoded or back slashes, path parameters, encoded dots or NUL, letters that some take for dots or slashes, double encoding";
    HeaderForbidden = "header_forbidden", 400, "The request carries a header that is not accepted.", "a header of the route's `forbiddenHeaders` is there";
    HeaderMissing = "header_missing", 400, "The request lacks a header it needs.", "a header of the route's `requiredHeaders` is missing, doubled, or does not match its pattern";
    UriTooLong = "uri_too_long", 414, "The URI is too long.", "the path or the query is longer than `maxPathBytes` or `maxQueryBytes`";
    HeadersTooLarge = "headers_too_large", 431, "The request header fields are too large.", "more headers than `maxHeaders`, or more bytes in them than `maxHeaderBytes`; or the assertion for the upstream would be longer than 6 KiB";
    MethodNotAllowed = "method_not_allowed", 405, "The method is not allowed here.", "the method is not in the route's `request.methods`";
    BodyTooLarge = "body_too_large", 413, "The request body is too large.", "the body is longer than `body.maxBytes`, by its `content-length` or by count";
    MediaTypeUnsupported = "media_type_unsupported", 415, "The media type of the request body is not accepted.", "a body came with no `content-type`, or with one that is not in `body.contentTypes`";
    // route
    NoRoute = "no_route", 404, "There is nothing here.", "no route of the policy matches host, path, method and headers";
    // exposure
    NotExposed = "not_exposed", 404, "There is nothing here.", "the client's address is in none of the networks of the route's `exposure`; the client is told `no_route`";
    // overload
    Overloaded = "overloaded", 503, "The service has too much to do at the moment.", "a worker has more requests under way, or upstreams take longer, than `overload` allows for the route's `priority`";
    // cors
    CorsDenied = "cors_denied", 403, "A page of this origin may not do this here.", "a preflight asks for an origin, a method or a header that the route's `cors` does not allow, for a private network, or names more than one origin";
    // identity
    CredentialMissing = "credential_missing", 401, "Authentication is required.", "the route needs a credential and none was found where it looks";
    CredentialConflict = "credential_conflict", 400, "The request carries more than one credential.", "a credential is doubled, or stands in two places";
    TokenMalformed = "token_malformed", 401, "The token is not valid.", "not a compact JWS, not base64url, not JSON, a duplicate key, too deep, too many values";
    TokenTooLarge = "token_too_large", 401, "The token is not valid.", "the token is longer than the gateway reads";
    TokenTypeUnaccepted = "token_type_unaccepted", 401, "The token is not valid.", "`typ` is not in the provider's `tokenTypes`, or introspection tells of a token for another use (a refresh token)";
    TokenCritical = "token_critical", 401, "The token is not valid.", "the token names header parameters that must be understood (`crit`, `b64`), and we understand none";
    AlgorithmUnaccepted = "algorithm_unaccepted", 401, "The token is not valid.", "`alg` is not in the provider's `algorithms`, or is not the key's";
    IssuerUnknown = "issuer_unknown", 401, "The token is not valid.", "`iss` is missing, or is that of no provider of this route";
    KeyUnknown = "key_unknown", 401, "The token is not valid.", "`kid` names no key of the issuer or one that is revoked, or is missing where more than one key could serve";
    SignatureInvalid = "signature_invalid", 401, "The token is not valid.", "the signature is not the key's";
    TokenExpired = "token_expired", 401, "The token has expired.", "`exp`, with the skew allowed, has passed";
    TokenNotYetValid = "token_not_yet_valid", 401, "The token is not valid yet.", "`nbf` or `iat`, with the skew allowed, lies ahead";
    TokenLifetimeExceeded = "token_lifetime_exceeded", 401, "The token is not valid.", "`exp - iat` is longer than `maxLifetime`, or there is no `iat` to tell";
    AudienceMismatch = "audience_mismatch", 401, "The token is not meant for this service.", "none of the provider's `audiences` is in `aud`";
    ClaimMissing = "claim_missing", 401, "The token is not valid.", "a claim of `requiredClaims` is missing, or `exp` is where it is required, or `jti` where tokens are revoked by it";
    ClaimInvalid = "claim_invalid", 401, "The token is not valid.", "a registered claim has the wrong type, or a claim that goes to a header holds what no header may hold";
    ApiKeyInvalid = "api_key_invalid", 401, "The API key is not valid.", "the API key is none of the policy's, is not valid yet, or cannot be a key (its length, a byte that no key holds)";
    ApiKeyExpired = "api_key_expired", 401, "The API key has expired.", "`expiresAt` of the API key has passed";
    CertificateInvalid = "certificate_invalid", 401, "The client certificate is not valid.", "the certificate is not told by the proxy (Envoy before 1.38), cannot be read, is not between its dates, is not made for clients, or was issued by none of the `authorities`";
    CertificateUnaccepted = "certificate_unaccepted", 401, "The client certificate is not accepted here.", "none of the certificate's names is in the route's `mtls`, or it has more than one URI";
    TokenRevoked = "token_revoked", 401, "The token is not valid.", "the token, its subject or its client is in the provider's `revoked`";
    AuthenticationInsufficient = "authentication_insufficient", 401, "A stronger or more recent authentication is required.", "`acr` is none of the route's `acrValues`, or `auth_time` is further back than its `maxAge`; also if one of them is missing or of the wrong type";
    // confirmation
    TokenBindingMissing = "token_binding_missing", 401, "The token is not valid.", "the provider asks for tokens that are bound to a certificate or key and this one is not, or an unbound one came behind `DPoP`";
    TokenBindingMismatch = "token_binding_mismatch", 401, "The token is not valid.", "the token is bound to another certificate or key than the client has shown";
    TokenBindingUnchecked = "token_binding_unchecked", 401, "The token is not valid.", "the token is bound in a way that the provider's `confirmation` says nothing of, so nobody would check it";
    ProofMissing = "proof_missing", 401, "The token needs a proof of possession.", "a token that is bound to a key came without the scheme `DPoP`, or without the header `dpop`";
    ProofInvalid = "proof_invalid", 401, "The proof of possession is not valid.", "the proof is malformed, not of this method, URL or token, of an `alg` that is not taken, or its signature is not its key's";
    ProofStale = "proof_stale", 401, "The proof of possession is not valid at this time.", "the proof's `iat` lies further back than `proofLifetime`, or ahead";
    ProofReplayed = "proof_replayed", 401, "The proof of possession was used before.", "a proof with this `jti` by this key was used before";
    ProofNonce = "proof_nonce", 401, "The proof of possession needs a nonce of this service.", "the provider asks for a nonce, and the proof holds none or an old one; the answer has the current one";
    TokenInactive = "token_inactive", 401, "The token is not valid.", "the issuer says that the token is not active: expired, revoked, or none of its own";
    // access
    ScopeInsufficient = "scope_insufficient", 403, "The credential does not allow this.", "a rule would have admitted the caller but for a scope";
    AccessDenied = "access_denied", 403, "This is not allowed.", "no rule allows the caller, or a rule denies it";
    // rate limit
    RateLimited = "rate_limited", 429, "Too many requests.", "a rule of `rateLimit` has no tokens left for this key";
    TooManyFailures = "too_many_failures", 429, "Too many failed attempts.", "a rule of `rateLimit.failures` has seen too many credentials that did not hold from this client";
    ConcurrencyLimited = "concurrency_limited", 429, "Too many requests at once.", "a rule of `rateLimit.concurrency` has as many requests under way for this key as it allows";
    // gateway
    KeysUnavailable = "keys_unavailable", 503, "The service cannot decide on this request at the moment.", "the provider has no keys or no secret, or the API keys have no pepper: an environment variable is missing or cannot be used, or the issuer cannot be reached";
    ProofMemoryBusy = "proof_memory_busy", 503, "The service cannot decide on this request at the moment.", "a proof could not be remembered: too many are still valid, or others wrote first each time";
    IntrospectionUnavailable = "introspection_unavailable", 503, "The service cannot decide on this request at the moment.", "the issuer could not be asked about the token, or its answer could not be read";
    LimiterBusy = "limiter_busy", 503, "The service cannot decide on this request at the moment.", "a bucket was contended beyond the number of tries";
    LimiterUnavailable = "limiter_unavailable", 503, "The service cannot decide on this request at the moment.", "the rate limit service could not be asked, or its answer could not be read, and `failureMode` is `Deny`";
    AssertionUnavailable = "assertion_unavailable", 503, "The service cannot decide on this request at the moment.", "no key of `signing` can sign the assertion for the upstream now: none is valid at this time, or an environment variable is missing or cannot be used";
    HostFailed = "host_failed", 503, "The service cannot decide on this request at the moment.", "a call to the proxy failed, so a check could not be made";
}

impl Reason {
    /// The stable code, as clients, logs and metrics know it.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The reason that a client is told: what must be kept from it is told as another one.
    #[must_use]
    pub const fn public(self) -> Self {
        match self {
            Self::NotExposed => Self::NoRoute,
            reason => reason,
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        self.row().status
    }

    /// The gRPC status for the HTTP status, after gRPC's own mapping but for 429 and 413, which have a better word.
    pub const fn grpc_status(self) -> u32 {
        match self.status() {
            400 | 405 | 414 | 415 | 431 => 3,
            401 => 16,
            403 => 7,
            404 => 12,
            413 | 429 => 8,
            503 => 14,
            _ => 2,
        }
    }
}

/// The fact behind a refusal, for the audit event and never for the client. It holds numbers, words of our own and names
/// from the policy; no byte of a request can get in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The reason says it all.
    None,
    /// A sentence of ours.
    Fact(&'static str),
    /// A name from the policy (a rule, a header, a provider), after a word that says what it names.
    Named(&'static str, Rc<str>),
    /// A number over its limit.
    Over {
        /// What was counted.
        what: &'static str,
        /// What came.
        got: u64,
        /// What may come.
        limit: u64,
    },
    /// A host call that failed.
    Host(HostError),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Detail {
    /// What it says.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Detail::None => Cow::Borrowed(""),
            Detail::Fact(fact) => Cow::Borrowed(fact),
            Detail::Named(what, name) => [what, " `", name, "`"].concat().into(),
            Detail::Over { what, got, limit } => {
                let (got, limit) = (Decimal::of(*got), Decimal::of(*limit));
                [what, ": ", got.as_str(), ", limit ", limit.as_str()].concat().into()
            }
            Detail::Host(error) => error.to_string().into(),
        }
    }
}

/// What the answer says beside its status, so that a well-behaved client can do better. All of it comes from the policy
/// and from counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    None,
    /// `Retry-After`, in seconds.
    RetryAfter(u64),
    /// `Retry-After`, `RateLimit` and `RateLimit-Policy`.
    Limited(Limited),
    /// `Allow`: the methods, comma-joined.
    Allow(Rc<str>),
    /// `scope` of the challenge: what it takes, blank-separated.
    Scope(Rc<str>),
    /// `DPoP-Nonce`: the nonce to put into the next proof.
    DpopNonce(Rc<str>),
    /// `acr_values` and `max_age` of the challenge (RFC 9470 §3): what authentication it takes.
    StepUp {
        /// Blank-separated, in order of preference.
        acr_values: Option<Rc<str>>,
        /// In seconds.
        max_age: Option<u64>,
    },
}

/// How it stands with a limit, as the header fields of draft-ietf-httpapi-ratelimit-headers tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The rule's name.
    pub rule: Rc<str>,
    /// Requests (`q`) in the window.
    pub quota: u64,
    /// The window (`w`), in seconds.
    pub window: u64,
    /// Requests that are left (`r`).
    pub remaining: u64,
    /// Seconds (`t`) until nothing is spent any more, or, for a request that was refused, until it can pass.
    pub reset: u64,
}

/// What callers are told of their limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    /// `RateLimit` and `RateLimit-Policy`.
    pub standard: bool,
    /// Of requests that pass, too.
    pub always: bool,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    pub legacy: bool,
}

impl Default for Telling {
    fn default() -> Self {
        Self { standard: true, always: false, legacy: false }
    }
}

/// A refusal: the reason, the fact behind it, and what the client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which row of the table.
    pub reason: Reason,
    /// For the audit event.
    pub detail: Detail,
    /// For the client.
    pub advice: Advice,
}

impl Refusal {
    /// A refusal whose reason says it all.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: Detail::None, advice: Advice::None }
    }

    /// With the fact behind it.
    pub fn because(reason: Reason, detail: Detail) -> Self {
        Self { detail, ..Self::new(reason) }
    }

    /// With what the client may do.
    #[must_use]
    pub fn advise(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

/// An answer that the gateway gives itself to a request that it neither admits nor refuses: it is the gateway's own to answer. Nothing of such a
/// request goes to an upstream, and it carries no mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What was asked for, in a word: the audit event's `detail`, and `%RESPONSE_CODE_DETAILS%` in Envoy's access log.
    pub what: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Header fields. Whoever makes them answers for what is in them: nobody checks it later.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Rc<str>,
    /// Whether it is given in Shadow too, since it decides on nothing (a publication). Else the upstream answers there, as it did before.
    pub in_shadow: bool,
}

/// How a request ends that goes to no upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It may not.
    Refused(Refusal),
    /// It need not.
    Answered(Box<Answered>),
}

impl<R: Into<Refusal>> From<R> for Ending {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Answered> for Ending {
    fn from(answered: Answered) -> Self {
        Self::Answered(Box::new(answered))
    }
}

/// A check that cannot be made is a refusal.
impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        Self::because(Reason::HostFailed, Detail::Host(error)).advise(Advice::RetryAfter(1))
    }
}
