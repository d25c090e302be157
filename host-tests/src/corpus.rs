//! What comes of the scenarios, and is it what they say?

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::client;
use crate::envoy::{Envoy, Launch};
use crate::envoy_config::Listener;
use crate::exchange::{Body, Request, latin1};
use crate::observed::{Observed, Upstream as Reached, audit_event, like, told};
use crate::scenario::{self, Scenario, Step, Text, fill};
use crate::tokens::{Keys, Proved};
use crate::upstream::Upstream;

/// How long an audit event may take to be in Envoy's log.
const EVENT: Duration = Duration::from_secs(2);

/// A scenario with its policy and environment made out.
#[derive(Clone, Debug)]
pub struct Case {
    /// As it is written.
    pub scenario: Scenario,
    /// The policy, with the base, the keys and a name filled in.
    pub policy: Value,
    /// The plugin's environment, with the keys filled in.
    pub env: BTreeMap<String, String>,
}

/// The requests of a case, made once for all runners, so that all see the same tokens.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When it starts, since the epoch. A virtual clock begins here.
    pub start: Duration,
    /// What is sent, in order.
    pub sends: Vec<Send>,
}

/// One request of a plan.
#[derive(Clone, Debug)]
pub struct Send {
    /// The number of its step.
    pub step: usize,
    /// When, after the start.
    pub offset: Duration,
    /// The request.
    pub request: Request,
}

/// A place where the filter runs.
pub trait Runner {
    /// What it is called in a message.
    fn name(&self) -> &'static str;
    /// Whether it can offer what the case needs.
    fn offers(&self, _: &Case) -> bool {
        true
    }
    /// Brings the case's policy to life.
    fn begin(&mut self, case: &Case, plan: &Plan) -> Result<(), String>;
    /// Sends a request, `offset` after the start.
    fn send(&mut self, offset: Duration, request: &Request) -> Result<Observed, String>;
}

impl Case {
    /// Fills in the base policy, the keys, the name, and an audit of everything.
    pub fn new(scenario: Scenario) -> Result<Self, String> {
        let mut policy = match &scenario.base {
            Some(base) => base_policy(base)?,
            None => json!({}),
        };
        merge(&mut policy, &scenario.policy);
        let defaults = json!({"apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": scenario.name, "audit": {"log": "All"}});
        for (key, value) in defaults.as_object().into_iter().flatten() {
            if policy.get(key).is_none() {
                policy[key] = value.clone();
            }
        }
        put_keys(&mut policy)?;
        let filled = scenario.env.iter().map(|(name, value)| Ok((name.clone(), with_keys(value)?)));
        let env = filled.collect::<Result<_, String>>()?;
        Ok(Self { scenario, policy, env })
    }

    /// Makes the requests, with tokens as of now.
    pub fn plan(&self) -> Result<Plan, String> {
        let start =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
        let mut sends = Vec::new();
        for (index, step) in self.scenario.requests.iter().enumerate() {
            let offset = step.offset()?;
            for turn in 0..step.repeat {
                let id = format!("{}-{index}-{turn}", self.scenario.name);
                let request = request(step, &id, (start + offset).as_secs())?;
                sends.push(Send { step: index, offset, request });
            }
        }
        Ok(Plan { start, sends })
    }

    /// What is not as the scenario says.
    pub fn faults(&self, plan: &Plan, observed: &[Observed]) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, step) in self.scenario.requests.iter().enumerate() {
            let of_step = || plan.sends.iter().zip(observed).filter(move |(send, _)| send.step == index);
            for (_, seen) in of_step() {
                faults.extend(
                    step_faults(step, seen).into_iter().map(|fault| format!("requests[{index}]: {fault}")),
                );
            }
            if let Some(expected) = &step.expect_counts {
                let mut counts = BTreeMap::new();
                of_step()
                    .for_each(|(_, seen)| *counts.entry(seen.response.status.to_string()).or_insert(0) += 1);
                if counts != *expected {
                    faults.push(format!("requests[{index}]: counts are {counts:?}, not {expected:?}"));
                }
            }
        }
        faults
    }
}

/// Runs a case in one place.
pub fn run(runner: &mut dyn Runner, case: &Case, plan: &Plan) -> Result<Vec<Observed>, String> {
    runner.begin(case, plan)?;
    plan.sends.iter().map(|send| runner.send(send.offset, &send.request)).collect()
}

fn base_policy(name: &str) -> Result<Value, String> {
    let file = scenario::directory().join(format!("policies/{name}.yaml"));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    scenario::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// RFC 7396: `null` takes away, an object merges, anything else replaces.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else { return };
    for (name, value) in members {
        match value {
            Value::Null => {
                target.as_object_mut().and_then(|known| known.remove(name));
            }
            Value::Object(_) if target.get(name).is_some_and(Value::is_object) => {
                merge(&mut target[name], value);
            }
            _ => target[name] = value.clone(),
        }
    }
}

fn put_keys(value: &mut Value) -> Result<(), String> {
    match value {
        Value::String(text) => *text = with_keys(text)?,
        Value::Array(items) => items.iter_mut().try_for_each(put_keys)?,
        Value::Object(members) => members.values_mut().try_for_each(put_keys)?,
        _ => {}
    }
    Ok(())
}

