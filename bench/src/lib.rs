//! What the layers cost a request that need not wait, nor be sent again.
//!
//! ```sh
//! cargo bench -p tower-together-bench                    # about two minutes
//! cargo bench -p tower-together-bench --bench loopback   # one of the three programs
//! cargo bench -p tower-together-bench -- --quick         # a first impression
//! cargo run --release -p tower-together-bench --bin instructions
//! ```
//!
//! prints three tables: heap allocations a call (`benches/allocations.rs`), nanoseconds a call
//! (`benches/cost.rs`), and microseconds a call over a socket (`benches/loopback.rs`). The first two
//! are two programs because an allocator that counts is slow, and a slow no-op makes every ratio look
//! good.
//!
//! # What one call is
//!
//! Building an `http::Request` (`POST https://api.together.ai/v1/chat/completions` with an
//! `authorization` header of 64 characters, cloned from a prepared one), waiting for the service to
//! be ready, calling it, awaiting the answer, checking its status, and dropping it unread. All of
//! that is in every row, the no-op's too. No limit ever binds.
//!
//! # Instructions
//!
//! `src/bin/instructions.rs` counts the instructions of a thousand calls with valgrind's callgrind, after a
//! thousand others. The same build gives the same counts on every machine, however busy it is.
//!
//! # How to read the tables
//!
//! The *ratios* are what to read: each row is divided by the no-op service above it, which takes the
//! same request and gives the same response, in the same run. Criterion does the measuring
//! and keeps its own account of each row under `target/criterion`; the tables are made of medians of
//! shorter samples, a thousand calls each, so that what else the machine does falls between them.
//!
//! With two threads each has a runtime of its own and a clone of the one service, and nothing else
//! that is written is shared; time is a thread's own, for each of its calls, and the ratio is to
//! the no-op with two threads. Threads that do not run at once do not meet at a lock, so these
//! columns need two free cores.
//!
//! With many keys the prepared requests are walked in random order, round and round, by the no-op
//! too. Whoever builds a request has just written its header, so building reads it into the cache
//! here too.
//!
//! # What a retry layer is compared with
//!
//! `tower::retry` and a policy written by hand (`src/by_hand.rs`), which does as much as ours where
//! nothing fails: it clones the request whole, counts it in a budget that all share, and looks at the
//! answer's status. Alone it stands beside `TogetherRetryLayer`; around our rate limit layer, beside
//! `TogetherLayer`, which is both. The aim is that ours take at most one and a half times as long.
//!
//! # Over a socket
//!
//! The server answers at once, in this process, from a thread and a runtime of its own, over HTTP/1
//! and without TLS. Each client has one connection that it uses again and again, sends the body of
//! 1 KiB, and reads the answer to its end; the last line tells whether it was one. The ratio is to the
//! same client without layers, which is called in turns with it, a hundred calls each: every call
//! waits twice for another thread to wake up, and how long that takes changes from second to second.
//! The bare client beside itself tells how much of a ratio is chance.

mod by_hand;
mod calls;
mod events;
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
    loopback::{WATCHING, loopback},
    row::Row,
    rows::{BESIDE, OURS, rows, rows_of_few_keys},
    server::Server,
};
