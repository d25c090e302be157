//! What does the filter's own code do in a proxy that is nothing but a world of maps?
//!
//! A world, not a script: it does not know what the filter is going to ask.

use core::num::NonZeroU32;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

use portcullis_filter::host::{
    Call, CallId, Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, StreamId, Swap,
    Verdict, Verifier,
};
use portcullis_filter::time::Timestamp;

use crate::edge::{self, HeaderMap};
use crate::exchange::{Fields, Request, Response};
use crate::observed::{Observed, Upstream, audit_event};
use crate::verify;

/// What outlives a request: the clock, the shared data, the environment, the log.
#[derive(Debug, Default)]
pub struct World {
    now: Cell<u64>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, Cas)>>,
    writes: Cell<u32>,
    env: BTreeMap<String, String>,
    log: RefCell<Vec<String>>,
    has_clusters: Cell<bool>,
    pace: Cell<u32>,
    calls: RefCell<Vec<String>>,
    bodies: RefCell<Vec<Vec<u8>>>,
    /// Whether there is `verify_signature`.
    verifies: bool,
}

impl World {
    /// A world that begins at `now` (nanoseconds since the epoch).
    pub fn new(now: u64, env: BTreeMap<String, String>, verifies: bool) -> Rc<Self> {
        Rc::new(Self { now: Cell::new(now), env, verifies, ..Self::default() })
    }

    /// Moves the clock.
    pub fn set_now(&self, nanos: u64) {
        self.now.set(nanos);
    }

    /// From now on every cluster is known, and a call is on its way until somebody answers it.
    pub fn know_clusters(&self) {
        self.has_clusters.set(true);
    }

    /// How often the gateway wants to be called, in milliseconds.
    pub fn pace(&self) -> u32 {
        self.pace.get()
    }

    /// The calls so far, as method and path; the first has the number 1.
    pub fn calls(&self) -> Vec<String> {
        self.calls.borrow().clone()
    }

    /// How many calls there were.
    pub fn calls_made(&self) -> usize {
        self.calls.borrow().len()
    }

    /// The bodies of the calls so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.borrow().clone()
    }

    /// What has been logged and called since the last time: the lines, and the bodies. They are forgotten.
    pub fn news(&self) -> (Vec<String>, Vec<Vec<u8>>) {
        (self.log.take(), self.bodies.take())
    }

    /// Everything logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }
}

/// One request in that world.
#[derive(Debug)]
pub struct FakeHost {
    world: Rc<World>,
    request: Request,
    headers: RefCell<HeaderMap>,
    trailers: RefCell<HeaderMap>,
    properties: RefCell<BTreeMap<String, Vec<u8>>>,
    filter_state: RefCell<BTreeMap<String, Vec<u8>>>,
    response: RefCell<Option<LocalResponse>>,
    response_head: RefCell<Option<HeaderMap>>,
    sent: Cell<bool>,
    /// Whether the upstream has answered.
    reached: Cell<bool>,
    resumed: Cell<bool>,
    over: Cell<bool>,
}

impl FakeHost {
    /// A request arrives.
    pub fn new(world: Rc<World>, request: &Request) -> Self {
        Self {
            world,
            request: request.clone(),
            headers: RefCell::new(HeaderMap::of(request)),
            trailers: RefCell::new(HeaderMap::of_trailers(request)),
            properties: RefCell::new(edge::properties(request)),
            filter_state: RefCell::default(),
            response: RefCell::default(),
            response_head: RefCell::default(),
            sent: Cell::new(false),
            reached: Cell::new(false),
            resumed: Cell::new(false),
            over: Cell::new(false),
        }
    }

    /// The filter let the head go: from here on it cannot be changed.
    pub fn head_is_sent(&self) {
        self.sent.set(true);
    }

    /// The upstream answers.
    pub fn upstream_answers(&self) {
        let fields = self.headers.borrow().fields();
        *self.response_head.borrow_mut() = Some(edge::upstream_head(&fields));
        self.reached.set(true);
    }

    /// The filter's own answer passes through its response callback, as Envoy makes it.
    pub fn filter_answers(&self) {
        if let Some(answer) = &*self.response.borrow() {
            *self.response_head.borrow_mut() = Some(answer_head(answer));
        }
    }

