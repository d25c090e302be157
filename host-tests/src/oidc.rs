//! What does a real provider issue? `oidc-provider` under Node, with its own keys, on the loopback interface.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::certificates::Certificate;
use crate::exchange::{Body, Request};
use crate::{artifacts, client};

/// How long Node may take to load the provider, on a machine that may be busy.
const READY: Duration = Duration::from_secs(30);
/// How long it may take to do what it was told. A new RSA key takes its time.
const SOON: Duration = Duration::from_secs(10);

/// The resource whose tokens are JWTs, for the audience `orders-api`.
pub const ORDERS: &str = "https://orders.example";
/// The resource whose tokens are opaque, for the audience `legacy-api`.
pub const LEGACY: &str = "https://legacy.example";

/// The provider. It ends when this is dropped.
#[derive(Debug)]
pub struct Provider {
    child: Child,
    control: Mutex<Control>,
    address: SocketAddr,
    issuer: String,
    clients: Map<String, Value>,
    discovery: Value,
}

#[derive(Debug)]
struct Control {
    commands: ChildStdin,
    answers: Receiver<String>,
    complaints: File,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// Its scopes, with blanks between them; of `orders.read` and `orders.write`.
    pub scope: &'a str,
    /// What the token is for: [`ORDERS`] or [`LEGACY`].
    pub resource: &'a str,
    /// A proof of possession (RFC 9449 §4.2), for `POST` and the [token endpoint](Provider::token_endpoint).
    pub dpop: Option<&'a str>,
    /// The client's certificate, as if it had shown it (RFC 8705 §3).
    pub certificate: Option<&'a Certificate>,
}

impl Wish<'static> {
    /// A JWT that whoever has it may use.
    pub const BEARER: Self = Self { scope: "orders.read", resource: ORDERS, dpop: None, certificate: None };
    /// An opaque token that whoever has it may use.
    pub const OPAQUE: Self = Self { resource: LEGACY, ..Self::BEARER };
}

/// How a client proves who it is: name and secret.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `client_id`.
    pub id: String,
    /// `client_secret`. Those of the gateway have characters in them that must be encoded.
    pub secret: String,
}

impl Credentials {
    /// RFC 6749 §2.3.1: each is form-encoded, then they are joined.
    pub fn to_basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", form(&self.id), form(&self.secret))))
    }
}

