//! Why a request came to nothing.

use std::fmt;

use http::{StatusCode, response};
use tower_together::{
    ApiError, Rejected,
    limiter::Reason,
    retry::{Aftermath, Resubmission},
};

/// Any error of a service or a body.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request came to nothing, after all that the layers did.
#[derive(Clone, Debug)]
pub struct Failure {
    status: Option<StatusCode>,
    rejected: Option<Reason>,
    transient: bool,
    may_be_done: bool,
    /// Whether it is a success that does not say what it should.
    pub(crate) unreadable: bool,
    /// Whether it failed for what is in it, so that a part of it may succeed.
    own: bool,
    concerns_all: bool,
    no_response: bool,
    request_id: Option<String>,
    message: String,
}

impl Failure {
    /// The status of the error response; `None` if there was no response, or a success that does not say what it should.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Why the limiter rejected the request, which then was not sent.
    pub fn rejected(&self) -> Option<Reason> {
        self.rejected
    }

    /// Whether the same request may be sent again, and may succeed then, by the retry layer's
    /// [table](tower_together::retry): the failure is transient, and the request creates nothing or
    /// [surely did nothing](Self::may_be_done).
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    /// The former name of [`is_transient`](Self::is_transient).
    #[deprecated(since = "0.1.0", note = "renamed `is_transient`")]
    pub fn is_passing(&self) -> bool {
        self.is_transient()
    }

    /// Whether the server may have done what the request asks for: the response was lost, or is a 408 or a
    /// 5xx that does not state that nothing was done.
    pub fn may_be_done(&self) -> bool {
        self.may_be_done
    }

    /// Whether other requests with the same key and model fail in the same way: after 401, 402 and 429 without
    /// money, after 403, 404 and 405, and where an error is about the model. A program that sends many of them
    /// ends early: the rest would cost time, and change nothing.
    pub fn concerns_all(&self) -> bool {
        self.concerns_all
    }

    /// The message without the id of its request: equal for failures of one kind.
    pub fn kind(&self) -> String {
        match &self.request_id {
            Some(id) => self.message.replace(&format!(" [request {id}]"), ""),
            None => self.message.clone(),
        }
    }

