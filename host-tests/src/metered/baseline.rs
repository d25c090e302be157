//! How is it written down what things cost, and what is a change?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::Cost;
use super::cases::Row;
use crate::artifacts;

/// By how much a number may differ, in percent, before somebody must say why.
pub const TOLERANCE: f64 = 3.0;
/// Below this many, a number may differ by this many: three percent of ten allocations is none.
const SLACK: u64 = 1;
/// The same for a request with a new signature, which is a byte or two longer or shorter in DER, so that buffers grow otherwise.
const SLACK_OF_SIGNATURES: u64 = 4;
/// The same for a signature that the plugin checks by itself, in percent, instructions and allocations: keys are made anew for each run, and what
/// the arithmetic of a key takes is a matter of its digits (ES256: 12.3 to 12.8 million instructions).
const TOLERANCE_OF_ARITHMETIC: [f64; 2] = [10.0, 20.0];
/// A token that takes more instructions than this was checked so.
const ARITHMETIC: u64 = 1_000_000;

const HEAD: &str = "\
# What things cost the plugin: instructions (wasmtime fuel), allocations, host calls. `make baseline` writes this file;
# tests/baseline.rs fails if a number moves by more than 3 percent, or a host call comes or goes. Commit a change of it together with
# the change of the code, and say why.
";

/// The file that is committed.
pub fn file() -> PathBuf {
    artifacts::repository().join("host-tests/baseline.txt")
}

/// One line a row.
pub fn to_text(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    for Row { name, cost } in rows {
        let calls: Vec<String> = cost.calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<42} {:>9} {:>6}  {}", cost.fuel, cost.allocations, calls.join(", "));
    }
    text
}

/// Reads what [`to_text`] wrote.
pub fn from_text(text: &str) -> Result<Vec<Row>, String> {
    text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(row).collect()
}

fn row(line: &str) -> Result<Row, String> {
    let broken = || format!("not a line of a baseline: {line}");
    let (name, rest) = line.split_at_checked(42).ok_or_else(broken)?;
    let mut words = rest.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(broken);
    let (fuel, allocations) = (number()?, number()?);
    let calls = words.collect::<Vec<_>>().join(" ");
    let calls = calls.split(", ").filter(|call| !call.is_empty()).map(|call| {
        let (name, count) = call.split_once(' ').ok_or_else(broken)?;
        Ok((name.to_owned(), count.parse().map_err(|_| broken())?))
    });
    let calls = calls.collect::<Result<BTreeMap<_, _>, String>>()?;
    Ok(Row { name: name.trim_end().to_owned(), cost: Cost { fuel, allocations, calls } })
}

/// What moved, one line each: the row, what it was, what it is.
pub fn moved(before: &[Row], now: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    let find = |rows: &[Row], name: &str| rows.iter().find(|row| row.name == name).cloned();
    for row in before.iter().filter(|row| find(now, &row.name).is_none()) {
        lines.push(format!("{:<42} is gone", row.name));
    }
    for Row { name, cost } in now {
        let Some(Row { cost: old, .. }) = find(before, name) else {
            lines.push(format!("{name:<42} is new"));
            continue;
        };
        let signed = name.starts_with("a new ");
        let slack = if signed { SLACK_OF_SIGNATURES } else { SLACK };
        let by_itself = signed && old.fuel > ARITHMETIC;
        let [of_instructions, of_allocations] =
            if by_itself { TOLERANCE_OF_ARITHMETIC } else { [TOLERANCE; 2] };
        for (what, old, new, tolerance) in [
            ("instructions", old.fuel, cost.fuel, of_instructions),
            ("allocations", old.allocations, cost.allocations, of_allocations),
        ] {
            if old.abs_diff(new) > slack && percent(old, new).abs() > tolerance {
                lines.push(format!("{name:<42} {what:<14} {old:>9} → {new:>9}  {:+.1} %", percent(old, new)));
            }
        }
        let calls: std::collections::BTreeSet<&String> = old.calls.keys().chain(cost.calls.keys()).collect();
        for call in calls {
            let of = |cost: &Cost| cost.calls.get(call).copied().unwrap_or_default();
            if of(&old) != of(cost) {
                lines.push(format!("{name:<42} {call:<28} {} → {}", of(&old), of(cost)));
            }
        }
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a percentage")]
fn percent(old: u64, new: u64) -> f64 {
    (new as f64 - old as f64) * 100.0 / (old as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::{Cost, Row, from_text, moved, to_text};

    fn row(name: &str, fuel: u64, allocations: u64, calls: &[(&str, u64)]) -> Row {
        let calls = calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Row { name: name.to_owned(), cost: Cost { fuel, allocations, calls } }
    }

    #[test]
    fn it_reads_what_it_wrote() {
        let rows = [row("a b, c", 1_234_567, 3, &[("get_x", 1), ("log", 12)]), row("d", 0, 0, &[])];
        assert_eq!(from_text(&to_text(&rows)).unwrap(), rows);
        for broken in ["short", &format!("{:<42} x 3", "a"), &format!("{:<42} 1 2 call", "a")] {
            assert!(from_text(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn what_moves_is_told() {
        let before = [row("a", 1000, 100, &[("x", 1)]), row("b", 10, 1, &[])];
        let rsa = |allocations| [row("a new token, ps256", 22_000_000, allocations, &[])];
        assert_eq!((moved(&rsa(116), &rsa(131)).len(), moved(&rsa(116), &rsa(140)).len()), (0, 1));
        assert_eq!(moved(&before, &[row("a", 1030, 97, &[("x", 1)]), row("b", 11, 2, &[])]), [""; 0]);
        let now = [row("a", 1031, 96, &[("y", 1)]), row("c", 1, 1, &[])];
        let told: Vec<String> = moved(&before, &now)
            .iter()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            told,
            [
                "b is gone",
                "a instructions 1000 → 1031 +3.1 %",
                "a allocations 100 → 96 -4.0 %",
                "a x 1 → 0",
                "a y 0 → 1",
                "c is new",
            ]
        );
    }
}
