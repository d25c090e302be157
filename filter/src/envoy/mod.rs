//! The edge: callbacks in, host calls out. The only code that names the SDK.
//!
//! The SDK dispatches callbacks; its host calls panic on what they do not expect (a status, bytes that are not UTF-8), and a panic
//! takes the VM of a worker with it. So the calls are our own, in [`raw`], and return what they are answered.

mod host;
mod raw;
mod root;
mod stream;

use proxy_wasm::types::LogLevel;

/// Called by the host once a VM, before anything else.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the ABI calls it by this name")]
pub extern "C" fn _initialize() {
    // `Trace`: the host filters by its own level, so that its operator decides and not this line.
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}
