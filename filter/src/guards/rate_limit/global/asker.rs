//! May the service be asked now? How many questions are on their way, and for how long is a service left in peace that failed.
//!
//! One a worker. A service that is down costs a few requests the timeout, and then nobody: after [`limits::LIMITER_FAILURES`] failures in a row
//! it rests, and then one request at a time finds out whether it is back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::answer::Fault;
use super::lease::Leases;
use super::refused::Refusals;
use super::{Global, Question};
use crate::host::{CallId, Metrics};
use crate::limits;
use crate::metrics::{Metric, Tally};
use crate::time::Timestamp;

/// The questions of one worker.
#[derive(Debug, Default)]
pub struct Asker {
    state: RefCell<State>,
    /// What was asked for and is not spent yet.
    pub(super) leases: RefCell<Leases>,
    /// What it said no to.
    pub(super) refusals: RefCell<Refusals>,
    pub(super) tallies: Tallies,
}

/// What came of questions.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) ok: Tally,
    pub(super) over_limit: Tally,
    pub(super) failed: Tally,
    pub(super) unasked: Tally,
    pub(super) leased: Tally,
    pub(super) remembered: Tally,
}

#[derive(Debug, Default)]
struct State {
    /// Questions on their way, by which limit, and when they are given up.
    asked: Vec<(Question, Rc<Global>, u64)>,
    /// By cluster: as many as the policy names.
    circuits: HashMap<Rc<str>, Circuit>,
}

/// What is known of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Circuit {
    /// Failures in a row.
    failures: u32,
    /// Until when nobody asks.
    rest: u64,
    /// When a failure was last written to the log.
    told: Option<u64>,
}

impl Asker {
    /// Tells the host what came of questions.
    pub fn measure(&self, host: &impl Metrics) {
        let Tallies { ok, over_limit, failed, unasked, leased, remembered } = &self.tallies;
        for (outcome, tally) in [
            ("ok", ok),
            ("over_limit", over_limit),
            ("failed", failed),
            ("unasked", unasked),
            ("leased", leased),
            ("remembered", remembered),
        ] {
            Metric::LimiterCalls.add(host, &[outcome], tally.take());
        }
    }

    /// Whether a question may be sent now. Where a service has rested, this is the one that finds out: for its `timeout` (in nanoseconds)
    /// nobody else is let through.
    pub fn admit(&self, cluster: &str, timeout: u64, now: Timestamp) -> Result<(), Fault> {
        let mut state = self.state.borrow_mut();
        state.asked.retain(|(.., until)| now.nanos() < *until);
        if state.asked.len() >= limits::LIMITER_QUESTIONS {
            return Err(Fault::Crowded);
        }
        if let Some(circuit) = state.circuits.get_mut(cluster)
            && circuit.failures >= limits::LIMITER_FAILURES
        {
            // A clock that was set back ends a rest at once.
            let left = circuit.rest.saturating_sub(now.nanos());
            if left > 0 && left <= limits::LIMITER_REST.max(timeout) {
                return Err(Fault::Resting);
            }
            circuit.rest = now.nanos().saturating_add(timeout);
        }
        Ok(())
    }

    /// A question was sent, and is given up at that time.
    pub fn sent(&self, question: Question, global: &Rc<Global>, until: u64) {
        self.state.borrow_mut().asked.push((question, Rc::clone(global), until));
    }

    /// A question was answered: which, if it was one of ours.
    pub fn answered(&self, call: CallId) -> Option<(Question, Rc<Global>)> {
        let mut state = self.state.borrow_mut();
        let place = state.asked.iter().position(|(question, ..)| question.call == call)?;
        let (question, global, _) = state.asked.swap_remove(place);
        Some((question, global))
    }

    /// The service answered as it should.
    pub fn worked(&self, cluster: &str) {
        if let Some(circuit) = self.state.borrow_mut().circuits.get_mut(cluster) {
            circuit.failures = 0;
        }
    }

