//! What must never be printed?

use core::fmt;
use zeroize::{Zeroize, Zeroizing};

/// A value that has no way into a log line: no `Display`, a `Debug` that says nothing, cleared when dropped.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value, for the one place that needs it. Every call is worth a look in review.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl Secret<String> {
    /// The value, to write more of it.
    pub fn expose_mut(&mut self) -> &mut String {
        &mut self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
