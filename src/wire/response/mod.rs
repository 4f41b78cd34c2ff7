//! Parses responses.

mod date;
mod error;
mod grpc;
mod in_band;
mod jobs;
mod rate;
mod report;
mod usage;
mod wait;

pub(crate) use self::{
    grpc::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, grpc_failure, pushback},
    in_band::{InBandReader, in_band},
    jobs::{Creation, JobsReader, creation, jobs},
    rate::{limits, limits_in_words, names_limit},
    report::speaks,
    usage::UsageReader,
    wait::wait,
};
