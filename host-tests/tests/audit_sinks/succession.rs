//! Does a real Envoy lose events when it replaces a policy, and does it end as it should while some are held? Their collector hears of nothing for a minute
//! unless a batch is full, so that what comes earlier comes because its policy is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use host_tests::artifacts;
use host_tests::client::{self, Client};
use host_tests::envoy::{Envoy, Launch, Verdict};
use host_tests::envoy_config::{Cluster, Listener};
use host_tests::exchange::Request;
use host_tests::extension::Extension;
use host_tests::key_server::{Answer, KeyServer};
use host_tests::upstream::Upstream;
use serde_json::{Value, json};

use super::{wait, wait_for};

/// How often the policy changes under load.
const UPDATES: usize = 20;
/// Longer than a batch is tried.
const LONG: Duration = Duration::from_secs(60);
/// What says that events were not sent before their VM ended.
const ENDED: &str = "audit events end with this VM unacknowledged";

/// What a collector was sent: who it was told that we are, and the body.
type Batch = (Option<String>, Vec<u8>);

/// A collector that writes down what it hears.
struct Listening {
    server: KeyServer,
    heard: Arc<Mutex<Vec<Batch>>>,
}

impl Listening {
    /// Which takes so long for an answer.
    fn start(delay: Duration) -> Self {
        let (server, heard) = (KeyServer::start().unwrap(), Arc::<Mutex<Vec<Batch>>>::default());
        let ear = Arc::clone(&heard);
        server.answer_with("/v1/logs", move |seen| {
            let batch = (seen.field("authorization"), seen.body.clone());
            ear.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
            Answer::of("application/x-protobuf", *b"").after(delay)
        });
        Self { server, heard }
    }

    fn heard(&self) -> Vec<Batch> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The requests of which it has heard.
    fn ids(&self) -> BTreeSet<String> {
        self.heard().iter().flat_map(|(_, body)| ids(body)).collect()
    }
}

/// A request's id as we give them: of this length, since what follows in a record is any byte.
fn id(number: usize) -> String {
    format!("r-{number:06}")
}

