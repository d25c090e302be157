//! How does the service know whose limit it is? A rule's `by`, written as the entries of a descriptor.
//!
//! The service sees a text for each part. Two requests that differ in a part have different texts, so nobody can get into another's
//! limit by a text of his own choice: see [`plain`].

use core::fmt::Write as _;
use core::net::IpAddr;
use std::borrow::Cow;

use super::super::key::network;
use super::super::{Facts, Part};
use super::message::Descriptor;
use crate::guards::identity::Caller;
use crate::json::Json;
use crate::limits;
use crate::redaction::CREDENTIAL_HEADERS;

/// One rule: what the service is asked about at once.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// For the client's headers and the audit event.
    pub name: std::rc::Rc<str>,
    /// The entries, in order.
    pub by: Vec<Entry>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// By which the service's own configuration names it.
    pub key: Box<str>,
    /// Where its value comes from.
    pub source: Source,
}

/// Where the value of an entry comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A part of the request.
    Part(Part),
    /// The policy.
    Constant(Box<str>),
}

/// What a request has that lacks a part. No part of a request is written so.
const MISSING: &str = "-";
/// What stands before a hash.
const HASHED: &str = "sha256:";

impl Rule {
    /// The descriptor for one request.
    pub(super) fn descriptor(&self, facts: &Facts<'_>) -> Descriptor<'_> {
        self.by.iter().map(|entry| (&*entry.key, entry.source.value(facts))).collect()
    }
}

impl Source {
    fn value(&self, facts: &Facts<'_>) -> String {
        match self {
            Self::Constant(text) => text.to_string(),
            Self::Part(part) => value(part, facts).unwrap_or_else(|| MISSING.to_owned()),
        }
    }
}

/// By what name the service knows a part, unless the policy says otherwise. `remote_address` is Envoy's own word.
pub(super) fn key(part: &Part) -> &str {
    match part {
        Part::ClientIp { .. } => "remote_address",
        Part::Subject | Part::ClaimedSubject => "subject",
        Part::Token => "token",
        Part::Client => "client",
        Part::ApiKeyPrefix => "api_key_prefix",
        Part::Route => "route",
        Part::Method => "method",
        Part::Header(name) => name,
        Part::Claim(name) => name,
    }
}

fn value(part: &Part, facts: &Facts<'_>) -> Option<String> {
    let caller = facts.caller;
    match part {
        Part::ClientIp { v4, v6 } => facts.client_address.map(|client| address(client, *v4, *v6)),
        Part::Subject => caller.subject().map(|subject| scoped(caller.issuer(), subject)),
        Part::Token => token(caller),
        // Nobody who is asked about has only claimed to be somebody.
        Part::ClaimedSubject | Part::ApiKeyPrefix => None,
        Part::Client => caller.client().map(|client| scoped(caller.issuer(), client)),
        Part::Route => Some(facts.route.to_owned()),
        Part::Method => Some(plain(facts.head.method())),
        Part::Header(name) => header(name, facts),
        Part::Claim(name) => match caller.token()?.claim(name)? {
            Json::Null => None,
            Json::Text(text) => Some(scoped(caller.issuer(), text)),
            other => Some(scoped(caller.issuer(), &other.to_string())),
        },
    }
}

/// As for a local limit: an address whole as it is, a network with its length.
fn address(address: IpAddr, v4: u8, v6: u8) -> String {
    let (length, whole) = if address.to_canonical().is_ipv4() { (v4, 32) } else { (v6, 128) };
    let network = network(address, v4, v6);
    if length >= whole { network.to_string() } else { format!("{network}/{length}") }
}

/// A token by its `jti`, else by the hash of all its claims; an API key by its fingerprint.
fn token(caller: &Caller) -> Option<String> {
    match caller {
        Caller::Anonymous => None,
        Caller::Certificate(certificate) => Some(plain(certificate.name().as_bytes())),
        Caller::ApiKey(key) => Some(plain(format!("{}|{}", key.client(), key.fingerprint()).as_bytes())),
        Caller::Token(token) => {
            let jti = token.claim("jti").and_then(Json::as_text);
            let name = jti.map_or_else(|| hashed(token.claims().to_string().as_bytes()), str::to_owned);
            Some(scoped(caller.issuer(), &name))
        }
    }
}

/// A name counts within its issuer: `https://id.example.com|ada`. An issuer's own `|` is written otherwise, so the first one is ours.
fn scoped(issuer: Option<&str>, name: &str) -> String {
    let issuer = issuer.unwrap_or_default().replace('%', "%25").replace('|', "%7C");
    plain(format!("{issuer}|{name}").as_bytes())
}

/// All values of a header, joined as RFC 9110 §5.3 joins them. Of a credential the service sees a hash.
fn header(name: &str, facts: &Facts<'_>) -> Option<String> {
    let mut values = facts.head.all(name);
    let mut whole = Cow::Borrowed(values.next()?);
    for value in values {
        let joined = whole.to_mut();
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value);
    }
    Some(if CREDENTIAL_HEADERS.contains(&name) { hashed(&whole) } else { plain(&whole) })
}

