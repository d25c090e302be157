//! Request life: a callback comes in, the gateway decides, an `Action` goes out.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::Proxy;
use crate::gateway::{Flow, Gateway, Stream};

/// One request.
pub(super) struct HttpStream {
    stream: Stream,
}

impl HttpStream {
    /// Without a gateway every request is refused; the host makes no stream before it has configured us, and if it does, that is
    /// the answer.
    pub(super) fn new(gateway: Option<Rc<Gateway>>) -> Self {
        Self { stream: Stream::new(gateway.unwrap_or_else(|| Rc::new(Gateway::closed()))) }
    }
}

impl Context for HttpStream {}

impl HttpContext for HttpStream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        action(self.stream.on_request_headers(&Proxy, end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        action(self.stream.on_request_body(&Proxy, size))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        action(self.stream.on_request_trailers(&Proxy))
    }

    fn on_log(&mut self) {
        self.stream.on_log(&Proxy);
    }
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Continue => Action::Continue,
        Flow::Stop => Action::Pause,
    }
}
