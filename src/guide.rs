//! Pages for users.
//!
//! | page | answers |
//! |---|---|
//! | [`settings`] | which settings fit a batch job, a web server, an interactive tool, many machines |
//! | [`comparison`] | how this crate does beside governor, leaky-bucket, tower-resilience, the AWS SDKs' adaptive mode |
//! | [`logs`] | what is logged, where and at which level, and what to alert on |
//! | [`migrating`] | what replaces governor, reqwest-retry, backoff, tower's own layers |
//! | [`unsupported`] | what does not work, and what to do instead |
//!
//! How processes share limits exactly is on the page of
//! [`redis`](https://docs.rs/tower-together/latest/tower_together/redis/). How to set up each client, and how to test your own code, is on the page of [`stack`](crate::stack).

#[doc = include_str!("../docs/comparison.md")]
#[cfg_attr(doc, doc = include_str!("../docs/comparison_used.svg"))]
#[cfg_attr(doc, doc = "\n")]
#[cfg_attr(doc, doc = include_str!("../docs/comparison_429s.svg"))]
#[cfg_attr(doc, doc = "\n")]
#[doc = include_str!("../docs/comparison_table.md")]
pub mod comparison {}

#[doc = include_str!("../docs/logs.md")]
pub mod logs {}

#[doc = include_str!("../docs/migrating.md")]
pub mod migrating {}

#[doc = include_str!("../docs/settings.md")]
pub mod settings {}

#[doc = include_str!("../docs/unsupported.md")]
pub mod unsupported {}
