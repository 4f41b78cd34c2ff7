use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;

use super::{declined, is_transient, too_many};

/// An error that the server reported, in whatever shape.
///
/// The layers put it into the extensions of every response with a status of 400 or above, and leave the
/// response's body as it came. Without the layers, [`ApiError::parse`] makes one. The same applies to an
/// error in the body of a success, if it comes with the head ([`ApiError::in_band`]).
///
/// The API has at least five shapes of errors (an object, a bare string, flat, an old one, and Cloudflare's
/// HTML in front of it). None of them makes parsing fail: a part that is not found is empty. An odd byte,
/// such as half an emoji or a `NaN`, does not hide the parts beside it.
///
/// A compressed body (`content-encoding: gzip`, `br`) is not read. Only the status and the headers of such an
/// error count, and a 429 for lack of money is retried like any other. Clients that decompress, such as
/// reqwest with its feature `gzip`, or tower-http's `Decompression` beneath the layers, avoid that.
///
/// ```
/// use http::{HeaderMap, StatusCode};
/// use tower_together::ApiError;
///
/// let body = br#"{"error":{"message":"Unable to access model x","code":"model_not_available"}}"#;
/// let error = ApiError::parse(StatusCode::NOT_FOUND, &HeaderMap::new(), body);
/// assert_eq!(error.code(), Some("model_not_available"));
/// assert!(error.hint().unwrap().contains("GET /v1/models"));
/// ```
#[derive(Clone)]
pub struct ApiError(pub(crate) Arc<ErrorFields>);

/// The parts that were read.
#[derive(Default)]
pub(crate) struct ErrorFields {
    pub(crate) status: StatusCode,
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) text: String,
    pub(crate) is_json: bool,
    /// Whether the body is an object that describes an error as the API does.
    pub(crate) is_shaped: bool,
    /// The limits that the request has passed, which the hint need not recommend.
    pub(crate) present: Present,
}

/// The limits that a request has passed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present {
    pub(crate) limiter: bool,
    /// A limit on jobs.
    pub(crate) jobs: bool,
}

impl ApiError {
    /// The response's status. For an [in-band](Self::in_band) error it is the status that the error names.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The error's `type` or `error_type`, such as `dynamic_request_limited`.
    pub fn kind(&self) -> Option<&str> {
        self.0.kind.as_deref()
    }

    /// The error's `code`, such as `model_not_available`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The server's message, or the title of an HTML page. Empty if there is none.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The request's id, to give to Together's support.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The wait that the server asks for, from its headers, or else from the JSON of its body (`retry_after`,
    /// as Cloudflare writes it).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The body's text, as far as it was read: 16 KiB unless the layer has another bound.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether the account has run out of money, or reached the limit of what it may spend. Waiting does not
    /// help.
    ///
    /// Together responds with 402 then. A 429 counts if it names OpenAI's `insufficient_quota` or a similar
    /// code, or states it in words. The type alone does not count, since Together has used `credit_limit` for
    /// rate limits too (github.com/togethercomputer/MoA/issues/27).
    pub fn is_out_of_money(&self) -> bool {
        if self.0.status == StatusCode::PAYMENT_REQUIRED {
            return true;
        }
        let named = [self.kind(), self.code()].into_iter().flatten();
        let message = self.0.message.to_ascii_lowercase();
        named.into_iter().any(|name| OUT_OF_MONEY.contains(&name))
            || IN_WORDS.iter().any(|words| message.contains(words))
    }

    /// Whether the error is transient: 408, 429, and 5xx except permanent ones, such as 501. It is not if the
    /// account has [run out of money](Self::is_out_of_money).
    pub fn is_transient(&self) -> bool {
        is_transient(self.0.status) && !self.is_out_of_money()
    }

    /// Whether the server states that too many jobs run at once. One must end before the next begins.
    ///
    /// Together publishes no status or code for this error. It counts if the status is 400, 403, 409, 422 or
    /// 429, and the type, code or message speaks of jobs, batches or fine-tunes near "concurrent", or near
    /// both a limit and a word for a running job, such as "active". Whole words count.
    pub fn is_too_many_jobs(&self) -> bool {
        let named = [self.kind(), self.code()].into_iter().flatten();
        matches!(self.0.status.as_u16(), 400 | 403 | 409 | 422 | 429)
            && too_many::jobs(named.chain([self.message()]))
    }

