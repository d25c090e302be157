//! Request life: a callback comes in, the gateway decides, an `Action` goes out.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::Proxy;
use crate::gateway::{Flow, Gateway, Stream};
use crate::host::{CallId, StreamId};

/// One request. The gateway keeps hold of it while it waits.
pub(super) struct HttpStream {
    proxy: Proxy,
    id: StreamId,
    gateway: Rc<Gateway>,
    stream: Rc<RefCell<Stream>>,
    #[cfg(feature = "faults")]
    fault: super::faults::Fault,
}

impl HttpStream {
    /// Without a gateway every request is refused; the host makes no stream before it has configured us, and if it does, that is
    /// the answer.
    pub(super) fn new(proxy: &Proxy, id: StreamId, gateway: Option<Rc<Gateway>>) -> Self {
        let gateway = gateway.unwrap_or_else(|| Rc::new(Gateway::closed()));
        let stream = Rc::new(RefCell::new(Stream::new(Rc::clone(&gateway))));
        Self {
            proxy: proxy.of_request(id),
            id,
            gateway,
            stream,
            #[cfg(feature = "faults")]
            fault: super::faults::Fault::default(),
        }
    }
}

/// However a request ends, and whatever callback a host leaves out, what it occupied is free again.
impl Drop for HttpStream {
    fn drop(&mut self) {
        if let Ok(mut stream) = self.stream.try_borrow_mut() {
            stream.leave(&self.proxy);
        }
    }
}

impl Context for HttpStream {
    /// The SDK brings the answer to whoever was at work when the question was sent, if that request is still there.
    fn on_http_call_response(&mut self, token: u32, _headers: usize, body: usize, trailers: usize) {
        self.gateway.on_answer(&self.proxy, CallId(token), Proxy::answer(body, trailers));
    }
}

impl HttpContext for HttpStream {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        #[cfg(feature = "faults")]
        self.fault.at_head();
        let flow = self.stream.borrow_mut().on_request_headers(&self.proxy, end_of_stream);
        if flow == Flow::Wait {
            self.gateway.on_wait(&self.proxy, self.id, &self.stream);
        }
        action(flow)
    }

    fn on_http_request_body(&mut self, size: usize, _end_of_stream: bool) -> Action {
        #[cfg(feature = "faults")]
        self.fault.at("body");
        action(self.stream.borrow_mut().on_request_body(&self.proxy, size))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        action(self.stream.borrow_mut().on_request_trailers(&self.proxy))
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        #[cfg(feature = "faults")]
        self.fault.at("response");
        action(self.stream.borrow_mut().on_response_headers(&self.proxy))
    }

    fn on_log(&mut self) {
        #[cfg(feature = "faults")]
        self.fault.at("log");
        self.stream.borrow_mut().on_log(&self.proxy);
    }
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Continue => Action::Continue,
        Flow::Stop | Flow::Wait => Action::Pause,
    }
}
