//! How is a number written where each request of a flood has some to write? Without a formatter, which would be most of what it costs.

/// Digits of the largest number.
const MOST: usize = 20;

/// The digits of a number.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; MOST],
    start: usize,
}

impl Decimal {
    /// As few digits as it takes, one at least.
    pub fn of(number: u64) -> Self {
        let mut digits = [b'0'; MOST];
        let mut start = MOST;
        let mut rest = number;
        for place in digits.iter_mut().rev() {
            *place = digit(rest % 10);
            start = start.saturating_sub(1);
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        self.digits.get(self.start..).and_then(|digits| core::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

/// Overwrites `places` with the last digits of a number, zeros before them.
pub fn put_padded(number: u64, places: &mut [u8]) {
    let mut rest = number;
    for place in places.iter_mut().rev() {
        *place = digit(rest % 10);
        rest /= 10;
    }
}

/// Below ten.
fn digit(value: u64) -> u8 {
    b'0' | u8::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Decimal, put_padded};
    use crate::testing::test;

    #[test]
    fn numbers_read_as_a_formatter_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 429, 1_000_000_007, u64::MAX - 1, u64::MAX] {
            assert_eq!(Decimal::of(number).as_str(), number.to_string());
        }
        for (number, text) in [(7, "007"), (42, "042"), (999, "999"), (1234, "234")] {
            let mut places = *b"xxx";
            put_padded(number, &mut places);
            assert_eq!(places, text.as_bytes());
        }
    }
}
