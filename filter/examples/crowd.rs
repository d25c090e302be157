//! What do millions of distinct clients do to the limits of others? `make crowd`
//!
//! A crowd of clients, each new and each with one request, goes through the table of buckets while some regular ones keep to their limit and one
//! does not. Told is how many regulars were refused though they kept to it, and whether the greedy one ever got more than the limit.
#![allow(clippy::print_stdout, reason = "its report")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::num::NonZeroU32;

use portcullis_filter::document::Field;
use portcullis_filter::guards::identity::attempt::Attempt;
use portcullis_filter::guards::identity::caller::Caller;
use portcullis_filter::guards::rate_limit::{Facts, Rules, Scope, Table, admit, read};
use portcullis_filter::host::{Cas, HostError, SharedData, Swap};
use portcullis_filter::http::{Head, head};
use portcullis_filter::json::{Bounds, Duplicates, Json};
use portcullis_filter::limits;
use portcullis_filter::problem::Problems;
use portcullis_filter::time::{SECOND, Timestamp};

const NOW: u64 = 1_795_489_800 * SECOND;
const CLIENTS: u64 = 10_000_000;
const REGULARS: u64 = 100;

/// Shared data of one thread.
#[derive(Default)]
struct Shared(RefCell<HashMap<String, Vec<u8>>>);

impl SharedData for Shared {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        Ok(self.0.borrow().get(key).map(|value| (value.clone(), Cas(NonZeroU32::MIN))))
    }

    fn set_shared(&self, key: &str, value: &[u8], _: Option<Cas>) -> Result<Swap, HostError> {
        self.0.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(Swap::Done)
    }
}

struct World {
    data: Shared,
    table: Table,
    rules: Rules,
}

impl World {
    fn new(state: u64, limit: &str) -> Self {
        let text = format!(r#"{{"local":{{"rules":[{{"name":"r","by":[{{"header":"k"}}],{limit}}}]}}}}"#);
        let bounds = Bounds { depth: 16, values: 100, duplicates: Duplicates::Keep };
        let document = Json::parse(text.as_bytes(), bounds).unwrap_or(Json::Null);
        let problems = Problems::new();
        let rules = read(&Field::root(&document, &problems), Scope { policy: "p", route: None });
        let data = Shared::default();
        let table = Table::prepare(&data, [5; 16], state);
        let (Some(rules), Ok(table)) = (rules, table) else {
            panic!("{:?}", problems.into_vec());
        };
        Self { data, table, rules }
    }

    fn admits(&self, client: u64, now: u64) -> bool {
        let key = client.to_le_bytes();
        let fields: [(&[u8], &[u8]); 4] =
            [(b":method", b"GET"), (b":authority", b"h"), (b":path", b"/"), (b"k", &key)];
        let Ok(head) = Head::parse(head::serialize(fields.into_iter())) else { return false };
        let (caller, attempt) = (&Caller::Anonymous, Attempt::default());
        let facts = Facts { client_address: None, route: "r", head: &head, caller, attempt };
        admit(&self.rules, &facts, Timestamp::from_nanos(now), &self.data, &self.table).is_ok()
    }
}

/// So many new clients a second. Regulars send one request in six seconds, which is their limit; the greedy one a
/// hundred a second.
fn run(state: u64, per_second: u64, clients: u64) {
    let world = World::new(state, r#""limit":{"requests":10,"unit":"Minute"},"burst":10"#);
    let step = SECOND / per_second;
    let (mut refused, mut asked, mut newcomers, mut greedy) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut next_regular, mut next_greedy) = (0, 0);
    for nth in 0..clients {
        let elapsed = nth * step;
        newcomers += u64::from(!world.admits(1_000_000 + nth, NOW + elapsed));
        while next_regular <= elapsed {
            asked += 1;
            let regular = asked % REGULARS;
            refused += u64::from(!world.admits(regular, NOW + elapsed));
            next_regular += 6 * SECOND / REGULARS;
        }
        while next_greedy <= elapsed {
            greedy += u64::from(world.admits(999_999, NOW + elapsed));
            next_greedy += SECOND / 100;
        }
    }
    let most = 10 + clients * step * 10 / (60 * SECOND) + 1;
    // In hundredths of a percent.
    let percent = |part: u64, whole: u64| {
        let share = part * 10_000 / whole.max(1);
        format!("{}.{:02}", share / 100, share % 100)
    };
    println!(
        "| {} | {per_second} | {} | {} | {greedy} of at most {most} |",
        state >> 20,
        percent(newcomers, clients),
        percent(refused, asked),
    );
    assert!(greedy <= most, "the limit was passed");
}

fn main() {
    println!("{CLIENTS} distinct clients, 10 requests a minute each, burst 10\n");
    println!(
        "| `stateBytes` (Mi) | new clients a second | new clients refused (%) | regulars refused (%) | the greedy one got |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: |");
    for state in [limits::STATE_BYTES, limits::STATE_BYTES * 4] {
        for per_second in [1_000, 10_000, 50_000, 100_000] {
            run(state, per_second, CLIENTS);
        }
    }
}
