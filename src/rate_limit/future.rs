use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{
    ResponseBody,
    departed::{Departed, Reading, Responded},
    wanted::{Wanted, poll_turn},
};
use crate::{
    body::{Bound, RequestBody, rejection},
    limiter::Lost,
    words::extension::{QueueGauge, Stand},
};

pin_project_lite::pin_project! {
    /// The response to a request. It waits for the request's turn, then for the response. If that is an error or a
    /// created job, it also waits for the beginning of the body.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped while it waits, nothing is charged and the next request moves up. If it is dropped after the
    /// inner service was called, the in-flight slot is released, and the charge to the rate stands.
    ///
    /// # Panics
    ///
    /// If it has to wait and is polled outside a Tokio runtime with its timer enabled, or if it is polled after
    /// completion.
    pub struct ResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
        R: Body,
    {
        bound: Bound,
        #[pin]
        state: State<S, B, S::Future, R>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R>
    where
        R: Body,
    {
        Waiting {
            inner: S,
            request: Option<Request<B>>,
            // `None`: the layer does not limit this request.
            turn: Option<Wanted>,
            stand: Option<Stand>,
        },
        Calling {
            #[pin]
            response: F,
            departed: Option<Departed>,
        },
        Reading { read: Option<Box<Reading<R>>> },
        Done,
    }
}

impl<S, B, R> ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    pub(super) fn limited(inner: S, request: Request<B>, turn: Wanted, bound: Bound) -> Self {
        Self::waiting(inner, request, Some(turn), bound)
    }

    pub(super) fn untouched(inner: S, request: Request<B>, bound: Bound) -> Self {
        Self::waiting(inner, request, None, bound)
    }

    fn waiting(inner: S, request: Request<B>, turn: Option<Wanted>, bound: Bound) -> Self {
        Self {
            bound,
            state: State::Waiting {
                inner,
                request: Some(request),
                turn,
                stand: None,
            },
        }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    B: RequestBody,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut state = this.state;
        loop {
            match state.as_mut().project() {
                // Goes to Calling once it is the request's turn and the service is ready. Goes to Done if the
                // limiter rejects the request, or if the service fails.
                StateProj::Waiting {
                    inner,
                    request,
                    turn,
                    stand,
                } => {
                    let taken = request.as_mut().expect("taken only when called");
                    // Charged and called in the same poll, so that the limiter counts exactly what is sent.
                    let departed = match poll_turn(inner, taken, turn, cx) {
                        Poll::Pending => {
                            if stand.is_none() {
                                *stand = taken.extensions().get().map(QueueGauge::enter);
                            }
                            return Poll::Pending;
                        }
                        Poll::Ready(Ok(departed)) => departed,
                        Poll::Ready(Err(lost)) => {
                            let response = match lost {
                                Lost::Inner(error) => Err(error),
                                Lost::Rejected(rejected) => {
                                    Ok(rejection(rejected, taken.headers()).map(ResponseBody::of))
                                }
                            };
                            state.set(State::Done);
                            return Poll::Ready(response);
                        }
                    };
                    let request = request.take().expect("taken only when called");
                    let response = inner.call(request);
                    state.set(State::Calling { response, departed });
                }
                // Goes to Reading once the response has come, if the beginning of its body may be an error or
                // name a job. Goes to Done with any other response, and with an error of the service.
                StateProj::Calling { response, departed } => {
                    let response = match ready!(response.poll(cx)) {
                        Ok(response) => Responded::of(response, departed, *this.bound),
                        Err(error) => {
                            if let Some(departed) = departed.take() {
                                departed.failed();
                            }
                            state.set(State::Done);
                            return Poll::Ready(Err(error));
                        }
                    };
                    match response {
                        Responded::ToRead(read) => {
                            let read = Some(read);
                            state.set(State::Reading { read });
                        }
                        Responded::Done(response) => {
                            state.set(State::Done);
                            return Poll::Ready(Ok(response));
                        }
                    }
                }
                // Goes to Done once enough of the body is read, or its time is up.
                StateProj::Reading { read } => {
                    let reading = read.as_mut().expect("taken only when read");
                    ready!(reading.poll(cx));
                    let read = read.take().expect("taken only when read");
                    state.set(State::Done);
                    return Poll::Ready(Ok(read.finish()));
                }
                StateProj::Done => panic!("polled after it was ready"),
            }
        }
    }
}

impl<S, B, R> fmt::Debug for ResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
    R: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
