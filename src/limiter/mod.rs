//! The limiter: who waits, and when whose turn comes.
//!
//! **Two limiters for one key allow twice the limit: make one, clone it.** Every clone, and every
//! layer made from one, shares the same state.
//!
//! The layers ask it for you. Without tower:
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use http::{HeaderMap, StatusCode};
//! use tower_together::{
//!     Endpoint, Limiter, Limits, Quota,
//!     extension::ApiKey,
//!     limiter::{Call, Reason, Report},
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = Limiter::default();
//! // Of a request that is at hand: `Call::of(&request)`.
//! let call = Call::new(Endpoint::Embeddings).with_key(ApiKey::new("YOUR_KEY"));
//! let mut permit = limiter.acquire(call.clone()).await?;
//! // Send the request, read the answer to its end, and report what it says.
//! # let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), b"");
//! let now = SystemTime::now();
//! permit.report(&Report::read(Endpoint::Embeddings, status, &headers, body, now));
//! drop(permit);
//!
//! // The second of the same instant would have to wait for 200 ms.
//! let rejected = limiter.try_acquire(&call).unwrap_err();
//! assert_eq!(rejected.reason(), Reason::WouldWait);
//! let hurried = call.clone().with_deadline(Duration::from_millis(10));
//! assert_eq!(limiter.acquire(hurried).await.unwrap_err().reason(), Reason::Deadline);
//!
//! // Changed while it runs, and felt by those who wait.
//! limiter.set_limits(Limits::default().requests(Endpoint::Embeddings, Quota::per_minute(3_000)?));
//! for lane in limiter.snapshot().lanes {
//!     println!("{} {}: {} waiting, {:?}", lane.key, lane.endpoint, lane.waiting, lane.limits);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How it decides
//!
//! Requests of one key to one endpoint with one model form a *lane*. The first of a lane asks all
//! the limits it is under; if one says "not yet", the limiter looks again at that instant. Then it
//! *offers* the turn, by waking the request, and the request *claims* it in its own poll: all its
//! limits are asked and charged under one lock, in the same poll in which it leaves. A turn that
//! is not claimed within 10 ms, because its owner is not polled or the service behind is not
//! ready, passes to the next. Its owner is skipped until it is polled again, and keeps its place among
//! lanes, callers and requests.
//!
//! Lanes wait in the order of their last departures, and a lane keeps its place in *every* limit that it
//! shares until it sends. A place is not a hold: a later lane sends first wherever that makes no earlier
//! lane later, or where a limit would else idle for more than a 32nd of its time. A lane that is made
//! later by the second rule leaves half as late again as its turn at most. So no lane starves between two
//! limits that other lanes keep busy in turn, and a request that costs much is not overtaken for ever by
//! those that cost little. Two paced limits that keep requests apart by different times do idle where both
//! must agree: give one of them a [burst](crate::Quota::with_burst) to use more of it.
//!
//! A lane that the server asked to wait ([`Permit::report`]) is paused: that
//! is a limit of its own. After it, its requests leave one by one, more slowly than before.
//!
//! # What it learns
//!
//! Together's limits are per organisation and model, unpublished, and they move
//! (docs.together.ai/docs/rate-limits). So each lane finds its own pace, and keeps it while it works:
//!
//! | what the server does | what the lane does |
//! |---|---|
//! | names its limit, in `x-ratelimit-limit-dynamic`, `x-ratelimit-limit` (per second) or in the words of a 429; of tokens in `x-tokenlimit-limit`, `x-ratelimit-limit-tokens` and theirs | keeps to that, up and down; of answers that overtake each other the one to the later request counts |
//! | says that nothing is left (`-remaining`) for a time (`-reset`) | waits until then, once as many have left as it says |
//! | answers 429 to what was sent too fast | goes on at what the server took before, a twentieth to a half less; once for all that were under way |
//! | answers 429 to one of the first three after a pause | stays as it is: it was too early. From the second such pause in a row they last at least 2 s, 4 s, ... 15 s, and the third cuts too |
//! | takes all, for 10 s to 4 minutes (twice as long after each try that failed), while requests wait for the pace | goes half way to what was refused last; then a little more, and boldly if that goes well |
//! | grants not much more than half of a limit that it names, or that you wrote | shares it with whoever else has that key: tries a fixed part of the limit more, and gives up a fifth when refused |
//! | answers 503 or another error, or not at all | goes no lower: it is not this client's pace. Nor does it go higher while half of its requests fail so, or two thirds have no response yet, or are dropped before it |
//!
//! Requests and tokens are learned apart: a 429 of the type `dynamic_token_limited` says nothing of how
//! many requests there may be. A lane counts tokens from when the server first speaks of them.
//!
//! A number that you wrote is a ceiling. A number that this crate supplied is where a lane starts; it is
//! believed for a minute of work, and stands aside once the lane knows better. No limit that a server
//! names makes a lane wait for more than an hour, whatever is owed under it. What was learned is forgotten
//! after an hour in which the server gave no reason for it, and when the table is changed.
//! [`adaptive(false)`](Limiter::adaptive) keeps to the table, whatever the server says.
//!
//! Simulated in `simulation/tests/learning`, at a server whose limit goes from 600 to 300 and to 1,200 a minute,
//! four minutes each: 99 % used with headers, 94 % without, 0.3 % of the requests answered 429. A plain
//! token bucket with retries uses 72 %, and 23 % of its requests are answered 429. Minutes that move
//! and are not named are read less well: 82 to 90 % used. Four processes with one key, knowing nothing
//! of each other, use 98 to 100 % of it, with 1.5 % 429s and each about the same (Jain's index 0.95 to 1).
//!
//! One run of each kind, as the example `learned_limits` of `simulation/` draws it; what is sent is the
//! mean of 10 s, in the last row of 2 minutes:
//!
#![cfg_attr(doc, doc = include_str!("../../docs/learned_limits.svg"))]
//!
//! No task is spawned. One timer per runtime serves everyone who waits there, and a request that
//! need not wait makes none.
//!
//! # Mistakes
//!
//! Some mistakes compile, run, and send too much. With the feature `tracing`, each of these is warned of:
//!
//! | mistake | warned of |
//! |---|---|
//! | two limiters limit one key, or ten of them in a row within a minute: a layer made for each request | once for each key, of the first 1,024 that are in use at a time |
//! | one limiter limits requests with a key and requests without: [`Call::new`] without [`with_key`](Call::with_key), or `authorization` set beneath the layer for some requests | once for each limiter |
//! | a retry layer stands beneath the limiter | once for each limiter |
//! | a hundred requests pass to which no limit applies: a route that is unknown, or an endpoint that creates or generates something and is not in the table; or the layer's [`Classify`](crate::Classify) leaves all of them alone | once for each limiter |
//!
//! A table without any limit, and an [exempt](crate::Limits::exempt) model, are no mistakes.
//!
//! # Bounds
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | [requests that wait](Limiter::with_max_waiting) | 100,000 | refused at once |
//! | [keys](Limiter::with_max_keys) | 100,000 | those no different from new are forgotten, then those that only learned something, the longest idle first; with none, a new key is refused |
//! | [jobs](crate::jobs) that hold slots | 100,000 | further ones hold them as long as the answers that tell of them |
//! | [lanes of a key](Limiter::with_max_lanes) | 64 | further models share a lane for each endpoint |

mod acquire;
#[cfg_attr(all(test, shuttle), path = "sync/alarm.rs")]
mod alarm;
mod clock;
mod grant;
mod handle;
mod ids;
mod jobs;
mod key;
mod lane;
mod learned;
mod line;
mod mistakes;
#[cfg(all(test, shuttle))]
mod model;
mod moment;
mod output;
mod owners;
mod permit;
mod registry;
mod rules;
mod settings;
mod shared;
mod slot;
mod snapshot;
mod state;
mod sync;
mod turn;
mod waiter;

use self::ids::{KeyIndex, KeyRef, LaneIndex, LimitIndex, RuleId, RuleIndex, WaiterId};
pub use self::{
    acquire::Acquire,
    handle::Limiter,
    permit::Permit,
    slot::Slot,
    snapshot::{JobSnapshot, LaneSnapshot, LimitSnapshot, Measure, Snapshot},
};
pub(crate) use self::{
    jobs::{JobBook, Watcher},
    permit::SlotGuard,
    turn::{Inner, Lost, Turn},
};
pub use crate::words::{Call, Reason, Rejected, Report};
