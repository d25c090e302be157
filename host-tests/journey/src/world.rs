//! What is a proxy, as a gateway sees it? A world of maps with a clock that is told what time it is.
//!
//! It answers the gateway's Rust code as its host, and the compiled plugin through the same methods, in bytes and with the ABI's statuses.
//! So what two gateways do otherwise is not the world's doing.

mod host;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::credentials::NOW;
use crate::script::Fields;

/// The context of the plugin itself; requests have the numbers behind it.
pub const ROOT: u32 = 1;

/// Statuses of the ABI.
pub const NOT_FOUND: u32 = 1;
/// What cannot be done now, or not so.
pub const BAD_ARGUMENT: u32 = 2;
/// Another one wrote first.
pub const CAS_MISMATCH: u32 = 8;

/// What the ABI answers: a value, or a status that is not zero.
pub type Answered<T> = Result<T, u32>;

/// The maps of the ABI that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// A request's head.
    Request,
    /// A request's trailers.
    Trailers,
    /// A response's head.
    Response,
    /// The head of the answer to a call of the gateway's.
    Answer,
    /// Its trailers.
    AnswerTrailers,
}

/// The proxy.
#[derive(Clone, Debug)]
pub struct World {
    now: Cell<u64>,
    env: Rc<BTreeMap<String, String>>,
    /// What is shared: tables that were there before, what the gateway's start wrote, and what was written since.
    tables: Rc<BTreeMap<String, Shared>>,
    old: Rc<BTreeMap<String, Shared>>,
    new: RefCell<BTreeMap<String, Shared>>,
    writes: Cell<u32>,
    exchanges: RefCell<BTreeMap<u32, Exchange>>,
    /// For whom is acted, and whose callback it is.
    acting: Cell<u32>,
    callback: Cell<u32>,
    calls: RefCell<Vec<Sent>>,
    /// The answer that is being handed over.
    answer: RefCell<Option<Reply>>,
    pace: Cell<u32>,
    log: RefCell<Vec<String>>,
    metrics: RefCell<Vec<(String, u64)>>,
}

type Shared = (Vec<u8>, u32);

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// Its head.
    pub head: Fields,
    /// Its trailers, once they are here.
    pub trailers: Option<Fields>,
    /// The response's head, once there is one.
    pub response: Option<Fields>,
    /// What the proxy knows of it beside.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// The filter state that the gateway set.
    pub state: BTreeMap<String, Vec<u8>>,
    /// The gateway's own answer.
    pub answer: Option<Local>,
    /// Whether the head has gone upstream: it cannot be changed and reads as empty.
    pub sent: bool,
    /// Whether it is over: the head can be read again.
    pub over: bool,
}

/// An answer of the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The status.
    pub status: u32,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: Vec<u8>,
    /// Its fields.
    pub fields: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// What a gRPC client is told.
    pub grpc_status: i32,
}

/// A call of the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// To which cluster.
    pub cluster: Vec<u8>,
    /// Its head, pseudo headers and all.
    pub head: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// When the proxy gives up, in milliseconds.
    pub timeout: u32,
    /// In whose callback it was sent.
    pub sender: u32,
    /// Whether it was answered.
    pub answered: bool,
}

/// The answer to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its head, `:status` and all.
    pub head: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Fields,
}

impl World {
    /// A world in which nothing has happened.
    pub fn new(env: BTreeMap<String, String>) -> Self {
        Self {
            now: Cell::new(NOW * 1_000_000_000),
            env: Rc::new(env),
            tables: Rc::default(),
            old: Rc::default(),
            new: RefCell::default(),
            writes: Cell::new(0),
            exchanges: RefCell::default(),
            acting: Cell::new(ROOT),
            callback: Cell::new(ROOT),
            calls: RefCell::default(),
            answer: RefCell::default(),
            pace: Cell::new(0),
            log: RefCell::default(),
            metrics: RefCell::default(),
        }
    }

    /// A world in which nothing has happened but that somebody made the tables that are there in this one, as the first load of a plugin does for
    /// all that come after it. To make them takes longer than most journeys.
    #[must_use]
    pub fn furnished(&self) -> Self {
        let seeds = self.old.keys().filter_map(|key| key.strip_suffix("seed"));
        let seeds: Vec<&str> = seeds.collect();
        let of_a_table = |key: &str| seeds.iter().any(|prefix| key.starts_with(prefix));
        let tables = self.old.iter().filter(|(key, _)| of_a_table(key));
        let tables = tables.map(|(key, value)| (key.clone(), value.clone())).collect();
        let empty = Self::new(BTreeMap::clone(&self.env));
        Self { tables: Rc::new(tables), writes: self.writes.clone(), ..empty }
    }

