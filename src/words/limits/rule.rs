use std::{num::NonZeroU32, sync::Arc};

use super::Quota;
use crate::words::{Endpoint, Span, Unit, Weight};

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The endpoints that share the limit: one, unless the quota is shared.
    pub(crate) endpoints: Vec<Endpoint>,
    /// The model it applies to; `None` for every model.
    pub(crate) model: Option<Arc<str>>,
    pub(crate) cap: Cap,
    /// Whether the user wrote the number.
    pub(crate) ceiling: bool,
}

/// The thing that a line of the table limits, and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cap {
    Requests(Quota),
    Tokens(Quota),
    InFlight(NonZeroU32),
    Jobs(NonZeroU32),
}

impl Cap {
    /// The unit that it limits per second, if it is a quota.
    pub(crate) fn unit(&self) -> Option<Unit> {
        match self {
            Self::Requests(_) => Some(Unit::Requests),
            Self::Tokens(_) => Some(Unit::Tokens),
            Self::InFlight(_) | Self::Jobs(_) => None,
        }
    }

    /// The quota, or the number of slots.
    pub(crate) fn quota(&self) -> Result<&Quota, NonZeroU32> {
        match self {
            Self::Requests(quota) | Self::Tokens(quota) => Ok(quota),
            Self::InFlight(max) | Self::Jobs(max) => Err(*max),
        }
    }

    /// The weight of a request of `tokens` under this limit.
    pub(crate) fn weight(&self, tokens: Weight) -> Weight {
        match self {
            Self::Tokens(_) => tokens,
            Self::Requests(_) | Self::InFlight(_) | Self::Jobs(_) => Weight(1),
        }
    }

    /// The time between requests under the quota, if it is of this unit.
    pub(crate) fn interval(&self, unit: Unit) -> Option<Span> {
        match self {
            Self::Requests(quota) | Self::Tokens(quota) if self.unit() == Some(unit) => {
                Some(quota.interval())
            }
            _ => None,
        }
    }

    pub(super) fn allows_more_than(&self, other: &Cap) -> bool {
        match (self, other) {
            (Self::Requests(own), Self::Requests(other))
            | (Self::Tokens(own), Self::Tokens(other)) => own.allows_more_than(other),
            _ => false,
        }
    }
}

impl Rule {
    /// Whether both lines limit the same thing, perhaps to different numbers.
    pub(crate) fn is_about(&self, other: &Rule) -> bool {
        self.model == other.model && self.limits_the_same(other)
    }

    /// Whether both lines limit the same thing, perhaps for different models.
    pub(crate) fn limits_the_same(&self, other: &Rule) -> bool {
        self.endpoints == other.endpoints
            && std::mem::discriminant(&self.cap) == std::mem::discriminant(&other.cap)
    }
}
