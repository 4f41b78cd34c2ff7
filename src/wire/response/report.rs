//! Reads what a response tells the limiter.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::{
    Creation, JobsReader, Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE, UsageReader, creation,
    grpc::STATUS, grpc_failure, in_band, limits, limits_in_words, names_limit, pushback, wait,
};
use crate::words::{
    ApiError, Each, Endpoint, JobKind, JobNews, NamedLimit, NotNow, Report, Tokens, Unit, Usage,
};

#[cfg(test)]
mod tests;

impl Report {
    /// Reads a response to a request to `endpoint`, in any shape: it never fails.
    ///
    /// `body` is the whole body, or the beginning of an error's body. With an empty body, only the head is read.
    /// `now` is used for a date in `retry-after` if the response has no `date`.
    pub fn read(
        endpoint: Endpoint,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> Self {
        let failed = status.is_client_error() || status.is_server_error();
        let wait = || wait(headers, || now);
        let error = match failed {
            true => Some(ApiError::read(status, headers, body, wait())),
            false => in_band(endpoint, (status, headers), body, wait),
        };
        Self::of(endpoint, (status, headers), error.as_ref(), body)
    }

    /// Reads a response whose error, if any, has already been parsed.
    pub(crate) fn of(
        endpoint: Endpoint,
        (status, headers): (StatusCode, &HeaderMap),
        error: Option<&ApiError>,
        body: &[u8],
    ) -> Self {
        let mut report = Self {
            limits: limits(headers),
            ..Self::default()
        };
        let failure = grpc_failure(headers);
        let status = error.map_or(status, ApiError::status);
        if let Some(error) = error {
            report.not_now = not_now(error, endpoint);
            report.jobs.rejected = error.is_too_many_jobs();
            if let Some(NotNow::Throttled { .. }) = report.not_now {
                add_words(&mut report.limits, error.message());
            }
        } else if status == StatusCode::OK {
            report.not_now = failure.and_then(|failure| not_now_in_grpc(failure, headers));
        }
        report.failed = status.is_server_error() || failure == Some(UNAVAILABLE);
        if !status.is_success() || failure.is_some() || !body.is_empty() {
            report.tokens = tokens((status, failure), headers, body);
        }
        if JobKind::of(endpoint).is_some() {
            report.jobs.over = is_over(endpoint, status, error);
            if status.is_success() && !body.is_empty() {
                report.jobs.read(endpoint, headers, body);
            }
        }
        report
    }
}

/// Whether the head of a success tells the limiter anything, apart from jobs. Most do not. Limits are of use only to a
/// limiter that `learns`.
pub(crate) fn speaks(headers: &HeaderMap, learns: bool) -> bool {
    let mut names = headers.keys();
    names.any(|name| learns && names_limit(name) || name == STATUS)
}

impl Report {
    /// The report of what a create request's response says about the job.
    pub(crate) fn creation(creation: Creation) -> Self {
        let mut report = Self::default();
        report.jobs.of(creation);
        report
    }
}

impl JobNews {
    fn of(&mut self, creation: Creation) {
        match creation {
            Creation::Job(id) => self.created = Some(id),
            Creation::Unnamed => self.unnamed = true,
            Creation::Nothing => {}
        }
    }

    /// Reads the jobs in the body of a success.
    fn read(&mut self, endpoint: Endpoint, headers: &HeaderMap, body: &[u8]) {
        if endpoint.creates() {
            self.of(creation(body));
        } else if let Some(mut reader) = JobsReader::of(headers) {
            reader.read(body);
            self.ended = reader.ended();
        }
    }
}

/// 429 and 503 differ (docs.together.ai/docs/rate-limits). A 429 is about this client. A 503 is about the
/// platform, and pauses the lane only if it gives a wait. If the account is out of money, waiting does not help.
fn not_now(error: &ApiError, endpoint: Endpoint) -> Option<NotNow> {
    match error.status() {
        StatusCode::TOO_MANY_REQUESTS if !error.is_out_of_money() => {
            let tokens = endpoint.costs_tokens() && is_of_tokens(error);
            Some(NotNow::Throttled {
                wait: error.retry_after(),
                of: if tokens { Unit::Tokens } else { Unit::Requests },
            })
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            let wait = error.retry_after()?;
            Some(NotNow::Overloaded { wait })
        }
        _ => None,
    }
}

fn not_now_in_grpc(failure: u32, headers: &HeaderMap) -> Option<NotNow> {
    let wait = match pushback(headers) {
        Pushback::Wait(wait) => Some(wait),
        Pushback::None | Pushback::Never => None,
    };
    let of = Unit::Requests;
    match (failure, wait) {
        (RESOURCE_EXHAUSTED, wait) => Some(NotNow::Throttled { wait, of }),
        (UNAVAILABLE, Some(wait)) => Some(NotNow::Overloaded { wait }),
        _ => None,
    }
}

/// Whether a 429 is about tokens, wherever it says so. A 429 without a code for it may say so in words, such as
/// "due to request rate limiting" (github.com/bespokelabsai/curator/issues/205).
fn is_of_tokens(error: &ApiError) -> bool {
    let mut names = [error.kind(), error.code()].into_iter().flatten();
    names.any(|name| name.contains("token")) || error.message().contains("token rate limit")
}

/// Adds the limits that a 429 names in words. The words of other errors may be quoted from a prompt.
fn add_words(limits: &mut Each<NamedLimit>, message: &str) {
    let words = limits_in_words(message);
    for unit in Unit::BOTH {
        limits[unit].limit = limits[unit].limit.or(words[unit]);
    }
}

/// A 429 costs nothing. Nor does another client error, unless its body gives usage: the server did not run the
/// request. A server that failed or timed out may have run it, so the charge stands.
fn tokens(
    (status, failure): (StatusCode, Option<u32>),
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Tokens> {
    let usage = usage(headers, body).map(Tokens::Used);
    let free = match status {
        StatusCode::TOO_MANY_REQUESTS => return Some(Tokens::Exactly(0)),
        StatusCode::REQUEST_TIMEOUT => false,
        _ => status.is_client_error() || failure == Some(RESOURCE_EXHAUSTED),
    };
    usage.or(free.then_some(Tokens::Exactly(0)))
}

fn usage(headers: &HeaderMap, body: &[u8]) -> Option<Usage> {
    let mut reader = UsageReader::of(headers)?;
    reader.read(body);
    reader.found()
}

/// Whether the job that the request names no longer runs.
fn is_over(endpoint: Endpoint, status: StatusCode, error: Option<&ApiError>) -> bool {
    match (endpoint, status) {
        (Endpoint::FineTuneDelete, _) if status.is_success() => true,
        (_, StatusCode::NOT_FOUND) => true,
        // "Cannot cancel job - already in terminal state: CANCELLED", sent with a 409.
        (Endpoint::FineTuneCancel | Endpoint::BatchCancel, _) => {
            error.is_some_and(|error| error.message().contains("terminal state"))
        }
        _ => false,
    }
}
