//! What does a user write under `cors`?

use super::{Names, Origin, Rules, SAFELISTED};
use crate::document::{Default, Field, Key, Section, Shape, quoted};
use crate::guards::cors::origin::OriginFault;
use crate::http;
use crate::json::Json;

/// `cors`
pub static CORS: Shape = Shape::new(
    "cors",
    "Which pages of other origins may use a route from a browser. A preflight for a route with this section is answered by the gateway, \
            before authentication and uncounted by limits: `Access-Control-Request-Method` chooses the route, so it is the one of the actual request (but for \
            `match.headers`, which a preflight does not carry). What is not allowed is refused with 403 `cors_denied` and gets none of these \
            headers, so the page is told nothing and the audit tells you. Other responses of the route, refusals too, say who may read \
            them, in place of what the upstream says of it. A request of another origin is not refused: whoever is no browser can send any.",
    &[
        Key::new(
            "allowOrigins",
            "list of strings",
            Default::Required,
            "`https://app.example.com`, as browsers write it: lower case, no path, no port that is the scheme's own. `https://*.example.com` takes every \
             name below, at any depth. `*` takes every origin, and stands alone. `null` is what sandboxed pages and local files send: anybody's.",
        ),
        Key::new(
            "allowMethods",
            "list of strings",
            Default::Is("GET, HEAD, POST"),
            "The methods that pages may use, beside GET, HEAD and POST, which they may without asking. `*`: every one that the route takes.",
        ),
        Key::new(
            "allowHeaders",
            "list of strings",
            Default::Is("none"),
            "Header fields that pages may set, beside those that they may without asking. `*`: every one but `authorization`, which must be named.",
        ),
        Key::new(
            "exposeHeaders",
            "list of strings",
            Default::Is("none"),
            "Fields of the response that pages may read, beside those that they always may. `*`: every one.",
        ),
        Key::new(
            "maxAge",
            "duration",
            Default::Is("the browser's own, 5s"),
            "How long a browser may remember the answer to a preflight, up to `24h`; browsers stop at 2 hours or a day.",
        ),
        Key::new(
            "allowCredentials",
            "boolean",
            Default::Is("false"),
            "Whether pages may send cookies and client certificates, and read what comes of it. Not beside `*` or `null`: anybody's page could then act as whoever looks at it.",
        ),
    ],
);

/// Reads a `cors`; `Some(None)` is `Off`.
pub fn read(field: &Field<'_>) -> Option<Option<Rules>> {
    if matches!(field.value, Json::Bool(false)) || field.value.as_text() == Some("Off") {
        return Some(None);
    }
    let section = field.section(&CORS)?;
    let origins = section.get("allowOrigins").and_then(|field| origins(&field));
    let methods = names(&section, "allowMethods", &SAFELISTED, method);
    let headers = names(&section, "allowHeaders", &[], header);
    let expose = names(&section, "exposeHeaders", &[], header);
    let max_age = match section.get("maxAge") {
        Some(field) => field.duration(0..=86_400_000_000_000).map(|nanos| Some(nanos / 1_000_000_000)),
        None => Some(None),
    };
    let credentials = section.get("allowCredentials").map_or(Some(false), |field| field.boolean());
    let (origins, methods, headers, expose) = (origins?, methods?, headers?, expose?);
    if credentials == Some(true) {
        refuse_for_anybody(&section, &origins, [&methods, &headers, &expose]);
    }
    let listed = |names: Names| (!names.text.is_empty()).then_some(names.text);
    let max_age = max_age?.map(|seconds| seconds.to_string().into());
    Some(Some(Rules {
        origins,
        methods,
        headers,
        expose: listed(expose),
        max_age,
        credentials: credentials?,
    }))
}

/// Fetch §3.2.5: with credentials, `*` is no wildcard, and no browser takes it for an origin. A gateway that reflected every origin instead would give every
/// page on the net what the user may see.
fn refuse_for_anybody(section: &Section<'_>, origins: &[Origin], names: [&Names; 3]) {
    let anybody = |origin: &&Origin| matches!(origin, Origin::Any | Origin::Null);
    if let Some(origin) = origins.iter().find(anybody) {
        let which = if *origin == Origin::Any { "*" } else { "null" };
        section.error(
            format!("`allowCredentials` beside the origin `{which}`, which is anybody"),
            "name the origins whose pages may act for their users",
        );
    }
    if names.iter().any(|names| names.any) {
        section.error(
            "`allowCredentials` beside `*`, which browsers then take for a name",
            "write down the methods and headers",
        );
    }
}

fn origins(field: &Field<'_>) -> Option<Vec<Origin>> {
    let mut origins = Vec::new();
    let mut whole = true;
    for element in field.short_list()? {
        let text = element.text()?;
        match Origin::parse(text) {
            Ok(origin) if origins.contains(&origin) => {
                element.error(format!("{} stands twice", quoted(text)), "");
                whole = false;
            }
            Ok(origin) => origins.push(origin),
            Err(fault) => {
                element.error(format!("{} is not an origin", quoted(text)), help(text, fault));
                whole = false;
            }
        }
    }
    if origins.contains(&Origin::Any) && origins.len() > 1 {
        field.error("`*` beside other origins", "it takes every one: let it stand alone, or take it out");
        whole = false;
    }
    whole.then_some(origins)
}

fn help(text: &str, fault: OriginFault) -> String {
    match fault {
        OriginFault::Form => {
            let lower = text.trim_end_matches('/').to_ascii_lowercase();
            if lower != text && Origin::parse(&lower).is_ok() {
                format!("did you mean {}?", quoted(&lower))
            } else {
                "a scheme and a host as browsers write them, without a path: `https://app.example.com`"
                    .to_owned()
            }
        }
        OriginFault::DefaultPort => "browsers leave the scheme's own port out: so does this list".to_owned(),
        OriginFault::Star => "`*` stands for the first labels: `https://*.example.com`, or alone".to_owned(),
    }
}

/// A list of names, or `*` alone.
fn names(
    section: &Section<'_>,
    key: &'static str,
    otherwise: &[&str],
    read: fn(&Field<'_>) -> Option<Box<str>>,
) -> Option<Names> {
    let mut list: Vec<Box<str>> = Vec::new();
    let mut whole = true;
    let Some(field) = section.get(key) else {
        let list: Vec<Box<str>> = otherwise.iter().map(|name| Box::from(*name)).collect();
        return Some(Names { any: false, text: list.join(", ").into(), list });
    };
    for element in field.short_list()? {
        match read(&element) {
            Some(name) if list.contains(&name) => {
                element.error(format!("{} stands twice", quoted(&name)), "");
                whole = false;
            }
            Some(name) => list.push(name),
            None => whole = false,
        }
    }
    let any = list.iter().any(|name| &**name == "*");
    if any && list.len() > 1 && key != "allowHeaders" {
        field.error("`*` beside other names", "it takes every one: let it stand alone, or take it out");
        whole = false;
    }
    whole.then(|| Names { any, text: list.join(", ").into(), list })
}

fn method(field: &Field<'_>) -> Option<Box<str>> {
    let text = field.text()?;
    if text.bytes().all(|b| http::is_token_byte(b) && !b.is_ascii_lowercase()) {
        return Some(text.into());
    }
    field.error(format!("{} is not a method", quoted(text)), "methods are written in upper case: `GET`");
    None
}

fn header(field: &Field<'_>) -> Option<Box<str>> {
    field.header_name().map(|name| Box::from(&*name))
}
