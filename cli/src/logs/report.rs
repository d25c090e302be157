//! How are the sums shown? As plain text, in colour on a terminal, or as JSON.

use std::fmt::Write as _;

use portcullis_filter::time::{SECOND, Timestamp};
use serde_json::{Value, json};

use super::event::{Decision, Event, Request, What};
use super::table::Table;
use super::timeline::{Counts, Timeline};

/// Characters of the longest bar.
const BAR: u64 = 40;
/// Of a bar, as in [`Decision::ALL`].
const SIGNS: [char; 4] = ['#', '+', '=', '-'];

/// Everything that is kept of a log.
#[derive(Debug, Default)]
pub(super) struct Report {
    events: u64,
    skipped: u64,
    others: u64,
    span: Option<(Timestamp, Timestamp)>,
    /// As in [`Decision::ALL`].
    decisions: Counts,
    reasons: Table,
    callers: Table,
    routes: Table,
    addresses: Table,
    happenings: Table,
    timeline: Timeline,
}

/// Whether to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Colour is for terminals whose user has not asked for none (<https://no-color.org>).
    pub(super) fn of(terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if terminal && !unwanted && !dumb { Self::Coloured } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }

    fn decision(self, decision: Decision, text: &str) -> String {
        let code = match decision {
            Decision::Refused => "31",
            Decision::Shadow => "33",
            Decision::Answered => "36",
            Decision::Allowed => "32",
        };
        self.paint(code, text)
    }
}

impl Report {
    /// Counts an event.
    pub(super) fn add(&mut self, event: &Event) {
        self.events += 1;
        let (first, last) = self.span.unwrap_or((event.time, event.time));
        self.span = Some((first.min(event.time), last.max(event.time)));
        match &event.what {
            What::Other(action) => self.happenings.count(action),
            What::Request(request) => self.add_request(event.time, request),
        }
    }

    fn add_request(&mut self, time: Timestamp, request: &Request) {
        let place = Decision::ALL.iter().position(|decision| *decision == request.decision).unwrap_or(0);
        if let Some(count) = self.decisions.get_mut(place) {
            *count += 1;
        }
        self.timeline.count(time.nanos(), place);
        if let Some(reason) = &request.reason {
            self.reasons.count(reason);
        }
        self.callers.count(request.caller.as_deref().unwrap_or("(nobody known)"));
        self.routes.count(request.route.as_deref().unwrap_or("(none)"));
        self.addresses.count(request.address.as_deref().unwrap_or("(none)"));
    }

    /// An event that nobody asked for.
    pub(super) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// A line that is no event.
    pub(super) fn pass_over(&mut self) {
        self.others += 1;
    }

