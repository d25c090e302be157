//! Services that answer only what came through the gateway: one behind each of `verifiers/`.

use std::convert::Infallible;
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use host_tests::certificates::Authority;
use host_tests::envoy::Envoy;
use host_tests::{artifacts, client};
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_verifier::{Claims, Keys, Verifier};
use serde_json::{Value, json};
use tower_layer::Layer as _;

pub(crate) const ISSUER: &str = "https://gateway.example";
pub(crate) const NAMES: [&str; 4] = ["rust", "python", "node", "envoy"];
/// Seconds that the clocks may differ, in these tests.
const SKEW: u64 = 1;

/// Where a service asks for the gateway's keys.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The gateway; for the Envoy, which speaks TLS, the listener `keys`.
    pub(crate) gateway: SocketAddr,
    /// Who has issued that one's certificate.
    pub(crate) authority: &'a Authority,
    /// For how many seconds they are believed if nobody answers any more, unless it is as long as each of them has it.
    pub(crate) max_age: Option<u64>,
}

/// A service. It ends when this is dropped.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    _running: Running,
}

enum Running {
    Process(#[expect(dead_code, reason = "held until the end")] Process),
    Thread(#[expect(dead_code, reason = "held until the end")] Stopping),
    Envoy(#[expect(dead_code, reason = "held until the end")] Box<Envoy>),
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Stopping(Arc<AtomicBool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A port that was free a moment ago: the gateway must know its upstream before that can know the gateway.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Backend {
    /// Starts one that asks for the public keys as `keys` says. `service` is what stands behind the Envoy, which has nothing to say itself.
    pub(crate) fn start(name: &'static str, port: u16, keys: &Asked<'_>, service: SocketAddr) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let running = match name {
            "rust" => rust(address, keys),
            "python" => {
                process(&artifacts::python().unwrap(), "verifiers/python/server.py", name, port, keys)
            }
            "node" => process(Path::new("node"), "verifiers/node/server.mjs", name, port, keys),
            _ => envoy(name, port, keys, service),
        };
        Self { name, address, _running: running }
    }
}

fn process(program: &Path, script: &str, audience: &str, port: u16, keys: &Asked<'_>) -> Running {
    let mut child = Command::new(program)
        .arg(artifacts::repository().join(script))
        .args([
            port.to_string(),
            format!("http://{}/keys", keys.gateway),
            ISSUER.to_owned(),
            audience.to_owned(),
        ])
        .arg(SKEW.to_string())
        .args(keys.max_age.map(|age| age.to_string()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let said = child.stdout.take().unwrap();
    let process = Process(child);
    let first = BufReader::new(said).lines().next();
    assert_eq!(first.and_then(Result::ok).as_deref(), Some("ready"), "{script}");
    Running::Process(process)
}

/// `verifiers/envoy/envoy.yaml`, with what stands there in capitals changed.
fn envoy(name: &str, port: u16, keys: &Asked<'_>, service: SocketAddr) -> Running {
    // As its comment says: then keys that are too old are asked for while the request waits.
    let fetched = "async_fetch: {failed_refetch_duration: 1s}";
    let fetch = if keys.max_age.is_some() { "" } else { fetched };
    let directory = tempfile::TempDir::new().unwrap();
    let authority = directory.path().join("gateway-ca.pem");
    std::fs::write(&authority, keys.authority.to_pem()).unwrap();
    let file = artifacts::repository().join("verifiers/envoy/envoy.yaml");
    let mut text = std::fs::read_to_string(file).unwrap();
    for (from, to) in [
        ("port_value: 10002", format!("port_value: {port}")),
        ("port_value: 10001", format!("port_value: {}", service.port())),
        ("port_value: 10000", format!("port_value: {}", keys.gateway.port())),
        (fetched, fetch.to_owned()),
        ("/etc/envoy/gateway-ca.pem", authority.display().to_string()),
        ("issuer: https://gateway.example.com ", format!("issuer: {ISSUER} ")),
        ("audiences: [orders]", format!("audiences: [{name}]")),
        ("/.well-known/portcullis/jwks.json", "/keys".to_owned()),
        // A rotation of seconds is not what anybody does.
        ("cache_duration: 60s", "cache_duration: 1s".to_owned()),
        ("clock_skew_seconds: 10", format!("clock_skew_seconds: {SKEW}")),
    ] {
        assert!(text.contains(from), "verifiers/envoy/envoy.yaml has no `{from}`");
        text = text.replace(from, &to);
    }
    let config = directory.path().join("envoy.yaml");
    std::fs::write(&config, text).unwrap();
    let started = Envoy::start_with(&config, directory, &[], &[], artifacts::repository());
    Running::Envoy(Box::new(started.unwrap_or_else(|failure| panic!("{failure}"))))
}

/// A service that says who was let in.
#[derive(Clone)]
struct WhoIs;

impl<B> tower_service::Service<Request<B>> for WhoIs {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let claims = request.extensions().get::<Claims>().expect("only what was checked comes here");
        let answer = json!({"sub": claims.0.get("sub"), "jti": claims.0.get("jti")}).to_string();
        Box::pin(async move { Ok(Response::new(answer)) })
    }
}

fn rust(address: SocketAddr, keys: &Asked<'_>) -> Running {
    let stopping = Arc::new(AtomicBool::new(false));
    let verifier = Verifier::new(ISSUER, "rust").with_skew(Duration::from_secs(SKEW));
    let verifier = match keys.max_age {
        Some(age) => verifier.with_max_age(Duration::from_secs(age)),
        None => verifier,
    };
    let gateway = keys.gateway;
    let (ours, theirs) = (verifier.clone(), Arc::clone(&stopping));
    let fetch = move || {
        let text = client::get_text(gateway, "/keys").unwrap_or_default();
        if let Ok(keys) = Keys::read(text.as_bytes()) {
            ours.replace_keys(keys);
        }
    };
    fetch();
    thread::spawn(move || {
        while !theirs.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(300));
            fetch();
        }
    });
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let done = Arc::clone(&stopping);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while !done.load(Ordering::SeqCst) {
                let accepted = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
                let Ok(Ok((stream, _))) = accepted else { continue };
                let service = TowerToHyperService::new(verifier.layer(WhoIs));
                let serving = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(serving.await) });
            }
        });
    });
    Running::Thread(Stopping(stopping))
}

/// Who a service says has come; `None` if it did not let it in. The Envoy's answer is that of the service behind it.
pub(crate) fn subject(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    if let Some(headers) = answer["headers"].as_array() {
        let told = headers.iter().any(|header| header[0] == "x-portcullis-assertion");
        assert!(!told, "the verifier in front has taken it off");
        return Some("partner".to_owned());
    }
    answer["sub"].as_str().map(str::to_owned)
}
