//! How much is too much? Every bound on what a client, an issuer or a policy can make us hold, with its reason.

/// Bytes of a policy document. Envoy hands it over whole; ten thousand routes fit.
pub const POLICY_BYTES: usize = 8 << 20;
/// How deep a policy document may nest. The deepest key of the format stands at 9; recursion costs stack (1 MiB in a wasm VM).
pub const POLICY_DEPTH: usize = 24;
/// JSON values in a policy document: ten thousand routes of fifty values each.
pub const POLICY_VALUES: usize = 500_000;
/// Bytes of one compiled regular expression. Matching costs pattern × text, so both are bounded.
pub const PATTERN_BYTES: usize = 64 << 10;
/// Problems that are reported of one document. A person mends the first ones and runs the check again.
pub const PROBLEMS: usize = 100;

/// Entries of a header map, pseudo headers included. Envoy's own default is 100; the absolute bound keeps a host that
/// allows more from making us walk a long list for each rule.
pub const HEADERS: usize = 512;
/// Bytes of a header map as the host hands it over, names and values. Envoy refuses 60 KiB by default.
pub const HEADER_BYTES: usize = 128 << 10;
/// Bytes of `:path` with its query that we are ready to parse at all. A route's own limits are smaller.
pub const TARGET_BYTES: usize = 64 << 10;
/// Bytes of an authority: 253 of a name (RFC 1035 §2.3.4), a port, and brackets.
pub const AUTHORITY_BYTES: usize = 262;
/// Cookies that are read of one request; more in a request that must present one is a refusal.
pub const COOKIES: usize = 128;

/// Bytes of a compact JWS that we are ready to parse. Envoy's own cache stops at 4 KiB; identity providers stay under 8.
pub const TOKEN_BYTES: usize = 16 << 10;
/// Bytes of a token's decoded header: `alg`, `kid`, `typ`, and perhaps an `x5c` that we do not read.
pub const TOKEN_HEADER_BYTES: usize = 8 << 10;
/// How deep a token's JSON may nest. Claims of the field (`realm_access.roles`, `address.street`) stand at 3.
pub const TOKEN_DEPTH: usize = 16;
/// JSON values in one token, so that a small token cannot become a large tree.
pub const TOKEN_VALUES: usize = 2048;

/// Bytes of one claim as a header value. A longer one belongs in a body.
pub const CLAIM_HEADER_BYTES: usize = 4 << 10;
/// Seconds of clock skew that a policy may allow (style: RFC 7519 §4.1.4 speaks of "a few minutes"; we allow one).
pub const CLOCK_SKEW_SECONDS: u64 = 60;
