//! The ABI's host calls, as bytes and status codes.
//!
//! Proxy-Wasm ABI 0.2.1. Each function returns what the host answered and nothing else: no UTF-8 is assumed, no status is unexpected.
#![expect(unsafe_code, reason = "the one file in which we hand pointers to the host")]

use core::ptr;

/// Header maps of the ABI.
pub(super) const REQUEST_HEADERS: u32 = 0;
pub(super) const REQUEST_TRAILERS: u32 = 1;
pub(super) const RESPONSE_HEADERS: u32 = 2;
pub(super) const CALL_RESPONSE_HEADERS: u32 = 6;
pub(super) const CALL_RESPONSE_TRAILERS: u32 = 7;
/// Buffers of the ABI.
pub(super) const CALL_RESPONSE_BODY: u32 = 4;
pub(super) const PLUGIN_CONFIGURATION: u32 = 7;
/// The stream of the ABI that is a request.
const REQUEST: u32 = 0;

pub(super) const OK: u32 = 0;
pub(super) const NOT_FOUND: u32 = 1;
pub(super) const BAD_ARGUMENT: u32 = 2;
pub(super) const CAS_MISMATCH: u32 = 8;
pub(super) const INTERNAL_FAILURE: u32 = 10;

mod abi {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub(super) fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
        pub(super) fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub(super) fn proxy_get_buffer_bytes(
            buffer: u32,
            start: usize,
            max: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub(super) fn proxy_get_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_replace_header_map_value(
            map: u32,
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
        pub(super) fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub(super) fn proxy_set_property(
            path: *const u8,
            path_size: usize,
            value: *const u8,
            value_size: usize,
        ) -> u32;
        pub(super) fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub(super) fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            value: *const u8,
            value_size: usize,
            cas: u32,
        ) -> u32;
        pub(super) fn proxy_send_local_response(
            status: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc_status: i32,
        ) -> u32;
        pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub(super) fn proxy_set_effective_context(context: u32) -> u32;
        pub(super) fn proxy_continue_stream(stream: u32) -> u32;
        pub(super) fn proxy_http_call(
            cluster: *const u8,
            cluster_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout: u32,
            token: *mut u32,
        ) -> u32;
        pub(super) fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
        pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub(super) fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub(super) fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            argument: *const u8,
            argument_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
    }
}

/// Takes over a block that the host wrote into our memory through `proxy_on_memory_allocate`, which the SDK answers with a
/// boxed slice of `size`: the same slice comes back.
fn owned(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the SDK allocated `data` for the host as a boxed slice of this size, the host filled it, and nobody else keeps
    // the pointer.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) }.into_vec()
}

fn block(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, u32> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    match call(&raw mut data, &raw mut size) {
        OK => Ok(owned(data, size)),
        status => Err(status),
    }
}

fn done(status: u32) -> Result<(), u32> {
    if status == OK { Ok(()) } else { Err(status) }
}

pub(super) fn log(level: u32, line: &str) {
    // SAFETY: the host reads `len` bytes at `ptr` during the call. There is nothing to do if a log line is not taken.
    let _ = unsafe { abi::proxy_log(level, line.as_ptr(), line.len()) };
}

pub(super) fn time() -> Result<u64, u32> {
    let mut nanos = 0;
    // SAFETY: the host writes eight bytes to `nanos`.
    done(unsafe { abi::proxy_get_current_time_nanoseconds(&raw mut nanos) }).map(|()| nanos)
}

pub(super) fn buffer(buffer: u32, max: usize) -> Result<Vec<u8>, u32> {
    // SAFETY: the host allocates through our allocator and writes pointer and size.
    block(|data, size| unsafe { abi::proxy_get_buffer_bytes(buffer, 0, max, data, size) })
}

pub(super) fn headers(map: u32) -> Result<Vec<u8>, u32> {
    // SAFETY: as in `buffer`.
    block(|data, size| unsafe { abi::proxy_get_header_map_pairs(map, data, size) })
}

