//! What does somebody see who stands elsewhere? One request out of another network namespace, by a program of its own (`bin/probe.rs`), which is
//! told in JSON what to ask and tells in JSON what came of it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::certificates::{Authority, Certificate};
use crate::client::Client;
use crate::exchange::{Request, Response, latin1};
use crate::tls;

/// How long anything may take. Where no packets are passed on, nothing ever comes.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Of whom.
    pub server: SocketAddr,
    /// Under which name. A field `host` among the others says another one, though not to TLS.
    pub host: String,
    /// The request target.
    pub target: String,
    /// Fields beside `host`.
    pub fields: Vec<(String, String)>,
    /// The file of the authority that vouches for the server; none: no TLS is spoken.
    pub trusted: Option<PathBuf>,
    /// The client's certificate and key, as `NAME` of `NAME.pem` and `NAME.key`.
    pub shown: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An answer: status, fields, body.
    Answer(u16, Vec<(String, String)>, String),
    /// None.
    Nothing(String),
}

impl Outcome {
    /// The status; zero if nothing was answered.
    pub fn status(&self) -> u16 {
        if let Self::Answer(status, ..) = self { *status } else { 0 }
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let Self::Answer(_, fields, _) = self else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Probe {
    /// Asks.
    pub fn run(&self) -> Outcome {
        match self.ask() {
            Ok(Response { status, fields, body }) => {
                let fields = fields.into_iter().map(|(name, value)| (name, latin1(&value))).collect();
                Outcome::Answer(status, fields, latin1(&body))
            }
            Err(error) => Outcome::Nothing(error.to_string()),
        }
    }

    fn ask(&self) -> io::Result<Response> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let other = self.fields.iter().find(|(name, _)| name == "host");
        let authority = other.map_or(&self.host, |(_, value)| value);
        let mut request = Request::get(authority, &self.target);
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "host") {
            request = request.with(name, value.as_str());
        }
        let Some(trusted) = &self.trusted else {
            return Client::over(stream).exchange(&request);
        };
        let shown = self.shown.as_deref().map(Certificate::read).transpose()?;
        tls::over(stream, &self.host, &Authority::read(trusted)?, shown.as_ref())?.exchange(&request)
    }
}
