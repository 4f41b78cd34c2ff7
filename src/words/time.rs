use std::{
    ops::{Add, Div, Mul, Rem, Sub},
    time::Duration,
};

/// Nanoseconds since the limiter was made. 64 bits of them last 584 years. All arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(u64);

/// A duration in nanoseconds. All arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span(u64);

impl Instant {
    /// The instant at which the limiter was made.
    pub(crate) const START: Self = Self(0);
    /// An instant that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);
}

impl Span {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const SECOND: Self = Self::secs(1);

    pub(crate) const fn nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub(crate) const fn millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    pub(crate) const fn secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    pub(crate) const fn as_nanos(self) -> u64 {
        self.0
    }

    pub(crate) const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Divides the duration, rounding up.
    pub(crate) const fn div_ceil(self, by: u64) -> Self {
        Self(self.0.div_ceil(by))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add<Span> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Instant {
    type Output = Self;

    #[inline]
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Sub for Instant {
    type Output = Span;

    #[inline]
    fn sub(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Span {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u64> for Span {
    type Output = Self;

    #[inline]
    fn mul(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }
}

impl Div<u64> for Span {
    type Output = Self;

    #[inline]
    fn div(self, by: u64) -> Self {
        Self(self.0 / by)
    }
}

impl Div<Span> for Instant {
    type Output = u64;

    #[inline]
    fn div(self, by: Span) -> u64 {
        self.0 / by.0
    }
}

impl Div for Span {
    type Output = u64;

    #[inline]
    fn div(self, by: Self) -> u64 {
        self.0 / by.0
    }
}

impl Rem<Span> for Instant {
    type Output = Span;

    #[inline]
    fn rem(self, by: Span) -> Span {
        Span(self.0 % by.0)
    }
}
