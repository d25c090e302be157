//! Does anything reach a service but through the gateway? The reference deployment of `deploy/` on this machine, in network namespaces of its own, with real
//! Envoys, as its README says; and every way around it that we know.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::probe::{Outcome, Probe};
use tempfile::TempDir;

/// How long the three of them may take until the first request is served, on a machine that may be busy.
const READY: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// The namespaces, the certificates, and three Envoys. All of it goes when this is dropped, however the test ends.
struct Deployment {
    name: String,
    directory: TempDir,
    running: Vec<Child>,
}

fn deploy(file: &str) -> PathBuf {
    artifacts::repository().join("deploy").join(file)
}

/// How somebody speaks who goes past the gateway.
#[derive(Clone, Copy, Debug)]
enum Speaks<'a> {
    /// Without TLS.
    Plainly,
    /// With TLS, and no certificate.
    OverTls,
    /// With TLS and this certificate.
    As(&'a str),
}

/// The program `ip`, as `make setup` leaves it.
fn ip() -> PathBuf {
    let script = artifacts::repository().join("scripts/ip-path");
    let output =
        Command::new(&script).output().unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(output.status.success(), "iproute2 is not there: {}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// What a service runs on.
fn service(name: &str) -> String {
    fs::read_to_string(deploy("service.yaml")).unwrap().replace("SERVICE", name)
}

fn must(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}\n{told}", output.status);
}

impl Deployment {
    fn start() -> Self {
        // A name of this run, so that two can stand side by side.
        let name = format!("portcullis-{}", std::process::id());
        let mut deployment = Self { name, directory: TempDir::new().unwrap(), running: Vec::new() };
        deployment.network("up");
        must(Command::new(deploy("certificates")).arg(deployment.certificates("")), "deploy/certificates");
        deployment.run("gateway", &[("edge-gateway", "edge-gateway"), ("gateway", "gateway")]);
        // The services know the gateway's assertions by the key that it publishes.
        let jwks = "/.well-known/portcullis/jwks.json";
        let keys = deployment.wait(|deployment| deployment.outside(None, jwks, &[]));
        let Outcome::Answer(_, _, keys) = keys else { unreachable!("it was answered") };
        for part in ["orders", "billing"] {
            fs::create_dir_all(deployment.home(part).join("certs")).unwrap();
            fs::write(deployment.home(part).join("certs/assertion.jwks"), &keys).unwrap();
            deployment.run(part, &[(part, "service")]);
        }
        deployment.wait(|deployment| deployment.partner("/orders", &[]));
        deployment.wait(|deployment| deployment.partner("/billing", &[]));
        deployment
    }

    fn home(&self, part: &str) -> PathBuf {
        self.directory.path().join(part)
    }

    /// What a part runs on. Billing is a service that cannot keep a secret: it tells its callers the assertion that it got.
    fn config(&self, part: &str) -> PathBuf {
        let file = self.home(part).join("envoy.yaml");
        let text = match part {
            "gateway" => fs::read_to_string(deploy("gateway.yaml")).unwrap(),
            "orders" => service(part),
            _ => service(part).replace("forward: false", "forward: true"),
        };
        fs::write(&file, text).unwrap();
        file
    }

    fn network(&self, what: &str) {
        let mut command = Command::new(deploy("network"));
        command.args([what, &self.name]).env("IP_TOOL", ip());
        must(&mut command, "network namespaces cannot be made (they take root and a kernel that has them)");
    }

    fn certificates(&self, file: &str) -> PathBuf {
        self.directory.path().join("all").join(file)
    }

    /// Starts a part in its namespace, in a directory with the certificates that it may have and no others.
    fn run(&mut self, part: &str, files: &[(&str, &str)]) {
        let home = self.home(part);
        fs::create_dir_all(home.join("certs")).unwrap();
        for authority in ["services.pem", "clients.pem"] {
            fs::copy(self.certificates(authority), home.join("certs").join(authority)).unwrap();
        }
        for (from, to) in files {
            for kind in ["pem", "key"] {
                fs::copy(
                    self.certificates(&format!("{from}.{kind}")),
                    home.join(format!("certs/{to}.{kind}")),
                )
                .unwrap();
            }
        }
        fs::copy(artifacts::plugin().unwrap(), home.join("portcullis.wasm")).unwrap();
        let config = self.config(part);
        let signing = fs::read_to_string(self.certificates("assertion.key")).unwrap();
        let log = File::create(home.join("log")).unwrap();
        let child = Command::new(ip())
            .args(["netns", "exec", &format!("{}-{part}", self.name)])
            .arg(artifacts::envoy().unwrap())
            .arg("--config-path")
            .arg(config)
            .args(["--disable-hot-restart", "--use-dynamic-base-id", "--concurrency", "1"])
            .envs((part == "gateway").then_some(("PORTCULLIS_SIGNING_KEY", signing)))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.push(child);
    }

    fn wait(&mut self, ask: impl Fn(&Self) -> Outcome) -> Outcome {
        let start = Instant::now();
        loop {
            let outcome = ask(self);
            if outcome.status() == 200 {
                return outcome;
            }
            let ended = self.running.iter_mut().any(|child| matches!(child.try_wait(), Ok(Some(_))));
            assert!(!ended && start.elapsed() < READY, "it does not serve: {outcome:?}\n{}", self.logs());
            std::thread::sleep(PAUSE);
        }
    }

    fn logs(&self) -> String {
        let tail = |part: &str| {
            let text = fs::read_to_string(self.directory.path().join(part).join("log")).unwrap_or_default();
            let lines: Vec<&str> =
                text.lines().filter(|line| line.contains("[error]") || line.contains("[critical]")).collect();
            format!("{part}: {}", lines.join("\n"))
        };
        ["gateway", "orders", "billing"].map(tail).join("\n")
    }

    /// A request out of a namespace.
    fn ask(&self, from: &str, probe: &Probe) -> Outcome {
        let output = Command::new(ip())
            .args(["netns", "exec", &format!("{}-{from}", self.name)])
            .arg(Path::new(env!("CARGO_BIN_EXE_probe")))
            .arg(serde_json::to_string(probe).unwrap())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("the probe said nothing: {error}\n{told}"))
    }

    /// Of the gateway, from outside.
    fn outside(&self, shown: Option<&str>, target: &str, fields: &[(&str, &str)]) -> Outcome {
        let probe = Probe {
            server: "10.77.0.1:443".parse().unwrap(),
            host: "gateway.example".to_owned(),
            target: target.to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            trusted: Some(self.certificates("edge.pem")),
            shown: shown.map(|name| self.certificates(name)),
        };
        self.ask("outside", &probe)
    }

    fn partner(&self, target: &str, fields: &[(&str, &str)]) -> Outcome {
        self.outside(Some("partner"), target, fields)
    }

    /// Of a service past the gateway and with its own certificate, which is what whoever has broken into it can do.
    fn as_the_gateway(&self, service: &str, target: &str, fields: &[(&str, &str)]) -> Outcome {
        let server = if service == "orders" { "10.77.1.2:8443" } else { "10.77.2.2:8443" };
        let probe = Probe {
            server: server.parse().unwrap(),
            host: format!("{service}.internal"),
            target: target.to_owned(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            trusted: Some(self.certificates("services.pem")),
            shown: Some(self.certificates("gateway")),
        };
        self.ask("gateway", &probe)
    }

    /// Of a service, past the gateway.
    fn past(&self, from: &str, server: &str, host: &str, speaks: Speaks<'_>) -> Outcome {
        let probe = Probe {
            server: server.parse().unwrap(),
            host: host.to_owned(),
            target: "/orders/1".to_owned(),
            fields: vec![("x-peer".to_owned(), "app.partner.example".to_owned())],
            trusted: (!matches!(speaks, Speaks::Plainly)).then(|| self.certificates("services.pem")),
            shown: if let Speaks::As(name) = speaks { Some(self.certificates(name)) } else { None },
        };
        self.ask(from, &probe)
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for child in &mut self.running {
            drop(child.kill());
            drop(child.wait());
        }
        let down = Command::new(deploy("network")).args(["down", &self.name]).env("IP_TOOL", ip()).status();
        if !std::thread::panicking() {
            assert!(down.unwrap().success(), "the namespaces are still there");
        }
    }
}

#[test]
fn nothing_reaches_a_service_but_through_the_gateway() {
    let deployment = Deployment::start();
    let (orders, billing) = ("10.77.1.2:8443", "10.77.2.2:8443");

    // Through the gateway, as it is meant.
    let served = deployment.partner("/orders/1", &[]);
    assert_eq!(served.status(), 200, "{served:?}");
    assert_eq!(served.field("x-service"), Some("spiffe://shop.example/orders"));
    assert_eq!(served.field("x-saw-peer"), Some("app.partner.example"));
    assert_eq!(served.field("x-powered-by"), None);
    assert!(
        served.field("strict-transport-security").is_some_and(|value| value.starts_with("max-age=")),
        "{served:?}"
    );
    assert_eq!(deployment.partner("/billing", &[]).field("x-service"), Some("spiffe://shop.example/billing"));

    // Through the gateway, by those who may not.
    for (shown, target, status) in [
        (None, "/orders/1", 401),
        (Some("other"), "/orders/1", 401),
        // The right name by the wrong authority: the connection ends.
        (Some("forged"), "/orders/1", 0),
        (Some("orders"), "/orders/1", 0),
        // Not from here.
        (Some("partner"), "/orders/admin", 404),
        (Some("partner"), "/nowhere", 404),
        (Some("partner"), "/billing/%2e%2e/orders/admin", 404),
        (Some("partner"), "/orders/x%2f..%2fadmin", 400),
    ] {
        let outcome = deployment.outside(shown, target, &[]);
        assert_eq!(outcome.status(), status, "{shown:?} {target}: {outcome:?}");
    }

    // What a client says of itself, it says to the gateway alone.
    let spoofed = [
        ("x-peer", "root"),
        ("x-real-ip", "10.77.0.200"),
        ("forwarded", "for=10.77.0.200"),
        ("connection", "close, x-peer"),
    ];
    let served = deployment.partner("/orders/1", &spoofed);
    assert_eq!(
        (served.status(), served.field("x-saw-peer")),
        (200, Some("app.partner.example")),
        "{served:?}"
    );
    assert_eq!(served.field("x-saw-real-ip").unwrap_or_default(), "", "{served:?}");
    assert_eq!(deployment.partner("/orders/admin", &[("x-forwarded-for", "10.77.0.200")]).status(), 404);
    assert_eq!(deployment.partner("/orders/1", &[("x_peer", "root")]).status(), 400);

    // A service under another's address shows another name, and gets nothing; what the proxy says of it stays inside.
    let misdirected = deployment.partner("/misdirected", &[]);
    assert_eq!(misdirected.status(), 503, "{misdirected:?}");
    assert!(
        matches!(&misdirected, Outcome::Answer(_, _, body) if body.contains("upstream_error") && !body.contains("TLS")),
        "{misdirected:?}"
    );

    // Past the gateway. First what a wire alone keeps apart; whoever stands on the gateway's own machine has the wires, and needs its key.
    for (from, server, host, speaks) in [
        ("outside", orders, "orders.internal", Speaks::As("gateway")),
        ("orders", billing, "billing.internal", Speaks::As("gateway")),
        ("outside", "10.77.0.1:9901", "admin", Speaks::Plainly),
        ("outside", "10.77.0.1:8080", "application", Speaks::Plainly),
        ("gateway", orders, "orders.internal", Speaks::Plainly),
        ("gateway", orders, "orders.internal", Speaks::OverTls),
        ("gateway", orders, "orders.internal", Speaks::As("billing")),
        ("gateway", orders, "orders.internal", Speaks::As("partner")),
        ("gateway", orders, "orders.internal", Speaks::As("forged")),
        ("gateway", "10.77.1.2:8080", "orders.internal", Speaks::Plainly),
        ("gateway", "10.77.1.2:9901", "orders.internal", Speaks::Plainly),
    ] {
        let outcome = deployment.past(from, server, host, speaks);
        assert_eq!(outcome.status(), 0, "from {from} to {server}, {speaks:?}: {outcome:?}");
    }
    // With the gateway's own certificate there is a door, and behind it the assertion is asked for. One that was stolen is of no use for another request, another
    // service or under another name.
    let stolen = deployment.partner("/billing/1?a=b", &[("x-portcullis-assertion", "mine")]);
    let stolen = stolen.field("x-saw-assertion").unwrap_or_else(|| panic!("{stolen:?}")).to_owned();
    assert!(stolen.len() > 100, "{stolen}");
    let (assertion, host) = (("x-portcullis-assertion", stolen.as_str()), ("host", "gateway.example"));
    for (service, target, fields, status) in [
        ("billing", "/billing/1?a=b", vec![host], 401),
        ("billing", "/billing/1?a=b", vec![host, ("x-portcullis-assertion", "mine")], 401),
        ("billing", "/billing/2?a=b", vec![host, assertion], 403),
        ("billing", "/billing/1?a=c", vec![host, assertion], 403),
        ("billing", "/billing/1?a=b", vec![assertion], 403),
        ("orders", "/billing/1?a=b", vec![host, assertion], 403),
        // The test would find a door that stands open: for its own request, and for seconds, it is good.
        ("billing", "/billing/1?a=b", vec![host, assertion], 200),
    ] {
        let outcome = deployment.as_the_gateway(service, target, &fields);
        assert_eq!(outcome.status(), status, "{service} {target} {fields:?}: {outcome:?}");
    }
}
