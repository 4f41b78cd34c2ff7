//! The layers over reqwest's own requests: what goes in comes out, and so does what comes back.
#![allow(
    clippy::disallowed_methods,
    reason = "real sockets and runtimes take real time"
)]

#[path = "reqwest/answers.rs"]
mod answers;
#[path = "reqwest/bodies.rs"]
mod bodies;
#[path = "reqwest/errors.rs"]
mod errors;
#[path = "reqwest/jobs.rs"]
mod jobs;
#[path = "reqwest/redirects.rs"]
mod redirects;
#[path = "reqwest/requests.rs"]
mod requests;
#[path = "reqwest/server.rs"]
mod server;
