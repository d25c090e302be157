//! The ABI's host calls over a world that never differs: a clock that stands still, "random" bytes that are always the same.

use std::collections::BTreeMap;

use wasmtime::{Config, Engine, Instance, Module, Store, Val};

use super::{Cost, counter};
use crate::edge::{self, HeaderMap};
use crate::exchange::Request;
use crate::guest::{self, OK, Process};
use crate::verify;

/// What time it is, in seconds since the epoch.
pub const NOW: u64 = 1_800_000_000;

const NOT_FOUND: i32 = 1;
const BAD_ARGUMENT: i32 = 2;
const CAS_MISMATCH: i32 = 8;
const UNIMPLEMENTED: i32 = 12;

/// Bytes of a body that come at once, as Envoy reads them from a connection.
const PIECE: i32 = 16 << 10;

/// The root context, as Envoy numbers it.
const ROOT: i32 = 1;

/// What the host knows of a request, and of everything else.
#[derive(Default)]
struct World {
    configuration: Vec<u8>,
    environment: Vec<String>,
    verifies: bool,
    shared: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    versions: u32,
    metrics: u32,
    headers: HeaderMap,
    answer: HeaderMap,
    properties: BTreeMap<String, Vec<u8>>,
    state: BTreeMap<String, Vec<u8>>,
    status: Option<u16>,
    calls: BTreeMap<String, u64>,
}

/// The plugin, compiled with counters.
pub struct Compiled {
    engine: Engine,
    module: Module,
}

/// One VM of the plugin with a policy.
pub struct Metered {
    store: Store<World>,
    instance: Instance,
    next: i32,
}

/// What came of a request, and what it cost.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The status of the plugin's answer; `None`: it went on.
    pub status: Option<u16>,
    /// Whether it has the mark that the guard asks for.
    pub admitted: bool,
    /// What it cost.
    pub cost: Cost,
}

impl Compiled {
    /// Of a module with its names.
    pub fn new(module: &[u8]) -> Result<Self, String> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(told)?;
        let module = Module::new(&engine, counter::counting(module)?).map_err(told)?;
        Ok(Self { engine, module })
    }

    /// A VM that has read this policy, and what that cost. `verifies` says whether the host has `verify_signature`.
    pub fn start(
        &self,
        policy: &str,
        environment: &[(&str, &str)],
        verifies: bool,
    ) -> Result<(Metered, Cost), String> {
        let world = World {
            configuration: policy.as_bytes().to_vec(),
            environment: environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect(),
            verifies,
            ..World::default()
        };
        let mut store = Store::new(&self.engine, world);
        store.set_fuel(u64::MAX).map_err(told)?;
        let instance = guest::instantiate(&self.engine, &self.module, &mut store, serve).map_err(told)?;
        let mut metered = Metered { store, instance, next: ROOT + 1 };
        let size = i32::try_from(policy.len()).map_err(told)?;
        let before = metered.meter();
        metered.call("_initialize", &[])?;
        metered.call("proxy_on_context_create", &[ROOT, 0])?;
        metered.call("proxy_on_vm_start", &[ROOT, 0])?;
        if metered.call("proxy_on_configure", &[ROOT, size])? != Some(1) {
            return Err("the policy is refused".to_owned());
        }
        let cost = metered.since(&before);
        Ok((metered, cost))
    }
}

