//! Which route does a request take? The most specific one that matches, whatever the order in the document.
//!
//! The host decides first (a name over the longer wildcard over none), then the path (`Exact` over `Template` over
//! `RegularExpression` over `PathPrefix`, the more specific of each first), then how many headers are matched, then
//! whether methods are named. Two routes that could both win are an error of the policy ([`Clash`]), so the answer
//! never hangs on the order.
//!
//! What this does not protect against: an upstream that reads the path in another way than the gateway does, such as one
//! that ignores case. `http::path` refuses the paths on which readers are known to differ.

mod bucket;
pub mod config;
pub mod path;
mod table;

pub use bucket::Clash;
pub use config::{MATCH, Match};
pub use table::Table;

#[cfg(test)]
mod tests;
