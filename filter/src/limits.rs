//! How much is too much? Every bound on what a client, an issuer or a policy can make us hold, with its reason.

/// Bytes of a policy document. Envoy hands it over whole; ten thousand routes fit.
pub const POLICY_BYTES: usize = 8 << 20;
/// How deep a policy document may nest. The deepest key of the format stands at 9; recursion costs stack (1 MiB in a wasm VM).
pub const POLICY_DEPTH: usize = 24;
/// JSON values in a policy document: ten thousand routes of fifty values each.
pub const POLICY_VALUES: usize = 500_000;
/// Bytes of one compiled regular expression. Matching costs pattern × text, so both are bounded: at this size and
/// [`PATH_BYTES`] the worst that we could write took milliseconds, and an ordinary one 0.3 ms.
pub const PATTERN_BYTES: usize = 16 << 10;
/// Elements of a list whose elements are compared with each other: all such lists that fit into [`POLICY_VALUES`] take a billion comparisons.
pub const POLICY_LIST: usize = 4096;
/// Problems that are reported of one document. A person mends the first ones and runs the check again.
pub const PROBLEMS: usize = 100;

/// Entries of a header map, pseudo headers included. Envoy's own default is 100; the absolute bound keeps a host that
/// allows more from making us walk a long list for each rule.
pub const HEADERS: usize = 512;
/// Bytes of a header map as the host hands it over, names and values. Envoy refuses 60 KiB by default.
pub const HEADER_BYTES: usize = 128 << 10;
/// Bytes of `:path` with its query that we are ready to parse at all. A route's own limits are smaller.
pub const TARGET_BYTES: usize = 64 << 10;
/// Bytes of a path without its query. A policy's `maxPathBytes` may be this at most: a route is chosen by
/// the path, by regular expression too, before that route's own limit can hold.
pub const PATH_BYTES: usize = 8 << 10;
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

/// Bytes of a presented API key, at least: sixteen characters of base64 are 96 bits, and shorter keys are guessed.
pub const API_KEY_BYTES_MIN: usize = 16;
/// Bytes of a presented API key, at most. Keys of the field have 20 to 200; more would only be hashed.
pub const API_KEY_BYTES: usize = 256;
/// API keys of a policy: what fits into [`POLICY_BYTES`] at 170 bytes a key, and into [`POLICY_VALUES`] at ten values.
pub const API_KEYS: usize = 50_000;
/// Bytes of a client certificate as PEM; those of the field have one to four KiB.
pub const CERTIFICATE_BYTES: usize = 16 << 10;
/// Names in a certificate. A certificate of many hosts has some dozen, one of a client one or two.
pub const CERTIFICATE_NAMES: usize = 128;
/// Bytes of one of them: SPIFFE-ID §2.3 has 2048, which no header of ours should have.
pub const CERTIFICATE_NAME_BYTES: usize = 1024;
/// Extensions of a certificate; those of the field have some ten. Each is compared with those before it.
pub const CERTIFICATE_EXTENSIONS: usize = 32;
/// Certificates that have been read and held, for each worker: a service mesh of that many peers. When there are more, all are read again.
pub const CERTIFICATES_KNOWN: usize = 512;
/// Authorities of a policy; each whose name is the issuer's costs a signature.
pub const CERTIFICATE_AUTHORITIES: usize = 16;

/// Bytes of a pepper, at least: those of the hash (RFC 2104 §3 "strongly discouraged" shorter ones).
pub const PEPPER_BYTES_MIN: usize = 32;

/// Bytes of one claim as a header value. A longer one belongs in a body.
pub const CLAIM_HEADER_BYTES: usize = 4 << 10;
/// Seconds of clock skew that a policy may allow (style: RFC 7519 §4.1.4 speaks of "a few minutes"; we allow one).
pub const CLOCK_SKEW_SECONDS: u64 = 60;

/// Bytes of an `origin` that is looked at: a scheme, a name of 253 characters, a port.
pub const ORIGIN_BYTES: usize = 300;
/// Bytes of the method that a preflight asks for; the longest that is registered has 16.
pub const CORS_METHOD_BYTES: usize = 32;
/// Bytes of the header names that a preflight asks for; each is compared with the list.
pub const CORS_HEADERS_BYTES: usize = 4 << 10;

