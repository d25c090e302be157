//! The compiled plugin as a filter of a journey, in wasmtime: the same world behind the ABI that the native code has behind its trait.
//!
//! A VM that has read its policy is kept as it was at that moment, and each journey begins there: what one leaves behind in memory is not there
//! for the next, and an input has one outcome.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use journey::drive::{Action, Filter};
use journey::script::Fields;
use journey::world::{Answered, Local, Map, ROOT, Reply, World};
use wasmtime::{Config, Engine, Instance, Module, Store, Val};

use crate::guest::{self, OK, Process};

const UNIMPLEMENTED: i32 = 12;
/// Instructions after which a journey counts as endless. The longest that there should be checks some fifty signatures, at six
/// million each.
const FUEL: u64 = 2_000_000_000;

/// The plugin, compiled with a count of its instructions.
pub struct Compiled {
    engine: Engine,
    module: Module,
}

/// What a store holds: the world of the journey, and what the plugin asked it.
struct Data {
    world: Rc<World>,
    configuration: String,
    trace: Trace,
}

/// What a request takes, all its callbacks together; and what each callback of the plugin's own takes, by itself.
#[derive(Clone, Debug, Default)]
struct Trace {
    shares: BTreeMap<(u32, u32), (DefaultHasher, u64)>,
    /// Whose share is at work: a context, and of the plugin's own which callback.
    at: (u32, u32),
    last: String,
}

impl Trace {
    fn begin(&mut self, callback: &str, context: u32) {
        let turn = if context == ROOT { self.at.1 + 1 } else { self.at.1 };
        self.at = (context, turn);
        self.note(callback);
    }

    fn share(&mut self) -> &mut (DefaultHasher, u64) {
        let (context, turn) = self.at;
        self.shares.entry((context, if context == ROOT { turn } else { 0 })).or_default()
    }

    /// The same call again and again counts once.
    fn note(&mut self, call: &str) {
        if self.last != call {
            call.hash(&mut self.share().0);
            call.clone_into(&mut self.last);
        }
    }
}

/// A VM of the plugin with a policy.
pub struct Plugin {
    store: Store<Data>,
    instance: Instance,
    /// The world and the memory as they were when the policy had been read.
    world: World,
    memory: Vec<u8>,
}

/// What a request took, or a callback of the plugin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Whose: the context of a request, or that of the plugin.
    pub context: u32,
    /// Instructions, in wasmtime's unit of fuel.
    pub fuel: u64,
    /// The sequence of host calls, as a number.
    pub calls: u64,
}

/// What there is to see of a start.
pub struct Begun {
    /// The plugin.
    pub plugin: Plugin,
    /// The world right after it.
    pub world: World,
}

impl Compiled {
    /// Compiles a plugin.
    pub fn new(module: &[u8]) -> Result<Self, String> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(told)?;
        let module = Module::new(&engine, module).map_err(told)?;
        Ok(Self { engine, module })
    }

    /// A VM that has read this policy in this world, in which nothing has happened.
    pub fn start(&self, policy: &str, world: World) -> Result<Begun, String> {
        let data = Data { world: Rc::new(world), configuration: policy.to_owned(), trace: Trace::default() };
        let mut store = Store::new(&self.engine, data);
        store.set_fuel(FUEL).map_err(told)?;
        let instance = guest::instantiate(&self.engine, &self.module, &mut store, serve).map_err(told)?;
        let mut plugin = Plugin { store, instance, world: World::new([].into()), memory: Vec::new() };
        let size = i32::try_from(policy.len()).map_err(told)?;
        plugin.store.data().world.begin(ROOT);
        plugin.call("_initialize", &[])?;
        plugin.call("proxy_on_context_create", &[signed(ROOT), 0])?;
        plugin.call("proxy_on_vm_start", &[signed(ROOT), 0])?;
        if plugin.call("proxy_on_configure", &[signed(ROOT), size])? != Some(1) {
            return Err(format!("the policy is refused: {:#?}", plugin.store.data().world.log()));
        }
        let world = World::clone(&plugin.store.data().world);
        plugin.world = world.clone();
        plugin.world.settle();
        plugin.memory = plugin.memory()?.data(&plugin.store).to_vec();
        Ok(Begun { plugin, world })
    }
}

