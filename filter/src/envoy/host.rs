//! `impl Host`: one host call a method.

use core::cell::Cell;
use core::num::NonZeroU32;
use core::time::Duration;

use proxy_wasm::hostcalls::dispatch_http_call;
use zeroize::Zeroizing;

use super::raw;
use crate::host::{
    Answer, Call, CallId, Calls, Cas, Host, HostError, Level, LocalResponse, SharedData, StreamId, Swap,
    Verdict, Verifier,
};
use crate::http::head::serialize;
use crate::limits;
use crate::protobuf::{Fields, put_bytes};
use crate::time::Timestamp;

/// The proxy that loaded us.
#[derive(Clone, Debug, Default)]
pub(super) struct Proxy {
    /// The context to which calls of our own belong: the plugin's root.
    root: u32,
    /// The context for which we act: the root, a request whose callback this is, or one that was entered.
    acting: Cell<u32>,
}

impl Proxy {
    /// The proxy as the plugin sees it, whose number this is.
    pub(super) fn of_plugin(root: u32) -> Self {
        Self { root, acting: Cell::new(root) }
    }

    /// The same proxy as a request sees it.
    pub(super) fn of_request(&self, StreamId(request): StreamId) -> Self {
        Self { root: self.root, acting: Cell::new(request) }
    }

    /// The answer to a call, in the callback that tells of it. `size` is the length of its body, `trailers` how many there are.
    pub(super) fn answer(size: usize, trailers: usize) -> Answer {
        let headers = raw::headers(raw::CALL_RESPONSE_HEADERS).unwrap_or_default();
        let status = raw::header(raw::CALL_RESPONSE_HEADERS, ":status").unwrap_or_default();
        let status = core::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = match raw::buffer(raw::CALL_RESPONSE_BODY, size.min(limits::ANSWER_BYTES)) {
            _ if size > limits::ANSWER_BYTES => None,
            Ok(body) => Some(body),
            // There is none.
            Err(_) => Some(Vec::new()),
        };
        let trailers = if trailers == 0 {
            Vec::new()
        } else {
            raw::headers(raw::CALL_RESPONSE_TRAILERS).unwrap_or_default()
        };
        Answer { status, headers, body, trailers }
    }
}

impl Calls for Proxy {
    /// The SDK sends it, since only the SDK can tell later whose answer it is. It panics on a host that has no calls, so that is found
    /// out first.
    ///
    /// It is the plugin's call even where it is made for a request. A proxy takes back the calls of a request that ends, without a word, and then the
    /// SDK would keep their numbers for ever.
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        let probe = raw::probe_call();
        if !matches!(probe, raw::BAD_ARGUMENT | raw::INTERNAL_FAILURE) {
            return Err(failed("http_call")(probe));
        }
        let mut headers = vec![
            (":method", call.method),
            (":scheme", call.scheme),
            (":authority", call.authority),
            (":path", call.path),
        ];
        headers.extend_from_slice(call.fields);
        let body = (!call.body.is_empty()).then_some(call.body);
        // Rounded up: no timeout at all is what zero would mean.
        let timeout = Duration::from_millis(call.timeout.div_ceil(1_000_000).max(1));
        let acting = self.acting.get();
        self.leave()?;
        #[expect(clippy::disallowed_methods, reason = "the host has just been asked whether it has calls")]
        let sent = dispatch_http_call(call.cluster, headers, body, Vec::new(), timeout);
        // Should this fail, what comes next is asked for no request, and the host refuses it.
        self.enter(StreamId(acting))?;
        sent.map(CallId).map_err(|status| failed("http_call")(status as u32))
    }

    fn set_tick(&self, milliseconds: u32) -> Result<(), HostError> {
        raw::set_tick(milliseconds).map_err(failed("set_tick_period_milliseconds"))
    }

    fn enter(&self, stream: StreamId) -> Result<(), HostError> {
        raw::enter(stream.0).map_err(failed("set_effective_context"))?;
        self.acting.set(stream.0);
        Ok(())
    }

    fn leave(&self) -> Result<(), HostError> {
        self.enter(StreamId(self.root))
    }

    fn resume(&self) -> Result<(), HostError> {
        raw::resume().map_err(failed("continue_stream"))
    }
}

pub(super) fn failed(call: &'static str) -> impl Fn(u32) -> HostError {
    move |status| HostError { call, status }
}

impl SharedData for Proxy {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        match raw::shared(key) {
            Ok((value, cas)) => Ok(NonZeroU32::new(cas).map(|cas| (value, Cas(cas)))),
            Err(raw::NOT_FOUND) => Ok(None),
            Err(status) => Err(failed("get_shared_data")(status)),
        }
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        match raw::set_shared(key, value, cas.map_or(0, |cas| cas.0.get())) {
            Ok(()) => Ok(Swap::Done),
            Err(raw::CAS_MISMATCH) => Ok(Swap::Lost),
            Err(status) => Err(failed("set_shared_data")(status)),
        }
    }
}

