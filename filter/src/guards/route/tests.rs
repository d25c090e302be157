//! Rows for what a route asks, which of two wins, and which two may not stand together.

use super::config::{self, Match};
use super::{Clash, Table};
use crate::document::Field;
use crate::http::{Head, Path, head::serialize};
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 8, values: 256, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).expect(text)
}

fn read(text: &str) -> Result<Match, String> {
    let (json, problems) = (json(text), Problems::new());
    let matched = config::read(&Field::root(&json, &problems));
    let found = problems.into_vec();
    match (matched, found.as_slice()) {
        (Some(matched), []) => Ok(matched),
        (None, [_, ..]) => Err(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        (matched, found) => panic!("{text}: {matched:?} and {found:?}"),
    }
}

fn table(routes: &[&str]) -> (Table, Vec<Clash>) {
    let routes: Vec<Match> = routes.iter().map(|text| read(text).expect(text)).collect();
    Table::build(routes.iter().enumerate())
}

/// `GET api.example.com/orders x-a:1 x-b:2`
fn choose(table: &Table, request: &str) -> Option<usize> {
    let mut words = request.split(' ');
    let method = words.next().unwrap().as_bytes();
    let (host, path) = words.next().unwrap().split_once('/').unwrap();
    let path = format!("/{path}");
    let fields = words.map(|word| word.split_once(':').unwrap());
    let fields = fields.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let pseudo =
        [(":method", "-"), (":authority", "-"), (":path", "-")].map(|(n, v)| (n.as_bytes(), v.as_bytes()));
    let head = Head::parse(serialize(pseudo.into_iter().chain(fields))).unwrap();
    let path = Path::parse(path.as_bytes()).expect(request);
    table.choose(host, path.as_str(), method, &head)
}

#[test]
fn path_kinds() {
    for (kind, value, path, takes) in [
        ("Exact", "/a", "/a", true),
        ("Exact", "/a", "/a/", false),
        ("Exact", "/a", "/A", false),
        ("Exact", "/a", "/a?x=1", true),
        ("Exact", "/a", "/%61", true),
        ("Exact", "/%61", "/a", true),
        ("Exact", "/caf%C3%A9", "/caf%c3%a9", true),
        ("Exact", "/", "/", true),
        ("PathPrefix", "/metrics", "/metrics", true),
        ("PathPrefix", "/metrics", "/metrics/", true),
        ("PathPrefix", "/metrics", "/metrics/x/y", true),
        ("PathPrefix", "/metrics", "/metrics-private", false),
        ("PathPrefix", "/metrics", "/metricsx", false),
        ("PathPrefix", "/metrics", "/Metrics", false),
        ("PathPrefix", "/metrics", "/", false),
        ("PathPrefix", "/metrics/", "/metrics", true),
        ("PathPrefix", "/metrics/", "/metrics/x", true),
        ("PathPrefix", "/a/b", "/a", false),
        ("PathPrefix", "/a/b", "/a/b/c", true),
        ("PathPrefix", "/", "/", true),
        ("PathPrefix", "/", "/x/y", true),
        ("Template", "/orders/{id}", "/orders/5", true),
        ("Template", "/orders/{id}", "/orders/a%20b", true),
        ("Template", "/orders/{id}", "/orders/", false),
        ("Template", "/orders/{id}", "/orders", false),
        ("Template", "/orders/{id}", "/orders/5/", false),
        ("Template", "/orders/{id}", "/orders/5/x", false),
        ("Template", "/orders/{id}/", "/orders/5/", true),
        ("Template", "/{a}/x/{b}", "/1/x/2", true),
        ("Template", "/{order_id}", "/1", true),
        ("Template", "/{a}/x/{b}", "/1/y/2", false),
        ("Template", "/{a}", "/", false),
        ("RegularExpression", "/a[0-9]+", "/a12", true),
        ("RegularExpression", "/a[0-9]+", "/a12x", false),
        ("RegularExpression", "/a[0-9]+", "/x/a12", false),
        ("RegularExpression", "/a|/b", "/b", true),
        ("RegularExpression", "/a|/b", "/a/x", false),
        ("RegularExpression", "/a|/b", "/x/b", false),
        ("RegularExpression", "^/a$", "/a", true),
        ("RegularExpression", "(?i)/a", "/A", true),
        ("RegularExpression", "/a/[^/]+", "/a/b%20c", true),
        ("RegularExpression", "/a/[^/]+", "/a/b/c", false),
    ] {
        let route = format!(r#"{{"path":{{"type":"{kind}","value":"{value}"}}}}"#);
        let (table, clashes) = table(&[&route]);
        assert_eq!(clashes, []);
        let chosen = choose(&table, &format!("GET h{path}"));
        assert_eq!(chosen.is_some(), takes, "{kind} {value} for {path}");
    }
}

#[test]
fn hosts_methods_and_headers() {
    for (route, request, takes) in [
        (r#"{"hosts":["a.example"]}"#, "GET a.example/", true),
        (r#"{"hosts":["A.Example"]}"#, "GET a.example/", true),
        (r#"{"hosts":["a.example"]}"#, "GET b.a.example/", false),
        (r#"{"hosts":["*.shop.example"]}"#, "GET eu.shop.example/", true),
        (r#"{"hosts":["*.shop.example"]}"#, "GET a.eu.shop.example/", true),
        (r#"{"hosts":["*.shop.example"]}"#, "GET shop.example/", false),
        (r#"{"hosts":["*.shop.example"]}"#, "GET workshop.example/", false),
        (r#"{"hosts":["*.shop.example"]}"#, "GET eu.shop.example.evil/", false),
        (r#"{"hosts":["[::1]"]}"#, "GET [::1]/", true),
        (r#"{"hosts":["a.example","b.example"]}"#, "GET b.example/", true),
        (r#"{"methods":["GET"]}"#, "GET h/", true),
        (r#"{"methods":["GET"]}"#, "HEAD h/", false),
        (r#"{"methods":["GET"]}"#, "get h/", false),
        (r#"{"methods":["GET"]}"#, "GETX h/", false),
        (r#"{"headers":[{"name":"X-A","value":"1"}]}"#, "GET h/ x-a:1", true),
        (r#"{"headers":[{"name":"x-a","value":"1"}]}"#, "GET h/ x-a:2", false),
        (r#"{"headers":[{"name":"x-a","value":"1"}]}"#, "GET h/", false),
        (r#"{"headers":[{"name":"x-a","value":"1"}]}"#, "GET h/ x-a:1 x-a:1", false),
        (r#"{"headers":[{"name":"x-a","value":"1"}]}"#, "GET h/ x-a:1 x-a:2", false),
        (r#"{"headers":[{"name":"x-a","value":"1"},{"name":"x-b","value":"2"}]}"#, "GET h/ x-a:1", false),
        (
            r#"{"headers":[{"name":"x-a","value":"1"},{"name":"x-b","value":"2"}]}"#,
            "GET h/ x-b:2 x-a:1",
            true,
        ),
        ("{}", "ANY h/any", true),
    ] {
        let (table, _) = table(&[route]);
        assert_eq!(choose(&table, request).is_some(), takes, "{route} for {request}");
    }
}

/// A second field must not lead past the route that was meant for the first: the upstream takes one of them.
#[test]
fn a_doubled_header_does_not_lead_to_a_weaker_route() {
    for (strict, weaker) in [
        ("prefix=/x header=x-a:1", "prefix=/x"),
        ("exact=/x header=x-a:1", "prefix=/"),
        ("template=/{a} header=x-a:1", "prefix=/"),
        ("re=/[x] header=x-a:1", "re=/."),
        ("host=a.b prefix=/ header=x-a:1", "host=*.b"),
        ("host=*.b prefix=/ header=x-a:1", "prefix=/"),
        ("prefix=/ header=x-a:1,x-b:1", "prefix=/"),
    ] {
        let (table, clashes) = table(&[&short(strict), &short(weaker)]);
        assert_eq!(clashes, []);
        for (fields, chosen) in [
            ("x-a:1 x-b:1", Some(0)),
            ("x-a:2 x-b:1", Some(1)),
            ("x-a:1 x-a:1 x-b:1", None),
            ("x-a:2 x-a:1 x-b:1", None),
            ("x-a:1 x_a:2 x-b:1", None),
            ("x_a:1 x-b:1", None),
            ("x-a:2 x-a:3 x-b:1", Some(1)),
            ("x_a:2 x-b:1", Some(1)),
        ] {
            assert_eq!(
                choose(&table, &format!("GET a.b/x {fields}")),
                chosen,
                "{strict}, {weaker}: {fields}"
            );
        }
    }
    let (table, _) = table(&[
        &short("prefix=/x methods=POST header=x-a:1"),
        &short("prefix=/x"),
        &short("re=/y header=x-a:1"),
    ]);
    assert_eq!(choose(&table, "GET h/x x-a:1 x-a:1"), Some(1), "of another method");
    assert_eq!(choose(&table, "POST h/x x-a:1 x-a:1"), None);
    assert_eq!(choose(&table, "GET h/xyz x-a:1 x-a:1"), None);
}

/// Shorthand for a match: `kind value [host] [methods] [headers]`, `-` for none.
fn short(text: &str) -> String {
    let mut parts = Vec::new();
    for word in text.split(' ') {
        let Some((key, value)) = word.split_once('=') else {
            continue;
        };
        parts.push(match key {
            "host" => format!(r#""hosts":["{}"]"#, value.replace(',', "\",\"")),
            "methods" => format!(r#""methods":["{}"]"#, value.replace(',', "\",\"")),
            "header" => {
                let pairs: Vec<String> = value
                    .split(',')
                    .map(|pair| pair.split_once(':').unwrap())
                    .map(|(name, value)| format!(r#"{{"name":"{name}","value":"{value}"}}"#))
                    .collect();
                format!(r#""headers":[{}]"#, pairs.join(","))
            }
            kind => {
                let kind = match kind {
                    "exact" => "Exact",
                    "prefix" => "PathPrefix",
                    "template" => "Template",
                    _ => "RegularExpression",
                };
                format!(r#""path":{{"type":"{kind}","value":{}}}"#, Json::Text(value.to_owned()))
            }
        });
    }
    format!("{{{}}}", parts.join(","))
}

#[test]
fn the_more_specific_wins_in_either_order() {
    for (winner, loser, request) in [
        // host over everything
        ("host=a.b.c", "host=*.b.c exact=/x header=x-a:1 methods=GET", "GET a.b.c/x x-a:1"),
        ("host=*.a.b.c", "host=*.b.c exact=/x", "GET z.a.b.c/x"),
        ("host=*.c", "exact=/x header=x-a:1", "GET a.b.c/x x-a:1"),
        // path over headers and methods
        ("exact=/x", "template=/{a} header=x-a:1", "GET h/x x-a:1"),
        ("exact=/x", "re=/x", "GET h/x"),
        ("exact=/x", "prefix=/x methods=GET", "GET h/x"),
        ("template=/x/{a}", "re=/x/[^/]+", "GET h/x/1"),
        ("template=/x/{a}", "prefix=/x/1", "GET h/x/1"),
        ("template=/x/{a}", "template=/{a}/y", "GET h/x/y"),
        ("template=/x/{a}/{b}", "template=/{a}/y/z", "GET h/x/y/z"),
        ("template=/{a}/y/{b}", "template=/{a}/{b}/z", "GET h/x/y/z"),
        ("re=/x.*", "prefix=/x/y/z", "GET h/x/y/z"),
        ("re=/x/[a-z]+", "re=/x/.*", "GET h/x/y"),
        ("re=/x/[a-z]+", "re=/x/.* header=x-a:1", "GET h/x/y x-a:1"),
        ("prefix=/x/y", "prefix=/x", "GET h/x/y/z"),
        ("prefix=/x/y", "header=x-a:1", "GET h/x/y x-a:1"),
        // headers over methods
        ("exact=/x header=x-a:1", "exact=/x methods=GET", "GET h/x x-a:1"),
        ("exact=/x header=x-a:1,x-b:1", "exact=/x header=x-a:1 methods=GET", "GET h/x x-a:1 x-b:1"),
        ("exact=/x methods=GET", "exact=/x", "GET h/x"),
        ("re=/x.y header=x-a:1", "re=/x..", "GET h/x.y x-a:1"),
        // what does not match is not in the way
        ("prefix=/", "exact=/x methods=POST", "GET h/x"),
        ("prefix=/x", "template=/x/{a} header=x-a:1", "GET h/x/y x-a:2"),
        ("template=/{a}/{b}", "template=/x/{b} methods=POST", "GET h/x/y"),
        ("template=/{a}/{b}", "template=/x/y/{b}", "GET h/x/y"),
        ("exact=/x", "host=a.b methods=POST", "GET a.b/x"),
        ("prefix=/x", "prefix=/x/y methods=POST", "GET h/x/y"),
        ("re=/x.*", "re=/x/long[a-z]* methods=POST", "GET h/x/long"),
    ] {
        for (routes, index) in [([winner, loser], 0), ([loser, winner], 1)] {
            let routes = routes.map(short);
            let (table, clashes) = table(&[&routes[0], &routes[1]]);
            assert_eq!(clashes, [], "{routes:?}");
            assert_eq!(choose(&table, request), Some(index), "{routes:?} for {request}");
        }
    }
}

#[test]
fn which_may_stand_together() {
    let tie = || vec![Clash::Tie(0, 1)];
    for (a, b, clashes) in [
        ("exact=/x", "exact=/x", tie()),
        ("exact=/x", "exact=/%78", tie()),
        ("", "prefix=/", tie()),
        ("prefix=/x", "prefix=/x/", tie()),
        ("template=/x/{a}", "template=/x/{b}", tie()),
        ("re=/x.", "re=/x.", tie()),
        ("exact=/x methods=GET", "exact=/x methods=GET,POST", tie()),
        ("exact=/x methods=GET", "exact=/x methods=POST", vec![]),
        ("exact=/x methods=GET", "exact=/x", vec![]),
        ("exact=/x header=x-a:1", "exact=/x header=x-b:1", tie()),
        ("exact=/x header=x-a:1", "exact=/x header=x-a:2", vec![]),
        ("exact=/x header=x-a:1", "exact=/x header=x-a:1", tie()),
        ("exact=/x header=x-a:1,x-b:1", "exact=/x header=x-a:1,x-c:1", tie()),
        ("exact=/x header=x-a:1,x-b:1", "exact=/x header=x-a:2,x-c:1", vec![]),
        ("exact=/x header=x-a:1,x-b:1", "exact=/x header=x-a:1", vec![]),
        ("exact=/x header=x-a:1 methods=GET", "exact=/x header=x-b:1 methods=POST", vec![]),
        ("exact=/x header=x-a:1 methods=GET", "exact=/x header=x-b:1", vec![]),
        // hosts
        ("host=a.b", "host=c.d", vec![]),
        ("host=a.b", "host=*.b", vec![]),
        ("host=a.b", "", vec![]),
        ("host=a.b,c.d", "host=c.d,e.f", tie()),
        ("host=a.b,c.d", "host=a.b,c.d", tie()),
        ("host=*.a.b", "host=*.A.b", tie()),
        // templates that overlap have an order
        ("template=/x/{a}", "template=/{a}/y", vec![]),
        // expressions of one length, which could match one path
        ("re=/x.", "re=/.x", tie()),
        ("re=/x[0-9]+", "re=/y[0-9]+", vec![]),
        ("re=/x[0-9]+", "re=/x[a-z]+", tie()),
        ("re=/xy*", "re=/x.*", tie()),
        ("re=/xy?", "re=/xz?", tie()),
        ("re=/x|/y", "re=/z|/x", tie()),
        ("re=/x.+", "re=/x..+", vec![]),
        ("re=/x. methods=GET", "re=/.x methods=POST", vec![]),
        ("re=/x. header=x-a:1", "re=/.x", vec![]),
        // everything is taken
        ("prefix=/x", "re=/.*", vec![Clash::Covered(0, 1)]),
        ("prefix=/x", "re=.*", vec![Clash::Covered(0, 1)]),
        ("re=/x", "re=^/.*$", vec![Clash::Covered(0, 1)]),
        ("prefix=/x", "re=/.* methods=GET", vec![]),
        ("prefix=/x", "host=a.b re=/.*", vec![]),
        ("host=a.b,c.d prefix=/x", "host=a.b re=/.*", vec![]),
        ("host=a.b,c.d prefix=/x", "host=a.b,c.d re=/.*", vec![Clash::Covered(0, 1)]),
        ("exact=/x", "re=/.*", vec![]),
    ] {
        let (a, b) = (short(a), short(b));
        assert_eq!(table(&[&a, &b]).1, clashes, "{a} and {b}");
    }
}

#[test]
fn what_is_walked_is_bounded() {
    let of = |write: fn(usize) -> String, count: usize| {
        let routes: Vec<String> = (0..count).map(|index| short(&write(index))).collect();
        table(&routes.iter().map(String::as_str).collect::<Vec<_>>()).1
    };
    let variants = |index| format!("exact=/x header=x-a:{index}");
    assert_eq!(of(variants, 64), []);
    assert_eq!(of(variants, 65), [Clash::Crowded(64)]);
    let expressions = |index| format!("host=h{index} re=/x.");
    assert_eq!(of(expressions, 32), []);
    assert_eq!(of(expressions, 34), [Clash::Expressions(32), Clash::Expressions(33)]);
    // 1,035 pairs of equal routes, of which nobody reads so many.
    assert_eq!(of(|_| "exact=/x".to_owned(), 46).len(), limits::ROUTE_CLASHES);
}

#[test]
fn as_long_as_may_be() {
    let path = |kind: &str, value: &str| format!(r#"{{"path":{{"type":"{kind}","value":"{value}"}}}}"#);
    let expression = |bytes: usize| path("RegularExpression", &format!("/a(?x){}", " ".repeat(bytes - 6)));
    assert!(read(&path("Exact", &"/a".repeat(limits::ROUTE_SEGMENTS))).is_ok());
    assert!(read(&path("Exact", &"/a".repeat(limits::ROUTE_SEGMENTS + 1))).is_err());
    assert!(read(&expression(limits::ROUTE_PATTERN_BYTES)).is_ok());
    assert!(read(&expression(limits::ROUTE_PATTERN_BYTES + 1)).is_err());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one row for each mistake")]
fn what_is_refused() {
    let path = |kind: &str, value: &str| {
        format!(r#"{{"path":{{"type":"{kind}","value":{}}}}}"#, Json::Text(value.to_owned()))
    };
    for (text, problem) in [
        (
            r#"{"hosts":["*"]}"#.to_owned(),
            "hosts[0]: `*` is not a host · help: leave `hosts` out to take every host",
        ),
        (
            r#"{"hosts":["a.example:443"]}"#.to_owned(),
            "hosts[0]: `a.example:443` names a port · help: write the host alone: a route takes every port",
        ),
        (
            r#"{"hosts":["a.*.example"]}"#.to_owned(),
            "hosts[0]: `a.*.example` is not a host · help: a name such as `api.example.com`, or `*.shop.example` for every name below it",
        ),
        (
            r#"{"hosts":["*.10.0.0.1"]}"#.to_owned(),
            "hosts[0]: `*.10.0.0.1`: an address has nothing below it · help: write the address itself",
        ),
        (
            r#"{"hosts":["a.b","A.b."]}"#.to_owned(),
            "hosts[1]: the host stands twice · help: keep one of them",
        ),
        (
            r#"{"hosts":[]}"#.to_owned(),
            "hosts: an empty list · help: write at least one element or leave the key out",
        ),
        (
            r#"{"methods":["get"]}"#.to_owned(),
            "methods[0]: `get`: a method is compared as it is written · help: did you mean `GET`?",
        ),
        (r#"{"methods":["GET","GET"]}"#.to_owned(), "methods[1]: `GET` stands twice"),
        (r#"{"methods":["A B"]}"#.to_owned(), "methods[0]: `A B` is not a method · help: such as `GET`"),
        (
            r#"{"headers":[{"name":":path","value":"/"}]}"#.to_owned(),
            "headers[0].name: `:path` is not a header name · help: use `hosts`, `path` and `methods` for what is in a request line",
        ),
        (
            r#"{"headers":[{"name":"Host","value":"a"}]}"#.to_owned(),
            "headers[0].name: `host` is no header here, so the route can never match · help: use `hosts`",
        ),
        (
            r#"{"headers":[{"name":"x-a","value":" a"}]}"#.to_owned(),
            "headers[0].value: no header has this value, so the route can never match · help: no control characters, and no blank at either end",
        ),
        (
            r#"{"headers":[{"name":"x-a","value":"1"},{"name":"X-A","value":"2"}]}"#.to_owned(),
            "headers[1]: `x-a` stands twice, so the route can never match · help: a field must be there once, with one value",
        ),
        (
            path("Prefix", "/a"),
            "path.type: unknown value `Prefix` · help: one of `Exact`, `PathPrefix`, `Template`, `RegularExpression`",
        ),
        (path("Exact", "a"), "path.value: `a` does not begin with `/`"),
        (
            path("Exact", "/a/../b"),
            "path.value: `/a/../b`: a dot segment, so every request for it is refused",
        ),
        (path("PathPrefix", "//a"), "path.value: `//a`: a doubled slash, so every request for it is refused"),
        (
            path("Exact", "/a%2fb"),
            "path.value: `/a%2fb`: an encoded slash, so every request for it is refused",
        ),
        (
            path("Exact", "/a?b"),
            "path.value: `/a?b` has a query · help: a path is compared without its query: leave it out",
        ),
        (
            path("Exact", "/a b"),
            "path.value: `/a b`: not a path: percent-encode what is no letter, digit or one of `-._~!$&'()*+,=:@`",
        ),
        (
            path("Exact", &"/a".repeat(66)),
            "path.value: `/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a…`: more than 64 segments",
        ),
        (path("Template", "/a"), "path.value: a template without a variable · help: write `type: Exact`"),
        (
            path("Template", "/a/{}"),
            "path.value: `{}` is not a variable of a template, or stands twice · help: letters, digits and `_` in braces, each name once: `/orders/{id}`",
        ),
        (
            path("Template", "/{a-b}"),
            "path.value: `{a-b}` is not a variable of a template, or stands twice · help: letters, digits and `_` in braces, each name once: `/orders/{id}`",
        ),
        (
            path("Template", "/{a}/{a}"),
            "path.value: `{a}` is not a variable of a template, or stands twice · help: letters, digits and `_` in braces, each name once: `/orders/{id}`",
        ),
        (
            path("Template", "/a-{b}"),
            "path.value: `a-{b}` is neither text nor a variable · help: a variable is a whole segment: `/orders/{id}`",
        ),
        (
            path("Template", "/{a}/.."),
            "path.value: `/v/..`: a dot segment, so every request for it is refused",
        ),
        (
            path("RegularExpression", "/a)|(/b"),
            "path.value: not a regular expression: found closing ')' without matching '('",
        ),
        (
            path("RegularExpression", "orders/.*"),
            "path.value: `orders/.*`: every path begins with `/`, so the route can never match · help: the whole path must match; begin with `/` or `.*`",
        ),
        (path("RegularExpression", &"x".repeat(513)), "path.value: longer than 512 bytes"),
    ] {
        match read(&text) {
            Err(found) => assert_eq!(found, problem, "{text}"),
            Ok(matched) => panic!("{text}: {matched:?}"),
        }
    }
}
