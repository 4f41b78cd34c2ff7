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

/// An operator between two types.
macro_rules! operator {
    ($op:ident::$name:ident($left:ident: $l:ty, $right:ident: $r:ty) -> $output:ty { $result:expr }) => {
        impl $op<$r> for $l {
            type Output = $output;

            #[inline]
            fn $name(self, $right: $r) -> $output {
                let $left = self;
                $result
            }
        }
    };
}

operator!(Add::add(at: Instant, span: Span) -> Instant { Instant(at.0.saturating_add(span.0)) });
operator!(Sub::sub(at: Instant, span: Span) -> Instant { Instant(at.0.saturating_sub(span.0)) });
operator!(Sub::sub(at: Instant, earlier: Instant) -> Span { Span(at.0.saturating_sub(earlier.0)) });
operator!(Div::div(at: Instant, by: Span) -> u64 { at.0 / by.0 });
operator!(Rem::rem(at: Instant, by: Span) -> Span { Span(at.0 % by.0) });
operator!(Add::add(span: Span, other: Span) -> Span { Span(span.0.saturating_add(other.0)) });
operator!(Sub::sub(span: Span, other: Span) -> Span { Span(span.0.saturating_sub(other.0)) });
operator!(Mul::mul(span: Span, times: u64) -> Span { Span(span.0.saturating_mul(times)) });
operator!(Div::div(span: Span, by: u64) -> Span { Span(span.0 / by) });
operator!(Div::div(span: Span, by: Span) -> u64 { span.0 / by.0 });
