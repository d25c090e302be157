//! Is an answer about a token still on its way? Held by whoever waits for it.

use std::cell::Cell;

use super::cache::Key;

/// What is waited for: an answer about a token.
#[derive(Debug, PartialEq, Eq)]
pub struct Pending {
    key: Key,
    /// Whether it has come, or will not.
    over: Cell<bool>,
}

impl Pending {
    /// About the token with this key.
    pub fn about(key: Key) -> Self {
        Self { key, over: Cell::new(false) }
    }

    /// The token's key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// It has come, or will not.
    pub fn end(&self) {
        self.over.set(true);
    }

    /// Whether it is on its way.
    pub fn is_on_its_way(&self) -> bool {
        !self.over.get()
    }
}
