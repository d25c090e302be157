//! On what was it measured?

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use portcullis_filter::time::Timestamp;

use crate::artifacts;

/// What figures depend on, in words.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The day.
    pub date: String,
    /// Processor, cores and kernel.
    pub hardware: String,
    /// Envoy's version.
    pub envoy: String,
    /// The plugins' sizes.
    pub plugins: String,
    /// The compiler.
    pub compiler: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Result<Self, String> {
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let model = model.map_or("a processor without a name", |(_, model)| model.trim());
        let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
        let kernel = read("/proc/sys/kernel/osrelease");
        let (ours, noop) = (size(&artifacts::plugin()?)?, size(&artifacts::noop()?)?);
        Ok(Self {
            date: today()?,
            hardware: format!("{model}, {cores} cores, Linux {}", kernel.trim()),
            envoy: first_line(Command::new(artifacts::envoy()?).arg("--version"))?,
            plugins: format!("portcullis.wasm {ours} bytes, noop.wasm {noop} bytes"),
            compiler: first_line(
                Command::new("rustc").arg("--version").current_dir(artifacts::repository()),
            )?,
        })
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn size(file: &Path) -> Result<u64, String> {
    fs::metadata(file).map(|metadata| metadata.len()).map_err(|error| format!("{}: {error}", file.display()))
}

fn today() -> Result<String, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let nanos = u64::try_from(now.as_nanos()).map_err(|error| error.to_string())?;
    Ok(Timestamp::from_nanos(nanos).to_string().chars().take("2026-01-01".len()).collect())
}

fn first_line(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Envoy: `/path/envoy  version: <commit>/1.40.0/…`
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let version = line.split_once("version:").map_or(line, |(_, version)| version);
    Ok(version.trim().to_owned())
}
