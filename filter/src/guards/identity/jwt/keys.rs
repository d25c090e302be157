//! Which keys does an issuer have, and which one made this signature?
//!
//! A key set (RFC 7517 §5) is read once: points must lie on their curve and not be of small order, and numbers be of their size.

use std::rc::Rc;

use p256::elliptic_curve::point::AffineCoordinates as _;

use super::algorithm::{Algorithm, Family};
use super::compact::base64url;
use super::{der, rsa};
use crate::decision::{Detail, Reason, Refusal};
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::redaction::{self, Redacted};
use crate::secret::Secret;

/// The keys that vouch for one issuer. Never empty.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Which key it is, whatever set it stands in: the same public key, algorithm and name keep their mark when a set is fetched anew.
pub type Mark = Rc<()>;

/// One key, and the one algorithm it is for, where it names one.
#[derive(Debug)]
pub struct Key {
    kid: Option<Box<str>>,
    algorithm: Option<Algorithm>,
    pub(super) material: Material,
    mark: Mark,
}

/// The key itself, ready for both ways of checking.
#[derive(Debug)]
pub(super) enum Material {
    Rsa {
        spki: Vec<u8>,
        key: rsa::PublicKey,
    },
    P256 {
        spki: Vec<u8>,
        key: p256::ecdsa::VerifyingKey,
    },
    P384 {
        spki: Vec<u8>,
        key: p384::ecdsa::VerifyingKey,
    },
    Ed25519(ed25519_dalek::VerifyingKey),
    /// Any of these: the next one is taken before it signs.
    Hmac(Vec<Secret<Vec<u8>>>),
}

/// What was found in a key set: which key, counted from 0 (`None` for the set as a whole), what of it, what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub key: Option<usize>,
    /// What is the matter.
    pub what: &'static str,
    /// What to do; may be empty.
    pub help: &'static str,
}

impl Key {
    /// `kid`
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether this key may check a signature of `algorithm`: of the algorithm's family, and of its own `alg` if it has one
    /// (RFC 7517 §4.4). So an RSA key is never an HMAC secret, and a P-256 key never meets SHA-384.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.material.family() == algorithm.family() && self.algorithm.is_none_or(|own| own == algorithm)
    }
}

impl Key {
    /// Its mark.
    pub(super) fn mark(&self) -> Mark {
        Rc::clone(&self.mark)
    }

    /// Whether it has this mark.
    pub(super) fn is_marked(&self, mark: &Mark) -> bool {
        Rc::ptr_eq(&self.mark, mark)
    }

    /// Whether it is the same public key, for the same algorithm, under the same name.
    fn is_same(&self, other: &Self) -> bool {
        let material = match (&self.material, &other.material) {
            (Material::Rsa { spki: a, .. }, Material::Rsa { spki: b, .. })
            | (Material::P256 { spki: a, .. }, Material::P256 { spki: b, .. })
            | (Material::P384 { spki: a, .. }, Material::P384 { spki: b, .. }) => a == b,
            (Material::Ed25519(a), Material::Ed25519(b)) => a == b,
            _ => false,
        };
        material && self.kid == other.kid && self.algorithm == other.algorithm
    }
}

impl Material {
    const fn family(&self) -> Family {
        match self {
            Material::Rsa { .. } => Family::Rsa,
            Material::P256 { .. } => Family::P256,
            Material::P384 { .. } => Family::P384,
            Material::Ed25519(_) => Family::Ed25519,
            Material::Hmac(_) => Family::Hmac,
        }
    }
}

impl KeySet {
    /// The set of one shared secret, or of several of which each is as good.
    pub fn secret(secrets: Vec<Secret<Vec<u8>>>) -> Self {
        let material = Material::Hmac(secrets);
        let key = Key { kid: None, algorithm: None, material, mark: Mark::default() };
        Self { keys: vec![key] }
    }

