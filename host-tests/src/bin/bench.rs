//! `make bench`: what a request costs, as a table.

use std::fs;
use std::process::ExitCode;

use host_tests::artifacts;
use host_tests::bench::cases::{self, BARE};
use host_tests::bench::machine::Machine;
use host_tests::bench::{self, Effort, memory, report};

const USAGE: &str = "usage: bench [--quick] [--rounds N] [--requests N] [--only TEXT] [--json] [--write]
  --quick         a short run, to see that it works
  --rounds N      how often every case is measured
  --requests N    requests of a case in a round
  --only TEXT     the cases with TEXT in their name, and bare Envoy
  --memory        instead, whether the gateway grows with the number of tokens: a million, or --requests N
  --json          an object on standard output instead of a table
  --write         also write docs/benchmarks.md";

struct Options {
    effort: Effort,
    only: Option<String>,
    memory: Option<usize>,
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
    if let Some(tokens) = options.memory {
        return memory::run(tokens, &mut |line| println!("{line}"));
    }
    let mut cases = cases::all()?;
    if let Some(only) = &options.only {
        cases.retain(|case| case.name == BARE || case.name.contains(only.as_str()));
    }
    let machine = Machine::here()?;
    let table = bench::run(&cases, options.effort, &mut |line| eprintln!("{line}"))?;
    let lines = table.lines().ok_or("nothing was measured")?;
    if options.json {
        println!("{:#}", report::object(&lines, &machine, options.effort));
    } else {
        print!("{}", report::table(&lines));
    }
    if options.write {
        let page = artifacts::repository().join(report::PAGE);
        fs::write(&page, report::page(&lines, &machine, options.effort))
            .map_err(|error| format!("{}: {error}", page.display()))?;
    }
    Ok(())
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { effort: Effort::FULL, only: None, memory: None, json: false, write: false };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--quick" => options.effort = Effort::QUICK,
            "--rounds" => options.effort.rounds = positive(&value()?)?,
            "--requests" => options.effort.requests = positive(&value()?)?,
            "--memory" => options.memory = Some(memory::TOKENS),
            "--only" => options.only = Some(value()?),
            "--json" => options.json = true,
            "--write" => options.write = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.memory.is_some() && options.effort.requests != Effort::FULL.requests {
        options.memory = Some(options.effort.requests);
    }
    if options.write && options.only.is_some() {
        return Err("--write keeps a whole table: leave out --only".to_owned());
    }
    Ok(options)
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is no number above 0"))
}
