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
    /// Lines that are no audit events are counted and passed over. Exit status: 0, or 2 if the log could not be read.
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
