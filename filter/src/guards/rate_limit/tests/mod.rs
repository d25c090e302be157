//! Rows: several rules together, races, and a host that does not do as it should; keys, table and policy in files of their own.

mod keys;
mod plans;
mod policy;
mod table;

use core::cell::{Cell, RefCell};
use core::num::NonZeroU32;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Facts, Permit, Rules, Scope, Table, admit, read};
use crate::decision::{Advice, Detail, Reason, Refusal};
use crate::document::Field;
use crate::guards::identity::attempt::Attempt;
use crate::guards::identity::caller::{Caller, Token};
use crate::host::{Cas, HostError, Kind, MetricId, Metrics, SharedData, Swap};
use crate::http::Head;
use crate::json::{Bounds, Duplicates, Json};
use crate::limits;
use crate::problem::Problems;
use crate::testing::test;
use crate::time::Timestamp;

const NOW: u64 = 1_795_489_800;

/// Shared data as Envoy keeps it, and what can go wrong with it.
#[derive(Default)]
pub(super) struct Shared {
    values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    version: Cell<u32>,
    writes: Cell<u32>,
    pub(super) trouble: Cell<Trouble>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Every conditional write comes too late.
    Loses,
    /// The next that many conditional writes come too late; then they are on time.
    LosesFirst(u32),
    Reads,
    /// The next read fails, and no other.
    OneRead,
    Writes,
}

impl SharedData for Shared {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        if matches!(self.trouble.get(), Trouble::Reads | Trouble::OneRead) {
            if self.trouble.get() == Trouble::OneRead {
                self.trouble.set(Trouble::None);
            }
            return Err(HostError { call: "get_shared_data", status: 10 });
        }
        let values = self.values.borrow();
        Ok(values.get(key).map(|(value, version)| (value.clone(), Cas(NonZeroU32::new(*version).unwrap()))))
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        match (self.trouble.get(), cas) {
            (Trouble::Writes, _) => {
                return Err(HostError { call: "set_shared_data", status: 10 });
            }
            (Trouble::Loses, Some(_)) => return Ok(Swap::Lost),
            (Trouble::LosesFirst(left @ 1..), Some(_)) => {
                self.trouble.set(Trouble::LosesFirst(left - 1));
                return Ok(Swap::Lost);
            }
            _ => {}
        }
        let mut values = self.values.borrow_mut();
        let known = values.get(key).map(|(_, version)| *version);
        if let (Some(known), Some(cas)) = (known, cas)
            && known != cas.0.get()
        {
            return Ok(Swap::Lost);
        }
        self.version.set(self.version.get() + 1);
        self.writes.set(self.writes.get() + 1);
        values.insert(key.to_owned(), (value.to_vec(), self.version.get()));
        Ok(Swap::Done)
    }
}

impl Shared {
    /// Every slot's bytes.
    pub(super) fn state(&self) -> Vec<Vec<u8>> {
        self.values.borrow().values().map(|(value, _)| value.clone()).collect()
    }
}

/// A host's metrics: how much was counted of each series.
#[derive(Default)]
pub(super) struct Counts(RefCell<Vec<(String, u64)>>);

impl Metrics for Counts {
    fn define(&self, _: Kind, name: &str) -> Result<MetricId, HostError> {
        let mut series = self.0.borrow_mut();
        let known = series.iter().position(|(known, _)| known == name);
        let place = known.unwrap_or_else(|| {
            series.push((name.to_owned(), 0));
            series.len() - 1
        });
        Ok(MetricId(u32::try_from(place).unwrap()))
    }

    fn increment(&self, id: MetricId, count: u64) -> Result<(), HostError> {
        self.0.borrow_mut()[id.0 as usize].1 += count;
        Ok(())
    }
}

impl Counts {
    /// What was counted of the series whose name ends so.
    pub(super) fn of(&self, end: &str) -> u64 {
        self.0.borrow().iter().filter(|(name, _)| name.ends_with(end)).map(|(_, count)| count).sum()
    }
}

fn json(text: &str) -> Json {
    let bounds = Bounds { depth: 16, values: 1000, duplicates: Duplicates::Keep };
    Json::parse(text.as_bytes(), bounds).unwrap()
}

