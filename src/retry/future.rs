use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};
use tower_service::Service;

use super::{
    session::{Next, Session},
    settings::Settings,
    tries::When,
    verdict::failure,
};
use crate::{
    adapter::relay,
    body::{Bound, Peek, RequestBody, Whole, refusal},
    clock, observe, wire,
    words::{ApiError, Endpoint, extension::Failure},
};

pin_project_lite::pin_project! {
    /// A request on its way, as often as it takes.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing is sent again; an attempt that is under way is dropped with it.
    ///
    /// # Panics
    ///
    /// When it has to wait and is polled outside a Tokio runtime with its timer enabled, and when
    /// polled after it was ready.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        B: RequestBody,
        R: Body,
    {
        inner: S,
        // `None` until it is first polled, and for a request that is left alone.
        session: Option<Session<B::Again>>,
        #[pin]
        state: State<B, S::Future, R>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<B, F, R>
    where
        R: Body,
    {
        Starting { start: Option<(Request<B>, Arc<Settings>)> },
        Readying {
            request: Option<Request<B>>,
            // Made only if the inner service is not ready at once.
            #[pin]
            late: Option<Sleep>,
        },
        Calling { #[pin] answer: F },
        Reading { read: Option<Box<Read<R>>> },
        Sleeping { #[pin] sleep: Sleep, request: Option<Request<B>> },
        Done,
    }
}

/// A failed response whose body is being read: first for what the error says, and then, if the request is to
/// be sent again, to its end.
struct Read<R: Body> {
    head: response::Parts,
    body: Peek<R>,
    /// How long the server asks to wait.
    wait: Option<Duration>,
    /// `None` for a success, of which the first frame is awaited.
    failure: Option<Failure>,
    since: Instant,
    drains: bool,
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    B: RequestBody,
    R: Body,
{
    pub(super) fn new(inner: S, request: Request<B>, settings: Arc<Settings>) -> Self {
        Self {
            inner,
            session: None,
            state: State::Starting {
                start: Some((request, settings)),
            },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: 'static,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Whole<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (inner, session, mut state) = (this.inner, this.session, this.state);
        loop {
            let next = match state.as_mut().project() {
                StateProj::Starting { start } => {
                    let (request, settings) = start.take().expect(ONCE);
                    let request = match settings.classify.endpoint(&request) {
                        Some(endpoint) => {
                            let (begun, request) =
                                Session::begin(request, endpoint, settings, clock::now());
                            *session = Some(begun);
                            request
                        }
                        None => request,
                    };
                    readying(request)
                }
                StateProj::Readying { request, late } => {
                    let in_time = match inner.poll_ready(cx) {
                        Poll::Ready(Err(error)) => {
                            state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Ready(Ok(())) => session.as_ref().is_none_or(Session::is_in_time),
                        Poll::Pending => {
                            let deadline = session.as_ref().and_then(Session::deadline);
                            ready!(poll_late(deadline, late, cx));
                            false
                        }
                    };
                    let request = request.take().expect(ONCE);
                    if !in_time {
                        // Who keeps this future keeps no permit of the service that was ready.
                        *inner = inner.clone();
                        state.set(State::Done);
                        return Poll::Ready(Ok(rejected(&request, session)));
                    }
                    let answer = inner.call(request);
                    State::Calling { answer }
                }
                StateProj::Calling { answer } => {
                    relay::listen();
                    let step = match ready!(answer.poll(cx)) {
                        Ok(answer) => answered(answer, session),
                        Err(error) => failed(error, session),
                    };
                    match step {
                        Step::Done(result) => {
                            state.set(State::Done);
                            return Poll::Ready(result);
                        }
                        Step::Go(next) => next,
                    }
                }
                StateProj::Reading { read } => {
                    ready!(read.as_mut().expect(ONCE).body.poll_read(cx));
                    let read = read.take().expect(ONCE);
                    match read.finish(session) {
                        Step::Done(result) => {
                            state.set(State::Done);
                            return Poll::Ready(result);
                        }
                        Step::Go(next) => next,
                    }
                }
                StateProj::Sleeping { sleep, request } => {
                    ready!(sleep.poll(cx));
                    readying(request.take().expect(ONCE))
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            state.set(next);
        }
    }
}

fn readying<B, F, R: Body>(request: Request<B>) -> State<B, F, R> {
    State::Readying {
        request: Some(request),
        late: None,
    }
}

/// Ready at the deadline, where there is one, and a runtime to wait for it.
fn poll_late(
    deadline: Option<Instant>,
    mut late: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if late.is_none() && Handle::try_current().is_ok() {
        late.set(deadline.map(sleep_until));
    }
    match late.as_pin_mut() {
        Some(sleep) => sleep.poll(cx),
        None => Poll::Pending,
    }
}

/// The response to a request whose next attempt, or first, could not be sent before the deadline.
fn rejected<B, R, A>(request: &Request<B>, session: &mut Option<Session<A>>) -> Response<Whole<R>>
where
    R: Body<Data = Bytes>,
{
    let session = session.as_mut().expect("only what is kept has a deadline");
    let rejected = session.late();
    observe::refused(&rejected);
    let mut response = refusal(rejected, request.headers());
    session.report(response.extensions_mut());
    response
}

/// What follows from an attempt.
enum Step<B, F, R: Body, E> {
    Done(Result<Response<Whole<R>>, E>),
    Go(State<B, F, R>),
}

fn answered<B, F, R, E>(
    answer: Response<R>,
    session: &mut Option<Session<B::Again>>,
) -> Step<B, F, R, E>
where
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    let Some(kept) = session else {
        return Step::Done(Ok(answer.map(Whole::inner)));
    };
    let failure = failure(answer.status(), answer.headers(), answer.extensions());
    let (head, body) = answer.into_parts();
    let since = clock::now();
    let Some(failure) = failure else {
        return match kept.first_frame(&head, body) {
            Ok(body) => Step::Go(State::Reading {
                read: Some(Box::new(Read {
                    body,
                    drains: true,
                    wait: None,
                    head,
                    failure,
                    since,
                })),
            }),
            Err(body) => finish(head, Whole::inner(body), session),
        };
    };
    let error = head.extensions.get::<ApiError>();
    // If no limiter beneath has looked, what the error says is read first.
    let is_read = error.is_some() || !matches!(failure, Failure::Status(_));
    if is_read && !kept.is_wanted(failure, &head, since) {
        return settle(failure, head, since, Whole::inner(body), session);
    }
    let wait = match error {
        Some(error) => error.retry_after(),
        None => wire::response::wait(&head.headers, clock::time_of_day),
    };
    let bound = match is_read {
        true => kept.drain(),
        false => kept.error_body(),
    };
    let read = Some(Box::new(Read {
        body: Peek::new(body, bound),
        drains: is_read,
        wait,
        head,
        failure: Some(failure),
        since,
    }));
    Step::Go(State::Reading { read })
}

fn failed<B, F, R, E>(error: E, session: &mut Option<Session<B::Again>>) -> Step<B, F, R, E>
where
    B: RequestBody,
    R: Body<Data = Bytes>,
    E: 'static,
{
    let next = session.as_mut().and_then(|session| {
        let ended = session.ended(&error);
        relay::hear(ended.failure);
        session.next(ended, None, clock::now())
    });
    match next {
        Some(next) => Step::Go(sleeping(next)),
        None => Step::Done(Err(error)),
    }
}

impl<R: Body<Data = Bytes>> Read<R> {
    /// What follows from what has been read.
    fn finish<B, F, E>(
        mut self: Box<Self>,
        session: &mut Option<Session<B::Again>>,
    ) -> Step<B, F, R, E>
    where
        B: RequestBody,
    {
        let kept = session.as_mut().expect("only what is kept is read");
        let failure = match self.failure {
            Some(failure) => failure,
            None => match self.in_band(kept.endpoint()) {
                Some(failure) => failure,
                None => {
                    let body = Whole::peeked(self.body);
                    return finish(self.head, body, session);
                }
            },
        };
        if matches!(failure, Failure::Status(_)) && !self.head.status.is_success() {
            self.name(kept.settings().error_body);
        }
        if !self.drains && kept.is_wanted(failure, &self.head, self.since) {
            self.body.bound(kept.drain());
            self.drains = true;
            return Step::Go(State::Reading { read: Some(self) });
        }
        let body = Whole::peeked(self.body);
        settle(failure, self.head, self.since, body, session)
    }

    /// How a success failed whose first frame is an error.
    fn in_band(&mut self, endpoint: Endpoint) -> Option<Failure> {
        let bytes = self.body.bytes(Bound::ERROR.bytes);
        let head = &mut self.head;
        let wait = || wire::response::wait(&head.headers, clock::time_of_day);
        let error = wire::response::in_band(endpoint, (head.status, &head.headers), &bytes, wait)?;
        let failure = Failure::Status(error.status());
        head.extensions.insert(error);
        self.failure = Some(failure);
        self.drains = false;
        Some(failure)
    }

    /// Says what the error is, in the response's extensions, if more of it has been read than before.
    fn name(&mut self, bound: Bound) {
        let bytes = self.body.bytes(bound.bytes);
        let known = self.head.extensions.get::<ApiError>();
        if known.is_none_or(|error| error.text().len() < bytes.len()) {
            let present = known.map(|error| error.0.present).unwrap_or_default();
            let error = ApiError::told(self.head.status, &self.head.headers, &bytes, self.wait);
            let error = error.past(present);
            self.head.extensions.insert(error);
        }
    }
}

/// Sends the request again, or leaves it at this response.
fn settle<B, F, R, E>(
    failure: Failure,
    head: response::Parts,
    since: Instant,
    body: Whole<R>,
    session: &mut Option<Session<B::Again>>,
) -> Step<B, F, R, E>
where
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    // What the server asks for counts from when its answer came.
    let next = session
        .as_mut()
        .and_then(|session| session.next(failure.into(), Some(&head), since));
    match next {
        // With it the body is dropped, and what it holds of the connection and of the limiter, before
        // anything is waited for.
        Some(next) => Step::Go(sleeping(next)),
        None => finish(head, body, session),
    }
}

fn finish<B, F, R, E>(
    mut head: response::Parts,
    body: Whole<R>,
    session: &mut Option<Session<B::Again>>,
) -> Step<B, F, R, E>
where
    B: RequestBody,
    R: Body,
{
    if let Some(session) = session {
        session.report(&mut head.extensions);
    }
    Step::Done(Ok(Response::from_parts(head, body)))
}

fn sleeping<B, F, R: Body>(next: Next<B>) -> State<B, F, R> {
    match next.when {
        When::At(at) | When::InItsLane(Some(at)) => State::Sleeping {
            sleep: sleep_until(at),
            request: Some(next.request),
        },
        When::InItsLane(None) => readying(next.request),
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    B: RequestBody,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

const ONCE: &str = "taken only when the state ends";
