//! What if the plugin itself breaks? The ways in which a test makes it, in a build with the feature `faults` that is never released.
//!
//! A request asks for one with the header `x-fault`, a process for one with its environment.

use core::sync::atomic::{AtomicBool, Ordering};

use super::raw;

/// Whether the next tick is to panic.
static TICK: AtomicBool = AtomicBool::new(false);
/// How often this process was configured, in the host's shared data.
const CONFIGURED: &str = "portcullis.faults.configured";
/// The environment variable that says which configuration is the first to fail: the canary's is number 1.
const FROM: &str = "FAULT_CONFIGURE_FROM";
/// The size of one piece of what is never given back.
const PIECE: usize = 1 << 20;

/// What a request asked for: `x-fault: head`, `body`, `response` or `log` panics in that callback, `tick` in the next tick, `memory` takes all
/// that there is, `stack` recurses without end.
#[derive(Default)]
pub(super) struct Fault(Vec<u8>);

/// The header whose value is the text of the panic, as that of a bug would be.
const TEXT: &[u8] = b"request\0headers\0x-fault-text";

impl Fault {
    /// The head is here, which is where a request asks.
    pub(super) fn at_head(&mut self) {
        self.0 = raw::property(b"request\0headers\0x-fault").unwrap_or_default();
        match self.0.as_slice() {
            b"tick" => {
                TICK.store(true, Ordering::Relaxed);
                let _ = raw::set_tick(20);
            }
            b"memory" => take_all(),
            b"stack" => {
                let _ = recurse(0);
            }
            _ => self.at("head"),
        }
    }

    /// Breaks, if the request asked for it here.
    pub(super) fn at(&self, place: &str) {
        if self.0 == place.as_bytes() {
            fail();
        }
    }
}

/// Breaks, if a request asked for a tick that does.
pub(super) fn at_tick() {
    if TICK.swap(false, Ordering::Relaxed) {
        fail();
    }
}

/// Whether this configuration is to fail, though another thread's did not.
pub(super) fn fails_to_configure() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a fault of a process, not of a policy")]
    let from = std::env::var(FROM).ok().and_then(|from| from.parse::<u8>().ok());
    let Some(from) = from else {
        return false;
    };
    loop {
        let (count, cas) = match raw::shared(CONFIGURED) {
            Ok((count, cas)) => (count.first().copied().unwrap_or_default(), cas),
            Err(_) => (0, 0),
        };
        let count = count.saturating_add(1);
        if raw::set_shared(CONFIGURED, &[count], cas) != Err(raw::CAS_MISMATCH) {
            return count >= from;
        }
    }
}

#[expect(clippy::panic, reason = "this is what it is for")]
fn fail() -> ! {
    panic!("{}", String::from_utf8_lossy(&raw::property(TEXT).unwrap_or_default()))
}

/// The allocator gives up in the end, which aborts.
fn take_all() -> ! {
    loop {
        core::mem::forget(core::hint::black_box(Vec::<u8>::with_capacity(PIECE)));
    }
}

#[expect(unconditional_recursion, reason = "this is what it is for")]
fn recurse(depth: usize) -> [usize; 64] {
    let mut frame = recurse(core::hint::black_box(depth.wrapping_add(1)));
    frame.fill(depth);
    core::hint::black_box(frame)
}
