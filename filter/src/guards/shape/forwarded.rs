//! Which words of a proxy may a client say? None, unless the policy knows of a proxy before this one.
//!
//! Servers and frameworks believe headers by which proxies tell them who a client is, which path it asked for or what its certificate said. A proxy that
//! does not set one of them passes on the client's own.
//!
//! What it does *not* protect against: headers by which a service of one's own believes something else; `stripHeaders` takes those. And not
//! `x-forwarded-for`, `x-forwarded-proto`, `x-forwarded-client-cert` and `x-request-id`, which Envoy itself sets, adds to or takes off by its own
//! configuration before we see them.

use std::rc::Rc;

use crate::document::{Default, Field, Key, Shape, quoted};
use crate::http::passes_for;

/// `forwardedHeaders`
pub static FORWARDED: Shape = Shape::new(
    "forwardedHeaders",
    "Headers by which proxies tell upstreams of a client. What a client says under these names is taken off on every route, in every spelling: `forwarded`, all `x-forwarded-*` \
            (but `for`, `proto` and `client-cert`, which Envoy sets or takes off itself), `x-real-ip`, `x-client-ip`, `true-client-ip`, `cf-connecting-ip`, `fastly-client-ip`, `x-cluster-client-ip`, \
            `x-originating-ip`, `x-remote-ip`, `x-remote-addr`, `x-remote-user`, `remote-user`, `x-client-cert`, `x-client-verify`, `x-client-dn`, all `x-ssl-client-*`, `client-cert`, `client-cert-chain`, `x-arr-clientcert`, \
            `proxy-client-ip`, all `wl-proxy-*` (WebLogic), all `ssl-client-*` (ingress-nginx), \
            `x-original-url`, `x-original-uri`, `x-original-host`, `x-original-method`, `x-original-forwarded-for`, `x-rewrite-url`, `x-http-method`, `x-http-method-override`, `x-method-override`, `x-host`, `proxy`, and all `x-envoy-*` but those that \
            Envoy sets before the plugin.",
    &[
        Key::new(
            "trust",
            "list of header names",
            Default::Required,
            "Those of them that a proxy before this one sets, or takes off if a client sends them. They reach upstreams as they come.",
        ),
        Key::new("because", "string", Default::Required, "Which proxy, for whoever reviews the policy."),
    ],
);

/// Those of one length, since every header of every request is looked for among them.
const fn names(length: usize) -> &'static [&'static str] {
    match length {
        5 => &["proxy"],
        6 => &["x-host"],
        9 => &["forwarded", "x-real-ip"],
        11 => &["client-cert", "remote-user", "x-client-dn", "x-client-ip", "x-remote-ip"],
        13 => &["x-client-cert", "x-http-method", "x-remote-addr", "x-remote-user", "x-rewrite-url"],
        14 => &["true-client-ip", "x-original-uri", "x-original-url"],
        15 => &["proxy-client-ip", "x-client-verify", "x-original-host"],
        16 => &["cf-connecting-ip", "fastly-client-ip", "x-arr-clientcert", "x-originating-ip"],
        17 => &["client-cert-chain", "x-method-override", "x-original-method"],
        19 => &["x-cluster-client-ip"],
        22 => &["x-http-method-override"],
        24 => &["x-original-forwarded-for"],
        _ => &[],
    }
}

const FAMILIES: [&str; 5] = ["x-envoy-", "x-forwarded-", "x-ssl-client-", "ssl-client-", "wl-proxy-"];

/// The third letter of a family, in either case, or what stands for a dash there: it tells most headers from them by one look.
static THIRD: [bool; 256] = {
    let mut third = [false; 256];
    let mut rest: &mut [bool] = &mut third;
    let mut byte = 0_u8;
    while let Some((first, behind)) = rest.split_first_mut() {
        *first = matches!(byte | 0x20, b'e' | b'f' | b's' | b'l') || !byte.is_ascii_alphanumeric();
        byte = byte.wrapping_add(1);
        rest = behind;
    }
    third
};

/// What Envoy sets, or takes off, before a filter sees the request; byte for byte, since it knows no other spelling.
const OF_THE_PROXY: [&str; 7] = [
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
];

/// The compiled `forwardedHeaders`.
#[derive(Clone, Debug, Default)]
pub struct Forwarded {
    trusted: Vec<Rc<str>>,
}

impl Forwarded {
    /// Reads the section.
    pub fn read(field: &Field<'_>) -> Option<Self> {
        let section = field.section(&FORWARDED)?;
        section.get("because")?.text()?;
        let list = section.get("trust")?;
        let trusted = list.header_names()?;
        let strange = trusted.iter().find(|name| !is_claim(name.as_bytes()));
        if let Some(name) = strange {
            list.error(format!("{} is not taken off anyway", quoted(name)), "leave it out");
            return None;
        }
        Some(Self { trusted })
    }

