//! Did this request come through the gateway, for just this method, host, path and query, just now?
//!
//! [`Verifier`] is a [`tower_layer::Layer`]: put it outside of everything else that a service does. What it lets pass has the
//! [`Claims`] among its extensions. Fetch the gateway's public keys from its JWKS endpoint, hand them to [`Verifier::replace_keys`], and do so again when
//! their `max-age` is over, or a second after [`Verifier::lacks_a_key`] says so. While the gateway cannot be asked the old ones hold, for a day
//! ([`Verifier::with_max_age`]).

mod keys;
mod layer;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde_json::Value;

pub use keys::Keys;
pub use layer::{Answer, Service};

/// `typ` of an assertion.
const TYPE: &str = "portcullis-assertion+jwt";
/// Characters of an assertion that are looked at.
const MOST: usize = 8192;
/// Seconds from `iat` to `exp`, at most.
const LONGEST: u64 = 300;
/// For how long keys are believed that nobody has replaced.
const OLDEST: Duration = Duration::from_hours(24);

/// What must hold of an assertion.
#[derive(Clone, Debug)]
pub struct Verifier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    issuer: String,
    audience: String,
    header: http::HeaderName,
    skew: Duration,
    oldest: Duration,
    /// With the time at which they were handed over; none were, at first.
    keys: RwLock<Option<(Arc<Keys>, Instant)>>,
    lacks: AtomicBool,
}

/// What the gateway says of a request and of who sent it. Among the extensions of a request that passed.
#[derive(Clone, Debug)]
pub struct Claims(pub serde_json::Map<String, Value>);

/// Why a request is refused: for the log. A client needs to know no more than 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Refused {}