impl Metered {
    /// Sends a request. Its body comes in pieces, as from a connection.
    pub fn run(&mut self, request: &Request) -> Result<Outcome, String> {
        let world = self.store.data_mut();
        world.headers = HeaderMap::of(request);
        world.answer = HeaderMap::default();
        world.properties = edge::properties(request);
        world.state.clear();
        world.status = None;
        let count = i32::try_from(world.headers.entries().len()).map_err(told)?;
        let stream = self.next;
        self.next += 1;
        let body = request.body.pieces().concat();
        let mut left = i32::try_from(body.len()).map_err(told)?;
        let before = self.meter();
        self.call("proxy_on_context_create", &[stream, ROOT])?;
        self.call("proxy_on_request_headers", &[stream, count, i32::from(left == 0)])?;
        while left > 0 && self.store.data().status.is_none() {
            let piece = left.min(PIECE);
            left -= piece;
            self.call("proxy_on_request_body", &[stream, piece, i32::from(left == 0)])?;
        }
        let answered = self.store.data().status;
        if answered.is_none() {
            let answer = edge::upstream_head(&self.store.data().headers.fields());
            self.store.data_mut().answer = answer;
            self.call("proxy_on_response_headers", &[stream, 1, 1])?;
        }
        for callback in ["proxy_on_done", "proxy_on_log", "proxy_on_delete"] {
            self.call(callback, &[stream])?;
        }
        let admitted = self.store.data().state.contains_key("portcullis_admitted");
        Ok(Outcome { status: answered, admitted, cost: self.since(&before) })
    }

    /// How much memory the plugin has, in pages of 64 KiB.
    pub fn pages(&mut self) -> u64 {
        self.instance.get_memory(&mut self.store, "memory").map_or(0, |memory| memory.size(&self.store))
    }

    fn call(&mut self, name: &str, arguments: &[i32]) -> Result<Option<i32>, String> {
        guest::call(&mut self.store, &self.instance, name, arguments)
    }

    fn meter(&mut self) -> Cost {
        let counter = self.instance.get_global(&mut self.store, counter::COUNTER);
        let allocations = counter.and_then(|counter| counter.get(&mut self.store).i64()).unwrap_or_default();
        Cost {
            fuel: self.store.get_fuel().unwrap_or_default(),
            allocations: allocations.unsigned_abs(),
            calls: self.store.data().calls.clone(),
        }
    }

