//! What if the clock jumps? The compiled plugin in a host whose clock we move, forth and back.

use host_tests::artifacts;
use host_tests::exchange::Request;
use host_tests::scenario::TokenSpec;
use host_tests::tokens::{Keys, Proved};
use host_tests::wasm_host::{Compiled, Offer, WasmHost};
use serde_json::{Value, json};

use super::get;

/// When it begins, in seconds since the epoch: long after that, so that there is room to go back.
const START: u64 = 1_800_000_000;

struct Gateway {
    host: WasmHost,
}

impl Gateway {
    /// In a host that offers what Envoy does.
    fn start(policy: &Value) -> Self {
        let offer = Offer {
            configuration: policy.to_string().into_bytes(),
            start: START * 1_000_000_000,
            verifies: true,
            ..Offer::default()
        };
        let compiled = Compiled::new(&artifacts::plugin().unwrap()).unwrap();
        Self { host: compiled.start(offer).unwrap_or_else(|(error, log)| panic!("{error}: {log:#?}")) }
    }

    /// The status, with the clock so many seconds after the start.
    fn at(&mut self, seconds: i64, request: &Request) -> u16 {
        let nanos = i128::from(START) * 1_000_000_000 + i128::from(seconds) * 1_000_000_000;
        self.host.set_clock(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.host.run(request).unwrap().response.status
    }

    /// Three times, which is once more than there are workers.
    fn thrice_at(&mut self, seconds: i64, request: &Request) -> [u16; 3] {
        [(); 3].map(|()| self.at(seconds, request))
    }
}

fn token(claims: &Value) -> Request {
    let claims = claims.as_object().cloned().unwrap();
    let spec = TokenSpec { claims, ..TokenSpec::of("rs256") };
    let token = Keys::of_this_run().mint(&spec, START).unwrap();
    get("/orders").with("authorization", format!("Bearer {token}"))
}

#[test]
fn a_token_holds_in_its_time_and_in_no_other() {
    let mut gateway = Gateway::start(&super::policy());
    let request = token(&json!({"iat": START, "nbf": START, "exp": START + 3600}));
    for (seconds, status) in [
        (0, 200),
        (3599, 200),
        (2 * 3600, 401),
        // Back again: it was no lie then, and is none now.
        (10, 200),
        // Before it was made.
        (-3600, 401),
        (-i64::try_from(START).unwrap(), 401),
        (i64::from(u32::MAX) * 4, 401),
        // Beyond what a clock can tell.
        (i64::MAX, 401),
        (20, 200),
    ] {
        assert_eq!(gateway.thrice_at(seconds, &request), [status; 3], "{seconds} s");
    }
}

#[test]
fn a_limit_gives_no_more_than_time_has_passed() {
    let mut gateway = Gateway::start(&super::policy());
    let limited = get("/limited");
    let admitted =
        |gateway: &mut Gateway, seconds: i64| (0..6).filter(|_| gateway.at(seconds, &limited) == 200).count();
    assert_eq!(admitted(&mut gateway, 0), 2);
    // Back, as far as it goes: what was spent stays spent.
    for seconds in [-1, -3600, -i64::try_from(START).unwrap()] {
        assert_eq!(admitted(&mut gateway, seconds), 0, "{seconds} s");
    }
    // A year later there is a day's worth and no more, and the year is not paid out twice.
    assert_eq!(admitted(&mut gateway, 365 * 86_400), 2);
    assert_eq!(admitted(&mut gateway, 365 * 86_400), 0);
    assert_eq!(admitted(&mut gateway, 0), 0, "back from a year ahead");
    // A clock that goes on by a year once more says that a year has passed: nobody can tell it from one that has.
    assert_eq!(admitted(&mut gateway, 365 * 86_400), 2, "and there again");
    assert_eq!(admitted(&mut gateway, 365 * 86_400 + 60), 0, "and a minute later");
    // Five hundred years later the same, and not twice.
    assert_eq!(admitted(&mut gateway, 15_000_000_000), 2);
    assert_eq!(admitted(&mut gateway, 15_000_000_000), 0);
    assert_eq!(admitted(&mut gateway, i64::MAX), 0, "where the clock ends");
}

#[test]
fn a_proof_is_good_once_however_the_clock_goes() {
    let mut policy = super::policy();
    policy["jwt"]["providers"][0]["confirmation"] = json!({"dpop": "Required"});
    let mut gateway = Gateway::start(&policy);
    let first = proved("first");
    assert_eq!(gateway.thrice_at(1, &first), [200, 401, 401]);
    for seconds in [-3600, -30, 0, 2, 59, 3600, 3] {
        assert_eq!(gateway.at(seconds, &first), 401, "{seconds} s");
    }
    assert_eq!(gateway.at(4, &proved("second")), 200);
    assert_eq!(gateway.at(3600, &proved("third")), 401);
    assert_eq!(gateway.at(5, &proved("third")), 200);
}

/// A request with a token that is bound to a key, and a proof by it, made at the start.
fn proved(id: &str) -> Request {
    let keys = Keys::of_this_run();
    let claims = json!({"exp": START + 7200, "cnf": {"jkt": "client"}});
    let claims = claims.as_object().cloned().unwrap();
    let token = keys.mint(&TokenSpec { claims, ..TokenSpec::of("rs256") }, START).unwrap();
    let about = Proved { token: &token, method: "GET", url: "http://api.example.com/orders", id };
    let proof = keys.prove(&TokenSpec::of("client"), &about, START).unwrap();
    get("/orders").with("authorization", format!("DPoP {token}")).with("dpop", proof)
}
