//! A real Redis, if there is one, and the two words of its protocol that a counter takes.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host_tests::artifacts;
use tempfile::TempDir;

/// What does not come in this time does not come.
const SOON: Duration = Duration::from_secs(10);

/// Where counters are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redis(SocketAddr);

/// A running `redis-server` that keeps nothing on disk. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    _directory: TempDir,
    pub(crate) redis: Redis,
}

impl Redis {
    /// Adds `hits` to a counter that is forgotten after `seconds`, and tells what it is then: `INCRBY` and `EXPIRE`, as envoyproxy/ratelimit.
    pub(crate) fn count(self, key: &str, hits: u32, seconds: u64) -> io::Result<u64> {
        let mut connection = self.connect()?;
        for words in [["INCRBY", key, &hits.to_string()], ["EXPIRE", key, &seconds.to_string()]] {
            write!(connection, "*{}\r\n", words.len())?;
            for word in words {
                write!(connection, "${}\r\n{word}\r\n", word.len())?;
            }
        }
        let mut lines = BufReader::new(connection);
        let mut next = || {
            let mut line = String::new();
            lines.read_line(&mut line)?;
            line.trim()
                .strip_prefix(':')
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| io::Error::other(line))
        };
        let count = next()?;
        next()?;
        Ok(count)
    }

    fn connect(self) -> io::Result<TcpStream> {
        let connection = TcpStream::connect_timeout(&self.0, SOON)?;
        connection.set_read_timeout(Some(SOON))?;
        connection.set_nodelay(true)?;
        Ok(connection)
    }
}

impl Server {
    /// The server that `scripts/redis-path` finds; `None` on a machine for which `make setup` has none, and which has none itself.
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let child = Command::new(&program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let server = Self { child, _directory: directory, redis: Redis(address) };
        let began = Instant::now();
        while server.redis.count("ready", 1, 1).is_err() {
            assert!(began.elapsed() < SOON, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }
}

fn program() -> Option<PathBuf> {
    let found = Command::new(artifacts::repository().join("scripts/redis-path")).output().unwrap();
    if found.status.success() {
        return Some(String::from_utf8(found.stdout).unwrap().trim().into());
    }
    let why = String::from_utf8_lossy(&found.stderr);
    let expected = std::env::consts::OS == "linux" && std::env::consts::ARCH == "x86_64";
    assert!(!expected, "`make setup` brings one; {why}");
    eprintln!("not run: {why}");
    None
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
