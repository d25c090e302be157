//! `make bench`: what a request costs, as a table.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use host_tests::artifacts;
use host_tests::bench::cases::{self, BARE};
use host_tests::bench::machine::Machine;
use host_tests::bench::{self, Effort, memory, report};

const USAGE: &str = "usage: bench [--quick] [--rounds N] [--requests N] [--only TEXT] [--against FILE] [--json] [--write]
  --quick         a short run, to see that it works
  --rounds N      how often every case is measured
  --requests N    requests of a case in a round
  --only TEXT     the cases with TEXT in their name, or with one of several that `|` parts, and bare Envoy
  --against FILE  the gateway's cases once more with another build of the plugin, to compare two; may be given again
  --memory        instead, whether the gateway grows with the number of tokens: a million, or --requests N
  --json          an object on standard output instead of a table
  --write         also write docs/benchmarks.md";

struct Options {
    effort: Effort,
    only: Option<String>,
    against: Vec<PathBuf>,
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
        cases.retain(|case| case.name == BARE || only.split('|').any(|text| case.name.contains(text)));
    }
    let mut compared = Vec::new();
    for case in cases {
        let others = options.against.iter().map(|plugin| case.with_plugin(plugin));
        let others: Vec<_> = others.collect::<Result<_, _>>()?;
        compared.push(case);
        compared.extend(others.into_iter().flatten());
    }
    let cases = compared;
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
    let mut options = Options {
        effort: Effort::FULL,
        only: None,
        against: vec![],
        memory: None,
        json: false,
        write: false,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--quick" => options.effort = Effort::QUICK,
            "--rounds" => options.effort.rounds = positive(&value()?)?,
            "--requests" => options.effort.requests = positive(&value()?)?,
            "--memory" => options.memory = Some(memory::TOKENS),
            "--against" => options.against.push(value()?.into()),
            "--only" => options.only = Some(value()?),
            "--json" => options.json = true,
            "--write" => options.write = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.memory.is_some() && options.effort.requests != Effort::FULL.requests {
        options.memory = Some(options.effort.requests);
    }
    if options.write && (options.only.is_some() || !options.against.is_empty()) {
        return Err("--write keeps a whole table of one build: leave out --only and --against".to_owned());
    }
    Ok(options)
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is no number above 0"))
}
