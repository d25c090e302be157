//! The checks, one folder each, in the order in which they run.
//!
//! A guard is a function of what it is given: bytes, rules, state, now. It may use the evidence of guards above it in
//! this list, never of those below.

// A blank line between any two, or rustfmt puts them in the order of the alphabet.

pub mod shape;

pub mod route;

pub mod exposure;

pub mod overload;

pub mod cors;

pub mod identity;

pub mod access;

pub mod rate_limit;

pub mod body;

pub mod assertion;

pub mod response;
