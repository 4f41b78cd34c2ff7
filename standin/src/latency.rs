//! How long a response takes.

use std::{ops::RangeInclusive, time::Duration};

/// Delays spread over a range, the same from run to run.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    range: RangeInclusive<Duration>,
}

impl Latency {
    pub(crate) fn new(range: RangeInclusive<Duration>) -> Self {
        assert!(
            range.start() <= range.end(),
            "a latency range goes from the shorter to the longer: write 2 ms..=20 ms"
        );
        Self { range }
    }

    /// The delay of the `nth` response.
    pub(crate) fn nth(&self, nth: u64) -> Duration {
        let span = (*self.range.end() - *self.range.start()).as_micros() as u64;
        *self.range.start() + Duration::from_micros(scrambled(nth) % span.saturating_add(1))
    }
}

/// SplitMix64: consecutive numbers in, numbers that look random out.
pub(crate) fn scrambled(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
