//! Does the index choose the route that a plain reading of the rules chooses, and does a policy read the same however it came?

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use portcullis_filter::document::{Field, Shape};
use portcullis_filter::guards::route::{Clash, Match, Table, config};
use portcullis_filter::http::head::{Head, serialize};
use portcullis_filter::json::Json;
use portcullis_filter::policy::{POLICY, Policy, carrier};
use portcullis_filter::problem::Problems;
use proptest::prelude::*;

fn head(fields: &[(String, String)]) -> Head {
    let pseudo = [(":method", "-"), (":authority", "-"), (":path", "-")];
    let pseudo = pseudo.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Head::parse(serialize(pseudo.chain(fields))).unwrap()
}

/// A route as the test knows it: text, and no index.
#[derive(Clone, Debug)]
struct Plain {
    hosts: Vec<String>,
    kind: &'static str,
    path: String,
    methods: Vec<String>,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
    method: String,
    headers: Vec<(String, String)>,
}

/// How specific a match is, the greater the more: host, kind of path, order within the kind, headers, methods.
type Rank = ((u8, usize), u8, Vec<u8>, usize, bool);

impl Plain {
    fn json(&self) -> Json {
        let text = |text: &str| Json::Text(text.to_owned());
        let mut fields = Vec::new();
        if !self.hosts.is_empty() {
            fields.push(("hosts".to_owned(), Json::List(self.hosts.iter().map(|host| text(host)).collect())));
        }
        if !self.kind.is_empty() {
            let path = vec![("type".to_owned(), text(self.kind)), ("value".to_owned(), text(&self.path))];
            fields.push(("path".to_owned(), Json::Map(path)));
        }
        if !self.methods.is_empty() {
            fields.push((
                "methods".to_owned(),
                Json::List(self.methods.iter().map(|method| text(method)).collect()),
            ));
        }
        let header = |(name, value): &(String, String)| {
            Json::Map(vec![("name".to_owned(), text(name)), ("value".to_owned(), text(value))])
        };
        if !self.headers.is_empty() {
            fields.push(("headers".to_owned(), Json::List(self.headers.iter().map(header).collect())));
        }
        Json::Map(fields)
    }

    fn read(&self) -> Match {
        let (json, problems) = (self.json(), Problems::new());
        let matched = config::read(&Field::root(&json, &problems));
        matched.unwrap_or_else(|| panic!("{self:?}: {:?}", problems.into_vec()))
    }

    fn rank(&self, request: &Request) -> Option<Rank> {
        let host = self.host(&request.host)?;
        let (kind, order) = self.path(&request.path)?;
        if !self.methods.is_empty() && !self.methods.contains(&request.method) {
            return None;
        }
        for (name, value) in &self.headers {
            let sent: Vec<_> = request.headers.iter().filter(|(n, _)| n == name).collect();
            if !sent.iter().any(|(_, v)| v == value) {
                return None;
            }
        }
        Some((host, kind, order, self.headers.len(), !self.methods.is_empty()))
    }

    /// Whether a header that it asks for stands twice in the request.
    fn unclear(&self, request: &Request) -> bool {
        self.headers.iter().any(|(name, _)| request.headers.iter().filter(|(n, _)| n == name).count() > 1)
    }

    fn host(&self, host: &str) -> Option<(u8, usize)> {
        if self.hosts.is_empty() {
            return Some((0, 0));
        }
        let fit = |pattern: &String| match pattern.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix).then_some((1, suffix.len())),
            None => (pattern == host).then_some((2, 0)),
        };
        self.hosts.iter().filter_map(fit).max()
    }

    fn path(&self, path: &str) -> Option<(u8, Vec<u8>)> {
        match self.kind {
            "Exact" => (self.path == path).then(|| (3, vec![])),
            "Template" => {
                let (own, asked): (Vec<_>, Vec<_>) =
                    (self.path.split('/').collect(), path.split('/').collect());
                let fit = |(own, asked): (&&str, &&str)| {
                    own == asked || (own.starts_with('{') && !asked.is_empty())
                };
                let whole = own.len() == asked.len() && own.iter().zip(&asked).all(fit);
                whole.then(|| (2, own.iter().map(|segment| u8::from(!segment.starts_with('{'))).collect()))
            }
            "RegularExpression" => {
                // The expressions of the strategy below are these, and nothing else.
                let fit = match self.path.as_str() {
                    "/a.*" => path.starts_with("/a"),
                    "/[ab]/.+" => (path.starts_with("/a/") || path.starts_with("/b/")) && path.len() > 3,
                    "/(a|b|ab)(/c)*" => {
                        let bare = path.trim_end_matches("/c");
                        ["/a", "/b", "/ab"].contains(&bare)
                    }
                    other => panic!("{other}"),
                };
                fit.then(|| (1, vec![u8::try_from(self.path.len()).unwrap()]))
            }
            _ => {
                let own = self.path.strip_suffix('/').unwrap_or(&self.path);
                let rest = path.strip_prefix(own)?;
                let segments = own.matches('/').count();
                (rest.is_empty() || rest.starts_with('/')).then(|| (0, vec![u8::try_from(segments).unwrap()]))
            }
        }
    }
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

