//! The layers over reqwest's own requests: requests and responses pass unchanged.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

mod answers;
mod bodies;
mod errors;
mod jobs;
mod middleware;
mod openai;
mod redirects;
mod requests;
mod server;
mod witness;
