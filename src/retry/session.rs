//! The state of one request, and the step that follows from each attempt.

use std::{
    any::TypeId,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, Version, response};
use http_body::Body;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    read::Reading,
    settings::RetrySettings,
    tries::{Ended, Tries},
    verdict::failure,
};
use crate::{
    adapter::relay,
    body::{self, Original, Peek, RequestBody, Whole, rejection},
    clock,
    observe::Traced,
    resend::{Step, StepOf, Strategy},
    wire,
    words::{ApiError, extension::Failure},
};

/// The original request, and the record of its attempts.
pub(super) struct Session<A> {
    tries: Tries,
    /// `None` if the request must not be retried.
    original: Option<Original<A>>,
    /// Created only if the inner service is not ready at once.
    late: Option<Pin<Box<Sleep>>>,
}

impl<B, R, E> Strategy<B, R, E> for Session<B::Again>
where
    B: RequestBody,
    R: Body<Data = Bytes>,
    E: 'static,
{
    type Settings = Arc<RetrySettings>;
    type Read = Reading<R>;
    type Body = Whole<R>;

    fn begin(
        session: &mut Option<Self>,
        request: &mut Option<Request<B>>,
        settings: Arc<RetrySettings>,
    ) {
        let Some(asked) = request else { return };
        let Some(endpoint) = settings.classify.endpoint(asked) else {
            return;
        };
        if is_received::<B, E>(asked) {
            settings.warn_of_server();
        }
        let traced = Traced::of(endpoint, || body::model(asked, endpoint));
        let tries = Tries::begin(asked, endpoint, traced, settings, clock::now());
        let original = match tries.may_retry() {
            true => Original::keep(request, &tries.settings().memory),
            false => None,
        };
        *session = Some(Self {
            tries,
            original,
            late: None,
        });
    }

    fn untouched(response: Response<R>) -> Response<Whole<R>> {
        response.map(Whole::inner)
    }

    fn poll_leave(
        &mut self,
        service: Poll<()>,
        request: &Request<B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Response<Whole<R>>>> {
        if service.is_pending() {
            ready!(self.poll_late(cx));
        } else if self.tries.may_leave() {
            self.late = None;
            return Poll::Ready(None);
        }
        let rejected = self.tries.late();
        let mut response = rejection(rejected, request.headers());
        self.tries.report(response.extensions_mut());
        Poll::Ready(Some(response))
    }

    fn listen() {
        relay::listen();
    }

    fn responded(&mut self, response: Response<R>) -> StepOf<Self, B, R, E> {
        let failure = failure(response.status(), response.headers(), response.extensions());
        let (head, body) = response.into_parts();
        let Some(failure) = failure else {
            return match self.success(&head, body) {
                Ok(body) => Step::Read(Box::new(Reading {
                    body,
                    drains: true,
                    wait: None,
                    head,
                    failure,
                    since: clock::now(),
                })),
                Err(body) => self.hand_on(head, Whole::inner(body)),
            };
        };
        let since = clock::now();
        let error = head.extensions.get::<ApiError>();
        // If no limiter beneath has read the error, read it first.
        let is_read = error.is_some() || !matches!(failure, Failure::Status(_));
        if is_read && !self.is_wanted(failure, &head, since) {
            return self.settle(failure, head, since, Whole::inner(body));
        }
        let wait = match error {
            Some(error) => error.retry_after(),
            None => wire::response::wait(&head.headers, || clock::time_of_day_at(since)),
        };
        let bound = match is_read {
            true => self.tries.drain(),
            false => self.tries.error_body(),
        };
        Step::Read(Box::new(Reading {
            body: Peek::new(body, bound),
            drains: is_read,
            wait,
            head,
            failure: Some(failure),
            since,
        }))
    }

    fn failed(&mut self, error: E) -> StepOf<Self, B, R, E> {
        let ended = self.tries.ended(&error);
        relay::hear(ended.failure);
        let next = self.next(ended, None, clock::now());
        next.unwrap_or(Step::Return(Err(error)))
    }

    fn poll_read(read: &mut Reading<R>, cx: &mut Context<'_>) -> Poll<()> {
        read.body.poll_read(cx)
    }

    fn read(&mut self, mut read: Box<Reading<R>>) -> StepOf<Self, B, R, E> {
        let failure = match read.failure {
            Some(failure) => failure,
            None => match read.in_band() {
                Some(failure) => failure,
                None => return self.hand_on(read.head, Whole::peeked(read.body)),
            },
        };
        if matches!(failure, Failure::Status(_)) && !read.head.status.is_success() {
            read.name(self.tries.settings().error_body);
        }
        if !read.drains && self.is_wanted(failure, &read.head, read.since) {
            read.body.bound(self.tries.drain());
            read.drains = true;
            return Step::Read(read);
        }
        let body = Whole::peeked(read.body);
        self.settle(failure, read.head, read.since, body)
    }
}

/// Whether a server has received the request, and calls its own routes: they never fail, and the request names no host,
/// or came over HTTP/2. Clients can fail.
fn is_received<B, E: 'static>(request: &Request<B>) -> bool {
    TypeId::of::<E>() == TypeId::of::<Infallible>()
        && (request.uri().authority().is_none() || request.version() == Version::HTTP_2)
}

