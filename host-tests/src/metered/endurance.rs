//! Does anything of a request stay behind? What the plugin holds after many, in pages of 64 KiB: it asks the host for more and never gives back.

use serde_json::json;

use super::cases::{API_KEY, audited, bearing, get};
use super::host::Compiled;
use crate::exchange::Request;
use crate::scenario::Signature;
use crate::tokens::Keys;

/// What the plugin held, in pages, and of how many requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// After a twentieth of the requests.
    pub early: u64,
    /// After all of them.
    pub late: u64,
    /// Those that went on.
    pub admitted: u32,
    /// Those that it answered.
    pub refused: u32,
}

/// Sends so many requests of many kinds, each with a path of its own: admitted, refused and forged ones, every one of which is told to the log, to the
/// access log and to a collector that never asks for them.
pub fn of(module: &[u8], requests: u32) -> Result<Held, String> {
    let otlp = json!({"uri": "http://collector.example/v1/logs", "cluster": "collector"});
    let audit = json!({"log": "All", "sinks": {"accessLog": "All", "otlp": otlp}});
    let secret = Keys::of_this_run().hmac_secret("hs256")?;
    let (mut vm, _) = Compiled::new(module)?.start(&audited(0, &audit), &[("SECRET", &secret)], true)?;
    let known = bearing("/", "rs256", "alice", Signature::Good)?;
    let value = known.fields.iter().find(|(name, _)| name == "authorization").ok_or("no token")?;
    let token = value.1.strip_prefix(b"Bearer ").ok_or("no token")?;
    let early = requests / 20;
    let mut held = Held::default();
    for number in 0..requests {
        let went_on = vm.run(&request(number, token))?.admitted;
        *(if went_on { &mut held.admitted } else { &mut held.refused }) += 1;
        if number == early {
            held.early = vm.pages();
        }
    }
    held.late = vm.pages();
    Ok(held)
}

/// One of seven kinds. No two are the same.
fn request(number: u32, token: &[u8]) -> Request {
    let orders = get(&format!("/orders/{number}?page={number}"));
    let bearing = |token: Vec<u8>| orders.clone().with("authorization", [b"Bearer ", &*token].concat());
    match number % 7 {
        0 => get(&format!("/open?{number}")),
        1 => bearing(token.to_vec()),
        2 => orders,
        3 => get("/partners").with("x-api-key", API_KEY),
        4 => get(&format!("/nowhere/{number}")),
        5 => get("/partners").with("x-api-key", format!("{API_KEY}{number}")),
        // Of another signature each: six of its letters.
        _ => {
            let letter = |place: u32| b'a' + u8::try_from((number >> (4 * place)) % 16).unwrap_or_default();
            let mut forged = token.to_vec();
            let places = forged.len().saturating_sub(20)..;
            for (place, byte) in (0..6).zip(forged.get_mut(places).unwrap_or_default()) {
                *byte = letter(place);
            }
            bearing(forged)
        }
    }
}