/// `{{jwks: rs256, es256}}` becomes a JWKS of these keys, `{{secret: hs256}}` the secret of that one.
fn with_keys(text: &str) -> Result<String, String> {
    let Some((what, names)) =
        text.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")?.split_once(':'))
    else {
        return Ok(text.to_owned());
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    match (what, names.as_slice()) {
        ("jwks", names) => Keys::of_this_run().jwks(names),
        ("secret", [name]) => Keys::of_this_run().hmac_secret(name),
        _ => Err(format!("`{text}` is none of `{{{{jwks: …}}}}` and `{{{{secret: …}}}}`")),
    }
}

fn request(step: &Step, id: &str, now: u64) -> Result<Request, String> {
    let token = step.token.as_ref().map(|spec| Keys::of_this_run().mint(spec, now)).transpose()?;
    let token = token.as_deref();
    let proof = proof(step, token, id, now)?;
    let mut request = Request {
        method: step.method.clone(),
        target: fill(&step.path, token).into_bytes(),
        certificate: step.certificate.clone(),
        ..Request::default()
    }
    .with("host", step.host.as_str());
    for (name, value) in &step.headers {
        request = match (value, &proof) {
            (Text::Plain(text), Some(proof)) if text.contains("{{proof}}") => {
                request.with(name, text.replace("{{proof}}", proof))
            }
            _ => request.with(name, value.bytes(token)?),
        };
    }
    for number in 1..=step.more_headers {
        request = request.with(&format!("x-many-{number}"), number.to_string());
    }
    let placed = step.path.contains("{{token}}") || step.headers.iter().any(|(_, value)| value.wants_token());
    if let (Some(token), false) = (token, placed) {
        let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
        request = request.with("authorization", format!("{scheme} {token}"));
    }
    let shown = |value: &Text| matches!(value, Text::Plain(text) if text.contains("{{proof}}"));
    if let (Some(proof), false) = (proof, step.headers.iter().any(|(_, value)| shown(value))) {
        request = request.with("dpop", proof);
    }
    if let Some(client) = &step.client {
        request = request.with("x-forwarded-for", client.as_str());
    }
    if let Some(body) = &step.body {
        request.body = Body::Whole(body.bytes(token)?);
    }
    if let Some(chunks) = &step.chunks {
        request.body = Body::Chunks(chunks.iter().map(|chunk| chunk.bytes(token)).collect::<Result<_, _>>()?);
    }
    Ok(request.with("x-request-id", id))
}

fn proof(step: &Step, token: Option<&str>, id: &str, now: u64) -> Result<Option<String>, String> {
    let Some(spec) = &step.proof else {
        return Ok(None);
    };
    let path = step.path.split('?').next().unwrap_or_default();
    let url = format!("http://{}{path}", step.host);
    let about = Proved { token: token.unwrap_or_default(), method: &step.method, url: &url, id };
    Keys::of_this_run().prove(spec, &about, now).map(Some)
}

fn step_faults(step: &Step, seen: &Observed) -> Vec<String> {
    let Some(expect) = &step.expect else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let mut must = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    let status = seen.response.status;
    must(expect.status.is_none_or(|expected| expected == status), format!("status is {status}"));
    let code = seen.code();
    must(expect.code.as_ref().is_none_or(|expected| *expected == code), format!("code is `{code}`"));
    for (name, pattern) in &expect.headers {
        // Of a field that stands more than once, one must do.
        let of_name = seen.response.fields.iter().filter(|(known, _)| known == name);
        let values: Vec<String> = of_name.map(|(_, value)| latin1(value)).collect();
        let holds = values.iter().any(|value| like(pattern, value));
        must(holds, format!("response `{name}` is {values:?}"));
    }
    for name in &expect.absent {
        must(seen.response.field(name).is_none(), format!("response has `{name}`"));
    }
    for (name, expected) in &expect.audit {
        let found = seen.audit.as_ref().map_or(Value::Null, |event| told(event, name));
        must(same(expected, &found), format!("audit `{name}` is {found}"));
    }
    let audited = seen.audit.is_some();
    must(expect.audited.is_none_or(|expected| expected == audited), format!("audited is {audited}"));
    if expect.upstream.is_some() && seen.upstream.is_none() {
        must(false, "nothing reached the upstream".to_owned());
    }
    if let (Some(expected), Some(reached)) = (&expect.upstream, &seen.upstream) {
        faults.extend(upstream_faults(expected, reached));
    }
    faults
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(pattern), Value::String(text)) => like(pattern, text),
        _ => expected == found,
    }
}

fn upstream_faults(expected: &scenario::ExpectUpstream, reached: &Reached) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(target) = expected.target.as_ref().filter(|target| **target != reached.target) {
        faults.push(format!("upstream target is `{}`, not `{target}`", reached.target));
    }
    let values = |name: &str| -> Vec<String> {
        let of_name = reached.fields.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| latin1(value)).collect()
    };
    for (name, pattern) in &expected.headers {
        let found = values(name);
        if !matches!(found.as_slice(), [value] if like(pattern, value)) {
            faults.push(format!("upstream `{name}` is {found:?}"));
        }
    }
    for name in &expected.absent {
        let found = values(name);
        if !found.is_empty() {
            faults.push(format!("upstream has `{name}`: {found:?}"));
        }
    }
    faults
}

