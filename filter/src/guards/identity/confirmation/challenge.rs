//! What does a challenge say of proofs of possession? RFC 9449 §7.1 and §7.2.

use super::Binding;
use crate::guards::identity::jwt::Algorithm;
use crate::guards::identity::rules::{Authentication, Providers};
use crate::http::Head;

/// That a route takes proofs, and what its clients should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// `algs`: blank-separated.
    pub(in crate::guards::identity) algorithms: String,
    /// Whether no token of the route may come behind `Bearer`.
    pub(in crate::guards::identity) alone: bool,
    /// Whether the request used the scheme. What was wrong is said in the challenge of the scheme that the client used.
    pub(in crate::guards::identity) used: bool,
}

/// What a route's challenges say of proofs; `None` if no provider of it takes them.
pub fn of(route: &Authentication, providers: &Providers, head: &Head) -> Option<Dpop> {
    let mut algorithms: Vec<Algorithm> = Vec::new();
    let mut alone = true;
    for provider in route.providers().iter().filter_map(|id| providers.provider(*id)) {
        let rules = &provider.confirmation;
        alone &= rules.dpop == Binding::Required;
        for algorithm in rules.proof.algorithms.iter().filter(|_| rules.takes_proofs()) {
            if !algorithms.contains(algorithm) {
                algorithms.push(*algorithm);
            }
        }
    }
    (!algorithms.is_empty()).then(|| Dpop {
        algorithms: names(&algorithms),
        alone,
        used: behind_scheme(head),
    })
}

fn behind_scheme(head: &Head) -> bool {
    head.all("authorization").any(|value| {
        value.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"dpop")) && value.get(4) == Some(&b' ')
    })
}

fn names(algorithms: &[Algorithm]) -> String {
    let name = |algorithm: &Algorithm| {
        Algorithm::WORDS.iter().find(|(_, known)| known == algorithm).map(|(word, _)| *word)
    };
    algorithms.iter().filter_map(name).collect::<Vec<_>>().join(" ")
}
