//! What does a real Prometheus make of a gateway's metrics? And what does the text say that it reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{artifacts, client};

/// What does not come in this time does not come.
const SOON: Duration = Duration::from_secs(30);

/// One line of `/stats/prometheus`: `name{label="value"} 1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With `_bucket`, `_sum` or `_count`, if it is of a histogram.
    pub name: String,
    /// In the order of their names.
    pub labels: BTreeMap<String, String>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// Whether it has these labels, and perhaps others.
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(label, value)| self.labels.get(*label).is_some_and(|own| own == value))
    }
}

/// Reads the text format, as far as Envoy writes it. What is no sample is told.
pub fn samples(text: &str) -> Result<Vec<Sample>, String> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| sample(line).ok_or_else(|| format!("no sample: {line}"))).collect()
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{')?;
    let mut rest = labels.strip_suffix('}')?;
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (label, behind) = rest.split_once("=\"")?;
        let (value, behind) = behind.split_once('"')?;
        labels.insert(label.to_owned(), value.to_owned());
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

/// The sum of all samples of a name that have these labels.
pub fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    samples.iter().filter(|sample| sample.name == name && sample.has(labels)).map(|sample| sample.value).sum()
}

/// A running Prometheus. It is killed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    directory: TempDir,
    address: SocketAddr,
}

impl Prometheus {
    /// Starts one on `config`, beside which lie `files` (name, text), and waits until it is ready.
    pub fn start(config: &str, files: &[(&str, &str)]) -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let directory = TempDir::new().map_err(told)?;
        let path = |name: &str| directory.path().join(name);
        for (name, text) in files.iter().chain([&("prometheus.yaml", config)]) {
            fs::write(path(name), text).map_err(told)?;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(told)?;
        let log = fs::File::create(path("log")).map_err(told)?;
        let child = Command::new(artifacts::prometheus()?.join("prometheus"))
            .arg(format!("--config.file={}", path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(told)?)
            .stderr(log)
            .spawn()
            .map_err(told)?;
        let mut prometheus = Self { child, directory, address };
        let began = Instant::now();
        while client::get_text(prometheus.address, "/-/ready").is_err() {
            if began.elapsed() > SOON || !matches!(prometheus.child.try_wait(), Ok(None)) {
                return Err(format!("Prometheus is not ready: {}", prometheus.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(prometheus)
    }

    /// What it answers to an instant query: the result, or why there is none.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut target = "/api/v1/query?query=".to_owned();
        for b in expression.bytes() {
            // A string takes it.
            let _ = write!(target, "%{b:02x}");
        }
        let text =
            client::get_text(self.address, &target).map_err(|error| format!("{expression}: {error}"))?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        answer["data"]["result"].as_array().cloned().ok_or_else(|| format!("{expression}: {text}"))
    }

    /// The names of the alerts that fire.
    pub fn firing(&self) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self
            .query(r#"ALERTS{alertstate="firing"}"#)?
            .iter()
            .filter_map(|alert| Some(alert["metric"]["alertname"].as_str()?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::{samples, sum};

    #[test]
    fn samples_read() {
        let text = "# TYPE a_total counter\na_total{} 0\na_total{x=\"1\",y=\"b.c\"} 2\na_total{x=\"1\",y=\"(none)\"} 3\n\n";
        let read = samples(text).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(
            (sum(&read, "a_total", &[("x", "1")]), sum(&read, "a_total", &[("y", "b.c")])),
            (5.0, 2.0)
        );
        for bad in ["a_total 1", "a_total{} x", "a_total{x} 1", "a_total{x=1} 1"] {
            assert!(samples(bad).is_err(), "{bad}");
        }
    }
}