    fn since(&mut self, before: &Cost) -> Cost {
        let now = self.meter();
        let calls = now
            .calls
            .iter()
            .map(|(name, count)| (name.clone(), count - before.calls.get(name).copied().unwrap_or_default()));
        Cost {
            fuel: before.fuel - now.fuel,
            allocations: now.allocations - before.allocations,
            calls: calls.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

type Guest<'a, 'c> = guest::Guest<'a, 'c, World>;

impl Process for World {
    fn environment(&self) -> Vec<String> {
        self.environment.clone()
    }

    fn time(&self) -> u64 {
        NOW * 1_000_000_000
    }
}

/// What the host answers. A call that it does not know it does not have.
fn serve(guest: &mut Guest<'_, '_>, name: &str, arguments: &[Val]) -> wasmtime::Result<i32> {
    let short = name.strip_prefix("proxy_").unwrap_or(name);
    *guest.world().calls.entry(short.to_owned()).or_default() += 1;
    let a = guest::numbers(arguments);
    match (short, a.as_slice()) {
        ("get_buffer_bytes", &[7, _, _, at, size]) => {
            let configuration = guest.world().configuration.clone();
            guest.give(&configuration, at, size)
        }
        ("get_buffer_bytes", _) => Ok(NOT_FOUND),
        ("get_current_time_nanoseconds", &[at]) => {
            guest.write(at, &(NOW * 1_000_000_000).to_le_bytes())?;
            Ok(OK)
        }
        (
            "get_header_map_pairs"
            | "get_header_map_value"
            | "replace_header_map_value"
            | "add_header_map_value"
            | "remove_header_map_value",
            _,
        ) => headers(guest, short, &a),
        ("get_property", &[path, length, at, size]) => {
            let path = path_of(guest, path, length);
            match guest.world().properties.get(&path).cloned() {
                Some(value) => guest.give(&value, at, size),
                None => Ok(NOT_FOUND),
            }
        }
        ("set_property", &[path, length, value, size]) => {
            let (path, value) = (path_of(guest, path, length), guest.read(value, size));
            guest.world().state.insert(path, value);
            Ok(OK)
        }
        ("get_shared_data", &[key, length, at, size, version]) => {
            let key = guest.read(key, length);
            let Some((value, cas)) = guest.world().shared.get(&key).cloned() else {
                return Ok(NOT_FOUND);
            };
            guest.write(version, &cas.to_le_bytes())?;
            guest.give(&value, at, size)
        }
        ("set_shared_data", &[key, length, value, size, version]) => {
            let (key, value) = (guest.read(key, length), guest.read(value, size));
            Ok(guest.world().share(key, value, version.cast_unsigned()))
        }
        ("send_local_response", &[status, ..]) => {
            guest.world().status.get_or_insert(u16::try_from(status)?);
            Ok(OK)
        }
        ("call_foreign_function", &[name, length, argument, size, at, out]) => {
            let (name, argument) = (guest.read(name, length), guest.read(argument, size));
            if name != b"verify_signature" || !guest.world().verifies {
                return Ok(NOT_FOUND);
            }
            match verify::verify_message(&argument) {
                Some(answer) => guest.give(&answer, at, out),
                None => Ok(BAD_ARGUMENT),
            }
        }
        // No cluster is known here.
        ("http_call" | "grpc_call", _) => Ok(BAD_ARGUMENT),
        ("define_metric", &[_, _, _, at]) => {
            guest.world().metrics += 1;
            let number = guest.world().metrics;
            guest.write(at, &number.to_le_bytes())?;
            Ok(OK)
        }
        ("get_log_level", &[at]) => {
            guest.write(at, &2_i32.to_le_bytes())?;
            Ok(OK)
        }
        (
            "log"
            | "continue_stream"
            | "set_effective_context"
            | "set_tick_period_milliseconds"
            | "increment_metric"
            | "record_metric"
            | "done",
            _,
        ) => Ok(OK),
        _ if name.starts_with("proxy_") => Ok(UNIMPLEMENTED),
        _ => guest.wasi(short, &a),
    }
}

fn of(world: &mut World, map: i32) -> &mut HeaderMap {
    if map == 0 { &mut world.headers } else { &mut world.answer }
}

fn headers(guest: &mut Guest<'_, '_>, call: &str, a: &[i32]) -> wasmtime::Result<i32> {
    let map = a.first().copied().unwrap_or_default();
    if map != 0 && map != 2 {
        return Ok(NOT_FOUND);
    }
    let name = |guest: &Guest<'_, '_>| String::from_utf8(guest.read(a[1], a[2])).unwrap_or_default();
    match (call, a.len()) {
        ("get_header_map_pairs", 3) => {
            let pairs = of(guest.world(), map).to_abi();
            guest.give(&pairs, a[1], a[2])
        }
        ("get_header_map_value", 5) => {
            let name = name(guest);
            match of(guest.world(), map).all(&name) {
                Some(value) => guest.give(&value, a[3], a[4]),
                None => Ok(NOT_FOUND),
            }
        }
        ("replace_header_map_value" | "add_header_map_value", 5) => {
            let (name, value) = (name(guest), guest.read(a[3], a[4]));
            let map = of(guest.world(), map);
            if call.starts_with("add") {
                map.add(&name, &value);
            } else {
                map.set(&name, &value);
            }
            Ok(OK)
        }
        ("remove_header_map_value", 3) => {
            let name = name(guest);
            of(guest.world(), map).remove(&name);
            Ok(OK)
        }
        _ => Ok(BAD_ARGUMENT),
    }
}

fn path_of(guest: &Guest<'_, '_>, path: i32, length: i32) -> String {
    String::from_utf8(guest.read(path, length)).unwrap_or_default().replace('\0', ".")
}

impl World {
    /// A version of zero is "whatever is there".
    fn share(&mut self, key: Vec<u8>, value: Vec<u8>, version: u32) -> i32 {
        let known = self.shared.get(&key).map(|(_, version)| *version);
        if version != 0 && known.is_some_and(|known| known != version) {
            return CAS_MISMATCH;
        }
        self.versions += 1;
        self.shared.insert(key, (value, self.versions));
        OK
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
