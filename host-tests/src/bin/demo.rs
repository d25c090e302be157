//! `make run`: a gateway on this machine, three requests to try on it, and its audit events as they come.

use std::io::{Read, Seek, SeekFrom, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_tests::demo::{Demo, Ports};

const USAGE: &str =
    "usage: demo [--once]\n  --once  on free ports: make the three requests, say what came of them, and end";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => serve(),
        ["--once"] => once(),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn once() -> Result<(), String> {
    let demo = Demo::start(Ports::Free)?;
    for line in demo.try_all()? {
        println!("{line}");
    }
    Ok(())
}

fn serve() -> Result<(), String> {
    let ended = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&ended);
    ctrlc::set_handler(move || end.store(true, Ordering::SeqCst)).map_err(|error| error.to_string())?;
    let mut demo = Demo::start(Ports::Documented)?;
    println!("{}", demo.greeting()?);
    follow(&mut demo, &ended).map_err(|error| error.to_string())?;
    if ended.load(Ordering::SeqCst) {
        return Ok(());
    }
    Err(format!("Envoy has ended by itself:\n{}", demo.envoy().log()))
}

/// Prints audit events until we are told to end, or Envoy does.
fn follow(demo: &mut Demo, ended: &AtomicBool) -> std::io::Result<()> {
    let mut log = std::fs::File::open(demo.envoy().log_path())?;
    log.seek(SeekFrom::End(0))?;
    let mut rest = Vec::new();
    while !ended.load(Ordering::SeqCst) && demo.envoy().is_running() {
        log.read_to_end(&mut rest)?;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            print_event(&String::from_utf8_lossy(&line))?;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Behind the log's prefix an event is an object that begins with its schema.
fn print_event(line: &str) -> std::io::Result<()> {
    match line.find(r#"{"schema":"portcullis.audit/"#) {
        Some(start) => std::io::stdout().write_all(&line.as_bytes()[start..]),
        None => Ok(()),
    }
}