fn host() -> impl Strategy<Value = String> {
    one_of(&["a.b.c", "b.c", "c", "x.b.c", "x.y", "*.b.c", "*.c", "*.a.b.c"])
}

fn path() -> impl Strategy<Value = (&'static str, String)> {
    let segment = || one_of(&["a", "b", "ab", "c"]);
    let segments = |segment: BoxedStrategy<String>| {
        proptest::collection::vec(segment, 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
    };
    let variable =
        (segment(), 0..3_u8).prop_map(|(segment, free)| if free == 0 { "{}".to_owned() } else { segment });
    let template = proptest::collection::vec(variable, 1..4).prop_map(|segments| {
        let named = segments
            .iter()
            .enumerate()
            .map(|(index, s)| if s == "{}" { format!("{{v{index}}}") } else { s.clone() });
        let text = format!("/{}", named.collect::<Vec<_>>().join("/"));
        if text.contains('{') { text } else { format!("{text}/{{last}}") }
    });
    prop_oneof![
        segments(segment().boxed()).prop_map(|path| ("Exact", path)),
        segments(segment().boxed()).prop_map(|path| ("PathPrefix", path)),
        Just(("PathPrefix", "/".to_owned())),
        Just(("", String::new())),
        template.prop_map(|path| ("Template", path)),
        one_of(&["/a.*", "/[ab]/.+", "/(a|b|ab)(/c)*"]).prop_map(|path| ("RegularExpression", path)),
    ]
}

fn header() -> impl Strategy<Value = (String, String)> {
    (one_of(&["x-a", "x-b"]), one_of(&["1", "2"]))
}

fn route() -> impl Strategy<Value = Plain> {
    let hosts = proptest::collection::btree_set(host(), 0..3);
    let methods = proptest::collection::btree_set(one_of(&["GET", "POST"]), 0..3);
    let headers = proptest::collection::btree_map(one_of(&["x-a", "x-b"]), one_of(&["1", "2"]), 0..3);
    (hosts, path(), methods, headers).prop_map(|(hosts, (kind, path), methods, headers)| Plain {
        hosts: hosts.into_iter().collect(),
        kind,
        path,
        methods: methods.into_iter().collect(),
        headers: headers.into_iter().collect(),
    })
}

fn request() -> impl Strategy<Value = Request> {
    let segment = one_of(&["a", "b", "ab", "c", "abc"]);
    let path = (proptest::collection::vec(segment, 0..5), any::<bool>()).prop_map(|(segments, slash)| {
        format!("/{}{}", segments.join("/"), if slash && !segments.is_empty() { "/" } else { "" })
    });
    let host = one_of(&["a.b.c", "b.c", "c", "x.b.c", "x.y", "z.a.b.c", "xb.c"]);
    let headers = proptest::collection::vec(header(), 0..3);
    (host, path, one_of(&["GET", "POST", "HEAD"]), headers)
        .prop_map(|(host, path, method, headers)| Request { host, path, method, headers })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Where the index finds no clash, it chooses the one route of the highest rank; and two routes of one rank for one request are
    /// always found to clash.
    #[test]
    fn the_index_agrees_with_a_plain_reading(
        routes in proptest::collection::vec(route(), 1..12),
        requests in proptest::collection::vec(request(), 1..40),
    ) {
        let matches: Vec<Match> = routes.iter().map(Plain::read).collect();
        let (table, clashes) = Table::build(matches.iter().enumerate());
        for request in &requests {
            let ranked = routes.iter().enumerate().filter_map(|(index, route)| Some((route.rank(request)?, index)));
            let mut ranked: Vec<(Rank, usize)> = ranked.collect();
            ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            if let [(first, a), (second, b), ..] = ranked.as_slice()
                && first.cmp(second) == Ordering::Equal
                && !routes[*a].unclear(request)
                && !routes[*b].unclear(request)
            {
                prop_assert!(clashes.contains(&Clash::Tie(*a, *b)), "{request:?}: {:?} and {:?}", routes[*a], routes[*b]);
                continue;
            }
            let top = ranked.iter().take_while(|(rank, _)| *rank == ranked[0].0);
            let unclear = top.clone().filter(|(_, index)| routes[*index].unclear(request)).count();
            if unclear != 0 && unclear != top.count() {
                let tie = |a: &(Rank, usize), b: &(Rank, usize)| clashes.contains(&Clash::Tie(a.1.min(b.1), a.1.max(b.1)));
                let all = ranked.iter().take_while(|(rank, _)| *rank == ranked[0].0).collect::<Vec<_>>();
                prop_assert!(all.iter().any(|a| all.iter().any(|b| tie(a, b))), "{request:?} among {all:?}");
                continue;
            }
            let best = ranked.first().filter(|_| unclear == 0);
            let chosen = table.choose(&request.host, &request.path, request.method.as_bytes(), &head(&request.headers));
            prop_assert_eq!(chosen, best.map(|(_, index)| *index), "{:?} among {:?}", request, ranked);
        }
    }

    /// JSON text, the same as a `Struct`, and back.
    #[test]
    fn a_struct_says_what_the_json_says(document in map(3)) {
        let bytes = message(&document);
        let back = carrier::read(&bytes).unwrap();
        prop_assert_eq!(back.to_string(), document.to_string());
        let text = carrier::read(document.to_string().as_bytes()).unwrap();
        prop_assert_eq!(text.to_string(), document.to_string());
    }

    #[test]
    fn no_bytes_make_the_carrier_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = carrier::read(&bytes);
    }

    /// Bytes that begin well: one byte of a good message is changed, or the rest is cut off.
    #[test]
    fn no_bent_message_makes_the_carrier_panic(document in map(3), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = message(&document);
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
        }
        let _ = Policy::load(&bytes);
    }
}

