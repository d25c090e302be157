//! How are the figures told: in a table to read, a page to keep, an object for a program?

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Effort;
use super::figures::{Line, Spread};
use super::machine::Machine;

/// The page that `--write` writes.
pub const PAGE: &str = "docs/benchmarks.md";

const HEADINGS: [&str; 6] =
    ["case", "CPU us a request (min-max)", "in a service", "over bare us (min-max)", "x bare", "x native"];

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

/// The page.
pub fn page(lines: &[Line], machine: &Machine, effort: Effort) -> String {
    let mut text = String::from(HEAD);
    let _ = write!(
        text,
        "\n- Date: {}\n- Machine: {}\n- Envoy: {}\n- Plugins: {}\n- Compiler: {}\n- {} rounds, {} requests a case and round after {} that do not count\n\n",
        machine.date,
        machine.hardware,
        machine.envoy,
        machine.plugins,
        machine.compiler,
        effort.rounds,
        effort.requests,
        effort.warm_up,
    );
    let row = |cells: &[String; 6]| format!("| {} |\n", cells.join(" | "));
    text.push_str(&row(&HEADINGS.map(|heading| heading.replace("us", "µs").replace("x ", "× "))));
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for line in lines {
        text.push_str(&row(&cells(line)));
    }
    text.push_str(TAIL);
    text
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
        "compiler": machine.compiler, "rounds": effort.rounds, "requests": effort.requests,
        "warmUp": effort.warm_up, "cases": lines.collect::<Vec<_>>(),
    })
}

const HEAD: &str = "# What a request costs

*Written by `make bench BENCH=--write`; do not edit.* CPU time for a request, in microseconds, as the median over the rounds with
the smallest and the largest. It is that of Envoy's process, and of the service where one is asked.
";

const TAIL: &str = "
- **over bare** is the cost less that of bare Envoy in the same round; **× bare** is the cost by that of bare Envoy; **× native** is
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
  Envoy's filters with the access log of `envoy.yaml`, which is buffered.
- *floor* is a plugin that decides nothing and makes the host calls that a gateway in a plugin cannot do without: those of an
  admission (clock, headers, one slot of shared data read and written, three headers changed, the mark, the guard behind it), those of a
  refusal (clock, headers, the answer; with an event also the client's address and the line), or one `verify_signature` of such a token. What is compared with `native` there cannot be less for any plugin that works so.
- *native* is `jwt_authn` (with and without `jwt_cache_config`), `rbac` on the scope and `local_ratelimit` with a bucket for each subject;
  *header_mutation* stands before them and takes off what only a gateway may set.
- *ext_authz* is Envoy's filter of that name with a service over HTTP/1.1 on the same core (`host-tests/peers/ext-authz`: `hyper` and `ring`, one
  thread, built as a release), which checks the same token, scope and limit, remembers 4096 tokens, and answers with the claims as headers. What it
  takes is in the cost, and told apart as *in a service*.
- *Lua* is Envoy's Lua filter with a script (`host-tests/peers/gateway.lua`) that does the same with the handle's `verifySignature`; it reads keys of
  RSA and algorithm RS256 only. Its buckets and its memory of tokens are each worker's own, so its limit is not one for the proxy; and where a script
  fails, the filter lets the request pass. With one worker, as here, it takes no lock and crosses no border, which is why it is quick.
- PS256, ES384 and EdDSA are checked so slowly that a quarter of the requests is sent. The host has no check for PS256 and EdDSA that a plugin could
  ask for, so the plugin does that arithmetic itself.
- A response of another status than the case is about ends the run.

Run it again with `make bench`, a short one with `make bench BENCH=--quick`. Figures move with the machine and with what
else runs on it; what can be compared is the rows of one table.
";

#[cfg(test)]
mod tests {
    use super::{Effort, page, table};
    use crate::bench::figures::{Line, Spread};
    use crate::bench::machine::Machine;

    #[test]
    fn a_line_is_told_in_the_table_and_on_the_page() {
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
        let machine =
            Machine { date: word(), hardware: word(), envoy: word(), plugins: word(), compiler: word() };
        let page = page(&[line], &machine, Effort::QUICK);
        assert!(page.contains("| it | 30.0 (29.0-31.0) |  | 5.0 (4.0-6.0) | 1.20 | 0.50 |"), "{page}");
    }
}
