//! The words of the crate: plain data, with no clock, no lock and no await.

mod call;
mod classify;
mod endpoint;
mod error;
pub mod extension;
#[cfg_attr(not(feature = "redis"), path = "identity/none.rs")]
mod identity;
mod job;
mod key;
mod limits;
mod not_retried;
mod rejected;
mod report;
#[macro_use]
mod time;
mod unit;
mod usage;

#[cfg(feature = "redis")]
pub(crate) use self::identity::{Digest, sha256};
pub use self::{
    call::Call,
    classify::Classify,
    endpoint::Endpoint,
    error::{ApiError, Error},
    limits::{Limits, Quota, Tier},
    rejected::{Reason, Rejected},
    report::Report,
};
pub(crate) use self::{
    call::Charge,
    error::{ErrorFields, Present, is_transient},
    identity::Identity,
    job::{Job, JobKind},
    key::{CallerId, KeyId, hash},
    limits::{Cap, Rule},
    not_retried::NotRetried,
    report::{JobNews, NotNow, Tokens},
    time::{Instant, Span},
    unit::{Amount, Each, NamedLimit, Settled, Unit, Weight},
    usage::Usage,
};