    fn tables(&self) -> [(&'static str, &Table); 5] {
        [
            ("reasons", &self.reasons),
            ("callers", &self.callers),
            ("routes", &self.routes),
            ("addresses", &self.addresses),
            ("other events", &self.happenings),
        ]
    }

    /// For people.
    pub(super) fn text(self, top: usize, style: Style) -> String {
        let mut out = String::new();
        let span = self.span.map_or(String::new(), |(first, last)| format!(", {first} to {last}"));
        let skipped =
            if self.skipped > 0 { format!(", {} not asked for", self.skipped) } else { String::new() };
        let _ = writeln!(out, "{} audit events{span}{skipped}; {} other lines", self.events, self.others);
        let all: u64 = self.decisions.iter().sum();
        if all > 0 {
            heading("decisions", style, &mut out);
            for (decision, count) in
                Decision::ALL.into_iter().zip(self.decisions).filter(|(_, count)| *count > 0)
            {
                let percent = count.saturating_mul(100) / all;
                let word = style.decision(decision, decision.word());
                let _ = writeln!(out, "{count:>10}  {word}  {percent} %");
            }
        }
        for (name, table) in self.tables() {
            show(name, table, top, style, &mut out);
        }
        if all > 0 {
            bars(self.timeline, style, &mut out);
        }
        out
    }

    /// For programs. A count may be too low by `missed`.
    pub(super) fn json(self, top: usize) -> Value {
        let table = |table: &Table| {
            let top: Vec<Value> =
                table.top(top).iter().map(|(name, count)| json!({"name": name, "count": count})).collect();
            json!({"top": top, "missed": table.missed()})
        };
        let mut report = json!({
            "events": self.events, "skipped": self.skipped, "otherLines": self.others,
            "from": self.span.map(|(first, _)| first.to_string()), "to": self.span.map(|(_, last)| last.to_string()),
            "reasons": table(&self.reasons), "callers": table(&self.callers), "routes": table(&self.routes),
            "addresses": table(&self.addresses), "otherEvents": table(&self.happenings),
        });
        let by_decision = |counts: Counts| {
            let named = Decision::ALL
                .iter()
                .zip(counts)
                .map(|(decision, count)| (decision.word().to_owned(), count.into()));
            Value::Object(named.collect())
        };
        report["decisions"] = by_decision(self.decisions);
        let (length, steps) = self.timeline.shown();
        let steps: Vec<Value> = steps
            .into_iter()
            .map(|(begin, counts)| json!({"from": at(begin).to_string(), "decisions": by_decision(counts)}))
            .collect();
        report["timeline"] = json!({"stepSeconds": length, "steps": steps});
        report
    }
}

fn heading(text: &str, style: Style, out: &mut String) {
    let _ = writeln!(out, "\n{}", style.paint("1", text));
}

fn show(name: &str, table: &Table, top: usize, style: Style, out: &mut String) {
    if table.len() == 0 {
        return;
    }
    heading(name, style, out);
    for (name, count) in table.top(top) {
        let _ = writeln!(out, "{count:>10}  {}", shown(name));
    }
    let more = table.len().saturating_sub(top);
    if table.missed() > 0 {
        let _ = writeln!(
            out,
            "            … and more than can be counted: a number may be too low by up to {}",
            table.missed()
        );
    } else if more > 0 {
        let _ = writeln!(out, "            … and {more} more");
    }
}

fn bars(timeline: Timeline, style: Style, out: &mut String) {
    let (length, steps) = timeline.shown();
    heading(&format!("timeline, {} a line", spoken(length)), style, out);
    let most = steps.iter().map(|(_, counts)| counts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    for (begin, counts) in steps {
        let mut bar = String::new();
        for ((decision, sign), count) in Decision::ALL.into_iter().zip(SIGNS).zip(counts) {
            // What is there at all is seen.
            let width = count.saturating_mul(BAR).div_ceil(most);
            if width > 0 {
                bar.push_str(
                    &style.decision(decision, &sign.to_string().repeat(usize::try_from(width).unwrap_or(0))),
                );
            }
        }
        let all: u64 = counts.iter().sum();
        let _ = writeln!(out, "  {}  {all:>8}  {bar}", at(begin));
    }
    let signs: Vec<String> = Decision::ALL
        .iter()
        .zip(SIGNS)
        .map(|(decision, sign)| format!("{sign} {}", decision.word()))
        .collect();
    let _ = writeln!(out, "  {}", signs.join("   "));
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds.saturating_mul(SECOND))
}

fn spoken(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Nothing that a log holds can move a cursor or change what was printed before it.
fn shown(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Report, Style, shown};
    use crate::logs::event::{Decision, Event, Request, What};
    use portcullis_filter::time::Timestamp;

    #[test]
    fn names_cannot_move_a_cursor() {
        for (name, expected) in [
            ("ada", "ada"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\r", "a\\u{a}b\\u{d}"),
            ("\u{202e}evil\u{9b}1m", "\\u{202e}evil\\u{9b}1m"),
        ] {
            assert_eq!(shown(name), expected);
        }
    }

    #[test]
    fn colour_is_asked_for_and_nothing_else_has_escapes() {
        let report = || {
            let mut report = Report::default();
            let request = Request {
                decision: Decision::Refused,
                reason: Some("token_expired".to_owned()),
                route: None,
                caller: Some("\u{1b}[31mred".to_owned()),
                address: None,
            };
            report.add(&Event { time: Timestamp::from_seconds(10), what: What::Request(request) });
            report
        };
        let plain = report().text(10, Style::Plain);
        assert!(plain.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b) || b >= 0x80), "{plain:?}");
        assert!(!plain.contains('\u{1b}'));
        let coloured = report().text(10, Style::Coloured);
        assert!(coloured.contains("\u{1b}[31mrefused\u{1b}[0m") && !coloured.contains("\u{1b}[31mred\n"));
    }
}
