//! In-band errors: a response with a success as its status, and an error as its body.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, StatusCode};
use memchr::memmem;
use serde_json::{Map, Value};

use super::wait::wait;
use crate::{
    clock,
    wire::{json::MARK, media::Media, read_json},
    words::{ApiError, Endpoint, Report},
};

impl ApiError {
    /// Reads an error from the body of a success: JSON with an `error`, or such JSON as the data of the first
    /// server-sent event. Some servers and proxies send the head before they know that the request fails.
    ///
    /// `body` is the whole body or its beginning. The [status](Self::status) is the one that the error names,
    /// by a number or by a word such as `rate_limit_exceeded`. Returns `None` if there is no error, or it names
    /// no status. Also returns `None` for endpoints whose responses describe jobs, where `error` belongs to the
    /// job and not to the request.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use tower_together::{ApiError, Endpoint};
    ///
    /// let mut headers = HeaderMap::new();
    /// headers.insert("content-type", "text/event-stream".parse()?);
    /// let body = b"data: {\"error\":{\"message\":\"slow down\",\"code\":\"rate_limit_exceeded\"}}\n\n";
    /// let error = ApiError::in_band(Endpoint::ChatCompletions, StatusCode::OK, &headers, body);
    /// assert_eq!(error.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    /// # Ok::<(), http::header::InvalidHeaderValue>(())
    /// ```
    pub fn in_band(
        endpoint: Endpoint,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Self> {
        in_band(endpoint, (status, headers), body, || {
            wait(headers, clock::time_of_day)
        })
    }
}

/// Like [`ApiError::in_band`], with the wait that the headers ask for already known.
pub(crate) fn in_band(
    endpoint: Endpoint,
    (status, headers): (StatusCode, &HeaderMap),
    body: &[u8],
    wait: impl FnOnce() -> Option<Duration>,
) -> Option<ApiError> {
    let mut reader = InBandReader::of(endpoint, status, headers)?;
    reader.read(body);
    reader.found(headers, wait)
}

/// Reads the beginning of a body in pieces of any size. It keeps at most [`LONGEST`] bytes.
pub(crate) struct InBandReader {
    endpoint: Endpoint,
    media: Media,
    /// The JSON of the body, or the data of its first event.
    data: Vec<u8>,
    /// The current line of an event.
    line: Vec<u8>,
    /// Whether the last line ended with `\r`, so that a `\n` may follow.
    returned: bool,
    is_over: bool,
}

impl InBandReader {
    /// A reader for a response's body; `None` if the body cannot be an in-band error.
    pub(crate) fn of(endpoint: Endpoint, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let may_be = status.is_success() && endpoint.takes_model() && !endpoint.creates();
        let media = may_be.then(|| Media::of(headers)).flatten()?;
        Some(Self {
            endpoint,
            media,
            data: Vec::new(),
            line: Vec::new(),
            returned: false,
            is_over: false,
        })
    }

    /// The limiter's report on the error, with the endpoint. The head's wait is ignored: the head came too long ago.
    pub(crate) fn report(&self) -> Option<(Endpoint, Report)> {
        let head = (StatusCode::OK, &HeaderMap::new());
        let error = self.found(head.1, || None)?;
        let report = Report::of(self.endpoint, head, Some(&error), &[]);
        Some((self.endpoint, report))
    }

    /// Whether no further bytes can change the result.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether JSON has begun. The rest of it is not worth a wait, since an error rarely comes in two parts.
    pub(crate) fn has_begun(&self) -> bool {
        self.media == Media::Json && !self.data.is_empty()
    }

