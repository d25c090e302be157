//! How do we run a real Envoy, ask it things, and be sure that it is gone afterwards?

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::envoy_config::{Cluster, Listener, discovery};
use crate::{artifacts, client};

/// How long Envoy may take to be ready: it compiles the plugin for each `vm_id`, on a machine that may be busy.
const READY: Duration = Duration::from_secs(60);
/// How long anything else may take.
const SOON: Duration = Duration::from_secs(10);
/// How often we look for it to be ready: how long a start takes is measured by this.
const LOOK: Duration = Duration::from_millis(5);
/// How often we look for anything else.
const PAUSE: Duration = Duration::from_millis(20);

/// What to start.
#[derive(Debug, Default)]
pub struct Launch {
    /// The listeners.
    pub listeners: Vec<Listener>,
    /// Clusters beside those of the listeners' upstreams: what the plugin itself calls. One that is called like an upstream's
    /// ([`Cluster::of_upstream`]) takes its place.
    pub clusters: Vec<Cluster>,
    /// Whether they stand in the bootstrap instead of a watched file. Then a policy that is refused ends the process.
    pub fixed: bool,
    /// `--component-log-level`, for instance `wasm:trace`.
    pub component_log_level: Option<String>,
    /// Further arguments, for instance `--concurrency` and `1`.
    pub arguments: Vec<String>,
    /// As `envoy.config.metrics.v3.StatsConfig`; `null`: Envoy's defaults.
    pub stats_config: Value,
}

/// A running Envoy, with two workers unless it was told otherwise. It is killed when this is dropped.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    directory: TempDir,
    admin: SocketAddr,
    version: u32,
}

/// An Envoy that did not become ready.
#[derive(Debug)]
pub struct StartFailure {
    /// What happened.
    pub what: String,
    /// Its exit status, if it ended by itself.
    pub status: Option<ExitStatus>,
    /// What it logged.
    pub log: String,
}

impl std::fmt::Display for StartFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.what, last_lines(&self.log, 40))
    }
}

impl From<String> for StartFailure {
    fn from(what: String) -> Self {
        Self { what, status: None, log: String::new() }
    }
}

impl From<io::Error> for StartFailure {
    fn from(error: io::Error) -> Self {
        error.to_string().into()
    }
}

impl Envoy {
    /// Starts one and waits until every listener serves.
    pub fn start(launch: &Launch) -> Result<Self, StartFailure> {
        let directory = TempDir::new()?;
        let config = directory.path().join("envoy.json");
        write_listeners(directory.path(), &launch.listeners, 1)?;
        fs::write(&config, bootstrap(directory.path(), launch).to_string())?;
        let mut arguments = vec!["--log-level".to_owned(), "info".to_owned()];
        if let Some(level) = &launch.component_log_level {
            arguments.extend(["--component-log-level".to_owned(), level.clone()]);
        }
        arguments.extend(launch.arguments.iter().cloned());
        let variables = launch.listeners.iter().flat_map(|listener| &listener.host_env);
        let environment: Vec<(&str, &str)> =
            variables.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut envoy =
            Self::start_with(&config, directory, &arguments, &environment, artifacts::repository())?;
        for listener in &launch.listeners {
            let name = &listener.name;
            envoy.wait(READY, &format!("listener `{name}`"), |envoy| envoy.listener(name).is_some())?;
        }
        Ok(envoy)
    }

