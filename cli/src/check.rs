//! Is this policy right? Every problem at once, with its place and what to write instead.

use std::process::ExitCode;

use clap::Args;
use portcullis_filter::policy::Policy;
use portcullis_filter::problem::{Problem, Severity};
use serde_json::json;

use crate::document;
use crate::format::Format;
use crate::places::Places;

/// `portcullis check`
#[derive(Args)]
pub(crate) struct Check {
    /// The policy, YAML or JSON; `-` for the standard input.
    file: String,
    /// How to print: for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Check {
    pub(crate) fn run(&self) -> ExitCode {
        let read = document::bytes(&self.file).and_then(|bytes| Ok((document::parse(&bytes)?, bytes)));
        let (document, bytes) = match read {
            Ok(read) => read,
            Err(error) => return self.unread(&error),
        };
        let outcome = Policy::compile(&document);
        let problems = outcome.as_ref().map_or_else(|problems| problems, |(_, warnings)| warnings);
        let places = if problems.is_empty() { Places::of(b"") } else { Places::of(&bytes) };
        let policy = outcome.as_ref().ok().map(|(policy, _)| policy);
        match self.format {
            Format::Text => self.text(policy, problems, &places),
            Format::Json => self.json(policy, problems, &places),
        }
        if policy.is_some() { ExitCode::SUCCESS } else { ExitCode::from(1) }
    }

    fn unread(&self, error: &str) -> ExitCode {
        match self.format {
            Format::Text => eprintln!("{}: {error}", self.file),
            Format::Json => println!("{}", json!({"file": self.file, "ok": false, "unreadable": error})),
        }
        ExitCode::from(2)
    }

    fn text(&self, policy: Option<&Policy>, problems: &[Problem], places: &Places) {
        for problem in problems {
            let at = places
                .find(&problem.place)
                .map_or_else(String::new, |(line, column)| format!("{line}:{column}:"));
            let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
            println!("{}:{at} {}: {place}{}", self.file, word(problem.severity), problem.message);
            if !problem.help.is_empty() {
                println!("    help: {}", problem.help);
            }
        }
        let (errors, warnings) = count(problems);
        match policy {
            Some(policy) => {
                println!("{}: good{}", self.file, with(warnings));
                println!("  name    {}", policy.name);
                println!("  digest  {}", policy.digest);
                println!("  routes  {}", policy.routes.len());
            }
            None => println!("{}: refused: {}{}", self.file, counted(errors, "error"), with(warnings)),
        }
    }

    fn json(&self, policy: Option<&Policy>, problems: &[Problem], places: &Places) {
        let problem = |problem: &Problem| {
            let at = places.find(&problem.place);
            json!({
                "severity": word(problem.severity),
                "place": problem.place,
                "message": problem.message,
                "help": problem.help,
                "line": at.map(|(line, _)| line),
                "column": at.map(|(_, column)| column),
            })
        };
        let policy = policy.map(
            |policy| json!({"name": &*policy.name, "digest": &*policy.digest, "routes": policy.routes.len()}),
        );
        println!(
            "{}",
            json!({
                "file": self.file,
                "ok": policy.is_some(),
                "policy": policy,
                "problems": problems.iter().map(problem).collect::<Vec<_>>(),
            })
        );
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn count(problems: &[Problem]) -> (usize, usize) {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    (errors, problems.len() - errors)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn with(warnings: usize) -> String {
    if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) }
}
