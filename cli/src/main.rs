//! `portcullis`: the policy on the command line.

fn main() {}