    /// What the proxy's own log could show of the exchange: the head as the filter left it, but for the fields of `hidden`, and the filter
    /// state.
    pub fn written(&self, hidden: &[&str]) -> String {
        let state = self.filter_state.borrow();
        let state = state.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let headers = self.headers.borrow();
        let fields = headers.entries().iter().filter(|(name, _)| !hidden.contains(&name.as_str()));
        let fields = fields.map(|(name, value)| (name.as_str(), value.as_slice()));
        fields.chain(state).fold(String::new(), |written, (name, value)| {
            written + name + ": " + &crate::exchange::latin1(value) + "\n"
        })
    }

    /// The filter's own answer, all of it, if there is one.
    pub fn answered_with(&self) -> String {
        self.response.borrow().as_ref().map(|response| format!("{response:?}")).unwrap_or_default()
    }

    /// Whether the filter let a head go on that it had held back.
    pub fn is_resumed(&self) -> bool {
        self.resumed.get()
    }

    /// Whether the filter has answered in place of the upstream.
    pub fn has_answered(&self) -> bool {
        self.response.borrow().is_some()
    }

    /// The exchange is over: its status can be asked for, as it can before `on_log`.
    pub fn finish(&self) {
        let status = self
            .response
            .borrow()
            .as_ref()
            .map_or_else(|| self.status(), |response| edge::local_status(&self.request, response.status));
        // The proxy shows the head once more to whoever writes a log.
        self.over.set(true);
        self.properties
            .borrow_mut()
            .insert("response.code".to_owned(), i64::from(status).to_le_bytes().to_vec());
    }

    /// What all sides saw. `logged` is the length of the world's log before the request.
    pub fn observe(&self, logged: usize) -> Observed {
        let id = crate::exchange::field(&self.request.fields, "x-request-id").unwrap_or_default();
        let audit = self.world.log.borrow().iter().skip(logged).rev().find_map(|line| audit_event(line, &id));
        let marked = self.filter_state.borrow().get("portcullis_admitted").map(Vec::as_slice) == Some(b"1");
        let upstream = (marked && self.reached.get()).then(|| {
            let (method, target, fields) = self.headers.borrow().to_upstream();
            let body = self.request.body.pieces().iter().map(Vec::len).sum();
            Upstream::new(&method, &target, &fields, body)
        });
        let head = self.response_head.borrow().as_ref().map(HeaderMap::fields).unwrap_or_default();
        let response = match &*self.response.borrow() {
            // What it puts in place of the upstream's answer passes through no callback any more.
            Some(answer) if self.reached.get() => self.answered(answer, answer_head(answer).fields()),
            Some(answer) => self.answered(answer, head),
            None if marked => Response { status: self.status(), fields: head, ..Response::default() },
            // The guard behind the filter.
            None => Response { status: 403, ..Response::default() },
        };
        Observed { response, upstream, audit }
    }

    fn status(&self) -> u16 {
        let head = self.response_head.borrow();
        head.as_ref().and_then(edge::status_of).unwrap_or(200)
    }

    fn answered(&self, answer: &LocalResponse, fields: Fields) -> Response {
        let body = answer.body.as_bytes();
        edge::local_response(&self.request, answer.status, Some(answer.grpc_status), fields, body)
    }

    fn response_head(&self) -> Result<RefMut<'_, HeaderMap>, HostError> {
        let missing = HostError { call: "get_header_map_value", status: 1 };
        RefMut::filter_map(self.response_head.borrow_mut(), Option::as_mut).map_err(|_| missing)
    }

    fn writable(&self, call: &'static str) -> Result<(), HostError> {
        const BAD_ARGUMENT: u32 = 2;
        if self.sent.get() { Err(HostError { call, status: BAD_ARGUMENT }) } else { Ok(()) }
    }
}

/// The head of an answer of the filter's own.
fn answer_head(answer: &LocalResponse) -> HeaderMap {
    let fields = answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes()));
    edge::answer_head(answer.status, &fields.collect())
}

impl SharedData for FakeHost {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Ok(self.world.shared.borrow().get(key).cloned())
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let mut shared = self.world.shared.borrow_mut();
        if let (Some(expected), Some((_, found))) = (cas, shared.get(key))
            && expected != *found
        {
            return Ok(Swap::Lost);
        }
        // One counter for all keys, as in Envoy.
        let version = self.world.writes.get().wrapping_add(1);
        self.world.writes.set(version);
        let version = Cas(NonZeroU32::new(version).unwrap_or(NonZeroU32::MIN));
        shared.insert(key.to_owned(), (value.to_vec(), version));
        Ok(Swap::Done)
    }
}

