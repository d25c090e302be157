//! What did a runner see of one request, and do two runners say the same?

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::exchange::{Fields, Response, latin1};

/// Fields that a proxy adds or rewrites on the way and that are none of the filter's business.
const OF_THE_PROXY: [&str; 7] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];
/// Fields of a refusal that all runners must give alike. `retry-after` and the like tell the time, which differs.
const OF_A_REFUSAL: [&str; 5] =
    ["allow", "content-type", "grpc-status", "ratelimit-policy", "www-authenticate"];
/// Members of an audit event that differ from run to run.
const OF_THE_RUN: [&str; 2] = ["@timestamp", "event.duration"];
/// By which word a scenario names a field of the event. A field of the caller stands in `caller`; any other field may be named in full.
const WORDS: [(&str, &str); 14] = [
    ("decision", "portcullis.decision"),
    ("reason", "event.reason"),
    ("detail", "portcullis.detail"),
    ("route", "portcullis.route"),
    ("exposure", "portcullis.exposure"),
    ("rule", "rule.name"),
    ("shadowRules", "portcullis.shadow_rules"),
    ("clientAddress", "client.ip"),
    ("method", "http.request.method"),
    ("host", "url.domain"),
    ("status", "http.response.status_code"),
    ("requestId", "http.request.id"),
    ("policy", "portcullis.policy.name"),
    ("digest", "portcullis.policy.digest"),
];
const WORDS_OF_THE_CALLER: [(&str, &str); 7] = [
    ("subject", "user.id"),
    ("hash", "user.hash"),
    ("client", "portcullis.client"),
    ("issuer", "portcullis.issuer"),
    ("provider", "portcullis.provider"),
    ("kid", "portcullis.kid"),
    ("apiKey", "portcullis.api_key"),
];
/// Claims of an assertion that differ from one to the next.
const OF_A_MOMENT: [&str; 4] = ["iat", "nbf", "exp", "jti"];

/// One request, seen from all sides.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What the client got.
    pub response: Response,
    /// What the upstream got; `None` if the request was refused.
    pub upstream: Option<Upstream>,
    /// The audit event, if there was one.
    pub audit: Option<Value>,
}

/// The head that reached the upstream, without what the proxy itself adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The fields, sorted by name; those of one name keep their order.
    pub fields: Fields,
    /// Bytes of body.
    pub body: usize,
}

impl Upstream {
    /// Takes away what is the proxy's.
    pub fn new(method: &str, target: &str, fields: &Fields, body: usize) -> Self {
        let mut fields: Fields = fields.iter().filter(|(name, _)| !of_the_proxy(name)).cloned().collect();
        for (_, value) in &mut fields {
            if let Some(told) = assertion(value) {
                *value = told.into_bytes();
            }
        }
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { method: method.to_owned(), target: target.to_owned(), fields, body }
    }
}

/// What an assertion says, but for its signature and for what is of its moment alone; `None` if it is none.
fn assertion(value: &[u8]) -> Option<String> {
    let mut parts = value.split(|&b| b == b'.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let mut part = || -> Option<Value> { serde_json::from_slice(&parts.next()??).ok() };
    let (header, mut claims) = (part()?, part()?);
    (header["typ"] == "portcullis-assertion+jwt").then_some(())?;
    let members = claims.as_object_mut()?;
    let whole = OF_A_MOMENT.iter().all(|name| members.remove(*name).is_some());
    Some(format!(
        "{} {} {claims}{}",
        header["alg"].as_str()?,
        header["kid"].as_str()?,
        if whole { "" } else { " (no times)" }
    ))
}

fn of_the_proxy(name: &str) -> bool {
    name.starts_with(':') || name.starts_with("x-envoy-") || OF_THE_PROXY.contains(&name)
}

impl Observed {
    /// `admitted`, `answered`, or the `code` of the problem document; a refusal without one is `-` (the proxy's own, or a fault).
    pub fn code(&self) -> String {
        if self.upstream.is_some() {
            return "admitted".to_owned();
        }
        if self.audit.as_ref().is_some_and(|event| event["portcullis.decision"] == "answered") {
            return "answered".to_owned();
        }
        let problem: Option<Value> = serde_json::from_slice(&self.response.body).ok();
        let code = problem.as_ref().and_then(|problem| problem.get("code")?.as_str());
        // A gRPC answer has no body of ours: the event tells the reason.
        let code = code.or_else(|| self.audit.as_ref()?.get("event.reason")?.as_str());
        code.unwrap_or("-").to_owned()
    }

    /// What must be the same in every runner, as lines that can be compared by a person.
    pub fn essence(&self) -> Vec<String> {
        let mut lines = vec![format!("status {}", self.response.status), format!("code {}", self.code())];
        match &self.upstream {
            Some(upstream) => {
                lines.push(format!("upstream {} {} +{}", upstream.method, upstream.target, upstream.body));
                lines.extend(
                    upstream.fields.iter().map(|(name, value)| format!("upstream {name}: {}", latin1(value))),
                );
            }
            None => lines.extend(self.refusal_fields()),
        }
        if let Some(Value::Object(event)) = &self.audit {
            let told = event.iter().filter(|(name, _)| !OF_THE_RUN.contains(&name.as_str()));
            lines.extend(told.map(|(name, value)| format!("audit {name}: {value}")));
        }
        lines
    }

    fn refusal_fields(&self) -> impl Iterator<Item = String> + '_ {
        let told = self.response.fields.iter().filter(|(name, _)| OF_A_REFUSAL.contains(&name.as_str()));
        told.map(|(name, value)| format!("response {name}: {}", latin1(value)))
    }
}

