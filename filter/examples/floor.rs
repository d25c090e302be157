//! A plugin that makes host calls and decides nothing: what `make bench` shows as the least that a gateway in a plugin can cost. Its
//! configuration names the calls, in the order in which they are made for each request. It has no SDK and exports the callbacks
//! that a gateway cannot do without.
#![cfg(target_os = "wasi")]
#![allow(missing_docs, reason = "the ABI names the functions")]
#![expect(unsafe_code, reason = "all of it hands pointers to the host")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ptr;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        keys: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, keys: usize) -> u32;
    fn proxy_get_property(path: *const u8, paths: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, paths: usize, value: *const u8, size: usize) -> u32;
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        keys: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, keys: usize, value: *const u8, size: usize, cas: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, metric: *mut u32) -> u32;
    fn proxy_increment_metric(metric: u32, by: i64) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        call: *mut u32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        names: usize,
        argument: *const u8,
        arguments: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// A host call.
enum Step {
    Time,
    Headers,
    /// One slot of a limiter, read and written.
    Limit,
    /// The credential comes off.
    Strip,
    /// Two claims go on.
    Claims,
    /// The mark for the guard.
    Mark,
    /// What became of it is counted, in a series of the proxy's.
    Count,
    /// What the proxy's access log prints of an allowed request.
    Told,
    /// `verify_signature`, with this argument.
    Verify(Vec<u8>),
    /// Where the client is.
    Address,
    /// The credential is overwritten, for the proxy's own log.
    Conceal,
    /// A line of an audit event's length.
    Log,
    /// A record of an audit event's length, for a collector that gets 512 at a time.
    Gather,
    /// An answer with a challenge and a problem, in place of the upstream's. The last step.
    Refuse,
}

thread_local! {
    /// The steps of each plugin, and the plugin of each request.
    static STEPS: RefCell<HashMap<u32, Vec<Step>>> = RefCell::default();
    static PLUGINS: RefCell<HashMap<u32, u32>> = RefCell::default();
    /// The proxy's number of the series.
    static SERIES: Cell<u32> = const { Cell::new(0) };
    /// What the collector gets next.
    static GATHERED: RefCell<Vec<u8>> = RefCell::default();
}

/// As many bytes as the gateway sends of an allowed request, and how many of them at once.
const RECORD: [u8; 960] = [b'x'; 960];
const BATCH: usize = 512;
/// Four fields: count, lengths, then names and values.
const CALL: &[u8] = b"\x04\0\0\0\
    \x07\0\0\0\x04\0\0\0\x05\0\0\0\x08\0\0\0\x0a\0\0\0\x09\0\0\0\x0c\0\0\0\x16\0\0\0\
    :method\0POST\0:path\0/v1/logs\0:authority\0collector\0content-type\0application/x-protobuf\0";

/// A slot of the limits' table, by a name as long and of as many bytes.
const SLOT: &[u8] = b"portcullis.limits.f0.16384.777";
const SLOT_BYTES: usize = 320;

/// What a refusal of the gateway writes, says and sends.
const EVENT: &str = r#"portcullis {"schema":"portcullis.audit/v1","time":"2026-11-25T12:00:00.000Z","policy":"bench","digest":"0123456789ab","requestId":"0b7f3d8e-62f4-4b5d-8f0e-1f0c6f0a9d3a","route":"orders","decision":"refused","reason":"credential_missing","clientAddress":"127.0.0.1","method":"GET","host":"api.example.com","path":"/orders/7","status":401,"durationMs":0.05}"#;
const PROBLEM: &str = r#"{"title":"Unauthorized","status":401,"detail":"A credential is required.","code":"credential_missing","requestId":"0b7f3d8e-62f4-4b5d-8f0e-1f0c6f0a9d3a"}"#;
/// Three fields: count, lengths, then names and values.
const ANSWER: &[u8] = b"\x03\0\0\0\
    \x10\0\0\0\x14\0\0\0\x0d\0\0\0\x08\0\0\0\x0c\0\0\0\x18\0\0\0\
    www-authenticate\0Bearer realm=\"bench\"\0cache-control\0no-store\0content-type\0application/problem+json\0";

