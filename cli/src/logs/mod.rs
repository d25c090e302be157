//! What do the audit events of a log say, taken together? Who was refused, why, where and when.
//!
//! A log may be of any length and hold anything: what is kept of it is bounded ([`table`], [`timeline`], [`lines`], [`otlp`]), and what is
//! shown is printable ASCII.

mod access;
mod asked;
mod envoy;
mod event;
mod fields;
mod frame;
mod lines;
mod otlp;
mod read;
mod report;
mod sums;
mod table;
mod timeline;

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{self, ExitCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Args;

use self::asked::Asked;
use self::lines::Line;
use self::report::{Report, Source, Style};
use crate::format::Format;
use crate::moment;

/// Exit status where something was read and none of it is ours, and where something could not be read or written.
const NOTHING: u8 = 1;
const FAILED: u8 = 2;

/// `portcullis logs`
#[derive(Args)]
pub(crate) struct Logs {
    /// The log. `-` or nothing: the standard input.
    #[arg(default_value = "-")]
    file: String,
    #[command(flatten)]
    asked: Asked,
    /// Sum up the lines of the access log, also where there are audit events of requests. A request may have left both.
    #[arg(long)]
    access_log: bool,
    /// How many of the most frequent reasons, callers, routes and addresses to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    top: u16,
    /// Report again and again while the log goes on, so often (`5s`, `1m`) and if something came; for `tail -f … |`.
    #[arg(long, value_name = "SPAN", value_parser = every)]
    every: Option<Duration>,
    /// How to print: for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Logs {
    pub(crate) fn run(&self) -> ExitCode {
        let report = Arc::new(Mutex::new(Report::default()));
        if let Some(every) = self.every {
            let (report, printer) = (Arc::clone(&report), self.printer());
            thread::spawn(move || printer.again_and_again(every, &report));
        }
        if let Err(error) = self.sum_up(&report) {
            eprintln!("{}: {error}", self.file);
            return ExitCode::from(FAILED);
        }
        // Held to the end, so that nothing is printed beside it.
        let report = lock(&report);
        if let Err(error) = self.printer().print(&report) {
            return ExitCode::from(not_written(&error));
        }
        if let Some(count) = report.holds_nothing_of_ours() {
            eprintln!("none of these {count} lines holds an audit event. What is read:");
            for form in read::FORMS {
                eprintln!("- {form}");
            }
            return ExitCode::from(NOTHING);
        }
        if report.unread() > 0 {
            eprintln!(
                "{} lines name the schema of audit events and stand in none of the forms that are read",
                report.unread()
            );
        }
        ExitCode::SUCCESS
    }

    fn sum_up(&self, report: &Mutex<Report>) -> io::Result<()> {
        let input: Box<dyn Read> =
            if self.file == "-" { Box::new(io::stdin()) } else { Box::new(File::open(&self.file)?) };
        lines::each(&mut BufReader::with_capacity(1 << 16, input), |line| {
            let mut report = lock(report);
            let before = report.ours();
            let mut take = |event| match event {
                Some(event) => report.add(event, &self.asked),
                None => report.pass_over(),
            };
            match line {
                Line::Whole(line) => {
                    read::line(line, &mut take);
                    if report.ours() == before && event::is_named_in(line) {
                        report.could_not_read();
                    }
                }
                Line::Long(begin, all) => {
                    if !otlp::is_one(begin) || !otlp::each(all, &mut take) {
                        take(None);
                    }
                }
            }
        })
    }

    fn printer(&self) -> Printer {
        let source = if self.access_log { Source::AccessLog } else { Source::Any };
        Printer { source, top: self.top.into(), format: self.format }
    }
}

/// How a report is printed.
struct Printer {
    source: Source,
    top: usize,
    format: Format,
}

impl Printer {
    fn print(&self, report: &Report) -> io::Result<()> {
        let text = match self.format {
            Format::Text => report.text(self.source, self.top, Style::of(io::stdout().is_terminal())),
            Format::Json => format!("{}\n", report.json(self.source, self.top)),
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn again_and_again(&self, every: Duration, report: &Mutex<Report>) {
        let mut told = 0;
        loop {
            thread::sleep(every);
            let report = lock(report);
            if report.lines() == told {
                continue;
            }
            told = report.lines();
            let separated = || match self.format {
                Format::Text => self.print(&report).and_then(|()| io::stdout().lock().write_all(b"\n")),
                Format::Json => self.print(&report),
            };
            if let Err(error) = separated() {
                process::exit(not_written(&error).into());
            }
        }
    }
}

/// The exit status. Whoever reads may have seen enough (`| head`); a disk that is full is told.
fn not_written(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return 0;
    }
    eprintln!("the report cannot be written: {error}");
    FAILED
}

fn lock(report: &Mutex<Report>) -> MutexGuard<'_, Report> {
    report.lock().unwrap_or_else(PoisonError::into_inner)
}

fn every(text: &str) -> Result<Duration, String> {
    let nanos = moment::span(text).filter(|nanos| *nanos > 0);
    nanos.map(Duration::from_nanos).ok_or_else(|| "not `5s`, `1m`, `1h`".to_owned())
}
