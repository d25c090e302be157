//! What does the compiled plugin do in a host whose clock, properties and foreign functions we choose?

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proxy_wasm_host::abi::v0_2_1::types::{Action, LogLevel};
use proxy_wasm_host::abi::v0_2_1::{
    CallScope, Clock, ContextId, Guest, GuestError, Host, InMemoryStore, InMemoryStoreLimits, LocalResponse,
    LogContext, LogSink, PluginConfig, Started, VmServices,
};
use proxy_wasm_host::{Engine, Limits, Module};

use crate::edge::{self, HeaderMap};
use crate::exchange::{Request, Response, latin1};
use crate::observed::{Observed, Upstream, audit_event};
use crate::wasm_stream::{Map, Stream};

/// The plugin, compiled once and started as often as we like.
pub struct Compiled {
    host: Host,
    module: Module,
}

/// What a host of our own making offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The plugin's configuration, as it stands.
    pub configuration: Vec<u8>,
    /// The plugin's environment.
    pub env: BTreeMap<String, String>,
    /// The time at the start, in nanoseconds since the epoch.
    pub start: u64,
    /// Whether there is `verify_signature`, as in Envoy; other proxies lack it.
    pub verifies: bool,
}

/// A process of two workers that runs the plugin: two instances with one clock, one log, and the same shared data.
pub struct WasmHost {
    workers: Vec<(Guest, ContextId)>,
    next: usize,
    clock: Arc<VirtualClock>,
    log: Arc<Lines>,
    offer: Offer,
}

/// A clock that moves when it is told to.
#[derive(Debug, Default)]
struct VirtualClock {
    nanos: AtomicU64,
}

impl Clock for VirtualClock {
    fn realtime_nanos(&self) -> u64 {
        self.nanos.load(Ordering::SeqCst)
    }

    fn monotonic_nanos(&self) -> u64 {
        self.realtime_nanos()
    }
}

/// The log, kept.
#[derive(Debug, Default)]
struct Lines {
    lines: Mutex<Vec<String>>,
}

