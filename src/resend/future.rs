use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;

use super::{Step, Strategy};

pin_project_lite::pin_project! {
    /// A request that is sent as often as its strategy `St` says. `D` is what `St` reads, and `T` its settings.
    pub(crate) struct Resend<S, B, St, D, T>
    where
        S: Service<Request<B>>,
    {
        inner: S,
        // `None` until it is first polled, and for a request that is passed through.
        strategy: Option<St>,
        #[pin]
        state: State<B, S::Future, D, T>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<B, F, D, T> {
        // `settings` are there until the first poll of the first attempt.
        Readying { request: Option<Request<B>>, settings: Option<T> },
        Calling { #[pin] attempt: F },
        Reading { read: Option<Box<D>> },
        Sleeping { sleep: Pin<Box<Sleep>>, request: Option<Request<B>> },
        Done,
    }
}

impl<S, B, St, D, T> Resend<S, B, St, D, T>
where
    S: Service<Request<B>>,
{
    pub(crate) fn new(inner: S, request: Request<B>, settings: T) -> Self {
        Self {
            inner,
            strategy: None,
            state: State::Readying {
                request: Some(request),
                settings: Some(settings),
            },
        }
    }
}

impl<S, B, R, St, D, T> Future for Resend<S, B, St, D, T>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    St: Strategy<B, R, S::Error, Settings = T, Read = D>,
{
    type Output = Result<Response<St::Body>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (inner, strategy, mut state) = (this.inner, this.strategy, this.state);
        let result = loop {
            let next = match state.as_mut().project() {
                // Goes to Calling once the service is ready. Goes to Done if the service fails, or if the
                // strategy rejects the attempt because its deadline has passed.
                StateProj::Readying { request, settings } => {
                    // Nothing is done for the request before its first poll.
                    if let Some(settings) = settings.take() {
                        St::begin(strategy, request, settings);
                    }
                    let service = match inner.poll_ready(cx) {
                        Poll::Ready(Err(error)) => break Err(error),
                        service => service.map(drop),
                    };
                    let asked = request.as_ref().expect(ONCE);
                    let rejected = match strategy {
                        Some(strategy) => ready!(strategy.poll_leave(service, asked, cx)),
                        None => ready!(service.map(|()| None)),
                    };
                    if let Some(response) = rejected {
                        // A clone holds no permit of the service that was ready, however long this future is kept.
                        *inner = inner.clone();
                        break Ok(response);
                    }
                    let attempt = inner.call(request.take().expect(ONCE));
                    state.set(State::Calling { attempt });
                    continue;
                }
                // Goes where the strategy says once the attempt has ended. Goes to Done if the request is passed
                // through.
                StateProj::Calling { attempt } => {
                    St::listen();
                    let result = ready!(attempt.poll(cx));
                    match (strategy.as_mut(), result) {
                        (Some(strategy), Ok(response)) => strategy.responded(response),
                        (Some(strategy), Err(error)) => strategy.failed(error),
                        (None, result) => Step::Return(result.map(St::untouched)),
                    }
                }
                // Goes where the strategy says once enough of the response is read.
                StateProj::Reading { read } => {
                    ready!(St::poll_read(read.as_mut().expect(ONCE), cx));
                    let read = read.take().expect(ONCE);
                    strategy.as_mut().expect("only a strategy reads").read(read)
                }
                // Goes to Readying at the instant that the strategy named.
                StateProj::Sleeping { sleep, request } => {
                    ready!(sleep.as_mut().poll(cx));
                    let request = request.take().expect(ONCE);
                    state.set(State::sending(request, None));
                    continue;
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            match next {
                Step::Send(request, at) => state.set(State::sending(*request, at)),
                Step::Read(read) => state.set(State::Reading { read: Some(read) }),
                Step::Return(result) => break result,
            }
        };
        *strategy = None;
        state.set(State::Done);
        Poll::Ready(result)
    }
}

impl<B, F, D, T> State<B, F, D, T> {
    fn sending(request: Request<B>, at: Option<Instant>) -> Self {
        let request = Some(request);
        match at {
            None => Self::Readying {
                request,
                settings: None,
            },
            Some(at) => Self::Sleeping {
                sleep: Box::pin(sleep_until(at)),
                request,
            },
        }
    }
}

const ONCE: &str = "taken only when the state ends";
