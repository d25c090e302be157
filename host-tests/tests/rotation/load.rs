//! Clients that never stop: what they send can be changed while they send it, and nothing of it may be refused.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use host_tests::client;
use host_tests::exchange::{Request, Response};

/// How many send at a time: more than there are workers.
const CLIENTS: usize = 4;
/// How many requests each step of a drill sees at least.
const STEP: usize = 60;
/// In how many new connections in a row a thing must be so before it is so on every worker.
const ROW: usize = 40;
/// How long any of that may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// The request of that number.
pub(crate) type Maker = Box<dyn Fn(usize) -> Request + Send + Sync>;
/// What is wrong with an answer, if something is.
pub(crate) type Check<'c> = &'c (dyn Fn(&Response) -> Result<(), String> + Sync);

/// The clients of one drill.
pub(crate) struct Load<'c> {
    address: SocketAddr,
    check: Check<'c>,
    makes: RwLock<Maker>,
    sent: AtomicUsize,
    served: AtomicUsize,
    stopping: AtomicBool,
    refused: Mutex<Option<String>>,
}

impl<'c> Load<'c> {
    /// Runs `drill` while clients send what `make` makes. Every one of their requests must be served, and the answer pass `check`.
    pub(crate) fn during(address: SocketAddr, make: Maker, check: Check<'c>, drill: impl FnOnce(&Load<'c>)) {
        let (sent, served, stopping) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let (makes, refused) = (RwLock::new(make), Mutex::new(None));
        let load = Load { address, check, makes, sent, served, stopping, refused };
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| load.send());
            }
            let stop = Stop(&load.stopping);
            load.step();
            drill(&load);
            load.step();
            drop(stop);
        });
        assert_eq!(load.refused.into_inner().unwrap(), None);
    }

    fn send(&self) {
        while !self.stopping.load(Ordering::SeqCst) {
            let makes = self.makes.read().unwrap();
            let number = self.sent.fetch_add(1, Ordering::SeqCst);
            let outcome = client::send(self.address, &makes(number)).map_err(|error| error.to_string());
            if let Err(why) = outcome.and_then(|response| judge(&response, self.check)) {
                self.refused.lock().unwrap().get_or_insert(format!("request {number}: {why}"));
                self.stopping.store(true, Ordering::SeqCst);
            }
            self.served.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// From now on they send this, and nothing of what they sent before is under way.
    pub(crate) fn changes_to(&self, make: Maker) {
        *self.makes.write().unwrap() = make;
        self.step();
    }

    /// Waits until enough has been served since now.
    pub(crate) fn step(&self) {
        let (from, start) = (self.served.load(Ordering::SeqCst), Instant::now());
        while self.served.load(Ordering::SeqCst) < from + STEP {
            let refused = self.refused.lock().unwrap();
            assert_eq!(*refused, None);
            drop(refused);
            assert!(start.elapsed() < PATIENCE, "too little was served");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every worker serves, or no longer serves, what `make` makes: as an operator looks before anybody is told of a change.
    pub(crate) fn until(&self, serves: bool, make: impl Fn(usize) -> Request) {
        in_a_row(|| {
            let number = self.sent.fetch_add(1, Ordering::SeqCst);
            let response = client::send(self.address, &make(number)).unwrap();
            (response.status == 200) == serves
        });
    }

    /// Where they send it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Ends the clients, also where a drill fails.
struct Stop<'l>(&'l AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn judge(response: &Response, check: Check<'_>) -> Result<(), String> {
    if response.status == 200 {
        return check(response);
    }
    Err(format!("{} {}", response.status, String::from_utf8_lossy(&response.body)))
}

/// Nothing but the status counts.
pub(crate) const ANY: Check<'static> = &|_| Ok(());

/// Waits until it is so on every worker.
pub(crate) fn in_a_row(is_so: impl Fn() -> bool) {
    let (mut row, start) = (0, Instant::now());
    while row < ROW {
        row = if is_so() { row + 1 } else { 0 };
        assert!(start.elapsed() < PATIENCE, "it is not so on every worker");
    }
}
