//! What if an issuer is slow, wrong, gone or hostile? A server of keys, discovery and introspection that does what a test tells it, and
//! may be told otherwise while it runs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::exchange::Fields;
use crate::upstream::{Seen, next_request};

/// Nothing here lasts longer than this, whatever was asked for.
const AT_MOST: Duration = Duration::from_secs(60);
/// How often a body that never ends gets one more byte.
const DRIBBLE: Duration = Duration::from_millis(20);
/// How long a restart waits for its port.
const REBIND: Duration = Duration::from_secs(5);

/// What the server says on one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields, without those that say where the body ends.
    pub fields: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// How long it waits before the first byte.
    pub delay: Duration,
    /// How the body is sent.
    pub ending: Ending,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it, with its length.
    Whole,
    /// With its length, and so many bytes of it; then the connection closes.
    CutOff(usize),
    /// With this length, which is not its own. Then the connection closes.
    Claimed(usize),
    /// In chunks of one byte, blanks after the last, for as long as the client listens.
    Endless,
    /// No byte of the answer: the connection closes, as one does that the server was just done with when the request came.
    HungUp,
}

impl Answer {
    /// 200 with this JSON.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/json", body)
    }

    /// 200 with this body.
    pub fn of(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            fields: vec![("content-type".to_owned(), content_type.as_bytes().to_vec())],
            body: body.into(),
            delay: Duration::ZERO,
            ending: Ending::Whole,
        }
    }

    /// 200 with a page, as a captive portal or a log-in wall answers.
    pub fn html() -> Self {
        Self::of("text/html; charset=utf-8", "<!doctype html><title>Sign in</title><p>Sign in to go on.")
    }

    /// 302 to another place.
    pub fn redirect(location: &str) -> Self {
        Self::json("").status(302).with("location", location)
    }

    /// 200 with this JSON behind so many blanks that it has `bytes` bytes.
    pub fn padded(body: &[u8], bytes: usize) -> Self {
        let mut padded = vec![b' '; bytes.saturating_sub(body.len())];
        padded.extend_from_slice(body);
        Self::json(padded)
    }

    /// With this status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more field, such as `cache-control`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// After this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With this ending.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}

/// The server. It stops when it is dropped, and everything that it has begun with it.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Woken when the server stops.
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct State {
    paths: BTreeMap<String, Path>,
    /// Of this run: a thread of an earlier one ends when it sees another number.
    run: u64,
    connections: Vec<TcpStream>,
}

#[derive(Debug, Default)]
struct Path {
    rule: Option<Rule>,
    requests: usize,
    last: Option<Seen>,
}

/// Makes an answer of a request.
#[derive(Clone)]
struct Rule(Arc<dyn Fn(&Seen) -> Answer + Send + Sync>);

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rule")
    }
}