/// The ids in a body.
fn ids(body: &[u8]) -> Vec<String> {
    let windows = body
        .windows(8)
        .filter(|word| word.strip_prefix(b"r-").is_some_and(|number| number.iter().all(u8::is_ascii_digit)));
    windows.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// How many events are said to have ended with their VMs.
fn ended(log: &str) -> usize {
    let lines = log.lines().filter_map(|line| line.split_once(ENDED));
    let numbers = lines.map(|(before, _)| before.trim().rsplit(' ').next().unwrap_or_default());
    numbers.map(|number| number.parse::<usize>().unwrap_or_else(|_| panic!("{number}\n{log}"))).sum()
}

/// One open route, and a collector, or none.
fn policy(version: usize, otlp: Option<&Value>) -> Value {
    let sinks =
        otlp.map_or(json!({"log": false, "accessLog": "All"}), |otlp| json!({"log": false, "otlp": otlp}));
    let level = if otlp.is_some() { "All" } else { "Off" };
    json!({
        "apiVersion": "portcullis/v1", "kind": "GatewayPolicy", "name": "succession",
        "audit": {"log": level, "sinks": sinks},
        "routes": [{"name": format!("version-{version}"), "match": {}, "authentication": {"open": {"because": "test"}}}],
    })
}

fn otlp(cluster: &str) -> Value {
    json!({"cluster": cluster, "uri": "http://collector/v1/logs", "maxBatch": 16, "maxDelay": "60s", "timeout": "60s"})
}

/// A gateway whose plugin comes by extension discovery.
struct Gateway {
    envoy: Envoy,
    listener: Listener,
    extension: Extension,
    address: SocketAddr,
    sent: AtomicUsize,
    _upstream: Upstream,
}

impl Gateway {
    /// With two workers, unless it has one so that there is one thread to look at.
    fn start(otlp: &Value, collectors: &[(&str, &Listening)], workers: &str) -> Self {
        let upstream = Upstream::start().unwrap();
        let port = upstream.address().port();
        let mut listener =
            Listener::new("succession", policy(0, Some(otlp)), artifacts::plugin().unwrap(), port);
        listener.host_env = BTreeMap::from(
            [("OLD", "Bearer of-old"), ("NEW", "Bearer of-new")]
                .map(|(name, value)| (name.into(), value.into())),
        );
        let extension = Extension::of(&listener);
        listener.manager = extension.manager();
        let clusters = collectors.iter().map(|(name, collector)| Cluster::new(name, collector.server.port()));
        let launch = Launch {
            listeners: vec![listener.clone()],
            clusters: clusters.collect(),
            arguments: ["--drain-time-s", "1", "--concurrency", workers].map(str::to_owned).to_vec(),
            ..Launch::default()
        };
        let envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
        let address = envoy.listener("succession").unwrap();
        Self { envoy, listener, extension, address, sent: AtomicUsize::new(0), _upstream: upstream }
    }

    fn update(&mut self, version: usize, otlp: Option<&Value>) {
        self.listener.policy = policy(version, otlp);
        self.extension.update(&self.envoy, &self.listener);
    }

    /// Sends one more request, which passes: its id.
    fn ask(&self, client: &mut Client) -> String {
        let id = id(self.sent.fetch_add(1, Ordering::SeqCst));
        let request = Request::get("api.example.com", "/").with("x-request-id", id.as_str());
        assert_eq!(client.exchange(&request).unwrap().status, 200, "{id}\n{}", self.envoy.log());
        id
    }

    /// So many requests come and go.
    fn serve(&self, count: usize) -> BTreeSet<String> {
        let mut client = Client::connect(self.address).unwrap();
        (0..count).map(|_| self.ask(&mut client)).collect()
    }

    /// Events that the metric counts as lost.
    fn dropped(&self) -> u64 {
        self.envoy.stat("wasmcustom.portcullis_sink_dropped_total.sink=otlp")
    }

    fn says(&self, what: &str) -> bool {
        self.envoy.log().lines().any(|line| line.contains(what))
    }

    /// It ends by itself when it is told to, and well.
    fn end(mut self) -> String {
        // Its main thread has come to the end of the last update, without which Envoy 1.36 breaks here, whatever the plugin is.
        wait("the main thread", || self.envoy.admin_text("/ready").ok());
        let status = self.envoy.end().unwrap_or_else(|failure| panic!("{failure}"));
        let log = self.envoy.log();
        assert!(status.success(), "{status}\n{log}");
        assert!(!log.contains("panic") && !log.contains("Caught"), "{log}");
        log
    }
}

/// The policy changes while callers ask. A batch that was on its way to this collector, which is slow, is sent again as it was; nothing else comes twice.
#[test]
fn every_event_arrives_however_often_the_policy_changes() {
    let collector = Listening::start(Duration::from_millis(5));
    let otlp = otlp("collector");
    let mut gateway = Gateway::start(&otlp, &[("collector", &collector)], "2");
    let over = AtomicBool::new(false);
    // A connection belongs to one worker, so there are several.
    let address = gateway.address;
    let sent = &AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address).unwrap();
                while !over.load(Ordering::SeqCst) {
                    let id = id(sent.fetch_add(1, Ordering::SeqCst));
                    let request = Request::get("api.example.com", "/").with("x-request-id", id.as_str());
                    let status = client.exchange(&request).map(|response| response.status);
                    assert!(matches!(status, Ok(200)), "{id}: {status:?}");
                    // So many that batches are full now and then, and not always.
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        for update in 1..=UPDATES {
            // Every third one follows at once, on what the one before it has left.
            let enough = sent.load(Ordering::SeqCst) + if update % 3 == 0 { 0 } else { 50 };
            wait("fifty requests", || (sent.load(Ordering::SeqCst) >= enough).then_some(()));
            gateway.update(update, Some(&otlp));
        }
        over.store(true, Ordering::SeqCst);
    });
    // And what the last of them holds.
    gateway.update(UPDATES + 1, Some(&otlp));
    let sent: BTreeSet<String> = (0..sent.load(Ordering::SeqCst)).map(id).collect();
    assert!(sent.len() > 50 * UPDATES / 2, "{} requests show nothing", sent.len());
    let missing = || sent.difference(&collector.ids()).cloned().collect::<Vec<_>>();
    wait_for(LONG, "each event", || missing().is_empty().then_some(()));
    let mut bodies: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let (mut batches, mut events) = (BTreeSet::new(), 0);
    for (_, body) in collector.heard() {
        let ids = ids(&body);
        events += ids.len();
        for id in ids {
            bodies.entry(id).or_default().insert(body.clone());
        }
        batches.insert(body);
    }
    let again = collector.heard().len() - batches.len();
    println!(
        "{} events, {} of them again, in {again} batches of {}",
        sent.len(),
        events - sent.len(),
        batches.len()
    );
    assert_eq!(bodies.keys().cloned().collect::<BTreeSet<_>>(), sent, "and none that nobody sent");
    let twice = bodies.iter().find(|(_, bodies)| bodies.len() > 1);
    assert!(twice.is_none(), "{twice:?}");
    assert_eq!(gateway.dropped(), 0);
    let log = gateway.end();
    assert!(!log.contains("events are dropped") && !log.contains(" of a policy that is gone"), "{log}");
}