/// A text as it is, if it is short and printable; else its hash. So it fits into a field of Protocol Buffers, which must be UTF-8, and into a
/// key of Redis. What looks like one of our own words is hashed too, so that nobody can say it.
fn plain(bytes: &[u8]) -> String {
    let printable = |b: &u8| matches!(b, b' '..=b'~');
    let fits = !bytes.is_empty() && bytes.len() <= limits::LIMITER_VALUE_BYTES && bytes.iter().all(printable);
    let text =
        core::str::from_utf8(bytes).ok().filter(|text| fits && *text != MISSING && !text.starts_with(HASHED));
    text.map_or_else(|| hashed(bytes), str::to_owned)
}

fn hashed(bytes: &[u8]) -> String {
    let mut text = HASHED.to_owned();
    for byte in hmac_sha256::Hash::hash(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use std::rc::Rc;

    use super::super::super::{Facts, Part};
    use super::{Entry, Rule, Source, address, plain, scoped, value};
    use crate::guards::identity::attempt::Attempt;
    use crate::guards::identity::caller::{ApiKey, Certificate};
    use crate::guards::identity::{Caller, Token};
    use crate::http::Head;
    use crate::http::head::serialize;
    use crate::json::{Bounds, Duplicates, Json};
    use crate::testing::test;

    fn head(fields: &[(&str, &[u8])]) -> Head {
        let pseudo: [(&str, &[u8]); 3] = [(":method", b"GET"), (":authority", b"h"), (":path", b"/")];
        let all: Vec<_> = pseudo.iter().chain(fields).map(|(n, v)| (n.as_bytes(), *v)).collect();
        Head::parse(serialize(all.into_iter())).unwrap()
    }

    fn caller(claims: &str) -> Caller {
        let bounds = Bounds { depth: 8, values: 64, duplicates: Duplicates::Refuse };
        Caller::Token(Rc::new(Token::new("p".into(), None, Json::parse(claims.as_bytes(), bounds).unwrap())))
    }

    #[test]
    fn parts_in_rows() {
        let head = head(&[
            ("x-tenant", b"acme"),
            ("x-two", b"a"),
            ("x-two", b"b"),
            ("x-odd", b"\xff"),
            ("cookie", b"s=1"),
        ]);
        let caller = caller(
            r#"{"iss":"https://id|%","sub":"ada","azp":"web","plan":{"tier":3},"none":null,"list":["a"]}"#,
        );
        let facts = Facts {
            client_address: Some("::ffff:10.0.0.1".parse().unwrap()),
            route: "orders",
            head: &head,
            caller: &caller,
            attempt: Attempt::default(),
        };
        let of = |part: Part| value(&part, &facts);
        let header = |name: &str| of(Part::Header(name.into()));
        let claim = |name: &str| of(Part::Claim(name.into()));
        let rows = [
            (of(Part::CLIENT_IP), Some("10.0.0.1")),
            (of(Part::Subject), Some("https://id%7C%25|ada")),
            (of(Part::Client), Some("https://id%7C%25|web")),
            (of(Part::Route), Some("orders")),
            (of(Part::Method), Some("GET")),
            (header("x-tenant"), Some("acme")),
            (header("x-two"), Some("a, b")),
            (
                header("x-odd"),
                Some("sha256:a8100ae6aa1940d0b663bb31cd466142ebbdbd5187131b92d93818987832eb89"),
            ),
            (header("x-none"), None),
            (claim("plan.tier"), Some("https://id%7C%25|3")),
            (claim("list"), Some(r#"https://id%7C%25|["a"]"#)),
            (claim("none"), None),
            (claim("absent"), None),
        ];
        for (number, (found, expected)) in rows.into_iter().enumerate() {
            assert_eq!(found.as_deref(), expected, "row {number}");
        }
        let cookie = header("cookie").unwrap();
        assert!(
            cookie.starts_with("sha256:") && cookie.len() == 71,
            "a credential is not handed on: {cookie}"
        );
        let anonymous = Facts { caller: &Caller::Anonymous, client_address: None, ..facts };
        for part in [Part::CLIENT_IP, Part::Token, Part::Subject, Part::Client, Part::Claim("sub".into())] {
            assert_eq!(value(&part, &anonymous), None, "{part:?}");
        }
    }

    #[test]
    fn a_descriptor_has_an_entry_for_each_part() {
        let entry = |key: &str, source| Entry { key: key.into(), source };
        let by = vec![
            entry("rule", Source::Constant("per-tenant".into())),
            entry("tenant", Source::Part(Part::Header("x-tenant".into()))),
        ];
        let rule = Rule { name: "r".into(), by };
        let empty = head(&[]);
        let facts = Facts {
            client_address: None,
            route: "r",
            head: &empty,
            caller: &Caller::Anonymous,
            attempt: Attempt::default(),
        };
        assert_eq!(rule.descriptor(&facts), [("rule", "per-tenant".to_owned()), ("tenant", "-".to_owned())]);
    }

    /// A client that writes what stands for nothing, or for a hash, gets a key of its own.
    #[test]
    fn nobody_can_write_our_words() {
        for own in ["-", "sha256:", "sha256:ab", "", "\u{e4}", "a\tb", &"x".repeat(300)] {
            assert!(plain(own.as_bytes()).starts_with("sha256:") && plain(own.as_bytes()) != own, "{own}");
        }
        assert_eq!((plain(b"a b").as_str(), plain(b"--").as_str()), ("a b", "--"));
        assert_ne!(scoped(Some("a|b"), "c"), scoped(Some("a"), "b|c"));
        assert_ne!(scoped(None, "c"), scoped(Some(""), "|c"));
    }

    #[test]
    fn neighbours_of_ipv6_are_one_client() {
        let of = |text: &str| address(text.parse::<IpAddr>().unwrap(), 32, 64);
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(of("2001:db8:1:2::9"), of("2001:db8:1:2:ffff::"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
    }

    /// One credential among those of a client.
    #[test]
    fn tokens_in_rows() {
        let head = head(&[]);
        let of = |caller: &Caller| {
            let attempt = Attempt::default();
            value(&Part::Token, &Facts { client_address: None, route: "r", head: &head, caller, attempt })
        };
        assert_eq!(of(&caller(r#"{"iss":"i","jti":"7","sub":"ada"}"#)).as_deref(), Some("i|7"));
        // Without a `jti` that is text, it is told by the hash of all that it claims.
        let [one, two, same] = [
            r#"{"iss":"i","jti":7,"exp":1}"#,
            r#"{"iss":"i","jti":7,"exp":2}"#,
            r#"{"iss":"i","jti":7,"exp":1}"#,
        ]
        .map(|claims| of(&caller(claims)).unwrap());
        assert!(one.starts_with("i|sha256:") && one != two && one == same, "{one} {two}");
        let key = |client| of(&Caller::ApiKey(ApiKey::of(client, &[]))).unwrap();
        assert!(key("partner").starts_with("partner|") && key("partner") != key("other"));
        assert_eq!(
            of(&Caller::Certificate(Certificate::new("web.example".into()))).as_deref(),
            Some("web.example")
        );
    }
}
