//! How do we run the service that Envoy's `ext_authz` asks? A process of its own, whose CPU time belongs to the request as Envoy's does.

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::artifacts;

/// The running service. It is killed when this is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    port: u16,
}

impl Service {
    /// Starts it with these rules. Its socket is there before it is, so what connects early waits in line.
    pub fn start(rules: &Value) -> Result<Self, String> {
        let program = artifacts::ext_authz()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| error.to_string())?;
        let port = listener.local_addr().map_err(|error| error.to_string())?.port();
        let child = Command::new(&program)
            .arg(rules.to_string())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(Self { child, port })
    }

    /// Where it listens, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
