//! How much CPU time has a process taken, and on which core does it run?

use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPU time of all threads of a process, to the nanosecond. The kernel brings a thread's figure up to date when the thread
/// goes to sleep, so ask when the work is done.
pub fn time_of(pid: u32) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        nanos += on_cpu(&text).ok_or_else(|| io::Error::other(format!("schedstat says `{text}`")))?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The first of three numbers (Linux, Documentation/scheduler/sched-stats.rst): time spent on the CPU, in nanoseconds.
fn on_cpu(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

/// Which cores are whose. The proxy has one of its own; the load comes from the others.
#[derive(Clone, Copy, Debug)]
pub enum Cores {
    /// The proxy's core, and all that we may use.
    Apart(usize, CpuSet),
    /// There is one core only.
    Shared,
}

impl Cores {
    /// The last core that we may use is the proxy's.
    pub fn choose() -> io::Result<Self> {
        let ours = sched_getaffinity(None)?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|&core| ours.is_set(core));
        match last {
            Some(last) if ours.count() > 1 => Ok(Self::Apart(last, ours)),
            _ => Ok(Self::Shared),
        }
    }

    /// Calls `start`, which starts the proxy, on the proxy's core: a process inherits it from the thread that makes it. This thread
    /// has the other cores afterwards.
    pub fn with_proxy_core<T>(self, start: impl FnOnce() -> T) -> io::Result<T> {
        let Self::Apart(core, ours) = self else {
            return Ok(start());
        };
        let mut proxy = CpuSet::new();
        proxy.set(core);
        sched_setaffinity(None, &proxy)?;
        let started = start();
        let mut load = ours;
        load.unset(core);
        sched_setaffinity(None, &load)?;
        Ok(started)
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apart(core, ours) => {
                write!(f, "Envoy alone on core {core} of {}, the load on the rest", ours.count())
            }
            Self::Shared => f.write_str("Envoy and the load share one core"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{on_cpu, time_of};

    #[test]
    fn work_shows_in_the_time_of_a_process() {
        assert_eq!(on_cpu("402112340 134150 10\n"), Some(402_112_340));
        assert_eq!(on_cpu(""), None);
        // A process of one thread: those of this one come and go with the other tests.
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let before = time_of(busy.id()).unwrap();
        let began = std::time::Instant::now();
        let mut after = before;
        while after <= before && began.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(10));
            after = time_of(busy.id()).unwrap();
        }
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(after > before, "{after:?}");
    }
}