/// Unless its world has clusters, every call is refused, as Envoy refuses one to a cluster that it does not know.
impl Calls for FakeHost {
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        const BAD_ARGUMENT: u32 = 2;
        if !self.world.has_clusters.get() {
            return Err(HostError { call: "http_call", status: BAD_ARGUMENT });
        }
        let mut calls = self.world.calls.borrow_mut();
        calls.push(format!("{} {}", call.method, call.path));
        self.world.bodies.borrow_mut().push(call.body.to_vec());
        Ok(CallId(u32::try_from(calls.len()).unwrap_or(u32::MAX)))
    }

    fn set_tick(&self, milliseconds: u32) -> Result<(), HostError> {
        self.world.pace.set(milliseconds);
        Ok(())
    }

    fn enter(&self, _: StreamId) -> Result<(), HostError> {
        Ok(())
    }

    fn leave(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn resume(&self) -> Result<(), HostError> {
        self.resumed.set(true);
        Ok(())
    }
}

impl Verifier for FakeHost {
    fn verify_signature(&self, hash: &'static str, spki: &[u8], signature: &[u8], text: &[u8]) -> Verdict {
        if self.world.verifies { verify::verify(hash, spki, signature, text) } else { Verdict::Unavailable }
    }
}

impl Metrics for FakeHost {}

impl Host for FakeHost {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(Timestamp::from_nanos(self.world.now.get()))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        // Envoy takes the head away with `Continue`, and what is left reads as empty.
        let gone = self.sent.get() && !self.over.get();
        Ok(if gone { HeaderMap::default().to_abi() } else { self.headers.borrow().to_abi() })
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.writable("replace_header_map_value")?;
        self.headers.borrow_mut().set(name, value);
        Ok(())
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.writable("remove_header_map_value")?;
        self.headers.borrow_mut().remove(name);
        Ok(())
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        Ok(self.trailers.borrow().to_abi())
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), HostError> {
        self.trailers.borrow_mut().remove(name);
        Ok(())
    }

    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        Ok(self.response_head()?.to_abi())
    }

    fn response_header(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        // Of several values the first, as a host may.
        Ok(self.response_head()?.first(name).map(<[u8]>::to_vec))
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.response_head()?.set(name, value);
        Ok(())
    }

    fn remove_response_header(&self, name: &str) -> Result<(), HostError> {
        self.response_head()?.remove(name);
        Ok(())
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.properties.borrow().get(&path.join(".")).cloned())
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.filter_state.borrow_mut().insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        self.response.borrow_mut().get_or_insert_with(|| response.clone());
        Ok(())
    }

    fn log(&self, _: Level, line: &str) {
        self.world.log.borrow_mut().push(line.to_owned());
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.world.env.get(name).map(|value| value.clone().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_filter::host::{Host, SharedData, Swap};

    use super::{FakeHost, World};
    use crate::exchange::Request;

    #[test]
    fn a_swap_is_lost_when_another_wrote_first() {
        let world = World::new(0, BTreeMap::new(), true);
        let one = FakeHost::new(world.clone(), &Request::get("a", "/"));
        let other = FakeHost::new(world, &Request::get("a", "/"));
        assert_eq!(one.shared("k"), Ok(None));
        assert_eq!(one.set_shared("k", b"0", None), Ok(Swap::Done));
        let (_, cas) = other.shared("k").unwrap().unwrap();
        assert_eq!(one.set_shared("k", b"1", Some(cas)), Ok(Swap::Done));
        assert_eq!(other.set_shared("k", b"2", Some(cas)), Ok(Swap::Lost));
        assert_eq!(other.shared("k").unwrap().unwrap().0, b"1");
    }

    #[test]
    fn a_head_that_has_gone_cannot_be_changed_and_what_is_not_marked_is_not_admitted() {
        let host = FakeHost::new(World::new(0, BTreeMap::new(), true), &Request::get("a", "/"));
        host.set_request_header("x", b"1").unwrap();
        host.head_is_sent();
        assert!(host.set_request_header("x", b"2").is_err());
        assert_eq!(host.observe(0).response.status, 403);
        host.set_property("portcullis_admitted", b"1").unwrap();
        host.upstream_answers();
        let upstream = host.observe(0).upstream.unwrap();
        assert_eq!(upstream.fields, [("host".to_owned(), b"a".to_vec()), ("x".to_owned(), b"1".to_vec())]);
    }
}
