//! The layers over reqwest's own requests: what goes in comes out, and so does what comes back.
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