    /// Reads the next bytes of the body.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        match self.media {
            Media::Json => self.keep(bytes),
            Media::Events => self.read_events(bytes),
        }
    }

    /// The error found so far. `wait` returns the wait that the head asks for.
    pub(crate) fn found(
        &self,
        headers: &HeaderMap,
        wait: impl FnOnce() -> Option<Duration>,
    ) -> Option<ApiError> {
        // A stream may end without ending its last line.
        let last = data_of(&self.line).unwrap_or_default();
        let data = match last {
            [] => Cow::Borrowed(&self.data),
            _ => Cow::Owned([&self.data, last].concat()),
        };
        let object = data.strip_prefix(MARK).unwrap_or(&data).trim_ascii_start();
        if object.first() != Some(&b'{') || memmem::find(object, ERROR).is_none() {
            return None;
        }
        let Ok(Value::Object(object)) = read_json(&data) else {
            return None;
        };
        let says_so = object.get("error").is_some_and(is_said);
        if !says_so && object.get("object").and_then(Value::as_str) != Some("error") {
            return None;
        }
        let error = ApiError::read(StatusCode::OK, headers, &data, wait());
        let status = named(&object, &error)?;
        Some(error.with_status(status))
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.data.len() + bytes.len() > LONGEST {
            self.data.clear();
            self.is_over = true;
        }
        if !self.is_over {
            self.data.extend_from_slice(bytes);
            let begins = self.data.strip_prefix(MARK).unwrap_or(&self.data);
            let first = begins.trim_ascii_start().first();
            // No error begins otherwise.
            self.is_over = first.is_some_and(|first| *first != b'{') && !MARK.starts_with(begins);
        }
    }

    fn read_events(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.is_over {
                return;
            }
            let half = *byte == b'\n' && std::mem::take(&mut self.returned);
            if half {
                continue;
            }
            self.returned = *byte == b'\r';
            if matches!(byte, b'\n' | b'\r') {
                self.end_line();
            } else if self.line.len() < LONGEST {
                self.line.push(*byte);
            } else {
                self.is_over = true;
            }
        }
    }

    /// Ends the current line. An empty line ends the event. A first line of data that holds a whole object also
    /// does, since some servers omit the empty line.
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(data) = data_of(&line) {
            let is_first = self.data.is_empty();
            self.keep(data);
            let data = data.trim_ascii();
            self.is_over |= is_first && data.starts_with(b"{") && data.ends_with(b"}");
        } else if line.is_empty() {
            self.is_over = !self.data.is_empty();
        }
    }
}

/// The data of an event's line.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_prefix(MARK).unwrap_or(line);
    line.strip_prefix(b"data:")
}

/// Whether the value of `error` is not empty.
fn is_said(error: &Value) -> bool {
    match error {
        Value::Object(object) => !object.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => false,
    }
}

/// The status that an error names: a number, else a word in its type or code, else one in its message.
fn named(object: &Map<String, Value>, error: &ApiError) -> Option<StatusCode> {
    let inner = object.get("error").and_then(Value::as_object);
    let places = || [inner, Some(object)].into_iter().flatten();
    let numbers = NUMBERS
        .iter()
        .flat_map(|name| places().filter_map(|place| place.get(*name)));
    let status = numbers.filter_map(|value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let mut status = status.filter(|status| (400.0..600.0).contains(status));
    if let Some(status) = status.next() {
        return StatusCode::from_u16(status as u16).ok();
    }
    let stated = places().find_map(|place| place.get("status")?.as_str());
    let names = [error.code(), error.kind(), stated].into_iter().flatten();
    let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    let by_name = WORDS
        .iter()
        .find(|(word, _)| names.iter().any(|name| name.contains(word)));
    let message = error.message().to_ascii_lowercase();
    let by_message = || MESSAGES.iter().find(|(words, _)| message.contains(words));
    let (_, status) = by_name.or_else(by_message)?;
    StatusCode::from_u16(*status).ok()
}

/// Fields that hold a status as a number.
const NUMBERS: [&str; 4] = ["code", "status", "status_code", "http_status"];

/// Words in types and codes, in order of precedence: OpenAI's, Together's
/// (docs.together.ai/docs/rate-limits) and those of google.rpc.Code.
const WORDS: [(&str, u16); 22] = [
    ("insufficient", 402),
    ("rate_limit", 429),
    ("ratelimit", 429),
    ("too_many_requests", 429),
    ("request_limited", 429),
    ("token_limited", 429),
    ("resource_exhausted", 429),
    ("throttl", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("timeout", 504),
    ("deadline_exceeded", 504),
    ("authentication", 401),
    ("unauthenticated", 401),
    ("invalid_api_key", 401),
    ("permission", 403),
    ("not_found", 404),
    ("invalid_request", 400),
    ("invalid_argument", 400),
    ("bad_request", 400),
    ("server_error", 500),
    ("internal", 500),
];

/// Words in messages.
const MESSAGES: [(&str, u16); 4] = [
    ("rate limit", 429),
    ("too many requests", 429),
    ("overloaded", 503),
    ("internal server error", 500),
];

/// Text of the model cannot match this, since its quotes are escaped.
const ERROR: &[u8] = b"\"error\"";

/// Maximum size of an error in bytes, as in [`Bound::ERROR`](crate::body::Bound).
const LONGEST: usize = 16 << 10;
