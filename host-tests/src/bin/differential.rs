//! `make differential`: bytes that nobody has thought of, through the native code and through the compiled plugin, which must make the same of
//! them.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use host_tests::artifacts;
use host_tests::differential::Pair;
use host_tests::differential::search::{Search, beginnings, save};

/// Differences after which there is enough to do.
const ENOUGH: usize = 10;
/// How often it is said how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--replay", file] => replay(file),
        [seconds] => search(seconds, "1"),
        [seconds, seed] => search(seconds, seed),
        _ => Err("usage: differential SECONDS [SEED] | differential --replay FILE".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pair() -> Result<Pair, String> {
    let plugin = artifacts::plugin()?;
    Pair::new(&std::fs::read(&plugin).map_err(|error| format!("{}: {error}", plugin.display()))?)
}

/// Whether there was no difference.
fn search(seconds: &str, seed: &str) -> Result<bool, String> {
    let seconds: u64 = seconds.parse().map_err(|_| format!("not a number of seconds: {seconds}"))?;
    let seed: u64 = seed.parse().map_err(|_| format!("not a number: {seed}"))?;
    let mut search = Search::new(pair()?, seed);
    let began = Instant::now();
    let (mut told, mut found) = (began, BTreeSet::new());
    let mut beginnings = beginnings(true)?.into_iter();
    while began.elapsed() < Duration::from_secs(seconds) && found.len() < ENOUGH {
        let difference = match beginnings.next() {
            Some(input) => search.take(input)?,
            None => search.step()?,
        };
        // One fault is found again and again, and made to the same few lines.
        if let Some(difference) = difference.filter(|difference| !found.contains(&difference.input)) {
            let file = save(&difference.input)?;
            println!(
                "differential: they differ (`<` is the native code) about\n{}",
                difference.input.escape_ascii()
            );
            difference.lines.iter().for_each(|line| println!("  {line}"));
            println!("differential: again with `make differential REPLAY={}`", file.display());
            found.insert(difference.input);
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            eprintln!("differential: {:>5} s, {}", began.elapsed().as_secs(), far(&search));
        }
    }
    println!("differential: seed {seed}, {} s, {}", began.elapsed().as_secs(), far(&search));
    for (ending, count) in &search.endings {
        println!("differential: {count:>8} {ending}");
    }
    println!("differential: {}", if found.is_empty() { "passed" } else { "FAILED" });
    Ok(found.is_empty())
}

fn far(search: &Search) -> String {
    format!("{} inputs, {} kept, {} things shown", search.tried, search.kept(), search.shown())
}

fn replay(file: &str) -> Result<bool, String> {
    let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let outcome = pair()?.examine(&input)?;
    println!("{}", input.escape_ascii());
    outcome.endings.iter().for_each(|ending| println!("  {ending}"));
    outcome.differences.iter().for_each(|line| println!("  {line}"));
    println!("differential: {}", if outcome.differences.is_empty() { "they agree" } else { "they differ" });
    Ok(outcome.differences.is_empty())
}
