use std::time::Duration;

use crate::words::{Error, Span};

/// A number of requests or tokens per window of time: `Quota::per_minute(600)?`.
///
/// # What is promised
///
/// No window of length [`per`](Quota::per), wherever it starts, holds more than [`max`](Quota::max)
/// departures. With work always waiting, over 20 windows of 30 s or more, at least 99 % of the quota is used.
/// Departures are *paced*: one every `(per + margin) / max`. Together quotes its limits per minute and
/// enforces them per second ("if 60 RPM, then we limit requests over 1 RPS internally",
/// docs.together.ai/docs/rate-limits, early 2026), so 600 a minute sent in the first second are rejected 590
/// times.
///
/// A timer is late by a millisecond, and a busy program by more. To keep this from adding up, a request that
/// waited and departs up to a quarter of the margin late (50 ms at most) delays nothing after it. In return a
/// few requests may depart together above 20 a second.
///
/// # What it costs
///
/// The margin keeps requests that departed evenly spaced from arriving bunched: a network whose delay varies
/// by `m` can squeeze `per + m` of sending into `per` of receiving. The default margin is a two-hundredth of
/// the window, 200 ms at most:
///
/// | window | margin | of the quota, used at most |
/// |---|---|---|
/// | 1 s | 5 ms | 99.5 % |
/// | 10 s | 50 ms | 99.5 % |
/// | 60 s | 200 ms | 99.7 % |
/// | 1 h | 200 ms | 99.99 % |
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tower_together::Quota;
///
/// let chat = Quota::per_minute(600)?;
/// let careful = Quota::new(600, Duration::from_secs(60))?
///     .with_burst(5)?
///     .with_margin(Duration::from_millis(500))?;
///
/// let wrong = Quota::per_minute(0).unwrap_err();
/// assert!(wrong.to_string().contains("at least 1"));
/// # Ok::<(), tower_together::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    max: u64,
    per: Span,
    burst: u64,
    margin: Span,
    windowed: bool,
}

impl Quota {
    /// `max` per window of `per`, paced, with the default margin and no burst.
    ///
    /// # Errors
    ///
    /// If `max` is 0 or more than one every 100 ns, or `per` is not between 1 ms and 366 days.
    pub fn new(max: u64, per: Duration) -> Result<Self, Error> {
        if max == 0 {
            return Err(Error::quota(
                "a quota of 0 lets nothing through: write at least 1, or drop the requests \
                 yourself",
            ));
        }
        if per < SHORTEST || per > LONGEST {
            return Err(Error::quota(format!(
                "a window of {per:?} cannot be paced: write between {SHORTEST:?} and {LONGEST:?}, \
                 for example Duration::from_secs(60)"
            )));
        }
        let per = Span::from(per);
        if per / max < CLOSEST {
            return Err(Error::quota(format!(
                "{max} in that window is more than one every {} ns: write at most {}, or \
                 leave the limit out, since what no limit names is not limited",
                CLOSEST.as_nanos(),
                per / CLOSEST
            )));
        }
        Ok(Self {
            max,
            per,
            burst: 1,
            margin: (per / 200).min(WIDEST_DEFAULT_MARGIN),
            windowed: false,
        })
    }

    /// `max` per second.
    ///
    /// # Errors
    ///
    /// Those of [`Quota::new`].
    pub fn per_second(max: u64) -> Result<Self, Error> {
        Self::new(max, Duration::from_secs(1))
    }

    /// `max` per minute, as Together quotes its limits.
    ///
    /// # Errors
    ///
    /// Those of [`Quota::new`].
    pub fn per_minute(max: u64) -> Result<Self, Error> {
        Self::new(max, Duration::from_secs(60))
    }

    /// `max` per hour.
    ///
    /// # Errors
    ///
    /// Those of [`Quota::new`].
    pub fn per_hour(max: u64) -> Result<Self, Error> {
        Self::new(max, Duration::from_secs(3600))
    }

