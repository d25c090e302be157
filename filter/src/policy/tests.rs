//! Rows for whole documents: what is good, and every problem of what is not.

use super::Policy;
use crate::decision::Mode;
use crate::problem::Severity;
use crate::testing::test;

const KEYS: &str = r#"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"demo\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"#;

/// A document around these keys, with an issuer `corp`.
fn document(rest: &str) -> String {
    format!(
        r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"shop","jwt":{{"providers":[{{"name":"corp","issuer":"https://id.example","audiences":["a"],"maxLifetime":"1h","localJWKS":{{"inline":"{KEYS}"}}}}]}},{rest}}}"#
    )
}

/// A document with these routes.
fn routes(routes: &str) -> String {
    document(&format!(r#""routes":[{routes}]"#))
}

const JWT: &str = r#""authentication":{"jwt":{"providers":["corp"]}}"#;
const OPEN: &str = r#""authentication":{"open":{"because":"test"}}"#;

fn problems(text: &str) -> Vec<String> {
    match Policy::load(text.as_bytes()) {
        Ok((_, warnings)) => warnings.iter().map(|warning| format!("warning: {warning}")).collect(),
        Err(problems) => {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            errors.map(ToString::to_string).collect()
        }
    }
}

#[test]
fn five_mistakes_are_five_messages() {
    let text = r#"{
        "apiVersion": "portcullis/v2",
        "kind": "GatewayPolicy",
        "name": "shop",
        "defaults": {"request": {"maxPathByte": "4Ki"}},
        "routes": [
            {"name": "a", "match": {"path": {"type": "Exact", "value": "orders"}}, "authentication": {"open": {"because": "x"}}},
            {"name": "b", "match": {"methods": ["GET"]}, "authentication": {"jwt": {"providers": ["crop"]}}},
            {"name": "a", "match": {"methods": ["POST"]}, "authentication": {"open": {"because": "x"}}}
        ]
    }"#;
    assert_eq!(
        problems(text),
        [
            "apiVersion: unknown value `portcullis/v2` · help: did you mean `portcullis/v1`?",
            "defaults.request: unknown field `maxPathByte` · help: did you mean `maxPathBytes`?",
            "routes[0].match.path.value: `orders` does not begin with `/`",
            "routes[1].authentication.jwt.providers[0]: there is no provider `crop` · help: it must be a `name` of `jwt.providers`",
            "routes[2]: two routes are named `a`; the first is routes[0] · help: give each route a name of its own",
        ]
    );
}

/// What is in a file the plugin cannot read, wherever a variable can stand; it says what to write.
#[test]
fn a_file_is_refused_with_what_to_write_instead() {
    let route = format!(r#"{{"name":"a","match":{{}},{OPEN}}}"#);
    let with = |section: &str| {
        format!(
            r#"{{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"shop",{section},"routes":[{route}]}}"#
        )
    };
    let provider = |more: &str| {
        with(&format!(
            r#""jwt":{{"providers":[{{"name":"corp","issuer":"i","audiences":["a"],"maxLifetime":"1h",{more}}}]}}"#
        ))
    };
    for (text, place) in [
        (provider(r#""localJWKS":{"file":"/k"}"#), "jwt.providers[0].localJWKS"),
        (provider(r#""algorithms":["HS256"],"secret":{"file":"/k"}"#), "jwt.providers[0].secret"),
        (with(r#""audit":{"subject":"Hashed","hashKey":{"file":"/k"}}"#), "audit.hashKey"),
        (with(r#""apiKeyAuth":{"pepper":{"file":"/k"},"keys":[]}"#), "apiKeyAuth.pepper"),
    ] {
        let told = problems(&text);
        let start = format!("{place}: a file is out of the filter's reach · help: write `{{env: NAME}}`");
        assert!(told.iter().any(|problem| problem.starts_with(&start)), "{told:?}");
        assert!(!told.iter().any(|problem| problem.contains("`env` is missing")), "{told:?}");
    }
}

#[test]
fn rules_that_keep_nobody_away_are_told_of() {
    let warned = |exposure: &str, network: &str| {
        let rules = format!(
            r#""authorization":{{"rules":[{{"name":"r","action":"Allow","principal":{{"clientCIDRs":["{network}"]}}}}]}}"#
        );
        let text = routes(&format!(r#"{{"name":"a","match":{{}},"exposure":{exposure},{rules},{JWT}}}"#));
        let told = problems(&text);
        assert!(told.iter().all(|problem| problem.starts_with("warning: ")), "{told:?}");
        told.iter().any(|problem| problem.contains("routes[0]: a network of all addresses keeps nobody away"))
    };
    for (exposure, network, told) in [
        (r#""Admin""#, "0.0.0.0/0", true),
        (r#""Internal""#, "::/0", true),
        (r#""Admin""#, "10.0.0.0/8", false),
        (r#""Public""#, "0.0.0.0/0", false),
        (r#"{"to":"Admin","clientCIDRs":["10.0.0.0/8"]}"#, "0.0.0.0/0", false),
        (r#"{"to":"Admin","because":"another network"}"#, "0.0.0.0/0", false),
    ] {
        assert_eq!(warned(exposure, network), told, "{exposure} {network}");
    }
}

#[test]
fn documents_that_are_refused() {
    let route =
        |name: &str, matched: &str, more: &str| format!(r#"{{"name":"{name}","match":{matched},{more}}}"#);
    let one = |more: &str| routes(&route("a", "{}", more));
    for (text, expected) in [
        (
            String::new(),
            &[
                "the document is empty · help: write a policy as the plugin's `configuration`: JSON text, or a google.protobuf.Struct",
            ][..],
        ),
        ("{".to_owned(), &["not JSON: EOF while parsing an object at line 1 column 1"]),
        ("[]".to_owned(), &["expected a map, found a list"]),
        (
            "{}".to_owned(),
            &[
                "`apiVersion` is missing · help: `portcullis/v1`: The version of this format.",
                "`kind` is missing · help: `GatewayPolicy`: The kind of document.",
                "`name` is missing · help: name: The policy's name in audit events and metrics.",
                "`routes` is missing · help: list of maps: What can be reached, and by whom. A request that no route takes is `404`.",
            ],
        ),
        (
            document(r#""routes":[]"#),
            &["routes: an empty list · help: write at least one element or leave the key out"],
        ),
        (
            document(&format!(r#""apiKeyAuth":{{}},"routes":[{}]"#, route("a", "{}", JWT))),
            &[
                "apiKeyAuth: `keys` is missing · help: list of maps: The keys, at most 50000. A client may have several at once, so that it can change from one to the next.",
            ],
        ),
        (
            document(&format!(r#""name":"two","routes":[{}]"#, route("a", "{}", JWT))),
            &["name: the key stands twice · help: keep one of them"],
        ),
        (
            one(r#""authorization":{"defaultAction":"Allow"}"#),
            &[
                "routes[0]: `authentication` is missing · help: map: Who is asked for. An open route says so, and why.",
            ],
        ),
        (
            one(&format!(
                r#"{OPEN},"authorization":{{"rules":[{{"name":"r","action":"Allow","principal":{{"scopes":["x"]}}}}]}}"#
            )),
            &[
                "routes[0].authorization: the rule `r` asks for a token and the route takes none, so it can never match · help: take the rule out, or change the route's `authentication`",
            ],
        ),
        (
            document(&format!(
                r#""defaults":{{"authorization":{{"rules":[{{"name":"r","action":"Allow","principal":{{"jwt":{{"provider":"corp"}}}}}}]}}}},"routes":[{},{}]"#,
                route("a", r#"{"methods":["GET"]}"#, JWT),
                route("b", "{}", OPEN)
            )),
            &[
                "routes[1]: the rule `r` asks for a token and the route takes none, so it can never match (it stands in `defaults.authorization`) · help: write an `authorization` for this route, such as `{defaultAction: Allow}`",
            ],
        ),
        (
            routes(&route("a", r#"{"methods":["GET","PURGE"]}"#, JWT)),
            &[
                "routes[0]: `match.methods` takes `PURGE` and `request.methods` refuses it · help: name it in both or in neither",
            ],
        ),
        (
            routes(
                &[route("a", "{}", JWT), route("b", r#"{"path":{"type":"PathPrefix","value":"/"}}"#, JWT)]
                    .join(","),
            ),
            &[
                "routes[1]: ties with the route `a` (routes[0]): one request can match both, and neither is more specific · help: make one more specific: by host, path, headers or methods",
            ],
        ),
        (
            routes(
                &[
                    route("a", "{}", JWT),
                    route("b", r#"{"path":{"type":"RegularExpression","value":"/.*"}}"#, JWT),
                ]
                .join(","),
            ),
            &[
                "routes[0]: can never match: the route `b` (routes[1]) takes every request for it · help: `PathPrefix: /` takes every path and leaves the more specific routes theirs",
            ],
        ),
        (
            one(&format!(r#"{JWT},"mode":"Dry""#)),
            &["routes[0].mode: unknown value `Dry` · help: one of `Enforce`, `Shadow`"],
        ),
    ] {
        assert_eq!(problems(&text), expected, "{text}");
    }
}

/// Events that are asked for go somewhere, whoever asks for them.
#[test]
fn no_event_goes_nowhere() {
    let nowhere = |log: &str, of_route: &str| {
        problems(&document(&format!(
            r#""audit":{{"log":"{log}","sinks":{{"log":false}}}},"routes":[{{"name":"a","match":{{}},{JWT}{of_route}}}]"#
        )))
    };
    assert!(nowhere("All", "")[0].starts_with("audit.sinks: no event would go anywhere"));
    let all = r#","audit":{"log":"All"}"#;
    assert!(nowhere("Off", all)[0].contains("a route's `audit` asks for events that would go nowhere"));
    assert_eq!(nowhere("Off", ""), [""; 0]);
}

#[test]
fn warnings_come_with_the_policy() {
    let text = document(&format!(r#""mode":"Shadow","routes":[{{"name":"a","match":{{}},{OPEN}}}]"#));
    let found = problems(&text);
    assert_eq!(
        found,
        [
            "warning: mode: in `Shadow`, nothing is refused here · help: write `Enforce` once the audit shows what you expect",
            "warning: jwt: no route accepts the provider `corp`",
        ]
    );
    assert_eq!(Policy::load(text.as_bytes()).unwrap().0.mode, Mode::Shadow);
}

#[test]
fn a_section_on_a_route_replaces_that_of_the_defaults_whole() {
    let text = document(&format!(
        r#""defaults":{{"request":{{"maxPathBytes":"1Ki","maxHeaders":7}}}},"routes":[{{"name":"a","match":{{"methods":["GET"]}},{JWT}}},{{"name":"b","match":{{}},{JWT},"request":{{"maxPathBytes":"2Ki"}}}}]"#
    ));
    let (policy, warnings) = Policy::load(text.as_bytes()).unwrap();
    assert_eq!(warnings, []);
    let limits: Vec<(u64, u64)> =
        policy.routes.iter().map(|route| (route.request.path_bytes, route.request.headers)).collect();
    assert_eq!(limits, [(1024, 7), (2048, 64)]);
}

#[test]
fn the_digest_is_of_what_the_document_says() {
    let digest = |text: &str| Policy::load(text.as_bytes()).unwrap().0.digest;
    let text = routes(&format!(r#"{{"name":"a","match":{{}},{JWT}}}"#));
    let spaced = text.replace(',', " ,\n").replace(r#""name":"shop""#, "\"name\" : \"sh\\u006fp\"");
    assert_eq!(digest(&text), digest(&spaced.replace(" ,\n\\\"", ",\\\"")));
    assert_eq!(digest(&text).len(), 64);
    assert_ne!(digest(&text), digest(&text.replace("shop", "shoq")));
}

/// Two million comparisons, not a hundred thousand million.
#[test]
fn long_lists_are_refused_and_not_compared() {
    let hosts: Vec<String> = (0..400_000).map(|n| format!("\"h{n}\"")).collect();
    let text = routes(&format!(r#"{{"name":"a","match":{{"hosts":[{}]}},{OPEN}}}"#, hosts.join(",")));
    assert_eq!(problems(&text), ["routes[0].match.hosts: 400000 elements, at most 4096 are possible"]);
}
