use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::der::Reader;
use super::x509::{Name, X509};
use super::{Accepted, Certificates, config};
use crate::decision::{Detail, Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::rules::Providers;
use crate::host::{Verdict, Verifier};
use crate::json::Json;
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::Timestamp;

/// A value of DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(short) => out.extend([0x81, short]),
        Err(_) => {
            out.extend([0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()]);
        }
    }
    [out, content].concat()
}

const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
const EC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// A certificate in the making.
#[derive(Clone)]
struct Draft {
    version: Vec<u8>,
    inner_algorithm: Vec<u8>,
    issuer: &'static str,
    subject: &'static str,
    not_before: Vec<u8>,
    not_after: Vec<u8>,
    key: &'static [u8],
    extensions: Vec<Vec<u8>>,
    signature: &'static [u8],
    behind: Vec<u8>,
}

fn name(text: &str) -> Vec<u8> {
    der(0x30, &[&der(0x31, &[&der(0x30, &[&[6, 3, 0x55, 4, 3], &der(0x0c, &[text.as_bytes()])])])])
}

fn extension(id: &[u8], value: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(6, &[id]), &der(4, &[value])])
}

fn sans(names: &[(u8, &[u8])]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names.iter().map(|(tag, text)| der(*tag, &[text])).collect();
    extension(&[0x55, 0x1d, 0x11], &der(0x30, &[&names.concat()]))
}

fn uses(ids: &[&[u8]]) -> Vec<u8> {
    let ids: Vec<Vec<u8>> = ids.iter().map(|id| der(6, &[id])).collect();
    extension(&[0x55, 0x1d, 0x25], &der(0x30, &[&ids.concat()]))
}

impl Draft {
    /// Of a service in the namespace `orders`, good for the year 2026.
    fn service() -> Self {
        Self {
            version: vec![0xa0, 3, 2, 1, 2],
            inner_algorithm: ECDSA_SHA256.to_vec(),
            issuer: "corp",
            subject: "",
            not_before: der(0x17, &[b"260101000000Z"]),
            not_after: der(0x17, &[b"270101000000Z"]),
            key: EC,
            extensions: vec![sans(&[(0x86, b"spiffe://corp.example/ns/orders/sa/api")])],
            signature: b"good",
            behind: Vec::new(),
        }
    }

    fn with(mut self, extension: Vec<u8>) -> Self {
        self.extensions.push(extension);
        self
    }

    fn named(names: &[(u8, &[u8])]) -> Self {
        Self { extensions: vec![sans(names)], ..Self::service() }
    }

    fn der(&self) -> Vec<u8> {
        let validity = der(0x30, &[&self.not_before, &self.not_after]);
        let key = der(0x30, &[&der(0x30, &[self.key]), &der(3, &[&[0, 4, 1, 2]])]);
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            der(0xa3, &[&der(0x30, &[&self.extensions.concat()])])
        };
        let (issuer, subject) = (name(self.issuer), name(self.subject));
        let tbs = der(
            0x30,
            &[
                &self.version,
                &[2, 1, 5],
                &self.inner_algorithm,
                &issuer,
                &validity,
                &subject,
                &key,
                &extensions,
            ],
        );
        let signature = der(3, &[&[0], self.signature]);
        [der(0x30, &[&tbs, ECDSA_SHA256, &signature]), self.behind.clone()].concat()
    }

    fn pem(&self) -> Vec<u8> {
        pem(&self.der())
    }
}

fn pem(der: &[u8]) -> Vec<u8> {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n")).into_bytes()
}

/// A host to which a signature is good that says so, by whomever.
#[derive(Default)]
struct Believing {
    asked: Cell<u32>,
    silent: bool,
}

impl Verifier for Believing {
    fn verify_signature(&self, hash: &'static str, _: &[u8], signature: &[u8], _: &[u8]) -> Verdict {
        self.asked.set(self.asked.get() + 1);
        match (self.silent, hash == "sha256" && signature == b"good") {
            (true, _) => Verdict::Unavailable,
            (false, true) => Verdict::Valid,
            (false, false) => Verdict::Invalid,
        }
    }
}

const NOW: &str = "2026-06-01T00:00:00Z";