/// Characters of the name of a policy, a route or a rule: it stands in every audit event and metric.
pub const NAME_CHARS: usize = 64;
/// Routes whose requests are counted apart; those behind them in the policy are counted together. Forty reasons that clients can bring about make
/// ten thousand series of them, which take 2 MB in Envoy and half a megabyte to read out.
pub const METRIC_ROUTES: usize = 250;
/// Metrics that one VM defines, over all policies that it ever serves: those of one policy, whatever its clients do, and some hundred
/// changes of routes' names after it. What comes later is not counted.
pub const METRICS: usize = 32_768;
/// Nanoseconds between two times that a worker tells the host what it has counted by itself.
pub const METRICS_PACE: u64 = 1_000_000_000;
/// Every so many decisions one is timed. A clock and a histogram cost 0.25 µs, which is then not felt.
pub const METRICS_TIMED: u32 = 8;
/// Segments of a path in a route's `match`. Choosing a route goes down one call a segment, and calls cost stack.
pub const ROUTE_SEGMENTS: usize = 64;
/// Bytes of a route's regular expression.
pub const ROUTE_PATTERN_BYTES: usize = 512;
/// Routes with a regular expression in one policy: they are tried one after the other.
pub const ROUTE_PATTERNS: usize = 32;
/// Routes that share a host and a path and differ in methods or headers: they are tried one after the other.
pub const ROUTE_VARIANTS: usize = 64;
/// Pairs of routes that are told to be in each other's way.
pub const ROUTE_CLASHES: usize = 1000;
/// Rules of one `rateLimit` section. Each costs a read and a write of shared data a request (about 4 µs under Envoy).
pub const RATE_RULES: usize = 16;
/// Parts of one rule's `by`. There are seven kinds; two headers or claims more leave room.
pub const RATE_KEY_PARTS: usize = 9;
/// Shortest time between two requests of a rate, in nanoseconds: a million a second, which is beyond what one worker serves.
pub const RATE_INTERVAL_MIN: u64 = 1_000;
/// Longest time that a whole burst may take to come back, in nanoseconds: 31 days. Ten thousand times shorter than the clock's range,
/// so that no sum of a time and a burst overflows.
pub const RATE_DRAIN_MAX: u64 = 31 * 86_400 * 1_000_000_000;
/// How far the clocks of two workers may lie apart, in nanoseconds: what one may be held up between reading the clock and
/// writing a bucket (a throttled container: some hundred milliseconds). A bucket that is further ahead than this means that the
/// clock was set back.
pub const RATE_CLOCK_APART: u64 = 2 * 1_000_000_000;
/// Memory of one slot of the limiter's table, of sixteen keys (see `rate_limit/table.rs`).
pub const STATE_SLOT_BYTES: u64 = 512;
/// `stateBytes` where the policy does not say: 16,384 slots, 262,144 keys.
pub const STATE_BYTES: u64 = 8 << 20;
/// Least `stateBytes`: 128 slots. Fewer, and unrelated callers push each other out.
pub const STATE_BYTES_MIN: u64 = 64 << 10;
/// Most `stateBytes`: 524,288 slots, which take about a third of a second to make on the first load.
pub const STATE_BYTES_MAX: u64 = 256 << 20;
/// Most that one request costs: beyond it, a rule counts something else than requests.
pub const COST_MAX: u64 = 1_000_000;
/// Slots of the book of requests under way, made only where a policy limits them.
pub const CONCURRENCY_SLOTS: u32 = 2048;
/// Entries of one of them, each a key on a worker: 131,072 in all, in at most 3.5 MB.
pub const CONCURRENCY_WAYS: usize = 64;
/// Most requests under way that a rule can allow.
pub const CONCURRENCY_MAX: u64 = 1_000_000;
/// For how long what a worker says it has under way is believed, in seconds: what a dead one leaves behind holds its callers up for so long.
pub const LEASE: u32 = 30;
/// How often it is said again, in seconds: three times a lease.
pub const LEASE_RENEWAL: u32 = 10;
/// Longest penalty for failures, in nanoseconds: a day. It hits whoever shares the network, too.
pub const PENALTY_MAX: u64 = 86_400 * 1_000_000_000;
/// Bytes of an API key that tell which one is being guessed: our own begin with `pck_`, and four more tell a million apart.
pub const API_KEY_PREFIX: usize = 8;
/// Tiers of one rule. They are looked through one by one.
pub const RATE_TIERS: usize = 32;
/// How often a write that another worker overtook is tried again before the request is refused. Two workers that do nothing
/// else lose 15 to 60 of 100, so 64 lost in a row means that something is wrong.
pub const RATE_TRIES: u32 = 64;
/// Bytes of a proof of possession (RFC 9449): an RSA key of 4096 bits, its signature and a URL of 4 KiB.
pub const PROOF_BYTES: usize = 8 << 10;
/// Bytes of a proof's `jti`; a UUID has 36.
pub const PROOF_JTI_BYTES: usize = 256;
/// Seconds for which a proof serves unless the policy says otherwise; RFC 9449 §11.1 speaks of "seconds or minutes".
pub const PROOF_LIFETIME_SECONDS: u64 = 60;
/// Seconds for which a proof may serve: used ones are remembered for that long, and memory is bounded.
pub const PROOF_LIFETIME_SECONDS_MAX: u64 = 300;
/// Slots of the memory of proofs, and entries of one slot: 1,048,576 entries of twelve bytes. See `confirmation/dpop/memory.rs`.
pub const PROOF_SLOTS: u32 = 8_192;
/// See [`PROOF_SLOTS`].
pub const PROOF_WAYS: usize = 128;
/// As [`RATE_TRIES`], for a slot of the memory of proofs.
pub const PROOF_TRIES: u32 = 64;
/// Seconds after which a client may come back when the memory of proofs is full: some of them end each second.
pub const PROOF_RETRY_SECONDS: u64 = 1;
/// Seconds of one nonce; that of the step before is taken too, so one serves for five to ten minutes.
pub const NONCE_SECONDS: u64 = 300;
/// Origins of one provider's `dpop.origins`; they are compared one after the other.
pub const PROOF_ORIGINS: usize = 64;
/// Bytes of a key set: a hundred keys with certificate chains of 2 KiB.
pub const JWKS_BYTES: usize = 256 << 10;
/// Sets of tokens that have been checked and held, of four tokens each: 4096 callers that come again.
pub const VERIFIED_SETS: usize = 1024;
/// Bytes of all of them, with their claims and headers as they lie in memory: 4096 of those that issuers of the field write. One may
/// take an eighth; a longer one is checked each time.
pub const VERIFIED_BYTES: usize = 12 << 20;
/// Bytes that a token takes beside itself, its claims and its headers.
pub const VERIFIED_OVERHEAD: usize = 256;
/// Sets of forged tokens that are remembered, of four each. Whoever sends one token again and again sends one, or a few.
pub const FORGED_SETS: usize = 64;
/// Bytes of all of them.
pub const FORGED_BYTES: usize = 512 << 10;
/// Keys of a key set. Issuers of the field publish two to ten.
pub const JWKS_KEYS: usize = 128;
/// How deep a key set may nest: the set, its list, a key, its list of operations or certificates, and room for one more.
pub const JWKS_DEPTH: usize = 6;
/// JSON values of a key set: thirty a key.
pub const JWKS_VALUES: usize = 4096;
/// Bits of an RSA modulus: RFC 7518 §3.3 sets the least; issuers of the field have no longer ones, and each doubling takes four times as long to check.
pub const RSA_BITS: core::ops::RangeInclusive<usize> = 2048..=4096;
/// Bytes of an RSA exponent that are looked at; 65537 takes three, and leading zeros are tolerated.
pub const RSA_EXPONENT_BYTES: usize = 8;
/// Seconds after which a client may come back when a provider has no keys: somebody has to mend the environment first.
pub const KEYS_RETRY_SECONDS: u64 = 30;
/// Entries of one list of what is revoked: a day's tokens of an incident. In a hash set, some ten megabytes.
pub const REVOKED: usize = 100_000;
/// Providers of a policy; each request to a route without a list of its own may be asked against all of them.
pub const PROVIDERS: usize = 64;