    /// It did not; whether that should be written to the log, which is once in [`limits::LIMITER_REST`].
    pub fn failed(&self, cluster: &Rc<str>, now: Timestamp) -> bool {
        let mut state = self.state.borrow_mut();
        let circuit = state.circuits.entry(Rc::clone(cluster)).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures >= limits::LIMITER_FAILURES {
            circuit.rest = now.nanos().saturating_add(limits::LIMITER_REST);
        }
        let quiet = circuit.told.is_some_and(|told| now.nanos().abs_diff(told) < limits::LIMITER_REST);
        if !quiet {
            circuit.told = Some(now.nanos());
        }
        !quiet
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::Question;
    use super::super::answer::Fault;
    use super::super::tests::{document, global};
    use super::Asker;
    use crate::host::CallId;
    use crate::limits::{LIMITER_FAILURES, LIMITER_QUESTIONS, LIMITER_REST};
    use crate::testing::test;
    use crate::time::Timestamp;

    const TIMEOUT: u64 = 1000;
    const NOW: u64 = 1 << 60;

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_service_that_fails_rests_and_one_request_finds_out() {
        let (asker, rls): (_, Rc<str>) = (Asker::default(), "rls".into());
        let may = |nanos| asker.admit("rls", TIMEOUT, at(nanos));
        for _ in 1..LIMITER_FAILURES {
            assert_eq!(may(NOW), Ok(()));
            asker.failed(&rls, at(NOW));
        }
        asker.worked("rls");
        for failure in 1..=LIMITER_FAILURES {
            assert_eq!(may(NOW), Ok(()), "a success in between");
            assert!(!asker.failed(&rls, at(NOW)), "{failure}: told a moment ago");
        }
        assert_eq!((may(NOW), may(NOW + LIMITER_REST - 1)), (Err(Fault::Resting), Err(Fault::Resting)));
        assert_eq!(asker.admit("other", TIMEOUT, at(NOW)), Ok(()), "another service is another");
        // One may; the others not before it had its time.
        let after = NOW + LIMITER_REST;
        assert_eq!(
            (may(after), may(after), may(after + TIMEOUT - 1)),
            (Ok(()), Err(Fault::Resting), Err(Fault::Resting))
        );
        // Nobody heard of that one again: the next.
        assert_eq!(may(after + TIMEOUT), Ok(()));
        assert!(asker.failed(&rls, at(after + TIMEOUT)), "told again after a while");
        assert_eq!(may(after + TIMEOUT + 1), Err(Fault::Resting), "one failure after a rest is enough");
        asker.worked("rls");
        assert_eq!(may(after + TIMEOUT + 1), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_a_rest() {
        let (asker, rls): (_, Rc<str>) = (Asker::default(), "rls".into());
        for _ in 0..LIMITER_FAILURES {
            asker.failed(&rls, at(NOW));
        }
        assert_eq!(asker.admit("rls", TIMEOUT, at(NOW / 2)), Ok(()));
    }

    #[test]
    fn questions_are_bounded_and_forgotten() {
        let (asker, global) = (Asker::default(), global(&document("")));
        let question = |call| Question { call: CallId(call), patience: TIMEOUT, key: [0; 32], lease: None };
        for number in 0..LIMITER_QUESTIONS {
            assert_eq!(asker.admit("rls", TIMEOUT, at(NOW)), Ok(()));
            asker.sent(question(u32::try_from(number).unwrap()), &global, NOW + TIMEOUT);
        }
        assert_eq!(asker.admit("rls", TIMEOUT, at(NOW)), Err(Fault::Crowded));
        assert_eq!(asker.answered(CallId(7)).map(|(found, _)| found), Some(question(7)));
        assert!(asker.answered(CallId(7)).is_none());
        assert_eq!(asker.admit("rls", TIMEOUT, at(NOW)), Ok(()));
        asker.sent(question(7), &global, NOW + TIMEOUT);
        assert_eq!(asker.admit("rls", TIMEOUT, at(NOW)), Err(Fault::Crowded));
        assert_eq!(asker.admit("rls", TIMEOUT, at(NOW + TIMEOUT)), Ok(()));
        assert!(asker.answered(CallId(8)).is_none(), "given up");
    }

    /// It rests from the last failure on, and the log hears of it as often.
    #[test]
    fn a_rest_is_as_long_as_it_should_be() {
        let (asker, rls): (_, Rc<str>) = (Asker::default(), "rls".into());
        for _ in 1..LIMITER_FAILURES {
            asker.failed(&rls, at(NOW));
        }
        let last = NOW + LIMITER_REST - 1;
        assert!(!asker.failed(&rls, at(last)), "told before that");
        for (nanos, may) in [(last, false), (last + LIMITER_REST - 1, false), (last + LIMITER_REST, true)] {
            assert_eq!(asker.admit("rls", TIMEOUT, at(nanos)).is_ok(), may, "{nanos}");
        }
        assert!(asker.failed(&rls, at(NOW + LIMITER_REST)), "told again");
    }
}
