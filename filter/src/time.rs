//! What time is it, and how long is that?

use core::fmt;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, as the host tells it. Arithmetic saturates: a clock at either
/// end of its range stays there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From nanoseconds since the epoch, the unit of `proxy_get_current_time_nanoseconds`.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch, the unit of a JWT's `NumericDate`.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / SECOND
    }

    /// Nanoseconds from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// RFC 3339 with milliseconds, in UTC: `2026-11-24T03:10:00.250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let millis = self.0 / 1_000_000 % 1000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day of a number of days since 1970-01-01, by counting in 400-year eras that begin on 1 March.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = (of_era / 1460).saturating_sub(of_era / 36_524).saturating_add(of_era / 146_096);
    let year_of_era = of_era.saturating_sub(leaps) / 365;
    let year_days = (365_u64.saturating_mul(year_of_era))
        .saturating_add(year_of_era / 4)
        .saturating_sub(year_of_era / 100);
    let day_of_year = of_era.saturating_sub(year_days);
    let march_month = day_of_year.saturating_mul(5).saturating_add(2) / 153;
    let month_days = march_month.saturating_mul(153).saturating_add(2) / 5;
    let day = day_of_year.saturating_sub(month_days).saturating_add(1);
    let month = if march_month < 10 { march_month.saturating_add(3) } else { march_month.saturating_sub(9) };
    let year = year_of_era.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Timestamp;
    use crate::testing::test;

    #[test]
    fn timestamps_read_as_rfc_3339() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999_000_000, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_001_999_999, "2024-12-31T23:59:59.001Z"),
            (1_795_489_800_250_000_000, "2026-11-24T03:10:00.250Z"),
            (u64::MAX, "2554-07-21T23:34:33.709Z"),
        ] {
            assert_eq!(Timestamp::from_nanos(nanos).to_string(), text);
        }
    }
}
