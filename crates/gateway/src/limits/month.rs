//! A month's measure: the calendar's, in UTC.

use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

/// From the first moment of a month to that of the next, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Month {
    pub from_ms: i64,
    pub until_ms: i64,
}

impl Month {
    pub fn of(ms: i64) -> Self {
        let begins = |day: Date| Offset::UTC.to_timestamp(day.to_datetime(Time::midnight()));
        let bounds = Timestamp::from_millisecond(ms).and_then(|at| {
            let first = Offset::UTC.to_datetime(at).date().first_of_month();
            Ok((begins(first)?, begins(first.checked_add(1.month())?)?))
        });
        match bounds {
            Ok((from, until)) => Self { from_ms: from.as_millisecond(), until_ms: until.as_millisecond() },
            // Beyond the calendar, where no clock is.
            Err(_) => Self { from_ms: ms, until_ms: i64::MAX },
        }
    }

    /// How long it still lasts.
    pub fn left_ms(self, now: i64) -> u64 {
        u64::try_from(self.until_ms.saturating_sub(now)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::iso8601;
    use crate::report::read_moment;

    fn check(moment: &str, from: &str, until: &str) {
        let month = Month::of(read_moment(moment).unwrap());
        assert_eq!((iso8601(month.from_ms), iso8601(month.until_ms)), (from.to_owned(), until.to_owned()));
    }

    #[test]
    fn a_month_ends_where_the_next_begins() {
        check("2026-12-31T23:59:59Z", "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z");
        check("2026-01-01", "2026-01-01T00:00:00.000Z", "2026-02-01T00:00:00.000Z");
        check("2028-02-29T12:00:00Z", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z");
    }
}
