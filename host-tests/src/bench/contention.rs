//! What do two workers cost each other that want one bucket, and does more than its limit ever pass?
//!
//! One Envoy of two workers, to which connections are dealt out evenly, and a thread of load for each half of them. What is compared takes
//! turns in small parts, so what slows the machine for a while slows all of it; the load shares the cores with Envoy, so the
//! workers overlap as far as two cores let them.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::chain::{self, NO_LIMIT};
use super::cpu;
use super::figures::Spread;
use super::load::{Load, Statuses};
use crate::artifacts;
use crate::envoy::Envoy;
use crate::exchange::Request;

/// Requests of a part, of all threads together.
const PART: usize = 4_000;
/// Parts of a row, if not told otherwise.
pub const PARTS: usize = 30;
/// Threads of load: as many as workers.
const THREADS: usize = 2;
/// Keys of the row in which no two requests under way are for one bucket. The slots of the table are 16,384.
const KEYS: usize = 4_096;
const LISTENER: &str = "contention";
/// The limit that is reached: requests a second, and at once.
const LIMIT: u32 = 2_000;
/// For so long it is asked for more than that.
const ASKED: Duration = Duration::from_secs(10);
/// Within this time the workers have told what they counted, which they do every second.
const TOLD: Duration = Duration::from_secs(30);

const LOST_RACES: &str = "wasmcustom.portcullis_bucket_lost_races_total";
const REQUESTS: &str = "wasmcustom.portcullis_requests_total";

/// What is asked, and how often it was.
struct Proxy {
    envoy: Envoy,
    address: SocketAddr,
    sent: u64,
}

/// One row of the table: who asks, and for what.
struct Row {
    name: &'static str,
    requests: Vec<Vec<u8>>,
    micros: Vec<f64>,
    lost: u64,
}

impl Row {
    fn new(name: &'static str, path: &str, keys: usize) -> Self {
        let request = |key| Request::get("api.example.com", path).with("x-key", format!("key-{key:04}"));
        Self {
            name,
            requests: (0..keys).map(|key| request(key).to_wire()).collect(),
            micros: vec![],
            lost: 0,
        }
    }

    fn measure(&mut self, proxy: &mut Proxy) -> Result<(), String> {
        let spent = |proxy: &Proxy| cpu::time_of(proxy.envoy.pid()).map_err(|error| error.to_string());
        let before = spent(proxy)?;
        let statuses = proxy.send(&self.requests, PART)?;
        let spent = spent(proxy)?.saturating_sub(before).as_secs_f64() * 1e6;
        if statuses.keys().ne([&200]) {
            return Err(format!("{}: there came {statuses:?}", self.name));
        }
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        self.micros.push(spent / statuses.values().sum::<u64>() as f64);
        Ok(())
    }
}

/// Measures `parts` of each row, and then whether a limit holds.
pub fn run(parts: usize, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let mut proxy = Proxy::start()?;
    let mut rows = [
        Row::new("no limit", "/open", KEYS),
        Row::new("a limit, many keys", "/limited", KEYS),
        Row::new("a limit, one key", "/limited", 1),
    ];
    for row in &rows {
        proxy.send(&row.requests, PART)?;
    }
    for _ in 0..parts {
        for row in &mut rows {
            row.measure(&mut proxy)?;
        }
    }
    // Each alone, since a race that was lost is not told with its request.
    for row in &mut rows {
        let before = proxy.lost_races()?;
        proxy.send(&row.requests, PART * parts)?;
        row.lost = proxy.lost_races()? - before;
    }
    table(&rows, parts, progress)?;
    hold(&mut proxy, progress)
}

fn table(rows: &[Row], parts: usize, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let [open, ..] = rows else { return Err("nothing was measured".to_owned()) };
    progress("| requests | CPU µs a request, median (quartiles) | over no limit | lost races a thousand |");
    progress("| --- | ---: | ---: | ---: |");
    for row in rows {
        let over = row.micros.iter().zip(&open.micros).map(|(it, open)| it - open);
        let quartiles = |figures: &mut dyn Iterator<Item = f64>| {
            Spread::of_the_middle(figures).ok_or("nothing was measured")
        };
        let (cost, over) = (quartiles(&mut row.micros.iter().copied())?, quartiles(&mut over.into_iter())?);
        #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
        let lost = row.lost as f64 * 1e3 / (PART * parts) as f64;
        let told = |it: Spread| format!("{:.1} ({:.1}-{:.1})", it.median, it.min, it.max);
        progress(&format!("| {} | {} | {} | {lost:.2} |", row.name, told(cost), told(over)));
    }
    Ok(())
}