fn map(depth: u32) -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-9_007_199_254_740_991_i64..9_007_199_254_740_991).prop_map(Json::Integer),
        (-1.0e6..1.0e6_f64).prop_map(|number| Json::Number(number + 0.1)),
        ".*".prop_map(Json::Text),
    ];
    let value = leaf.prop_recursive(depth, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Json::List),
            proptest::collection::vec((".*", inner), 0..6).prop_map(Json::Map),
        ]
    });
    // At least one field: a `Struct` without fields has no bytes, and the carrier then says that there is no document.
    proptest::collection::btree_map(".*", value, 1..6)
        .prop_map(|fields| Json::Map(fields.into_iter().collect()))
}

/// `google.protobuf.Struct` on the wire, written independently of the reader.
fn message(json: &Json) -> Vec<u8> {
    let Json::Map(fields) = json else { panic!("a struct is a map") };
    let mut out = Vec::new();
    for (name, value) in fields {
        let entry = [tagged(1, name.as_bytes()), tagged(2, &wire(value))].concat();
        out.extend(tagged(1, &entry));
    }
    out
}

fn wire(json: &Json) -> Vec<u8> {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    match json {
        Json::Null => vec![1 << 3, 0],
        Json::Bool(value) => vec![4 << 3, u8::from(*value)],
        Json::Integer(value) => [&[2 << 3 | 1][..], &(*value as f64).to_le_bytes()].concat(),
        Json::Number(value) => [&[2 << 3 | 1][..], &value.to_le_bytes()].concat(),
        Json::Text(text) => tagged(3, text.as_bytes()),
        Json::Map(_) => tagged(5, &message(json)),
        Json::List(list) => {
            tagged(6, &list.iter().flat_map(|value| tagged(1, &wire(value))).collect::<Vec<_>>())
        }
    }
}

fn tagged(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(bytes);
    out
}

