//! A real OpenTelemetry collector: Rotel, which takes OTLP over HTTP and gRPC and prints what it understood.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::artifacts;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// A running collector. It is killed when this is dropped.
#[derive(Debug)]
pub struct Collector {
    child: Child,
    directory: TempDir,
    /// Where it takes OTLP over HTTP: `/v1/logs`, `/v1/traces`.
    pub http: SocketAddr,
    /// Where it takes OTLP over gRPC.
    pub grpc: SocketAddr,
}

impl Collector {
    /// The collector that `scripts/collector-path` finds; `None` on a machine for which `make setup` has none, and which has none itself.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub fn start() -> Option<Self> {
        let program = program()?;
        let directory = TempDir::new().expect("a directory");
        let log = File::create(directory.path().join("log")).expect("a log");
        let (http, grpc) = (free_port(), free_port());
        let child = Command::new(&program)
            .args([
                "start",
                "--exporter",
                "blackhole",
                "--debug-log",
                "logs",
                "--debug-log",
                "traces",
                "--debug-log-verbosity",
                "detailed",
            ])
            .args(["--otlp-http-endpoint", &http.to_string(), "--otlp-grpc-endpoint", &grpc.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let collector = Self { child, directory, http, grpc };
        let began = Instant::now();
        while [http, grpc].iter().any(|address| TcpStream::connect(address).is_err()) {
            assert!(began.elapsed() < SOON, "the collector does not listen: {}", collector.said());
            std::thread::sleep(PAUSE);
        }
        Some(collector)
    }

    /// Everything that it has printed.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it has printed once `enough` finds it enough.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn wait(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let said = self.said();
            if enough(&said) {
                return said;
            }
            assert!(began.elapsed() < SOON, "the collector has no {what}: {said}");
            std::thread::sleep(PAUSE);
        }
    }

    /// The records, each as its lines.
    pub fn records(said: &str) -> Vec<String> {
        said.split("LogRecord #").skip(1).map(str::to_owned).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

fn program() -> Option<PathBuf> {
    let script = artifacts::repository().join("scripts/collector-path");
    let found = Command::new(script).output().expect("a script that runs");
    if found.status.success() {
        return Some(String::from_utf8_lossy(&found.stdout).trim().into());
    }
    let brought = std::env::consts::OS == "linux" && std::env::consts::ARCH == "x86_64";
    assert!(!brought, "`make setup` brings one; {}", String::from_utf8_lossy(&found.stderr));
    None
}
