//! One limit: how many requests, in what time, counted by which rule.

use std::time::Duration;

/// So many requests in so much time, by one of four rules.
///
/// A server can count "300 a minute" in several ways, and a client that keeps one of them may
/// break another. So all the usual ones are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub(crate) rule: Rule,
    pub(crate) max: u32,
    /// In microseconds.
    pub(crate) per: u64,
}

/// How a limit counts; times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Fixed { phase: u64 },
    Sliding,
    Gcra { burst: u32 },
}

impl Limit {
    /// Windows of length `per`, one after the other from the server's start, each of `max`
    /// requests.
    ///
    /// # Panics
    /// If `max` is 0 or `per` is below a microsecond.
    pub fn fixed(max: u32, per: Duration) -> Self {
        Self::new(Rule::Fixed { phase: 0 }, max, per)
    }

    /// At most `max` accepted requests in any stretch of time of length `per`.
    ///
    /// # Panics
    /// If `max` is 0 or `per` is below a microsecond.
    pub fn sliding(max: u32, per: Duration) -> Self {
        Self::new(Rule::Sliding, max, per)
    }

    /// A bucket of `burst` requests that refills evenly at `max` per `per`; full at the start.
    ///
    /// # Panics
    /// If `max` or `burst` is 0 or `per` is below a microsecond.
    pub fn gcra(max: u32, per: Duration, burst: u32) -> Self {
        assert!(
            burst > 0,
            "a burst of 0 lets nothing through: write 1 or more"
        );
        Self::new(Rule::Gcra { burst }, max, per)
    }

    /// Fixed windows of one second, each of a sixtieth of `max_per_minute`, rounded down.
    ///
    /// Below 60 a minute it is windows of one request, so much longer than a second.
    ///
    /// # Panics
    /// If `max_per_minute` is 0.
    pub fn per_second(max_per_minute: u32) -> Self {
        match max_per_minute {
            1..60 => Self::fixed(1, MINUTE / max_per_minute),
            _ => Self::fixed(max_per_minute / 60, Duration::from_secs(1)),
        }
    }

    /// Begins the windows of a [`fixed`](Self::fixed) or [`per_second`](Self::per_second) limit
    /// this much after the server's start, so that a client's minute is not the server's.
    ///
    /// # Panics
    /// On other limits: they have no windows.
    pub fn phase(mut self, phase: Duration) -> Self {
        assert!(
            matches!(self.rule, Rule::Fixed { .. }),
            "only a fixed window has a phase: use Limit::fixed or Limit::per_second"
        );
        let phase = phase.as_micros() % u128::from(self.per);
        self.rule = Rule::Fixed {
            phase: phase as u64,
        };
        self
    }

    /// GCRA with the burst of one second: "60 a minute" is measured as one a second.
    pub(crate) fn smooth(per_minute: u32) -> Self {
        Self::gcra(per_minute, MINUTE, (per_minute / 60).max(1))
    }

    fn new(rule: Rule, max: u32, per: Duration) -> Self {
        assert!(
            max > 0,
            "a limit of 0 refuses everything: write 1 or more, or no limit"
        );
        let per = u64::try_from(per.as_micros()).expect("a limit's time fits 64 bits of µs");
        assert!(per > 0, "a limit needs a time of at least a microsecond");
        Self { rule, max, per }
    }

    /// The average rate, as the API's headers give it.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.max) * 1e6 / self.per as f64
    }
}

const MINUTE: Duration = Duration::from_secs(60);
