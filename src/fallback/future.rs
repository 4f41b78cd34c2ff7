use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{session::Session, settings::Settings};
use crate::{
    body::{Peek, RequestBody},
    clock,
};

pin_project_lite::pin_project! {
    /// A request on its way, from model to model.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it goes to no other model; what is under way is dropped with it.
    ///
    /// # Panics
    ///
    /// When polled after it was ready.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        B: RequestBody,
        R: Body,
    {
        inner: S,
        // `None` until it is first polled, and for a request of one model only.
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
        Readying { request: Option<Request<B>> },
        Calling { #[pin] answer: F },
        Draining { drain: Box<Peek<R>>, request: Option<Request<B>> },
        Done,
    }
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
    B: RequestBody + From<Bytes>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (inner, session, mut state) = (this.inner, this.session, this.state);
        loop {
            let next = match state.as_mut().project() {
                StateProj::Starting { start } => {
                    let (request, settings) = start.take().expect(ONCE);
                    let (begun, request) = Session::begin(request, settings, clock::now());
                    *session = begun;
                    let request = Some(request);
                    State::Readying { request }
                }
                StateProj::Readying { request } => {
                    if let Err(error) = ready!(inner.poll_ready(cx)) {
                        state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                    let answer = inner.call(request.take().expect(ONCE));
                    State::Calling { answer }
                }
                StateProj::Calling { answer } => {
                    let answer = ready!(answer.poll(cx));
                    match answer.map(|answer| answered(answer, session)) {
                        Ok(Step::Go(next)) => next,
                        Ok(Step::Done(answer)) => {
                            state.set(State::Done);
                            return Poll::Ready(Ok(answer));
                        }
                        // It says nothing of the model: another goes the same way.
                        Err(error) => {
                            state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                StateProj::Draining { drain, request } => {
                    ready!(drain.poll_drain(cx));
                    // With it the body is dropped, and what it holds of the connection and of the
                    // limiter, before the next model is asked.
                    let request = request.take();
                    State::Readying { request }
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            state.set(next);
        }
    }
}

/// What follows from an answer.
enum Step<B, F, R: Body> {
    Done(Response<R>),
    Go(State<B, F, R>),
}

fn answered<B, F, R>(answer: Response<R>, session: &mut Option<Session<B::Again>>) -> Step<B, F, R>
where
    B: RequestBody + From<Bytes>,
    R: Body<Data = Bytes>,
{
    let (mut head, body) = answer.into_parts();
    let now = clock::now();
    if let Some(kept) = session {
        if let Some(request) = kept.next(&head, now) {
            let drain = Box::new(Peek::new(body, kept.drain(now)));
            let request = Some(request);
            return Step::Go(State::Draining { drain, request });
        }
    }
    if let Some(served) = session.take().and_then(Session::served) {
        head.extensions.insert(served);
    }
    Step::Done(Response::from_parts(head, body))
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
