//! One call of the API, over whatever service there is.

use std::{fmt, future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE, response};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::Value;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{
    ApiError, Rejected,
    jobs::{JobsApi, read_json},
    limiter::Reason,
};

/// What a body's error can be made of.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request came to nothing, after all that the layers did.
#[derive(Clone, Debug)]
pub struct Failure {
    status: Option<StatusCode>,
    rejected: Option<Reason>,
    passing: bool,
    /// Whether it may have been done all the same.
    pub(crate) unsure: bool,
    message: String,
}

impl Failure {
    /// The error it was answered with; `None` if there was no answer, or none that says what it should.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Why the limiter itself refused it, which then was not sent.
    pub fn rejected(&self) -> Option<Reason> {
        self.rejected
    }

    /// Whether it may go well another time: no response, or an error that
    /// [is transient](ApiError::is_transient). Not if the limiter was closed.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// It could not be sent, or its answer does not say what it should: another time it is no better.
    pub(crate) fn wrong(error: impl fmt::Display) -> Self {
        Self {
            status: None,
            rejected: None,
            passing: false,
            unsure: false,
            message: error.to_string(),
        }
    }

    /// Nobody knows whether it was done. Says the causes too: hyper's own word for a refused connection
    /// is just "client error".
    pub(crate) fn unsure(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message += &format!(": {error}");
            cause = error.source();
        }
        Self {
            passing: true,
            unsure: true,
            ..Self::wrong(message)
        }
    }

    /// What was answered is an error.
    fn answered(head: &response::Parts, body: &[u8]) -> Self {
        let rejected = head.extensions.get::<Rejected>();
        let error = ApiError::parse(head.status, &head.headers, body);
        let closed = rejected.is_some_and(|rejected| rejected.reason() == Reason::Closed);
        Self {
            status: Some(head.status),
            rejected: rejected.map(Rejected::reason),
            passing: error.is_transient() && !closed,
            unsure: head.status.is_server_error() && rejected.is_none(),
            message: rejected.map_or_else(|| error.to_string(), ToString::to_string),
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Sends a body of some type, or none, and reads the answer.
pub(crate) async fn call<S, R>(
    api: &JobsApi<S>,
    method: Method,
    path: &str,
    body: Option<(&str, Bytes)>,
    most: usize,
) -> Result<Bytes, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let request = api.request(method, path);
    let request = match body {
        Some((kind, body)) => request.header(CONTENT_TYPE, kind).body(Full::new(body)),
        None => request.body(Full::default()),
    };
    let request = request.map_err(Failure::wrong)?;
    Ok(answer(api, request, most).await?.into_body())
}

/// Sends a request, and reads its answer.
pub(crate) async fn answer<S, R>(
    api: &JobsApi<S>,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Response<Bytes>, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let mut service = api.get_ref().clone();
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    ready.map_err(Failure::unsure)?;
    let answer = service.call(request).await.map_err(Failure::unsure)?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(Failure::unsure)?.to_bytes();
    if head.status.is_success() {
        return Ok(Response::from_parts(head, body));
    }
    Err(Failure::answered(&head, &body))
}

/// The same, of JSON.
pub(crate) async fn json<S, R>(
    api: &JobsApi<S>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = body.map(|body| ("application/json", Bytes::from(body.to_string())));
    let answer = call(api, method, path, body, MOST).await?;
    read_json(&answer).map_err(|_| Failure {
        unsure: true,
        ..Failure::wrong("the answer is no JSON; check the base URL, which ends with /v1")
    })
}

/// Asks again, over an outage too: hours of work hang on it.
pub(crate) async fn patiently<T, F>(interval: Duration, ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut tries = PATIENCE;
    loop {
        match ask().await {
            Err(failure) if failure.is_passing() && tries > 1 => tries -= 1,
            other => return other,
        }
        sleep(interval).await;
    }
}

/// Tries of asking, each after an interval: with that of 30 s, an hour.
const PATIENCE: u32 = 120;

/// Bytes of an answer that is no file: a list of thousands of batches.
const MOST: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use tower_together::{Endpoint, Limiter, Limits, limiter::Call};

    use super::*;

    #[test]
    fn it_is_known_what_may_pass_and_what_may_have_been_done() {
        let broke = r#"{"error":{"message":"Credit limit exceeded","code":"insufficient_quota"}}"#;
        for (status, body, passing, unsure) in [
            (500, "", true, true),
            (503, "{}", true, true),
            (429, "{}", true, false),
            (429, broke, false, false),
            (408, "", true, false),
            (404, "{}", false, false),
            (501, "", false, true),
            (505, "", false, true),
            (521, "", true, true),
            (526, "", false, true),
            (530, "", true, true),
            (402, broke, false, false),
        ] {
            let answer = Response::builder().status(status).body(()).unwrap();
            let failure = Failure::answered(&answer.into_parts().0, body.as_bytes());
            assert_eq!(
                (failure.passing, failure.unsure),
                (passing, unsure),
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_failure_says_why_the_limiter_rejected_the_request() {
        let limiter = Limiter::new(Limits::none());
        limiter.close();
        let chat = Call::new(Endpoint::ChatCompletions);
        let rejected = limiter.try_acquire(&chat).unwrap_err();
        let answer = || Response::builder().status(503);
        let failure = |answer: response::Builder| {
            let (head, ()) = answer.body(()).unwrap().into_parts();
            Failure::answered(&head, b"{}")
        };
        let local = failure(answer().extension(rejected));
        assert_eq!(local.rejected(), Some(Reason::Closed));
        assert!(!local.is_passing() && !local.unsure);
        assert_eq!(failure(answer()).rejected(), None);
    }
}
