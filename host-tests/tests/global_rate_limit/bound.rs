//! How far beyond the limit do leases lead, of what the document allows?
//!
//! A calm second, towards the end of which everybody begins to want everything, so that each worker holds a lease that it has just got; then a second
//! of that, in which what was counted before its beginning passes beside the limit of its own; then one of nothing, after which leases are asked
//! for again.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host_tests::client::Client;
use host_tests::exchange::Request;
use serde_json::json;

use super::document::Document;
use super::engines::FixedWindows;
use super::redis::Server as RedisServer;
use super::service::Service;
use super::{Gateway, by_tenant};

/// A second.
const LIMIT: usize = 1600;
const GATEWAYS: usize = 2;
/// Of each gateway.
const WORKERS: usize = 2;
/// Of each gateway.
const CLIENTS: usize = 4;
/// In seconds.
const ROUND: u32 = 3;
const ROUNDS: u32 = 2;
/// When in a round the storm begins and ends.
const STORM: std::ops::Range<Duration> = Duration::from_millis(800)..Duration::from_secs(2);

/// Between what times, since the epoch, a request that passed was on its way.
type Passage = (Duration, Duration);

#[test]
fn leases_lead_no_further_beyond_the_limit_than_the_document_says() {
    let Some(redis) = RedisServer::start() else { return };
    let limits = Document::read().envoyproxy.replace("unit: minute", "unit: second");
    let limits = limits.replace("requests_per_unit: 20", &format!("requests_per_unit: {LIMIT}"));
    let service = Service::start(FixedWindows::with_the_clock(&limits, redis.redis));
    let leases = [10, 50, 200];
    let limit = |lease: usize| by_tenant(&json!({"timeout": "5s", "lease": lease}));
    let routes = leases.map(|lease| (format!("lease-{lease}"), limit(lease)));
    let routes: Vec<_> = routes.iter().map(|(name, limit)| (name.as_str(), limit.clone())).collect();
    let gateways: Vec<Gateway> = (0..GATEWAYS).map(|_| Gateway::start(service.port(), &routes)).collect();
    for lease in leases {
        let before = service.asked();
        let passages = storm_and_calm(&gateways, &format!("/lease-{lease}"));
        let asked = service.asked() - before;
        let most = most_in_a_second(&passages);
        let bound = LIMIT + GATEWAYS * WORKERS * lease;
        eprintln!("| {lease} | {bound} | {most} | {} | {asked} |", passages.len());
        assert!(
            most <= bound,
            "lease {lease}: {most} of {LIMIT} passed within a second, and at most {bound} may"
        );
        assert!(asked < passages.len(), "lease {lease}: {asked} questions for {}", passages.len());
    }
}

/// The requests that passed.
fn storm_and_calm(gateways: &[Gateway], path: &str) -> Vec<Passage> {
    let passages = Mutex::new(Vec::new());
    let round = Duration::from_secs(1) * ROUND;
    let begin = Duration::from_secs((now().as_secs() / u64::from(ROUND) + 1) * u64::from(ROUND));
    thread::scope(|scope| {
        for gateway in gateways.iter().flat_map(|gateway| [gateway; CLIENTS]) {
            scope.spawn(|| {
                let request = Request::get("api", path).with("x-tenant", "acme");
                let mut client = Client::connect(gateway.address).unwrap();
                let mut mine = Vec::new();
                while now() < begin + round * ROUNDS {
                    let into =
                        Duration::from_nanos(u64::try_from(now().as_nanos() % round.as_nanos()).unwrap());
                    if !STORM.contains(&into) {
                        thread::sleep(Duration::from_millis(40));
                    }
                    if into >= STORM.end {
                        continue;
                    }
                    let sent = now();
                    match client.exchange(&request).unwrap().status {
                        200 => mine.push((sent, now())),
                        429 => {}
                        other => panic!("{other}\n{}", gateway.envoy.log()),
                    }
                }
                passages.lock().unwrap().extend(mine);
            });
        }
    });
    passages.into_inner().unwrap()
}

/// Windows are seconds of the clock. What was surely within one: sent after its beginning and answered before its end.
fn most_in_a_second(passages: &[Passage]) -> usize {
    let within = |second: u64| {
        let inside = |(sent, answered): &&Passage| sent.as_secs() == second && answered.as_secs() == second;
        passages.iter().filter(inside).count()
    };
    let seconds = passages.iter().map(|(sent, _)| sent.as_secs());
    (seconds.clone().min().unwrap()..=seconds.max().unwrap()).map(within).max().unwrap()
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