    /// Lets up to `burst` requests depart together after a quiet time. Default: 1.
    ///
    /// A burst is paid for out of the steady rate, which falls to `max - burst + 1` per window. Otherwise the
    /// promise of [`Quota`] would not hold: a bucket of 600 that refills 600 a minute sends 1,200 in its
    /// first minute. A burst that would take more than a century to pay for is cut to one that takes a
    /// century.
    ///
    /// # Errors
    ///
    /// If `burst` is 0 or more than `max`.
    pub fn with_burst(mut self, burst: u64) -> Result<Self, Error> {
        if burst == 0 || burst > self.max {
            return Err(Error::quota(format!(
                "a burst of {burst} does not fit a quota of {max}: write between 1 and {max}",
                max = self.max
            )));
        }
        self.burst = burst;
        Ok(self.bounded())
    }

    /// Sets how much the network's delay may vary between two requests without the server seeing them too
    /// close. Default: a two-hundredth of the window, 200 ms at most.
    ///
    /// The rate becomes `max` per `per + margin`. A server that counts in strict windows of one second
    /// rejects requests that the network bunches, whatever the pace. At 600 a minute and delays of 5 to 150
    /// ms each way, simulated (`simulation/tests/saturation`):
    ///
    /// | margin | of the quota, used | 429 responses |
    /// |---|---|---|
    /// | 200 ms, the default | 97.5 % | 2.2 % |
    /// | 2.5 s | 95.2 % | 0.9 % |
    /// | 5 s | 92.1 % | 0.2 % |
    ///
    /// Every other server in the simulation rejected nothing at the default margin.
    ///
    /// # Errors
    ///
    /// If `margin` is longer than the window.
    pub fn with_margin(mut self, margin: Duration) -> Result<Self, Error> {
        if margin > self.per() {
            return Err(Error::quota(format!(
                "a margin of {margin:?} is longer than the window of {:?}: write at most the \
                 window, usually the spread of the network's delay, for example \
                 Duration::from_millis(200)",
                self.per()
            )));
        }
        self.margin = margin.into();
        Ok(self.bounded())
    }

    /// Counts a sliding window exactly instead of pacing. Up to `max` requests depart at once after a quiet
    /// time, and each makes room for another `per + margin` later.
    ///
    /// For servers *known* to count whole windows, never Together: it responds with 429 to all but the first
    /// second's worth. It costs 16 bytes for each request of the last window, or 40 if several lanes share
    /// it. A burst set with [`with_burst`](Quota::with_burst) has no effect. If lanes share the window, a
    /// lane that has used its share continues at the quota's pace while lanes wait that have not.
    #[must_use]
    pub fn unpaced(mut self) -> Self {
        self.windowed = true;
        self
    }

    /// Scales this quota to `part / whole`: `quota.scaled(500, 600)?` of 600 is 500.
    ///
    /// Rounded down, to at least 1.
    ///
    /// # Errors
    ///
    /// If `part` is 0 or more than `whole`.
    pub fn scaled(mut self, part: u32, whole: u32) -> Result<Self, Error> {
        if part == 0 || part > whole {
            return Err(Error::quota(format!(
                "{part} of {whole} is not a part of a quota: write a part between 1 and the whole, \
                 for example scaled(500, 600)"
            )));
        }
        let kept = u128::from(self.max) * u128::from(part) / u128::from(whole);
        self.max = u64::try_from(kept).unwrap_or(self.max).max(1);
        self.burst = self.burst.min(self.max);
        Ok(self.bounded())
    }

    /// The former name of [`scaled`](Self::scaled).
    ///
    /// # Errors
    ///
    /// As `scaled`.
    #[deprecated(since = "0.1.0", note = "renamed `scaled`")]
    pub fn keep_to(self, part: u32, whole: u32) -> Result<Self, Error> {
        self.scaled(part, whole)
    }

    /// The number of requests or tokens that fit in one window.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The length of the window.
    pub fn per(&self) -> Duration {
        self.per.as_duration()
    }

    /// The number of requests that may depart together after a quiet time.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// The variation of the network's delay that is allowed for.
    pub fn margin(&self) -> Duration {
        self.margin.as_duration()
    }

    /// Cuts a burst that would take more than a century to pay for: `burst * window / (max - burst + 1)`,
    /// solved for the burst.
    fn bounded(mut self) -> Self {
        let (window, century): (u128, u128) =
            (self.window().as_nanos().into(), CENTURY.as_nanos().into());
        let most = (u128::from(self.max) + 1) * century / (window + century);
        self.burst = u64::try_from(most).map_or(self.burst, |most| self.burst.min(most.max(1)));
        self
    }

