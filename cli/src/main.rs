//! `portcullis`: is a policy right, what may stand in one, what does a gateway's log say, a key for a client, and a token to try it with.

mod apikey;
mod check;
mod document;
mod files;
mod format;
mod keys;
mod logs;
mod moment;
mod places;
mod reference;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line of Portcullis, the API gateway in one Envoy filter.
#[derive(Parser)]
#[command(name = "portcullis", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a policy is right, and if not, everything that is wrong with it.
    ///
    /// Where a secret stands as `{file: PATH}`, the file is read as the gateway would read a variable, and its content is checked too; a relative path
    /// counts from the policy's directory. The gateway itself takes `{env: NAME}` alone, so such a policy has errors, unless you say `--with-files`.
    ///
    /// Exit status: 0 the policy can be used (there may be warnings), 1 it has errors and the gateway would refuse it, 2 the file could
    /// not be read, or is neither YAML nor JSON.
    Check(check::Check),
    /// Print the reference of the policy format, as Markdown.
    Reference,
    /// Sum up the audit events of a log: decisions, reasons, callers, routes, addresses, and when.
    ///
    /// It reads audit events alone, one a line; Envoy's log, as it is, in Istio's format, in that for Google's logs, or as JSON with the message under
    /// `message`, `msg` or `log`; each of these behind what Kubernetes, CRI, Docker, Compose, journald or syslog puts before it; the access log as JSON, with
    /// the fields of `envoy.yaml`; and OTLP as JSON, as a collector's file exporter writes it. Other lines are counted and passed over.
    ///
    /// A request may have left an event and a line in the access log: the events are summed up, and the access log only if there are none, or with
    /// `--access-log`.
    ///
    /// Ctrl-C ends this program as it ends `tail -f`, before there is a report: have one again and again with `--every 5s`, or one at the end with
    /// `tail -f envoy.log | (trap '' INT; portcullis logs)`.
    ///
    /// Exit status: 0; 1 if there are lines and none of them is ours; 2 if the log could not be read, or the report not be written.
    Logs(logs::Logs),
    /// Make API keys for clients.
    #[command(subcommand, name = "apikey")]
    ApiKey(apikey::ApiKey),
    /// Make the gateway's signing keys, and show their public parts.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Make keys and tokens for development.
    #[command(subcommand)]
    Token(token::Token),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Reference => {
            print!("{}", reference::markdown());
            ExitCode::SUCCESS
        }
        Command::Logs(logs) => logs.run(),
        Command::ApiKey(key) => key.run(),
        Command::Keys(keys) => keys.run(),
        Command::Token(token) => token.run(),
    }
}
