//! The layers over reqwest's own requests: requests and responses pass unchanged.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod bodies;
mod errors;
mod jobs;
mod middleware;
mod openai;
mod redirects;
mod requests;
mod responses;
mod server;
mod witness;
