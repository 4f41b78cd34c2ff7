//! Which responses are read before the caller gets them.

use std::{convert::Infallible, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_together::{Endpoint, Limits, TogetherRateLimitLayer};

use super::create;

#[tokio::test(start_paused = true)]
async fn a_response_to_a_creation_is_read_only_if_it_may_tell_of_a_job_that_holds_a_slot() {
    let jobs = Limits::none().jobs(Endpoint::FineTuneCreate, NonZeroU32::MIN);
    for (limits, status, read) in [
        (jobs.clone(), 200, true),
        (jobs, 302, false),
        (Limits::none(), 200, false),
    ] {
        let endless = service_fn(move |_: Request<Full<Bytes>>| async move {
            let frames = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            let answer = Response::builder().status(status);
            Ok::<_, Infallible>(answer.body(StreamBody::new(frames)).unwrap())
        });
        let service = TogetherRateLimitLayer::new(limits).layer(endless);
        let start = Instant::now();
        service.oneshot(create("s")).await.unwrap();
        assert_eq!(start.elapsed() > Duration::ZERO, read, "{status}");
    }
}
