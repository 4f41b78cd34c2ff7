//! The words of the crate: plain data, no clock, no lock, no await.

mod api_error;
mod call;
mod charge;
mod classify;
mod declined;
mod endpoint;
mod error;
pub mod extension;
mod job;
mod key;
mod limits;
mod quota;
mod rejected;
mod report;
mod rule;
mod tier;
mod time;
mod too_many;
mod transient;
mod unit;
mod usage;

pub use self::{
    api_error::ApiError,
    call::Call,
    classify::Classify,
    endpoint::Endpoint,
    error::Error,
    limits::Limits,
    quota::Quota,
    rejected::{Reason, Rejected},
    report::Report,
    tier::Tier,
};
pub(crate) use self::{
    api_error::{Present, Told},
    charge::Charge,
    job::{Job, JobKind},
    key::{KeyId, hash},
    report::{JobNews, NotNow, Tokens},
    rule::{Cap, Rule},
    time::{Instant, Span},
    transient::is_transient,
    unit::{Count, Each, Said, Settled, Unit, Weight},
    usage::Usage,
};