/// What the gateway puts where the access log finds it.
const TOLD: [(&str, &str); 4] = [
    ("portcullis_decision", "allowed"),
    ("portcullis_policy", "bench@0123456789ab"),
    ("portcullis_route", "orders"),
    ("portcullis_subject", "user-0001"),
];

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_: u32, _: u32) -> u32 {
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(plugin: u32, _: u32) -> u32 {
    let text = block(|data, size| unsafe { proxy_get_buffer_bytes(7, 0, 1 << 20, data, size) });
    let text = String::from_utf8(text).unwrap_or_default();
    let Some(steps) = text.split_whitespace().map(step).collect() else {
        return 0;
    };
    if text.contains("gather") {
        unsafe { proxy_set_tick_period_milliseconds(5) };
    }
    let (series, mut number) = ("portcullis.requests.allowed", 0);
    unsafe { proxy_define_metric(0, series.as_ptr(), series.len(), &raw mut number) };
    SERIES.set(number);
    STEPS.with_borrow_mut(|all| all.insert(plugin, steps));
    unsafe { proxy_set_shared_data(SLOT.as_ptr(), SLOT.len(), [0; SLOT_BYTES].as_ptr(), SLOT_BYTES, 0) };
    1
}

fn step(word: &str) -> Option<Step> {
    Some(match word {
        "time" => Step::Time,
        "headers" => Step::Headers,
        "limit" => Step::Limit,
        "strip" => Step::Strip,
        "claims" => Step::Claims,
        "mark" => Step::Mark,
        "count" => Step::Count,
        "told" => Step::Told,
        "address" => Step::Address,
        "conceal" => Step::Conceal,
        "log" => Step::Log,
        "gather" => Step::Gather,
        "refuse" => Step::Refuse,
        _ => {
            let digits = word.strip_prefix("verify:")?.as_bytes().as_chunks::<2>().0;
            let byte = |pair: &[u8; 2]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
            Step::Verify(digits.iter().map(byte).collect::<Option<_>>()?)
        }
    })
}

/// Every five milliseconds, as the gateway looks where there is much to send.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_tick(_: u32) {
    GATHERED.with_borrow_mut(|records| {
        let (cluster, size) = ("collector", BATCH * RECORD.len());
        if records.len() < size {
            return;
        }
        unsafe {
            let (name, headers, none) = (cluster.as_ptr(), CALL.as_ptr(), [0_u8; 4]);
            proxy_http_call(
                name,
                cluster.len(),
                headers,
                CALL.len(),
                records.as_ptr(),
                size,
                none.as_ptr(),
                none.len(),
                5000,
                &mut 0,
            );
        }
        records.drain(..size);
    });
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(context: u32, plugin: u32) {
    if plugin != 0 {
        PLUGINS.with_borrow_mut(|plugins| plugins.insert(context, plugin));
    }
}

/// Zero is "continue", one is "stop".
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(context: u32, _: u32, _: u32) -> u32 {
    let plugin = PLUGINS.with_borrow(|plugins| plugins.get(&context).copied()).unwrap_or_default();
    let good = STEPS.with_borrow(|all| all.get(&plugin).is_some_and(|steps| steps.iter().all(make)));
    u32::from(!good)
}

fn make(step: &Step) -> bool {
    unsafe {
        match step {
            Step::Time => proxy_get_current_time_nanoseconds(&mut 0) == 0,
            Step::Headers => !block(|data, size| proxy_get_header_map_pairs(0, data, size)).is_empty(),
            Step::Limit => {
                let mut cas = 0;
                let slot = block(|data, size| {
                    proxy_get_shared_data(SLOT.as_ptr(), SLOT.len(), data, size, &raw mut cas)
                });
                proxy_set_shared_data(SLOT.as_ptr(), SLOT.len(), slot.as_ptr(), slot.len(), cas) == 0
            }
            Step::Strip => proxy_remove_header_map_value(0, "authorization".as_ptr(), 13) == 0,
            Step::Claims => [("x-user", "user-0001"), ("x-dept", "sales")].iter().all(|(name, value)| {
                proxy_replace_header_map_value(0, name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0
            }),
            Step::Mark => proxy_set_property("portcullis_admitted".as_ptr(), 19, "1".as_ptr(), 1) == 0,
            Step::Count => proxy_increment_metric(SERIES.get(), 1) == 0,
            Step::Told => TOLD.iter().all(|(name, value)| {
                proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0
            }),
            Step::Verify(argument) => {
                let (name, argument) = ("verify_signature", argument.as_slice());
                let answer = block(|data, size| {
                    let (bytes, length) = (argument.as_ptr(), argument.len());
                    proxy_call_foreign_function(name.as_ptr(), name.len(), bytes, length, data, size)
                });
                answer.starts_with(&[8, 1])
            }
            Step::Address => {
                let path = "source\0address";
                !block(|data, size| proxy_get_property(path.as_ptr(), path.len(), data, size)).is_empty()
            }
            Step::Conceal => {
                let (name, value) = ("authorization", "REDACTED");
                proxy_replace_header_map_value(0, name.as_ptr(), name.len(), value.as_ptr(), value.len()) == 0
            }
            Step::Gather => {
                GATHERED.with_borrow_mut(|records| records.extend_from_slice(&RECORD));
                true
            }
            Step::Log => proxy_log(3, EVENT.as_ptr(), EVENT.len()) == 0,
            Step::Refuse => {
                let (details, body) = ("credential_missing", PROBLEM);
                // What was answered does not go on: "good" would.
                proxy_send_local_response(
                    401,
                    details.as_ptr(),
                    details.len(),
                    body.as_ptr(),
                    body.len(),
                    ANSWER.as_ptr(),
                    ANSWER.len(),
                    16,
                ) != 0
            }
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(_: u32) {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(context: u32) {
    PLUGINS.with_borrow_mut(|plugins| plugins.remove(&context));
}

fn block(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Vec<u8> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    if call(&raw mut data, &raw mut size) != 0 || data.is_null() {
        return Vec::new();
    }
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) }.into_vec()
}