    pub(crate) fn allows_more_than(&self, other: &Quota) -> bool {
        let [own, others] = [self.per, other.per].map(|per| u128::from(per.as_nanos()));
        u128::from(self.max) * others > u128::from(other.max) * own
    }

    pub(crate) fn is_windowed(&self) -> bool {
        self.windowed
    }

    /// The window that the client keeps to: `per + margin`.
    pub(crate) fn window(&self) -> Span {
        self.per + self.margin
    }

    /// The time between two departures, rounded up so that the rate is never exceeded.
    pub(crate) fn interval(&self) -> Span {
        self.window().div_ceil(self.max - self.burst + 1)
    }

    /// A departure may be this late without delaying those after it.
    ///
    /// A timer that fires a millisecond late at each of ten requests a second would otherwise cost 1 % of the
    /// quota. The lateness is taken out of the margin, which keeps the promise whole.
    pub(crate) fn lateness(&self) -> Span {
        self.margin.min(WIDEST_DEFAULT_MARGIN) / 4
    }
}

/// Intervals are whole nanoseconds, rounded up. An interval of at least 100 ns loses less than 1 % to this.
const CLOSEST: Span = Span::nanos(100);
/// Tokio's timer counts in milliseconds.
const SHORTEST: Duration = Duration::from_millis(1);
/// Sums of a few windows stay far below the 584 years that 64 bits of nanoseconds hold.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// The time to pay for a burst is counted in the same 64 bits.
const CENTURY: Span = Span::secs(100 * 366 * 24 * 3_600);
/// Covers the variation of the delay on an ordinary path (5 to 150 ms each way).
const WIDEST_DEFAULT_MARGIN: Span = Span::millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_right_is_rejected_in_words() {
        let minute = Duration::from_secs(60);
        let says = |result: Result<Quota, Error>, words: &str| {
            let error = result.expect_err(words);
            assert!(error.is_quota());
            assert!(error.to_string().contains(words), "{error}");
        };
        says(Quota::new(0, minute), "write at least 1");
        says(Quota::new(u64::MAX, minute), "at most 600000000,");
        says(Quota::new(1, Duration::ZERO), "between 1ms");
        says(Quota::new(1, Duration::MAX), "between 1ms");
        let ten = Quota::new(10, minute).unwrap();
        says(ten.with_burst(0), "between 1 and 10");
        says(ten.with_burst(11), "between 1 and 10");
        says(
            ten.with_margin(Duration::from_secs(61)),
            "at most the window",
        );
        says(ten.scaled(0, 6), "between 1 and the whole");
        says(ten.scaled(7, 6), "between 1 and the whole");
    }

    #[test]
    fn a_burst_is_paid_out_of_the_rate() {
        let quota = Quota::per_minute(600).unwrap();
        assert_eq!(quota.interval(), Span::nanos(100_333_334));
        let burst = quota.with_burst(101).unwrap();
        assert_eq!(burst.interval(), Span::millis(60_200).div_ceil(500));
    }

    #[test]
    fn part_of_a_quota() {
        let quota = Quota::per_minute(600).unwrap();
        assert_eq!(quota.scaled(500, 600).unwrap().max(), 500);
        let burst = quota.with_burst(400).unwrap();
        assert_eq!(burst.scaled(1, 2).unwrap().burst(), 300);
        assert_eq!(burst.scaled(5, 6).unwrap().burst(), 400);
        let year = Quota::new(1 << 48, LONGEST).unwrap();
        assert_eq!(year.scaled(u32::MAX, u32::MAX).unwrap().max(), 1 << 48);
        assert_eq!(Quota::per_minute(1).unwrap().scaled(1, 2).unwrap().max(), 1);
    }

    #[test]
    fn lateness_stays_small_when_the_margin_is_wide() {
        let wide = Quota::per_minute(600)
            .unwrap()
            .with_margin(Duration::from_secs(3))
            .unwrap();
        assert_eq!(wide.lateness(), Span::millis(50));
    }
}
