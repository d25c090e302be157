//! What time is it, and how long is that?

use core::fmt;

use crate::decimal::put_padded;

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

    /// From RFC 3339 §5.6: `2026-11-24T03:10:00Z`, `2026-11-24T04:10:00.25+01:00`. `None` for anything else, for what the clock
    /// cannot hold (before 1970, after 2554), and, stricter than the RFC, for lower-case `t` and `z`, a leap second, and `-00:00`
    /// (§4.3: an offset that nobody knows).
    pub fn parse(text: &str) -> Option<Self> {
        let (date, rest) = text.split_at_checked(10)?;
        let (time, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
        let (fraction, offset) = match rest.strip_prefix('.') {
            Some(rest) => {
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                let (digits, offset) = rest.split_at_checked(end)?;
                (fraction(digits)?, offset)
            }
            None => (0, rest),
        };
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let of_day = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
        let local = days(year, month, day)?.checked_mul(86_400)?.checked_add(of_day)?;
        let (east, seconds) = offset_of(offset)?;
        let utc = if east { local.checked_sub(seconds)? } else { local.checked_add(seconds)? };
        Some(Self(utc.checked_mul(SECOND)?.checked_add(fraction)?))
    }
}

/// Three numbers of exactly so many digits, with `part` between them.
fn numbers(text: &str, part: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut pieces = text.split(part);
    let mut numbers = [0; 3];
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let piece = pieces.next().filter(|piece| piece.len() == digits && is_digits(piece))?;
        *number = piece.parse().ok()?;
    }
    pieces.next().is_none().then_some(numbers)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Nanoseconds of one to nine digits behind a point.
fn fraction(digits: &str) -> Option<u64> {
    let scale = u32::try_from(digits.len()).ok().and_then(|len| 9_u32.checked_sub(len))?;
    is_digits(digits).then(|| digits.parse::<u64>().ok()?.checked_mul(10_u64.checked_pow(scale)?))?
}

/// `Z`, or `+hh:mm` or `-hh:mm`: whether local time is ahead of UTC, and by how many seconds.
fn offset_of(text: &str) -> Option<(bool, u64)> {
    if text == "Z" {
        return Some((true, 0));
    }
    let (east, rest) = match text.strip_prefix('+') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('-').filter(|rest| *rest != "00:00")?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let [hours, minutes] = [hours, minutes]
        .map(|piece| (piece.len() == 2 && is_digits(piece)).then(|| piece.parse::<u64>().ok()).flatten());
    let (hours, minutes) = (hours.filter(|hours| *hours < 24)?, minutes.filter(|minutes| *minutes < 60)?);
    Some((east, hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?))
}

/// Days from 1970-01-01 to a date that exists; `None` for any other.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // In years that begin on 1 March, the leap day is the last, and month lengths repeat with a period of five.
    let years = if month <= 2 { year.checked_sub(1)? } else { year };
    let months = if month <= 2 { month.checked_add(9)? } else { month.checked_sub(3)? };
    let of_year =
        months.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day.checked_sub(1)?)?;
    let leaps = (years / 4).checked_sub(years / 100)?.checked_add(years / 400)?;
    let whole = years.checked_mul(365)?.checked_add(leaps)?.checked_add(of_year)?;
    let days = whole.checked_sub(719_468)?;
    // A day that the month does not have is another day of the next one; a month that no year has, likewise.
    (civil(days) == (year, month, day)).then_some(days)
}

/// A point in time as text: RFC 3339 with milliseconds, in UTC, `2026-11-24T03:10:00.250Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339([u8; 24]);

impl Rfc3339 {
    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Timestamp> for Rfc3339 {
    fn from(time: Timestamp) -> Self {
        let seconds = time.seconds();
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let millis = time.0 / 1_000_000 % 1000;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (part, places) in [
            (year, 0..4),
            (month, 5..7),
            (day, 8..10),
            (hour, 11..13),
            (minute, 14..16),
            (second, 17..19),
            (millis, 20..23),
        ] {
            put_padded(part, text.get_mut(places).unwrap_or_default());
        }
        Self(text)
    }
}

/// As [`Rfc3339`].
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Rfc3339::from(*self).as_str())
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

    #[test]
    fn rfc_3339_is_read_strictly() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000_000_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000_000_000),
            ("2024-12-31T23:59:59.001Z", 1_735_689_599_001_000_000),
            ("2026-11-24T04:10:00.250000000+01:00", 1_795_489_800_250_000_000),
            ("2026-11-23T21:40:00.25-05:30", 1_795_489_800_250_000_000),
            ("1970-01-01T01:00:00+01:00", 0),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00Z",
            "2026-1-01T00:00:00Z",
            "26-01-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-12-31T23:59:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000000Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T00:00:00-00:00",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+01",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+01:60",
            "2026-01-01T00:00:00+01:00Z",
            "2026-01-01T00:00:00Z ",
            "+026-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2554-07-21T23:34:33.709551616Z",
            "9999-12-31T23:59:59Z",
            "２026-01-01T00:00:00Z",
            "2026-01-01T00:00:é0Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