    /// Whether a header that came under this name goes no further.
    pub fn strips(&self, sent: &[u8]) -> bool {
        is_claim(sent) && !self.trusted.iter().any(|name| name.as_bytes() == sent)
    }
}

/// Whether somebody could take this header for a proxy's word.
fn is_claim(sent: &[u8]) -> bool {
    let of_family = sent.get(2).is_some_and(|b| THIRD.get(usize::from(*b)) == Some(&true))
        && FAMILIES
            .iter()
            .any(|family| sent.get(..family.len()).is_some_and(|front| passes_for(front, family)));
    let claims = of_family || names(sent.len()).iter().any(|name| passes_for(sent, name));
    claims && !OF_THE_PROXY.iter().any(|name| name.as_bytes() == sent)
}

#[cfg(test)]
mod tests {
    use super::{FORWARDED, Forwarded};
    use crate::document::Field;
    use crate::json::Json;
    use crate::problem::Problems;
    use crate::testing::test;

    fn read(text: &str) -> Result<Forwarded, Vec<String>> {
        let json: Json = serde_json::from_str(text).unwrap();
        let problems = Problems::new();
        let read = Forwarded::read(&Field::at("forwardedHeaders", &json, &problems));
        match read {
            Some(read) if !problems.is_fatal() => Ok(read),
            _ => Err(problems.into_vec().iter().map(ToString::to_string).collect()),
        }
    }

    /// Every name of the reference, and with a dot for a dash.
    #[test]
    fn what_the_reference_names_is_taken_off() {
        let none = Forwarded::default();
        let quoted = FORWARDED.about.split('`').skip(1).step_by(2);
        let names: Vec<String> = quoted
            .filter(|name| !["for", "proto"].contains(name))
            .map(|name| {
                name.strip_suffix('*').map_or_else(|| name.to_owned(), |family| format!("{family}any"))
            })
            .collect();
        assert!(names.len() > 35, "{names:?}");
        for name in &names {
            let other = name.replace('-', ".");
            assert!(none.strips(name.as_bytes()) && none.strips(other.as_bytes()), "{name}");
            let longer = format!("y{name}y");
            assert!(!none.strips(longer.as_bytes()), "{longer}");
        }
    }

    #[test]
    fn what_a_client_may_not_say() {
        let none = Forwarded::default();
        for (name, stripped) in [
            ("forwarded", true),
            ("x-forwarded-host", true),
            ("x-forwarded-user", true),
            ("x_forwarded_host", true),
            ("x.forwarded.host", true),
            ("x-forwarded-for", false),
            ("x_forwarded_for", true),
            ("x-forwarded-proto", false),
            ("x-real-ip", true),
            ("x_real_ip", true),
            ("x-envoy-original-path", true),
            ("x-envoy-retry-on", true),
            ("x-envoy-external-address", false),
            ("x-ssl-client-verify", true),
            ("ssl-client-cert", true),
            ("SSL_Client_Subject_DN", true),
            ("ssl-client", false),
            ("wl-proxy-client-ip", true),
            ("WL_Proxy_Client_Cert", true),
            ("wl.proxy.ssl", true),
            ("proxy-client-ip", true),
            ("proxy_client_ip", true),
            ("proxy-authorization", false),
            ("x-original-forwarded-for", true),
            ("x_original_forwarded_for", true),
            ("x-limit", false),
            ("x-client-cert", true),
            ("true-client-ip", true),
            ("proxy", true),
            ("x-request-id", false),
            ("x-user", false),
            ("traceparent", false),
            ("referer", false),
            ("content-type", false),
            ("x-forwarded", false),
            ("", false),
        ] {
            assert_eq!(none.strips(name.as_bytes()), stripped, "{name}");
        }
        let some = read(r#"{"trust": ["X-Forwarded-Host"], "because": "the CDN"}"#).unwrap();
        assert!(
            !some.strips(b"x-forwarded-host")
                && some.strips(b"x_forwarded_host")
                && some.strips(b"forwarded")
        );
    }

    #[test]
    fn what_no_policy_may_say() {
        for (text, problem) in [
            (r#"{"trust": ["x-user"], "because": "x"}"#, "is not taken off anyway"),
            (r#"{"trust": ["x-forwarded-for"], "because": "x"}"#, "is not taken off anyway"),
            (r#"{"trust": ["forwarded"]}"#, "`because` is missing"),
            (r#"{"because": "x"}"#, "`trust` is missing"),
            (r#"{"trust": [], "because": "x"}"#, "an empty list"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.iter().any(|told| told.contains(problem)), "{text}: {problems:?}");
        }
    }
}
