//! How are the figures told: in a table to read, a page to keep, an object for a program?

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Effort;
use super::figures::{Line, Spread};
use super::machine::Machine;
use super::plots::short;
use super::starts::Start;
use crate::metered::growth::Curve;

/// The page that `--write` writes.
pub const PAGE: &str = "docs/benchmarks.md";

const HEADINGS: [&str; 6] = [
    "case",
    "CPU us a request (quartiles)",
    "in a service",
    "over bare us (quartiles)",
    "x bare",
    "x native",
];

/// A table for a terminal.
pub fn table(lines: &[Line]) -> String {
    let rows: Vec<[String; 6]> =
        std::iter::once(HEADINGS.map(ToOwned::to_owned)).chain(lines.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = format!("{:<width$}", row[0], width = widths[0]);
        for (cell, width) in row.iter().zip(widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cells(line: &Line) -> [String; 6] {
    let spread = |Spread { median, min, max }| format!("{median:.1} ({min:.1}-{max:.1})");
    [
        line.name.to_owned(),
        spread(line.cost),
        line.service.map_or(String::new(), |micros| format!("{micros:.1}")),
        spread(line.added),
        format!("{:.2}", line.ratio),
        line.beside_native.map_or(String::new(), |ratio| format!("{ratio:.2}")),
    ]
}

/// Everything that the page tells.
#[derive(Debug)]
pub struct Findings {
    /// The cases.
    pub lines: Vec<Line>,
    /// What grows.
    pub curves: Vec<Curve>,
    /// What starts.
    pub starts: Vec<Start>,
    /// Where it was.
    pub machine: Machine,
    /// How much was measured.
    pub effort: Effort,
}

/// The page.
pub fn page(found: &Findings) -> String {
    let Findings { lines, curves, starts, machine, effort } = found;
    let mut text = String::from(HEAD);
    let _ = write!(
        text,
        "\n- Date: {}\n- Machine: {}\n- Envoy: {}\n- Plugins: {}\n- Compiler: {}\n- {} Envoys one after the other, {} turns in each, {} requests a case and turn, after {} in the first turn that do not count and a tenth of them in the others\n\n",
        machine.date,
        machine.hardware,
        machine.envoy,
        machine.plugins,
        machine.compiler,
        effort.rounds,
        effort.turns,
        effort.requests,
        effort.warm_up,
    );
    text.push_str("![What each case adds to bare Envoy, as bars](benchmarks.svg)\n\n");
    rows(
        &mut text,
        &HEADINGS.map(|heading| heading.replace("us", "µs").replace("x ", "× ")),
        lines.iter().map(cells),
    );
    text.push_str(OF_CASES);
    let headings = [
        "with",
        "ms until it is ready (min-max)",
        "over bare",
        "ms of CPU (min-max)",
        "MiB in memory (min-max)",
        "over bare",
    ];
    rows(
        &mut text,
        &headings.map(ToOwned::to_owned),
        starts.iter().filter_map(|start| start_cells(start, starts.first()?).into()),
    );
    text.push_str(OF_STARTS);
    let headings =
        ["what grows", "thousand instructions a request, by how many or how large", "last by first"];
    rows(&mut text, &headings.map(ToOwned::to_owned), curves.iter().map(curve_cells));
    text.push_str(OF_CURVES);
    text
}

/// A table whose first column is words, and the others figures.
fn rows<const N: usize>(text: &mut String, headings: &[String; N], cells: impl Iterator<Item = [String; N]>) {
    let row = |cells: &[String; N]| format!("| {} |\n", cells.join(" | "));
    text.push_str(&row(headings));
    let lines: [String; N] =
        std::array::from_fn(|column| if column == 0 { "---" } else { "---:" }.to_owned());
    text.push_str(&row(&lines));
    cells.for_each(|cells| text.push_str(&row(&cells)));
}

/// What a start takes, beside that of the first.
pub fn start_cells(start: &Start, bare: &Start) -> [String; 6] {
    let spread = |it: Spread, digits: usize| {
        format!("{:.digits$} ({:.digits$}-{:.digits$})", it.median, it.min, it.max)
    };
    [
        start.name.to_owned(),
        spread(start.millis, 0),
        format!("{:.0}", start.millis.median - bare.millis.median),
        spread(start.cpu, 0),
        spread(start.resident, 1),
        format!("{:.1}", start.resident.median - bare.resident.median),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "some thousand instructions")]
fn curve_cells(curve: &Curve) -> [String; 3] {
    let points = curve.points.iter();
    let points: Vec<String> =
        points.map(|(size, fuel)| format!("{}: {:.1}", short(*size), *fuel as f64 / 1e3)).collect();
    let ends = curve.points.first().zip(curve.points.last());
    let ratio = ends.map_or(0.0, |((_, first), (_, last))| *last as f64 / (*first).max(1) as f64);
    [format!("{} ({})", curve.name, curve.unit), points.join(" · "), format!("{ratio:.2}")]
}

/// For a program.
pub fn object(lines: &[Line], machine: &Machine, effort: Effort) -> Value {
    let spread = |it: Spread| json!({"median": it.median, "min": it.min, "max": it.max});
    let lines = lines.iter().map(|line| {
        json!({
            "case": line.name,
            "cpuMicros": spread(line.cost),
            "serviceMicros": line.service,
            "overBareMicros": spread(line.added),
            "timesBare": line.ratio,
            "timesNative": line.beside_native,
        })
    });
    json!({
        "date": machine.date, "machine": machine.hardware, "envoy": machine.envoy, "plugins": machine.plugins,
        "compiler": machine.compiler, "rounds": effort.rounds, "turns": effort.turns, "requests": effort.requests,
        "warmUp": effort.warm_up, "cases": lines.collect::<Vec<_>>(),
    })
}

const HEAD: &str = "# What a request costs

*Written by `make bench BENCH=--write`; do not edit.* CPU time for a request, in microseconds, as the median over the turns with
the quartiles. It is that of Envoy's process, and of the service where one is asked.
";

const OF_CASES: &str = "
- **over bare** is the cost less that of bare Envoy in the same turn; **× bare** is the cost by that of bare Envoy; **× native** is
  what the case adds by what Envoy's own filters add for the same work (the `native` row of the same kind; for an admitted
  request the one whose verified tokens are cached). It is left out where they add next to nothing.
- Every case is a listener of its own in one Envoy of one worker, set up as `envoy.yaml` is but without an access log. Envoy
  answers by itself (`direct_response`): no upstream is in the figures, so a ratio behind a real upstream is smaller.
- All cases get the same request, with eight header fields and a token of about 850 bytes, but for what they are about. Sixteen
  callers take turns, each with one token that the gateway has checked before; 32 connections over loopback, HTTP/1.1, one request under way
  on each. *New* tokens are 12,288 in turn, more than any cache here keeps, so each is checked.
- *one limit* is one bucket for all callers, on a route without credentials. *penalty*: the client has failed too often, and is refused before its
  token is looked at.
- *access, limit*: a scope that the token must have, a token bucket for each subject that is never empty, two claims as headers. The
  gateway's cases have the guard behind the plugin, as recommended. A refusal of the gateway writes its audit event to the
  proxy's log, which is a system call each; Envoy's own filters write none. *no event* is the same with `audit: {log: Off}`, and *access log* is
  with the access log of `envoy.yaml`, which is buffered; the gateway then tells of every request there alone (`audit: {log: Off, sinks: {accessLog: All}}`).
- *floor* is a plugin that decides nothing and makes the host calls that a gateway in a plugin cannot do without: those of an open route
  (clock, headers, the mark, the guard behind it), the same with the count of each request that the gateway's metrics are, or with one slot of
  shared data read and written as *one limit* does, those of an
  admission (clock, headers, one slot of shared data read and written, three headers changed, the mark, the guard behind it), the same with
  the clock and the two properties that an event asks for, with its line in the log, with as many bytes for a collector in batches of 512, or with the four marks of an event in the access log, which prints them, those of a
  refusal (clock, headers, the answer; with an event also the client's address and the line), or one `verify_signature` of such a token. What is compared with `native` there cannot be less for any plugin that works so.
- *native* is `jwt_authn` (with and without `jwt_cache_config`), `rbac` on the scope and `local_ratelimit` with a bucket for each subject;
  *header_mutation* stands before them and takes off what only a gateway may set.
- *ext_authz* is Envoy's filter of that name with a service over HTTP/1.1 on the same core (`host-tests/peers/ext-authz`: `hyper` and `ring`, one
  thread, built as a release), which checks the same token, scope and limit, remembers 4096 tokens, and answers with the claims as headers. What it
  takes is in the cost, and told apart as *in a service*.
- *Lua* is Envoy's Lua filter with a script (`host-tests/peers/gateway.lua`) that does the same with the handle's `verifySignature`; it reads keys of
  RSA and algorithm RS256 only. Its buckets and its memory of tokens are each worker's own, so its limit is not one for the proxy; and where a script
  fails, the filter lets the request pass. It takes no lock and crosses no border, which is why it is quick where it knows the token.
- PS256, ES384 and EdDSA are checked so slowly that a quarter of the requests is sent. The host has no check for PS256 and EdDSA that a plugin could
  ask for, so the plugin does that arithmetic itself.
- *one of 10,000 routes*: the policy has ten thousand routes more, and the request is for one in the middle. *10,000 API keys in turn*: as many
  keys, each of a client with a bucket of its own, each used by the next request, so no cache of the processor holds them.
- A response of another status than the case is about ends the run, and so does a script that fails. Before the gateway, *native*, *ext_authz* and *Lua* are
  measured, each must refuse a token that is forged, of another key, issuer, audience or time, or without the scope (`host-tests/src/bench/trials.rs`).

## Start and size

From the start of Envoy's process, of one worker on all cores, until its admin interface says that it is ready; and what the process has in memory then.

";

const OF_STARTS: &str = "
- The plugin is compiled by V8 before Envoy is ready, once for each `vm_id`; that is most of the time. What it compiles stays in memory, and so does
  the limits' table (`stateBytes`, 8 MiB by default) of whoever limits.
- The time is looked at every 5 ms.

## Growth

![Instructions of the plugin a request, as routes, keys, callers, header fields, tokens and bodies grow](growth.svg)

";

const OF_CURVES: &str = "
- Instructions of the plugin in wasmtime (fuel), from the first callback of a request to the last: the same on every machine, and the mean of sixteen
  requests whose like has been made before. What Envoy does for a host call is not among them: it copies headers, for instance. Where
  that matters, the table of cases has the time: *one of 10,000 routes*, *10,000 API keys in turn*.
- A body is counted as it streams, in pieces of 16 KiB, and never read, so a piece costs what a callback costs. A *new* token's signature is checked by the host, in
  time that does not hang on the token's size; what grows is reading its claims. A *known* one is compared byte for byte.

Run it again with `make bench`, a short one with `make bench BENCH=--quick`; `BENCH=--starts` and `BENCH=--curves` do their parts alone. Times move with the
machine and with what else runs on it; what can be compared is the rows of one table.
";

#[cfg(test)]
mod tests {
    use super::{Effort, Findings, page, table};
    use crate::bench::figures::{Line, Spread};
    use crate::bench::machine::Machine;
    use crate::bench::starts::Start;
    use crate::metered::growth::Curve;

    #[test]
    fn what_is_found_is_told() {
        let spread = |median| Spread { median, min: median - 1.0, max: median + 1.0 };
        let line = Line {
            name: "it",
            cost: spread(30.0),
            service: None,
            added: spread(5.0),
            ratio: 1.2,
            beside_native: Some(0.5),
        };
        let table = table(std::slice::from_ref(&line));
        assert!(
            table.lines().nth(1).is_some_and(|row| row.starts_with("it") && row.ends_with("0.50")),
            "{table}"
        );
        let word = || String::from("word");
        let start =
            |name, at| Start { name, millis: spread(at), cpu: spread(at + 5.0), resident: spread(at / 10.0) };
        let found = Findings {
            lines: vec![line.clone(), Line { name: "asked", service: Some(12.25), ..line }],
            curves: vec![Curve { name: "it", unit: "routes", points: vec![(1, 20_000), (10_000, 25_000)] }],
            starts: vec![start("bare", 100.0), start("ours", 350.0)],
            machine: Machine {
                date: word(),
                hardware: word(),
                envoy: word(),
                plugins: word(),
                compiler: word(),
            },
            effort: Effort::QUICK,
        };
        let page = page(&found);
        for row in [
            "| it | 30.0 (29.0-31.0) |  | 5.0 (4.0-6.0) | 1.20 | 0.50 |",
            "| asked | 30.0 (29.0-31.0) | 12.2 | 5.0 (4.0-6.0) | 1.20 | 0.50 |",
            "| ours | 350 (349-351) | 250 | 355 (354-356) | 35.0 (34.0-36.0) | 25.0 |",
            "| it (routes) | 1: 20.0 · 10k: 25.0 | 1.25 |",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }
}
