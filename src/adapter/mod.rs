//! Types of other crates, each behind the feature that enables its crate.

#[cfg(feature = "axum")]
mod axum;
mod error;
#[cfg(feature = "hyper")]
mod hyper;
mod lasting;
mod redirect;
pub(crate) mod relay;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "tonic")]
mod tonic;

pub(crate) use self::{
    error::{failure, may_be_redirected},
    redirect::is_redirected,
};