    /// Whether there was a response, of the server or of the limiter; false after an error of the client, such as a
    /// refused connection or a timeout.
    pub fn was_answered(&self) -> bool {
        !self.no_response
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
            transient: false,
            may_be_done: false,
            unreadable: false,
            own: false,
            concerns_all: false,
            no_response: false,
            request_id: None,
            message: error.to_string(),
        }
    }

    /// A line of a batch that failed, as the batch's files tell.
    pub(crate) fn of_line(status: Option<StatusCode>, transient: bool, message: String) -> Self {
        Self {
            status,
            transient,
            ..Self::wrong(message)
        }
    }

    /// A success that does not say what it should: a page in front of the API, for one, or part of a response.
    /// As far as anybody knows the request was done.
    pub(crate) fn unreadable(rules: &Resubmission, why: String) -> Self {
        Self {
            unreadable: true,
            no_response: false,
            ..Self::broken(rules, why)
        }
    }

    /// A response that is longer than what is read, as it will be another time.
    pub(crate) fn too_long(rules: &Resubmission, most: usize) -> Self {
        let most = most >> 20;
        Self {
            transient: false,
            no_response: false,
            ..Self::broken(rules, format!("the response is longer than {most} MiB"))
        }
    }

    /// An attempt that ended with an error of the client.
    pub(crate) fn broken(rules: &Resubmission, error: impl Into<BoxError>) -> Self {
        let error = error.into();
        Self {
            no_response: true,
            ..Self::after(rules.after_error(&error), with_causes(error))
        }
    }

    /// A service that is not ready has sent nothing.
    pub(crate) fn not_ready(rules: &Resubmission, error: impl Into<BoxError>) -> Self {
        Self {
            may_be_done: false,
            ..Self::broken(rules, error)
        }
    }

    fn after(aftermath: Aftermath, message: String) -> Self {
        Self {
            transient: aftermath.may_resubmit(),
            may_be_done: aftermath.may_be_done(),
            ..Self::wrong(message)
        }
    }

    /// A response that is an error.
    pub(crate) fn of_response(
        rules: &Resubmission,
        head: &response::Parts,
        error: &ApiError,
    ) -> Self {
        let failure = match head.extensions.get::<Rejected>() {
            Some(rejected) => Self {
                rejected: Some(rejected.reason()),
                transient: error.is_transient() && rejected.reason() != Reason::Closed,
                ..Self::wrong(rejected)
            },
            None => Self {
                own: is_about_input(error),
                concerns_all: concerns_all(error),
                request_id: error.request_id().map(str::to_owned),
                ..Self::after(rules.after_response(head, error), error.to_string())
            },
        };
        Self {
            status: Some(error.status()),
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
    match error.status().as_u16() {
        400 | 413 | 422 => !is_about_model(error),
        // A prompt that is too long (docs.together.ai/docs/error-codes), or no access.
        403 => says(error, &["context", "token"]),
        _ => false,
    }
}

fn concerns_all(error: &ApiError) -> bool {
    match error.status().as_u16() {
        400 | 422 => is_about_model(error),
        401 | 402 | 404 | 405 => true,
        403 => !is_about_input(error),
        429 => error.is_out_of_money(),
        _ => false,
    }
}

fn is_about_model(error: &ApiError) -> bool {
    let coded = error.code().is_some_and(|code| code.contains("model"));
    coded || says(error, &["model"]) && (says(error, &ABSENT) || !says(error, &INPUT))
}

fn says(error: &ApiError, words: &[&str]) -> bool {
    let message = error.message().to_ascii_lowercase();
    words.iter().any(|word| message.contains(word))
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

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use serde_json::json;
    use tower_together::{Endpoint, Limiter, Limits, limiter::Call};

    use super::*;

    fn rules(endpoint: Endpoint) -> Resubmission {
        Resubmission::of(&Request::new(()), endpoint)
    }

    fn of_response(rules: &Resubmission, head: &response::Parts, body: &[u8]) -> Failure {
        let error = ApiError::parse(head.status, &head.headers, body);
        Failure::of_response(rules, head, &error)
    }

    #[test]
    fn it_is_known_what_may_pass_and_what_may_have_been_done() {
        let broke = r#"{"error":{"message":"Credit limit exceeded","code":"insufficient_quota"}}"#;
        for (status, body, transient, may_be_done) in [
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
            let response = Response::builder().status(status).body(()).unwrap();
            let head = response.into_parts().0;
            let failure = |endpoint| of_response(&rules(endpoint), &head, body.as_bytes());
            let said = |failure: Failure| (failure.transient, failure.may_be_done);
            let read = said(failure(Endpoint::BatchGet));
            assert_eq!(read, (transient, may_be_done), "{status} {body}");
            let created = said(failure(Endpoint::BatchCreate));
            let transient = transient && !may_be_done;
            assert_eq!(created, (transient, may_be_done), "{status} {body}");
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
            let response = Response::builder().status(status).body(()).unwrap();
            let body = json!({"error": body}).to_string();
            let rules = rules(Endpoint::Embeddings);
            let failure = of_response(&rules, &response.into_parts().0, body.as_bytes());
            assert_eq!(failure.is_own(), own, "{status} {body}");
            assert_eq!(failure.concerns_all(), !own, "{status} {body}");
        }
    }

    #[test]
    fn an_error_concerns_all_if_it_is_about_the_key_the_money_or_the_model() {
        let broke = r#"{"error":{"message":"Credit limit exceeded","code":"insufficient_quota"}}"#;
        for (status, body, all) in [
            (402, "", true),
            (403, "", true),
            (429, broke, true),
            (429, "", false),
            (408, "", false),
            (500, "", false),
            (503, "", false),
        ] {
            let response = Response::builder().status(status).body(()).unwrap();
            let head = response.into_parts().0;
            let rules = rules(Endpoint::Embeddings);
            let failure = of_response(&rules, &head, body.as_bytes());
            assert_eq!(failure.concerns_all(), all, "{status} {body}");
        }
    }

    #[test]
    fn failures_of_two_requests_are_of_one_kind() {
        let failure = |id: &str| {
            let response = Response::builder().status(402).header("x-request-id", id);
            let head = response.body(()).unwrap().into_parts().0;
            of_response(&rules(Endpoint::Embeddings), &head, b"")
        };
        let (one, other) = (failure("oAbc-1"), failure("oAbc-2"));
        assert!(one.to_string().contains("oAbc-1"), "{one}");
        assert_eq!(one.kind(), other.kind());
        assert!(one.kind().starts_with("402"), "{}", one.kind());
    }

    #[test]
    fn a_failure_says_why_the_limiter_rejected_the_request() {
        let limiter = Limiter::new(Limits::none());
        limiter.close();
        let chat = Call::new(Endpoint::ChatCompletions);
        let rejected = limiter.try_acquire(&chat).unwrap_err();
        let response = || Response::builder().status(503);
        let failure = |response: response::Builder| {
            let (head, ()) = response.body(()).unwrap().into_parts();
            of_response(&rules(Endpoint::ChatCompletions), &head, b"{}")
        };
        let local = failure(response().extension(rejected));
        assert_eq!(local.rejected(), Some(Reason::Closed));
        assert!(!local.is_transient() && !local.may_be_done());
        assert_eq!(failure(response()).rejected(), None);
    }
}
