//! `make bench`: what a request costs, as a table.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use host_tests::artifacts;
use host_tests::bench::cases::{self, BARE};
use host_tests::bench::figures::Line;
use host_tests::bench::machine::Machine;
use host_tests::bench::report::Findings;
use host_tests::bench::starts::{self, Start};
use host_tests::bench::{self, Effort, contention, memory, plots, report};
use host_tests::metered::growth::{self, Curve};

const USAGE: &str = "usage: bench [--quick] [--rounds N] [--turns N] [--requests N] [--only TEXT] [--against FILE] [--json] [--write]
       bench --curves | --starts | --memory [--requests N] | --contention [--rounds N]
  --quick         a short run, to see that it works
  --rounds N      Envoys, one after the other, in which every case is measured
  --turns N       how often every case has its turn in each of them
  --requests N    requests of a case in a turn
  --only TEXT     the cases with TEXT in their name, or with one of several that `|` parts, and bare Envoy
  --against FILE  the gateway's cases once more with another build of the plugin, to compare two; may be given again
  --curves        instead, what a request costs as routes, keys, callers, headers, tokens and bodies grow
  --starts        instead, how long a start takes and how large the process is
  --memory        instead, whether the gateway grows with the number of tokens: a million, or --requests N
  --contention    instead, what two workers cost each other that want one bucket, and whether more than a limit passes
  --json          an object on standard output instead of a table
  --write         also the curves and the starts, and docs/benchmarks.md with its pictures";

/// How often Envoy is started with each of what is measured.
const STARTS: usize = 5;

/// What is measured in place of the cases.
#[derive(Clone, Copy)]
enum Instead {
    Curves,
    Starts,
    Memory,
    Contention,
}

struct Options {
    effort: Effort,
    only: Option<String>,
    against: Vec<PathBuf>,
    instead: Option<Instead>,
    json: bool,
    write: bool,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    match options.instead {
        Some(Instead::Curves) => return curves().map(drop),
        Some(Instead::Starts) => return tell_starts(&starts()?),
        Some(Instead::Memory) => {
            let asked = Some(options.effort.requests).filter(|count| *count != Effort::FULL.requests);
            return memory::run(asked.unwrap_or(memory::TOKENS), &mut |line| println!("{line}"));
        }
        Some(Instead::Contention) => {
            let asked = Some(options.effort.rounds).filter(|count| *count != Effort::FULL.rounds);
            return contention::run(asked.unwrap_or(contention::PARTS), &mut |line| println!("{line}"));
        }
        None => {}
    }
    let machine = Machine::here()?;
    let lines = measured(options)?;
    if options.json {
        println!("{:#}", report::object(&lines, &machine, options.effort));
    } else {
        print!("{}", report::table(&lines));
    }
    if options.write {
        let (starts, curves) = (starts()?, curves()?);
        write(&Findings { lines, curves, starts, machine, effort: options.effort })?;
    }
    Ok(())
}

fn measured(options: &Options) -> Result<Vec<Line>, String> {
    let mut cases = cases::all()?;
    if let Some(only) = &options.only {
        cases.retain(|case| case.name == BARE || only.split('|').any(|text| case.name.contains(text)));
    }
    let mut compared = Vec::new();
    for case in cases {
        let others = options.against.iter().map(|plugin| case.with_plugin(plugin));
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        compared.push(case);
        compared.extend(others.into_iter().flatten());
    }
    let table = bench::run(&compared, options.effort, &mut |line| eprintln!("{line}"))?;
    table.lines().ok_or_else(|| "nothing was measured".to_owned())
}

fn curves() -> Result<Vec<Curve>, String> {
    let plugin = artifacts::named_plugin()?;
    let module = fs::read(&plugin).map_err(|error| format!("{}: {error}", plugin.display()))?;
    growth::count(&module, &mut |line| eprintln!("{line}"))
}

fn starts() -> Result<Vec<Start>, String> {
    starts::run(STARTS, &mut |line| eprintln!("{line}"))
}

fn tell_starts(starts: &[Start]) -> Result<(), String> {
    let bare = starts.first().ok_or("nothing was started")?;
    for start in starts {
        let [name, millis, later, cpu, resident, larger] = report::start_cells(start, bare);
        println!("{name}: {millis} ms, {later} more; {cpu} ms of CPU; {resident} MiB, {larger} more");
    }
    Ok(())
}

/// The page and its pictures, in the repository.
fn write(found: &Findings) -> Result<(), String> {
    for (file, text) in [
        (report::PAGE, report::page(found)),
        (plots::BARS, plots::bars(&found.lines)),
        (plots::CURVES, plots::curves(&found.curves)),
    ] {
        let path = artifacts::repository().join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        effort: Effort::FULL,
        only: None,
        against: vec![],
        instead: None,
        json: false,
        write: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--quick" => options.effort = Effort::QUICK,
            "--rounds" => options.effort.rounds = positive(&value()?)?,
            "--turns" => options.effort.turns = positive(&value()?)?,
            "--requests" => options.effort.requests = positive(&value()?)?,
            "--curves" => options.instead = Some(Instead::Curves),
            "--starts" => options.instead = Some(Instead::Starts),
            "--memory" => options.instead = Some(Instead::Memory),
            "--contention" => options.instead = Some(Instead::Contention),
            "--against" => options.against.push(value()?.into()),
            "--only" => options.only = Some(value()?),
            "--json" => options.json = true,
            "--write" => options.write = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.write && (options.only.is_some() || !options.against.is_empty()) {
        return Err("--write keeps a whole table of one build: leave out --only and --against".to_owned());
    }
    Ok(options)
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is no number above 0"))
}
