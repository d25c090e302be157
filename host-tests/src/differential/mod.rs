//! Do the native code and the compiled plugin make the same of bytes that nobody has thought of?
//!
//! Both are led through the same [`journey`] in worlds that are equal, and all that there is to see must be equal too: what goes on and what is
//! held back, every answer with its fields and its body, every change of a head, the filter state, each line of the log with the audit events in
//! it, each call to elsewhere, what was counted, and what is shared, byte by byte.
//!
//! The search ([`search`]) is guided without any instrumentation: an input is kept that shows a new outcome with a new sequence of host calls, or
//! that takes a new order of instructions. It is the same for the same seed.

pub mod mutate;
pub mod plugin;
pub mod search;

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use journey::credentials::Wallet;
use journey::drive::{Seen, run};
use journey::native::Native;
use journey::policies::{self, COUNT};
use journey::script::Journey;
use journey::world::{ROOT, World};

use self::plugin::{Begun, Compiled, Effort, Plugin};

/// Lines of a difference that are shown.
const SHOWN: usize = 40;

/// Both forms of the gateway.
pub struct Pair {
    compiled: Compiled,
    wallet: Wallet,
    policies: fn(usize) -> String,
    sides: Vec<Option<Side>>,
}

/// What one policy takes.
struct Side {
    native: String,
    plugin: String,
    /// What the plugin took for random, so that the native code takes the same.
    seed: [u8; 16],
    /// Where the native code's journeys begin; the plugin remembers by itself.
    world: World,
    vm: Plugin,
}

/// What came of an input.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Under which policy.
    pub policy: usize,
    /// In what the two differ, as lines for a person; `<` is the native code. None: they are equal.
    pub differences: Vec<String>,
    /// What the input shows, each as a number.
    pub shows: BTreeSet<u64>,
    /// How its requests ended, in the words of the gateway.
    pub endings: BTreeSet<String>,
}

impl Pair {
    /// Of a compiled plugin and the code that this is linked with.
    pub fn new(module: &[u8]) -> Result<Self, String> {
        Self::with(module, policies::policy)
    }

    /// The same, where the native code has policies of its own: they differ, and that must be found.
    pub fn with(module: &[u8], policies: fn(usize) -> String) -> Result<Self, String> {
        let (compiled, wallet) = (Compiled::new(module)?, Wallet::default());
        Ok(Self { compiled, wallet, policies, sides: (0..COUNT).map(|_| None).collect() })
    }

    /// Leads an input through both.
    pub fn examine(&mut self, input: &[u8]) -> Result<Outcome, String> {
        let journey = Journey::read(input, &self.wallet);
        let number = journey.policy % COUNT;
        let side = match self.sides.get_mut(number).and_then(Option::take) {
            Some(side) => side,
            None => Side::start(&self.compiled, (self.policies)(number), policies::policy(number))?,
        };
        let (outcome, side) = side.examine(&self.compiled, &journey)?;
        self.sides[number] = side;
        Ok(outcome)
    }
}

fn new_world() -> World {
    World::new(policies::environment())
}

impl Side {
    fn start(compiled: &Compiled, native: String, plugin: String) -> Result<Self, String> {
        let Begun { plugin: vm, world } = compiled.start(&plugin, new_world())?;
        // It keeps the seed where all workers find it.
        let shared = world.shared_in_all();
        let seed = shared.iter().find(|(key, _)| key.strip_suffix(".seed").is_some());
        let seed = seed.and_then(|(_, seed)| seed.as_slice().try_into().ok());
        let seed = seed.ok_or("the plugin has left no seed")?;
        let begin = Native::world(&native, seed, policies::environment())?;
        let side = Self { native, plugin, seed, world: begin, vm };
        side.compare_starts(&world)?;
        Ok(side)
    }

    /// Where both have the same policy, both start in the same way.
    fn compare_starts(&self, plugin: &World) -> Result<(), String> {
        let native = new_world();
        Native::start(&self.native, self.seed, &native)?;
        // The plugin alone counts VMs.
        let lines = |world: &World| -> Vec<String> {
            world.lines().into_iter().filter(|line| !line.contains("vm_starts")).collect()
        };
        let differences = differences(&lines(&native), &lines(plugin));
        if self.native == self.plugin && !differences.is_empty() {
            return Err(format!("they start differently:\n{}", differences.join("\n")));
        }
        Ok(())
    }