    /// The gateway has started: what it wrote is old now, what it logged is forgotten, and it has counted nothing.
    pub fn settle(&mut self) {
        let mut all = BTreeMap::clone(&self.old);
        all.append(self.new.get_mut());
        self.old = Rc::new(all);
        self.log.get_mut().clear();
        self.metrics.get_mut().iter_mut().for_each(|(_, value)| *value = 0);
    }

    /// The next thing happens in this context.
    pub fn begin(&self, context: u32) {
        self.acting.set(context);
        self.callback.set(context);
    }

    /// A request comes.
    pub fn arrive(&self, context: u32, exchange: Exchange) {
        self.exchanges.borrow_mut().insert(context, exchange);
    }

    /// What there is to see of a request.
    pub fn exchange(&self, context: u32) -> Option<Exchange> {
        self.exchanges.borrow().get(&context).cloned()
    }

    /// Changes what there is of a request.
    pub fn change<T>(&self, context: u32, change: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        self.exchanges.borrow_mut().get_mut(&context).map(change)
    }

    /// Lets so many milliseconds pass.
    pub fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get().saturating_add(milliseconds.saturating_mul(1_000_000)));
    }

    /// Whether the gateway wants to be called now and then.
    pub fn ticks(&self) -> bool {
        self.pace.get() > 0
    }

    /// The last call without an answer gets this one, which is then there to be read: the call's number and whose callback sent it.
    pub fn hand_over(&self, reply: Reply) -> Option<(u32, u32)> {
        let mut calls = self.calls.borrow_mut();
        let place = calls.iter().rposition(|call| !call.answered)?;
        let call = calls.get_mut(place)?;
        call.answered = true;
        *self.answer.borrow_mut() = Some(reply);
        Some((u32::try_from(place + 1).unwrap_or(u32::MAX), call.sender))
    }

    /// The answer that is being handed over.
    pub fn reply(&self) -> Option<Reply> {
        self.answer.borrow().clone()
    }

    /// It cannot be read any longer.
    pub fn put_away(&self) {
        *self.answer.borrow_mut() = None;
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Sent> {
        self.calls.borrow().clone()
    }

    /// What was logged.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// What is to be seen of the world when all is over, as lines.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.log.borrow().iter().map(|line| format!("log {line}")).collect();
        for call in self.calls.borrow().iter() {
            let Sent { cluster, head, body, timeout, answered, .. } = call;
            lines.push(format!(
                "call {} {timeout} ms, answered: {answered}, {}: {}",
                cluster.escape_ascii(),
                printed(head),
                body.escape_ascii()
            ));
        }
        let mut metrics = self.metrics.borrow().clone();
        metrics.sort();
        let told = metrics.iter().filter(|(_, value)| *value != 0);
        lines.extend(told.map(|(name, value)| format!("metric {name}: {value}")));
        lines.extend(
            self.new
                .borrow()
                .iter()
                .map(|(key, (value, _))| format!("shared {key}: {}", value.escape_ascii())),
        );
        lines.push(format!("pace {} ms", self.pace.get()));
        lines
    }

    /// All that is shared, by key.
    pub fn shared_in_all(&self) -> BTreeMap<String, Vec<u8>> {
        let long = self.tables.iter().chain(self.old.iter());
        let mut all: BTreeMap<_, _> = long.map(|(key, (value, _))| (key.clone(), value.clone())).collect();
        all.extend(self.new.borrow().iter().map(|(key, (value, _))| (key.clone(), value.clone())));
        all
    }
}

/// Fields on one line.
pub fn printed(fields: &Fields) -> String {
    let one =
        |(name, value): &(Vec<u8>, Vec<u8>)| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
    fields.iter().map(one).collect::<Vec<_>>().join(" | ")
}

/// The calls of the ABI, as any gateway makes them.
impl World {
    /// Nanoseconds since the epoch.
    pub fn time(&self) -> u64 {
        self.now.get()
    }

    /// The environment.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A whole map.
    pub fn map(&self, map: Map) -> Answered<Fields> {
        match map {
            Map::Answer => Ok(self.answer.borrow().as_ref().ok_or(NOT_FOUND)?.head.clone()),
            Map::AnswerTrailers => Ok(self.answer.borrow().as_ref().ok_or(NOT_FOUND)?.trailers.clone()),
            _ => self.acting(|exchange| match map {
                Map::Request if exchange.sent && !exchange.over => Ok(Fields::new()),
                Map::Request => Ok(exchange.head.clone()),
                Map::Trailers => exchange.trailers.clone().ok_or(NOT_FOUND),
                _ => exchange.response.clone().ok_or(NOT_FOUND),
            }),
        }
    }

