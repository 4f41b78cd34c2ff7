//! A call on its way to the API, and its response on the way back.

mod cut;
pub(crate) mod forward;
mod headers;
mod patience;
mod respond;