impl KeyServer {
    /// On a free port of the loopback interface. Every path is 404 until it has an answer.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut server = Self { address, shared: Arc::default(), accepting: None };
        server.serve(listener);
        Ok(server)
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let run = shared.lock().run;
        self.accepting = Some(std::thread::spawn(move || accept(&listener, &shared, run)));
    }

    /// Where it listens, or did before it was stopped.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port: what a cluster wants.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on, this is the answer on this path (the query is no part of it).
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answer_with(path, move |_| answer.clone());
    }

    /// From now on, the answer on this path depends on the request: introspection of one token or another.
    pub fn answer_with(&self, path: &str, rule: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        let mut state = self.shared.lock();
        state.paths.entry(path.to_owned()).or_default().rule = Some(Rule(Arc::new(rule)));
    }

    /// How many requests came to this path. One is counted when it has been read, before its answer goes out.
    pub fn requests(&self, path: &str) -> usize {
        self.shared.lock().paths.get(path).map_or(0, |path| path.requests)
    }

    /// The last request that came to this path, with its fields and its body.
    pub fn last(&self, path: &str) -> Option<Seen> {
        self.shared.lock().paths.get(path)?.last.clone()
    }

    /// Refuses connections from now on, and closes those that are open. The answers and the counts stay.
    pub fn stop(&mut self) {
        let Some(thread) = self.accepting.take() else { return };
        {
            let mut state = self.shared.lock();
            state.run += 1;
            for connection in state.connections.drain(..) {
                drop(connection.shutdown(Shutdown::Both));
            }
        }
        self.shared.stopped.notify_all();
        // `accept` waits for a connection: this is the last one.
        drop(TcpStream::connect(self.address));
        drop(thread.join());
    }

    /// Serves again, on the same port.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        let start = Instant::now();
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                Err(error) if start.elapsed() > REBIND => return Err(error),
                Err(_) => std::thread::sleep(DRIBBLE),
            }
        };
        self.serve(listener);
        Ok(())
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not beyond the end of this run; whether the run goes on.
    fn wait(&self, run: u64, time: Duration) -> bool {
        let waited =
            self.stopped.wait_timeout_while(self.lock(), time.min(AT_MOST), |state| state.run == run);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.run == run
    }

    /// Counts a request and finds its answer. `None`: the run is over.
    fn answer(&self, run: u64, request: &Seen) -> Option<Answer> {
        let mut state = self.lock();
        (state.run == run).then_some(())?;
        let name = request.target.split('?').next().unwrap_or_default().to_owned();
        let path = state.paths.entry(name).or_default();
        path.requests += 1;
        path.last = Some(request.clone());
        let rule = path.rule.clone();
        drop(state);
        Some(
            rule.map_or_else(|| Answer::of("text/plain", "nothing here").status(404), |rule| rule.0(request)),
        )
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, run: u64) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        let Ok(to_close) = stream.try_clone() else { continue };
        {
            let mut state = shared.lock();
            if state.run != run {
                return;
            }
            state.connections.push(to_close);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is no failure of ours.
            drop(converse(&stream, &shared, run));
            drop(stream.shutdown(Shutdown::Both));
        });
    }
}

fn converse(mut stream: &TcpStream, shared: &Shared, run: u64) -> io::Result<()> {
    stream.set_read_timeout(Some(AT_MOST))?;
    stream.set_write_timeout(Some(AT_MOST))?;
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut read)? {
        let to_head = request.method == "HEAD";
        let Some(answer) = shared.answer(run, &request) else { return Ok(()) };
        if !answer.delay.is_zero() && !shared.wait(run, answer.delay) {
            return Ok(());
        }
        if answer.ending == Ending::HungUp {
            return Ok(());
        }
        stream.write_all(&head(&answer))?;
        if to_head {
            continue;
        }
        match answer.ending {
            Ending::Whole => stream.write_all(&answer.body)?,
            Ending::CutOff(bytes) => return stream.write_all(&answer.body[..bytes.min(answer.body.len())]),
            Ending::Claimed(_) => return stream.write_all(&answer.body),
            Ending::HungUp => return Ok(()),
            Ending::Endless => return dribble(stream, &answer.body, || shared.wait(run, DRIBBLE)),
        }
    }
    Ok(())
}

fn head(answer: &Answer) -> Vec<u8> {
    let length = match answer.ending {
        Ending::Whole | Ending::CutOff(_) => Some(answer.body.len()),
        Ending::Claimed(length) => Some(length),
        Ending::Endless | Ending::HungUp => None,
    };
    let mut head = format!("HTTP/1.1 {} Told\r\n", answer.status).into_bytes();
    for (name, value) in &answer.fields {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(match length {
        Some(length) => format!("content-length: {length}\r\n\r\n").into_bytes(),
        None => b"transfer-encoding: chunked\r\n\r\n".to_vec(),
    });
    head
}

fn dribble(mut stream: &TcpStream, body: &[u8], goes_on: impl Fn() -> bool) -> io::Result<()> {
    let start = Instant::now();
    for byte in body.iter().copied().chain(std::iter::repeat(b' ')) {
        stream.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n'])?;
        if !goes_on() || start.elapsed() > AT_MOST {
            break;
        }
    }
    Ok(())
}
