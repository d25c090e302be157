//! Rows: bound and unbound tokens under every word of the policy, proofs that are bad in exactly one way, and a memory that fails.

use core::cell::{Cell, RefCell};
use core::num::NonZeroU32;
use std::collections::BTreeMap;

use super::Witness;
use super::challenge;
use super::dpop::memory::Remembered;
use super::dpop::thumbprint;
use super::dpop::{Memory, Origin};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::attempt::Open;
use crate::guards::identity::challenge::challenge as told_by;
use crate::guards::identity::config::{read_authentication, read_jwt};
use crate::guards::identity::jwt::algorithm::{Algorithm, Family};
use crate::guards::identity::jwt::vectors::{BoringHost, P256, base64, hmac, jwk, set, sign, unbase64};
use crate::guards::identity::{Authentication, Identified, Providers, Spent, Stop, identify};
use crate::host::{Cas, HostError, SharedData, Swap};
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

const NOW: u64 = 1_800_000_000;

/// Shared data, and the certificate of a client that has none.
#[derive(Default)]
pub(in crate::guards::identity) struct Shared {
    values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    version: Cell<u32>,
    /// Every conditional write comes too late.
    loses: Cell<bool>,
    fails: Cell<bool>,
}

impl SharedData for Shared {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        if self.fails.get() {
            return Err(HostError { call: "get_shared_data", status: 10 });
        }
        let values = self.values.borrow();
        Ok(values.get(key).map(|(value, version)| (value.clone(), Cas(NonZeroU32::new(*version).unwrap()))))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let mut values = self.values.borrow_mut();
        let known = values.get(key).map(|(_, version)| *version);
        let lost = known.zip(cas).is_some_and(|(known, cas)| known != cas.0.get());
        if lost || (self.loses.get() && cas.is_some()) {
            return Ok(Swap::Lost);
        }
        self.version.set(self.version.get() + 1);
        values.insert(key.to_owned(), (value.to_vec(), self.version.get()));
        Ok(Swap::Done)
    }
}

impl Shared {
    /// A client without a certificate, and a policy without proofs.
    pub(in crate::guards::identity) fn witness(&self) -> Witness<'_> {
        Witness { gate: &Open, certificate: &|| Ok(None), presented: &|| Ok(None), data: self, memory: None }
    }
}

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: 5000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap()
}

/// A provider whose `confirmation` is this text, or its problems.
fn provider(members: &str) -> (Providers, Vec<String>) {
    let keys = Json::Text(set(&[jwk(Family::Ed25519, "")]));
    let document = json(&format!(
        r#"{{"providers":[{{"name":"p","issuer":"i","audiences":["a"],"maxLifetime":"1h","localJWKS":{{"inline":{keys}}}{members}}}]}}"#
    ));
    let problems = Problems::new();
    let providers = read_jwt(&Field::root(&document, &problems));
    (providers, problems.into_vec().iter().map(ToString::to_string).collect())
}

struct World {
    providers: Providers,
    route: Authentication,
    data: Shared,
    memory: Option<Result<Memory, HostError>>,
    certificate: Option<Vec<u8>>,
    asked: Cell<bool>,
}

