//! See `testing`.

pub(crate) use testing::until;
