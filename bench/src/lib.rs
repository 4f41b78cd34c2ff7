//! What the layer costs a request that need not wait.
//!
//! ```sh
//! cargo bench -p tower-together-bench              # about a minute
//! cargo bench -p tower-together-bench -- --quick   # a first impression
//! ```
//!
//! prints two tables: nanoseconds a call (`benches/cost.rs`) and heap allocations a call
//! (`benches/allocations.rs`). They are two programs because an allocator that counts is slow, and
//! a slow no-op makes every ratio look good.
//!
//! # What one call is
//!
//! Building an `http::Request` (`POST https://api.together.ai/v1/chat/completions` with an
//! `authorization` header of 64 characters, cloned from a prepared one), waiting for the service to
//! be ready, calling it, awaiting the answer, checking its status, and dropping it unread. All of
//! that is in every row, the no-op's too. No limit ever binds.
//!
//! # How to read the tables
//!
//! The *ratios* are what to read: each row is divided by the no-op service above it, which takes the
//! same request and gives the same response, in the same run. Criterion does the measuring
//! and keeps its own account of each row under `target/criterion`; the tables are made of medians of
//! its samples.
//!
//! With two threads each has a runtime of its own and a clone of the one service, and nothing else
//! that is written is shared; time is a thread's own, for each of its calls, and the ratio is to
//! the no-op with two threads. Threads that do not run at once do not meet at a lock, so these
//! columns need two free cores.
//!
//! With many keys the prepared requests are walked in random order, round and round, by the no-op
//! too. Whoever builds a request has just written its header, so building reads it into the cache
//! here too.

mod by_hand;
mod calls;
mod loopback;
mod requests;
mod retries;
mod row;
mod rows;
mod section;
mod server;
mod services;

pub use self::{
    calls::{runtime, runtime_with_sockets},
    loopback::loopback,
    row::Row,
    rows::{BESIDE, OURS, rows},
    server::Server,
};
