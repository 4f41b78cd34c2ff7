//! What headers and bodies say.

mod credentials;
mod model;
mod timeout;

pub(crate) use self::{credentials::credentials, model::model, timeout::timeout};