    /// The first value of a name.
    pub fn value(&self, map: Map, name: &str) -> Answered<Vec<u8>> {
        let fields = self.map(map)?;
        let found = fields.into_iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value).ok_or(NOT_FOUND)
    }

    /// Sets a field, in place of every one of that name.
    pub fn set(&self, map: Map, name: &str, value: &[u8]) -> Answered<()> {
        self.write(map, |fields| {
            fields.retain(|(known, _)| known != name.as_bytes());
            fields.push((name.as_bytes().to_vec(), value.to_vec()));
        })
    }

    /// Takes every field of a name away.
    pub fn remove(&self, map: Map, name: &str) -> Answered<()> {
        self.write(map, |fields| fields.retain(|(known, _)| known != name.as_bytes()))
    }

    fn write(&self, map: Map, change: impl FnOnce(&mut Fields)) -> Answered<()> {
        self.acting(|exchange| {
            let fields = match map {
                Map::Request if exchange.sent => return Err(BAD_ARGUMENT),
                Map::Request => Some(&mut exchange.head),
                Map::Trailers => exchange.trailers.as_mut(),
                Map::Response => exchange.response.as_mut(),
                Map::Answer | Map::AnswerTrailers => None,
            };
            change(fields.ok_or(BAD_ARGUMENT)?);
            Ok(())
        })
    }

    /// What the proxy knows of a request, by the segments joined with dots.
    pub fn known(&self, path: &str) -> Answered<Vec<u8>> {
        self.acting(|exchange| exchange.properties.get(path).cloned().ok_or(NOT_FOUND))
    }

    /// Sets filter state.
    pub fn mark(&self, name: &str, value: &[u8]) -> Answered<()> {
        self.acting(|exchange| {
            exchange.state.insert(name.to_owned(), value.to_vec());
            Ok(())
        })
    }

    /// The gateway answers in the upstream's place. A second answer is ignored, as in Envoy.
    pub fn give(&self, answer: Local) -> Answered<()> {
        self.acting(|exchange| {
            exchange.answer.get_or_insert(answer);
            Ok(())
        })
    }

    /// A request that was held back goes on.
    pub fn let_go(&self) -> Answered<()> {
        self.acting(|exchange| {
            exchange.sent = true;
            Ok(())
        })
    }

    fn acting<T>(&self, ask: impl FnOnce(&mut Exchange) -> Answered<T>) -> Answered<T> {
        self.change(self.acting.get(), ask).unwrap_or(Err(BAD_ARGUMENT))
    }

    /// What is asked next is asked in this context.
    pub fn act_for(&self, context: u32) -> Answered<()> {
        let known = context == ROOT || self.exchanges.borrow().contains_key(&context);
        known.then(|| self.acting.set(context)).ok_or(BAD_ARGUMENT)
    }

    /// A shared value and its version.
    pub fn read(&self, key: &str) -> Answered<Shared> {
        let found = self.new.borrow().get(key).cloned();
        found.or_else(|| self.old.get(key).or_else(|| self.tables.get(key)).cloned()).ok_or(NOT_FOUND)
    }

    /// Writes a shared value, if its version is still this one, or whatever it is if that is zero.
    pub fn share(&self, key: &str, value: &[u8], version: u32) -> Answered<()> {
        if version != 0 && self.read(key).is_ok_and(|(_, known)| known != version) {
            return Err(CAS_MISMATCH);
        }
        self.writes.set(self.writes.get().wrapping_add(1).max(1));
        self.new.borrow_mut().insert(key.to_owned(), (value.to_vec(), self.writes.get()));
        Ok(())
    }

    /// Sends a call: its number. Every cluster is known that has a name.
    pub fn send(&self, cluster: &[u8], head: Fields, body: &[u8], timeout: u32) -> Answered<u32> {
        if cluster.is_empty() || !head.iter().any(|(name, _)| name == b":method") {
            return Err(BAD_ARGUMENT);
        }
        let mut calls = self.calls.borrow_mut();
        let (cluster, body, sender) = (cluster.to_vec(), body.to_vec(), self.callback.get());
        calls.push(Sent { cluster, head, body, timeout, sender, answered: false });
        Ok(u32::try_from(calls.len()).unwrap_or(u32::MAX))
    }

    /// How often the gateway wants to be called.
    pub fn set_pace(&self, milliseconds: u32) {
        self.pace.set(milliseconds);
    }

    /// Writes to the log.
    pub fn write_line(&self, level: u32, line: &str) {
        self.log.borrow_mut().push(format!("{level} {line}"));
    }

    /// The number of a metric.
    pub fn metric(&self, kind: u32, name: &str) -> u32 {
        let (mut metrics, name) = (self.metrics.borrow_mut(), format!("{name} ({kind})"));
        let place = metrics.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            metrics.push((name, 0));
            metrics.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Adds to a metric. What is recorded is added too: two that differ in order do not differ in sum.
    pub fn add(&self, metric: u32, value: u64) -> Answered<()> {
        let mut metrics = self.metrics.borrow_mut();
        let (_, known) = metrics.get_mut(metric as usize).ok_or(BAD_ARGUMENT)?;
        *known = known.wrapping_add(value);
        Ok(())
    }
}
