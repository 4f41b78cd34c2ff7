use std::{
    ops::{Add, Index, IndexMut, Sub},
    time::Duration,
};

/// A unit that a server limits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Requests,
    Tokens,
}

/// One for each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Each<T> {
    pub(crate) requests: T,
    pub(crate) tokens: T,
}

/// A number of requests or tokens that are still to depart: those ahead of a request, or those that a limit
/// still allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount(pub(crate) u64);

/// The cost of departures in the unit of a limit: 1 for each request, or its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weight(pub(crate) u64);

/// The weight that a departure was charged, and the weight that it proves to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub(crate) from: Weight,
    pub(crate) to: Weight,
}

/// A limit as the server names it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NamedLimit {
    /// The limit per second.
    pub(crate) limit: Option<f64>,
    /// The number that the server still takes, and the time until it takes more.
    pub(crate) remaining: Option<(u64, Duration)>,
}

impl Unit {
    pub(crate) const BOTH: [Self; 2] = [Self::Requests, Self::Tokens];

    /// The weight of a request of `tokens` in this unit.
    pub(crate) fn weight(self, tokens: Weight) -> Weight {
        match self {
            Self::Requests => Weight(1),
            Self::Tokens => tokens,
        }
    }
}

operator!(Sub::sub(all: Amount, departed: Weight) -> Amount { Amount(all.0.saturating_sub(departed.0)) });
operator!(Add::add(own: Weight, ahead: Amount) -> Weight { Weight(own.0.saturating_add(ahead.0)) });
operator!(Sub::sub(all: Weight, earlier: Weight) -> Weight { Weight(all.0.saturating_sub(earlier.0)) });

impl Settled {
    /// A departure that was not charged before.
    pub(crate) fn charge(to: Weight) -> Self {
        Self {
            from: Weight(0),
            to,
        }
    }

    /// A departure that the server rejected.
    pub(crate) fn rejected(from: Weight) -> Self {
        Self {
            from,
            to: Weight(0),
        }
    }
}

impl<T> Index<Unit> for Each<T> {
    type Output = T;

    fn index(&self, unit: Unit) -> &T {
        match unit {
            Unit::Requests => &self.requests,
            Unit::Tokens => &self.tokens,
        }
    }
}

impl<T> IndexMut<Unit> for Each<T> {
    fn index_mut(&mut self, unit: Unit) -> &mut T {
        match unit {
            Unit::Requests => &mut self.requests,
            Unit::Tokens => &mut self.tokens,
        }
    }
}