    /// Starts one on a configuration file, which must have an admin interface, and waits until it is live. Relative paths
    /// in the configuration are seen from `seen_from`.
    pub fn start_with(
        config: &Path,
        directory: TempDir,
        arguments: &[String],
        environment: &[(&str, &str)],
        seen_from: PathBuf,
    ) -> Result<Self, StartFailure> {
        let log = File::create(log_file(directory.path()))?;
        let admin_file = directory.path().join("admin");
        let child = Command::new(artifacts::envoy()?)
            .arg("--config-path")
            .arg(config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args(["--disable-hot-restart", "--use-dynamic-base-id"])
            .args(workers(arguments))
            // A test that reads an access log does not wait for ten seconds.
            .args(["--file-flush-interval-msec", "50"])
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(seen_from)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Self { child, directory, admin: nowhere, version: 1 };
        envoy.wait(READY, "the admin interface", |envoy| match address_in(&admin_file) {
            Some(address) => {
                envoy.admin = address;
                true
            }
            None => false,
        })?;
        envoy.wait(READY, "`/ready`", |envoy| {
            envoy.admin_text("/ready").is_ok_and(|text| text.trim() == "LIVE")
        })?;
        Ok(envoy)
    }

    fn wait(
        &mut self,
        limit: Duration,
        what: &str,
        mut is_so: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), StartFailure> {
        let start = Instant::now();
        loop {
            if is_so(self) {
                return Ok(());
            }
            let status = self.child.try_wait()?;
            if status.is_some() || start.elapsed() > limit {
                let how = status
                    .map_or("is not there in time".to_owned(), |status| format!("never came: {status}"));
                return Err(StartFailure { what: format!("Envoy: {what} {how}"), status, log: self.log() });
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The address of a listener, if it serves.
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        let listing: Value = serde_json::from_str(&self.admin_text("/listeners?format=json").ok()?).ok()?;
        let listeners = listing["listener_statuses"].as_array()?;
        let status = listeners.iter().find(|status| status["name"] == name)?;
        let address = &status["local_address"]["socket_address"];
        let port = u16::try_from(address["port_value"].as_u64()?).ok()?;
        Some(SocketAddr::new(address["address"].as_str()?.parse().ok()?, port))
    }

    /// Where the admin interface is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What the admin interface says.
    pub fn admin_text(&self, target: &str) -> io::Result<String> {
        client::get_text(self.admin, target)
    }

    /// The value of a counter or gauge; zero if there is none yet.
    pub fn stat(&self, name: &str) -> u64 {
        let text = self.admin_text(&format!("/stats?filter=^{name}$")).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    /// Puts other listeners in the watched file, in one step, and waits for Envoy's verdict on them.
    pub fn update(&mut self, listeners: &[Listener]) -> Result<Verdict, StartFailure> {
        const TAKEN: &str = "listener_manager.lds.update_success";
        const REFUSED: &str = "listener_manager.lds.update_rejected";
        let (taken, refused) = (self.stat(TAKEN), self.stat(REFUSED));
        self.version += 1;
        write_listeners(self.directory.path(), listeners, self.version)?;
        let mut verdict = Verdict::Taken;
        self.wait(READY, "a verdict on the update", |envoy| {
            if envoy.stat(REFUSED) > refused {
                verdict = Verdict::Refused;
            }
            verdict == Verdict::Refused || envoy.stat(TAKEN) > taken
        })?;
        Ok(verdict)
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        let bytes = fs::read(log_file(self.directory.path())).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line that holds all of `parts`.
    pub fn wait_for_log(&self, parts: &[&str]) -> Option<String> {
        self.find_in_log(SOON, |line| parts.iter().all(|part| line.contains(part)).then(|| line.to_owned()))
    }

    /// Waits at most `limit` for a line of which `find` makes something.
    pub fn find_in_log<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        loop {
            // From the end: what is waited for has just been written.
            if let Some(found) = self.log().lines().rev().find_map(&find) {
                return Some(found);
            }
            if start.elapsed() > limit {
                return None;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The file that it logs to.
    pub fn log_path(&self) -> PathBuf {
        log_file(self.directory.path())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, as an init system does, and waits until it has.
    pub fn end(&mut self) -> Result<ExitStatus, StartFailure> {
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.pid())).status()?;
        let start = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if asked.success() => return Ok(status),
                _ if start.elapsed() > READY || !asked.success() => {
                    let what = "Envoy: it does not end".to_owned();
                    return Err(StartFailure { what, status: None, log: self.log() });
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What Envoy made of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves by it.
    Taken,
    /// It keeps what it had.
    Refused,
}

/// Two workers, unless the caller says otherwise: what is shared between them is half of what the tests are about.
fn workers(arguments: &[String]) -> &'static [&'static str] {
    if arguments.iter().any(|argument| argument == "--concurrency") { &[] } else { &["--concurrency", "2"] }
}

fn bootstrap(directory: &Path, launch: &Launch) -> Value {
    let mut ports: Vec<u16> = launch.listeners.iter().map(|listener| listener.upstream).collect();
    ports.sort_unstable();
    ports.dedup();
    let named = |cluster: &Cluster| launch.clusters.iter().any(|other| other.name == cluster.name);
    let upstreams = ports.into_iter().map(Cluster::of_upstream).filter(|cluster| !named(cluster));
    let clusters: Vec<Value> =
        upstreams.chain(launch.clusters.iter().cloned()).map(|cluster| cluster.to_json()).collect();
    let mut bootstrap = json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"clusters": clusters},
    });
    if !launch.stats_config.is_null() {
        bootstrap["stats_config"] = launch.stats_config.clone();
    }
    if launch.fixed {
        let listeners = launch.listeners.iter().map(|listener| {
            let mut listener = listener.to_json();
            listener.as_object_mut().and_then(|members| members.remove("@type"));
            listener
        });
        bootstrap["static_resources"]["listeners"] = listeners.collect();
    } else {
        let path = listeners_file(directory);
        bootstrap["dynamic_resources"]["lds_config"] =
            json!({"resource_api_version": "V3", "path_config_source": {"path": path}});
    }
    bootstrap
}

/// Envoy watches for a file that is moved to this place: a new one comes whole or not at all.
fn write_listeners(directory: &Path, listeners: &[Listener], version: u32) -> io::Result<()> {
    let next = directory.join("listeners.next");
    fs::write(&next, discovery(listeners, version).to_string())?;
    fs::rename(next, listeners_file(directory))
}

fn listeners_file(directory: &Path) -> PathBuf {
    directory.join("listeners.json")
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("envoy.log")
}

fn address_in(file: &Path) -> Option<SocketAddr> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
