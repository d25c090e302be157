//! Policies that are taken, and what a person is told of those that are not.

use std::fmt::Write as _;

use super::{read_authentication, read_jwt};
use crate::document::Field;
use crate::guards::identity::jwt::algorithm::Family;
use crate::guards::identity::jwt::vectors::{SECRET, jwk, set, unbase64};
use crate::guards::identity::rules::{Authentication, Place, Providers};
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::{Problem, Problems, Severity};
use crate::testing::test;
use crate::time::SECOND;

pub(in crate::guards::identity) fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 24, values: 200_000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A provider with these members, parted by two blanks, instead of the defaults; `"-name"` drops one.
fn provider(members: &str) -> String {
    let keys = set(&[jwk(Family::P256, ""), jwk(Family::Rsa, "")]);
    let members: Vec<&str> = members.split("  ").collect();
    let mut out = "{".to_owned();
    for (key, value) in [
        ("name", r#""corp""#.to_owned()),
        ("issuer", r#""https://id.example""#.to_owned()),
        ("audiences", r#"["api"]"#.to_owned()),
        ("maxLifetime", r#""1h""#.to_owned()),
        ("localJWKS", format!(r#"{{"inline":{}}}"#, Json::Text(keys))),
    ] {
        let written = format!("\"{key}\":");
        let dropped = format!("\"-{key}\"");
        if !members.iter().any(|member| member.starts_with(&written) || **member == dropped) {
            let _ = write!(out, "{written}{value},");
        }
    }
    let kept: Vec<&str> = members.into_iter().filter(|member| !member.starts_with("\"-")).collect();
    out.push_str(&kept.join(","));
    out.trim_end_matches(',').to_owned() + "}"
}

fn read(jwt: &str) -> (Providers, Vec<Problem>) {
    let json = json(jwt);
    let problems = Problems::new();
    let providers = read_jwt(&Field::root(&json, &problems));
    (providers, problems.into_vec())
}

fn one(members: &str) -> (Providers, Vec<Problem>) {
    read(&format!(r#"{{"providers":[{}]}}"#, provider(members)))
}

fn authentication(route: &str, providers: &Providers) -> (Option<Authentication>, Vec<String>) {
    let json = json(route);
    let problems = Problems::new();
    let read = read_authentication(&Field::root(&json, &problems), providers);
    (read, problems.into_vec().iter().map(Problem::to_string).collect())
}

#[test]
fn a_provider_with_its_defaults() {
    let (providers, problems) = one("");
    assert_eq!(problems, []);
    let provider = &providers.list[0];
    assert_eq!((&*provider.name, &*provider.issuer), ("corp", "https://id.example"));
    assert_eq!(provider.algorithms.len(), 9);
    assert_eq!((provider.clock_skew, provider.max_lifetime), (30_000_000_000, Some(3_600_000_000_000)));
    assert!(provider.require_expiration && !provider.forward && provider.keys.is_ok());
    assert!(provider.token_types.accept(None) && provider.token_types.accept(Some("at+jwt")));
    assert_eq!(provider.places, [Place::Header { name: "authorization".into(), prefix: "bearer ".into() }]);
    assert_eq!(providers.identity_headers(), [] as [std::rc::Rc<str>; 0]);
}

#[test]
fn a_provider_with_everything() {
    let (providers, problems) = one(
        r#""algorithms":["RS256","ES256"]  "tokenTypes":["application/AT+jwt"]  "forward":true  "clockSkew":"60s"  "requireExpiration":false  "requiredClaims":["sub"]  "extractFrom":{"headers":[{"name":"X-Token"},{"name":"Authorization","valuePrefix":"Token "}],"cookies":["session"]}  "claimToHeaders":[{"claim":"sub","header":"X-User"},{"claim":"org.dept","header":"x-dept"}]"#,
    );
    assert_eq!(problems, []);
    let provider = &providers.list[0];
    assert!(!provider.token_types.accept(None) && provider.token_types.accept(Some("at+jwt")));
    assert_eq!(provider.places.len(), 3);
    assert!(provider.forward && !provider.require_expiration);
    assert_eq!(provider.required_claims, ["sub".into()]);
    let headers: Vec<&str> = providers.identity_headers().iter().map(|name| &**name).collect();
    assert_eq!(headers, ["x-dept", "x-user"]);
}

const ASKS: &str =
    r#""introspection":{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{"env":"S"}}"#;

#[test]
fn calls_to_the_issuer_with_their_defaults() {
    let (text, problems) = (json(r#"{"cluster":"c"}"#), Problems::new());
    let field = Field::at("remoteJWKS", &text, &problems);
    let source = super::remote_jwks::source(&field, &"corp".into(), "https://id.example").unwrap();
    assert_eq!((source.cache, source.refetch), (300 * SECOND, 2 * SECOND));
    assert_eq!((source.timeout, source.stale_grace), (2 * SECOND, 3600 * SECOND));
    assert!(source.uri.is_none(), "the issuer's metadata tell");
    let shown = format!("{:?}", one(ASKS).0.list[0].introspection);
    assert!(shown.contains(&format!("timeout: {SECOND}")), "{shown}");
    assert!(shown.contains(&format!("cache: {}", 30 * SECOND)), "{shown}");
}

#[test]
fn whose_tokens_the_issuer_is_asked_about() {
    let without_keys = |members: &str| {
        let (providers, problems) = one(members);
        assert_eq!(problems, [], "{members}");
        providers.list[0].has_no_keys()
    };
    assert!(!without_keys(ASKS), "it has keys too");
    assert!(without_keys(&format!(r#""-localJWKS"  {ASKS}"#)));
    let secret = r#""-localJWKS"  "algorithms":["HS256"]  "secret":{"env":"SECRET"}"#;
    assert!(!without_keys(&format!("{secret}  {ASKS}")));

    let asks = |jwt: &str, route: &str| {
        let (providers, problems) = read(jwt);
        assert_eq!(problems, []);
        let (read, told) = authentication(route, &providers);
        let Some(Authentication::Credential(rule)) = read else { panic!("{told:?}") };
        (rule.asks.map(|id| providers.provider(id).unwrap().name.to_string()), told)
    };
    let shop = provider(&format!(r#""name":"shop"  "issuer":"https://shop.example"  {ASKS}"#));
    let both = format!(r#"{{"providers":[{},{shop}]}}"#, provider(""));
    assert_eq!(asks(&both, r#"{"jwt":{}}"#), (Some("shop".to_owned()), vec![]));
    assert_eq!(asks(&both, r#"{"jwt":{"providers":["corp"]}}"#), (None, vec![]));
    let twice = format!(r#"{{"providers":[{},{shop}]}}"#, provider(ASKS));
    let (_, told) = asks(&twice, r#"{"jwt":{}}"#);
    assert!(told[0].contains("more than one provider with `introspection`"), "{told:?}");
}

/// Each row: members of a provider, and what is said of them.
fn are_told(rows: &[(&str, &str)]) {
    for (members, expected) in rows {
        let (_, problems) = one(members);
        let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
        assert!(problems.iter().any(|p| p.severity == Severity::Error), "{members}: no error");
        assert!(told.iter().any(|line| line.contains(expected)), "{members}: {told:#?}");
        assert!(!told.iter().any(|line| line.contains(SECRET) || line.contains("p@ss")), "{told:#?}");
    }
}

#[test]
fn what_a_person_is_told_of_calls_to_the_issuer() {
    are_told(&[
        (r#""-localJWKS"  "remoteJWKS":{"uri":"x","cluster":"c"}"#, "remoteJWKS.uri: `x` is no URL"),
        (r#""-localJWKS"  "remoteJWKS":{"uri":"https://u:p@h/"}"#, "`cluster` is missing"),
        (r#""-localJWKS"  "remoteJWKS":{"cluster":"c","timeout":"31s"}"#, "timeout: expected 10ms to 30s"),
        (
            r#""-localJWKS"  "remoteJWKS":{"cluster":"c","cacheDuration":"0s"}"#,
            "cacheDuration: expected 1s to 1d",
        ),
        (
            r#""-localJWKS"  "remoteJWKS":{"cluster":"c","cacheDuration":"25h"}"#,
            "cacheDuration: expected 1s to 1d",
        ),
        (
            r#""-localJWKS"  "remoteJWKS":{"cluster":"c","failedRefetchDuration":"61s"}"#,
            "failedRefetchDuration: expected 100ms to 1m",
        ),
        (r#""-localJWKS"  "remoteJWKS":{"cluster":"c","staleGrace":"8d"}"#, "staleGrace: expected 0ms to 7d"),
        (
            r#""introspection":{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{"env":"S"},"timeout":"31s"}"#,
            "timeout: expected 10ms to 30s",
        ),
        (
            r#""introspection":{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":{"env":"S"},"cacheDuration":"2h"}"#,
            "cacheDuration: expected 0ms to 1h",
        ),
        (r#""-localJWKS"  "issuer":"corp"  "remoteJWKS":{"cluster":"c"}"#, "the issuer is no URL"),
        (r#""remoteJWKS":{"cluster":"c"}"#, "`remoteJWKS` and `localJWKS` exclude each other"),
        (r#""-localJWKS"  "algorithms":["HS256"]  "remoteJWKS":{"cluster":"c"}"#, "HS* take no public keys"),
        (r#""introspection":{}"#, "introspection: `clientSecret` is missing"),
        (
            r#""introspection":{"uri":"/x","cluster":"c","clientId":"g","clientSecret":{"env":"S"}}"#,
            "introspection.uri: `/x` is no URL",
        ),
        (
            r#""introspection":{"uri":"https://h/i","cluster":"c","clientId":"g","clientSecret":"literal"}"#,
            "clientSecret: expected a map, found a string",
        ),
    ]);
}

#[test]
fn what_a_person_is_told_of_a_provider() {
    let secret = format!(r#""localJWKS":{{"inline":{}}}"#, Json::Text(set(&[jwk(Family::Hmac, "")])));
    let private =
        format!(r#""localJWKS":{{"inline":{}}}"#, Json::Text(set(&[jwk(Family::P256, r#""d":"x","#)])));
    let enc =
        format!(r#""localJWKS":{{"inline":{}}}"#, Json::Text(set(&[jwk(Family::P256, r#""use":"enc","#)])));
    let too_many = format!(r#""revoked":{{"jti":[{}"x"]}}"#, r#""x","#.repeat(limits::REVOKED));
    are_told(&[
        (r#""-issuer""#, "providers[0]: `issuer` is missing"),
        (r#""-name""#, "providers[0]: `name` is missing"),
        (r#""-audiences""#, "providers[0]: `audiences` is missing"),
        (r#""-audiences"  "allowAnyAudience":{}"#, "allowAnyAudience: `because` is missing"),
        (r#""allowAnyAudience":{"because":"x"}"#, "exclude each other"),
        (r#""audiences":[]"#, "audiences: an empty list"),
        (r#""-localJWKS""#, "there are no keys"),
        (r#""localJWKS":{}"#, "expected one of `inline` and `env`"),
        (r#""localJWKS":{"inline":"x","env":"X"}"#, "expected one of `inline` and `env`"),
        (r#""localJWKS":{"inline":"{}"}"#, "localJWKS.inline: the key set has no list `keys`"),
        (r#""localJWKS":{"env":"MY-KEYS"}"#, "not the name of a variable"),
        (r#""localJWKS":{"env":"ghp_16C7e42F292c6912E7710c838347Ae178B4a"}"#, "not the secret itself"),
        (r#""algorithms":["ghp_16C7e42F292c6912E7710c838347Ae178B4a"]"#, "unknown value `REDACTED`"),
        (
            &secret,
            "keys[0]: the key set holds a shared secret · help: a shared secret is no public key: write `secret: {env: NAME}`",
        ),
        (&private, "keys[0]: the key set holds a private key"),
        (&enc, "no key of the set can be used"),
        (r#""algorithms":["EdDSA"]"#, "no key is for one of the `algorithms`"),
        (r#""algorithms":["RS265"]"#, "unknown value `RS265` · help: did you mean `RS256`?"),
        (r#""algorithms":["none"]"#, "unknown value `none`"),
        (r#""algorithms":["RS256","RS256"]"#, "the algorithm stands twice"),
        (r#""algorithms":["RS256","HS256"]"#, "HS* beside algorithms with public keys"),
        (r#""algorithms":["HS256"]"#, "HS* take no public keys"),
        (r#""algorithms":["HS256"]  "-localJWKS""#, "HS* need a secret"),
        (r#""-localJWKS"  "secret":{"env":"S"}"#, "a secret without an algorithm that takes one"),
        (
            r#""algorithms":["HS256"]  "-localJWKS"  "secret":"literal""#,
            "secret: expected a map, found a string",
        ),
        (
            r#""algorithms":["HS256"]  "-localJWKS"  "secret":{"env":"p@ssw0rd!"}"#,
            "not the name of a variable",
        ),
        (r#""maxLifetime":"3651d""#, "maxLifetime: expected 1s to 3650d"),
        (r#""clockSkew":"61s""#, "clockSkew: expected 0ms to 1m"),
        (r#""clockSkew":30"#, "clockSkew: expected a duration"),
        (r#""maxLifetime":"0s""#, "maxLifetime: expected"),
        (r#""tokenTypes":[]"#, "tokenTypes: an empty list"),
        (r#""extractFrom":{}"#, "no place to find a token in"),
        (r#""extractFrom":{"headers":[{"name":"x y"}]}"#, "`x y` is no header name"),
        (r#""extractFrom":{"headers":[{"name":":path"}]}"#, "`:path` is no header name"),
        (r#""extractFrom":{"headers":[{"name":"Cookie"}]}"#, "a cookie is read by its name"),
        (r#""extractFrom":{"headers":[{"name":"a"},{"name":"A"}]}"#, "the place stands twice"),
        (r#""extractFrom":{"headers":[{"name":"a","valuePrefix":"x,"}]}"#, "no header value can begin so"),
        (r#""extractFrom":{"cookies":["a b"]}"#, "`a b` cannot be a name here"),
        (r#""extractFrom":{"params":["a%62"]}"#, "`a%62` cannot be a name here"),
        (
            r#""claimToHeaders":[{"claim":"sub","header":"Host"}]"#,
            "`host` is the proxy's or the protocol's own",
        ),
        (r#""claimToHeaders":[{"claim":"sub","header":"authorization"}]"#, "own"),
        (r#""claimToHeaders":[{"claim":"sub","header":"x-envoy-retry-on"}]"#, "own"),
        (r#""claimToHeaders":[{"claim":"sub","header":"X-Forwarded-For"}]"#, "own"),
        (r#""claimToHeaders":[{"claim":"sub","header":"transfer-encoding"}]"#, "own"),
        (r#""claimToHeaders":[{"claim":"sub","header":":path"}]"#, "`:path` is no header name"),
        (
            r#""claimToHeaders":[{"claim":"sub","header":"a"},{"claim":"x","header":"A"}]"#,
            "two claims go to `a`",
        ),
        (
            r#""claimToHeaders":[{"claim":"sub","header":"x-t"}]  "extractFrom":{"headers":[{"name":"x-t"}]}"#,
            "one that a credential is read from",
        ),
        (r#""revoked":{}"#, "revoked: nothing is revoked · help: write `jti`"),
        (r#""revoked":[]"#, "revoked: expected a map, found a list"),
        (r#""revoked":{"jti":[]}"#, "revoked.jti: an empty list"),
        (r#""revoked":{"jti":"a"}"#, "revoked.jti: expected a list"),
        (r#""revoked":{"jti":["a",7]}"#, "revoked.jti[1]: expected a string, found a number"),
        (r#""revoked":{"sub":["a",""]}"#, "revoked.sub[1]: an empty string"),
        (r#""revoked":{"kid":["a"]}"#, "unknown field `kid` · help: did you mean `kids`?"),
        (&too_many, "revoked.jti: 100001 entries, at most 100000 are possible"),
        (r#""isuer":"x""#, "unknown field `isuer` · help: did you mean `issuer`?"),
    ]);
}

#[test]
fn what_a_person_is_warned_of() {
    let odd = format!(
        r#""localJWKS":{{"inline":{}}}"#,
        Json::Text(set(&[jwk(Family::P256, ""), jwk(Family::Rsa, r#""use":"enc","#)]))
    );
    let open_end = provider("").replace(r#""maxLifetime":"1h","#, "");
    for (jwt, expected) in [
        (provider(&odd), "keys[1]: skipped: `use` is not `sig`"),
        (provider(r#""extractFrom":{"params":["token"]}"#), "a token in a URL"),
        (open_end, "there is no `maxLifetime`"),
    ] {
        let (providers, problems) = read(&format!(r#"{{"providers":[{jwt}]}}"#));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].severity == Severity::Warning && problems[0].to_string().contains(expected),
            "{problems:?}"
        );
        assert_eq!(providers.list.len(), 1);
    }
}

#[test]
fn ten_thousand_revoked_tokens() {
    let list: Vec<String> = (0..10_000).map(|number| format!(r#""token-{number}""#)).collect();
    let members = format!(
        r#""revoked":{{"jti":[{}],"clients":["ghp_16C7e42F292c6912E7710c838347Ae178B4a"]}}"#,
        list.join(",")
    );
    let (providers, problems) = one(&members);
    assert_eq!(problems, []);
    let revoked = &providers.list[0].revoked;
    assert!(revoked.jti.contains("token-9999") && !revoked.jti.contains("token-10000"));
    let shown = format!("{providers:?}");
    assert!(!shown.contains("token-1") && !shown.contains("ghp_"), "nothing of the list is printed");
    let of = |count: usize| {
        let list: Vec<String> = (0..count).map(|number| format!("\"{number}\"")).collect();
        one(&format!(r#""revoked":{{"jti":[{}]}}"#, list.join(","))).1
    };
    assert_eq!(of(limits::REVOKED), []);
    assert!(of(limits::REVOKED + 1)[0].to_string().contains("at most 100000 are possible"));
    // An entry twice does not keep the others from being revoked, and is not said.
    let (providers, problems) = one(r#""revoked":{"jti":["swordfish","b","swordfish"]}"#);
    let told = problems[0].to_string();
    assert_eq!((problems.len(), problems[0].severity), (1, Severity::Warning));
    assert!(told.contains("revoked.jti[2]: the entry stands twice") && !told.contains("swordfish"), "{told}");
    assert_eq!(providers.list[0].revoked.jti.len(), 2);
}

#[test]
fn what_a_route_asks_of_the_authentication() {
    let (providers, _) = read_two("corp", "https://a.example", "shop", "https://b.example");
    let asked = |route: &str| {
        let (read, told) = authentication(route, &providers);
        let Some(Authentication::Credential(rule)) = read else { panic!("{route}: {told:?}") };
        assert_eq!(told, [""; 0], "{route}");
        let name = |id| providers.provider(id).map(|provider| provider.name.to_string()).unwrap();
        let rows = rule.step_ups.iter().map(|(id, step_up)| {
            let values = step_up.acr_values.as_deref().unwrap_or("-");
            format!("{} {values} {}", name(*id), step_up.max_age.unwrap_or(0))
        });
        rows.collect::<Vec<_>>().join("; ")
    };
    for (route, expected) in [
        (r#"{"jwt":{}}"#, ""),
        (r#"{"jwt":{"acrValues":["mfa","key"],"maxAge":"5m"}}"#, "corp mfa key 300; shop mfa key 300"),
        (r#"{"jwt":{"providers":["shop"],"maxAge":"1s"}}"#, "shop - 1"),
        (
            r#"{"anyOf":[{"jwt":{"providers":["shop"],"maxAge":"1h"}},{"jwt":{"providers":["corp"]}}]}"#,
            "shop - 3600",
        ),
        (
            r#"{"anyOf":[{"jwt":{"providers":["shop"],"acrValues":["a"]}},{"jwt":{"providers":["shop"],"acrValues":["a"]}},{"open":{"because":"x"}}]}"#,
            "shop a 0",
        ),
    ] {
        assert_eq!(asked(route), expected, "{route}");
    }
    for (route, expected) in [
        (
            r#"{"anyOf":[{"jwt":{"providers":["shop"],"maxAge":"1h"}},{"jwt":{}}]}"#,
            "two ways take tokens of `shop` and ask for different authentication · help: name the provider once",
        ),
        (
            r#"{"anyOf":[{"jwt":{"providers":["shop"],"acrValues":["a"]}},{"jwt":{"providers":["shop"],"acrValues":["b"]}}]}"#,
            "two ways take tokens of `shop`",
        ),
        (r#"{"jwt":{"maxAge":"0s"}}"#, "jwt.maxAge: expected 1s to 3650d"),
        (r#"{"jwt":{"maxAge":"1500ms"}}"#, "jwt.maxAge: not a whole number of seconds"),
        (r#"{"jwt":{"maxAge":300}}"#, "jwt.maxAge: expected a duration such as"),
        (r#"{"jwt":{"acrValues":[]}}"#, "jwt.acrValues: an empty list"),
        (r#"{"jwt":{"acrValues":"mfa"}}"#, "jwt.acrValues: expected a list"),
        (r#"{"jwt":{"acrValues":["a b"],"maxAge":"5m"}}"#, "`a b` cannot be an `acr` here"),
        (r#"{"jwt":{"acrValues":["a"],"maxAge":"0s"}}"#, "jwt.maxAge: expected 1s to 3650d"),
        (r#"{"jwt":{"acrValues":["a b"]}}"#, "`a b` cannot be an `acr` here"),
        (r#"{"jwt":{"acrValues":["a\"b"]}}"#, "cannot be an `acr` here"),
        (r#"{"jwt":{"acrValues":["é"]}}"#, "cannot be an `acr` here"),
        (r#"{"jwt":{"acrValues":["a\r\nx: y"]}}"#, "cannot be an `acr` here"),
        (r#"{"jwt":{"acrValues":["a","a"]}}"#, "`a` stands twice"),
        (r#"{"jwt":{"acrValue":["a"]}}"#, "did you mean `acrValues`?"),
    ] {
        let (read, told) = authentication(route, &providers);
        assert!(told.iter().any(|line| line.contains(expected)), "{route}: {told:#?}");
        let half = expected.contains("cannot be") || expected.contains("maxAge: expected 1s");
        assert!(!half || read.is_none(), "{route}: half of what is asked for is not asked for");
    }
}

#[test]
fn problems_are_reported_together_and_once() {
    let (providers, problems) = one(r#""clockSkew":"2m"  "algorithms":["X"]  "forward":1  "issuer":7"#);
    assert_eq!(problems.len(), 4, "{problems:#?}");
    // The route's reference to it is no second problem.
    let (read, told) = authentication(r#"{"jwt":{"providers":["corp"]}}"#, &providers);
    assert!(read.is_none() && told.is_empty(), "{told:?}");
    let (read, told) = authentication(r#"{"anyOf":[{"jwt":{}},{"open":{"because":"x"}}]}"#, &providers);
    assert!(read.is_none() && told.is_empty(), "a broken provider opens no route: {told:?}");
    let (_, problems) = read_two("corp", "https://a.example", "corp", "https://b.example");
    assert!(problems[0].to_string().contains("two providers have the name `corp`"), "{problems:?}");
}

fn read_two(name: &str, issuer: &str, other: &str, other_issuer: &str) -> (Providers, Vec<Problem>) {
    let one = provider(&format!(r#""name":"{name}"  "issuer":"{issuer}""#));
    let two = provider(&format!(r#""name":"{other}"  "issuer":"{other_issuer}""#));
    read(&format!(r#"{{"providers":[{one},{two}]}}"#))
}

#[test]
fn routes() {
    let (providers, problems) = read_two("corp", "https://a.example", "shop", "https://b.example");
    assert_eq!(problems, []);
    for (route, count, optional) in [
        (r#"{"jwt":{}}"#, 2, false),
        (r#"{"jwt":{"providers":["shop"]}}"#, 1, false),
        (r#"{"anyOf":[{"jwt":{"providers":["shop"]}},{"jwt":{"providers":["corp","shop"]}}]}"#, 2, false),
        (r#"{"anyOf":[{"jwt":{"providers":["shop"]}},{"open":{"because":"docs"}}]}"#, 1, true),
    ] {
        let (read, told) = authentication(route, &providers);
        let Some(Authentication::Credential(rule)) = read else { panic!("{route}: {told:?}") };
        assert_eq!((rule.providers.len(), rule.optional, rule.places.len()), (count, optional, 1), "{route}");
    }
    let (read, told) = authentication(r#"{"open":{"because":"probe"}}"#, &providers);
    assert!(matches!(read, Some(Authentication::Open)), "{told:?}");
}

#[test]
fn what_a_person_is_told_of_a_route() {
    let (providers, _) = read_two("corp", "https://a.example", "shop", "https://b.example");
    for (route, expected) in [
        ("{}", "nothing is asked for"),
        (r#"{"jwt":{},"open":{"because":"x"}}"#, "more than one key · help: write `anyOf"),
        (r#"{"open":{}}"#, "open: `because` is missing"),
        (r#"{"open":{"because":""}}"#, "open.because: an empty string"),
        (r#"{"open":true}"#, "open: expected a map"),
        (r#"{"jwt":{"providers":[]}}"#, "providers: an empty list"),
        (
            r#"{"jwt":{"providers":["crop"]}}"#,
            "jwt.providers[0]: there is no provider `crop` · help: did you mean `corp`?",
        ),
        (r#"{"jwt":{"providers":["corp","corp"]}}"#, "jwt.providers[1]: `corp` stands twice"),
        (r#"{"apiKey":{}}"#, "apiKey: there are no API keys · help: write `apiKeyAuth`"),
        (r#"{"apiKey":{"clients":["a"]}}"#, "apiKey: expected `{}`"),
        (r#"{"apiKey":true}"#, "apiKey: expected `{}`"),
        (r#"{"anyOf":[]}"#, "anyOf: an empty list"),
        (r#"{"anyOf":[{"open":{"because":"x"}}]}"#, "`open` stands twice, or alone"),
        (r#"{"anyOf":[{"jwt":{}},{"apiKey":{}}]}"#, "anyOf[1].apiKey: there are no API keys"),
        (r#"{"anyOf":[{"anyOf":[]}]}"#, "unknown field `anyOf`"),
        (r#"{"anyOf":[{"jwt":{},"open":{"because":"x"}}]}"#, "anyOf[0]: more than one key"),
        (r#"{"jwtt":{}}"#, "unknown field `jwtt` · help: did you mean `jwt`?"),
    ] {
        let (read, told) = authentication(route, &providers);
        assert!(told.iter().any(|line| line.contains(expected)), "{route}: {told:#?}");
        let is_open = matches!(read, Some(Authentication::Open));
        assert!(!is_open, "{route}: a mistake opens no route");
    }
    let (read, told) = authentication(r#"{"jwt":{}}"#, &Providers::default());
    assert!(read.is_none() && told[0].contains("there is no provider"), "{told:?}");
    let (twins, _) = read_two("corp", "https://a.example", "shop", "https://a.example");
    let (_, told) = authentication(r#"{"jwt":{}}"#, &twins);
    assert!(told[0].contains("the providers `corp` and `shop` have the same issuer"), "{told:?}");
    let (_, told) = authentication(r#"{"jwt":{"providers":["shop"]}}"#, &twins);
    assert!(told.is_empty(), "a route can tell them apart: {told:?}");
}

#[test]
fn as_many_providers_as_there_may_be_and_one_more() {
    let providers = |count: usize| {
        let one = |nth| provider(&format!(r#""name":"p{nth}"  "issuer":"https://{nth}.example""#));
        let all: Vec<String> = (0..count).map(one).collect();
        read(&format!(r#"{{"providers":[{}]}}"#, all.join(","))).1
    };
    assert_eq!(providers(limits::PROVIDERS), []);
    let problems = providers(limits::PROVIDERS + 1);
    assert!(
        problems.iter().any(|problem| problem.to_string().contains("too many providers")),
        "{problems:?}"
    );
    assert_ne!(providers(limits::PROVIDERS + 2), []);
}

#[test]
fn of_two_secrets_the_one_that_is_missing_is_told() {
    let (providers, problems) = one(
        r#""algorithms":["HS256"]  "-localJWKS"  "secret":{"env":"SECRET"}  "nextSecret":{"env":"NEXT"}"#,
    );
    assert_eq!(problems, []);
    for (there, expected) in [
        (["SECRET", "NEXT"].as_slice(), vec![]),
        (&["SECRET"], vec!["corp: missing environment variable `NEXT`"]),
        (&["NEXT"], vec!["corp: missing environment variable `SECRET`"]),
    ] {
        let env = |name: &str| there.contains(&name).then(|| unbase64(SECRET));
        let told = providers.without_one_of_two(env);
        let told: Vec<String> = told.iter().map(|(name, why)| format!("{name}: {}", why.text())).collect();
        assert_eq!(told, expected, "{there:?}");
    }
}

#[test]
fn the_environment_is_read_afterwards() {
    let hmac = r#""algorithms":["HS256","HS512"]  "-localJWKS"  "secret":{"env":"SECRET"}"#;
    let good = unbase64(SECRET);
    for (members, value, expected) in [
        (hmac, Some(good.clone()), None),
        (
            hmac,
            Some(vec![7; 63]),
            Some("secret shorter than the algorithm's hash in environment variable `SECRET`"),
        ),
        (
            hmac,
            Some(Vec::new()),
            Some("secret shorter than the algorithm's hash in environment variable `SECRET`"),
        ),
        (hmac, None, Some("missing environment variable `SECRET`")),
        (r#""localJWKS":{"env":"KEYS"}"#, Some(set(&[jwk(Family::Rsa, "")]).into_bytes()), None),
        (
            r#""localJWKS":{"env":"KEYS"}"#,
            Some(set(&[jwk(Family::Hmac, "")]).into_bytes()),
            Some("no usable key set in environment variable `KEYS`"),
        ),
        (
            r#""localJWKS":{"env":"KEYS"}"#,
            Some(vec![0xff]),
            Some("no usable key set in environment variable `KEYS`"),
        ),
        (r#""localJWKS":{"env":"KEYS"}"#, None, Some("missing environment variable `KEYS`")),
        ("", None, None),
    ] {
        let (mut providers, problems) = one(members);
        assert_eq!(problems, [], "{members}");
        providers.resolve(|_| value.clone());
        let told: Vec<String> = providers.without_keys().map(|(_, why)| why.to_string()).collect();
        assert_eq!(told.first().map(String::as_str), expected, "{members}");
        assert!(
            !format!("{providers:?}").contains(&format!("{:?}", &good[..4]).replace(['[', ']'], "")),
            "a secret in Debug"
        );
    }
    let (providers, _) = one(hmac);
    assert_eq!(providers.without_keys().count(), 1, "before the environment is read nothing holds");
}
