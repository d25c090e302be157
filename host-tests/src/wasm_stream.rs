//! What does the compiled plugin find when it asks the in-process host about its request?

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proxy_wasm_host::abi::v0_2_1::types::{BufferType, MapType, Status, StreamType};
use proxy_wasm_host::abi::v0_2_1::{Access, Callback, ForeignCall, Invocation, LocalResponse, StreamState};
use proxy_wasm_host::{Buffer, HeaderMap as AbiHeaderMap, NotAllowed, PairVisitor};

use crate::edge::HeaderMap;
use crate::verify;

/// One request, lent to the plugin for its callbacks.
#[derive(Debug, Default)]
pub struct Stream {
    /// The request's header map.
    pub headers: Map,
    /// The response's header map, once there is one.
    pub answer: Option<Map>,
    /// Whether the upstream has answered.
    pub reached: bool,
    /// What is left of it once the head has gone.
    pub gone: Map,
    /// What the plugin may read of the body.
    pub body: Vec<u8>,
    /// What `get_property` finds, by the path's segments joined with `.`.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// What the plugin set: the filter state `wasm.<name>`.
    pub filter_state: BTreeMap<String, Vec<u8>>,
    /// The answer that the plugin gave in place of the upstream's.
    pub response: Option<LocalResponse<'static>>,
    /// Whether this host has `verify_signature`.
    pub verifies: bool,
    /// Whether the plugin let a request go on that it had held back.
    pub resumed: bool,
}

/// [`HeaderMap`] for the crate, and whether it may still be changed.
#[derive(Debug, Default)]
pub struct Map {
    /// The entries.
    pub map: HeaderMap,
    /// After `Continue` the head has gone: Envoy refuses a write with `BadArgument`, and reads as empty until `on_log`.
    pub sent: bool,
}

impl Map {
    fn writable(&mut self) -> Result<&mut HeaderMap, NotAllowed> {
        if self.sent { Err(NotAllowed) } else { Ok(&mut self.map) }
    }
}

fn text(name: &[u8]) -> Result<&str, NotAllowed> {
    std::str::from_utf8(name).map_err(|_| NotAllowed)
}

impl AbiHeaderMap for Map {
    fn get(&self, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.map.all(text(key).ok()?).map(Cow::Owned)
    }

    fn for_each_pair(&self, f: &mut PairVisitor<'_>) -> ControlFlow<()> {
        self.map.entries().iter().try_for_each(|(name, value)| f(name.as_bytes(), value))
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), NotAllowed> {
        self.writable()?.set(text(key)?, value);
        Ok(())
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), NotAllowed> {
        self.writable()?.add(text(key)?, value);
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), NotAllowed> {
        self.writable()?.remove(text(key)?);
        Ok(())
    }

    fn replace_all(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), NotAllowed> {
        let mut map = HeaderMap::default();
        for (name, value) in pairs {
            map.add(text(name)?, value);
        }
        *self.writable()? = map;
        Ok(())
    }
}

impl StreamState for Stream {
    fn header_map(
        &mut self,
        call: Invocation,
        _: Access,
        map: MapType,
    ) -> Result<&mut dyn AbiHeaderMap, Status> {
        match map {
            MapType::HttpRequestHeaders if self.headers.sent && call.callback != Some(Callback::Log) => {
                Ok(&mut self.gone)
            }
            MapType::HttpRequestHeaders => Ok(&mut self.headers),
            MapType::HttpResponseHeaders => self.answer.as_mut().map(|map| map as _).ok_or(Status::NotFound),
            _ => Err(Status::NotFound),
        }
    }

    fn buffer(&mut self, _: Invocation, _: Access, buffer: BufferType) -> Result<&mut dyn Buffer, Status> {
        match buffer {
            BufferType::HttpRequestBody => Ok(&mut self.body),
            _ => Err(Status::NotFound),
        }
    }

    fn continue_stream(&mut self, _: Invocation, _: StreamType) -> Result<(), Status> {
        self.resumed = true;
        Ok(())
    }

    /// As in Envoy, a second answer is ignored.
    fn send_local_response(&mut self, _: Invocation, response: LocalResponse<'_>) -> Result<(), Status> {
        self.response.get_or_insert(response.into_owned());
        Ok(())
    }

    fn property(&mut self, _: Invocation, path: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Status> {
        let path = joined(path)?;
        let set = self.filter_state.get(path.strip_prefix("filter_state.wasm.").unwrap_or(&path));
        let value = self.properties.get(&path).or(set).ok_or(Status::NotFound)?;
        out.extend_from_slice(value);
        Ok(())
    }

    fn set_property(&mut self, _: Invocation, path: &[&[u8]], value: &[u8]) -> Result<(), Status> {
        self.filter_state.insert(joined(path)?, value.to_vec());
        Ok(())
    }

    fn call_foreign_function(
        &mut self,
        _: Invocation,
        call: ForeignCall<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Status> {
        if !self.verifies || call.name.as_ref() != b"verify_signature" {
            return Err(Status::NotFound);
        }
        out.extend(verify::verify_message(&call.arguments).ok_or(Status::BadArgument)?);
        Ok(())
    }
}

fn joined(path: &[&[u8]]) -> Result<String, Status> {
    String::from_utf8(path.join(&b'.')).map_err(|_| Status::BadArgument)
}
