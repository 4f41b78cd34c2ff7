//! Indices and ids of keys, lanes, limits, rules and waiters: one type for each.

use std::{
    num::NonZeroU32,
    ops::{Index, IndexMut},
};

use slab::Slab;
use smallvec::SmallVec;

use super::{key::Limit, lane::Lane, waiter::Waiter};

macro_rules! index {
    ($(#[$doc:meta])+ $name:ident($number:ty) $(in $list:ty, $item:ty)?) => {
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

        $(
            impl Index<$name> for $list {
                type Output = $item;

                #[inline]
                fn index(&self, index: $name) -> &$item {
                    &self[usize::from(index)]
                }
            }

            impl IndexMut<$name> for $list {
                #[inline]
                fn index_mut(&mut self, index: $name) -> &mut $item {
                    &mut self[usize::from(index)]
                }
            }
        )?
    };
}

index! {
    /// The place of a key in the registry. Another key may have it later.
    KeyIndex(u32)
}

index! {
    /// The place of a lane in its key.
    LaneIndex(u16) in SmallVec<[Lane; 1]>, Lane
}

index! {
    /// The place of a limit in its key.
    LimitIndex(u16) in SmallVec<[Limit; 2]>, Limit
}

index! {
    /// The place of a rule in the table in force.
    RuleIndex(u32)
}

index! {
    /// A waiting request. Another request may have the same id later.
    WaiterId(u32) in Slab<Waiter>, Waiter
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
