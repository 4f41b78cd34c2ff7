//! Indices and ids of keys, lanes, limits, models, rules and waiters: one type for each.

use std::{num::NonZeroU32, sync::Arc};

use crate::words::hash;

macro_rules! index {
    ($(#[$doc:meta])+ $name:ident($number:ty)) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) struct $name($number);

        impl $name {
            pub(super) fn new(index: usize) -> Self {
                Self(index as $number)
            }
        }

        impl From<$name> for usize {
            #[inline]
            fn from(index: $name) -> Self {
                index.0 as usize
            }
        }
    };
}

/// Lets an index of this kind alone find an item of such a list.
macro_rules! finds {
    ($index:ident in $list:ty, $item:ty) => {
        impl std::ops::Index<$crate::limiter::$index> for $list {
            type Output = $item;

            #[inline]
            fn index(&self, index: $crate::limiter::$index) -> &$item {
                &self[usize::from(index)]
            }
        }

        impl std::ops::IndexMut<$crate::limiter::$index> for $list {
            #[inline]
            fn index_mut(&mut self, index: $crate::limiter::$index) -> &mut $item {
                &mut self[usize::from(index)]
            }
        }
    };
}

index! {
    /// A key in the registry. Another key may have the same index later.
    KeyIndex(u32)
}

index! {
    /// A lane in its key.
    LaneIndex(u16)
}

index! {
    /// A limit in its key.
    LimitIndex(u16)
}

index! {
    /// A rule in the table in force.
    RuleIndex(u32)
}

index! {
    /// A waiting request. Another request may have the same id later.
    WaiterId(u32)
}

impl KeyIndex {
    pub(super) const MIN: Self = Self(0);
    pub(super) const MAX: Self = Self(u32::MAX);
}

/// One key of all that were ever made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyRef {
    pub(super) index: KeyIndex,
    /// The number of the key among all keys ever made.
    pub(super) born: u64,
}

/// The model of a lane, as a keyed hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ModelId(u64);

impl ModelId {
    /// No model.
    pub(super) const NONE: Self = Self(0);
    /// All models of a key without a lane of their own.
    pub(super) const OVERFLOW: Self = Self(u64::MAX);

    pub(super) fn of(model: &Arc<str>) -> Self {
        Self(hash(model).clamp(1, u64::MAX - 1))
    }
}

/// A rule, in this table and in the tables after it that limit the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RuleId(NonZeroU32);

impl RuleId {
    pub(super) const FIRST: Self = Self(NonZeroU32::MIN);

    /// Returns the id, and moves on to the next one.
    pub(super) fn take_next(&mut self) -> Self {
        let id = *self;
        self.0 = self.0.saturating_add(1);
        id
    }
}
