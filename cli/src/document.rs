//! How is a policy file read? As JSON if it looks like it, else as YAML.

use std::io::Read as _;

use portcullis_filter::json::{Bounds, Duplicates, Json};
use portcullis_filter::limits;
use serde_saphyr::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy, Options};

/// The bytes of a file, or of the standard input for `-`. A file larger than a policy may be is an error, not read whole.
pub(crate) fn bytes(path: &str) -> Result<Vec<u8>, String> {
    let most = limits::POLICY_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if path == "-" {
        std::io::stdin().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|error| error.to_string())?;
    if bytes.len() > limits::POLICY_BYTES {
        return Err(format!("larger than {} MiB", limits::POLICY_BYTES >> 20));
    }
    Ok(bytes)
}

/// The document in `bytes`. A text that begins like JSON and is none may still be YAML in its flow style.
pub(crate) fn parse(bytes: &[u8]) -> Result<Json, String> {
    let json = bytes.trim_ascii_start().starts_with(b"{").then(|| Json::parse(bytes, BOUNDS));
    match json {
        Some(Ok(json)) => Ok(json),
        Some(Err(error)) => yaml(bytes).map_err(|_| format!("not JSON: {error}")),
        None => yaml(bytes),
    }
}

const BOUNDS: Bounds =
    Bounds { depth: limits::POLICY_DEPTH, values: limits::POLICY_VALUES, duplicates: Duplicates::Keep };

fn yaml(bytes: &[u8]) -> Result<Json, String> {
    if bytes.trim_ascii().is_empty() {
        return Err("the document is empty".to_owned());
    }
    serde_saphyr::from_slice_with_options(bytes, options()).map_err(|error| format!("not YAML: {error}"))
}

/// Doubled keys are kept, for the policy to report. `yes` and `0755` stay what a reader of YAML 1.2 takes them for, and `<<`
/// is a key like any other, since the proxy's own YAML has no merging. Aliases are bounded by the library.
pub(crate) fn options() -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        with_snippet: false,
    }
}
