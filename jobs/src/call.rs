//! One call of the API, over whatever service there is.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, header::CONTENT_TYPE};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{
    ApiError,
    jobs::{JobsApi, read_json},
    retry::Resubmission,
};

use crate::failure::{BoxError, Failure};

/// Sends a body of some type, or none, and reads the response.
pub(crate) async fn call<S, R, T>(
    api: &JobsApi<S>,
    method: Method,
    path: &str,
    body: Option<(&str, Bytes)>,
    most: usize,
    read: impl FnOnce(&Bytes) -> Result<T, String>,
) -> Result<T, Failure>
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
    send(api, request, most, |rules, response| {
        read(response.body()).map_err(|why| Failure::unreadable(rules, why))
    })
    .await
}

/// Sends a request, and reads its response, if that is a success.
pub(crate) async fn send<S, R, T>(
    api: &JobsApi<S>,
    request: Request<Full<Bytes>>,
    most: usize,
    read: impl FnOnce(&Resubmission, Response<Bytes>) -> Result<T, Failure>,
) -> Result<T, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let endpoint = api.endpoint(&request);
    let rules = &Resubmission::of(&request, endpoint);
    let mut service = api.get_ref().clone();
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    ready.map_err(|error| Failure::not_ready(rules, error))?;
    let response = service.call(request).await;
    let response = response.map_err(|error| Failure::broken(rules, error))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => Failure::too_long(rules, most),
        false => Failure::broken(rules, error),
    })?;
    let body = body.to_bytes();
    let error = match head.status.is_success() {
        true => ApiError::in_band(endpoint, head.status, &head.headers, &body),
        false => Some(ApiError::parse(head.status, &head.headers, &body)),
    };
    match error {
        Some(error) => Err(Failure::of_response(rules, &head, &error)),
        None => read(rules, Response::from_parts(head, body)),
    }
}

/// Sends JSON, or nothing, and reads JSON.
pub(crate) async fn json<S, R, T>(
    api: &JobsApi<S>,
    method: Method,
    path: &str,
    body: Option<&Value>,
    read: impl FnOnce(Value) -> Result<T, String>,
) -> Result<T, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = body.map(|body| ("application/json", Bytes::from(body.to_string())));
    call(api, method, path, body, MOST, |body| {
        read(read_json(body).map_err(|_| NO_JSON.to_owned())?)
    })
    .await
}

/// Asks again, over an outage too: hours of work hang on it.
pub(crate) async fn patiently<T, F>(
    interval: Duration,
    patience: Tolerance,
    ask: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut tries = PATIENCE;
    loop {
        match ask().await {
            Err(failure) if patience.bears(&failure) && tries > 1 => tries -= 1,
            other => return other,
        }
        sleep(interval).await;
    }
}

/// Which failures are waited out.
#[derive(Clone, Copy)]
pub(crate) enum Tolerance {
    /// Before anything is known of the server, an unreadable success means a wrong address.
    WithErrors,
    /// Later it is a page of a proxy, which is in order again soon.
    WithAll,
}

impl Tolerance {
    fn bears(self, failure: &Failure) -> bool {
        failure.is_transient() && (matches!(self, Self::WithAll) || !failure.unreadable)
    }
}

/// Tries of asking, each after an interval: with that of 30 s, an hour.
const PATIENCE: u32 = 120;

/// Bytes of a response that is no file: a list of thousands of batches.
const MOST: usize = 16 << 20;

/// Checks that a response is a job, which has a state.
pub(crate) fn state(job: Value) -> Result<Value, String> {
    match job["status"].is_string() {
        true => Ok(job),
        false => Err(format!("the response has no status: {job}")),
    }
}

const NO_JSON: &str = "the response is not JSON; check the base URL, which ends with /v1";
