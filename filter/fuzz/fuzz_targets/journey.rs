//! Whole requests, of any head, past every guard, as `host-tests/journey` reads them out of bytes: each is answered or goes on, and never both
//! before its body has come; who goes on is whom the gateway says; nobody waits for ever; and what we write holds no byte that ends a line.
#![no_main]

use journey::credentials::{Minted, Wallet};
use journey::drive::run;
use journey::native::Native;
use journey::policies::{COUNT, environment, policy};
use journey::script::{Event, Fields, Journey};
use journey::world::{Exchange, World};
use libfuzzer_sys::fuzz_target;

struct Fixed {
    wallet: Wallet,
    /// Each with the world in which its journeys begin.
    policies: Vec<(String, World)>,
}

/// What the gateway takes for random.
const SEED: [u8; 16] = [7; 16];

thread_local! {
    static FIXED: Fixed = Fixed {
        wallet: Wallet::default(),
        policies: (0..COUNT).map(policy).map(|policy| (policy.clone(), world(&policy))).collect(),
    };
}

fn world(policy: &str) -> World {
    Native::world(policy, SEED, environment()).unwrap_or_else(|error| panic!("{error}"))
}

// Each input has a gateway of its own: what one leaves behind is not there for the next, and whatever fails fails again.
fuzz_target!(|bytes: &[u8]| {
    FIXED.with(|Fixed { wallet, policies }| {
        let journey = Journey::read(bytes, wallet);
        let number = journey.policy % COUNT;
        let (policy, world) = &policies[number];
        let mut world = world.clone();
        let mut native = Native::start(policy, SEED, &world).unwrap_or_else(|error| panic!("{error}"));
        world.settle();
        let seen = run(&journey, &mut native, &world).unwrap_or_else(|error| panic!("{error}"));
        assert!(world.log().iter().all(|line| !line.chars().any(char::is_control)), "{:?}", world.log());
        let heads = journey.events.iter().filter_map(|event| match event {
            Event::Arrive { head, .. } => Some(head),
            _ => None,
        });
        let minted: Vec<Minted> = wallet.minted().chain(journey.minted.iter().cloned()).collect();
        for (before, exchange) in heads.zip(&seen.exchanges) {
            assert_eq!(exchange.sent, exchange.is_marked(), "{exchange:?}");
            if let Some(answer) = &exchange.answer {
                let clean = |(_, value): &(Vec<u8>, Vec<u8>)| value.iter().all(|b| (0x20..0x7f).contains(b));
                assert!(answer.fields.iter().all(clean), "{answer:?}");
            }
            // Where tokens are signed ones, it is known who is who.
            match number {
                _ if !exchange.sent => {}
                0 => judge(before, exchange, "/open", &minted),
                2 => judge(before, exchange, "/signed", &minted),
                _ => {}
            }
        }
    });
});

/// Who is named to the upstream is the subject of a token of the issuer's that the client showed.
fn judge(before: &Fields, exchange: &Exchange, open: &str, minted: &[Minted]) {
    let users: Vec<_> = exchange.head.iter().filter(|(name, _)| spelled(name) == b"x-user").collect();
    let path = before.iter().find(|(name, _)| name == b":path").map_or(b"".as_slice(), |(_, path)| path);
    let path = path.split(|b| *b == b'?').next().unwrap_or_default();
    if path.strip_prefix(open.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
        assert!(users.is_empty(), "{users:?} on an open route");
    }
    match users.as_slice() {
        [] => {}
        [(name, value)] => {
            assert_eq!(name, b"x-user");
            let mut shown = minted.iter().filter(|minted| holds(before, &minted.token));
            assert!(shown.any(|minted| names(minted, value)), "{value:?} is nobody's subject");
        }
        many => panic!("{many:?}"),
    }
}

/// Whether this is the token's subject; one that is no text becomes text in ways of its own.
fn names(minted: &Minted, value: &[u8]) -> bool {
    let claims: Option<serde_json::Value> = serde_json::from_slice(&minted.claims).ok();
    match claims.as_ref().and_then(|claims| claims.get("sub")) {
        Some(serde_json::Value::String(subject)) => subject.as_bytes() == value,
        subject => subject.is_some(),
    }
}

fn holds(fields: &Fields, secret: &str) -> bool {
    let secret = secret.as_bytes();
    fields.iter().any(|(_, value)| value.windows(secret.len()).any(|window| window == secret))
}

/// As a careless reader takes it.
fn spelled(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() }).collect()
}