impl LogSink for Lines {
    fn log(&self, _: LogContext<'_>, _: LogLevel, message: &[u8]) {
        let line = String::from_utf8_lossy(message).into_owned();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

impl Lines {
    fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Compiled {
    /// Compiles a plugin.
    pub fn new(plugin: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(plugin).map_err(|error| format!("{}: {error}", plugin.display()))?;
        let engine = Engine::new().map_err(told)?;
        let module = Module::new(&engine, &bytes).map_err(told)?;
        Ok(Self { host: Host::new(&engine).map_err(told)?, module })
    }

    /// Starts two workers. The log is handed over with the error, since it says what the plugin did not like.
    pub fn start(&self, offer: Offer) -> Result<WasmHost, (String, Vec<String>)> {
        let clock = Arc::new(VirtualClock { nanos: AtomicU64::new(offer.start) });
        let log = Arc::new(Lines::default());
        let bytes = |text: &String| text.clone().into_bytes();
        // As roomy as Envoy's, which has no bound.
        let store = InMemoryStore::new()
            .with_limits(InMemoryStoreLimits::new().with_keys(1 << 20).with_value_bytes(16 << 20));
        let sink: Arc<dyn LogSink> = Arc::clone(&log) as Arc<dyn LogSink>;
        let services = VmServices::new(sink)
            .with_clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .with_environment(offer.env.iter().map(|(name, value)| (bytes(name), bytes(value))).collect())
            .with_log_level(LogLevel::Trace)
            .with_vm_id("portcullis-test")
            .with_shared(Arc::new(store));
        let started = (0..2).map(|_| self.worker(&services, &offer)).collect::<Result<Vec<_>, _>>();
        match started {
            Ok(workers) => Ok(WasmHost { workers, next: 0, clock, log, offer }),
            Err(error) => Err((error, log.all())),
        }
    }

    fn worker(&self, services: &VmServices, offer: &Offer) -> Result<(Guest, ContextId), String> {
        // A call may be slow on a busy machine: this is no test of speed.
        let limits = Limits::default().with_cpu_time(Duration::from_secs(30));
        let mut guest = Guest::new(&self.host, &self.module, services.clone(), &limits).map_err(told)?;
        let plugin = PluginConfig::new()
            .with_name("portcullis")
            .with_root_id("portcullis")
            .with_configuration(offer.configuration.clone());
        match guest.start(plugin).map_err(told)? {
            Started::Serving(root) => Ok((guest, root)),
            Started::Refused { callback, .. } => Err(format!("the plugin refused its {callback:?}")),
        }
    }
}

impl WasmHost {
    /// Moves the clock to this long after the start.
    pub fn set_time(&self, since_start: Duration) {
        let nanos = u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX);
        self.set_clock(self.offer.start.saturating_add(nanos));
    }

    /// Sets the clock to so many nanoseconds after the epoch, forth or back.
    pub fn set_clock(&self, nanos: u64) {
        self.clock.nanos.store(nanos, Ordering::SeqCst);
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.all()
    }

    /// Sends a request to the worker whose turn it is.
    pub fn run(&mut self, request: &Request) -> Result<Observed, String> {
        let logged = self.log.all().len();
        let stream = self.stream(request);
        let turn = self.next % self.workers.len();
        self.next += 1;
        let (guest, root) = &mut self.workers[turn];
        let root = *root;
        let (outcome, stream) = guest.with(stream, |scope| drive(scope, root, request));
        outcome.map_err(|error| format!("{error}; log: {:#?}", self.log.all()))?;
        Ok(observe(request, stream, &self.log.all()[logged..]))
    }

    fn stream(&self, request: &Request) -> Stream {
        Stream {
            headers: Map { map: HeaderMap::of(request), sent: false },
            gone: Map { sent: true, ..Map::default() },
            properties: edge::properties(request),
            verifies: self.offer.verifies,
            ..Stream::default()
        }
    }
}

/// A request's life as Envoy leads it with `allow_on_headers_stop_iteration`: the body comes while the head waits.
fn drive(scope: &mut CallScope<'_, Stream>, root: ContextId, request: &Request) -> Result<(), GuestError> {
    let stream = scope.on_context_create(Some(root))?;
    converse(scope, root, stream, request)?;
    // An answer of the plugin's own passes through its response callback, as Envoy makes it.
    let own = scope.stream().response.as_ref().map(answer_head);
    scope.stream_mut().reached = own.is_none();
    let head = own.unwrap_or_else(|| edge::upstream_head(&scope.stream().headers.map.fields()));
    let count = u32::try_from(head.entries().len()).unwrap_or(u32::MAX);
    let status = edge::status_of(&head).unwrap_or(200);
    scope.stream_mut().answer = Some(Map { map: head, sent: false });
    scope.on_response_headers(stream, count, false)?;
    let status = scope.stream().response.as_ref().map_or(status, |response| {
        edge::local_status(request, u16::try_from(response.status_code).unwrap_or(0))
    });
    let status = i64::from(status).to_le_bytes().to_vec();
    scope.stream_mut().properties.insert("response.code".to_owned(), status);
    scope.on_done(stream)?;
    scope.on_log(stream)?;
    scope.on_delete(stream)?;
    Ok(())
}

fn converse(
    scope: &mut CallScope<'_, Stream>,
    root: ContextId,
    stream: ContextId,
    request: &Request,
) -> Result<(), GuestError> {
    let count = u32::try_from(scope.stream().headers.map.entries().len()).unwrap_or(u32::MAX);
    let mut pieces = request.body.pieces();
    let mut action = scope.on_request_headers(stream, count, !request.has_body())?;
    if action == Action::Pause && scope.stream().response.is_none() {
        // It waits. This host refuses every call, which the plugin finds at the first look.
        scope.on_tick(root)?;
        if scope.stream().resumed {
            action = Action::Continue;
        }
    }
    if request.has_body() {
        // Envoy ends a body with an empty piece as often as not.
        pieces.push(Vec::new());
    }
    let last = pieces.len();
    for (index, piece) in pieces.into_iter().enumerate() {
        if scope.stream().response.is_some() {
            return Ok(());
        }
        if action == Action::Continue {
            // What the plugin let go is gone.
            scope.stream_mut().headers.sent = true;
            scope.stream_mut().body.clear();
        }
        scope.stream_mut().body.extend(piece);
        let size = u32::try_from(scope.stream().body.len()).unwrap_or(u32::MAX);
        action = scope.on_request_body(stream, size, index + 1 == last)?;
    }
    Ok(())
}

fn observe(request: &Request, stream: Stream, log: &[String]) -> Observed {
    let id = crate::exchange::field(&request.fields, "x-request-id").unwrap_or_default();
    let audit = log.iter().rev().find_map(|line| audit_event(line, &id));
    let marked = stream.filter_state.get("portcullis_admitted").map(Vec::as_slice) == Some(b"1");
    let upstream = (marked && stream.reached).then(|| {
        let (method, target, sent) = stream.headers.map.to_upstream();
        let body = request.body.pieces().iter().map(Vec::len).sum();
        Upstream::new(&method, &target, &sent, body)
    });
    let head = stream.answer.map(|answer| answer.map).unwrap_or_default();
    let response = match &stream.response {
        Some(answer) => {
            // What it puts in place of the upstream's answer passes through no callback any more.
            let head = if stream.reached { answer_head(answer) } else { head };
            let status = u16::try_from(answer.status_code).unwrap_or(0);
            edge::local_response(request, status, answer.grpc_status, head.fields(), &answer.body)
        }
        None if marked => {
            let status = edge::status_of(&head).unwrap_or(200);
            Response { status, fields: head.fields(), ..Response::default() }
        }
        // The guard behind the plugin.
        None => Response { status: 403, ..Response::default() },
    };
    Observed { response, upstream, audit }
}

/// The head of an answer of the plugin's own.
fn answer_head(answer: &LocalResponse<'_>) -> HeaderMap {
    let fields =
        answer.headers.iter().map(|(name, value)| (latin1(name).to_ascii_lowercase(), value.to_vec()));
    edge::answer_head(u16::try_from(answer.status_code).unwrap_or(0), &fields.collect())
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
