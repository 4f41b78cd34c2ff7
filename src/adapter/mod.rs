//! Other people's types, each behind the feature that brings its crate.

#[cfg(feature = "axum")]
mod axum;
mod error;
#[cfg(feature = "hyper")]
mod hyper;

pub(crate) use self::error::failure;