/// The lines that one has and the other has not; empty if they agree.
pub fn differences(one: &Observed, other: &Observed) -> Vec<String> {
    let (one, other) = (one.essence(), other.essence());
    let only = |left: &[String], right: &[String], sign: char| -> Vec<String> {
        left.iter().filter(|line| !right.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only(&one, &other, '<');
    lines.extend(only(&other, &one, '>'));
    lines
}

/// The audit event of this request, if the line of a log is one.
pub fn audit_event(line: &str, request_id: &str) -> Option<Value> {
    let event = line.contains(request_id).then(|| any_event(line)).flatten()?;
    (event.get("http.request.id")? == request_id && event["event.action"] == "request").then_some(event)
}

/// The audit event in a line of a log, of whatever kind: the JSON object behind the host's prefix.
pub fn any_event(line: &str) -> Option<Value> {
    let start = line.find("{\"@timestamp\"")?;
    serde_json::from_str(line[start..].trim_end()).ok()
}

/// A member of an event by a scenario's word for it; `null` if it is not there.
pub fn told(event: &Value, word: &str) -> Value {
    let named = |words: &[(&str, &str)], word: &str| {
        words.iter().find(|(known, _)| *known == word).and_then(|(_, name)| event.get(*name)).cloned()
    };
    let member = match word {
        "path" => event["url.path"].as_str().map(|path| {
            let query = event["url.query"].as_str().map(|query| format!("?{query}"));
            Value::from(format!("{path}{}", query.unwrap_or_default()))
        }),
        "caller" => {
            let words = WORDS_OF_THE_CALLER.iter().map(|(word, _)| *word);
            let members =
                words.filter_map(|word| Some((word.to_owned(), named(&WORDS_OF_THE_CALLER, word)?)));
            Some(members.collect::<serde_json::Map<_, _>>())
                .filter(|caller| !caller.is_empty())
                .map(Value::from)
        }
        _ => named(&WORDS, word).or_else(|| event.get(word).cloned()),
    };
    member.unwrap_or(Value::Null)
}

/// Whether `text` is of the form `pattern`, where `*` stands for anything.
pub fn like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(start) else {
        return false;
    };
    (0..=text.len()).any(|at| text.get(at..).is_some_and(|tail| like(rest, tail)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Observed, Upstream, audit_event, differences, like, told};
    use crate::exchange::Response;

    fn refused(code: &str) -> Observed {
        let body = format!(r#"{{"code":"{code}"}}"#).into_bytes();
        Observed { response: Response { status: 401, fields: Vec::new(), body }, upstream: None, audit: None }
    }

    #[test]
    fn two_that_differ_say_in_what() {
        assert_eq!(differences(&refused("a"), &refused("a")), Vec::<String>::new());
        assert_eq!(differences(&refused("a"), &refused("b")), ["< code a", "> code b"]);
    }

    #[test]
    fn what_the_proxy_adds_does_not_count() {
        let own = vec![
            ("x-envoy-a".to_owned(), Vec::new()),
            ("b".to_owned(), Vec::new()),
            ("a".to_owned(), Vec::new()),
        ];
        let names: Vec<_> =
            Upstream::new("GET", "/", &own, 0).fields.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "aab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*", "", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_event_is_found_behind_the_prefix_of_a_log() {
        let line = r#"[2026-11-24][1][info][wasm] [x.cc:1] wasm log p r v: {"@timestamp":"t","event.action":"request","portcullis.decision":"refused","http.request.id":"r-1","url.path":"/a","url.query":"b","user.id":"u"}"#;
        let event = audit_event(line, "r-1").unwrap();
        for (word, expected) in [
            ("decision", json!("refused")),
            ("path", json!("/a?b")),
            ("caller", json!({"subject": "u"})),
            ("rule", json!(null)),
            ("user.id", json!("u")),
        ] {
            assert_eq!(told(&event, word), expected, "{word}");
        }
        assert!(audit_event(line, "r-2").is_none());
        assert!(audit_event(r#"{"@timestamp":"t","http.request.id":"r-1"}"#, "r-1").is_none());
    }
}
