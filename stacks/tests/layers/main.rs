//! Other layers around the layers, between them and inside, in virtual time: what each of them then
//! means. Every line of the documentation's table of orders is a test here.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

mod boxed;
mod buffer;
mod concurrency;
mod header;
mod order;
mod server;
mod timeout;
mod trace;