pub(super) fn header(map: u32, name: &str) -> Result<Vec<u8>, u32> {
    // SAFETY: as in `buffer`.
    block(|data, size| unsafe { abi::proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) })
}

pub(super) fn replace_header(map: u32, name: &str, value: &[u8]) -> Result<(), u32> {
    // SAFETY: the host reads both slices during the call.
    done(unsafe {
        abi::proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

pub(super) fn remove_header(map: u32, name: &str) -> Result<(), u32> {
    // SAFETY: as in `replace_header`.
    done(unsafe { abi::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

pub(super) fn property(path: &[u8]) -> Result<Vec<u8>, u32> {
    // SAFETY: as in `buffer`.
    block(|data, size| unsafe { abi::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub(super) fn set_property(path: &[u8], value: &[u8]) -> Result<(), u32> {
    // SAFETY: as in `replace_header`.
    done(unsafe { abi::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub(super) fn shared(key: &str) -> Result<(Vec<u8>, u32), u32> {
    let mut cas = 0;
    // SAFETY: as in `buffer`, and the host writes four bytes to `cas`.
    let value = block(|data, size| unsafe {
        abi::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas)
    })?;
    Ok((value, cas))
}

pub(super) fn set_shared(key: &str, value: &[u8], cas: u32) -> Result<(), u32> {
    // SAFETY: as in `replace_header`.
    done(unsafe { abi::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) })
}

pub(super) fn respond(
    status: u32,
    details: &str,
    headers: &[u8],
    body: &str,
    grpc_status: i32,
) -> Result<(), u32> {
    // SAFETY: as in `replace_header`; `headers` is a map in the ABI's form.
    done(unsafe {
        abi::proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

pub(super) fn set_tick(milliseconds: u32) -> Result<(), u32> {
    // SAFETY: no pointers.
    done(unsafe { abi::proxy_set_tick_period_milliseconds(milliseconds) })
}

pub(super) fn enter(context: u32) -> Result<(), u32> {
    // SAFETY: no pointers.
    done(unsafe { abi::proxy_set_effective_context(context) })
}

pub(super) fn resume() -> Result<(), u32> {
    // SAFETY: no pointers.
    done(unsafe { abi::proxy_continue_stream(REQUEST) })
}

/// What the host says to a call that it cannot send, since it names no cluster: nothing is sent and nothing registered.
pub(super) fn probe_call() -> u32 {
    // A header map of no entries.
    let (none, mut token) = ([0_u8; 4], 0);
    // SAFETY: as in `replace_header`, and the host writes four bytes to `token`.
    unsafe {
        abi::proxy_http_call(
            none.as_ptr(),
            0,
            none.as_ptr(),
            none.len(),
            none.as_ptr(),
            0,
            none.as_ptr(),
            none.len(),
            1,
            &raw mut token,
        )
    }
}

pub(super) fn define_metric(kind: u32, name: &str) -> Result<u32, u32> {
    let mut id = 0;
    // SAFETY: as in `replace_header`, and the host writes four bytes to `id`.
    done(unsafe { abi::proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) }).map(|()| id)
}

pub(super) fn increment_metric(id: u32, offset: i64) -> Result<(), u32> {
    // SAFETY: no pointers.
    done(unsafe { abi::proxy_increment_metric(id, offset) })
}

pub(super) fn record_metric(id: u32, value: u64) -> Result<(), u32> {
    // SAFETY: no pointers.
    done(unsafe { abi::proxy_record_metric(id, value) })
}

pub(super) fn foreign(name: &str, argument: &[u8]) -> Result<Vec<u8>, u32> {
    // SAFETY: as in `buffer`.
    block(|data, size| unsafe {
        abi::proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            argument.as_ptr(),
            argument.len(),
            data,
            size,
        )
    })
}