    /// Leads a journey through both; the side is gone if its VM is of no more use.
    fn examine(mut self, compiled: &Compiled, journey: &Journey) -> Result<(Outcome, Option<Self>), String> {
        let native = self.lead_native(journey);
        let world = if let Some(world) = self.vm.again()? {
            world
        } else {
            self.vm = compiled.start(&self.plugin, new_world())?.plugin;
            self.vm.again()?.ok_or("a VM grows before it has done anything")?
        };
        let seen = run(journey, &mut self.vm, &world);
        let efforts = self.vm.efforts();
        let outcome = match (native, seen) {
            (Ok(native), Ok(plugin)) => {
                let mut outcome = shown(journey.policy % COUNT, &plugin, &efforts);
                outcome.differences = differences(&native.lines, &plugin.lines);
                outcome
            }
            (native, plugin) => {
                let told = |seen: Result<Seen, String>, sign: char| {
                    format!("{sign} {}", seen.map_or_else(|error| error, |_| "came to an end".to_owned()))
                };
                let differences = vec![told(native, '<'), told(plugin, '>')];
                // What has failed once is not asked again.
                let policy = journey.policy % COUNT;
                return Ok((Outcome { policy, differences, ..Outcome::default() }, None));
            }
        };
        Ok((outcome, Some(self)))
    }

    fn lead_native(&self, journey: &Journey) -> Result<Seen, String> {
        let lead = || {
            let mut world = self.world.clone();
            let mut native = Native::start(&self.native, self.seed, &world)?;
            world.settle();
            run(journey, &mut native, &world)
        };
        catch_unwind(AssertUnwindSafe(lead)).unwrap_or_else(|_| Err("it has panicked".to_owned()))
    }
}

/// What a journey shows: of each request how it ended, and by which host calls and by how many instructions (to half a power of two); of the
/// plugin's own callbacks the latter.
fn shown(policy: usize, seen: &Seen, efforts: &[Effort]) -> Outcome {
    let mut outcome = Outcome { policy, ..Outcome::default() };
    for (place, exchange) in seen.exchanges.iter().enumerate() {
        let ending = match &exchange.answer {
            Some(answer) => format!("{} {}", answer.status, answer.details.escape_ascii()),
            None if exchange.is_marked() => "goes on".to_owned(),
            None => "leaves".to_owned(),
        };
        for effort in efforts.iter().filter(|effort| effort.context as usize == place + 2) {
            outcome.shows.extend(effects(policy, &ending, effort));
        }
        outcome.endings.insert(ending);
    }
    for effort in efforts.iter().filter(|effort| effort.context == ROOT) {
        outcome.shows.extend(effects(policy, "", effort));
    }
    // Of a reason that clients are not told.
    let reasons = seen.lines.iter().filter_map(|line| line.split_once(r#""event.reason":""#));
    outcome.endings.extend(reasons.map(|(_, reason)| reason.chars().take_while(|c| *c != '"').collect()));
    outcome
}

fn effects(policy: usize, ending: &str, effort: &Effort) -> [u64; 2] {
    let order = effort.fuel.max(2).ilog2();
    let number = |what: (&str, u64)| {
        let mut hasher = DefaultHasher::new();
        (policy, ending, what).hash(&mut hasher);
        hasher.finish()
    };
    [number(("calls", effort.calls)), number(("fuel", effort.fuel >> (order - 1) | u64::from(order) << 8))]
}

/// The lines that one has and the other has not, and that they are in another order if it is that; empty if they are equal.
fn differences(native: &[String], plugin: &[String]) -> Vec<String> {
    if native == plugin {
        return Vec::new();
    }
    let only = |left: &[String], right: &[String], sign: char| -> Vec<String> {
        left.iter().filter(|line| !right.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only(native, plugin, '<');
    lines.extend(only(plugin, native, '>'));
    if lines.is_empty() {
        lines.push("the same, in another order or number".to_owned());
    }
    lines.truncate(SHOWN);
    lines
}
