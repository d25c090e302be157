//! What has a request cost in the end? Told by a header of the response, settled with the bucket that the request was charged to.

use std::rc::Rc;

use super::table::{Charge, Fault, Table};
use crate::host::SharedData;
use crate::limits;
use crate::time::Timestamp;

/// What is to be settled with one rule when the response is there.
#[derive(Clone, Debug)]
pub struct Due {
    /// What was charged, and the state that it left; `None` if nothing was, and the header is only no business of the client's.
    paid: Option<(Charge, u64)>,
    header: Rc<str>,
}

impl Due {
    /// `paid` was charged and left the state `written`; `header` will say what it should have been.
    pub(super) fn new(paid: Charge, written: u64, header: Rc<str>) -> Self {
        Self { paid: Some((paid, written)), header }
    }

    /// Nothing was charged, since the rule would have refused the request and is in Shadow.
    pub(super) fn unpaid(header: Rc<str>) -> Self {
        Self { paid: None, header }
    }

    /// The header of the response that tells the cost.
    pub fn header(&self) -> &Rc<str> {
        &self.header
    }

    /// Takes what is missing at `now`, or gives back what was too much. `said` is the header's value: a whole number, at most
    /// [`limits::COST_MAX`] of which count; anything else leaves what was paid.
    pub fn settle(
        &self,
        said: Option<&[u8]>,
        now: Timestamp,
        data: &impl SharedData,
        table: &Table,
    ) -> Result<(), Fault> {
        let (Some(cost), Some((paid, written))) = (said.and_then(whole), self.paid) else { return Ok(()) };
        let cost = cost.min(limits::COST_MAX);
        if let Some(missing @ 1..) = cost.checked_sub(paid.cost) {
            return table.owe(data, &Charge { cost: missing, now, ..paid });
        }
        if let Some(spare @ 1..) = paid.cost.checked_sub(cost) {
            table.refund(data, &Charge { cost: spare, now, ..paid }, written);
        }
        Ok(())
    }
}

/// Digits only: `+5`, `5.0` and `5, 5` are no cost. More than fits in 64 bits is as much as fits.
fn whole(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, b: &u8| sum.saturating_mul(10).saturating_add(u64::from(b.saturating_sub(b'0')));
    digits.then(|| value.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::whole;
    use crate::testing::test;

    #[test]
    fn costs_are_whole_numbers() {
        for (value, cost) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("007", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1.0", None),
            ("1, 2", None),
            (" 1", None),
        ] {
            assert_eq!(whole(value.as_bytes()), cost, "{value:?}");
        }
    }
}