fn policy(certificates: &str, mtls: &str) -> Result<(Providers, Accepted), Vec<String>> {
    let problems = Problems::new();
    let mut providers = Providers::default();
    let json: Json = serde_json::from_str(certificates).unwrap();
    config::read(&Field::at("clientCertificates", &json, &problems), &mut providers);
    let json: Json = serde_json::from_str(mtls).unwrap();
    let accepted = config::read_route(&Field::at("mtls", &json, &problems), &providers);
    match accepted {
        Some(accepted) if !problems.is_fatal() => Ok((providers, accepted)),
        _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
    }
}

const BY_PROXY: &str = r#"{"validatedByProxy": {"because": "the listener has a validation context"}}"#;
const ORDERS: &str = r#"{"spiffe": ["spiffe://corp.example/ns/orders/*"], "sans": ["api.partner.example", "*.shop.example", "urn://x/y"]}"#;

fn ask(
    certificates: &Certificates,
    accepted: &Accepted,
    presented: &[u8],
    at: &str,
) -> Result<Option<Rc<str>>, Refusal> {
    let now = Timestamp::parse(at).unwrap();
    let presented = || Ok((!presented.is_empty()).then(|| presented.to_vec()));
    let found = certificates.identify(accepted, &presented, now, &Believing::default())?;
    Ok(found.map(|certificate| Rc::clone(certificate.name())))
}

fn outcome(presented: &[u8], at: &str) -> Result<Option<Rc<str>>, (Reason, Detail)> {
    let (providers, accepted) = policy(BY_PROXY, ORDERS).unwrap();
    ask(providers.certificates.as_ref().unwrap(), &accepted, presented, at)
        .map_err(|refusal| (refusal.reason, refusal.detail))
}

#[test]
fn whose_certificate_it_is() {
    const URI: u8 = 0x86;
    const DNS: u8 = 0x82;
    let none = Err((Reason::CertificateUnaccepted, Detail::Fact("none of its names is the route's")));
    let many = Err((Reason::CertificateUnaccepted, Detail::Fact("more than one URI")));
    for (names, expected) in [
        (vec![(URI, "spiffe://corp.example/ns/orders/sa/api")], Ok("spiffe://corp.example/ns/orders/sa/api")),
        (vec![(URI, "spiffe://corp.example/ns/orders")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders/")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders-evil/sa/api")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders/../admin")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders/%2e%2e/admin")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders//api")], none.clone()),
        (vec![(URI, "spiffe://corp.example.evil/ns/orders/api")], none.clone()),
        (vec![(URI, "SPIFFE://corp.example/ns/orders/api")], none.clone()),
        (vec![(URI, "spiffe://corp.example/ns/orders/a"), (URI, "spiffe://corp.example/ns/orders/b")], many),
        (vec![(URI, "urn://x/y")], Ok("urn://x/y")),
        (vec![(DNS, "API.partner.example")], Ok("api.partner.example")),
        (vec![(DNS, "other.partner.example"), (DNS, "eu.shop.example")], Ok("eu.shop.example")),
        (vec![(DNS, "a.eu.shop.example")], none.clone()),
        (vec![(DNS, "*.shop.example")], none.clone()),
        (vec![(DNS, "shop.example")], none.clone()),
        // What is a URI in one place is no DNS name in another.
        (vec![(DNS, "spiffe://corp.example/ns/orders/sa/api")], none.clone()),
        (vec![(URI, "api.partner.example")], none.clone()),
        // An e-mail address and an IP address are no names here.
        (vec![(0x81, "api.partner.example"), (0x87, "abcd")], none.clone()),
        (vec![], none),
    ] {
        let bytes: Vec<(u8, &[u8])> = names.iter().map(|(tag, text)| (*tag, text.as_bytes())).collect();
        let expected = expected.map(|name: &str| Some(Rc::from(name)));
        assert_eq!(outcome(&Draft::named(&bytes).pem(), NOW), expected, "{names:?}");
    }
    let nameless = Draft { extensions: Vec::new(), ..Draft::service() };
    assert!(outcome(&nameless.pem(), NOW).is_err());
    assert_eq!(outcome(b"", NOW), Ok(None));
}