/// The rules in a `rules` list, or the problems as they print.
pub(super) fn written(text: &str) -> Result<Rules, String> {
    let (document, problems) = (json(text), Problems::new());
    let scope = Scope { policy: "shop", route: Some("orders") };
    let rules = read(&Field::root(&document, &problems), scope);
    let found: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
    assert!(rules.is_some() || !found.is_empty(), "{text}: refused without a word");
    rules.filter(|_| found.is_empty()).ok_or(found.join("\n"))
}

fn rules(list: &str) -> Rules {
    written(&format!(r#"{{"local":{{"rules":[{list}]}}}}"#)).unwrap()
}

pub(super) fn head(fields: &[(&str, &[u8])]) -> Head {
    let pseudo: [(&str, &[u8]); 3] = [(":method", b"GET"), (":authority", b"h"), (":path", b"/")];
    let first = fields.iter().any(|(name, _)| *name == ":method");
    let all = pseudo.iter().skip(usize::from(first)).chain(fields);
    Head::parse(crate::http::head::serialize(all.map(|(n, v)| (n.as_bytes(), *v)))).unwrap()
}

fn token(claims: &str) -> Caller {
    Caller::Token(Rc::new(Token::new("p".into(), None, json(claims))))
}

/// A gateway of one small table, and a request to it that says nothing of itself.
pub(super) struct World {
    pub(super) data: Shared,
    pub(super) table: Table,
    head: Head,
}

impl World {
    pub(super) fn new() -> Self {
        let data = Shared::default();
        let table = Table::sized(&data, [7; 16], NonZeroU32::new(8).unwrap()).unwrap();
        Self { data, table, head: head(&[]) }
    }

    fn ask(&self, rules: &Rules, second: u64) -> Result<Permit, Refusal> {
        self.sent(rules, &Caller::Anonymous, &self.head, second)
    }

    fn sent(&self, rules: &Rules, caller: &Caller, head: &Head, second: u64) -> Result<Permit, Refusal> {
        let facts =
            Facts { client_address: None, route: "orders", head, caller, attempt: Attempt::default() };
        admit(rules, &facts, Timestamp::from_seconds(NOW + second), &self.data, &self.table)
    }

    fn passed(&self, rules: &Rules, second: u64, tries: usize) -> usize {
        (0..tries).filter(|_| self.ask(rules, second).is_ok()).count()
    }
}

#[test]
fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
    let (world, rules) =
        (World::new(), rules(r#"{"name":"r","limit":{"requests":60,"unit":"Minute"},"burst":5}"#));
    for (second, passed) in [(0, 5), (0, 0), (1, 1), (3, 2), (100, 5), (86_400, 5)] {
        assert_eq!(world.passed(&rules, second, 20), passed, "at {second}");
    }
    let refusal = world.ask(&rules, 86_400).unwrap_err();
    assert_eq!((refusal.reason, &refusal.detail), (Reason::RateLimited, &Detail::Named("rule", "r".into())));
    let Advice::Limited(limited) = refusal.advice else { panic!("{refusal:?}") };
    assert_eq!((&*limited.rule, limited.quota, limited.window, limited.reset), ("r", 60, 60, 1));
}

#[test]
fn nobody_comes_too_early_at_the_second_they_were_told() {
    for (requests, unit) in [(1, "Second"), (3, "Second"), (7, "Minute"), (100, "Hour"), (1, "Day")] {
        let text = format!(r#"{{"name":"r","limit":{{"requests":{requests},"unit":"{unit}"}},"burst":1}}"#);
        let (world, rules) = (World::new(), rules(&text));
        assert_eq!(world.passed(&rules, 0, 2), 1);
        let Advice::Limited(limited) = world.ask(&rules, 0).unwrap_err().advice else { panic!() };
        assert_eq!(world.passed(&rules, limited.reset - 1, 1), 0, "{text}");
        assert_eq!(world.passed(&rules, limited.reset, 1), 1, "{text}");
    }
}

#[test]
fn no_rules_need_no_host() {
    let world = World::new();
    world.data.trouble.set(Trouble::Reads);
    assert!(world.ask(&Rules::default(), 0).unwrap().shadowed().is_none());
}

#[test]
fn when_one_rule_refuses_none_is_spent() {
    let wide = r#"{"name":"wide","limit":{"requests":10,"unit":"Hour"}}"#;
    let tight = r#"{"name":"tight","limit":{"requests":2,"unit":"Minute"}}"#;
    for both in [format!("{wide},{tight}"), format!("{tight},{wide}")] {
        let (world, both, wide) = (World::new(), rules(&both), rules(wide));
        assert_eq!(world.passed(&both, 0, 100), 2);
        let (before, writes) = (world.data.state(), world.data.writes.get());
        assert_eq!(world.passed(&both, 0, 100), 0);
        assert_eq!(
            (world.data.state(), world.data.writes.get()),
            (before, writes),
            "a refusal writes nothing"
        );
        assert_eq!(world.passed(&wide, 0, 100), 8);
        // Both refuse now: the one with the longer wait is the one to wait for.
        let refusal = world.ask(&both, 0).unwrap_err();
        assert_eq!(refusal.detail, Detail::Named("rule", "wide".into()));
    }
}

#[test]
fn a_charge_is_taken_back_when_a_later_one_fails() {
    let first = r#"{"name":"first","limit":{"requests":5,"unit":"Hour"}}"#;
    let second = r#"{"name":"second","limit":{"requests":5,"unit":"Hour"}}"#;
    let (world, both, first) = (World::new(), rules(&format!("{first},{second}")), rules(first));
    let before = world.data.state();
    // The slots as another host might hand them out: the first rule's can be written, the second's never.
    let spoiled = Spoiled { data: &world.data, after: Cell::new(1) };
    let facts = Facts {
        client_address: None,
        route: "r",
        head: &world.head,
        caller: &Caller::Anonymous,
        attempt: Attempt::default(),
    };
    let now = Timestamp::from_seconds(NOW);
    let refusal = admit(&both, &facts, now, &spoiled, &world.table).unwrap_err();
    assert_eq!((refusal.reason, refusal.advice), (Reason::LimiterBusy, Advice::RetryAfter(1)));
    assert_ne!(world.data.state(), before, "the key is known now");
    assert_eq!(world.passed(&first, 0, 10), 5, "and its bucket is full");
}

/// Takes some writes, then loses as many as a settle tries, then takes writes again.
struct Spoiled<'d> {
    data: &'d Shared,
    after: Cell<u32>,
}

impl SharedData for Spoiled<'_> {
    fn shared(&self, key: &str) -> Result<Option<(Vec<u8>, Cas)>, HostError> {
        self.data.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], cas: Option<Cas>) -> Result<Swap, HostError> {
        let nth = self.after.get();
        self.after.set(nth.wrapping_sub(1));
        if nth == 0 || nth > u32::MAX - limits::RATE_TRIES + 1 {
            return Ok(Swap::Lost);
        }
        self.data.set_shared(key, value, cas)
    }
}

#[test]
fn a_shadow_rule_counts_and_lets_pass() {
    let shadow = r#"{"name":"s","limit":{"requests":2,"unit":"Hour"},"mode":"Shadow"}"#;
    let hard = r#"{"name":"h","limit":{"requests":4,"unit":"Hour"},"mode":"Enforce"}"#;
    let (world, rules) = (World::new(), rules(&format!("{shadow},{hard}")));
    let shadowed = |_| world.ask(&rules, 0).map(|p| p.shadowed().map(|r| r.detail.to_string()));
    let seen: Vec<_> = (0..5).map(shadowed).map(|r| r.map_err(|r| r.detail.to_string())).collect();
    let named = || Ok(Some("rule `s`".to_owned()));
    assert_eq!(seen, [Ok(None), Ok(None), named(), named(), Err("rule `h`".to_owned())]);
    // A shadow rule whose bucket cannot be charged lets pass, too.
    let (world, rules) = (World::new(), self::rules(shadow));
    world.data.trouble.set(Trouble::Writes);
    let reason = world.ask(&rules, 0).unwrap().shadowed().map(|r| r.reason);
    assert_eq!(reason, Some(Reason::HostFailed));
}

#[test]
fn what_cannot_be_charged_is_refused() {
    let rules = rules(r#"{"name":"r","limit":{"requests":5,"unit":"Hour"}}"#);
    for (trouble, reason) in [
        (Trouble::Loses, Reason::LimiterBusy),
        (Trouble::LosesFirst(limits::RATE_TRIES), Reason::LimiterBusy),
        (Trouble::Reads, Reason::HostFailed),
        (Trouble::Writes, Reason::HostFailed),
    ] {
        let world = World::new();
        world.data.trouble.set(trouble);
        assert_eq!(world.ask(&rules, 0).unwrap_err().reason, reason);
        world.data.trouble.set(Trouble::None);
        assert_eq!(world.passed(&rules, 0, 9), 5, "nothing was spent");
    }
    let world = World::new();
    world.data.trouble.set(Trouble::LosesFirst(limits::RATE_TRIES - 1));
    assert_eq!(world.passed(&rules, 0, 9), 5, "the last try counts");
}

/// Of several rules that refuse, the longest wait is told, and of equal ones the first; what cannot be read is a second's wait.
#[test]
fn which_of_several_refusals_is_told() {
    let rule =
        |name: &str, unit: &str| format!(r#"{{"name":"{name}","limit":{{"requests":1,"unit":"{unit}"}}}}"#);
    for (first, second, told) in
        [("Hour", "Hour", "a"), ("Hour", "Minute", "a"), ("Minute", "Hour", "b"), ("Second", "Second", "a")]
    {
        let (world, rules) = (World::new(), rules(&format!("{},{}", rule("a", first), rule("b", second))));
        assert_eq!(world.passed(&rules, 0, 2), 1);
        assert_eq!(world.ask(&rules, 0).unwrap_err().detail, Detail::Named("rule", told.into()));
    }
    for (second, told) in [("Second", Reason::HostFailed), ("Minute", Reason::RateLimited)] {
        let (world, rules) = (World::new(), rules(&format!("{},{}", rule("a", "Day"), rule("b", second))));
        assert_eq!(world.passed(&rules, 0, 2), 1);
        world.data.trouble.set(Trouble::OneRead);
        assert_eq!(world.ask(&rules, 0).unwrap_err().reason, told, "{second}");
    }
}

/// A rule in Shadow whose bucket others overtake each time refuses nobody, and what the other rules say still holds.
#[test]
fn a_shadow_rule_that_loses_its_races_lets_pass() {
    let shadow = r#"{"name":"s","limit":{"requests":2,"unit":"Hour"},"mode":"Shadow"}"#;
    let hard = r#"{"name":"h","limit":{"requests":1,"unit":"Hour"}}"#;
    let (world, rules) = (World::new(), rules(&format!("{shadow},{hard}")));
    world.data.trouble.set(Trouble::LosesFirst(limits::RATE_TRIES));
    let shadowed = world.ask(&rules, 0).unwrap().shadowed().map(|r| (r.reason, r.detail.to_string()));
    assert_eq!(shadowed, Some((Reason::LimiterBusy, "rule `s`".to_owned())));
    assert_eq!(world.ask(&rules, 0).unwrap_err().detail, Detail::Named("rule", "h".into()));
}

/// What a refusal finds to be from before the clock was set back it mends for the requests after it: with one rule and with several.
#[test]
fn a_bucket_from_before_the_clock_was_set_back_is_mended_by_a_refusal() {
    let rule = |name: &str| format!(r#"{{"name":"{name}","limit":{{"requests":10,"unit":"Second"}}}}"#);
    for list in [rule("r"), format!("{},{}", rule("r"), rule("s"))] {
        let (world, rules) = (World::new(), rules(&list));
        assert_eq!(world.passed(&rules, 86_400, 20), 10);
        assert_eq!(world.passed(&rules, 0, 1), 0);
        // The bucket counts as if it were as far ahead as the clocks may lie apart, and fills up from there.
        let apart = limits::RATE_CLOCK_APART / 1_000_000_000;
        assert_eq!(world.passed(&rules, apart, 1), 0, "{list}");
        assert_eq!(world.passed(&rules, apart + 1, 20), 10, "{list}");
    }
}