impl Verifier for Proxy {
    /// Envoy's `verify_signature` (host fact H3): a protobuf of hash name (1), SPKI DER (2), signature (3) and text (4) in, `result`
    /// (1) out. A host without it answers `NotFound`; anything but a plain yes or no is no answer.
    fn verify_signature(&self, hash: &'static str, spki: &[u8], signature: &[u8], text: &[u8]) -> Verdict {
        let size = [hash.len(), spki.len(), signature.len(), text.len(), 32]
            .iter()
            .fold(0_usize, |a, b| a.saturating_add(*b));
        let mut argument = Vec::with_capacity(size);
        for (number, value) in [(1, hash.as_bytes()), (2, spki), (3, signature), (4, text)] {
            put_bytes(number, value, &mut argument);
        }
        match raw::foreign("verify_signature", &argument) {
            Ok(answer) if answer.starts_with(&[0x08, 1]) => Verdict::Valid,
            // The host knows the function and did not say yes: a wrong signature, or a key that it cannot use.
            Ok(_) => Verdict::Invalid,
            Err(_) => Verdict::Unavailable,
        }
    }

    /// Envoy's `sign`: a protobuf of hash name (1), private key in DER (2) and text (3) in, `result` (1) and signature (2) out.
    fn sign(&self, hash: &'static str, key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let size = [hash.len(), key.len(), text.len(), 32].iter().fold(0_usize, |a, b| a.saturating_add(*b));
        // It holds the key: it is of one piece, and cleared.
        let mut argument = Zeroizing::new(Vec::with_capacity(size));
        for (number, value) in [(1, hash.as_bytes()), (2, key), (3, text)] {
            put_bytes(number, value, &mut argument);
        }
        let answer = raw::foreign("sign", &argument).ok()?;
        let mut signed = false;
        let mut signature = None;
        for field in Fields::of(&answer) {
            match field.ok()? {
                (1, value) => signed = value.number().ok()? == 1,
                (2, value) => signature = Some(value.bytes().ok()?.to_vec()),
                _ => {}
            }
        }
        signature.filter(|_| signed)
    }
}

impl Host for Proxy {
    fn now(&self) -> Result<Timestamp, HostError> {
        raw::time().map(Timestamp::from_nanos).map_err(failed("get_current_time_nanoseconds"))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        raw::headers(raw::REQUEST_HEADERS).map_err(failed("get_header_map_pairs"))
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        raw::replace_header(raw::REQUEST_HEADERS, name, value).map_err(failed("replace_header_map_value"))
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        raw::remove_header(raw::REQUEST_HEADERS, name).map_err(failed("remove_header_map_value"))
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        raw::headers(raw::REQUEST_TRAILERS).map_err(failed("get_header_map_pairs"))
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), HostError> {
        raw::remove_header(raw::REQUEST_TRAILERS, name).map_err(failed("remove_header_map_value"))
    }

    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        raw::headers(raw::RESPONSE_HEADERS).map_err(failed("get_header_map_pairs"))
    }

    fn response_header(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        match raw::header(raw::RESPONSE_HEADERS, name) {
            Ok(value) => Ok(Some(value)),
            Err(raw::NOT_FOUND) => Ok(None),
            Err(status) => Err(failed("get_header_map_value")(status)),
        }
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        raw::replace_header(raw::RESPONSE_HEADERS, name, value).map_err(failed("replace_header_map_value"))
    }

    fn remove_response_header(&self, name: &str) -> Result<(), HostError> {
        raw::remove_header(raw::RESPONSE_HEADERS, name).map_err(failed("remove_header_map_value"))
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        // On the stack, with room for the longest of our paths: what parts the segments is there already.
        let (mut text, mut end) = ([0; 64], 0_usize);
        for segment in path {
            end = end.saturating_add(usize::from(end > 0));
            let place = text.get_mut(end..).and_then(|rest| rest.get_mut(..segment.len()));
            place
                .ok_or(raw::BAD_ARGUMENT)
                .map_err(failed("get_property"))?
                .copy_from_slice(segment.as_bytes());
            end = end.saturating_add(segment.len());
        }
        match raw::property(text.get(..end).unwrap_or_default()) {
            Ok(value) => Ok(Some(value)),
            Err(raw::NOT_FOUND) => Ok(None),
            Err(status) => Err(failed("get_property")(status)),
        }
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        raw::set_property(name.as_bytes(), value).map_err(failed("set_property"))
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        let headers =
            serialize(response.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let grpc_status = i32::try_from(response.grpc_status).unwrap_or(2);
        raw::respond(u32::from(response.status), response.details, &headers, &response.body, grpc_status)
            .map_err(failed("send_local_response"))
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        raw::log(level, line);
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes)
    }
}
