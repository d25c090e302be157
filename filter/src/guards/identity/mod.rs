//! Who is calling?

pub mod caller;

pub use caller::{Caller, Token};
