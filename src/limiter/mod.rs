//! The limiter: requests wait, and are admitted in turn.
//!
//! **Two limiters for one key allow twice the limit: make one, clone it.** Every clone, and every
//! layer made from one, shares the same state.
//!
//! The layers use it for you. Without tower:
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
//! // For an `http::Request`: `Call::of(&request)`.
//! let call = Call::new(Endpoint::Embeddings).with_key(ApiKey::new("YOUR_KEY"));
//! let mut permit = limiter.acquire(call.clone()).await?;
//! // Send the request, read the response to its end, and report it.
//! # let (status, headers, body) = (StatusCode::OK, HeaderMap::new(), b"");
//! let now = SystemTime::now();
//! permit.report(&Report::read(Endpoint::Embeddings, status, &headers, body, now));
//! drop(permit);
//!
//! // A second request at the same instant would have to wait for 200 ms.
//! let rejected = limiter.try_acquire(&call).unwrap_err();
//! assert_eq!(rejected.reason(), Reason::WouldWait);
//! let hurried = call.clone().with_deadline(Duration::from_millis(10));
//! assert_eq!(limiter.acquire(hurried).await.unwrap_err().reason(), Reason::Deadline);
//!
//! // Limits can be changed at any time. Waiting requests follow the new ones.
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
//! Requests of one key to one endpoint with one model form a *lane*. The first of a lane asks all of its
//! limits. If one says "not yet", the limiter looks again at that instant. Then it *offers* the turn, by
//! waking the request, and the request *claims* it in its own poll: all its limits are asked and charged
//! under one lock, in the same poll in which it is sent. A turn that is not claimed within 10 ms, because its
//! owner is not polled or the inner service is not ready, passes to the next. Its owner is skipped until it
//! is polled again, and keeps its position among lanes, callers and requests.
//!
//! Lanes wait in the order of their last departures, and a lane keeps its place in *every* limit that it
//! shares until it sends. A place is not a hold: a later lane sends first if that makes no earlier lane
//! later, or if a limit would otherwise idle for more than a 32nd of its time. A lane that is made later by
//! the second rule sends half as late again as its turn at most. As a result, no lane starves between two
//! limits that other lanes keep busy in turn, and a request that costs much is not overtaken for ever by
//! those that cost little. Two paced limits that keep requests apart by different times do idle when both
//! must agree. Give one of them a [burst](crate::Quota::with_burst) to use more of it.
//!
//! A lane is paused if the server asked it to wait ([`Permit::report`]), unless that concerns one request alone. The
//! pause is a limit of its own.
//! After it requests are sent one by one, more slowly than before.
//!
//! # What it learns
//!
//! Together's limits are per organization, operation and model, unpublished, and they move
//! (docs.together.ai/docs/rate-limits). Each lane therefore finds its own pace, and keeps it while it works:
//!
//! | what the server does | what the lane does |
//! |---|---|
//! | names its limit, in `x-ratelimit-limit-dynamic`, `x-ratelimit-limit` (per second) or in the words of a 429; for tokens in `x-tokenlimit-limit`, `x-ratelimit-limit-tokens` and the same words | keeps to that, up and down; if responses overtake each other, the one to the later request counts |
//! | names a limit of more than twice the lane's pace | doubles the pace each second until it is there |
//! | rejects requests at less than a twentieth of a limit that it names, as if in another unit | ignores the limit, until the server names one of less than twenty times the lane's pace |
//! | names what remains (`-remaining`) for a time (`-reset`) | waits until then, once as many requests have departed |
//! | responds with 429 to requests sent too fast | continues at the rate that the server took before, a twentieth to a half less; once for all requests in flight. Near a number that you wrote it gives up a fifth at most |
//! | responds with 429 to one request of many: seven others departed since the last 429, the pace had delayed it, and the server asks for 2 s at most | continues without a pause; one in `n` takes half of an `n`th from the rate. Where the limit is unknown, three requests are left out, for a bucket to fill |
//! | responds with 429 to a retry, after at least four first attempts departed since the last pause, and unless three other retries were rejected since the last first attempt | changes nothing, and takes back what the first 429 changed: this concerns that request alone |
//! | responds with 429 to one of the first three requests after a pause | keeps its rate: the request was too early. From the second such pause in a row pauses last at least 2 s, 4 s, ... 15 s, and the third cuts the rate too |
//! | takes all requests, for 10 s to 4 minutes (twice as long after each failed try), while requests wait for the pace | goes half way to the rate that was rejected last; then a little past it, and boldly if that goes well |
//! | grants not much more than half of a limit that it names, or that you wrote | shares it with others that use that key: adds a fixed part of the limit at each try, and gives up a fifth when rejected |
//! | responds with 503 or another error, or not at all | goes no lower, since its pace is not the cause. It goes no higher either while half of its requests fail in this way, or two thirds have no response yet or were dropped before it |
//!
//! Requests and tokens are learned separately: a 429 of the type `dynamic_token_limited` tells nothing about
//! the rate of requests. A lane counts tokens from when the server first names a token limit.
//!
//! A number that you wrote is a ceiling. A number that this crate supplied is where a lane starts. It is
//! believed for a minute of work, and no longer applies once the lane has learned its own. No limit that a
//! server names makes a lane wait for more than an hour, whatever is owed under it. A learned rate is
//! forgotten after an hour in which the server gave no reason for it, and when the table is changed.
//! [`adaptive(false)`](Limiter::adaptive) keeps to the table, whatever the server says.
//!
//! In `simulation/tests/learning` the limit of a server goes from 600 to 300 and to 1,200 a minute, four
//! minutes each. A lane uses 99 % of it with headers and 94 % without, and 0.4 % of the requests get a 429. A
//! plain token bucket with retries uses 72 %, and 23 % of its requests get a 429. Limits by the minute that
//! move and are not named are learned less well: 86 to 92 % is used. Four processes with one key that know
//! nothing of each other use 98 to 100 % of it, with 1.5 % 429s and about equal shares (Jain's index 0.94 to
//! 1). With the feature `redis` processes share the limits of the table exactly, and all pause after a 429 in
//! one of them: see [Many machines](https://docs.rs/tower-together/latest/tower_together/redis/).
//!
//! One run of each kind, as the example `learned_limits` of `simulation/` draws it. The rate of sent requests
//! is the mean of 10 s, or of 2 minutes in the last row:
//!
#![cfg_attr(doc, doc = include_str!("../../docs/learned_limits.svg"))]
//!
//! No task is spawned, except one for a limiter that shares its limits through Redis. One timer per runtime
//! serves every request that waits there. A request that need not wait makes no timer.
//!
//! # Mistakes
//!
//! Some mistakes compile, run, and send too much. With the feature `tracing`, each of these logs a warning:
//!
//! | mistake | warned of |
//! |---|---|
//! | two limiters limit one key, or ten of them in a row within a minute: a layer made for each request | once for each key, of the first 1,024 that are in use at a time |
//! | one limiter limits requests with a key and requests without: [`Call::new`] without [`with_key`](Call::with_key), or `authorization` set beneath the layer for some requests | once for each limiter |
//! | a retry layer stands beneath the limiter | once for each limiter |
//! | a retry layer is around a [server's routes](crate::TogetherLayer#not-around-a-servers-routes), which it runs again | once for each layer, at a request without a host, or over HTTP/2, to a service that cannot fail |
//! | a hundred requests pass to which no limit applies: a route that is unknown, or an endpoint that creates or generates something and is not in the table; or the layer's [`Classify`](crate::Classify) leaves all of them alone | once for each limiter |
//!
//! A table without any limit, and an [exempt](crate::Limits::exempt) model, are no mistakes.
//!
//! # Bounds
//!
//! | what | at most | beyond it |
//! |---|---|---|
//! | [requests that wait](Limiter::with_max_waiting) | 100,000 | rejected at once |
//! | [keys](Limiter::with_max_keys) | 100,000 | those no different from new ones are forgotten, then those that only learned something, the longest idle first; if there is none, a new key is rejected |
//! | [jobs](crate::jobs) that hold slots | 100,000 | further jobs hold slots as long as the responses that tell of them |
//! | [lanes of a key](Limiter::with_max_lanes) | 64 | further models share a lane for each endpoint |

mod acquire;
#[cfg_attr(all(test, shuttle), path = "sync/alarm.rs")]
mod alarm;
#[cfg(all(test, shuttle))]
mod checker;
mod clock;
mod grant;
mod handle;
#[macro_use]
mod ids;
mod jobs;
mod key;
mod lane;
mod learned;
mod mistakes;
mod moment;
mod output;
mod owners;
mod permit;
mod queue;
mod registry;
mod rules;
mod settings;
#[cfg_attr(not(feature = "redis"), path = "share/none.rs")]
pub(crate) mod share;
mod shared;
mod slot;
mod snapshot;
mod state;
mod sync;
mod turn;
mod waiter;

use self::ids::{KeyIndex, KeyRef, LaneIndex, LimitIndex, ModelId, RuleId, RuleIndex, WaiterId};
pub use self::{
    acquire::Acquire,
    handle::Limiter,
    permit::Permit,
    slot::Slot,
    snapshot::{JobSnapshot, LaneSnapshot, LimitSnapshot, Measure, SharingSnapshot, Snapshot},
};
pub(crate) use self::{
    jobs::{JobBook, Watcher},
    permit::SlotGuard,
    turn::{Inner, Lost, Turn},
};
pub use crate::words::{Call, Reason, Rejected, Report};
