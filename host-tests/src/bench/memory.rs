//! Does the gateway's memory grow with the number of tokens that it sees?

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use serde_json::json;

use super::cases::Case;
use super::chain::{self, HMAC_ISSUER, NO_LIMIT};
use super::cpu::Cores;
use super::load::Load;
use super::requests::{bearing, bent, claims, token};
use super::{collector, listener_name, start};
use crate::artifacts;
use crate::scenario::TokenSpec;
use crate::tokens::Keys;

/// Tokens of a run, each of another caller.
pub const TOKENS: usize = 1_000_000;
/// Tokens that are made at a time.
const BATCH: usize = 10_000;
/// One token of so many is forged.
const FORGED: usize = 50;
/// Tokens after which all that is bounded is full: the gateway knows 4096 at most.
const FULL: usize = 100_000;
/// KiB by which an Envoy may grow after that and be called flat: what its own allocator does not give back.
const NOISE: u64 = 8 << 10;

/// With every request told to a collector, sends `count` different tokens, signed with HS256 since a million of them must be made, and reads how large Envoy is. An error if it has
/// grown after it was full.
pub fn run(count: usize, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
    let keys = Keys::of_this_run();
    let (jwks, secret) = (keys.jwks(&["rs256"])?, keys.hmac_secret("hs256")?);
    let policy = chain::exported(chain::policy("memory", &jwks, NO_LIMIT));
    let (gateway, collector) = (chain::gateway(&artifacts::plugin()?, policy, &secret), collector()?);
    let cores = Cores::choose().map_err(|error| error.to_string())?;
    let envoy = start(&[Case::of_filters("memory", gateway)], cores, &collector)?.envoy;
    let address = envoy.listener(&listener_name(0)).ok_or("the listener is gone")?;
    let (mut full, mut last) = (None, resident(envoy.pid())?);
    progress(&format!("{:>9} tokens  {last:>7} KiB", 0));
    for first in (0..count).step_by(BATCH) {
        let callers = first..count.min(first + BATCH);
        let forged = callers.clone().filter(|caller| caller % FORGED == 0).count();
        let expected = BTreeMap::from([(200, callers.len() - forged), (401, forged)]);
        // Each to a path of its own, too.
        let each = |(caller, token): (usize, &String)| {
            bearing(&format!("/orders/{caller}"), core::slice::from_ref(token))
        };
        let requests: Vec<_> = callers.clone().zip(&tokens(callers)?).flat_map(each).collect();
        let mut load = Load::connect(address, &requests, 0).map_err(|error| error.to_string())?;
        let statuses = load.run(requests.len()).map_err(|error| error.to_string())?;
        // A round of the connections is whole, so some tokens may have come twice.
        let enough = expected.iter().all(|(status, count)| {
            statuses.get(status).is_some_and(|got| usize::try_from(*got).is_ok_and(|got| got >= *count))
        });
        if !enough || statuses.len() != expected.len() {
            return Err(format!("{expected:?} was expected, and there came {statuses:?}"));
        }
        let sent = first + requests.len();
        last = resident(envoy.pid())?;
        if sent.is_multiple_of(FULL) {
            progress(&format!("{sent:>9} tokens  {last:>7} KiB"));
            full.get_or_insert(last);
        }
    }
    match full {
        Some(full) if last > full + NOISE => {
            Err(format!("it has grown by {} KiB since {FULL} tokens", last - full))
        }
        Some(full) => {
            progress(&format!("flat: {} KiB more than after {FULL} tokens", last.saturating_sub(full)));
            Ok(())
        }
        None => Err(format!("too few tokens to tell: {FULL} at least")),
    }
}

fn tokens(callers: std::ops::Range<usize>) -> Result<Vec<String>, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let spec = TokenSpec { claims: claims(&json!({"iss": HMAC_ISSUER})), ..token("hs256") };
    let mint = |caller: usize| {
        let mut spec = spec.clone();
        spec.claims.insert("sub".to_owned(), json!(format!("user-{caller:07}")));
        let token = Keys::of_this_run().mint(&spec, now.as_secs())?;
        Ok(if caller.is_multiple_of(FORGED) { bent(&token) } else { token })
    };
    callers.map(mint).collect()
}

/// KiB of a process in memory (proc(5), `VmRSS`).
pub(super) fn resident(pid: u32) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| "the process does not tell its size".to_owned())
}
