//! See `testing`.

pub(crate) use testing::PATIENCE;
