//! The cost of the layers for a request that needs neither a wait nor a retry.
//!
//! ```sh
//! cargo bench -p tower-together-bench                    # about two minutes
//! cargo bench -p tower-together-bench --bench loopback   # one of the three programs
//! cargo bench -p tower-together-bench -- --quick         # a first impression
//! cargo run --release -p tower-together-bench --bin instructions
//! ```
//!
//! prints three tables: heap allocations per call (`benches/allocations.rs`), nanoseconds per call (`benches/cost.rs`),
//! and microseconds per call over a socket (`benches/loopback.rs`). The first two are separate programs because a
//! counting allocator is slow, and a slow no-op makes every ratio look good.
//!
//! # One call
//!
//! A call builds an `http::Request` (`POST https://api.together.ai/v1/chat/completions` with an `authorization` header
//! of 64 characters, cloned from a prepared one), waits for the service to be ready, calls it, awaits the response,
//! checks its status, and drops it unread. Every row includes all of that, the no-op's too. No limit ever binds.
//!
//! # Instructions
//!
//! `src/bin/instructions` counts the instructions of a thousand calls with valgrind's callgrind, after a thousand
//! others. The counts of one build differ by some thousandths, on every machine, however busy it is. Allocations are
//! the difference between two runs. A no-op's are shown whole, and those of another row are what it adds to them.
//!
//! `instructions.txt` keeps the counts, with the toolchain that they are of. `--check` fails if a row is off by more
//! than 3 %. It only reports the rows that are off if the compiler, the C library, valgrind or the kind of processor is
//! another one. `--write` replaces the figures.
//!
//! # An hour
//!
//! ```sh
//! cargo run --release -p tower-together-bench --bin soak
//! ```
//!
//! sends requests over sockets for an hour to a server that rejects, fails, streams slowly and cuts connections. Keys
//! come and go, and some requests are given up. It fails if memory or descriptors grow after the first half.
//! `--seconds` sets another time.
//!
//! # How to read the tables
//!
//! Read the *ratios*. Each row is divided by the no-op service above it, which takes the same request and gives the
//! same response, in the same run. Criterion does the measuring and keeps its own results of each row under
//! `target/criterion`. The tables show medians of shorter samples, a thousand calls each, so that the machine's other
//! load falls between samples.
//!
//! With two threads, each has a runtime of its own and a clone of the one service. They share nothing else that is
//! written. Time is one thread's own, for each of its calls, and the ratio is to the no-op with two threads. Threads
//! that do not run at once never contend for a lock, so these columns need two free cores.
//!
//! With many keys, the prepared requests are used in random order, again and again, by the no-op too. A real caller has
//! just written its header when it builds a request, so building reads the header into the cache here too.
//!
//! # Comparison of retry layers
//!
//! The retry layer is compared with `tower::retry` and a policy written by hand (`src/by_hand.rs`). If nothing fails,
//! that policy does as much as ours: it clones the request whole, counts it in a shared budget, and checks the
//! response's status. Alone it is compared with `TogetherRetryLayer`; around our rate limit layer it is compared with
//! `TogetherLayer`, which is both. The aim is that ours take at most one and a half times as long.
//!
//! # Over a socket
//!
//! The server responds at once, in this process, from a thread and a runtime of its own, over HTTP/1 and without TLS.
//! Each client reuses one connection, sends the body of 1 KiB, and reads the response to its end. The last line shows
//! whether it was one connection.
//!
//! The ratio is to the same client without layers. The two are called in turns, a hundred calls each, because every
//! call waits twice for another thread to wake up, and how long that takes changes from second to second. The ratio of
//! the bare client to itself shows how much of a ratio is chance.

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
mod soak;

pub use self::{
    calls::{runtime, runtime_with_sockets},
    loopback::{WATCHING, loopback},
    row::Row,
    rows::{BESIDE, OURS, rows, rows_of_few_keys},
    server::Server,
    soak::{Look, soak},
};
