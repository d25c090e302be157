//! Is the table made once, found again, and never repaired under a request?

use core::num::NonZeroU32;

use super::{Counts, Shared, Trouble, World, head, rules};
use crate::decision::{Detail, Reason};
use crate::guards::identity::caller::Caller;
use crate::guards::rate_limit::Table;
use crate::guards::rate_limit::slot::{BYTES, WAYS};
use crate::host::SharedData;
use crate::limits;
use crate::testing::test;

#[test]
fn a_slot_that_is_missing_or_no_slot_is_refused_and_not_made() {
    let rules = rules(r#"{"name":"r","limit":{"requests":5,"unit":"Hour"}}"#);
    for (value, status) in [(None, 1), (Some(0), 4), (Some(8), 4), (Some(287), 4), (Some(289), 4)] {
        let world = World::new();
        for index in 0..8 {
            let key = format!("portcullis.limits.v2.8.{index}");
            let old = world.data.values.borrow_mut().remove(&key);
            assert!(old.is_some());
            value.map(|len| world.data.set_shared(&key, &vec![0; len], None));
        }
        let before = world.data.state();
        let refusal = world.ask(&rules, 0).unwrap_err();
        let Detail::Host(error) = refusal.detail else { panic!("{refusal:?}") };
        assert_eq!((refusal.reason, error.status), (Reason::HostFailed, status));
        assert_eq!(world.data.state(), before);
    }
}

#[test]
fn a_table_is_made_once_and_found_again() {
    let (data, eight) = (Shared::default(), NonZeroU32::new(8).unwrap());
    let seed = *b"sixteen, but odd";
    Table::sized(&data, seed, eight).unwrap();
    assert_eq!((data.values.borrow().len(), data.writes.get()), (9, 9));
    let before = data.state();
    let again = Table::sized(&data, [2; 16], eight).unwrap();
    assert_eq!((data.writes.get(), again.seed()), (9, &seed), "the first seed holds");
    assert_eq!(data.state(), before);
    // A first load that was cut off is finished by the next, and what is there stays.
    let key = "portcullis.limits.v2.8.7";
    data.values.borrow_mut().remove(key);
    data.set_shared("portcullis.limits.v2.8.0", &[3; BYTES], None).unwrap();
    Table::sized(&data, [2; 16], eight).unwrap();
    assert!(data.values.borrow().contains_key(key));
    assert_eq!(data.values.borrow()["portcullis.limits.v2.8.0"].0, [3; BYTES]);
    // A host that has no "create if absent".
    let data = Shared::default();
    data.trouble.set(Trouble::Loses);
    assert!(Table::sized(&data, [1; 16], eight).is_ok());
    assert_eq!(data.values.borrow().len(), 9);
}

#[test]
fn a_table_that_cannot_be_made_is_an_error() {
    let eight = NonZeroU32::new(8).unwrap();
    for trouble in [Trouble::Reads, Trouble::Writes] {
        let data = Shared::default();
        data.trouble.set(trouble);
        assert!(Table::sized(&data, [1; 16], eight).is_err());
    }
    let data = Shared::default();
    data.set_shared("portcullis.limits.v2.seed", b"short", None).unwrap();
    assert_eq!(Table::sized(&data, [1; 16], eight).unwrap_err().status, 4);
}

#[test]
fn the_whole_table_has_the_names_it_should() {
    let data = Shared::default();
    Table::prepare(&data, [1; 16], limits::STATE_BYTES).unwrap();
    let values = data.values.borrow();
    let slots = 16_384;
    assert_eq!(values.len(), slots + 1);
    assert!((0..slots).all(|index| values.contains_key(&format!("portcullis.limits.v2.{slots}.{index}"))));
    let bytes: usize = values.iter().map(|(name, (value, _))| name.len() + value.len() + 110).sum();
    assert!((6 << 20..8 << 20).contains(&bytes), "{bytes}");
    assert!(bytes as u64 <= limits::STATE_BYTES);
}

/// Each once, and each by the name under which somebody looks for it.
#[test]
fn evictions_and_lost_races_are_told() {
    let data = Shared::default();
    let table = Table::sized(&data, [7; 16], NonZeroU32::MIN).unwrap();
    let world = World { data, table, head: head(&[]) };
    let rules = rules(r#"{"name":"r","by":[{"header":"x-key"}],"limit":{"requests":5,"unit":"Hour"}}"#);
    let sent = |key: usize| {
        let head = head(&[("x-key", key.to_string().as_bytes())]);
        assert!(world.sent(&rules, &Caller::Anonymous, &head, 0).is_ok(), "{key}");
    };
    let told = || {
        let counts = Counts::default();
        world.table.measure(&counts);
        (counts.of("bucket_evictions_total"), counts.of("bucket_lost_races_total"))
    };
    (0..WAYS).chain(0..WAYS).for_each(sent);
    assert_eq!(told(), (0, 0), "all have room");
    (WAYS..WAYS + 3).for_each(sent);
    assert_eq!(told(), (3, 0));
    world.data.trouble.set(Trouble::LosesFirst(4));
    sent(WAYS + 2);
    assert_eq!(told(), (0, 4), "what was told is not told again");
}
