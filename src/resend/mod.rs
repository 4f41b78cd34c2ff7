//! Requests that are sent more than once: the state machine under the retry layer and the fallback layer.

mod future;
mod strategy;

pub(crate) use self::{
    future::Resend,
    strategy::{Step, StepOf, Strategy},
};
