//! Pages for users: settings for common programs, logs, migration, unsupported uses.

#[doc = include_str!("../docs/logs.md")]
pub mod logs {}