    /// The one key that must have made a signature. Errors: `KeyUnknown`, `AlgorithmUnaccepted`.
    ///
    /// RFC 7515 §4.1.4: `kid` is a hint which key was used. We take it at its word, and never try one key after the other:
    /// with a `kid` it is that key; without, there must be only one that could be meant. A shared secret has no name and
    /// is the only key of its provider, so there `kid` chooses nothing.
    pub fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, Refusal> {
        let unknown = |fact| Refusal::because(Reason::KeyUnknown, Detail::Fact(fact));
        if let [only @ Key { material: Material::Hmac(_), .. }] = self.keys.as_slice() {
            return serving(only, algorithm);
        }
        if let Some(kid) = kid {
            let named = self.keys.iter().find(|key| key.kid.as_deref() == Some(kid));
            return serving(named.ok_or_else(|| unknown("no key has this kid"))?, algorithm);
        }
        let mut serving = self.keys.iter().filter(|key| key.serves(algorithm));
        match (serving.next(), serving.next()) {
            (Some(key), None) => Ok(key),
            (None, _) => Err(unknown("no kid, and no key for the algorithm")),
            (Some(_), Some(_)) => Err(unknown("no kid, and more than one key for the algorithm")),
        }
    }

    /// Whether some key could check a signature of `algorithm`.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.serves(algorithm))
    }

    /// Reads a JWK set. The second part tells which keys were skipped: RFC 7517 §5, "implementations SHOULD ignore JWKs
    /// within a JWK Set that use "kty" values that are not understood, that are missing required members, or for which
    /// values are out of the supported ranges". Errors are what no key set may hold at all: a secret, or one `kid` twice.
    pub fn read(jwks: &[u8]) -> Result<(Self, Vec<Note>), Vec<Note>> {
        let list = elements(jwks).map_err(|note| vec![note])?;
        let Sorted { keys, mut odd, mut faults } = sort(&list);
        if keys.is_empty() && faults.is_empty() {
            faults.push(note(
                "no key of the set can be used",
                "it takes one RSA, P-256, P-384 or Ed25519 key for signatures",
            ));
            faults.append(&mut odd);
        }
        if faults.is_empty() { Ok((Self { keys }, odd)) } else { Err(faults) }
    }

    /// Reads a JWK set that an issuer publishes. One bad key must not take the good ones down with it, so what [`KeySet::read`] refuses a
    /// set for is skipped here too; of keys that share a `kid` none is left, since the `kid` chooses none of them. The error tells
    /// whether it was a key set after all.
    pub fn read_fetched(jwks: &[u8]) -> Result<(Self, Vec<Note>), bool> {
        let list = elements(jwks).map_err(|_| false)?;
        let Sorted { mut keys, mut odd, mut faults } = sort(&list);
        let doubled =
            faults.iter().filter(|fault| fault.what == DOUBLED).filter_map(|fault| list.get(fault.key?));
        for kid in doubled.filter_map(|jwk| jwk.get("kid").and_then(Json::as_text)) {
            keys.retain(|key| key.kid.as_deref() != Some(kid));
        }
        odd.append(&mut faults);
        if keys.is_empty() { Err(true) } else { Ok((Self { keys }, odd)) }
    }

    /// Takes over from `older` the marks of those keys that are in both, and with them what was found out by those keys.
    pub fn adopt(&mut self, older: &Self) {
        for key in &mut self.keys {
            if let Some(same) = older.keys.iter().find(|other| other.is_same(key)) {
                key.mark = same.mark();
            }
        }
    }

    /// The `kid`s of keys that `other` does not have, to be written down.
    pub fn names_beyond(&self, other: Option<&Self>) -> Vec<Redacted> {
        let known = |key: &Key| other.is_some_and(|other| other.keys.iter().any(|same| same.is_same(key)));
        let names = self.keys.iter().filter(|key| !known(key)).map(|key| key.kid().unwrap_or("-"));
        names.take(limits::CHANGES_TOLD).map(redaction::name).collect()
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }
}

/// The keys of a set: those that can be used, those that are skipped, and what no set in a policy may hold.
struct Sorted {
    keys: Vec<Key>,
    odd: Vec<Note>,
    faults: Vec<Note>,
}

/// What is said of a second key with a `kid`.
const DOUBLED: &str = "two keys have this `kid`";