    /// Whether this is a 503 of the API itself, or of a proxy that has not forwarded the request. Nothing was
    /// done.
    pub(crate) fn is_declined(&self) -> bool {
        self.0.status == StatusCode::SERVICE_UNAVAILABLE
            && declined::states_so(&self.0.message, self.0.is_shaped)
    }

    /// Replaces the status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        Arc::get_mut(&mut self.0).expect("made just now").status = status;
        self
    }

    /// Sets the limits that the request has passed.
    pub(crate) fn past(mut self, present: Present) -> Self {
        Arc::get_mut(&mut self.0).expect("made just now").present = present;
        self
    }

    /// A recommended action, for the most common errors. It recommends no layer and no limit that the request
    /// has already passed.
    pub fn hint(&self) -> Option<&'static str> {
        let says = |words: &[&str]| {
            let message = self.0.message.to_ascii_lowercase();
            words.iter().any(|words| message.contains(words))
        };
        if self.is_out_of_money() {
            return Some(
                "the account's credit or spending limit is used up: see its billing settings at \
                 api.together.ai",
            );
        }
        if self.is_too_many_jobs() {
            return Some(match self.0.present.jobs {
                true => "wait for a running job to end, or cancel one",
                false => "wait for a running job to end, or cancel one: `Limits::jobs` waits",
            });
        }
        Some(match self.0.status.as_u16() {
            400 | 404 if self.code() == Some("model_not_available") || says(&["model"]) => {
                if says(&["non-serverless"]) {
                    "the model runs on dedicated endpoints only: create one, or choose another of \
                     GET /v1/models"
                } else {
                    "list the models there are with GET /v1/models"
                }
            }
            401 => "check the key: it is sent as `authorization: Bearer KEY`",
            403 if says(&["context", "token"]) => {
                "prompt and max_tokens together exceed the model's context: shorten the one or \
                 lower the other"
            }
            403 if !self.0.is_json => {
                "send a user-agent header: Cloudflare, in front of the API, rejects requests \
                 without one (its error 1010)"
            }
            403 => {
                "the account may not use this; after a purchase it can take 15 minutes until it may"
            }
            404 => {
                "check the URL: a base URL ends with /v1 for some clients and without it for others"
            }
            413 => "the request is too large: send less in one",
            422 => "a parameter is wrong, or the prompt is longer than the model's context",
            429 if self.0.present.limiter => {
                "the server takes less than the limiter let go, which now sends slower: if it goes on, \
                 lower its limits, or look for other programs with this key"
            }
            429 => "send slower: a `TogetherRateLimitLayer` in front of the client does",
            503 => "the platform is overloaded, which is not this client's doing: try again later",
            524 => "the response took longer than Cloudflare waits: stream it, or ask for less",
            _ => return None,
        })
    }
}

/// Writes one line: status, message, type, request id, and the hint.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.status)?;
        if !self.0.message.is_empty() {
            write!(f, ": {}", self.0.message)?;
        }
        if let Some(kind) = self.code().or(self.kind()) {
            write!(f, " ({kind})")?;
        }
        if let Some(id) = &self.0.request_id {
            write!(f, " [request {id}]")?;
        }
        match self.hint() {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Omits the body's text, which can be long.
impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("status", &self.0.status)
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("request_id", &self.0.request_id)
            .field("retry_after", &self.0.retry_after)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ApiError {}

/// OpenAI's names for it, which gateways in front of Together use too.
const OUT_OF_MONEY: [&str; 5] = [
    "insufficient_quota",
    "insufficient_funds",
    "insufficient_balance",
    "billing_hard_limit_reached",
    "billing_not_active",
];

/// Together's words ("Credit limit exceeded. Please navigate to ... to add credit",
/// github.com/expectedparrot/edsl/issues/2098) and OpenAI's.
const IN_WORDS: [&str; 5] = [
    "credit limit exceeded",
    "exceeded your current quota",
    "spending limit",
    "insufficient credit",
    "out of credits",
];
