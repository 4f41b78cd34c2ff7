//! Other layers around ours, between them and inside, in virtual time: the effect of each position. Every line of the
//! documentation's table of orders is a test here.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod boxed;
mod buffer;
mod concurrency;
mod header;
mod order;
mod server;
mod timeout;
mod trace;
