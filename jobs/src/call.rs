//! One call of the API, over whatever service there is.

use std::{fmt, future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE, response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::sleep;
use tower_service::Service;
use tower_together::{
    ApiError, Rejected,
    jobs::{JobsApi, read_json},
    limiter::Reason,
    retry::{Aftermath, Resubmission},
};

/// What a body's error can be made of.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request came to nothing, after all that the layers did.
#[derive(Clone, Debug)]
pub struct Failure {
    status: Option<StatusCode>,
    rejected: Option<Reason>,
    passing: bool,
    may_be_done: bool,
    /// Whether it is a success that does not say what it should.
    unreadable: bool,
    /// Whether it failed for what is in it, so that a part of it may succeed.
    own: bool,
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

    /// Whether the same request may be sent again, and may succeed then, by the retry layer's
    /// [table](tower_together::retry): the failure is transient, and the request creates nothing or
    /// [surely did nothing](Self::may_be_done).
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// Whether the server may have done what the request asks for: the response was lost, or is a 408 or a
    /// 5xx that does not state that nothing was done.
    pub fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// Whether there was a response, of the server or of the limiter.
    pub(crate) fn was_answered(&self) -> bool {
        self.status.is_some() || self.unreadable
    }

    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    pub(crate) fn into_own(self) -> Self {
        Self { own: true, ..self }
    }

    pub(crate) fn is_server_error(&self) -> bool {
        let status = self.status.filter(|_| self.rejected.is_none());
        status.is_some_and(|status| status.is_server_error())
    }

    /// A failure that is no better another time: the request could not be made, or its response does not
    /// say what it should.
    pub(crate) fn wrong(error: impl fmt::Display) -> Self {
        Self {
            status: None,
            rejected: None,
            passing: false,
            may_be_done: false,
            unreadable: false,
            own: false,
            message: error.to_string(),
        }
    }

    /// A line of a batch that failed, as the batch's files tell.
    pub(crate) fn of_line(status: Option<StatusCode>, passing: bool, message: String) -> Self {
        Self {
            status,
            passing,
            ..Self::wrong(message)
        }
    }

    /// A success that does not say what it should: a page in front of the API, for one, or part of a response.
    /// As far as anybody knows the request was done.
    pub(crate) fn unreadable(rules: &Resubmission, why: String) -> Self {
        Self {
            unreadable: true,
            ..Self::broken(rules, why)
        }
    }

    /// A response that is longer than what is read, as it will be another time.
    fn too_long(rules: &Resubmission, most: usize) -> Self {
        let most = most >> 20;
        Self {
            passing: false,
            ..Self::broken(rules, format!("the response is longer than {most} MiB"))
        }
    }

    /// An attempt that ended with an error of the client.
    fn broken(rules: &Resubmission, error: impl Into<BoxError>) -> Self {
        let error = error.into();
        Self::after(rules.after_error(&error), with_causes(error))
    }

    /// A service that is not ready has sent nothing.
    fn not_ready(rules: &Resubmission, error: impl Into<BoxError>) -> Self {
        Self {
            may_be_done: false,
            ..Self::broken(rules, error)
        }
    }

    fn after(aftermath: Aftermath, message: String) -> Self {
        Self {
            passing: aftermath.may_resubmit(),
            may_be_done: aftermath.may_be_done(),
            ..Self::wrong(message)
        }
    }

    /// A response that is an error.
    fn answered(rules: &Resubmission, head: &response::Parts, body: &[u8]) -> Self {
        let error = ApiError::parse(head.status, &head.headers, body);
        let failure = match head.extensions.get::<Rejected>() {
            Some(rejected) => Self {
                rejected: Some(rejected.reason()),
                passing: error.is_transient() && rejected.reason() != Reason::Closed,
                ..Self::wrong(rejected)
            },
            None => Self {
                own: is_about_input(&error),
                ..Self::after(rules.after_response(head, &error), error.to_string())
            },
        };
        Self {
            status: Some(head.status),
            ..failure
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Whether an error is about what is in a request, and not about its model or its caller.
fn is_about_input(error: &ApiError) -> bool {
    let message = error.message().to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let coded = error.code().is_some_and(|code| code.contains("model"));
    let about_model = coded || says(&["model"]) && (says(&ABSENT) || !says(&INPUT));
    match error.status().as_u16() {
        400 | 413 | 422 => !about_model,
        // A prompt that is too long (docs.together.ai/docs/error-codes), or no access.
        403 => says(&["context", "token"]),
        _ => false,
    }
}

/// Words for a model that the server does not have.
const ABSENT: [&str; 8] = [
    "no such model",
    "not found",
    "not exist",
    "unable to access",
    "not available",
    "not supported",
    "unknown model",
    "invalid model",
];

/// Words for what is in a request, of which an error may say that it is too much for the model.
const INPUT: [&str; 8] = [
    "input",
    "text",
    "token",
    "context",
    "length",
    "too long",
    "too large",
    "empty",
];

/// An error and its causes: hyper's own word for a refused connection is just "client error".
pub(crate) fn with_causes(error: impl Into<BoxError>) -> String {
    let error = error.into();
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    message
}

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
    answer(api, request, most, |rules, response| {
        read(response.body()).map_err(|why| Failure::unreadable(rules, why))
    })
    .await
}

/// Sends a request, and reads its response, if that is a success.
pub(crate) async fn answer<S, R, T>(
    api: &JobsApi<S>,
    request: Request<Full<Bytes>>,
    most: usize,
    read: impl FnOnce(&Resubmission, Response<Bytes>) -> Result<T, Failure>,
) -> Result<T, Failure>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let rules = &Resubmission::of(&request, api.endpoint(&request));
    let mut service = api.get_ref().clone();
    let ready = poll_fn(|cx| service.poll_ready(cx)).await;
    ready.map_err(|error| Failure::not_ready(rules, error))?;
    let answer = service.call(request).await;
    let answer = answer.map_err(|error| Failure::broken(rules, error))?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, most).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => Failure::too_long(rules, most),
        false => Failure::broken(rules, error),
    })?;
    let body = body.to_bytes();
    match head.status.is_success() {
        true => read(rules, Response::from_parts(head, body)),
        false => Err(Failure::answered(rules, &head, &body)),
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
    patience: Patience,
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
pub(crate) enum Patience {
    /// Before anything is known of the server, an unreadable success means a wrong address.
    WithErrors,
    /// Later it is a page of a proxy, which is in order again soon.
    WithAll,
}

impl Patience {
    fn bears(self, failure: &Failure) -> bool {
        failure.is_passing() && (matches!(self, Self::WithAll) || !failure.unreadable)
    }
}

/// Tries of asking, each after an interval: with that of 30 s, an hour.
const PATIENCE: u32 = 120;

/// Bytes of an answer that is no file: a list of thousands of batches.
const MOST: usize = 16 << 20;

/// Checks that a response is a job, which has a state.
pub(crate) fn state(job: Value) -> Result<Value, String> {
    match job["status"].is_string() {
        true => Ok(job),
        false => Err(format!("the response has no status: {job}")),
    }
}

const NO_JSON: &str = "the response is not JSON; check the base URL, which ends with /v1";

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tower_together::{Endpoint, Limiter, Limits, limiter::Call};

    use super::*;

    fn rules(endpoint: Endpoint) -> Resubmission {
        Resubmission::of(&Request::new(()), endpoint)
    }

    #[test]
    fn it_is_known_what_may_pass_and_what_may_have_been_done() {
        let broke = r#"{"error":{"message":"Credit limit exceeded","code":"insufficient_quota"}}"#;
        for (status, body, passing, may_be_done) in [
            (500, "", true, true),
            (503, "{}", true, true),
            (503, r#"{"error":{"message":"overloaded"}}"#, true, false),
            (429, "{}", true, false),
            (429, broke, false, false),
            (408, "", true, true),
            (404, "{}", false, false),
            (501, "", false, true),
            (505, "", false, true),
            (521, "", true, true),
            (526, "", false, true),
            (530, "", true, true),
            (402, broke, false, false),
        ] {
            let answer = Response::builder().status(status).body(()).unwrap();
            let head = answer.into_parts().0;
            let failure = |endpoint| Failure::answered(&rules(endpoint), &head, body.as_bytes());
            let said = |failure: Failure| (failure.passing, failure.may_be_done);
            let read = said(failure(Endpoint::BatchGet));
            assert_eq!(read, (passing, may_be_done), "{status} {body}");
            let created = said(failure(Endpoint::BatchCreate));
            let passing = passing && !may_be_done;
            assert_eq!(created, (passing, may_be_done), "{status} {body}");
        }
    }

    #[test]
    fn an_error_is_about_the_input_unless_it_is_about_the_model_or_the_caller() {
        let long = "This model's maximum context length is 512 tokens";
        for (status, body, own) in [
            (400, json!({"message": long}), true),
            (400, json!({"message": "a bad text"}), true),
            (413, json!({"message": ""}), true),
            (422, json!({"message": "input 3 is empty"}), true),
            (403, json!({"message": long}), true),
            (403, json!({"message": "not allowed"}), false),
            (400, json!({"message": "Unable to access model x"}), false),
            (400, json!({"message": "wrong model"}), false),
            (
                422,
                json!({"message": "invalid input: model x not found"}),
                false,
            ),
            (
                400,
                json!({"code": "model_not_available", "message": "text"}),
                false,
            ),
            (404, json!({"message": "a bad text"}), false),
            (401, json!({"message": "a bad token"}), false),
        ] {
            let answer = Response::builder().status(status).body(()).unwrap();
            let body = json!({"error": body}).to_string();
            let rules = rules(Endpoint::Embeddings);
            let failure = Failure::answered(&rules, &answer.into_parts().0, body.as_bytes());
            assert_eq!(failure.is_own(), own, "{status} {body}");
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
            Failure::answered(&rules(Endpoint::ChatCompletions), &head, b"{}")
        };
        let local = failure(answer().extension(rejected));
        assert_eq!(local.rejected(), Some(Reason::Closed));
        assert!(!local.is_passing() && !local.may_be_done());
        assert_eq!(failure(answer()).rejected(), None);
    }
}
