//! The pace of a limit while nothing moves it.

/// A number in a time, counted by one of three rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) rule: Rule,
    pub(crate) max: u32,
    /// In microseconds.
    pub(crate) per: u64,
}

/// How a limit counts; times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Fixed { phase: u64 },
    Sliding,
    Gcra { burst: u32 },
}

impl Pace {
    /// The average rate per second, as the API's headers give it.
    pub(crate) fn rate(self) -> f64 {
        f64::from(self.max) * 1e6 / self.per as f64
    }

    /// The same rule for another number; a burst is as long as it was.
    pub(crate) fn with_max(self, max: u32) -> Self {
        let rule = match self.rule {
            Rule::Gcra { burst } => {
                let burst = u64::from(burst) * u64::from(max) / u64::from(self.max);
                let burst = burst.clamp(1, u32::MAX.into()) as u32;
                Rule::Gcra { burst }
            }
            rule => rule,
        };
        Self { rule, max, ..self }
    }
}
