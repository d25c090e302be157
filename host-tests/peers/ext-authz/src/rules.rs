//! Who is it, and may they? A token is read, checked and remembered; the bucket of its subject is asked each time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Tokens that are remembered, as many as the gateway remembers. When there are more, all are forgotten: no list to keep in order.
const KNOWN: usize = 4096;
/// Buckets that are kept, in the same way.
const BUCKETS: usize = 65_536;

/// What is asked of a request.
#[derive(Debug, Deserialize)]
pub(crate) struct Rules {
    jwks: Jwks,
    issuer: String,
    audience: String,
    scope: String,
    /// Requests a second for each subject.
    limit: f64,
}

#[derive(Debug, Deserialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

/// A key that is not of RSA has no `n`, and is passed over.
#[derive(Debug, Deserialize)]
struct Jwk {
    kid: String,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    scope: String,
    dept: Option<String>,
}

/// Whose token it is.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) subject: String,
    pub(crate) department: Option<String>,
    expires: u64,
}

struct Bucket {
    left: f64,
    seen: Instant,
}

/// The rules, and what has been learned.
pub(crate) struct Service {
    rules: Rules,
    keys: HashMap<String, RsaPublicKeyComponents<Vec<u8>>>,
    known: RefCell<HashMap<String, Rc<Caller>>>,
    buckets: RefCell<HashMap<String, Bucket>>,
}

impl Service {
    pub(crate) fn new(rules: Rules) -> Result<Self, String> {
        let mut keys = HashMap::new();
        for Jwk { kid, n, e } in &rules.jwks.keys {
            if let (Some(n), Some(e)) = (n, e) {
                let part = |text: &String| URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string());
                keys.insert(kid.clone(), RsaPublicKeyComponents { n: part(n)?, e: part(e)? });
            }
        }
        Ok(Self { rules, keys, known: RefCell::default(), buckets: RefCell::default() })
    }

    /// The caller, or the status that refuses them.
    pub(crate) fn admit(&self, token: &str) -> Result<Rc<Caller>, u16> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| 503_u16)?.as_secs();
        let known = self.known.borrow().get(token).cloned();
        let caller = match known {
            Some(caller) => caller,
            None => self.learn(token, now)?,
        };
        if caller.expires <= now {
            return Err(401);
        }
        if self.take(&caller.subject) { Ok(caller) } else { Err(429) }
    }

    fn learn(&self, token: &str, now: u64) -> Result<Rc<Caller>, u16> {
        let claims = self.check(token).ok_or(401_u16)?;
        if claims.iss != self.rules.issuer || claims.aud != self.rules.audience || claims.nbf > now {
            return Err(401);
        }
        if !claims.scope.split(' ').any(|scope| scope == self.rules.scope) {
            return Err(403);
        }
        let caller = Rc::new(Caller { subject: claims.sub, department: claims.dept, expires: claims.exp });
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(token.to_owned(), Rc::clone(&caller));
        Ok(caller)
    }

    /// What the token says, if its signature holds.
    fn check(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let header: Header = decoded(header)?;
        let key = self.keys.get(&header.kid).filter(|_| header.alg == "RS256")?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature).ok()?;
        decoded(payload)
    }

    /// Takes one token of the subject's bucket, if there is one.
    fn take(&self, subject: &str) -> bool {
        let (limit, now) = (self.rules.limit, Instant::now());
        let mut buckets = self.buckets.borrow_mut();
        let Some(bucket) = buckets.get_mut(subject) else {
            if buckets.len() >= BUCKETS {
                buckets.clear();
            }
            buckets.insert(subject.to_owned(), Bucket { left: limit - 1.0, seen: now });
            return limit >= 1.0;
        };
        let gained = now.duration_since(bucket.seen).as_secs_f64() * limit;
        bucket.left = (bucket.left + gained).min(limit);
        bucket.seen = now;
        let enough = bucket.left >= 1.0;
        if enough {
            bucket.left -= 1.0;
        }
        enough
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
