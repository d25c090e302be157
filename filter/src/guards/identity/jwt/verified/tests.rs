//! What a token is found by, and what ends it.

use std::rc::Rc;

use super::{Entry, Known, Most, Table, Verified, WAYS, same};
use crate::decision::{Detail, Reason};
use crate::document::Field;
use crate::guards::identity::config::{read_authentication, read_jwt};
use crate::guards::identity::confirmation::tests::Shared;
use crate::guards::identity::jwt::algorithm::{Algorithm, Family};
use crate::guards::identity::jwt::grounds::Window;
use crate::guards::identity::jwt::vectors::{BoringHost, base64, jwk, set, sign};
use crate::guards::identity::jwt::{Grounds, KeySet};
use crate::guards::identity::rules::{ProviderId, Providers};
use crate::guards::identity::{Authentication, Identified, Stop, identify};
use crate::host::{Verdict, Verifier};
use crate::http::Head;
use crate::http::head::serialize;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::{SECOND, Timestamp};

/// A host that says no to every signature: what passes was known.
struct Denying;

impl Verifier for Denying {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Invalid
    }
}

/// A host that must not be asked.
struct Silent;

impl Verifier for Silent {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        panic!("a signature was looked at")
    }
}

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: 5000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap()
}

/// Two providers with one key set. `a` takes tokens in `authorization` and `x-a`, `b` in `x-b` only. No skew.
fn providers() -> Providers {
    let keys = Json::Text(set(&[jwk(Family::P256, r#""kid":"ec","#), jwk(Family::Rsa, r#""kid":"rsa","#)]));
    let json = json(&format!(
        r#"{{"providers":[
            {{"name":"a","issuer":"https://a","audiences":["api"],"localJWKS":{{"inline":{keys}}},"clockSkew":"0s",
              "extractFrom":{{"headers":[{{"name":"authorization","valuePrefix":"Bearer "}},{{"name":"x-a"}}]}},
              "claimToHeaders":[{{"claim":"sub","header":"x-user"}}]}},
            {{"name":"b","issuer":"https://b","audiences":["api"],"localJWKS":{{"inline":{keys}}},"clockSkew":"0s",
              "extractFrom":{{"headers":[{{"name":"x-b"}}]}}}}]}}"#
    ));
    let problems = Problems::new();
    let providers = read_jwt(&Field::root(&json, &problems));
    assert!(!problems.is_fatal(), "{:?}", problems.into_vec());
    providers
}

fn route(text: &str, providers: &Providers) -> Authentication {
    let problems = Problems::new();
    read_authentication(&Field::root(&json(text), &problems), providers)
        .unwrap_or_else(|| panic!("{:?}", problems.into_vec()))
}

const ALL: &str = r#"{"jwt":{}}"#;

fn mint(issuer: &str, members: &str) -> String {
    let claims = format!(r#"{{"iss":"https://{issuer}","aud":"api","sub":"ada"{members}}}"#);
    let text = format!("{}.{}", base64(r#"{"alg":"ES256","kid":"ec"}"#), base64(claims));
    let signature = base64(sign(Algorithm::ES256, text.as_bytes()));
    format!("{text}.{signature}")
}

fn sound() -> String {
    mint("a", r#","nbf":1000.5,"iat":900,"exp":2000.25"#)
}

fn ask(
    providers: &Providers,
    rules: &str,
    (header, token): (&str, &str),
    now: Timestamp,
    verifier: &impl Verifier,
) -> Result<Identified, Reason> {
    let rules = route(rules, providers);
    let value = if header == "authorization" { format!("Bearer {token}") } else { token.to_owned() };
    let fields = [(":method", "GET"), (":authority", "h"), (":path", "/"), (header, &value)];
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let head = Head::parse(serialize(fields)).unwrap();
    identify(&rules, providers, &head, None, now, verifier, &Shared::default().witness())
        .map_err(|stop: Stop| stop.into_refusal().reason)
}

/// At 1500 s, in `authorization`.
fn plainly(providers: &Providers, token: &str, verifier: &impl Verifier) -> Option<Reason> {
    ask(providers, ALL, ("authorization", token), Timestamp::from_seconds(1500), verifier).err()
}

#[test]
fn a_second_request_does_no_signature_work_and_hears_the_same() {
    let (providers, token) = (providers(), sound());
    let now = Timestamp::from_seconds(1500);
    let bearer = ("authorization", token.as_str());
    let first = ask(&providers, ALL, bearer, now, &BoringHost).unwrap();
    let second = ask(&providers, ALL, bearer, now, &Silent).unwrap();
    assert_eq!((first.caller.subject(), second.caller.subject()), (Some("ada"), Some("ada")));
    assert_eq!(first.headers, second.headers);
    assert_eq!((&*second.headers[0].0, &*second.headers[0].1), ("x-user", &b"ada"[..]));
    assert_eq!(first.spent, second.spent);
    assert!(
        first.caller.token().is_some_and(|token| token.kid() == Some("ec") && &**token.provider() == "a")
    );
}

#[test]
fn a_token_holds_in_its_window_to_the_nanosecond() {
    let (providers, token) = (providers(), sound());
    let at = |nanos: u64, verifier: &dyn Fn() -> Verdict| {
        struct By<'f>(&'f dyn Fn() -> Verdict);
        impl Verifier for By<'_> {
            fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
                (self.0)()
            }
        }
        let now = Timestamp::from_nanos(nanos);
        ask(&providers, ALL, ("authorization", &token), now, &By(verifier)).err()
    };
    let (begin, end) = (1000 * SECOND + SECOND / 2, 2000 * SECOND + SECOND / 4);
    let silent = || panic!("a signature was looked at");
    let not_before = |nanos| at(nanos, &silent);
    assert_eq!(not_before(begin - 1), Some(Reason::TokenNotYetValid), "unknown");
    assert_eq!(at(begin, &|| Verdict::Unavailable), None);
    assert_eq!(at(begin, &silent), None);
    assert_eq!(at(end - 1, &silent), None);
    assert_eq!(at(begin - 1, &silent), Some(Reason::TokenNotYetValid), "the clock was set back");
    assert_eq!(at(begin, &|| Verdict::Unavailable), None, "what did not hold once is looked at again");
    assert_eq!(at(end, &silent), Some(Reason::TokenExpired));
    assert_eq!(at(end - 1, &|| Verdict::Invalid), Some(Reason::SignatureInvalid), "and is gone");
}

#[test]
fn one_changed_bit_is_another_token() {
    let (providers, token) = (providers(), sound());
    assert_eq!(plainly(&providers, &token, &BoringHost), None);
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        assert!(plainly(&providers, &changed, &BoringHost).is_some(), "bit 0 of byte {at}");
    }
    for changed in [&token[1..], &token[..token.len() - 1], &format!("{token}A"), &format!("A{token}")] {
        assert!(plainly(&providers, changed, &BoringHost).is_some());
    }
    assert_eq!(plainly(&providers, &token, &Silent), None, "none of which ends what is known");
}

#[test]
fn a_key_that_is_gone_or_replaced_ends_its_tokens() {
    let (ec, rsa) = (jwk(Family::P256, r#""kid":"ec","#), jwk(Family::Rsa, r#""kid":"rsa","#));
    let read = |keys: &[String]| KeySet::read(set(keys).as_bytes()).unwrap().0;
    let token = sound();
    let start = || {
        let providers = providers();
        assert_eq!(plainly(&providers, &token, &BoringHost), None);
        providers
    };
    let fetched = |keys: &[String]| {
        let mut providers = start();
        let mut newer = read(keys);
        newer.adopt(providers.list[0].keys.as_ref().unwrap());
        providers.list[0].keys = Ok(Rc::new(newer));
        providers
    };
    let (both, other) = ([rsa.clone(), ec.clone()], [ec.clone(), rsa.clone()]);
    assert_eq!(plainly(&fetched(&both), &token, &Silent), None, "the key is in both sets");
    assert_eq!(plainly(&fetched(&other), &token, &Silent), None);
    assert_eq!(
        plainly(&fetched(core::slice::from_ref(&rsa)), &token, &Silent),
        Some(Reason::KeyUnknown),
        "removed"
    );
    let renamed = ec.replace(r#""kid":"ec""#, r#""kid":"new""#);
    assert_eq!(plainly(&fetched(&[renamed]), &token, &Silent), Some(Reason::KeyUnknown), "renamed");
    let impostor = rsa.replace(r#""kid":"rsa""#, r#""kid":"ec""#);
    assert_eq!(plainly(&fetched(&[impostor]), &token, &Silent), Some(Reason::AlgorithmUnaccepted));
    let narrowed = ec.replace(r#""kid":"ec""#, r#""kid":"ec","alg":"ES256""#);
    assert_eq!(
        plainly(&fetched(&[narrowed]), &token, &Denying),
        Some(Reason::SignatureInvalid),
        "not the same"
    );
    // Another set that nobody compared with the one before: all of it is new.
    let mut providers = start();
    providers.list[0].keys = Ok(Rc::new(read(&[ec.clone(), rsa])));
    assert_eq!(plainly(&providers, &token, &Denying), Some(Reason::SignatureInvalid));
    // None at hand: nothing is known, and the provider says why.
    let mut providers = start();
    providers.list[0].keys = Err(Detail::Fact("gone"));
    assert_eq!(plainly(&providers, &token, &Silent), Some(Reason::KeysUnavailable));
    // A new policy, with the same keys.
    assert_eq!(plainly(&self::providers(), &token, &Denying), Some(Reason::SignatureInvalid));
}

#[test]
fn a_route_takes_known_tokens_of_its_own_providers_and_places_only() {
    let providers = providers();
    let (a, b) = (mint("a", r#","exp":2000"#), mint("b", r#","exp":2000"#));
    let reason = |rules: &str, header: &str, token: &str, verifier: &dyn Fn() -> Verdict| {
        struct By<'f>(&'f dyn Fn() -> Verdict);
        impl Verifier for By<'_> {
            fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
                (self.0)()
            }
        }
        ask(&providers, rules, (header, token), Timestamp::from_seconds(1500), &By(verifier)).err()
    };
    let (looks, silent) = (|| Verdict::Unavailable, || panic!("a signature was looked at"));
    for (rules, header, token, expected) in [
        (ALL, "x-a", &a, None),
        (ALL, "authorization", &a, None),
        (ALL, "x-b", &a, Some(Reason::IssuerUnknown)),
        (r#"{"jwt":{"providers":["b"]}}"#, "x-b", &a, Some(Reason::IssuerUnknown)),
        (r#"{"jwt":{"providers":["b"]}}"#, "x-a", &a, Some(Reason::CredentialMissing)),
        (ALL, "x-b", &b, None),
        (ALL, "authorization", &b, Some(Reason::IssuerUnknown)),
        (r#"{"jwt":{"providers":["a"]}}"#, "x-a", &b, Some(Reason::IssuerUnknown)),
        (r#"{"jwt":{"providers":["a"]}}"#, "authorization", &a, None),
    ] {
        reason(ALL, "x-a", &a, &looks);
        reason(ALL, "x-b", &b, &looks);
        assert_eq!(reason(rules, header, token, &silent), expected, "{rules} {header}");
    }
}

#[test]
fn checks_that_hang_on_the_request_are_made_each_time() {
    let (providers, token) = (providers(), mint("a", r#","exp":2000,"acr":"low","auth_time":1400"#));
    assert_eq!(plainly(&providers, &token, &BoringHost), None);
    let strong = r#"{"jwt":{"providers":["a"],"acrValues":["high"]}}"#;
    let recent = r#"{"jwt":{"providers":["a"],"maxAge":"200s"}}"#;
    let at = |rules, seconds| {
        ask(&providers, rules, ("authorization", &token), Timestamp::from_seconds(seconds), &Silent).err()
    };
    assert_eq!(at(strong, 1500), Some(Reason::AuthenticationInsufficient));
    assert_eq!((at(recent, 1600), at(recent, 1601)), (None, Some(Reason::AuthenticationInsufficient)));
    let bound = mint("a", r#","exp":2000,"cnf":{"jkt":"x"}"#);
    assert_eq!(plainly(&providers, &bound, &BoringHost), Some(Reason::TokenBindingUnchecked));
    assert_eq!(plainly(&providers, &bound, &Silent), Some(Reason::TokenBindingUnchecked), "known, and asked");
}

#[test]
fn a_forged_token_is_looked_at_once_and_pushes_nothing_out() {
    let (providers, token) = (providers(), sound());
    assert_eq!(plainly(&providers, &token, &BoringHost), None);
    let text = token.rsplit_once('.').unwrap().0;
    let forged = |number: u32| {
        let signature = [&[7; 60][..], &number.wrapping_mul(0x9e37_79b9).to_be_bytes()].concat();
        format!("{text}.{}", base64(signature))
    };
    let first = forged(0);
    assert_eq!(plainly(&providers, &first, &Denying), Some(Reason::SignatureInvalid));
    assert_eq!(plainly(&providers, &first, &Silent), Some(Reason::SignatureInvalid), "known");
    // Its neighbours by place and tail are not known by it, and a good token least of all.
    let mut near = first.clone().into_bytes();
    near[5] ^= 1;
    assert!(plainly(&providers, &String::from_utf8(near).unwrap(), &BoringHost).is_some());
    // When it would be refused for another reason, that one is told.
    let late = ask(&providers, ALL, ("x-a", &first), Timestamp::from_seconds(2001), &Silent).err();
    assert_eq!(late, Some(Reason::TokenExpired));
    for number in 0..2_000 {
        assert_eq!(plainly(&providers, &forged(number), &Denying), Some(Reason::SignatureInvalid));
    }
    assert_eq!(plainly(&providers, &token, &Silent), None, "still known");
    let table = providers.verified.forged.borrow();
    assert!(table.bytes <= limits::FORGED_BYTES && table.sets.len() == limits::FORGED_SETS);
    assert_eq!(providers.verified.held.borrow().sets.iter().flatten().flatten().count(), 1);
}

#[test]
fn a_token_that_was_taken_back_is_not_kept() {
    let mut providers = providers();
    providers.list[0].revoked.sub = ["ada".into()].into();
    for _ in 0..2 {
        assert_eq!(plainly(&providers, &sound(), &BoringHost), Some(Reason::TokenRevoked));
    }
    assert_eq!(providers.verified.held.borrow().bytes, 0);
}

fn entry(number: u32, size: usize) -> Entry {
    let providers = providers();
    let keys = providers.list[0].keys.as_ref().unwrap();
    let key = keys.choose(Some("ec"), Algorithm::ES256).unwrap();
    let window = Window { from: 0, until: u64::MAX };
    let grounds = Grounds::new(window, keys, key, Some("ec"), Algorithm::ES256);
    let token = token(number);
    let tail = *token.last_chunk().unwrap();
    Entry {
        tail,
        token: crate::secret::Secret::new(token),
        provider: ProviderId(0),
        grounds,
        known: Known::Forged,
        size,
    }
}

fn token(number: u32) -> Vec<u8> {
    format!("token{:08x}", number.wrapping_mul(0x9e37_79b9)).into_bytes()
}

#[test]
fn it_is_bounded_in_tokens_and_bytes() {
    let held = |table: &Table| {
        let sizes: Vec<usize> = table.sets.iter().flatten().flatten().map(|entry| entry.size).collect();
        assert_eq!(sizes.iter().sum::<usize>(), table.bytes, "the sum is kept");
        sizes.len()
    };
    let mut table = Table::new(Most { sets: 16, bytes: 1 << 20 });
    for number in 0..500 {
        table.put(entry(number, 100));
    }
    assert_eq!((held(&table), table.sets.len()), (16 * WAYS, 16));
    let mut table = Table::new(Most { sets: 16, bytes: 4000 });
    for number in 0..500 {
        table.put(entry(number, 300));
        assert!(table.bytes <= 4000, "{}", table.bytes);
    }
    assert!(held(&table) >= 8, "{table:?}");
    let before = held(&table);
    table.put(entry(1000, 501));
    assert_eq!(held(&table), before, "one may take an eighth");
    table.put(entry(1001, 500));
    assert!(table.sets.iter().flatten().flatten().any(|entry| entry.size == 500));
}

#[test]
fn the_one_that_came_last_stays() {
    let providers = providers();
    let provider = &providers.list[0];
    let mut table = Table::new(Most { sets: 1, bytes: 1 << 20 });
    // The entries' grounds are of key sets that are gone, so they hold for this provider if its key has their mark.
    for number in 0..4 {
        table.put(Entry { grounds: grounds(&providers), ..entry(number, 10) });
    }
    let known = |table: &mut Table, number| {
        let (takes, whose) = (|_| Some(provider), |_| Some(provider));
        table.find(&token(number), Timestamp::from_seconds(1), &takes, whose).is_some()
    };
    assert!(known(&mut table, 0), "the oldest comes again");
    for number in 4..7 {
        table.put(Entry { grounds: grounds(&providers), ..entry(number, 10) });
    }
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 6].map(|number| known(&mut table, number)),
        [true, false, false, false, true, true, true]
    );
}

fn grounds(providers: &Providers) -> Grounds {
    let keys = providers.list[0].keys.as_ref().unwrap();
    let key = keys.choose(Some("ec"), Algorithm::ES256).unwrap();
    Grounds::new(Window { from: 0, until: u64::MAX }, keys, key, Some("ec"), Algorithm::ES256)
}

#[test]
fn all_bytes_are_compared() {
    for length in [0, 1, 7, 8, 9, 63, 64, 65, 850] {
        let bytes: Vec<u8> = (0..length).map(|n: usize| n.to_le_bytes()[0]).collect();
        assert!(same(&bytes, &bytes.clone()), "{length}");
        for at in 0..length {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                assert!(!same(&bytes, &other) && !same(&other, &bytes), "{length}: bit {bit} of {at}");
            }
        }
        assert!(!same(&bytes, &[&bytes[..], &[0]].concat()));
        // The same difference twice is two.
        for apart in [1, 2, 8, 16] {
            for at in 0..length.saturating_sub(apart) {
                let mut other = bytes.clone();
                other[at] ^= 0x10;
                other[at + apart] ^= 0x10;
                assert!(!same(&bytes, &other), "{length}: {at} and {apart} behind it");
            }
        }
    }
}

#[test]
fn no_token_is_printed() {
    let providers = providers();
    let verified = &providers.verified;
    let token = mint("a", r#","exp":2000,"name":"MARK""#);
    assert_eq!(plainly(&providers, &token, &BoringHost), None);
    let text = format!("{verified:?} {verified:#?}");
    assert!(text.contains("1 tokens") && !text.contains("MARK") && !text.contains("ada"), "{text}");
    assert!(!text.contains(&token[..20]));
    let _: &Verified = verified;
}

#[test]
fn a_token_weighs_what_it_says_too() {
    let providers = providers();
    let token = mint("a", &format!(r#","exp":2000,"note":"{}""#, "x".repeat(600)));
    assert_eq!(plainly(&providers, &token, &BoringHost), None);
    let bytes = providers.verified.held.borrow().bytes;
    assert!(bytes >= token.len() + limits::VERIFIED_OVERHEAD + 600, "{bytes} for {}", token.len());
}