impl Plugin {
    /// Goes back to the moment at which the policy had been read: the world of the journey that begins. Nothing, if the VM has taken more memory
    /// since, which cannot be given back.
    pub fn again(&mut self) -> Result<Option<Rc<World>>, String> {
        let memory = self.memory()?;
        let bytes = memory.data_mut(&mut self.store);
        if bytes.len() != self.memory.len() {
            return Ok(None);
        }
        bytes.copy_from_slice(&self.memory);
        self.store.set_fuel(FUEL).map_err(told)?;
        let world = Rc::new(self.world.clone());
        let data = self.store.data_mut();
        data.world = Rc::clone(&world);
        data.trace = Trace::default();
        Ok(Some(world))
    }

    /// What the journey has taken so far.
    pub fn efforts(&self) -> Vec<Effort> {
        let shares = self.store.data().trace.shares.iter();
        let effort = |(&(context, _), (hasher, fuel)): (&(u32, u32), &(DefaultHasher, u64))| Effort {
            context,
            fuel: *fuel,
            calls: hasher.finish(),
        };
        shares.map(effort).collect()
    }

    fn memory(&mut self) -> Result<wasmtime::Memory, String> {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.ok_or_else(|| "the plugin has no memory".to_owned())
    }

    fn call(&mut self, name: &str, arguments: &[i32]) -> Result<Option<i32>, String> {
        let context = arguments.first().map_or(0, |context| context.cast_unsigned());
        self.store.data_mut().trace.begin(name, context);
        let before = self.store.get_fuel().map_err(told)?;
        let answer = guest::call(&mut self.store, &self.instance, name, arguments);
        let after = self.store.get_fuel().map_err(told)?;
        self.store.data_mut().trace.share().1 += before - after;
        answer
    }

    fn act(&mut self, name: &str, arguments: &[i32]) -> Result<Action, String> {
        match self.call(name, arguments)? {
            // A callback that is not exported holds nothing back.
            Some(0) | None => Ok(Action::Continue),
            Some(1) => Ok(Action::Pause),
            Some(other) => Err(format!("{name} answered {other}")),
        }
    }
}

fn signed(number: u32) -> i32 {
    number.cast_signed()
}

