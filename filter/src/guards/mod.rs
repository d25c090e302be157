//! The checks, one folder each, in the order in which they run.
//!
//! A guard is a function of what it is given: bytes, rules, state, now. It may use the evidence of guards above it in
//! this list, never of those below.

pub mod access;
pub mod body;
pub mod identity;
pub mod rate_limit;
pub mod route;
pub mod shape;
