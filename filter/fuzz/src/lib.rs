//! A proxy that is just enough for a request without an upstream.

use std::cell::Cell;

use portcullis_filter::host::{
    Calls, Cas, Host, HostError, Level, LocalResponse, Metrics, SharedData, Swap, Verdict, Verifier,
};
use portcullis_filter::http::head::serialize;
use portcullis_filter::time::Timestamp;

/// One request, as a proxy that shares nothing and verifies nothing offers it.
#[derive(Default)]
pub struct Proxy {
    head: Vec<u8>,
    status: Cell<u16>,
    marked: Cell<bool>,
    lines: Cell<usize>,
}

impl Proxy {
    /// `GET /` with one more header, or with that pseudo header in place of its own.
    pub fn get(name: &str, value: &[u8]) -> Self {
        let mut fields: Vec<(&[u8], &[u8])> =
            vec![(b":method", b"GET"), (b":authority", b"h"), (b":path", b"/")];
        fields.retain(|(known, _)| *known != name.as_bytes());
        fields.push((name.as_bytes(), value));
        Self { head: serialize(fields.into_iter()), ..Self::default() }
    }

    /// The status of the answer; zero if there was none.
    pub fn status(&self) -> u16 {
        self.status.get()
    }

    /// Whether the request was admitted.
    pub fn is_marked(&self) -> bool {
        self.marked.get()
    }
}

impl SharedData for Proxy {
    fn shared(&self, _: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Err(HostError { call: "get_shared_data", status: 12 })
    }

    fn set_shared(&self, _: &str, _: &[u8], _: Option<Cas>) -> Result<Swap, HostError> {
        Err(HostError { call: "set_shared_data", status: 12 })
    }
}

impl Calls for Proxy {}

impl Verifier for Proxy {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl Metrics for Proxy {}

impl Host for Proxy {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(Timestamp::from_seconds(1_800_000_000))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        Ok(self.head.clone())
    }

    fn set_request_header(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        Ok(())
    }

    fn remove_request_header(&self, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        Ok(Vec::new())
    }

    fn remove_request_trailer(&self, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn property(&self, _: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        Ok(None)
    }

    fn set_property(&self, _: &str, _: &[u8]) -> Result<(), HostError> {
        self.marked.set(true);
        Ok(())
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        self.status.set(response.status);
        for (_, value) in &response.headers {
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{value:?}");
        }
        Ok(())
    }

    fn log(&self, _: Level, line: &str) {
        self.lines.set(self.lines.get() + line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    fn env(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}
