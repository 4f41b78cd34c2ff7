use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::{read, refusal};
use crate::{
    body::{RequestBody, ResponseBody},
    limiter::{Inner, Limiter, Lost, Permit, Turn},
    observe,
    words::{Endpoint, Rejected, extension::Waited},
};

pin_project_lite::pin_project! {
    /// A request on its way: first it waits for its turn, then for its answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, it has cost nothing and the next in line moves up. Dropped after the
    /// inner service was called, it gives back its in-flight slot, and its share of the rate is
    /// spent.
    ///
    /// # Panics
    ///
    /// When it has to wait and is polled outside a Tokio runtime with its timer enabled, and when
    /// polled after it was ready.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Waiting {
            inner: S,
            request: Option<Request<B>>,
            // `None`: the request is left alone.
            turn: Option<(Turn, Endpoint)>,
        },
        Calling {
            #[pin]
            answer: F,
            permit: Option<(Permit, Endpoint)>,
        },
        Done,
    }
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) fn limited(
        inner: S,
        request: Request<B>,
        endpoint: Endpoint,
        limiter: &Limiter,
    ) -> Self {
        Self::waiting(inner, request, Some((limiter.turn(), endpoint)))
    }

    pub(super) fn untouched(inner: S, request: Request<B>) -> Self {
        Self::waiting(inner, request, None)
    }

    fn waiting(inner: S, request: Request<B>, turn: Option<(Turn, Endpoint)>) -> Self {
        Self {
            state: State::Waiting {
                inner,
                request: Some(request),
                turn,
            },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Waiting {
                    inner,
                    request,
                    turn,
                } => {
                    let taken = request.as_mut().expect("taken only when called");
                    let permit = match poll_turn(inner, taken, turn, cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(permit)) => permit,
                        Poll::Ready(Err(lost)) => {
                            let answer = match lost {
                                Lost::Inner(error) => Err(error),
                                Lost::Rejected(rejected) => {
                                    observe::refused(&rejected);
                                    let grpc = read::is_grpc(taken);
                                    Ok(refusal::answer(rejected, grpc).map(ResponseBody::own))
                                }
                            };
                            state.set(State::Done);
                            return Poll::Ready(answer);
                        }
                    };
                    // Charged and called in one poll: what the limiter counts is what leaves.
                    let request = request.take().expect("taken only when called");
                    let answer = inner.call(request);
                    state.set(State::Calling { answer, permit });
                }
                StateProj::Calling { answer, permit } => {
                    let answer = ready!(answer.poll(cx));
                    let permit = permit.take();
                    state.set(State::Done);
                    return Poll::Ready(answer.map(|answer| finish(answer, permit)));
                }
                StateProj::Done => panic!("polled after it was ready"),
            }
        }
    }
}

type Admitted = Option<(Permit, Endpoint)>;

fn poll_turn<S, B>(
    inner: &mut S,
    request: &mut Request<B>,
    turn: &mut Option<(Turn, Endpoint)>,
    cx: &mut Context<'_>,
) -> Poll<Result<Admitted, Lost<S::Error>>>
where
    S: Service<Request<B>> + Clone,
    B: RequestBody,
{
    let Some((turn, endpoint)) = turn else {
        return inner.poll_ready(cx).map_ok(|()| None).map_err(Lost::Inner);
    };
    let mut inner = Behind {
        service: inner,
        request: &mut *request,
    };
    let polled = if turn.is_queued() {
        ready!(turn.wait(&mut inner, cx))
    } else {
        let call = read::call(inner.request, *endpoint);
        ready!(turn.arrive(&call, &mut inner, cx))
    };
    Poll::Ready(polled.map(|permit| Some((permit, *endpoint))))
}

fn finish<R: Body>(answer: Response<R>, admitted: Admitted) -> Response<ResponseBody<R>> {
    let Some((permit, endpoint)) = admitted else {
        return answer.map(ResponseBody::untouched);
    };
    let waited = permit.waited();
    let ours = answer.extensions().get::<Rejected>().is_some();
    if answer.status() == StatusCode::TOO_MANY_REQUESTS && !ours {
        permit.throttled();
        observe::throttled(endpoint);
    }
    let mut answer = answer.map(|body| ResponseBody::inner(body, permit));
    if waited > Duration::ZERO {
        answer.extensions_mut().insert(Waited::new(waited));
    }
    answer
}

/// The inner service, as the turn sees it.
struct Behind<'a, S, B> {
    service: &'a mut S,
    request: &'a mut Request<B>,
}

impl<S, B> Inner for Behind<'_, S, B>
where
    S: Service<Request<B>> + Clone,
{
    type Error = S::Error;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn let_go(&mut self) {
        // A clone is not ready; dropping the ready one gives back the slot or permit it holds.
        *self.service = self.service.clone();
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