impl Verifier {
    /// Takes what `issuer` (`signing.issuer` of the policy) made for `audience` (`upstream.assertion.audience` of the route). Without
    /// keys it refuses everything.
    pub fn new(issuer: &str, audience: &str) -> Self {
        let shared = Shared {
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            header: http::HeaderName::from_static("x-portcullis-assertion"),
            skew: Duration::from_secs(10),
            oldest: OLDEST,
            keys: RwLock::default(),
            lacks: AtomicBool::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// With another bound on how far the gateway's clock may differ from ours; it is ten seconds.
    #[must_use]
    pub fn with_skew(self, skew: Duration) -> Self {
        let oldest = self.shared.oldest;
        self.with(skew, oldest)
    }

    /// With another bound on how long keys hold that nobody has replaced, since the gateway could not be asked; it is a day. A key that was taken
    /// out is believed for so long.
    #[must_use]
    pub fn with_max_age(self, oldest: Duration) -> Self {
        let skew = self.shared.skew;
        self.with(skew, oldest)
    }

    fn with(&self, skew: Duration, oldest: Duration) -> Self {
        let Shared { issuer, audience, header, keys, .. } = &*self.shared;
        let (issuer, audience, header) = (issuer.clone(), audience.clone(), header.clone());
        let keys = RwLock::new(keys.read().unwrap_or_else(PoisonError::into_inner).clone());
        let lacks = AtomicBool::new(self.lacks_a_key());
        Self { shared: Arc::new(Shared { issuer, audience, header, skew, oldest, keys, lacks }) }
    }

    /// From now on these keys hold, and no others.
    pub fn replace_keys(&self, keys: Keys) {
        let now = Instant::now();
        *self.shared.keys.write().unwrap_or_else(PoisonError::into_inner) = Some((Arc::new(keys), now));
        self.shared.lacks.store(false, Ordering::Relaxed);
    }

    /// Whether something was signed, since the keys were last replaced, with a key that is not among them, a new one or none at all; or whether they
    /// have become too old.
    pub fn lacks_a_key(&self) -> bool {
        self.shared.lacks.load(Ordering::Relaxed)
    }

    /// The keys, unless they are too old to be believed.
    fn keys(&self) -> Option<Arc<Keys>> {
        let known = self.shared.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (keys, since) = known.as_ref()?;
        (since.elapsed() < self.shared.oldest).then(|| Arc::clone(keys))
    }

    /// What the gateway says of a request.
    pub fn check(&self, request: &Parts, now: SystemTime) -> Result<Claims, Refused> {
        let assertion = only(request, &self.shared.header)?;
        let (text, signature) = assertion.rsplit_once('.').ok_or(Refused("no compact JWS"))?;
        let (header, payload) = text.split_once('.').ok_or(Refused("no compact JWS"))?;
        if assertion.len() > MOST || payload.contains('.') {
            return Err(Refused("no compact JWS"));
        }
        let header = object(header)?;
        if header.get("typ").and_then(Value::as_str) != Some(TYPE) || header.contains_key("crit") {
            return Err(Refused("another kind of token"));
        }
        // The key says which algorithm it is for; the token only says which key.
        let named = |name| header.get(name).and_then(Value::as_str).unwrap_or_default();
        let keys = self.keys();
        let Some(key) = keys.as_ref().and_then(|keys| keys.find(named("kid"))) else {
            self.shared.lacks.store(true, Ordering::Relaxed);
            return Err(Refused(if keys.is_some() { "unknown key" } else { "no keys, or none of late" }));
        };
        if !key.holds(named("alg"), text.as_bytes(), &bytes(signature)?) {
            return Err(Refused("not signed by the gateway"));
        }
        let claims = object(payload)?;
        self.check_claims(&claims, now)?;
        check_bound(&claims, request)?;
        Ok(Claims(claims))
    }

    fn check_claims(&self, claims: &serde_json::Map<String, Value>, now: SystemTime) -> Result<(), Refused> {
        let is = |name, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        if !is("iss", &self.shared.issuer) || !is("aud", &self.shared.audience) {
            return Err(Refused("of another gateway, or for another service"));
        }
        let time = |name| claims.get(name).and_then(Value::as_u64).ok_or(Refused("no times"));
        let (iat, exp) = (time("iat")?, time("exp")?);
        let skew = self.shared.skew.as_secs();
        let now = now.duration_since(UNIX_EPOCH).map_err(|_| Refused("no clock"))?.as_secs();
        if exp.saturating_sub(iat) > LONGEST {
            return Err(Refused("too long a time"));
        }
        if now >= exp.saturating_add(skew) {
            return Err(Refused("expired"));
        }
        if iat > now.saturating_add(skew) {
            return Err(Refused("of a time to come"));
        }
        Ok(())
    }
}

/// The bytes that are bound are those on the wire.
fn check_bound(claims: &serde_json::Map<String, Value>, request: &Parts) -> Result<(), Refused> {
    let authority = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => only(request, &http::header::HOST)?,
    };
    // Where both stand there, some services read the other one.
    if request.headers.contains_key(http::header::HOST)
        && !only(request, &http::header::HOST)?.eq_ignore_ascii_case(authority)
    {
        return Err(Refused("two authorities"));
    }
    let query = request.uri.query().unwrap_or_default();
    let is = |name, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    let same_query = match claims.get("query_hash") {
        Some(_) => !claims.contains_key("query") && is("query_hash", &hash(query)),
        None => is("query", query),
    };
    let same = is("htm", request.method.as_str())
        && is("authority", &authority.to_ascii_lowercase())
        && is("path", request.uri.path());
    if same && same_query { Ok(()) } else { Err(Refused("for another request")) }
}

fn hash(query: &str) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, query.as_bytes()))
}

fn only<'r>(request: &'r Parts, name: &http::HeaderName) -> Result<&'r str, Refused> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Refused("a header is missing, doubled, or no text")),
    }
}

fn bytes(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused("not base64url"))
}

fn object(part: &str) -> Result<serde_json::Map<String, Value>, Refused> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| Refused("no object of JSON"))
}

#[cfg(test)]
mod tests;
