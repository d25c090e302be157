//! The edge: callbacks in, host calls out. The only code that names the SDK.
//!
//! The SDK dispatches callbacks; its host calls panic on what they do not expect (a status, bytes that are not UTF-8), and a panic
//! takes the VM of a worker with it. So the calls are our own, in [`raw`], and return what they are answered.

#[cfg(feature = "faults")]
mod faults;
mod host;
mod metrics;
mod raw;
mod root;
mod stream;

use self::host::Proxy;
use crate::host::{Host, Level};

/// Called by the host once a VM, before anything else.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the ABI calls it by this name, and a reactor runs its constructors itself")]
pub(crate) extern "C" fn _initialize() {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: the linker makes this function; it is called once, here, before any other code.
    unsafe { __wasm_call_ctors() };
    // A panic's text can hold what the panicking code looked at. Only the place is written down.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        Proxy::default().log(Level::Error, &format!("portcullis: panic at {place}; the host drops this VM"));
    }));
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}