impl World {
    fn new(confirmation: &str) -> Self {
        let (providers, problems) = provider(&format!(r#","confirmation":{confirmation}"#));
        assert!(problems.iter().all(|problem| problem.contains("from whoever holds it")), "{problems:?}");
        Self::with(providers)
    }

    fn with(providers: Providers) -> Self {
        let (route, problems) = (json(r#"{"jwt":{}}"#), Problems::new());
        let route = read_authentication(&Field::root(&route, &problems), &providers).unwrap();
        let data = Shared::default();
        let memory =
            providers.takes_proofs().then(|| Memory::sized(&data, [9; 16], NonZeroU32::new(4).unwrap()));
        Self { providers, route, data, memory, certificate: None, asked: Cell::new(false) }
    }

    fn ask(&self, fields: &[(&str, &str)]) -> Result<Identified, Refusal> {
        let certificate = || {
            self.asked.set(true);
            Ok(self.certificate.clone())
        };
        let witness = Witness {
            presented: &|| Ok(None),
            gate: &Open,
            certificate: &certificate,
            data: &self.data,
            memory: self.memory.as_ref(),
        };
        let head = head(fields);
        let now = Timestamp::from_seconds(NOW);
        identify(&self.route, &self.providers, &head, None, now, &BoringHost, &witness)
            .map_err(Stop::into_refusal)
    }

    fn reason(&self, fields: &[(&str, &str)]) -> Option<Reason> {
        self.ask(fields).err().map(|refusal| refusal.reason)
    }

    /// A bound token behind the scheme, with this proof.
    fn prove(&self, proof: &str) -> Option<Reason> {
        self.reason(&[("authorization", &format!("DPoP {}", bound())), ("dpop", proof)])
    }
}

fn head(fields: &[(&str, &str)]) -> Head {
    let pseudo =
        [(":method", "GET"), (":scheme", "https"), (":authority", "api.example"), (":path", "/a/b?c=d")];
    let all = pseudo.iter().chain(fields).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Head::parse(serialize(all.collect::<Vec<_>>().into_iter())).unwrap()
}

fn mint(header: &str, claims: &str, algorithm: Algorithm) -> String {
    let text = format!("{}.{}", base64(header), base64(claims));
    let signature = base64(sign(algorithm, text.as_bytes()));
    format!("{text}.{signature}")
}

fn token(members: &str) -> String {
    let claims = format!(r#"{{"iss":"i","aud":"a","sub":"ada","iat":{NOW},"exp":{}{members}}}"#, NOW + 60);
    mint(r#"{"alg":"EdDSA"}"#, &claims, Algorithm::EdDSA)
}

fn jkt(jwk: &str) -> String {
    thumbprint::of(&json(jwk)).unwrap()
}

/// A token of the client's P-256 key.
fn bound() -> String {
    bound_to(&jwk(Family::P256, ""))
}

fn bound_to(jwk: &str) -> String {
    token(&format!(r#","cnf":{{"jkt":"{}"}}"#, jkt(jwk)))
}

const DPOP: &str = r#"{"dpop":"Required"}"#;

/// The parts of a proof, each of which a row may change.
struct Draft {
    header: String,
    claims: Vec<(&'static str, String)>,
    algorithm: Algorithm,
}

impl Draft {
    fn new() -> Self {
        Self::by(Family::P256, Algorithm::ES256, "ES256", &bound())
    }

    fn by(family: Family, algorithm: Algorithm, alg: &str, token: &str) -> Self {
        let header = format!(r#"{{"typ":"dpop+jwt","alg":"{alg}","jwk":{}}}"#, jwk(family, ""));
        let text = |text: &str| format!("\"{text}\"");
        let claims = vec![
            ("jti", text("one")),
            ("htm", text("GET")),
            ("htu", text("https://api.example/a/b")),
            ("iat", NOW.to_string()),
            ("ath", text(&thumbprint::sha256(token.as_bytes()))),
        ];
        Self { header, claims, algorithm }
    }

    fn header(mut self, from: &str, to: &str) -> Self {
        assert!(self.header.contains(from), "{from}");
        self.header = self.header.replacen(from, to, 1);
        self
    }

    /// Another value, or none with an empty text.
    fn claim(mut self, name: &'static str, value: &str) -> Self {
        self.claims.retain(|(known, _)| *known != name);
        if !value.is_empty() {
            self.claims.push((name, value.to_owned()));
        }
        self
    }

    fn payload(&self) -> String {
        let members: Vec<String> =
            self.claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }

    fn mint(&self) -> String {
        mint(&self.header, &self.payload(), self.algorithm)
    }
}

#[test]
fn bindings_under_every_word() {
    use Reason::{
        ClaimInvalid, ProofMissing, TokenBindingMismatch, TokenBindingMissing, TokenBindingUnchecked,
    };
    let digest = [0xab_u8; 32];
    let (hex, thumbprint) = ("ab".repeat(32), base64(digest));
    let certified = format!(r#","cnf":{{"x5t#S256":"{thumbprint}"}}"#);
    let keyed = r#","cnf":{"jkt":"x"}"#;
    let other = r#","cnf":{"kid":"x","jwk":{}}"#;
    for (confirmation, members, certificate, expected) in [
        (r#"{"mtls":"Required"}"#, &*certified, &*hex, None),
        (r#"{"mtls":"Required"}"#, &certified, &hex.to_uppercase(), None),
        (r#"{"mtls":"Optional"}"#, &certified, &hex, None),
        (r#"{"mtls":"Optional"}"#, "", "", None),
        (r#"{"mtls":"Optional"}"#, other, "", None),
        (r#"{"mtls":"Off"}"#, &certified, "", None),
        (r#"{"dpop":"Off"}"#, keyed, "", None),
        (r#"{"dpop":"Optional"}"#, "", "", None),
        (r#"{"mtls":"Required"}"#, "", &hex, Some(TokenBindingMissing)),
        (r#"{"mtls":"Required"}"#, other, &hex, Some(TokenBindingMissing)),
        (r#"{"mtls":"Required"}"#, &certified, "", Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, &certified, &"ac".repeat(32), Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, &certified, &"ab".repeat(31), Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, &certified, &"ab".repeat(33), Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, &certified, &"xy".repeat(32), Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, &certified, &"é".repeat(32), Some(TokenBindingMismatch)),
        (r#"{"mtls":"Optional"}"#, r#","cnf":{"x5t#S256":"AA"}"#, &hex, Some(ClaimInvalid)),
        (r#"{"mtls":"Optional"}"#, r#","cnf":{"x5t#S256":7}"#, &hex, Some(ClaimInvalid)),
        (r#"{"mtls":"Optional"}"#, r#","cnf":null"#, &hex, Some(ClaimInvalid)),
        (r#"{"mtls":"Optional"}"#, r#","cnf":"x""#, &hex, Some(ClaimInvalid)),
        (r#"{"dpop":"Required"}"#, &certified, &hex, Some(TokenBindingUnchecked)),
        (r#"{"mtls":"Required"}"#, keyed, &hex, Some(TokenBindingMissing)),
        (r#"{"mtls":"Optional"}"#, keyed, &hex, Some(TokenBindingUnchecked)),
        (r#"{"dpop":"Optional"}"#, keyed, "", Some(ProofMissing)),
        (r#"{"dpop":"Required"}"#, keyed, "", Some(ProofMissing)),
        (r#"{"dpop":"Required"}"#, "", "", Some(TokenBindingMissing)),
    ] {
        let mut world = World::new(confirmation);
        world.certificate = (!certificate.is_empty()).then(|| certificate.as_bytes().to_vec());
        let reason = world.reason(&[("authorization", &format!("Bearer {}", token(members)))]);
        assert_eq!(reason, expected, "{confirmation} {members} {certificate}");
        let looked_at = matches!(reason, None | Some(TokenBindingMismatch)) && members.contains("x5t");
        assert_eq!(world.asked.get(), looked_at && !confirmation.contains("Off"), "{confirmation} {members}");
    }
    // Where the policy says nothing, what is bound is refused and everything else is as ever.
    let silent = World::with(provider("").0);
    for (members, expected) in [
        (&*certified, Some(TokenBindingUnchecked)),
        (keyed, Some(TokenBindingUnchecked)),
        (other, None),
        ("", None),
    ] {
        let reason = silent.reason(&[("authorization", &format!("Bearer {}", token(members)))]);
        assert_eq!(reason, expected, "{members}");
    }
}

#[test]
fn a_sound_proof_holds_once() {
    for (family, algorithm, alg) in [
        (Family::P256, Algorithm::ES256, "ES256"),
        (Family::P384, Algorithm::ES384, "ES384"),
        (Family::Rsa, Algorithm::RS256, "RS256"),
        (Family::Rsa, Algorithm::PS512, "PS512"),
        (Family::Ed25519, Algorithm::EdDSA, "Ed25519"),
    ] {
        let world = World::new(DPOP);
        let token = bound_to(&jwk(family, ""));
        let fields = [
            ("authorization", format!("dpop {token}")),
            ("dpop", Draft::by(family, algorithm, alg, &token).mint()),
        ];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let identified = world.ask(&fields).unwrap();
        assert_eq!(identified.spent, Some(Spent::Proved("authorization".into())), "{alg}");
        assert_eq!(world.reason(&fields), Some(Reason::ProofReplayed), "{alg}");
        assert!(!world.asked.get());
    }
}

#[test]
fn proofs_that_are_bad_in_one_way() {
    use Reason::{ProofInvalid, ProofStale, TokenBindingMismatch};
    let own = jwk(Family::P256, "");
    let header = |from: &str, to: &str| Draft::new().header(from, to).mint();
    let claim = |name, value: &str| Draft::new().claim(name, value).mint();
    let seconds = |offset: i64| NOW.saturating_add_signed(offset).to_string();
    let plain = Draft::new();
    let hs256 = {
        let header = plain.header.replace("ES256", "HS256");
        let text = format!("{}.{}", base64(header), base64(plain.payload()));
        let public = [unbase64(P256[0]), unbase64(P256[1])].concat();
        format!("{text}.{}", base64(hmac(Algorithm::HS256, &public, text.as_bytes())))
    };
    let none = {
        let header = plain.header.replace("ES256", "none");
        format!("{}.{}.", base64(header), base64(plain.payload()))
    };
    let bent = {
        let mut proof = plain.mint();
        let last = proof.pop().unwrap();
        proof.push(if last == 'A' { 'Q' } else { 'A' });
        proof
    };
    let another = Draft::by(Family::Ed25519, Algorithm::EdDSA, "EdDSA", &bound()).mint();
    let deep = format!(r#"{{"jti":{}{}}}"#, "[".repeat(5000), "]".repeat(5000));
    for (name, proof, expected) in [
        ("empty", String::new(), ProofInvalid),
        ("two parts", "a.b".to_owned(), ProofInvalid),
        ("HS256 with the public key", hs256, ProofInvalid),
        ("none", none, ProofInvalid),
        ("a bent signature", bent, ProofInvalid),
        ("a token as a proof", bound(), ProofInvalid),
        ("no typ", header(r#""typ":"dpop+jwt","#, ""), ProofInvalid),
        ("typ JWT", header("dpop+jwt", "JWT"), ProofInvalid),
        ("typ in a list", header(r#""dpop+jwt""#, r#"["dpop+jwt"]"#), ProofInvalid),
        ("another algorithm of the family", header("ES256", "ES384"), ProofInvalid),
        ("no alg", header(r#""alg":"ES256","#, ""), ProofInvalid),
        ("crit", header(r#""typ""#, r#""crit":["jwk"],"typ""#), ProofInvalid),
        ("no jwk", header(r#""jwk":"#, r#""jwx":"#), ProofInvalid),
        ("a kid in place of it", header(&format!(r#""jwk":{own}"#), r#""kid":"x""#), ProofInvalid),
        ("a jku in place of it", header(&format!(r#""jwk":{own}"#), r#""jku":"https://x""#), ProofInvalid),
        ("an x5c in place of it", header(&format!(r#""jwk":{own}"#), r#""x5c":["x"]"#), ProofInvalid),
        ("a jwk as text", header(&own, r#""x""#), ProofInvalid),
        ("a private key", header(r#""kty""#, &format!(r#""d":"{}","kty""#, P256[2])), ProofInvalid),
        ("a secret", header(&own, &jwk(Family::Hmac, "")), ProofInvalid),
        ("a wrong curve", header("P-256", "P-384"), ProofInvalid),
        ("a point off the curve", header(&P256[1][..5], "x_FEy"), ProofInvalid),
        ("a key for encryption", header(r#""kty""#, r#""use":"enc","kty""#), ProofInvalid),
        ("another member twice", header(r#""alg""#, r#""alg":"ES256","alg""#), ProofInvalid),
        ("another key", another, TokenBindingMismatch),
        ("another method", claim("htm", r#""POST""#), ProofInvalid),
        ("the method in lower case", claim("htm", r#""get""#), ProofInvalid),
        ("no method", claim("htm", ""), ProofInvalid),
        ("another path", claim("htu", r#""https://api.example/a""#), ProofInvalid),
        ("another host", claim("htu", r#""https://evil.example/a/b""#), ProofInvalid),
        ("another scheme", claim("htu", r#""http://api.example/a/b""#), ProofInvalid),
        ("a path alone", claim("htu", r#""/a/b""#), ProofInvalid),
        ("no URL", claim("htu", ""), ProofInvalid),
        ("a URL in a list", claim("htu", r#"["https://api.example/a/b"]"#), ProofInvalid),
        ("another token", claim("ath", &format!("\"{}\"", thumbprint::sha256(b"x"))), ProofInvalid),
        ("no token", claim("ath", ""), ProofInvalid),
        ("too old", claim("iat", &seconds(-61)), ProofStale),
        ("from the future", claim("iat", &seconds(31)), ProofStale),
        ("far from the future", claim("iat", "1e300"), ProofStale),
        ("far from the past", claim("iat", "-1e300"), ProofStale),
        ("iat as text", claim("iat", "\"1800000000\""), ProofInvalid),
        ("no iat", claim("iat", ""), ProofInvalid),
        ("an exp that has passed", claim("exp", &seconds(-31)), ProofStale),
        ("an nbf ahead", claim("nbf", &seconds(31)), ProofStale),
        ("no jti", claim("jti", ""), ProofInvalid),
        ("an empty jti", claim("jti", r#""""#), ProofInvalid),
        ("a number as jti", claim("jti", "7"), ProofInvalid),
        ("a jti of 257 bytes", claim("jti", &format!("\"{}\"", "j".repeat(257))), ProofInvalid),
        ("a jti of 10 KB", claim("jti", &format!("\"{}\"", "j".repeat(10_000))), ProofInvalid),
        ("claims 5,000 deep", mint(&plain.header, &deep, Algorithm::ES256), ProofInvalid),
        ("a claim twice", mint(&plain.header, r#"{"jti":"a","jti":"b"}"#, Algorithm::ES256), ProofInvalid),
        ("a megabyte", "a".repeat(100_000), ProofInvalid),
        ("two in one", format!("{0},{0}", plain.mint()), ProofInvalid),
    ] {
        let world = World::new(DPOP);
        let before = world.data.version.get();
        assert_eq!(world.prove(&proof), Some(expected), "{name}");
        assert_eq!(world.data.version.get(), before, "{name}: remembered");
    }
    for (name, proof) in [
        ("a query in the URL", claim("htu", r#""HTTPS://API.example:443/a/%62?x""#)),
        ("the oldest", claim("iat", &seconds(-60))),
        ("the youngest", claim("iat", &seconds(30))),
        ("an nbf as far ahead as clocks may be apart", claim("nbf", &seconds(30))),
        ("a fraction", claim("iat", "1800000000.25")),
        (
            "what else there may be",
            header(r#""typ""#, r#""kid":"x","jku":"https://x","x5u":"y","x5c":["z"],"typ""#),
        ),
        ("a nonce that nobody asked for", claim("nonce", r#""x""#)),
        ("a jti of 256 bytes", claim("jti", &format!("\"{}\"", "j".repeat(256)))),
    ] {
        assert_eq!(World::new(DPOP).prove(&proof), None, "{name}");
    }
}

#[test]
fn keys_that_are_too_weak_are_none() {
    for key in [
        format!(r#"{{"kty":"RSA","n":"{}","e":"AQAB"}}"#, base64([0xff; 128])),
        format!(r#"{{"kty":"RSA","n":"{}","e":"Aw"}}"#, base64([0xff; 256])),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64([0; 32])),
    ] {
        let (world, token) = (World::new(DPOP), bound_to(&key));
        let proof = Draft::by(Family::Rsa, Algorithm::RS256, "RS256", &token)
            .header(&jwk(Family::Rsa, ""), &key)
            .mint();
        let fields = [("authorization", &*format!("DPoP {token}")), ("dpop", &proof)];
        assert_eq!(world.reason(&fields), Some(Reason::ProofInvalid), "{key:.40}");
    }
}

#[test]
fn schemes_and_headers() {
    use Reason::{CredentialConflict, ProofInvalid, ProofMissing, TokenBindingMissing};
    let (token, free) = (bound(), token(""));
    let (proof, bearer, dpop) = (Draft::new().mint(), format!("Bearer {token}"), format!("DPoP {token}"));
    let unbound = Draft::by(Family::P256, Algorithm::ES256, "ES256", &free).mint();
    for (name, fields, expected) in [
        ("bound as Bearer", vec![("authorization", &*bearer)], Some(ProofMissing)),
        (
            "bound as Bearer, with its proof",
            vec![("authorization", &bearer), ("dpop", &proof)],
            Some(ProofMissing),
        ),
        ("no proof", vec![("authorization", &dpop)], Some(ProofMissing)),
        (
            "two proofs",
            vec![("authorization", &dpop), ("dpop", &proof), ("dpop", &proof)],
            Some(ProofInvalid),
        ),
        ("a proof alone", vec![("dpop", &proof)], Some(Reason::CredentialMissing)),
        (
            "both schemes",
            vec![("authorization", &*format!("{bearer},{dpop}")), ("dpop", &proof)],
            Some(CredentialConflict),
        ),
        (
            "both schemes, apart",
            vec![("authorization", &bearer), ("authorization", &dpop)],
            Some(CredentialConflict),
        ),
        (
            "unbound behind DPoP",
            vec![("authorization", &*format!("DPoP {free}")), ("dpop", &unbound)],
            Some(TokenBindingMissing),
        ),
        ("unbound as Bearer", vec![("authorization", &*format!("Bearer {free}"))], None),
    ] {
        assert_eq!(World::new(r#"{"dpop":"Optional"}"#).reason(&fields), expected, "{name}");
    }
}

#[test]
fn a_proof_as_long_as_may_be_and_a_byte_more() {
    let dpop = format!("DPoP {}", bound());
    let detail = |bytes: usize| {
        let proof = "a".repeat(bytes);
        let fields = [("authorization", &*dpop), ("dpop", &proof)];
        World::new(DPOP).ask(&fields).unwrap_err().detail
    };
    let over = |bytes: usize| {
        let (got, limit) = (bytes as u64, limits::PROOF_BYTES as u64);
        Detail::Over { what: "bytes of proof", got, limit }
    };
    assert_ne!(detail(limits::PROOF_BYTES), over(limits::PROOF_BYTES));
    for bytes in [limits::PROOF_BYTES + 1, limits::PROOF_BYTES + 2] {
        assert_eq!(detail(bytes), over(bytes));
    }
}

#[test]
fn what_the_policy_may_ask_of_a_proof() {
    use Reason::{ProofInvalid, ProofStale};
    let claim = |name, value: &str| Draft::new().claim(name, value).mint();
    let old = (NOW - 11).to_string();
    for (more, proof, expected) in [
        (r#""algorithms":["ES256"]"#, Draft::new().mint(), None),
        (r#""algorithms":["ES384","EdDSA"]"#, Draft::new().mint(), Some(ProofInvalid)),
        (r#""proofLifetime":"10s""#, claim("iat", &old), Some(ProofStale)),
        (r#""proofLifetime":"11s""#, claim("iat", &old), None),
        (
            r#""origins":["http://inside:8080","https://out.example"]"#,
            Draft::new().mint(),
            Some(ProofInvalid),
        ),
        (r#""origins":["https://out.example"]"#, claim("htu", r#""https://out.example:443/a/b""#), None),
        (
            r#""origins":["https://out.example"]"#,
            claim("htu", r#""https://out.example/""#),
            Some(ProofInvalid),
        ),
    ] {
        let world = World::new(&format!(r#"{{"dpop":{{"mode":"Required",{more}}}}}"#));
        assert_eq!(world.prove(&proof), expected, "{more}");
    }
    let asks = World::new(r#"{"dpop":{"mode":"Required","nonce":"Required"}}"#);
    let fields = |proof: &str| [("authorization", format!("DPoP {}", bound())), ("dpop", proof.to_owned())];
    let ask = |proof: &str| {
        let fields = fields(proof);
        asks.ask(&[(fields[0].0, &fields[0].1), (fields[1].0, &fields[1].1)]).err()
    };
    let refusal = ask(&Draft::new().mint()).unwrap();
    let Advice::DpopNonce(nonce) = refusal.advice else { panic!("{refusal:?}") };
    assert_eq!((refusal.reason, nonce.len()), (Reason::ProofNonce, 22));
    for wrong in ["7", "\"\"", "\"x\"", "null"] {
        assert_eq!(
            ask(&claim("nonce", wrong)).map(|refusal| refusal.reason),
            Some(Reason::ProofNonce),
            "{wrong}"
        );
    }
    assert_eq!(ask(&claim("nonce", &format!("\"{nonce}\""))), None);
}

#[test]
fn what_cannot_be_remembered_is_refused() {
    let world = World::new(DPOP);
    world.data.loses.set(true);
    assert_eq!(world.prove(&Draft::new().mint()), Some(Reason::ProofMemoryBusy));
    world.data.fails.set(true);
    assert_eq!(world.prove(&Draft::new().mint()), Some(Reason::HostFailed));
    let mut unmade = World::new(DPOP);
    unmade.memory = Some(Err(HostError { call: "set_shared_data", status: 10 }));
    assert_eq!(unmade.prove(&Draft::new().mint()), Some(Reason::HostFailed));
    unmade.memory = None;
    assert_eq!(unmade.prove(&Draft::new().mint()), Some(Reason::HostFailed));
    // A slot that is no slot.
    let world = World::new(DPOP);
    for bytes in [&b""[..], &[2], &[1, 0], &[1; 12], &vec![1; 1 + 12 * (limits::PROOF_WAYS + 1)]] {
        for (value, _) in world.data.values.borrow_mut().values_mut().filter(|(value, _)| value.len() != 16) {
            *value = bytes.to_vec();
        }
        assert_eq!(world.prove(&Draft::new().mint()), Some(Reason::HostFailed), "{}", bytes.len());
    }
}

#[test]
fn a_memory_forgets_in_time_and_is_bounded() {
    let (data, one) = (Shared::default(), NonZeroU32::MIN);
    let memory = Memory::sized(&data, [1; 16], one).unwrap();
    let at = |nanos: u64| Timestamp::from_nanos(NOW * SECOND + nanos);
    let ask = |jti: &str, now, until| memory.remember(&data, ["key", jti], at(now), at(until)).unwrap();
    assert_eq!(ask("a", 0, 60 * SECOND), Remembered::First);
    assert_eq!(memory.remember(&data, ["kez", "a"], at(0), at(SECOND)).unwrap(), Remembered::First);
    assert_eq!(memory.remember(&data, ["ke", "ya"], at(0), at(SECOND)).unwrap(), Remembered::First);
    for now in [0, 1, 59 * SECOND, 60 * SECOND, 62 * SECOND] {
        assert_eq!(ask("a", now, 60 * SECOND), Remembered::Before, "{now}");
    }
    assert_eq!(ask("a", 64 * SECOND, 65 * SECOND), Remembered::First, "long over");
    // Full of proofs that are still valid: refused, until the first of them is over.
    let full = (0..=limits::PROOF_WAYS)
        .find(|n| ask(&format!("{n}"), 100 * SECOND, 160 * SECOND) != Remembered::First);
    assert_eq!(full, Some(limits::PROOF_WAYS));
    assert!(matches!(ask("more", 162 * SECOND, 200 * SECOND), Remembered::Not(_)));
    assert_eq!(ask("more", 164 * SECOND, 200 * SECOND), Remembered::First);
    assert_eq!(data.values.borrow().len(), 2, "a seed and a slot");
    let another = Memory::sized(&data, [2; 16], one).unwrap();
    assert_eq!(
        another.remember(&data, ["key", "more"], at(164 * SECOND), at(200 * SECOND)).unwrap(),
        Remembered::Before,
        "the next VM finds it"
    );
}

#[test]
fn the_whole_memory_is_within_its_bound() {
    let data = Shared::default();
    Memory::prepare(&data, [1; 16]).unwrap();
    assert_eq!(data.values.borrow().len(), limits::PROOF_SLOTS as usize + 1);
    // A name of 30 bytes and about 110 of the map's own, as in the limiter's table.
    let most = limits::PROOF_SLOTS as usize * (1 + 12 * limits::PROOF_WAYS + 140);
    assert!((13 << 20..14 << 20).contains(&most), "{most}");
    assert!(World::new(r#"{"mtls":"Required"}"#).memory.is_none(), "made only where it is needed");
}

#[test]
fn what_a_client_is_told() {
    let algs = r#"algs="RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA""#;
    let told = |confirmation: &str, fields: &[(&str, &str)], reason: Reason| {
        let world = World::new(confirmation);
        let dpop = challenge::of(&world.route, &world.providers, &head(fields));
        told_by("shop", &world.route, None, dpop.as_ref(), &reason.into())
    };
    let es256 = r#"{"dpop":{"mode":"Optional","algorithms":["ES256"]}}"#;
    let (bearer, dpop) = ([("authorization", "Bearer x")], [("authorization", "dpop x")]);
    let error = |scheme: &str, error: &str, sentence: &str| {
        format!(r#"{scheme} realm="shop", error="{error}", error_description="{sentence}""#)
    };
    let proof = "The proof of possession is not valid.";
    for (told, expected) in [
        (told(DPOP, &[], Reason::CredentialMissing), vec![format!(r#"DPoP realm="shop", {algs}"#)]),
        (
            told(es256, &[], Reason::CredentialMissing),
            vec![r#"Bearer realm="shop""#.to_owned(), r#"DPoP realm="shop", algs="ES256""#.to_owned()],
        ),
        (
            told(es256, &dpop, Reason::ProofInvalid),
            vec![
                r#"Bearer realm="shop""#.to_owned(),
                error("DPoP", "invalid_dpop_proof", proof) + r#", algs="ES256""#,
            ],
        ),
        (
            told(es256, &bearer, Reason::ProofMissing),
            vec![
                error("Bearer", "invalid_token", "The token needs a proof of possession."),
                r#"DPoP realm="shop", algs="ES256""#.to_owned(),
            ],
        ),
        (
            told(DPOP, &bearer, Reason::TokenExpired),
            vec![error("DPoP", "invalid_token", "The token has expired.") + ", " + algs],
        ),
        (
            told(es256, &bearer, Reason::ScopeInsufficient),
            vec![error("Bearer", "insufficient_scope", "The credential does not allow this.")],
        ),
        (
            told(es256, &dpop, Reason::ScopeInsufficient),
            vec![
                error("DPoP", "insufficient_scope", "The credential does not allow this.")
                    + r#", algs="ES256""#,
            ],
        ),
        (
            // No scheme of ours: a word of four letters, and one that begins so.
            told(es256, &[("authorization", "Else x")], Reason::ProofInvalid),
            vec![
                error("Bearer", "invalid_dpop_proof", proof),
                r#"DPoP realm="shop", algs="ES256""#.to_owned(),
            ],
        ),
        (
            told(es256, &[("authorization", "DPoPs x")], Reason::ProofInvalid),
            vec![
                error("Bearer", "invalid_dpop_proof", proof),
                r#"DPoP realm="shop", algs="ES256""#.to_owned(),
            ],
        ),
        (told(es256, &dpop, Reason::AccessDenied), vec![]),
        (
            told(r#"{"mtls":"Required"}"#, &[], Reason::CredentialMissing),
            vec![r#"Bearer realm="shop""#.to_owned()],
        ),
    ] {
        assert_eq!(told.unwrap_or_default(), expected.join(", "));
    }
}

#[test]
fn what_a_person_is_told_of_a_confirmation() {
    for (members, said) in [
        (r#","confirmation":{}"#, "confirmation: nothing is asked for"),
        (r#","confirmation":{"mtls":"On"}"#, "confirmation.mtls: unknown value `On`"),
        (r#","confirmation":{"mtls":{"mode":"Required"}}"#, "confirmation.mtls: expected a string"),
        (r#","confirmation":{"dpop":true}"#, "confirmation.dpop: expected a string"),
        (r#","confirmation":{"dpop":{}}"#, "confirmation.dpop: `mode` is missing"),
        (
            r#","confirmation":{"dpop":{"mode":"Required","algorithms":["HS256"]}}"#,
            "a shared secret proves nothing",
        ),
        (r#","confirmation":{"dpop":{"mode":"Required","algorithms":["ES256","ES256"]}}"#, "stands twice"),
        (
            r#","confirmation":{"dpop":{"mode":"Required","proofLifetime":"6m"}}"#,
            "proofLifetime: expected 1s to 5m",
        ),
        (r#","confirmation":{"dpop":{"mode":"Required","nonce":"Optional"}}"#, "nonce: unknown value"),
        (
            r#","confirmation":{"dpop":{"mode":"Required","origins":["api.example"]}}"#,
            "origins[0]: not an origin",
        ),
        (r#","confirmation":{"dpop":"Off"}"#, "taken from whoever holds it"),
        (r#","confirmation":{"mtls":false}"#, "taken from whoever holds it"),
        (
            r#","confirmation":{"dpop":"Required"},"extractFrom":{"cookies":["c"]}"#,
            "without a place for the scheme `DPoP`",
        ),
    ] {
        let (_, problems) = provider(members);
        assert!(problems.iter().any(|problem| problem.contains(said)), "{members}: {problems:?}");
    }
    let origins = |count: usize| {
        let origins: Vec<String> = (0..count).map(|nth| format!("\"https://{nth}.example\"")).collect();
        let members =
            format!(r#","confirmation":{{"dpop":{{"mode":"Required","origins":[{}]}}}}"#, origins.join(","));
        provider(&members).1
    };
    assert_eq!(origins(limits::PROOF_ORIGINS), [] as [String; 0]);
    for many in [1, 2] {
        assert!(origins(limits::PROOF_ORIGINS + many)[0].contains("too many origins"));
    }
    let places = r#","confirmation":{"dpop":"Required"},"extractFrom":{"headers":[{"name":"Authorization","valuePrefix":"DPoP "}]}"#;
    assert_eq!(provider(places).1, [] as [String; 0]);
    assert_eq!(Origin::of_url("https://a"), Origin::of_url("https://A:443/"));
}
