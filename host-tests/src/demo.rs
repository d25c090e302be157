//! What does the gateway of `envoy.yaml` look like from outside? An upstream, a key and a token made at start, and Envoy.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::SystemTime;

use serde_json::json;
use tempfile::TempDir;

use crate::envoy::Envoy;
use crate::exchange::{Request, Response};
use crate::scenario::TokenSpec;
use crate::tokens::Keys;
use crate::upstream::Upstream;
use crate::{artifacts, client};

/// The ports of `envoy.yaml`.
const GATEWAY: u16 = 10_000;
const UPSTREAM: u16 = 10_001;
const ADMIN: u16 = 9901;
/// The variable that hands the demo's key to the plugin.
const KEYS: &str = "PORTCULLIS_DEMO_JWKS";
/// How many requests a minute the demo's policy lets one subject make.
const LIMIT: u32 = 5;

/// Which ports the demo listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Those of `envoy.yaml`.
    Documented,
    /// Free ones, so that a test can run beside anything.
    Free,
}

/// The running demo. All of it ends when this is dropped.
#[derive(Debug)]
pub struct Demo {
    envoy: Envoy,
    upstream: Upstream,
    gateway: SocketAddr,
}

impl Demo {
    /// Starts the upstream and Envoy, and waits until the gateway serves.
    pub fn start(ports: Ports) -> Result<Self, String> {
        let (gateway, upstream, admin) = match ports {
            Ports::Documented => (GATEWAY, UPSTREAM, ADMIN),
            Ports::Free => (0, 0, 0),
        };
        for port in [gateway, upstream, admin] {
            free(port)?;
        }
        let plugin = artifacts::plugin()?;
        let upstream = Upstream::start_on(upstream).map_err(|error| error.to_string())?;
        let directory = TempDir::new().map_err(|error| error.to_string())?;
        let file = artifacts::repository().join("envoy.yaml");
        let mut config = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        for (from, to) in [
            (port_line(GATEWAY), port_line(gateway)),
            (port_line(UPSTREAM), port_line(upstream.address().port())),
            (port_line(ADMIN), port_line(admin)),
            ("filename: build/portcullis.wasm".to_owned(), format!("filename: {}", plugin.display())),
        ] {
            config = replaced(&config, &from, &to)?;
        }
        let copy = directory.path().join("envoy.yaml");
        fs::write(&copy, config).map_err(|error| error.to_string())?;
        let jwks = Keys::of_this_run().jwks(&["es256"])?;
        let environment = [(KEYS, jwks.as_str())];
        let envoy = Envoy::start_with(&copy, directory, &[], &environment, artifacts::repository());
        let envoy = envoy.map_err(|failure| failure.to_string())?;
        let gateway = envoy.listener("gateway").ok_or("Envoy runs, but its listener does not serve")?;
        Ok(Self { envoy, upstream, gateway })
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Where the upstream listens.
    pub fn upstream(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// The Envoy in it.
    pub fn envoy(&mut self) -> &mut Envoy {
        &mut self.envoy
    }

    /// A token for a subject that may read orders, good for an hour.
    pub fn token(subject: &str) -> Result<String, String> {
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
        let claims = json!({"sub": subject, "scope": "orders.read", "exp": "now+3600"});
        let claims = claims.as_object().cloned().unwrap_or_default();
        Keys::of_this_run().mint(&TokenSpec { claims, ..TokenSpec::of("es256") }, now.as_secs())
    }

    /// What a newcomer reads: three lines to paste.
    pub fn greeting(&self) -> Result<String, String> {
        let gateway = self.gateway;
        let (alice, bob) = (Self::token("alice")?, Self::token("bob")?);
        let again = LIMIT + 2;
        Ok(format!(
            "Portcullis serves on http://{gateway}, before an upstream on {upstream} that shows what it received.\n\
             \n\
             allowed: a good token\n\n  curl -i -H 'authorization: Bearer {alice}' http://{gateway}/orders/7\n\n\
             refused: no token\n\n  curl -i http://{gateway}/orders/7\n\n\
             limited: {LIMIT} a minute and subject\n\n  for i in $(seq {again}); do curl -s -o /dev/null -w '%{{http_code}}\\n' \
             -H 'authorization: Bearer {bob}' http://{gateway}/orders/7; done\n\n\
             Audit events follow; Ctrl-C ends it all.\n",
            upstream = self.upstream(),
        ))
    }

    /// Makes the three requests itself and says what came of each.
    pub fn try_all(&self) -> Result<Vec<String>, String> {
        let allowed = self.ask(Some(&Self::token("alice")?))?;
        let seen = String::from_utf8_lossy(&allowed.body).into_owned();
        must(allowed.status == 200 && seen.contains(r#"["x-user","alice"]"#), "allowed", &allowed)?;
        must(!seen.contains(r#""authorization""#), "the token stays here", &allowed)?;
        let refused = self.ask(None)?;
        must(refused.status == 401 && refused.field("www-authenticate").is_some(), "refused", &refused)?;
        let bob = Self::token("bob")?;
        for _ in 0..LIMIT {
            let within = self.ask(Some(&bob))?;
            must(within.status == 200, "within the limit", &within)?;
        }
        let limited = self.ask(Some(&bob))?;
        must(limited.status == 429 && limited.field("retry-after").is_some(), "limited", &limited)?;
        Ok(vec![told("allowed", &allowed), told("refused", &refused), told("limited", &limited)])
    }

    fn ask(&self, token: Option<&str>) -> Result<Response, String> {
        let mut request = Request::get("localhost", "/orders/7");
        if let Some(token) = token {
            request = request.with("authorization", format!("Bearer {token}"));
        }
        client::send(self.gateway, &request).map_err(|error| error.to_string())
    }
}

fn must(holds: bool, what: &str, response: &Response) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not as it should be: {}", told(what, response))) }
}

fn told(what: &str, response: &Response) -> String {
    format!("{what}: {} {}", response.status, String::from_utf8_lossy(&response.body))
}

fn free(port: u16) -> Result<(), String> {
    let taken =
        |error| format!("port {port} of 127.0.0.1 is taken ({error}); end what listens there and try again");
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop).map_err(taken)
}

fn port_line(port: u16) -> String {
    format!("port_value: {port}}}")
}

/// A file that has changed under our feet must not start a demo of something else.
fn replaced(text: &str, from: &str, to: &str) -> Result<String, String> {
    if text.matches(from).count() == 1 {
        return Ok(text.replace(from, to));
    }
    Err(format!("envoy.yaml does not have `{from}` exactly once"))
}
