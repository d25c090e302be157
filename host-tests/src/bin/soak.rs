//! `make soak`: a gateway under mixed load for a long time, and whether it stays as it was.

use std::process::ExitCode;
use std::time::Duration;

use host_tests::soak;

fn main() -> ExitCode {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok());
    let Some(seconds) = seconds else {
        eprintln!("usage: soak SECONDS");
        return ExitCode::FAILURE;
    };
    match soak::run(Duration::from_secs(seconds), &mut |line| eprintln!("{line}")) {
        Ok(report) => {
            let total: u64 = report.statuses.values().sum();
            println!("soak: {total} requests in {seconds} s, {:?}", report.statuses);
            println!(
                "soak: Envoy had {} KiB when it was warm and {} in the end",
                report.resident.0, report.resident.1
            );
            report.faults.iter().for_each(|fault| println!("soak: {fault}"));
            println!("soak: {}", if report.faults.is_empty() { "passed" } else { "FAILED" });
            if report.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
