//! How does a host of our own in wasmtime reach into the plugin, and what of WASI does it offer? Nothing here is random and no clock moves by
//! itself: the same calls have the same answers on every machine.

use wasmtime::{Caller, Engine, Extern, Func, Instance, Linker, Memory, Module, Store, Val};

/// What the ABI answers when all is well.
pub(crate) const OK: i32 = 0;
/// WASI's "not supported".
const NOTSUP: i32 = 58;

/// What a host knows beside the plugin.
pub(crate) trait Process: 'static {
    /// The environment, each variable as `NAME=value` and a NUL.
    fn environment(&self) -> Vec<String>;
    /// Nanoseconds since the epoch.
    fn time(&self) -> u64;
}

/// How a host answers one of its calls, by name.
pub(crate) type Serve<T> = fn(&mut Guest<'_, '_, T>, &str, &[Val]) -> wasmtime::Result<i32>;

/// The plugin, for one call of the host's.
pub(crate) struct Guest<'a, 'c, T: Process> {
    caller: &'a mut Caller<'c, T>,
    memory: Memory,
}

/// An instance of the plugin, each of whose imports `serve` answers.
pub(crate) fn instantiate<T: Process>(
    engine: &Engine,
    module: &Module,
    store: &mut Store<T>,
    serve: Serve<T>,
) -> wasmtime::Result<Instance> {
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        let wasmtime::ExternType::Func(ty) = import.ty() else { continue };
        let name = import.name().to_owned();
        linker.func_new(import.module(), import.name(), ty, move |mut caller, arguments, results| {
            let memory = caller.get_export("memory").and_then(Extern::into_memory);
            let memory = memory.ok_or_else(|| wasmtime::Error::msg("the plugin has no memory"))?;
            let answer = serve(&mut Guest { caller: &mut caller, memory }, &name, arguments)?;
            results.fill(Val::I32(answer));
            Ok(())
        })?;
    }
    linker.instantiate(store, module)
}

/// Calls one of the plugin's own functions. A callback that it does not export is not made.
pub(crate) fn call<T: Process>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
    arguments: &[i32],
) -> Result<Option<i32>, String> {
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Ok(None);
    };
    let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(*argument)).collect();
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    function.call(store, &arguments, &mut results).map_err(|error| format!("{name}: {error:#}"))?;
    Ok(results.first().and_then(Val::i32))
}

impl<T: Process> Guest<'_, '_, T> {
    pub(crate) fn read(&self, at: i32, size: i32) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let read = self.memory.read(&self.caller, at.cast_unsigned() as usize, &mut bytes);
        read.map(|()| bytes).unwrap_or_default()
    }

    pub(crate) fn write(&mut self, at: i32, bytes: &[u8]) -> wasmtime::Result<()> {
        Ok(self.memory.write(&mut *self.caller, at.cast_unsigned() as usize, bytes)?)
    }

    /// Hands bytes over in a block that the plugin allocates.
    pub(crate) fn give(&mut self, bytes: &[u8], at: i32, size: i32) -> wasmtime::Result<i32> {
        let allocate = self.caller.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
        let allocate = allocate.ok_or_else(|| wasmtime::Error::msg("the plugin cannot allocate"))?;
        let length = i32::try_from(bytes.len())?;
        let block = invoke(&allocate, self.caller, length)?;
        self.write(block, bytes)?;
        self.write(at, &block.to_le_bytes())?;
        self.write(size, &length.to_le_bytes())?;
        Ok(OK)
    }

    pub(crate) fn world(&mut self) -> &mut T {
        self.caller.data_mut()
    }

    /// What the Rust standard library asks for: an environment, "random" bytes, a clock, and a place for its words.
    pub(crate) fn wasi(&mut self, call: &str, a: &[i32]) -> wasmtime::Result<i32> {
        match (call, a) {
            ("environ_sizes_get", &[count, size]) => {
                let environment = self.world().environment();
                self.write(count, &i32::try_from(environment.len())?.to_le_bytes())?;
                self.write(size, &i32::try_from(environment.concat().len())?.to_le_bytes())?;
                Ok(OK)
            }
            ("environ_get", &[places, texts]) => {
                let (mut place, mut text) = (places, texts);
                for variable in self.world().environment() {
                    self.write(place, &text.to_le_bytes())?;
                    self.write(text, variable.as_bytes())?;
                    place += 4;
                    text += i32::try_from(variable.len())?;
                }
                Ok(OK)
            }
            ("args_sizes_get", &[count, size]) => {
                self.write(count, &[0; 4])?;
                self.write(size, &[0; 4])?;
                Ok(OK)
            }
            ("args_get", _) => Ok(OK),
            ("random_get", &[at, size]) => {
                self.write(at, &vec![7; usize::try_from(size)?])?;
                Ok(OK)
            }
            ("clock_time_get", &[_, _, at]) => {
                let time = self.world().time();
                self.write(at, &time.to_le_bytes())?;
                Ok(OK)
            }
            ("proc_exit", _) => Err(wasmtime::Error::msg("the plugin has given up")),
            _ => Ok(NOTSUP),
        }
    }
}

fn invoke<T>(function: &Func, caller: &mut Caller<'_, T>, argument: i32) -> wasmtime::Result<i32> {
    function.typed::<i32, i32>(&*caller)?.call(&mut *caller, argument)
}

/// The arguments that are numbers of 32 bits; another one is zero.
pub(crate) fn numbers(arguments: &[Val]) -> Vec<i32> {
    arguments.iter().map(|value| value.i32().unwrap_or_default()).collect()
}
