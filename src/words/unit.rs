use std::{
    ops::{Index, IndexMut},
    time::Duration,
};

/// What a server limits per second.
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

/// What a server says of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// How many a second.
    pub(crate) limit: Option<f64>,
    /// How many more, and for how long that is all.
    pub(crate) left: Option<(u64, Duration)>,
}

impl Unit {
    pub(crate) const BOTH: [Self; 2] = [Self::Requests, Self::Tokens];
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