/// A document with so many routes of every kind but expressions, of which there are sixteen.
fn large(routes: usize) -> String {
    let mut text =
        r#"{"apiVersion":"portcullis/v1","kind":"GatewayPolicy","name":"large","routes":["#.to_owned();
    for index in 0..routes {
        let path = match index % 4 {
            0 => format!(r#"{{"type":"Exact","value":"/exact/{index}"}}"#),
            1 => format!(r#"{{"type":"PathPrefix","value":"/prefix/{index}"}}"#),
            2 => format!(r#"{{"type":"Template","value":"/template/{index}/{{id}}"}}"#),
            _ => format!(r#"{{"type":"PathPrefix","value":"/deep/a/b/c/{index}"}}"#),
        };
        let host = if index % 3 == 0 { r#""hosts":["api.example.com","*.shop.example"],"# } else { "" };
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"name":"r{index}","match":{{{host}"path":{path}}},"authentication":{{"open":{{"because":"test"}}}}}}"#
        );
    }
    text + "]}"
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is this machine, not the gateway")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The shortest of several runs of `choose`, for a request that the last routes of the policy take.
fn cost(policy: &Policy, routes: usize) -> Duration {
    let head = head(&[]);
    let paths: Vec<String> = (routes - 4..routes)
        .map(|index| match index % 4 {
            0 => format!("/exact/{index}"),
            1 => format!("/prefix/{index}/x"),
            2 => format!("/template/{index}/x"),
            _ => format!("/deep/a/b/c/{index}/x/y"),
        })
        .collect();
    let run = || {
        let start = now();
        for _ in 0..500 {
            for path in &paths {
                let chosen =
                    policy.table.choose(black_box("api.example.com"), black_box(path), b"GET", &head);
                assert!(chosen.is_some(), "{path}");
            }
        }
        start.elapsed() / 2000
    };
    (0..20).map(|_| run()).min().unwrap()
}

#[test]
fn ten_thousand_routes_cost_what_ten_do() {
    let load = |routes: usize| {
        let text = large(routes);
        let start = now();
        let (policy, _) = Policy::load(text.as_bytes()).unwrap();
        println!("{routes} routes: {} KiB, loaded in {:?}", text.len() / 1024, start.elapsed());
        assert_eq!(policy.routes.len(), routes);
        policy
    };
    let (few, many) = (cost(&load(12), 12), cost(&load(10_000), 10_000));
    println!("choose: {few:?} of 12, {many:?} of 10,000");
    // Caches make the larger index a little slower; a walk over the routes would be hundreds of times as slow.
    assert!(many < few * 8, "{few:?} of 12, {many:?} of 10,000");
}

/// Both carriers, one digest, for a document with every key that is built.
#[test]
fn every_key_that_is_built() {
    let text = include_bytes!("policy/complete.json");
    let document = carrier::read(text).unwrap();
    let problems = |problems: Vec<portcullis_filter::problem::Problem>| -> Vec<String> {
        problems.iter().map(ToString::to_string).collect()
    };
    let (from_text, warnings) = Policy::load(text).map_err(problems).unwrap();
    let places: Vec<&str> = warnings.iter().map(|warning| warning.place.as_str()).collect();
    let in_a_url = ["jwt.providers[1].extractFrom.params", "apiKeyAuth.extractFrom.params"];
    assert_eq!(places, [&in_a_url[..], &["apiKeyAuth.extractFrom.cookies"]].concat());
    let (from_struct, _) = Policy::load(&message(&document)).map_err(problems).unwrap();
    assert_eq!(from_text.digest, from_struct.digest);
    assert_eq!(from_text.routes.len(), from_struct.routes.len());
    let names: Vec<&str> = from_text.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["read", "write", "regular", "partners", "open", "services", "either"]);
    let unused = unused_keys(&POLICY, &document);
    assert_eq!(unused, [""; 0], "the document lacks keys of the format");
}

/// Keys of the format that no map of the document has, wherever their shape stands.
fn unused_keys(shape: &'static Shape, document: &Json) -> Vec<String> {
    let mut places = Vec::new();
    gather(shape, document, &mut places);
    let mut unused = Vec::new();
    for (shape, _) in &places {
        for key in shape.keys {
            let mut maps = places.iter().filter(|(other, _)| other.name == shape.name);
            let name = format!("{}.{}", shape.name, key.name);
            if !maps.any(|(_, map)| map.get(key.name).is_some()) && !unused.contains(&name) {
                unused.push(name);
            }
        }
    }
    unused
}

/// Every map of the document with its shape. A shape with no map at all shows as an unused key of the one above it.
fn gather<'d>(shape: &'static Shape, value: &'d Json, places: &mut Vec<(&'static Shape, &'d Json)>) {
    match value {
        Json::List(list) => list.iter().for_each(|element| gather(shape, element, places)),
        Json::Map(_) => {
            places.push((shape, value));
            for key in shape.keys {
                if let (Some(shape), Some(value)) = (key.shape, value.get(key.name)) {
                    gather(shape, value, places);
                }
            }
        }
        _ => {}
    }
}
