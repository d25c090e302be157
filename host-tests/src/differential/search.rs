//! Which inputs are tried next, and what was found?

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use journey::policies::COUNT;

use super::mutate::{self, mutated};
use super::{Outcome, Pair};
use crate::artifacts;
use crate::canaries::Dice;

/// How many of those that were kept count as kept lately.
const LATELY: usize = 64;
/// Turns in which a difference is made smaller.
const SMALLER: usize = 400;

/// A search on its way.
pub struct Search {
    pair: Pair,
    dice: Dice,
    /// By policy, so that each has its turn.
    kept: Vec<Vec<Vec<u8>>>,
    shown: BTreeSet<u64>,
    /// Inputs so far.
    pub tried: u64,
    /// In how many inputs requests ended so.
    pub endings: BTreeMap<String, u64>,
}

/// An input of which the two make different things.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The input, as small as it could be made.
    pub input: Vec<u8>,
    /// In what they differ.
    pub lines: Vec<String>,
}

impl Search {
    /// With a seed of its own.
    pub fn new(pair: Pair, seed: u64) -> Self {
        let (kept, shown, endings) = (vec![Vec::new(); COUNT], BTreeSet::new(), BTreeMap::new());
        Self { pair, dice: Dice::of(seed), kept, shown, tried: 0, endings }
    }

    /// How many inputs have been kept.
    pub fn kept(&self) -> usize {
        self.kept.iter().map(Vec::len).sum()
    }

    /// How much they show.
    pub fn shown(&self) -> usize {
        self.shown.len()
    }

    /// Tries an input as it is, and keeps it if it shows something new.
    pub fn take(&mut self, input: Vec<u8>) -> Result<Option<Difference>, String> {
        let Outcome { policy, differences, shows, endings } = self.pair.examine(&input)?;
        self.tried += 1;
        for ending in endings {
            *self.endings.entry(ending).or_default() += 1;
        }
        if !differences.is_empty() {
            return Ok(Some(self.smaller(input, differences)));
        }
        let before = self.shown.len();
        self.shown.extend(shows);
        if self.shown.len() > before {
            self.kept[policy].push(input);
        }
        Ok(None)
    }

    /// Tries the next one: something that was kept, changed.
    pub fn step(&mut self) -> Result<Option<Difference>, String> {
        let (one, other) = (self.pick(), self.pick());
        let input = mutated(&one, &other, &mut self.dice);
        self.take(input)
    }

    /// Something that was kept: lately, as often as not, and of two the shorter one, which is quicker to try.
    fn pick(&mut self) -> Vec<u8> {
        let policies: Vec<&Vec<Vec<u8>>> = self.kept.iter().filter(|kept| !kept.is_empty()).collect();
        if policies.is_empty() {
            return Vec::new();
        }
        let kept = *self.dice.one(&policies);
        let from = self.dice.below(2) * kept.len().saturating_sub(LATELY);
        let (one, other) = (self.dice.one(&kept[from..]), self.dice.one(&kept[from..]));
        if one.len() < other.len() { one.clone() } else { other.clone() }
    }

    /// The same difference without the lines that it does not take.
    fn smaller(&mut self, mut input: Vec<u8>, mut lines: Vec<String>) -> Difference {
        let mut place = 0;
        for _ in 0..SMALLER {
            let mut all: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
            if place >= all.len() || all.len() == 1 {
                break;
            }
            all.remove(place);
            let shorter = all.join(&b'\n');
            match self.pair.examine(&shorter) {
                Ok(outcome) if !outcome.differences.is_empty() => {
                    (input, lines) = (shorter, outcome.differences);
                }
                _ => place += 1,
            }
        }
        Difference { input, lines }
    }
}

/// The inputs to begin with, those of a name's order: the seeds that are committed, and what libFuzzer has found on this machine.
pub fn beginnings(found_too: bool) -> Result<Vec<Vec<u8>>, String> {
    let fuzz = artifacts::repository().join("filter/fuzz");
    let mut inputs = read(&fuzz.join("seeds/journey"))?;
    let found = fuzz.join("corpus/journey");
    if found_too && found.is_dir() {
        inputs.extend(read(&found)?);
    }
    Ok(inputs)
}

fn read(directory: &Path) -> Result<Vec<Vec<u8>>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let files = fs::read_dir(directory).map_err(told)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = files.collect::<Result<Vec<_>, _>>().map_err(told)?;
    files.sort();
    let inputs = files.iter().map(|file| {
        let mut input = fs::read(file).map_err(told)?;
        input.truncate(mutate::LONGEST);
        Ok(input)
    });
    inputs.collect()
}

/// Saves an input in which they differ, under a name that its bytes have: where.
pub fn save(input: &[u8]) -> Result<PathBuf, String> {
    let directory = artifacts::repository().join("filter/fuzz/artifacts/differential");
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let digest = ring::digest::digest(&ring::digest::SHA256, input);
    let name = digest.as_ref().first_chunk().map_or(0, |start| u64::from_be_bytes(*start));
    let file = directory.join(format!("{name:016x}"));
    fs::write(&file, input).map_err(|error| error.to_string())?;
    Ok(file)
}
