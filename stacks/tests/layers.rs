//! Other layers around the layers, between them and inside, in virtual time: what each of them then
//! means. Every line of the documentation's table of orders is a test here.
#![allow(clippy::disallowed_methods, reason = "in virtual time")]

#[path = "layers/boxed.rs"]
mod boxed;
#[path = "layers/buffer.rs"]
mod buffer;
#[path = "layers/concurrency.rs"]
mod concurrency;
#[path = "layers/header.rs"]
mod header;
#[path = "layers/order.rs"]
mod order;
#[path = "layers/server.rs"]
mod server;
#[path = "layers/timeout.rs"]
mod timeout;
#[path = "layers/trace.rs"]
mod trace;