fn sort(list: &[Json]) -> Sorted {
    let mut sorted = Sorted { keys: Vec::new(), odd: Vec::new(), faults: Vec::new() };
    for (index, jwk) in list.iter().enumerate() {
        let at = |note: Note| Note { key: Some(index), ..note };
        if let Some(fault) = holds_a_secret(jwk) {
            sorted.faults.push(at(fault));
            continue;
        }
        match read_key(jwk) {
            Ok(key) if key.kid.is_some() && sorted.keys.iter().any(|k| k.kid == key.kid) => {
                sorted.faults.push(at(note(DOUBLED, "give each key its own `kid`")));
            }
            Ok(key) => sorted.keys.push(key),
            Err(odd) => sorted.odd.push(at(odd)),
        }
    }
    sorted
}

fn serving(key: &Key, algorithm: Algorithm) -> Result<&Key, Refusal> {
    if key.serves(algorithm) {
        return Ok(key);
    }
    Err(Refusal::because(Reason::AlgorithmUnaccepted, Detail::Fact("the key is for another algorithm")))
}

const fn note(what: &'static str, help: &'static str) -> Note {
    Note { key: None, what, help }
}

fn elements(jwks: &[u8]) -> Result<Vec<Json>, Note> {
    if jwks.len() > limits::JWKS_BYTES {
        return Err(note("the key set is too long", "keep it under 256 KiB"));
    }
    let bounds =
        Bounds { depth: limits::JWKS_DEPTH, values: limits::JWKS_VALUES, duplicates: Duplicates::Refuse };
    let set = Json::parse(jwks, bounds).map_err(|_| {
        note("the key set is not JSON, or holds a key twice", r#"write `{"keys": [{"kty": …}]}`"#)
    })?;
    let Json::Map(fields) = set else {
        return Err(note("the key set is not a map", r#"write `{"keys": [{"kty": …}]}`"#));
    };
    match fields.into_iter().find(|(name, _)| name == "keys") {
        Some((_, Json::List(list))) if list.len() <= limits::JWKS_KEYS => Ok(list),
        Some((_, Json::List(_))) => {
            Err(note("the key set holds too many keys", "keep the keys that are in use"))
        }
        _ => Err(note("the key set has no list `keys`", r#"write `{"keys": [{"kty": …}]}`"#)),
    }
}

/// RFC 7518 §6.2.2, §6.3.2, §6.4, RFC 8037 §2: what only the signer may know. Whoever wrote it here has published it.
fn holds_a_secret(jwk: &Json) -> Option<Note> {
    if jwk.get("kty").and_then(Json::as_text) == Some("oct") || jwk.get("k").is_some() {
        let help =
            "a shared secret is no public key: write `secret: {env: NAME}` and name HS256, HS384 or HS512";
        return Some(note("the key set holds a shared secret", help));
    }
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth"];
    private.iter().any(|name| jwk.get(name).is_some()).then(|| {
        let help = "write its public part only, and replace the key: it has been shown";
        note("the key set holds a private key", help)
    })
}

/// A key that came with what it signed: a public one, for signatures, of a kind and size that a key set could hold.
pub(in crate::guards::identity) fn embedded(jwk: &Json) -> Result<Key, &'static str> {
    let read = match holds_a_secret(jwk) {
        Some(secret) => Err(secret),
        None => read_key(jwk),
    };
    read.map_err(|note| note.what)
}

fn read_key(jwk: &Json) -> Result<Key, Note> {
    check_purpose(jwk)?;
    let material = read_material(jwk)?;
    let kid = text(jwk, "kid", "`kid` is not a string")?.map(Box::from);
    let algorithm = match text(jwk, "alg", "`alg` is not a string")? {
        None => None,
        Some(alg) => Some(Algorithm::named(alg).ok_or(note("`alg` is none that is checked here", ""))?),
    };
    let key = Key { kid, algorithm, material, mark: Mark::default() };
    if algorithm.is_some_and(|alg| !key.serves(alg)) {
        return Err(note("`alg` is not for this kind of key", ""));
    }
    Ok(key)
}

/// RFC 7517 §4.2, §4.3: a key says what it is for, and is used for nothing else.
fn check_purpose(jwk: &Json) -> Result<(), Note> {
    match jwk.get("use") {
        None => {}
        Some(Json::Text(purpose)) if purpose == "sig" => {}
        Some(_) => return Err(note("`use` is not `sig`", "")),
    }
    let verifies = |operation: &Json| operation.as_text() == Some("verify");
    match jwk.get("key_ops") {
        None => Ok(()),
        Some(Json::List(operations)) if operations.iter().any(verifies) => Ok(()),
        Some(_) => Err(note("`key_ops` does not hold `verify`", "")),
    }
}

fn text<'j>(jwk: &'j Json, name: &str, otherwise: &'static str) -> Result<Option<&'j str>, Note> {
    match jwk.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(note(otherwise, "")),
    }
}

fn read_material(jwk: &Json) -> Result<Material, Note> {
    let kty = jwk.get("kty").and_then(Json::as_text);
    let crv = jwk.get("crv").and_then(Json::as_text);
    match (kty, crv) {
        (Some("RSA"), _) => read_rsa(jwk),
        (Some("EC"), Some("P-256")) => read_p256(jwk),
        (Some("EC"), Some("P-384")) => read_p384(jwk),
        (Some("OKP"), Some("Ed25519")) => read_ed25519(jwk),
        _ => Err(note(
            "`kty` or `crv` is none that is used here",
            "RSA, EC with P-256 or P-384, OKP with Ed25519",
        )),
    }
}

fn bytes(jwk: &Json, name: &str) -> Option<Vec<u8>> {
    base64url(jwk.get(name)?.as_text()?.as_bytes())
}

/// RFC 7518 §3.3: "A key of size 2048 bits or larger MUST be used". The upper bound ([`limits::RSA_BITS`]) and the one exponent
/// hold whoever checks, since a policy means the same on all hosts.
fn read_rsa(jwk: &Json) -> Result<Material, Note> {
    let (modulus, exponent) =
        bytes(jwk, "n").zip(bytes(jwk, "e")).ok_or(note("`n` or `e` is missing or not base64url", ""))?;
    let odd = note("an RSA key that is not of 2048 to 4096 bits with the exponent 65537", "");
    if exponent.len() > limits::RSA_EXPONENT_BYTES {
        return Err(odd);
    }
    let key = rsa::PublicKey::read(&modulus, &exponent).ok_or(odd)?;
    Ok(Material::Rsa { spki: der::rsa_key(&modulus), key })
}

/// RFC 7518 §6.2.1.2: each coordinate is as long as the curve's field, leading zeros included.
fn point<const SIZE: usize>(jwk: &Json) -> Result<[[u8; SIZE]; 2], Note> {
    let coordinate = |name| bytes(jwk, name).and_then(|coordinate| coordinate.try_into().ok());
    let (x, y) = coordinate("x")
        .zip(coordinate("y"))
        .ok_or(note("`x` or `y` is missing or not as long as the curve has it", ""))?;
    Ok([x, y])
}

const OFF_CURVE: Note = note("not a point on the curve", "");

/// From both coordinates, of which only those of a point on the curve are taken: a reader of compressed points is 22 KB that nobody calls.
fn read_p256(jwk: &Json) -> Result<Material, Note> {
    let [x, y] = point::<32>(jwk)?;
    let point = p256::AffinePoint::from_coordinates(&x.into(), &y.into()).into_option().ok_or(OFF_CURVE)?;
    let key = p256::ecdsa::VerifyingKey::from_affine(point).map_err(|_| OFF_CURVE)?;
    Ok(Material::P256 { spki: der::p256_key(&x, &y), key })
}

fn read_p384(jwk: &Json) -> Result<Material, Note> {
    let [x, y] = point::<48>(jwk)?;
    let point = p384::AffinePoint::from_coordinates(&x.into(), &y.into()).into_option().ok_or(OFF_CURVE)?;
    let key = p384::ecdsa::VerifyingKey::from_affine(point).map_err(|_| OFF_CURVE)?;
    Ok(Material::P384 { spki: der::p384_key(&x, &y), key })
}

/// Points that are not canonical or of small order are none: under these one signature fits many messages, under those one key has two names.
fn read_ed25519(jwk: &Json) -> Result<Material, Note> {
    let x = bytes(jwk, "x").ok_or(note("`x` is missing or not base64url", ""))?;
    let x = <[u8; 32]>::try_from(x).map_err(|_| OFF_CURVE)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&x).map_err(|_| OFF_CURVE)?;
    let is_canonical = key.to_edwards().compress().to_bytes() == x;
    if is_canonical && !key.is_weak() { Ok(Material::Ed25519(key)) } else { Err(OFF_CURVE) }
}
