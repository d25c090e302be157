//! How does the gateway's Rust code see the world? As its [`Host`], by the calls that the compiled plugin makes too.

use std::num::NonZeroU32;

use portcullis_filter::host::{
    Call, CallId, Calls, Cas, Host, HostError, Kind, Level, LocalResponse, MetricId, Metrics, SharedData,
    StreamId, Swap, Verdict, Verifier,
};
use portcullis_filter::http::head::serialize;
use portcullis_filter::time::Timestamp;

use super::{Local, Map, NOT_FOUND, ROOT, World};
use crate::script::Fields;

fn failed(call: &'static str) -> impl Fn(u32) -> HostError {
    move |status| HostError { call, status }
}

fn block(fields: &Fields) -> Vec<u8> {
    serialize(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())))
}

impl SharedData for World {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        match self.read(key) {
            Ok((value, version)) => Ok(NonZeroU32::new(version).map(|version| (value, Cas(version)))),
            Err(_) => Ok(None),
        }
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let written = self.share(key, value, cas.map_or(0, |Cas(version)| version.get()));
        Ok(if written.is_ok() { Swap::Done } else { Swap::Lost })
    }
}

impl Calls for World {
    fn call(&self, call: &Call<'_>) -> Result<CallId, HostError> {
        let pseudo = [
            (":method", call.method),
            (":scheme", call.scheme),
            (":authority", call.authority),
            (":path", call.path),
        ];
        let head = pseudo.iter().chain(call.fields);
        let head = head.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let timeout = u32::try_from(call.timeout.div_ceil(1_000_000).max(1)).unwrap_or(u32::MAX);
        self.send(call.cluster.as_bytes(), head, call.body, timeout).map(CallId).map_err(failed("http_call"))
    }

    fn set_tick(&self, milliseconds: u32) -> Result<(), HostError> {
        self.set_pace(milliseconds);
        Ok(())
    }

    fn enter(&self, StreamId(stream): StreamId) -> Result<(), HostError> {
        self.act_for(stream).map_err(failed("set_effective_context"))
    }

    fn leave(&self) -> Result<(), HostError> {
        self.act_for(ROOT).map_err(failed("set_effective_context"))
    }

    fn resume(&self) -> Result<(), HostError> {
        self.let_go().map_err(failed("continue_stream"))
    }
}

/// It verifies nothing, so the gateway does it by itself.
impl Verifier for World {
    fn verify_signature(&self, _: &'static str, _: &[u8], _: &[u8], _: &[u8]) -> Verdict {
        Verdict::Unavailable
    }
}

impl Metrics for World {
    fn define(&self, kind: Kind, name: &str) -> Result<MetricId, HostError> {
        let kind = match kind {
            Kind::Counter => 0,
            Kind::Gauge => 1,
            Kind::Histogram => 2,
        };
        Ok(MetricId(self.metric(kind, name)))
    }

    fn increment(&self, MetricId(id): MetricId, count: u64) -> Result<(), HostError> {
        self.add(id, count).map_err(failed("increment_metric"))
    }

    fn record(&self, MetricId(id): MetricId, value: u64) -> Result<(), HostError> {
        self.add(id, value).map_err(failed("record_metric"))
    }
}

impl Host for World {
    fn now(&self) -> Result<Timestamp, HostError> {
        Ok(Timestamp::from_nanos(self.time()))
    }

    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        self.map(Map::Request).map(|map| block(&map)).map_err(failed("get_header_map_pairs"))
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.set(Map::Request, name, value).map_err(failed("replace_header_map_value"))
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        self.remove(Map::Request, name).map_err(failed("remove_header_map_value"))
    }

    fn request_trailers(&self) -> Result<Vec<u8>, HostError> {
        self.map(Map::Trailers).map(|map| block(&map)).map_err(failed("get_header_map_pairs"))
    }

    fn remove_request_trailer(&self, name: &str) -> Result<(), HostError> {
        self.remove(Map::Trailers, name).map_err(failed("remove_header_map_value"))
    }

    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        self.map(Map::Response).map(|map| block(&map)).map_err(failed("get_header_map_pairs"))
    }

    fn response_header(&self, name: &str) -> Result<Option<Vec<u8>>, HostError> {
        match self.value(Map::Response, name) {
            Ok(value) => Ok(Some(value)),
            Err(NOT_FOUND) => Ok(None),
            Err(status) => Err(failed("get_header_map_value")(status)),
        }
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.set(Map::Response, name, value).map_err(failed("replace_header_map_value"))
    }

    fn remove_response_header(&self, name: &str) -> Result<(), HostError> {
        self.remove(Map::Response, name).map_err(failed("remove_header_map_value"))
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        match self.known(&path.join(".")) {
            Ok(value) => Ok(Some(value)),
            Err(NOT_FOUND) => Ok(None),
            Err(status) => Err(failed("get_property")(status)),
        }
    }

    fn set_property(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.mark(name, value).map_err(failed("set_property"))
    }

    fn respond(&self, response: &LocalResponse) -> Result<(), HostError> {
        let fields = response.headers.iter();
        let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.clone().into_bytes()));
        let answer = Local {
            status: u32::from(response.status),
            details: response.details.as_bytes().to_vec(),
            fields: fields.collect(),
            body: response.body.clone().into_bytes(),
            grpc_status: i32::try_from(response.grpc_status).unwrap_or(2),
        };
        self.give(answer).map_err(failed("send_local_response"))
    }

    fn log(&self, level: Level, line: &str) {
        let level = match level {
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        self.write_line(level, line);
    }

    fn env(&self, name: &str) -> Option<Vec<u8>> {
        self.env.get(name).map(|value| value.clone().into_bytes())
    }
}
