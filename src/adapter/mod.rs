//! Other people's body types, each behind the feature that brings its crate.

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "hyper")]
mod hyper;