/// Asks for more than a limit for a while, and counts what passes.
fn hold(proxy: &mut Proxy, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let row = Row::new("one key", "/held", 1);
    let before = proxy.lost_races()?;
    let (began, mut statuses) = (Instant::now(), Statuses::new());
    while began.elapsed() < ASKED {
        add(&mut statuses, proxy.send(&row.requests, PART)?);
    }
    let took = began.elapsed();
    let lost = proxy.lost_races()? - before;
    let passed = statuses.get(&200).copied().unwrap_or_default();
    // A whole bucket, and what comes in; all that passed did so between the two moments.
    let most = f64::from(LIMIT) * (1.0 + took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let within = passed as f64 <= most;
    progress(&format!(
        "a limit of {LIMIT} a second, for {:.2} s: {passed} passed of at most {most:.0}; {statuses:?}, {lost} races lost",
        took.as_secs_f64()
    ));
    if within && statuses.len() > 1 {
        Ok(())
    } else {
        Err("more passed than may, or nothing was refused".to_owned())
    }
}

impl Proxy {
    fn start() -> Result<Self, String> {
        let envoy = start()?;
        let address = envoy.listener(LISTENER).ok_or("the listener is gone")?;
        Ok(Self { envoy, address, sent: 0 })
    }

    fn send(&mut self, requests: &[Vec<u8>], count: usize) -> Result<Statuses, String> {
        let statuses = send(self.address, requests, count)?;
        self.sent += statuses.values().sum::<u64>();
        Ok(statuses)
    }

    /// As many as there were, as soon as the workers have told of every request.
    fn lost_races(&self) -> Result<u64, String> {
        let began = Instant::now();
        while began.elapsed() < TOLD {
            let text = self.envoy.admin_text(&format!("/stats?filter=^{REQUESTS}")).unwrap_or_default();
            let counts = text.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok());
            let told = counts.sum::<u64>() == self.sent;
            // Once more after that: a worker tells one count after the other.
            std::thread::sleep(Duration::from_millis(100));
            if told {
                return Ok(self.envoy.stat(LOST_RACES));
            }
        }
        Err("the workers have not told of every request".to_owned())
    }
}

/// Sends `count` requests, each thread its part of them over connections of its own.
fn send(address: SocketAddr, requests: &[Vec<u8>], count: usize) -> Result<Statuses, String> {
    let part = |thread: usize| {
        // Each begins elsewhere, or they would ask for the same keys at the same time.
        let mut turn = requests.to_vec();
        turn.rotate_left(thread * requests.len() / THREADS);
        Load::connect(address, &turn, 0).and_then(|mut load| load.run(count / THREADS))
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || part(thread))).collect();
        let mut all = Statuses::new();
        for thread in threads {
            let statuses = thread.join().map_err(|_| "a thread of load has died")?;
            add(&mut all, statuses.map_err(|error| error.to_string())?);
        }
        Ok(all)
    })
}

fn add(all: &mut Statuses, more: Statuses) {
    for (status, count) in more {
        *all.entry(status).or_default() += count;
    }
}

fn start() -> Result<Envoy, String> {
    let by = json!([{"header": "x-key"}]);
    let open = json!({"open": {"because": "the cost of a limit alone"}});
    let route = |path: &str, requests: Option<u32>| {
        let name = path.trim_start_matches('/');
        let mut route = json!({"name": name, "match": {"path": {"type": "Exact", "value": path}}, "authentication": open});
        if let Some(requests) = requests {
            let limit = json!({"requests": requests, "unit": "Second"});
            route["rateLimit"] = json!({"local": {"rules": [{"name": "each", "by": by, "limit": limit}]}});
        }
        route
    };
    let policy = json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "contention", "audit": {"log": "Off"},
        "routes": [route("/open", None), route("/limited", Some(NO_LIMIT)), route("/held", Some(LIMIT))],
    });
    let mut listener = chain::listener(LISTENER, chain::gateway(&artifacts::plugin()?, policy, ""), false);
    // As many connections for one worker as for the other.
    listener["connection_balance_config"] = json!({"exact_balance": {}});
    let bootstrap: Value = json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {"listeners": [listener]},
    });
    let directory = TempDir::new().map_err(|error| error.to_string())?;
    let config = directory.path().join("envoy.json");
    fs::write(&config, bootstrap.to_string()).map_err(|error| error.to_string())?;
    let arguments = ["--concurrency", "2", "--log-level", "warning"].map(ToOwned::to_owned);
    let envoy = Envoy::start_with(&config, directory, &arguments, &[], artifacts::repository());
    envoy.map_err(|failure| failure.to_string())
}
