//! What headers and bodies say.

mod asked;
mod credentials;
mod date;
mod error;
mod estimate;
mod grpc;
mod in_band;
mod jobs;
mod json;
mod media;
mod model;
mod multipart;
mod places;
mod rate;
mod report;
mod timeout;
mod usage;
mod wait;

pub use self::json::read_json;
pub(crate) use self::{
    asked::{Asked, Count, asked},
    credentials::credentials,
    estimate::estimate,
    grpc::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, grpc_failure, pushback},
    in_band::{InBandReader, in_band},
    jobs::{Creation, JobsReader, creation, jobs},
    multipart::{boundary, form_model},
    places::ModelPlaces,
    rate::{limits, limits_in_words, names_limit},
    report::speaks,
    timeout::{deadline, timeout},
    usage::UsageReader,
    wait::wait,
};