#[test]
fn when_it_holds_and_for_whom() {
    let service = Draft::service();
    for (draft, at, fact) in [
        (service.clone(), "2025-12-31T23:59:59Z", Some("not valid at this time")),
        (service.clone(), "2026-01-01T00:00:00Z", None),
        (service.clone(), "2026-12-31T23:59:59Z", None),
        (service.clone(), "2027-01-01T00:00:00Z", Some("not valid at this time")),
        (
            Draft { not_after: der(0x18, &[b"99991231235959Z"]), ..service.clone() },
            "2100-01-01T00:00:00Z",
            None,
        ),
        (Draft { not_before: der(0x17, &[b"500101000000Z"]), ..service.clone() }, NOW, None),
        (service.clone().with(uses(&[&[0x2b, 6, 1, 5, 5, 7, 3, 2]])), NOW, None),
        (service.clone().with(uses(&[&[0x2b, 6, 1, 5, 5, 7, 3, 1]])), NOW, Some("not made for clients")),
        (service.clone().with(uses(&[&[0x55, 0x1d, 0x25, 0]])), NOW, None),
    ] {
        let expected = fact.map(|fact| (Reason::CertificateInvalid, Detail::Fact(fact)));
        assert_eq!(outcome(&draft.pem(), at).err(), expected, "{at}");
    }
}

#[test]
fn what_is_no_certificate() {
    let good = Draft::service();
    let (text, bytes) = (good.pem(), good.der());
    let twice = sans(&[(0x86, b"spiffe://corp.example/ns/orders/x")]);
    let many: Vec<(u8, &[u8])> = (0..200).map(|_| (0x82, &b"a.example"[..])).collect();
    let long = "a".repeat(1025);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("no PEM", bytes.clone()),
        ("without an end", text.get(..text.len() - 30).unwrap().to_vec()),
        ("with blanks in front", [b" ", &text[..]].concat()),
        (
            "of another kind",
            String::from_utf8(text.clone()).unwrap().replace("CERTIFICATE", "PRIVATE KEY").into_bytes(),
        ),
        ("not base64", String::from_utf8(text).unwrap().replace('M', "!").into_bytes()),
        ("too long", pem(&vec![0; 20_000])),
        ("something behind it", Draft { behind: vec![0], ..good.clone() }.pem()),
        ("version 1", Draft { version: Vec::new(), ..good.clone() }.pem()),
        ("version 2", Draft { version: vec![0xa0, 3, 2, 1, 1], ..good.clone() }.pem()),
        ("two algorithms", Draft { inner_algorithm: der(0x30, &[&[6, 1, 1]]), ..good.clone() }.pem()),
        ("no date", Draft { not_after: der(0x17, &[b"270230000000Z"]), ..good.clone() }.pem()),
        (
            "no such date in a year that the clock has not",
            Draft { not_after: der(0x18, &[b"99991332000000Z"]), ..good.clone() }.pem(),
        ),
        ("a date with a sign", Draft { not_before: der(0x18, &[b"+0260101000000Z"]), ..good.clone() }.pem()),
        ("a date without zone", Draft { not_after: der(0x17, &[b"270101000000"]), ..good.clone() }.pem()),
        ("a date in no form", Draft { not_after: der(0x13, &[b"270101000000Z"]), ..good.clone() }.pem()),
        ("an extension twice", good.clone().with(twice).pem()),
        ("a name with a NUL", Draft::named(&[(0x82, b"api.partner.example\0.evil.example")]).pem()),
        ("a name with a comma", Draft::named(&[(0x86, b"urn://x/y,z")]).pem()),
        ("a name that is no text", Draft::named(&[(0x82, b"\xff")]).pem()),
        ("an empty name", Draft::named(&[(0x82, b"")]).pem()),
        ("too many names", Draft::named(&many).pem()),
        ("too long a name", Draft::named(&[(0x82, long.as_bytes())]).pem()),
    ];
    for (what, presented) in cases {
        assert!(
            matches!(outcome(&presented, NOW), Err((Reason::CertificateInvalid, _))),
            "{what}: {:?}",
            outcome(&presented, NOW)
        );
    }
    // DER has one form for one value.
    for (what, bytes) in [
        ("an indefinite length", vec![0x30, 0x80, 0, 0]),
        ("a length longer than it must be", vec![0x30, 0x81, 2, 5, 0]),
        ("a length with a zero in front", [vec![0x30, 0x82, 0, 0x80], vec![0; 128]].concat()),
        ("a length beyond the end", vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("a tag of several bytes", vec![0x1f, 0x81, 1, 0]),
        ("nothing", Vec::new()),
    ] {
        assert!(X509::parse(&bytes).is_none(), "{what}");
    }
}

