//! What headers and bodies say.

mod credentials;
mod error;
mod grpc;
mod model;
mod timeout;
mod wait;

pub(crate) use self::{
    credentials::credentials,
    grpc::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, grpc_failure, pushback},
    model::model,
    timeout::timeout,
    wait::wait,
};
