//! Is this policy right? Every problem at once, with its place and what to write instead.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use portcullis_filter::policy::Policy;
use portcullis_filter::problem::{Problem, Severity};
use serde_json::json;

use crate::document;
use crate::files::Files;
use crate::format::Format;
use crate::places::Places;

/// `portcullis check`
#[derive(Args)]
pub(crate) struct Check {
    /// The policy, YAML or JSON; `-` for the standard input.
    file: String,
    /// Take a policy for good whose secrets stand in files: whoever hands it to the gateway puts variables in their place.
    #[arg(long)]
    with_files: bool,
    /// How to print: for people, or one JSON object for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A policy without an error.
struct Good<'p> {
    policy: &'p Policy,
    /// Of the document as the gateway gets it; not of one that the gateway would refuse for its files.
    digest: Option<&'p str>,
}

impl Check {
    pub(crate) fn run(&self) -> ExitCode {
        let read = document::bytes(&self.file).and_then(|bytes| Ok((document::parse(&bytes)?, bytes)));
        let (mut document, bytes) = match read {
            Ok(read) => read,
            Err(error) => return self.unread(&error),
        };
        let directory = Path::new(&self.file).parent().unwrap_or(Path::new(""));
        let files = Files::take(&mut document, directory);
        let (mut policy, mut problems) = match Policy::compile(&document) {
            Ok((policy, warnings)) => (Some(policy), warnings),
            Err(problems) => (None, problems),
        };
        let in_files = if self.with_files { Severity::Warning } else { Severity::Error };
        problems.extend(files.problems(policy.as_mut(), in_files));
        let places = if problems.is_empty() { Places::of(b"") } else { Places::of(&bytes) };
        let is_good = problems.iter().all(|problem| problem.severity != Severity::Error);
        let good = policy
            .as_ref()
            .filter(|_| is_good)
            .map(|policy| Good { policy, digest: files.is_empty().then_some(&*policy.digest) });
        match self.format {
            Format::Text => self.text(good.as_ref(), &problems, &places),
            Format::Json => self.json(good.as_ref(), &problems, &places),
        }
        if good.is_some() { ExitCode::SUCCESS } else { ExitCode::from(1) }
    }

    fn unread(&self, error: &str) -> ExitCode {
        match self.format {
            Format::Text => eprintln!("{}: {error}", self.file),
            Format::Json => println!("{}", json!({"file": self.file, "ok": false, "unreadable": error})),
        }
        ExitCode::from(2)
    }

    fn text(&self, good: Option<&Good<'_>>, problems: &[Problem], places: &Places) {
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
        match good {
            Some(Good { policy, digest }) => {
                println!("{}: good{}", self.file, with(warnings));
                println!("  name    {}", policy.name);
                if let Some(digest) = digest {
                    println!("  digest  {digest}");
                }
                println!("  routes  {}", policy.routes.len());
            }
            None => println!("{}: refused: {}{}", self.file, counted(errors, "error"), with(warnings)),
        }
    }

    fn json(&self, good: Option<&Good<'_>>, problems: &[Problem], places: &Places) {
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
        let policy = good.map(|Good { policy, digest }| {
            json!({"name": &*policy.name, "digest": digest, "routes": policy.routes.len()})
        });
        println!(
            "{}",
            json!({
                "file": self.file,
                "ok": good.is_some(),
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