/// Requests that wait at one time in one VM for keys or for an answer about their token. For each the proxy holds a head of some KiB, and a body of at
/// most what its route takes, or the proxy's buffer if that is less; more are refused at once, since what they wait for is then overrun anyway. Those that
/// wait for a rate limit service have passed every guard, and [`LIMITER_QUESTIONS`] of their own.
pub const WAITERS: usize = 1024;
/// Milliseconds between two looks at what requests wait for.
pub const TICK_WAITING_MS: u32 = 5;
/// Milliseconds between two looks at what is shared with the other workers, when nothing waits: a read of 64 bytes for each remote
/// key set (about 1 µs).
pub const TICK_IDLE_MS: u32 = 1000;
/// Bytes of the answer to a call of our own that are read: a key set of [`JWKS_BYTES`] is the longest that is expected.
pub const ANSWER_BYTES: usize = JWKS_BYTES;
/// Shortest time for which fetched keys count as fresh, in nanoseconds, whatever `Cache-Control` says: an issuer that says `no-store`
/// is not asked with every request.
pub const JWKS_FRESH_MIN: u64 = 10 * 1_000_000_000;
/// Time between two fetches that unknown `kid`s may cause, in nanoseconds: a flood of random ones costs the issuer six requests a minute.
pub const KID_COOLDOWN: u64 = 10 * 1_000_000_000;
/// For how long a `kid` that was not in fresh keys causes no fetch, in nanoseconds.
pub const KID_ABSENT: u64 = 60 * 1_000_000_000;
/// `kid`s that are remembered so, for each key set. More only cost a fetch each [`KID_COOLDOWN`].
pub const KIDS_ABSENT: usize = 64;
/// Bytes of a `kid` that is remembered so; longer ones cause no fetch at all.
pub const KID_BYTES: usize = 256;
/// Longest pause between two attempts to fetch keys, in nanoseconds.
pub const REFETCH_MAX: u64 = 60 * 1_000_000_000;
/// Bytes of a URL in a policy or in an issuer's metadata.
pub const URL_BYTES: usize = 2048;
/// How deep an issuer's metadata may nest; those of the field are flat but for lists and a few maps.
pub const METADATA_DEPTH: usize = 8;
/// JSON values in an issuer's metadata: the longest of the field hold some hundred.
pub const METADATA_VALUES: usize = 2048;
/// Questions about opaque tokens that are on their way at a time, for each provider and worker: a flood of random tokens comes through to
/// the issuer at this width and no wider.
pub const INTROSPECTIONS: usize = 32;
/// Tokens of which it is remembered that they are not active, or that there was no answer, for each provider and worker: apart from the others,
/// since anybody can make some up. More only cost a question each.
pub const INTROSPECTED_OTHERS: usize = 1024;
/// Answers about active tokens that are kept, for each provider and worker.
pub const INTROSPECTED: usize = 4096;
/// Bytes of all of them together, as they came times four, which is what a tree of them takes.
pub const INTROSPECTED_BYTES: usize = 8 << 20;
/// Bytes that an answer takes beside its claims.
pub const INTROSPECTED_OVERHEAD: usize = 128;
/// For how long an answer holds at the least, in nanoseconds: those who waited for it must find it.
pub const INTROSPECTED_MIN: u64 = 50 * 1_000_000;
/// How long a token is remembered that is not active, in nanoseconds. It stays inactive (RFC 7662 §2.2 knows no way back), but a service that
/// answers so by mistake should be heard again soon.
pub const INACTIVE_KEPT: u64 = 5 * 1_000_000_000;
/// Failures of an introspection service in a row after which nobody asks: a token that it cannot bear keeps no other from being asked about.
pub const INTROSPECTION_FAILURES: u32 = 3;
/// How long nobody asks then, and nobody asks about a token about which a question has failed, in nanoseconds.
pub const INTROSPECTION_REST: u64 = 1_000_000_000;
/// Questions to rate limit services that are on their way at a time, for each worker. Envoy's own limit for a cluster is 1024.
pub const LIMITER_QUESTIONS: usize = 512;
/// Failures of a rate limit service in a row after which it rests: one slow answer keeps nobody from asking.
pub const LIMITER_FAILURES: u32 = 3;
/// How long a service is not asked that failed so often, in nanoseconds.
pub const LIMITER_REST: u64 = 1_000_000_000;
/// Bytes of one value that a rate limit service is told as it is; it keeps a counter under it. A longer one is told by its hash.
pub const LIMITER_VALUE_BYTES: usize = 256;
/// Seconds after which a limit has room again, at most, whatever the service says: its longest unit is a year.
pub const LIMITER_RESET_MAX: u64 = 366 * 86_400;
/// How much of a limit one request may take, so that the sum over a burst stays a number of 32 bits.
pub const LIMITER_COST: u64 = 1_000_000;
/// How long what was asked for at once may be spent, in nanoseconds: so long it may lie over from one window of the service to the next.
pub const LIMITER_LEASE_SPAN: u64 = 1_000_000_000;
/// How much may be asked for at once.
pub const LIMITER_LEASE: u64 = 1000;
/// Keys whose leases one worker keeps, of some hundred bytes each; others ask each time.
pub const LIMITER_LEASES: usize = 4096;
/// Questions to which a rate limit service said no and that one worker remembers, of some hundred bytes each; others ask each time.
pub const LIMITER_REFUSALS: usize = 4096;
/// For how long a *no* is remembered at most, in nanoseconds, whatever the service says: so soon a limit that was raised there holds here.
pub const LIMITER_REFUSED_MOST: u64 = 60 * 1_000_000_000;
/// Events that one request to a collector holds, at most: at some 700 bytes each, what collectors take at once (4 MiB) is far away.
pub const EXPORT_BATCH: usize = 2048;
/// Bytes of events after which a batch is full, whatever it may hold.
pub const EXPORT_BATCH_BYTES: usize = 1 << 20;
/// Events that a worker may hold for a collector.
pub const EXPORT_BUFFERED: usize = 65_536;
/// Bytes of them, whatever the policy says: six thousand of the usual ones.
pub const EXPORT_BYTES: usize = 4 << 20;
/// How often a batch is sent before it is dropped: over half a minute.
pub const EXPORT_ATTEMPTS: u32 = 5;
/// Longest pause between two attempts, in nanoseconds, whatever the collector asks for.
pub const EXPORT_REST_MAX: u64 = 30 * 1_000_000_000;
/// For how long what a policy has left behind is sent, in nanoseconds: five attempts and the pauses between them take 15 s, and the secrets of a
/// policy that is gone should not be held much longer.
pub const EXPORT_LEFT: u64 = 30 * 1_000_000_000;
/// Policies whose events one other sends after them: as many listeners may change at once, or follow each other in that time while their collectors do
/// not answer. An entry is some hundred bytes; all their events together have [`EXPORT_BYTES`].
pub const EXPORTERS_LEFT: usize = 1024;
/// Fields that a collector may ask for.
pub const EXPORT_HEADERS: usize = 16;
/// Bytes of one value for the proxy's access log: a name, a subject.
pub const ACCESS_LOG_BYTES: usize = 256;
/// Sections and routes whose digests are remembered, to tell what the next policy changes: some 40 bytes each.
pub const PARTS_REMEMBERED: usize = 2048;
/// Names of sections, routes or keys that one event tells of each kind: an incident has a few, and a line of a log has bounds.
pub const CHANGES_TOLD: usize = 32;
/// Signing keys of a policy: one that signs, one that is next, one that has signed, for each of three algorithms.
pub const SIGNING_KEYS: usize = 16;
/// Shortest and longest time for which an assertion serves, in nanoseconds. It is made for one request; a backend that takes it minutes later
/// has waited longer than the client did.
pub const ASSERTION_TTL_MIN: u64 = 1_000_000_000;
/// See [`ASSERTION_TTL_MIN`].
pub const ASSERTION_TTL_MAX: u64 = 5 * 60 * 1_000_000_000;
/// Bytes of an assertion, which goes upstream as a header: servers of the field take 8 KiB of headers and more, all together.
pub const ASSERTION_BYTES: usize = 6 << 10;
/// Bytes of a query that an assertion tells as it is; of a longer one it has the hash.
pub const ASSERTION_QUERY_BYTES: usize = 512;
/// Claims of one `include`. Each is looked for in the caller's token, for each request.
pub const ASSERTION_CLAIMS: usize = 32;
/// Sets of assertions that are kept to be used again, of four each: as many as callers are remembered.
pub const ASSERTION_SETS: usize = 1024;
/// Bytes of one that is kept, with what it is about. 4096 of the usual ones (1 KiB) take 4 MB, and the worst 16 MB.
pub const ASSERTION_KEPT_BYTES: usize = 4 << 10;
/// Nanoseconds for which a key is published after it has ceased to sign, beside the time for which what it signed serves: the skew of clocks that
/// backends allow.
pub const SIGNING_SKEW: u64 = 60 * 1_000_000_000;
/// How long a published key set may be kept, in nanoseconds, at least: backends that ask more often learn nothing new.
pub const PUBLISHED_AGE_MIN: u64 = 1_000_000_000;
/// See [`PUBLISHED_AGE_MIN`]: a key that is withdrawn is believed for so long.
pub const PUBLISHED_AGE_MAX: u64 = 86_400 * 1_000_000_000;