impl<A> Session<A> {
    /// Ready at the deadline. Pending if there is no deadline, or no runtime with a timer.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.late.is_none() && Handle::try_current().is_ok() {
            let deadline = self.tries.deadline();
            self.late = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        }
        match &mut self.late {
            Some(late) => late.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Prepares to read the beginning of a success. Returns the body itself if it cannot be an in-band error.
    fn success<R>(&self, head: &response::Parts, body: R) -> Result<Peek<R>, R>
    where
        R: Body<Data = Bytes>,
    {
        self.tries.success(head, body)
    }

    /// Whether the request is to be retried, as far as is known before the response has been read to its end.
    fn is_wanted(&self, failure: Failure, head: &response::Parts, now: Instant) -> bool {
        let said = (&head.headers, &head.extensions);
        self.original.is_some() && self.tries.is_wanted(failure, said, now)
    }

    /// The retry after a failed attempt; `None` if there is none. `head` is `None` if there was no response.
    fn next<B, D, T, E>(
        &mut self,
        ended: Ended<'_>,
        head: Option<&response::Parts>,
        now: Instant,
    ) -> Option<Step<B, D, T, E>>
    where
        B: RequestBody<Again = A>,
    {
        let said = head.map(|head| (&head.headers, &head.extensions));
        let Some(original) = &self.original else {
            self.tries.end_unkept(ended, said, now);
            return None;
        };
        let body = || original.again();
        let (when, mut request) = self.tries.again(ended, original.head(), said, now, body)?;
        self.tries.mark(request.extensions_mut());
        Some(Step::Send(Box::new(request), when.instant()))
    }

    /// Retries the request, or returns this response.
    fn settle<B, R, E>(
        &mut self,
        failure: Failure,
        head: response::Parts,
        since: Instant,
        body: Whole<R>,
    ) -> Step<B, Reading<R>, Whole<R>, E>
    where
        B: RequestBody<Again = A>,
        R: Body,
    {
        // The server's wait counts from the arrival of its response.
        let next = self.next(failure.into(), Some(&head), since);
        // A response that is not returned is dropped here, so that the wait before the next attempt holds nothing
        // of its connection or of the limiter.
        next.unwrap_or_else(|| self.hand_on(head, body))
    }

    fn hand_on<B, R: Body, E>(
        &mut self,
        mut head: response::Parts,
        body: Whole<R>,
    ) -> Step<B, Reading<R>, Whole<R>, E> {
        self.tries.report(&mut head.extensions);
        Step::Return(Ok(Response::from_parts(head, body)))
    }
}
