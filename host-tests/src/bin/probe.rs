//! Asks what its argument says and prints what came of it; see `host_tests::probe`.

use std::process::ExitCode;

use host_tests::probe::Probe;

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let outcome = serde_json::from_str::<Probe>(&argument).map(|probe| probe.run());
    match outcome.and_then(|outcome| serde_json::to_string(&outcome)) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}