/// Any byte of a good certificate turned into any other: it is read or it is not, and what is read is within it.
#[test]
fn a_certificate_with_any_byte_changed_or_cut_off() {
    let good = Draft::service().with(uses(&[&[0x2b, 6, 1, 5, 5, 7, 3, 2]])).der();
    let mut read = 0_u32;
    for at in 0..good.len() {
        assert!(X509::parse(good.get(..at).unwrap()).is_none(), "{at}");
        for flip in 1..=255_u8 {
            let mut bad = good.clone();
            *bad.get_mut(at).unwrap() ^= flip;
            if let Some(certificate) = X509::parse(&bad) {
                read += 1;
                for name in certificate.names {
                    let (Name::Dns(text) | Name::Uri(text)) = name;
                    assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{at} {flip}");
                }
            }
        }
    }
    assert!(read > 0);
}

#[test]
fn extensions_that_are_read_and_that_are_not() {
    const UNKNOWN: &[u8] = &[0x2b, 6, 1, 9];
    const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
    const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x1e];
    let flagged = |id: &[u8], critical: &[u8]| der(0x30, &[&der(6, &[id]), critical, &der(4, &[&[5, 0]])]);
    let (yes, no): (&[u8], &[u8]) = (&[1, 1, 0xff], &[1, 1, 0]);
    for (id, critical, good) in [
        (UNKNOWN, &[][..], true),
        (UNKNOWN, no, true),
        (UNKNOWN, yes, false),
        (KEY_USAGE, yes, true),
        // It confines names, and nobody here looks at them.
        (NAME_CONSTRAINTS, &[], false),
        (NAME_CONSTRAINTS, yes, false),
    ] {
        let certificate = Draft::service().with(flagged(id, critical)).der();
        assert_eq!(X509::parse(&certificate).is_some(), good, "{id:?} {critical:?}");
    }
    let names = |count: usize| Draft::named(&vec![(0x82, &b"a.example"[..]); count]).der();
    assert!(X509::parse(&names(limits::CERTIFICATE_NAMES)).is_some());
    assert!(X509::parse(&names(limits::CERTIFICATE_NAMES + 1)).is_none());
}

/// X.690 §8.1: one form for one value.
#[test]
fn values_of_der() {
    let long = |head: &[u8], length: usize| [head, &vec![7; length]].concat();
    for (bytes, length) in [
        (vec![4, 0], Some(0)),
        (vec![4, 1, 7], Some(1)),
        (long(&[4, 0x7f], 127), Some(127)),
        (long(&[4, 0x81, 0x80], 128), Some(128)),
        (long(&[4, 0x82, 1, 2], 258), Some(258)),
        (long(&[4, 0x83, 1, 0, 2], 65_538), Some(65_538)),
        // Longer than it must be, without a length, of four bytes, of more than there is, of a tag of several bytes.
        (long(&[4, 0x81, 0x7f], 127), None),
        (long(&[4, 0x82, 0, 0x80], 128), None),
        (long(&[4, 0x80], 128), None),
        (long(&[4, 0x84, 0, 0, 0, 1], 1), None),
        (long(&[4, 0x82, 1, 2], 257), None),
        (vec![0x1f, 1, 7], None),
        (vec![0xbf, 1, 7], None),
        (vec![], None),
    ] {
        let value = Reader::new(&bytes).next().map(|element| element.content.len());
        assert_eq!(value, length, "{:?}", bytes.get(..8.min(bytes.len())));
    }
}