fn sized(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl Filter for Plugin {
    fn head(&mut self, _: &World, context: u32, count: usize, end: bool) -> Result<Action, String> {
        self.call("proxy_on_context_create", &[signed(context), signed(ROOT)])?;
        self.act("proxy_on_request_headers", &[signed(context), sized(count), i32::from(end)])
    }

    fn body(&mut self, _: &World, context: u32, size: u32, end: bool) -> Result<Action, String> {
        self.act("proxy_on_request_body", &[signed(context), signed(size), i32::from(end)])
    }

    fn trailers(&mut self, _: &World, context: u32, count: usize) -> Result<Action, String> {
        self.act("proxy_on_request_trailers", &[signed(context), sized(count)])
    }

    fn response(&mut self, _: &World, context: u32, count: usize) -> Result<Action, String> {
        self.act("proxy_on_response_headers", &[signed(context), sized(count), 1])
    }

    fn end(&mut self, _: &World, context: u32) -> Result<(), String> {
        for callback in ["proxy_on_done", "proxy_on_log", "proxy_on_delete"] {
            self.call(callback, &[signed(context)])?;
        }
        Ok(())
    }

    fn tick(&mut self, _: &World) -> Result<(), String> {
        self.call("proxy_on_tick", &[signed(ROOT)]).map(|_| ())
    }

    fn answer(&mut self, _: &World, call: u32, _: u32, reply: &Reply) -> Result<(), String> {
        let counts = [reply.head.len(), reply.body.len(), reply.trailers.len()].map(sized);
        let [head, body, trailers] = counts;
        self.call("proxy_on_http_call_response", &[signed(ROOT), signed(call), head, body, trailers])
            .map(|_| ())
    }
}

type Guest<'a, 'c> = guest::Guest<'a, 'c, Data>;

impl Process for Data {
    fn environment(&self) -> Vec<String> {
        self.world.environment().map(|(name, value)| format!("{name}={value}\0")).collect()
    }

    fn time(&self) -> u64 {
        self.world.time()
    }
}

/// What the host answers. A call that it does not know it does not have.
fn serve(guest: &mut Guest<'_, '_>, name: &str, arguments: &[Val]) -> wasmtime::Result<i32> {
    let Some(short) = name.strip_prefix("proxy_") else {
        return guest.wasi(name, &guest::numbers(arguments));
    };
    guest.world().trace.note(short);
    let world = Rc::clone(&guest.world().world);
    let a = guest::numbers(arguments);
    match (short, a.as_slice()) {
        ("log", &[level, at, size]) => {
            world.write_line(level.cast_unsigned(), &text(guest, at, size));
            Ok(OK)
        }
        ("get_current_time_nanoseconds", &[at]) => {
            guest.write(at, &world.time().to_le_bytes())?;
            Ok(OK)
        }
        ("get_buffer_bytes", &[7, start, max, at, size]) => {
            let configuration = guest.world().configuration.clone().into_bytes();
            buffer(guest, &configuration, start, max, at, size)
        }
        ("get_buffer_bytes", &[4, start, max, at, size]) => match world.reply() {
            Some(reply) if !reply.body.is_empty() => buffer(guest, &reply.body, start, max, at, size),
            _ => Ok(status(Err(journey::world::NOT_FOUND))),
        },
        (
            "get_header_map_pairs"
            | "get_header_map_value"
            | "replace_header_map_value"
            | "remove_header_map_value",
            _,
        ) => headers(guest, &world, short, &a),
        ("get_property", &[path, length, at, size]) => {
            let path = text(guest, path, length).replace('\0', ".");
            handed(guest, world.known(&path), at, size)
        }
        ("set_property", &[path, length, value, size]) => {
            let (path, value) = (text(guest, path, length), guest.read(value, size));
            Ok(status(world.mark(&path, &value)))
        }
        ("get_shared_data", &[key, length, at, size, version]) => {
            let found = world.read(&text(guest, key, length));
            if let Ok((_, cas)) = &found {
                guest.write(version, &cas.to_le_bytes())?;
            }
            handed(guest, found.map(|(value, _)| value), at, size)
        }
        ("set_shared_data", &[key, length, value, size, version]) => {
            let (key, value) = (text(guest, key, length), guest.read(value, size));
            Ok(status(world.share(&key, &value, version.cast_unsigned())))
        }
        ("send_local_response", &[code, details, details_size, body, body_size, map, map_size, grpc]) => {
            let answer = Local {
                status: code.cast_unsigned(),
                details: guest.read(details, details_size),
                fields: fields(&guest.read(map, map_size)),
                body: guest.read(body, body_size),
                grpc_status: grpc,
            };
            Ok(status(world.give(answer)))
        }
        ("set_tick_period_milliseconds", &[milliseconds]) => {
            world.set_pace(milliseconds.cast_unsigned());
            Ok(OK)
        }
        ("set_effective_context", &[context]) => Ok(status(world.act_for(context.cast_unsigned()))),
        ("continue_stream", &[0]) => Ok(status(world.let_go())),
        ("http_call", &[cluster, length, map, map_size, body, body_size, _, _, timeout, token]) => {
            let (cluster, body) = (guest.read(cluster, length), guest.read(body, body_size));
            let head = fields(&guest.read(map, map_size));
            match world.send(&cluster, head, &body, timeout.cast_unsigned()) {
                Ok(number) => {
                    guest.write(token, &number.to_le_bytes())?;
                    Ok(OK)
                }
                Err(failure) => Ok(status(Err(failure))),
            }
        }
        ("define_metric", &[kind, at, size, id]) => {
            let number = world.metric(kind.cast_unsigned(), &text(guest, at, size));
            guest.write(id, &number.to_le_bytes())?;
            Ok(OK)
        }
        ("increment_metric" | "record_metric", &[id, _]) => {
            let value = arguments.get(1).and_then(Val::i64).unwrap_or_default();
            Ok(status(world.add(id.cast_unsigned(), value.cast_unsigned())))
        }
        // It verifies and signs nothing, as for the native code.
        ("get_buffer_bytes" | "call_foreign_function", _) => Ok(status(Err(journey::world::NOT_FOUND))),
        ("get_log_level", &[at]) => {
            guest.write(at, &0_i32.to_le_bytes())?;
            Ok(OK)
        }
        ("done", _) => Ok(OK),
        _ => Ok(UNIMPLEMENTED),
    }
}

fn headers(guest: &mut Guest<'_, '_>, world: &World, call: &str, a: &[i32]) -> wasmtime::Result<i32> {
    let map = match a.first() {
        Some(0) => Map::Request,
        Some(1) => Map::Trailers,
        Some(2) => Map::Response,
        Some(6) => Map::Answer,
        Some(7) => Map::AnswerTrailers,
        _ => return Ok(status(Err(journey::world::BAD_ARGUMENT))),
    };
    match (call, a) {
        ("get_header_map_pairs", &[_, at, size]) => {
            let block = world.map(map).map(|fields| block(&fields));
            handed(guest, block, at, size)
        }
        ("get_header_map_value", &[_, name, length, at, size]) => {
            let value = world.value(map, &text(guest, name, length));
            handed(guest, value, at, size)
        }
        ("replace_header_map_value", &[_, name, length, value, size]) => {
            let (name, value) = (text(guest, name, length), guest.read(value, size));
            Ok(status(world.set(map, &name, &value)))
        }
        ("remove_header_map_value", &[_, name, length]) => {
            Ok(status(world.remove(map, &text(guest, name, length))))
        }
        _ => Ok(status(Err(journey::world::BAD_ARGUMENT))),
    }
}

fn status(answered: Answered<()>) -> i32 {
    answered.map_or_else(u32::cast_signed, |()| OK)
}

fn handed(guest: &mut Guest<'_, '_>, value: Answered<Vec<u8>>, at: i32, size: i32) -> wasmtime::Result<i32> {
    match value {
        Ok(value) => guest.give(&value, at, size),
        Err(failure) => Ok(status(Err(failure))),
    }
}

fn buffer(
    guest: &mut Guest<'_, '_>,
    bytes: &[u8],
    start: i32,
    max: i32,
    at: i32,
    size: i32,
) -> wasmtime::Result<i32> {
    let rest = bytes.get(start.cast_unsigned() as usize..).unwrap_or_default();
    let most = rest.len().min(max.cast_unsigned() as usize);
    guest.give(&rest[..most], at, size)
}

/// What the plugin writes is text of its own; bytes that are none would differ from the native code's.
fn text(guest: &Guest<'_, '_>, at: i32, size: i32) -> String {
    String::from_utf8(guest.read(at, size))
        .unwrap_or_else(|error| error.into_bytes().escape_ascii().to_string())
}

fn block(fields: &Fields) -> Vec<u8> {
    let fields = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    portcullis_filter::http::head::serialize(fields)
}

/// A map in the ABI's form. One that is not of this form is a field that no filter of ours would send.
fn fields(block: &[u8]) -> Fields {
    read(block).unwrap_or_else(|| vec![(b"not a map".to_vec(), block.to_vec())])
}

fn read(block: &[u8]) -> Option<Fields> {
    let number = |at: usize| -> Option<usize> {
        usize::try_from(u32::from_le_bytes(*block.get(at..)?.first_chunk()?)).ok()
    };
    let count = number(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut piece = |length: usize| {
        let bytes = block.get(at..at.checked_add(length)?)?.to_vec();
        at += length + 1;
        Some(bytes)
    };
    (0..count).map(|index| Some((piece(number(4 + 8 * index)?)?, piece(number(8 + 8 * index)?)?))).collect()
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
