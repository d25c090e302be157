//! How are the sums shown? As plain text, in colour on a terminal, or as JSON.

use std::fmt::Write as _;

use portcullis_filter::time::{SECOND, Timestamp};
use serde_json::{Value, json};

use super::asked::Asked;
use super::event::{Decision, Event, What};
use super::sums::Sums;
use super::table::Table;
use super::timeline::{Counts, Timeline};

/// Characters of the longest bar.
const BAR: u64 = 40;
/// Of a bar, as in [`Decision::ALL`].
const SIGNS: [char; 4] = ['#', '+', '=', '-'];

/// Where there is no route.
pub(super) const NO_ROUTE: &str = "(none)";
/// The exposure that is worth a second look.
const ADMIN: &str = "Admin";

/// Everything that is kept of a log.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Requests of which there are events.
    requests: Sums,
    /// Requests in lines of the proxy's access log. Those that have an event are in both, so only one of the two is shown.
    entries: Sums,
    /// Events that are not of requests.
    penalties: Table,
    happenings: Table,
    besides: u64,
    skipped: u64,
    span: Option<Span>,
    others: u64,
    unread: u64,
}

/// The first and the last moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(Timestamp, Timestamp);

impl Span {
    pub(super) fn add(span: &mut Option<Self>, time: Timestamp) {
        let Self(first, last) = span.unwrap_or(Self(time, time));
        *span = Some(Self(first.min(time), last.max(time)));
    }
}

