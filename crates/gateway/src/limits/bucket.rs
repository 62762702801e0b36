//! A minute's measure: a bucket that fills steadily.

const MINUTE_MS: i128 = 60_000;

/// Counts in thousandths of a sixtieth, so that a bucket that holds N a minute gains N a millisecond.
#[derive(Default)]
pub(super) struct Bucket {
    level: i128,
    at_ms: Option<i64>,
}

impl Bucket {
    pub fn fill(&mut self, limit: u64, now: i64) {
        let full = i128::from(limit) * MINUTE_MS;
        let since = self.at_ms.map_or(MINUTE_MS, |at| i128::from(now.saturating_sub(at).max(0)));
        let level = if self.at_ms.is_none() { full } else { self.level.saturating_add(since * i128::from(limit)) };
        self.level = level.min(full);
        self.at_ms = Some(now);
    }

    /// Milliseconds until so many are there; 0 if they are.
    pub fn wait_ms(&self, wanted: u64, limit: u64) -> u64 {
        let missing = i128::from(wanted) * MINUTE_MS - self.level;
        if missing <= 0 {
            return 0;
        }
        u64::try_from((missing + i128::from(limit.max(1)) - 1) / i128::from(limit.max(1))).unwrap_or(u64::MAX)
    }

    pub fn take(&mut self, count: i128) {
        self.level = self.level.saturating_sub(count * MINUTE_MS);
    }

    pub fn left(&self) -> u64 {
        u64::try_from(self.level.max(0) / MINUTE_MS).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_bucket_fills_steadily_and_holds_what_is_owed() {
        let mut bucket = Bucket::default();
        bucket.fill(60, 0);
        assert_eq!(bucket.left(), 60);
        bucket.take(70);
        assert_eq!((bucket.left(), bucket.wait_ms(1, 60)), (0, 11_000));
        bucket.fill(60, 11_000);
        assert_eq!((bucket.left(), bucket.wait_ms(1, 60)), (1, 0));
        bucket.fill(60, 1_000_000);
        assert_eq!(bucket.left(), 60);
    }
}
