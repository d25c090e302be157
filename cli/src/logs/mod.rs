//! What do the audit events of a log say, taken together? Who was refused, why, where and when.
//!
//! A log may be of any length and hold anything: what is kept of it is bounded ([`table`], [`timeline`], [`lines`]), and what is shown is
//! printable ASCII.

mod event;
mod lines;
mod report;
mod table;
mod timeline;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write as _};
use std::process::ExitCode;

use clap::Args;
use portcullis_filter::time::Timestamp;

use self::event::Decision;
use self::report::{Report, Style};
use crate::format::Format;
use crate::moment;

/// `portcullis logs`
#[derive(Args)]
pub(crate) struct Logs {
    /// The log: audit events alone, or Envoy's log with them in it. `-` or nothing: the standard input.
    #[arg(default_value = "-")]
    file: String,
    /// Only what happened since: so long ago (`30m`, `12h`, `2d`), or a point in time (`2027-01-31T00:00:00Z`).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only requests that ended so; may be given more than once.
    #[arg(long = "decision", value_enum, value_name = "DECISION")]
    decisions: Vec<Decision>,
    /// How many of the most frequent reasons, callers, routes and addresses to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,
    /// How to print: for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Logs {
    pub(crate) fn run(&self) -> ExitCode {
        match self.sum_up() {
            Ok(text) => {
                // Whoever reads may have seen enough (`| head`).
                let _ = io::stdout().lock().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        }
    }

    fn sum_up(&self) -> Result<String, String> {
        let since = self.since.as_deref().map(since).transpose()?;
        let told = |error: io::Error| format!("{}: {error}", self.file);
        let input: Box<dyn Read> = if self.file == "-" {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(&self.file).map_err(told)?)
        };
        let mut report = Report::default();
        lines::each(&mut BufReader::with_capacity(1 << 16, input), |line| match line.and_then(event::read) {
            Some(event) if since.is_some_and(|since| event.time < since) => report.skip(),
            Some(event) if !event.is_one_of(&self.decisions) => report.skip(),
            Some(event) => report.add(&event),
            None => report.pass_over(),
        })
        .map_err(told)?;
        let top = usize::from(self.top);
        Ok(match self.format {
            Format::Text => report.text(top, Style::of(io::stdout().is_terminal())),
            Format::Json => format!("{}\n", report.json(top)),
        })
    }
}

/// So long ago, or a point in time.
fn since(text: &str) -> Result<Timestamp, String> {
    let ago = |span| Timestamp::from_nanos(moment::now().nanos().saturating_sub(span));
    let since = moment::span(text).map(ago).or_else(|| Timestamp::parse(text));
    since.ok_or_else(|| "--since: not `30m`, `12h`, `2d`, or a point in time".to_owned())
}