/// The former policy's collector is another, which knows us by another secret. The policy after it has none.
#[test]
fn events_go_where_their_own_policy_would_have_sent_them() {
    let (first, second) = (Listening::start(Duration::ZERO), Listening::start(Duration::ZERO));
    let of = |cluster: &str, variable: &str| {
        let mut otlp = otlp(cluster);
        otlp["headers"] = json!([{"name": "authorization", "env": variable}]);
        otlp
    };
    let collectors = [("first", &first), ("second", &second)];
    let mut gateway = Gateway::start(&of("first", "OLD"), &collectors, "2");
    let old = gateway.serve(5);
    gateway.update(1, Some(&of("second", "NEW")));
    wait("the first policy's events", || old.is_subset(&first.ids()).then_some(()));
    let new = gateway.serve(5);
    assert_eq!(second.heard(), [], "they wait for others");
    gateway.update(2, None);
    wait("the second policy's events", || new.is_subset(&second.ids()).then_some(()));
    assert_eq!((first.ids(), second.ids()), (old, new));
    for (collector, known) in [(&first, "Bearer of-old"), (&second, "Bearer of-new")] {
        assert!(collector.heard().iter().all(|(authorization, _)| authorization.as_deref() == Some(known)));
    }
    assert_eq!(gateway.dropped(), 0);
    let log = gateway.end();
    assert!(!log.contains("of-old"), "{log}");
}

#[test]
fn a_collector_that_is_away_at_the_change_is_given_up_and_told_of() {
    let mut collector = Listening::start(Duration::ZERO);
    collector.server.stop();
    let otlp = otlp("collector");
    let mut gateway = Gateway::start(&otlp, &[("collector", &collector)], "1");
    gateway.serve(5);
    gateway.update(1, Some(&otlp));
    wait_for(LONG, "what was lost", || (gateway.dropped() >= 5).then_some(()));
    wait("word of it", || gateway.says("5 audit events of a policy that is gone were dropped").then_some(()));
    collector.server.restart().unwrap();
    let next = gateway.serve(5);
    gateway.update(2, Some(&otlp));
    wait("the next policy's events", || (collector.ids() == next).then_some(()));
    // And the policy itself, if it was so long in force that it was told of.
    assert!(gateway.dropped() <= 6);
    gateway.end();
}