/// The compiled plugin in a real Envoy, with a listener for each case.
pub struct InEnvoy {
    envoy: Envoy,
    upstream: Upstream,
    listener: String,
    begun: Instant,
}

impl InEnvoy {
    /// Starts Envoy with the policies of all cases.
    pub fn new(plugin: &Path, cases: &[Case]) -> Result<Self, String> {
        let upstream = Upstream::start().map_err(|error| error.to_string())?;
        let listeners = cases.iter().map(|case| listener(case, plugin, upstream.address().port())).collect();
        let launch = Launch { listeners, ..Launch::default() };
        let envoy = Envoy::start(&launch).map_err(|failure| failure.to_string())?;
        Ok(Self { envoy, upstream, listener: String::new(), begun: Instant::now() })
    }

    fn audit(&self, id: &str) -> Option<Value> {
        self.envoy.find_in_log(EVENT, |line| audit_event(line, id))
    }
}

/// Cases share a VM, which is then compiled once, but for those that count (they must not count in each other's tables) and those
/// that have an environment (Envoy 1.36 gives all listeners of one `vm_id` the environment of the first).
fn listener(case: &Case, plugin: &Path, upstream: u16) -> Listener {
    let mut listener = Listener::new(&case.scenario.name, case.policy.clone(), plugin.to_owned(), upstream);
    listener.carrier = case.scenario.carrier;
    listener.env.clone_from(&case.env);
    if case.policy.to_string().contains("rateLimit") || !case.env.is_empty() {
        listener.vm_id = format!("portcullis-test-{}", case.scenario.name);
    }
    listener
}

impl Runner for InEnvoy {
    fn name(&self) -> &'static str {
        "envoy"
    }

    /// On a plain connection there are no certificates.
    fn offers(&self, case: &Case) -> bool {
        case.scenario.requests.iter().all(|step| step.certificate.is_none())
    }

    fn begin(&mut self, case: &Case, _: &Plan) -> Result<(), String> {
        self.listener.clone_from(&case.scenario.name);
        self.begun = Instant::now();
        Ok(())
    }

    fn send(&mut self, offset: Duration, request: &Request) -> Result<Observed, String> {
        std::thread::sleep(offset.saturating_sub(self.begun.elapsed()));
        let address = self.envoy.listener(&self.listener).ok_or("the listener is gone")?;
        let response = client::send(address, request).map_err(|error| format!("Envoy: {error}"))?;
        let id = crate::exchange::field(&request.fields, "x-request-id").unwrap_or_default();
        let seen = self.upstream.seen_with_id(&id);
        let upstream =
            seen.map(|seen| Reached::new(&seen.method, &seen.target, &seen.fields, seen.body.len()));
        Ok(Observed { response, upstream, audit: self.audit(&id) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Case, merge};
    use crate::exchange::Response;
    use crate::observed::Observed;
    use crate::scenario;

    #[test]
    fn an_overlay_takes_away_merges_and_replaces() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": 3});
        merge(&mut target, &json!({"a": {"c": null, "f": 4}, "d": [5], "e": {"g": 6}}));
        assert_eq!(target, json!({"a": {"b": 1, "f": 4}, "d": [5], "e": {"g": 6}}));
    }

    /// A judge that finds nothing would make every other test worthless.
    #[test]
    fn every_expectation_can_fail() {
        let text = "
name: a
why: b
policy: {routes: []}
requests:
- path: /x
  expect:
    status: 200
    code: admitted
    headers: {x-a: 'b*'}
    absent: [x-b]
    upstream: {target: /x}
    audit: {decision: Allow, reason: null}
    audited: false
- {path: /y, repeat: 2, expect_counts: {200: 2}}
";
        let case = Case::new(scenario::parse(text).unwrap()).unwrap();
        let plan = case.plan().unwrap();
        let fields = vec![("x-b".to_owned(), Vec::new())];
        let body = br#"{"code":"no_route"}"#.to_vec();
        let seen = Observed {
            response: Response { status: 404, fields, body },
            upstream: None,
            audit: Some(json!({"portcullis.decision": "Deny", "event.reason": "no_route"})),
        };
        let faults = case.faults(&plan, &[seen.clone(), seen.clone(), seen]);
        let expected = [
            "requests[0]: status is 404",
            "requests[0]: code is `no_route`",
            "requests[0]: response `x-a` is []",
            "requests[0]: response has `x-b`",
            "requests[0]: audit `decision` is \"Deny\"",
            "requests[0]: audit `reason` is \"no_route\"",
            "requests[0]: audited is true",
            "requests[0]: nothing reached the upstream",
            "requests[1]: counts are {\"404\": 2}, not {\"200\": 2}",
        ];
        assert_eq!(faults, expected);
    }
}
