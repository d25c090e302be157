//! What if the policy changes a hundred times while requests come? Each is decided by one policy that was in force, and none by none.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::client;
use host_tests::envoy::{Launch, Verdict};
use host_tests::envoy_config::Listener;
use host_tests::exchange::{Request, latin1};
use host_tests::extension::Extension;
use serde_json::{Value, json};

use super::{Gateway, NAME, SOON, get, policy, with_token};

/// How many policies there are, one after the other.
const VERSIONS: u32 = 100;
/// How many requests a day `/limited` takes, whichever policy is in force.
const LIMIT: u32 = 2;
const CALLERS: usize = 2;

/// A request, and each status that a policy of this test answers it with.
type Row = (fn() -> Request, &'static [u16]);

const ROWS: [Row; 6] = [
    (|| get("/open"), &[200]),
    (|| get("/orders"), &[401]),
    (|| with_token("/orders"), &[200]),
    (|| get("/sometimes"), &[200, 401]),
    (|| with_token("/moved"), &[200, 404]),
    (|| get("/limited"), &[200, 429]),
];

/// In a policy of an even number `/sometimes` is open, in one of an odd number `/moved` is no route. `/version-N` tells its number.
fn version(number: u32) -> Value {
    let mut policy = policy();
    let routes = policy["routes"].as_array_mut().unwrap();
    let exact = |path: &str| json!({"path": {"type": "Exact", "value": path}});
    let open = json!({"open": {"because": "test"}});
    if number.is_multiple_of(2) {
        routes.insert(
            0,
            json!({"name": "sometimes", "match": exact("/sometimes"), "authentication": open.clone()}),
        );
    } else {
        routes.pop();
        let prefix = |value: &str| json!({"path": {"type": "PathPrefix", "value": value}});
        for path in ["/orders", "/sometimes"] {
            routes.push(json!({"name": &path[1..], "match": prefix(path), "authentication": {"jwt": {}}}));
        }
    }
    routes.insert(
        0,
        json!({"name": "version", "match": exact(&format!("/version-{number}")), "authentication": open}),
    );
    policy
}

/// Sends every row again and again until it is over: how many, and what was answered as by no policy.
fn ask(server: SocketAddr, over: &AtomicBool, limited: &AtomicU32) -> (usize, BTreeSet<String>) {
    let (mut sent, mut wrong) = (0, BTreeSet::new());
    while !over.load(Ordering::SeqCst) {
        for (request, statuses) in ROWS {
            let request = request();
            let target = latin1(&request.target);
            sent += 1;
            match client::send(server, &request).map(|response| response.status) {
                Ok(status) if statuses.contains(&status) => {
                    limited.fetch_add(u32::from(target == "/limited" && status == 200), Ordering::SeqCst);
                }
                other => drop(wrong.insert(format!("{target}: {other:?}"))),
            }
        }
    }
    (sent, wrong)
}

/// Changes the policy while callers ask, and looks that the last one is in force in the end.
fn change_under_load(gateway: &mut Gateway, mut change: impl FnMut(&mut Gateway, u32)) {
    let (server, over, limited) = (gateway.server, AtomicBool::new(false), AtomicU32::new(0));
    let asked: Vec<(usize, BTreeSet<String>)> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(|| ask(server, &over, &limited))).collect();
        (2..=VERSIONS).for_each(|number| change(gateway, number));
        over.store(true, Ordering::SeqCst);
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let wrong: BTreeSet<String> = asked.iter().flat_map(|(_, wrong)| wrong.clone()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", gateway.envoy.log());
    let sent: usize = asked.iter().map(|(sent, _)| sent).sum();
    assert!(sent > 10 * ROWS.len(), "{sent} requests show nothing");
    assert!(limited.into_inner() <= LIMIT, "an update gave somebody a second helping");
    until_in_force(gateway, VERSIONS);
}

/// Every worker has it: ten connections in a row say so.
fn until_in_force(gateway: &Gateway, number: u32) {
    let (start, path) = (Instant::now(), format!("/version-{number}"));
    while !(0..10).all(|_| gateway.status(&get(&path)) == 200) {
        assert!(start.elapsed() < SOON, "version {number} is not in force\n{}", gateway.envoy.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.status(&get("/sometimes")), if number.is_multiple_of(2) { 200 } else { 401 });
    assert_eq!(gateway.status(&get(&format!("/version-{}", number - 1))), 401);
    gateway.until_served("after the updates");
}

#[test]
fn a_hundred_policies_by_listener_discovery() {
    let plugin = artifacts::plugin().unwrap();
    // What is over is over soon: each policy of the past is otherwise kept for ten minutes.
    let launch = Launch { arguments: super::words("--drain-time-s 1"), ..Launch::default() };
    let mut gateway = Gateway::launch(plugin.clone(), version(1), |listener| listener, launch);
    let port = gateway.upstream.address().port();
    change_under_load(&mut gateway, |gateway, number| {
        let listener = Listener::new(NAME, version(number), plugin.clone(), port);
        assert_eq!(gateway.envoy.update(&[listener]).unwrap(), Verdict::Taken);
    });
}

#[test]
fn a_hundred_policies_by_extension_discovery() {
    let plugin = artifacts::plugin().unwrap();
    let listener = |number| Listener::new(NAME, version(number), plugin.clone(), 0);
    let mut extension = Extension::of(&listener(1));
    let change = |listener| Listener { manager: extension.manager(), ..listener };
    let mut gateway = Gateway::launch(plugin.clone(), version(1), change, Launch::default());
    change_under_load(&mut gateway, |gateway, number| extension.update(&gateway.envoy, &listener(number)));
}