/// Whatever is held or on its way then: by the policy itself, by the one before it, and with a collector that never answers. Nothing can be sent any more (host
/// fact H12), so it is told how many there were.
#[test]
fn a_proxy_ends_when_it_is_told_to_and_says_how_many_events_end_with_it() {
    let hangs = Listening::start(LONG);
    let otlp = otlp("collector");
    for (requests, updates) in [(3, 0), (40, 0), (3, 1), (40, 2)] {
        let mut gateway = Gateway::start(&otlp, &[("collector", &hangs)], "1");
        let before = hangs.heard().len();
        gateway.serve(requests);
        for update in 1..=updates {
            gateway.update(update, Some(&otlp));
            gateway.serve(requests);
        }
        if requests > 16 || updates > 0 {
            wait("a batch that is on its way", || (hangs.heard().len() > before).then_some(()));
        }
        let log = gateway.end();
        let lost = ended(&log);
        // And one for each policy, if it was so long in force that anybody heard of it.
        let served = requests * (updates + 1);
        assert!((served..=served + updates + 1).contains(&lost), "{lost} of {served}\n{log}");
    }
}

/// The listener that was the last to use the VM is taken away, or goes on in another VM: the proxy goes on, and it is told how many events are lost.
#[test]
fn a_vm_that_ends_takes_its_events_with_it_and_says_so() {
    let collector = Listening::start(Duration::ZERO);
    let otlp = otlp("collector");
    let mut gateway = Gateway::start(&otlp, &[("collector", &collector)], "1");
    gateway.serve(3);
    "portcullis-another".clone_into(&mut gateway.listener.vm_id);
    gateway.update(1, Some(&otlp));
    wait("word of the VM before", || (ended(&gateway.envoy.log()) >= 3).then_some(()));
    assert!(gateway.dropped() >= 3, "{}", gateway.envoy.log());
    gateway.serve(2);
    assert_eq!(gateway.envoy.update(&[]).unwrap_or_else(|failure| panic!("{failure}")), Verdict::Taken);
    wait("word of the last VM", || (ended(&gateway.envoy.log()) >= 5).then_some(()));
    assert!(client::send(gateway.address, &Request::get("api.example.com", "/")).is_err());
    assert_eq!(collector.heard(), []);
    assert!(gateway.envoy.is_running());
    gateway.end();
}

/// Two listeners in one VM. One is replaced, and then removed: what it has left goes to its own collector, in the end by the other's hands.
#[test]
fn a_listener_that_goes_leaves_its_events_to_whoever_stays() {
    let (first, second) = (Listening::start(Duration::ZERO), Listening::start(Duration::ZERO));
    let upstream = Upstream::start().unwrap();
    let listener = |name: &str, version: usize| {
        let policy = policy(version, Some(&otlp(if name == "goes" { "first" } else { "second" })));
        Listener::new(name, policy, artifacts::plugin().unwrap(), upstream.address().port())
    };
    let launch = Launch {
        listeners: vec![listener("goes", 0), listener("stays", 0)],
        clusters: [("first", &first), ("second", &second)]
            .map(|(name, collector)| Cluster::new(name, collector.server.port()))
            .to_vec(),
        arguments: ["--drain-time-s", "1"].map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    let mut envoy = Envoy::start(&launch).unwrap_or_else(|failure| panic!("{failure}"));
    let mut sent = 0;
    let mut serve = |envoy: &Envoy, name: &str| -> BTreeSet<String> {
        let address = envoy.listener(name).unwrap();
        let ask = |number: usize| {
            let request = Request::get("api.example.com", "/").with("x-request-id", id(number));
            assert_eq!(client::send(address, &request).unwrap().status, 200);
            id(number)
        };
        sent += 3;
        (sent - 3..sent).map(ask).collect()
    };
    let held = serve(&envoy, "stays");
    let mut old = serve(&envoy, "goes");
    for listeners in [vec![listener("goes", 1), listener("stays", 0)], vec![listener("stays", 0)]] {
        assert_eq!(envoy.update(&listeners).unwrap_or_else(|failure| panic!("{failure}")), Verdict::Taken);
        wait("what it has left", || (first.ids() == old).then_some(()));
        if listeners.len() == 2 {
            old.append(&mut serve(&envoy, "goes"));
        }
    }
    assert_eq!(second.heard(), [], "those of the other wait");
    assert!(envoy.end().unwrap_or_else(|failure| panic!("{failure}")).success());
    assert!(ended(&envoy.log()) >= held.len());
}
