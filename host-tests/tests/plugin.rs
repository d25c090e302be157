//! Is the compiled plugin one that every host can load, and small?

use host_tests::artifacts;
use wasmparser::{Parser, Payload, TypeRef};

/// The plugin's size may not grow unnoticed: each worker compiles it, and an update pushes it.
const MAX_BYTES: usize = 3 << 19;

/// What Envoy 1.36 to 1.40 offer of WASI. A module that imports anything else is refused whole, so one careless `std::fs` would keep
/// the plugin from loading.
const WASI: [&str; 8] = [
    "args_get",
    "args_sizes_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "random_get",
];

fn plugin() -> Vec<u8> {
    std::fs::read(artifacts::plugin().unwrap()).unwrap()
}

#[test]
fn it_imports_only_what_every_host_has() {
    let plugin = plugin();
    let mut others = Vec::new();
    for payload in Parser::new(0).parse_all(&plugin) {
        let Payload::ImportSection(section) = payload.unwrap() else {
            continue;
        };
        for import in section.into_imports() {
            let import = import.unwrap();
            let known = match import.module {
                "env" => import.name.starts_with("proxy_"),
                "wasi_snapshot_preview1" => WASI.contains(&import.name),
                _ => false,
            };
            if !known || !matches!(import.ty, TypeRef::Func(_)) {
                others.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn it_speaks_the_abi_and_exports_the_callbacks_that_guard() {
    let plugin = plugin();
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(&plugin) {
        let Payload::ExportSection(section) = payload.unwrap() else {
            continue;
        };
        names.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
    }
    // A host takes a callback that is not exported for one that lets everything pass.
    for name in [
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_log",
    ] {
        assert!(names.iter().any(|known| known == name), "`{name}` is not exported");
    }
}

/// Its build drops exports that nobody needs.
#[test]
fn it_exports_every_callback_that_it_implements() {
    let plugin = plugin();
    let exports = Parser::new(0).parse_all(&plugin).filter_map(|payload| match payload.unwrap() {
        Payload::ExportSection(section) => Some(section),
        _ => None,
    });
    let names: Vec<_> =
        exports.flatten().map(|export| export.unwrap().name.replace("proxy_on_", "on_")).collect();
    let sources = artifacts::repository().join("filter/src/envoy");
    let mut implemented = Vec::new();
    for file in std::fs::read_dir(sources).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let begun = text.split("    fn on_").skip(1).filter_map(|rest| rest.split_once('('));
        implemented.extend(begun.map(|(name, _)| format!("on_{name}")));
    }
    assert!(implemented.len() >= 8, "{implemented:?}");
    for name in implemented {
        // The SDK calls some by longer names than the ABI does.
        let short = name.replace("on_http_", "on_");
        assert!(names.contains(&name) || names.contains(&short), "`{name}` is not exported");
    }
}

#[test]
fn it_is_small() {
    let size = plugin().len();
    assert!(size <= MAX_BYTES, "{size} bytes, more than {MAX_BYTES}");
}

/// The build that tests break has ways to break. This one has none, or a header would be enough to stop a worker.
#[test]
fn it_cannot_be_asked_to_break() {
    let asks = |plugin: &[u8]| plugin.windows(7).any(|window| window == b"x-fault");
    assert!(!asks(&plugin()));
    assert!(
        asks(&std::fs::read(artifacts::faulty().unwrap()).unwrap()),
        "what is looked for is somewhere else now"
    );
}
