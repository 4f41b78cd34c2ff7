use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::Instant;

/// Decides on the attempts of one request. `E` is the error of the inner service.
pub(crate) trait Strategy<B, R, E>: Sized {
    type Settings;
    /// A response that is read further before the next step.
    type Read;
    /// The body of the response that the caller gets.
    type Body;

    /// Prepares the request for its first attempt, in its place, which is not empty before or after. A request is
    /// passed through if `strategy` stays `None`.
    fn begin(
        strategy: &mut Option<Self>,
        request: &mut Option<Request<B>>,
        settings: Self::Settings,
    );

    /// The caller's response to a request that is passed through.
    fn untouched(response: Response<R>) -> Response<Self::Body>;

    /// Ready with `None` when an attempt may be made, and with the caller's response if none may be.
    /// `service` is the readiness of the inner service.
    fn poll_leave(
        &mut self,
        service: Poll<()>,
        _: &Request<B>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Response<Self::Body>>> {
        service.map(|()| None)
    }

    /// Called before each poll of an attempt, also of a request that is passed through.
    fn listen() {}

    fn responded(&mut self, response: Response<R>) -> StepOf<Self, B, R, E>;

    fn failed(&mut self, error: E) -> StepOf<Self, B, R, E>;

    fn poll_read(read: &mut Self::Read, cx: &mut Context<'_>) -> Poll<()>;

    /// Called once `read` is ready.
    fn read(&mut self, read: Box<Self::Read>) -> StepOf<Self, B, R, E>;
}

/// The next step of the strategy `St`.
pub(crate) type StepOf<St, B, R, E> =
    Step<B, <St as Strategy<B, R, E>>::Read, <St as Strategy<B, R, E>>::Body, E>;

pub(crate) enum Step<B, D, T, E> {
    Return(Result<Response<T>, E>),
    Read(Box<D>),
    /// Sends the request at the instant, or now if there is none. It is boxed because most steps return a response.
    Send(Box<Request<B>>, Option<Instant>),
}