/// Which requests are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Those of events, and if there are none, those of the access log.
    Any,
    AccessLog,
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
    /// Counts an event, and what nobody asked for as a number.
    pub(super) fn add(&mut self, event: Event, asked: &Asked) {
        let wanted = asked.is_for(&event);
        let Event { time, what } = event;
        match what {
            What::Request(request) if wanted => self.requests.add(time, &request),
            What::Entry(request) if wanted => self.entries.add(time, &request),
            What::Request(_) => self.requests.skipped += 1,
            What::Entry(_) => self.entries.skipped += 1,
            What::Penalty(penalty) if wanted => self.beside(time, |report| {
                let (rule, address) = (penalty.rule.as_deref(), penalty.address.as_deref());
                let name = format!("{} from {}", rule.unwrap_or("(no rule)"), address.unwrap_or("(none)"));
                report.penalties.count(&name);
            }),
            What::Other(action) if wanted => self.beside(time, |report| report.happenings.count(&action)),
            What::Penalty(_) | What::Other(_) => self.skipped += 1,
        }
    }

    fn beside(&mut self, time: Timestamp, count: impl FnOnce(&mut Self)) {
        self.besides += 1;
        Span::add(&mut self.span, time);
        count(self);
    }

    /// A line or a record that is no event.
    pub(super) fn pass_over(&mut self) {
        self.others += 1;
    }

    /// A line names the schema of events, and none was found in it.
    pub(super) fn could_not_read(&mut self) {
        self.unread += 1;
    }

    /// Lines that name the schema of events and could not be read as one.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// How much there was of ours so far, asked for or not.
    pub(super) fn ours(&self) -> u64 {
        self.requests.read() + self.entries.read() + self.besides + self.skipped
    }

    /// How much has been taken so far.
    pub(super) fn lines(&self) -> u64 {
        self.ours() + self.others
    }

    /// The number of lines, if there is something in the log and nothing of it is ours.
    pub(super) fn holds_nothing_of_ours(&self) -> Option<u64> {
        (self.others > 0 && self.ours() == 0).then_some(self.others)
    }

    /// The requests to show, those that are left out for them, and whether the former are of the access log.
    fn chosen(&self, source: Source) -> (&Sums, &Sums, bool) {
        let of_access_log =
            source == Source::AccessLog || (self.requests.read() == 0 && self.entries.read() > 0);
        if of_access_log {
            (&self.entries, &self.requests, true)
        } else {
            (&self.requests, &self.entries, false)
        }
    }

    fn span(&self, sums: &Sums) -> Option<Span> {
        let mut span = self.span;
        if let Some(Span(first, last)) = sums.span {
            Span::add(&mut span, first);
            Span::add(&mut span, last);
        }
        span
    }

    fn tables<'r>(&'r self, sums: &'r Sums) -> [(&'static str, &'r Table); 6] {
        [
            ("reasons", &sums.reasons),
            ("callers", &sums.callers),
            ("routes", &sums.routes),
            ("addresses", &sums.addresses),
            ("penalties", &self.penalties),
            ("other events", &self.happenings),
        ]
    }

    /// What was read, in a line.
    fn head(&self, source: Source) -> String {
        let (sums, left_out, of_access_log) = self.chosen(source);
        let mut head = if of_access_log {
            format!("{} requests of an access log", sums.count)
        } else {
            format!("{} audit events", sums.count + self.besides)
        };
        if of_access_log && self.besides > 0 {
            let _ = write!(head, " and {} audit events", self.besides);
        }
        if let Some(Span(first, last)) = self.span(sums) {
            let _ = write!(head, ", {first} to {last}");
        }
        let skipped = sums.skipped + self.skipped;
        if skipped > 0 {
            let _ = write!(head, ", {skipped} not asked for");
        }
        if left_out.read() > 0 {
            let what = if of_access_log { "events of requests" } else { "lines of an access log" };
            let _ = write!(head, "; {} {what} left out", left_out.read());
        }
        let _ = write!(head, "; {} other lines", self.others);
        head
    }

    /// For people.
    pub(super) fn text(&self, source: Source, top: usize, style: Style) -> String {
        let (sums, ..) = self.chosen(source);
        let mut out = self.head(source);
        out.push('\n');
        let all: u64 = sums.decisions.iter().sum();
        if all > 0 {
            heading("decisions", style, &mut out);
            for (decision, count) in
                Decision::ALL.into_iter().zip(sums.decisions).filter(|(_, count)| *count > 0)
            {
                let percent = count.saturating_mul(100).checked_div(all).unwrap_or_default();
                let word = style.decision(decision, decision.word());
                let _ = writeln!(out, "{count:>10}  {word}  {percent} %");
            }
        }
        for (name, table) in self.tables(sums) {
            let exposure = |route: &str| sums.exposure(route).filter(|_| name == "routes");
            show(name, table, &exposure, top, style, &mut out);
        }
        if all > 0 {
            bars(sums.timeline.clone(), style, &mut out);
        }
        out
    }

    /// For programs. A count may be too low by `missed`.
    pub(super) fn json(&self, source: Source, top: usize) -> Value {
        let (sums, left_out, of_access_log) = self.chosen(source);
        let table = |table: &Table| {
            let top: Vec<Value> =
                table.top(top).iter().map(|(name, count)| json!({"name": name, "count": count})).collect();
            json!({"top": top, "missed": table.missed()})
        };
        let span = self.span(sums);
        let mut report = json!({
            "source": if of_access_log { "accessLog" } else { "events" },
            "events": sums.count + self.besides, "skipped": sums.skipped + self.skipped, "leftOut": left_out.read(),
            "otherLines": self.others, "unreadLines": self.unread,
            "from": span.map(|Span(first, _)| first.to_string()), "to": span.map(|Span(_, last)| last.to_string()),
            "reasons": table(&sums.reasons), "callers": table(&sums.callers), "routes": table(&sums.routes),
            "addresses": table(&sums.addresses), "penalties": table(&self.penalties),
            "otherEvents": table(&self.happenings),
        });
        for route in report["routes"]["top"].as_array_mut().into_iter().flatten() {
            let exposure = route["name"].as_str().and_then(|name| sums.exposure(name));
            if let Some(exposure) = exposure {
                route["exposure"] = exposure.into();
            }
        }
        let by_decision = |counts: Counts| {
            let named = Decision::ALL
                .iter()
                .zip(counts)
                .map(|(decision, count)| (decision.word().to_owned(), count.into()));
            Value::Object(named.collect())
        };
        report["decisions"] = by_decision(sums.decisions);
        let (length, steps) = sums.timeline.clone().shown();
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

fn show<'e>(
    name: &str,
    table: &Table,
    exposure: &dyn Fn(&str) -> Option<&'e str>,
    top: usize,
    style: Style,
    out: &mut String,
) {
    if table.len() == 0 {
        return;
    }
    heading(name, style, out);
    for (name, count) in table.top(top) {
        let exposure = match exposure(name) {
            None => String::new(),
            Some(ADMIN) => format!("  [{}]", style.paint("1;33", ADMIN)),
            Some(other) => format!("  [{}]", shown(other)),
        };
        let _ = writeln!(out, "{count:>10}  {}{exposure}", shown(name));
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
    use super::{Report, Source, Style, shown};
    use crate::logs::asked::Asked;
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
                exposure: None,
                caller: Some("\u{1b}[31mred".to_owned()),
                address: None,
            };
            let event = Event { time: Timestamp::from_seconds(10), what: What::Request(request) };
            report.add(event, &Asked::default());
            report
        };
        let plain = report().text(Source::Any, 10, Style::Plain);
        assert!(plain.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b) || b >= 0x80), "{plain:?}");
        assert!(!plain.contains('\u{1b}'));
        let coloured = report().text(Source::Any, 10, Style::Coloured);
        assert!(coloured.contains("\u{1b}[31mrefused\u{1b}[0m") && !coloured.contains("\u{1b}[31mred\n"));
    }
}