#[test]
fn a_route_with_two_ways_takes_what_either_takes() {
    let of = |mtls| policy(BY_PROXY, mtls).unwrap();
    let (providers, mut accepted) = of(r#"{"spiffe": ["spiffe://corp.example/ns/billing/*"]}"#);
    let certificates = providers.certificates.as_ref().unwrap();
    assert!(ask(certificates, &accepted, &Draft::service().pem(), NOW).is_err());
    for (more, names) in [
        (
            r#"{"spiffe": ["spiffe://corp.example/ns/orders/*"]}"#,
            (0x86, &b"spiffe://corp.example/ns/orders/a"[..]),
        ),
        (r#"{"spiffe": ["spiffe://corp.example/x"]}"#, (0x86, b"spiffe://corp.example/x")),
        (r#"{"sans": ["a.example"]}"#, (0x82, b"a.example")),
        (r#"{"sans": ["*.b.example"]}"#, (0x82, b"x.b.example")),
    ] {
        let pem = Draft::named(&[names]).pem();
        assert!(ask(certificates, &accepted, &pem, NOW).is_err(), "{more}");
        accepted.extend(of(more).1);
        assert!(ask(certificates, &accepted, &pem, NOW).is_ok(), "{more}");
    }
}

fn authority() -> Draft {
    let constraints = extension(&[0x55, 0x1d, 0x13], &der(0x30, &[&[1, 1, 0xff]]));
    Draft { subject: "corp", extensions: vec![constraints], ..Draft::service() }
}

fn by_authority(pem: &[u8]) -> String {
    serde_json::json!({"authorities": String::from_utf8(pem.to_vec()).unwrap()}).to_string()
}

#[test]
fn the_gateway_itself_asks_who_issued_it() {
    let (providers, accepted) = policy(&by_authority(&authority().pem()), ORDERS).unwrap();
    let certificates = providers.certificates.as_ref().unwrap();
    let good = Draft::service();
    let refused = |draft: &Draft, at| {
        ask(certificates, &accepted, &draft.pem(), at).err().map(|refusal| refusal.detail)
    };
    let none = Some(Detail::Fact("its issuer is none of the policy's `authorities`"));
    assert_eq!(refused(&good, NOW), None);
    assert_eq!(refused(&Draft { signature: b"bad", ..good.clone() }, NOW), none);
    assert_eq!(refused(&Draft { issuer: "evil", ..good.clone() }, NOW), none);
    // It issued itself, and says what an authority says.
    assert_eq!(refused(&Draft { issuer: "", ..good.clone() }, NOW), none);
    let late = Draft { not_after: der(0x17, &[b"290101000000Z"]), ..good.clone() };
    assert_eq!(refused(&late, NOW), None);
    assert_eq!(refused(&late, "2027-06-01T00:00:00Z"), none, "the authority has expired");
    // At that very second too, whether it is known or not.
    let end = "2027-01-01T00:00:00Z";
    assert_eq!(refused(&late, end), none);
    let long = Draft { not_after: der(0x17, &[b"280101000000Z"]), ..good.clone() };
    assert_eq!(refused(&long, end), none);
    let asked = Believing::default();
    let presented = || Ok(Some(good.pem()));
    let now = Timestamp::parse(NOW).unwrap();
    assert!(certificates.identify(&accepted, &presented, now, &asked).is_ok());
    assert_eq!(asked.asked.get(), 0, "what held is known again");
    let (providers, accepted) = policy(&by_authority(&authority().pem()), ORDERS).unwrap();
    let silent = Believing { silent: true, ..Believing::default() };
    let refusal =
        providers.certificates.as_ref().unwrap().identify(&accepted, &presented, now, &silent).unwrap_err();
    assert_eq!(refusal.reason, Reason::HostFailed);
}

#[test]
fn a_signature_is_checked_with_keys_of_its_kind_alone() {
    // The host would take what the key says; these certificates are signed by ECDSA.
    let rsa = Draft { key: RSA, ..authority() };
    let (providers, accepted) = policy(&by_authority(&rsa.pem()), ORDERS).unwrap();
    let asked = Believing::default();
    let presented = || Ok(Some(Draft::service().pem()));
    let now = Timestamp::parse(NOW).unwrap();
    let certificates = providers.certificates.as_ref().unwrap();
    let refusal = certificates.identify(&accepted, &presented, now, &asked).unwrap_err();
    assert_eq!((refusal.reason, asked.asked.get()), (Reason::CertificateInvalid, 0));
}

#[test]
fn as_long_as_may_be_and_a_byte_more() {
    let padded = |length: usize| {
        let mut pem = Draft::service().pem();
        pem.resize(length, b'\n');
        outcome(&pem, NOW)
    };
    let long = Err((Reason::CertificateInvalid, Detail::Fact("longer than is read")));
    assert!(padded(limits::CERTIFICATE_BYTES).is_ok());
    assert_eq!(padded(limits::CERTIFICATE_BYTES + 1), long);
    assert_eq!(padded(limits::CERTIFICATE_BYTES + 2), long);
}

#[test]
fn what_no_policy_may_say() {
    let confined = extension(&[0x55, 0x1d, 0x13], &der(0x30, &[]));
    let end_entity = by_authority(&Draft { extensions: vec![confined], ..authority() }.pem());
    let authorities = |count: usize| by_authority(&authority().pem().repeat(count));
    assert!(policy(&authorities(limits::CERTIFICATE_AUTHORITIES), ORDERS).is_ok());
    let many = authorities(limits::CERTIFICATE_AUTHORITIES + 1);
    let id = |length: usize| {
        let front = "spiffe://a/";
        format!(r#"{{"spiffe": ["{front}{}"]}}"#, "b".repeat(length - front.len()))
    };
    assert!(policy(BY_PROXY, &id(limits::CERTIFICATE_NAME_BYTES)).is_ok());
    let (long, longer) = (id(limits::CERTIFICATE_NAME_BYTES + 1), id(limits::CERTIFICATE_NAME_BYTES + 2));
    let curve = by_authority(&Draft { key: &[6, 3, 0x2b, 0x65, 0x70], ..authority() }.pem());
    let no_authority = by_authority(&Draft::service().pem());
    for (certificates, mtls, problem) in [
        ("{}", ORDERS, "nobody vouches for certificates"),
        (r#"{"validatedByProxy": {}}"#, ORDERS, "`because` is missing"),
        (r#"{"authorities": "x"}"#, ORDERS, "not certificates as PEM"),
        (&no_authority, ORDERS, "is no authority's"),
        (&curve, ORDERS, "a key of a kind that is not taken"),
        (&end_entity, ORDERS, "is no authority's"),
        (&many, ORDERS, "more than 16 certificates"),
        (BY_PROXY, &long, "is not a SPIFFE id"),
        (BY_PROXY, &longer, "is not a SPIFFE id"),
        (
            r#"{"validatedByProxy": {"because": "x"}, "forwardIdentityHeader": "x-forwarded-user"}"#,
            ORDERS,
            "the proxy's or the protocol's own",
        ),
        (BY_PROXY, "{}", "nobody's certificate"),
        (BY_PROXY, r#"{"spiffe": []}"#, "an empty list"),
        (BY_PROXY, r#"{"spiffe": ["https://a/b"]}"#, "is not a SPIFFE id"),
        (BY_PROXY, r#"{"spiffe": ["spiffe://a/b/../c"]}"#, "is not a SPIFFE id"),
        (BY_PROXY, r#"{"spiffe": ["spiffe://a/*/c"]}"#, "is not a SPIFFE id"),
        (BY_PROXY, r#"{"spiffe": ["spiffe:///b"]}"#, "is not a SPIFFE id"),
        (BY_PROXY, r#"{"sans": ["spiffe://a/b"]}"#, "it belongs under `spiffe`"),
        (BY_PROXY, r#"{"sans": ["a b"]}"#, "is not a DNS name"),
        (BY_PROXY, r#"{"sans": ["*.*.example"]}"#, "is not a DNS name"),
        (BY_PROXY, r#"{"sans": ["a.example:443"]}"#, "is not a DNS name"),
        (BY_PROXY, r#"{"sans": ["https://a/*"]}"#, "is not a URI"),
        (BY_PROXY, r#"{"san": ["a.example"]}"#, "did you mean `sans`?"),
    ] {
        let problems = policy(certificates, mtls).map(|_| ()).unwrap_err();
        assert!(problems.iter().any(|told| told.contains(problem)), "{certificates} {mtls}: {problems:?}");
    }
}

/// RFC 4055 §5 and RFC 5758 §3.2; identifiers by `openssl asn1parse`.
#[test]
fn signature_algorithms_in_rows() {
    let rsa =
        |last: u8, rest: &[u8]| [&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, last][..], rest].concat();
    let ecdsa = |last: u8| [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last].to_vec();
    for (identifier, hash) in [
        (rsa(11, &[5, 0]), Some("sha256")),
        (rsa(12, &[5, 0]), Some("sha384")),
        (rsa(13, &[5, 0]), Some("sha512")),
        (ecdsa(2), Some("sha256")),
        (ecdsa(3), Some("sha384")),
        // SHA-1, PSS, parameters that are missing, SHA-224 and SHA-512 by ECDSA, and nothing.
        (rsa(5, &[5, 0]), None),
        (rsa(10, &[5, 0]), None),
        (rsa(11, &[]), None),
        (ecdsa(1), None),
        (ecdsa(4), None),
        (vec![], None),
    ] {
        assert_eq!(super::algorithm(&identifier).map(|(hash, _)| hash), hash, "{identifier:?}");
    }
}
