//! Plugin life: a configuration comes in, a gateway stands or the host is told no.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::Proxy;
use super::stream::HttpStream;
use super::{metrics, raw};
use crate::audit::Left;
use crate::gateway::Gateway;
use crate::host::{CallId, Host, Level, StreamId};

thread_local! {
    /// What policies that are gone have left to be sent, until another one of this VM comes to it.
    static LEFT: RefCell<Left> = RefCell::default();
    /// How many plugin configurations this VM has.
    static ROOTS: Cell<usize> = const { Cell::new(0) };
}

/// One plugin configuration on one thread.
pub(super) struct Root {
    proxy: Proxy,
    gateway: Option<Rc<Gateway>>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        ROOTS.set(ROOTS.get().saturating_add(1));
        Self { proxy: Proxy::of_plugin(id), gateway: None }
    }
}

/// The policy is replaced, and another one of this VM sends what it leaves; or the VM ends with it (host fact H12). Then nothing can be sent any more: no
/// call is waited for, and whether one leaves the proxy is chance. So it is told, and that is all.
impl Drop for Root {
    fn drop(&mut self) {
        let others = ROOTS.get().saturating_sub(1);
        ROOTS.set(others);
        let mut left = self.gateway.as_ref().map(|gateway| gateway.leave()).unwrap_or_default();
        if others == 0 {
            left.append(&LEFT.take());
            left.perish(&self.proxy);
        } else {
            LEFT.with_borrow_mut(|all| all.append(&left));
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _headers: usize, body: usize, trailers: usize) {
        if let Some(gateway) = &self.gateway {
            gateway.on_answer(&self.proxy, CallId(token), Proxy::answer(body, trailers));
        }
    }
}

impl RootContext for Root {
    /// A pure function of the bytes as far as the answer goes: Envoy takes a plugin that the main thread accepts and a worker
    /// refuses out of the path, in silence (host fact H1). What can differ between threads is inside [`Gateway::start`] and refuses
    /// requests.
    fn on_configure(&mut self, _size: usize) -> bool {
        #[cfg(feature = "faults")]
        if super::faults::fails_to_configure() {
            return false;
        }
        metrics::count_start(&self.proxy);
        let document = match raw::buffer(raw::PLUGIN_CONFIGURATION, usize::MAX) {
            Ok(document) => document,
            // There is no configuration, which is a document of no bytes, and refused as such.
            Err(raw::NOT_FOUND) => Vec::new(),
            // A call that failed says nothing of the document, so it does not refuse one: it closes the gateway.
            Err(status) => {
                self.proxy
                    .log(Level::Error, &format!("portcullis: the policy could not be read, status {status}"));
                self.gateway = Some(Rc::new(Gateway::closed()));
                return true;
            }
        };
        match Gateway::start(&document, seed(), &self.proxy) {
            Ok(gateway) => {
                if ROOTS.get() > 1 {
                    // Another policy may be about to go, and what it leaves is wanted soon.
                    gateway.hurry(&self.proxy);
                }
                self.gateway = Some(Rc::new(gateway));
                true
            }
            Err(problems) => {
                self.proxy.log(
                    Level::Error,
                    &format!("portcullis: the policy is refused, {} problems", problems.len()),
                );
                for problem in problems {
                    self.proxy.log(Level::Error, &format!("portcullis: {problem}"));
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        #[cfg(feature = "faults")]
        super::faults::at_tick();
        if let Some(gateway) = &self.gateway {
            gateway.inherit(&LEFT.take());
            gateway.on_tick(&self.proxy);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(HttpStream::new(&self.proxy, StreamId(id), self.gateway.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Sixteen random bytes. The standard library seeds its hasher from the host's `random_get`; the hasher's output under that key is
/// random to anyone without it.
fn seed() -> [u8; 16] {
    let half = || RandomState::new().build_hasher().finish();
    (u128::from(half()) << 64 | u128::from(half())).to_le_bytes()
}