impl Provider {
    /// Starts one and waits until it serves.
    pub fn start() -> Result<Self, String> {
        let complaints = tempfile::tempfile().map_err(told)?;
        let mut child = Command::new("node")
            .arg(artifacts::provider()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone().map_err(told)?)
            .spawn()
            .map_err(|error| format!("`node` does not start: {error}"))?;
        let (commands, said) = (child.stdin.take(), child.stdout.take());
        let (Some(commands), Some(said)) = (commands, said) else { unreachable!("both are pipes") };
        let (sender, answers) = channel();
        // It ends with the pipe, and so with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                drop(sender.send(line));
            }
        });
        let mut provider = Self {
            child,
            control: Mutex::new(Control { commands, answers, complaints }),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            issuer: String::new(),
            clients: Map::new(),
            discovery: Value::Null,
        };
        provider.introduce()?;
        Ok(provider)
    }

    fn introduce(&mut self) -> Result<(), String> {
        let mut said = self.control()?.answer(READY)?;
        self.issuer = text(&said, "issuer")?;
        let authority = self.issuer.trim_start_matches("http://");
        self.address = authority.parse().map_err(told)?;
        if let Some(clients) = said["clients"].as_object_mut() {
            self.clients = std::mem::take(clients);
        }
        self.discovery = self.get("/.well-known/openid-configuration")?;
        Ok(())
    }

    /// Its issuer identifier, `http://127.0.0.1:<port>`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Its port: what a cluster wants.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it says of itself (OpenID Connect Discovery 1.0 §3), as it was at the start.
    pub fn discovery(&self) -> &Value {
        &self.discovery
    }

    /// Where tokens are had: what a proof of possession has in `htu`.
    pub fn token_endpoint(&self) -> Result<String, String> {
        text(&self.discovery, "token_endpoint")
    }

    /// Where one asks about a token (RFC 7662).
    pub fn introspection_endpoint(&self) -> Result<String, String> {
        text(&self.discovery, "introspection_endpoint")
    }

    /// Who asks about tokens.
    pub fn gateway(&self) -> Result<Credentials, String> {
        self.credentials("gateway")
    }

    /// The published keys, as they are now.
    pub fn jwks(&self) -> Result<Value, String> {
        self.get(self.path("jwks_uri")?.as_str())
    }

    /// A token for the client `orders-client`, or `bound-client` if there is a certificate to bind it to.
    pub fn token(&self, wish: &Wish<'_>) -> Result<String, String> {
        let client = self.credentials(if wish.certificate.is_some() { "bound" } else { "caller" })?;
        let form = [("grant_type", "client_credentials"), ("scope", wish.scope), ("resource", wish.resource)];
        let mut request = self.post("token_endpoint", &client, &form)?;
        if let Some(proof) = wish.dpop {
            request = request.with("dpop", proof);
        }
        if let Some(certificate) = wish.certificate {
            request = request.with("x-client-certificate", STANDARD.encode(certificate.der()));
        }
        text(&self.send(&request)?, "access_token")
    }

    /// What it says to the gateway about a token.
    pub fn introspect(&self, token: &str) -> Result<Value, String> {
        self.send(&self.post("introspection_endpoint", &self.gateway()?, &[("token", token)])?)
    }

    /// Takes back an opaque token of `orders-client` (RFC 7009).
    pub fn revoke(&self, token: &str) -> Result<(), String> {
        let request = self.post("revocation_endpoint", &self.credentials("caller")?, &[("token", token)])?;
        self.exchange(&request).map(drop)
    }

    /// Publishes a new key for `RS256` or `ES256` beside the others and tells its `kid`. Nothing is signed with it yet.
    pub fn publish(&self, algorithm: &str) -> Result<String, String> {
        text(&self.tell(&json!({"do": "publish", "alg": algorithm}))?, "kid")
    }

    /// From now on, tokens are signed with the newest key.
    pub fn sign_with_newest(&self) -> Result<(), String> {
        self.tell(&json!({"do": "sign"})).map(drop)
    }

    /// The keys that sign no more are published no more.
    pub fn drop_old(&self) -> Result<(), String> {
        self.tell(&json!({"do": "drop"})).map(drop)
    }

    /// All three at once: the old key is gone, the new one signs. Tells its `kid`.
    pub fn rotate(&self, algorithm: &str) -> Result<String, String> {
        let kid = self.publish(algorithm)?;
        self.sign_with_newest()?;
        self.drop_old()?;
        Ok(kid)
    }

    /// How long the tokens live that it issues from now on.
    pub fn set_lifetime(&self, seconds: u32) -> Result<(), String> {
        self.tell(&json!({"do": "lifetime", "seconds": seconds})).map(drop)
    }

    fn tell(&self, command: &Value) -> Result<Value, String> {
        let mut control = self.control()?;
        writeln!(control.commands, "{command}").map_err(told)?;
        control.answer(SOON)
    }

    fn control(&self) -> Result<std::sync::MutexGuard<'_, Control>, String> {
        self.control.lock().map_err(told)
    }

    fn credentials(&self, name: &str) -> Result<Credentials, String> {
        let client = self.clients.get(name).ok_or_else(|| format!("no client is called `{name}`"))?;
        Ok(Credentials { id: text(client, "id")?, secret: text(client, "secret")? })
    }

    /// The path of an endpoint that the discovery document names.
    fn path(&self, endpoint: &str) -> Result<String, String> {
        let url = text(&self.discovery, endpoint)?;
        url.strip_prefix(&self.issuer).map(str::to_owned).ok_or_else(|| format!("{url} is elsewhere"))
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        self.send(&Request::get(&self.address.to_string(), path))
    }

    fn post(&self, endpoint: &str, client: &Credentials, fields: &[(&str, &str)]) -> Result<Request, String> {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", form(value))).collect();
        let request = Request::get(&self.address.to_string(), &self.path(endpoint)?)
            .with("content-type", "application/x-www-form-urlencoded")
            .with("authorization", client.to_basic());
        Ok(Request { method: "POST".to_owned(), body: Body::Whole(pairs.join("&").into_bytes()), ..request })
    }

    /// The JSON of a 200.
    fn send(&self, request: &Request) -> Result<Value, String> {
        serde_json::from_str(&self.exchange(request)?).map_err(told)
    }

    /// The body of a 200.
    fn exchange(&self, request: &Request) -> Result<String, String> {
        let response = client::send(self.address, request).map_err(told)?;
        let body = String::from_utf8_lossy(&response.body).into_owned();
        match response.status {
            200 => Ok(body),
            status => Err(format!("the provider answered {status}: {body}")),
        }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Control {
    fn answer(&mut self, limit: Duration) -> Result<Value, String> {
        let line = self.answers.recv_timeout(limit).map_err(|error| {
            let how = match error {
                RecvTimeoutError::Timeout => "says nothing",
                RecvTimeoutError::Disconnected => "has ended",
            };
            format!("the provider {how}:\n{}", self.complaints().unwrap_or_default())
        })?;
        let answer: Value = serde_json::from_str(&line).map_err(told)?;
        match answer.get("error") {
            Some(error) => Err(format!("the provider: {error}")),
            None => Ok(answer),
        }
    }

    fn complaints(&mut self) -> io::Result<String> {
        let mut text = String::new();
        self.complaints.rewind()?;
        self.complaints.read_to_string(&mut text)?;
        Ok(text)
    }
}

fn text(value: &Value, member: &str) -> Result<String, String> {
    let text = value.get(member).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| format!("no `{member}` in {value}"))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// `application/x-www-form-urlencoded`: what is not surely safe becomes its number.
pub fn form(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::{Credentials, form};

    #[test]
    fn a_secret_is_encoded_before_it_is_joined() {
        assert_eq!(form("a b:/%é"), "a+b%3A%2F%25%C3%A9");
        let credentials = Credentials { id: "a:b".to_owned(), secret: "c".to_owned() };
        assert_eq!(credentials.to_basic(), "Basic YSUzQWI6Yw==");
    }
}
