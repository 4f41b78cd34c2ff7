//! What an answer teaches the limiter.

use std::time::Duration;

use http::{HeaderMap, StatusCode, response::Parts};

use super::jobs;
use crate::{
    body::Bound,
    clock, header,
    header::{Pushback, RESOURCE_EXHAUSTED, UNAVAILABLE},
    limiter::Permit,
    observe,
    words::{
        ApiError, Each, Endpoint, Rejected, Unit,
        extension::{Crowded, Paused, Waited},
    },
};

/// The server's "not now", and for how long it said.
enum NotNow {
    /// This client sends too much.
    Throttled(Option<Duration>),
    /// So do all together.
    Overloaded(Duration),
}

/// Whether the answer's body is to be read: errors say there what they are about. Not of a refusal
/// of our own, by another limiter beneath.
pub(super) fn is_error(head: &Parts) -> bool {
    let failed = head.status.is_client_error() || head.status.is_server_error();
    failed && head.extensions.get::<Rejected>().is_none()
}

/// How long to read of it: whether its lane is to stop must not wait for a body that dawdles.
pub(super) fn bounded(head: &Parts, bound: Bound) -> Bound {
    let not_now = matches!(head.status.as_u16(), 429 | 503);
    let time = if not_now {
        bound.time.min(AT_ONCE)
    } else {
        bound.time
    };
    Bound { time, ..bound }
}

/// Pauses the lane if the server asks for it, and says so in the answer.
///
/// 429 and 503 are different words (docs.together.ai/docs/rate-limits): the first is about this
/// client; the second is about the platform, and pauses the lane only if it says for how long. When
/// money has run out there is nothing to wait for.
pub(super) fn learn(head: &mut Parts, permit: &Permit, endpoint: Endpoint, late: Duration) {
    let waited = permit.waited();
    if waited > Duration::ZERO {
        head.extensions.insert(Waited::new(waited));
    }
    let error = head.extensions.get::<ApiError>();
    let mut said = header::limits(&head.headers);
    let crowded = jobs::note_crowd(error, endpoint, permit);
    let not_now = not_now(head.status, &head.headers, error);
    let until = match not_now.filter(|_| !crowded) {
        None => None,
        Some(NotNow::Throttled(wait)) => {
            observe::throttled(endpoint);
            let of = match error.is_some_and(is_of_tokens) && endpoint.costs_tokens() {
                true => Unit::Tokens,
                false => Unit::Requests,
            };
            let wait = wait.map(|wait| wait.saturating_sub(late));
            // Another error's words may be those of a prompt that it quotes.
            let words = header::limits_in_words(error.map_or("", ApiError::message));
            for unit in Unit::BOTH {
                said[unit].limit = said[unit].limit.or(words[unit]);
                // The pause says it all.
                said[unit].left = None;
            }
            permit.refused(wait, of)
        }
        Some(NotNow::Overloaded(wait)) => permit.overloaded(wait.saturating_sub(late)),
    };
    if said != Each::default() {
        permit.said(said);
    }
    if let Some(until) = until {
        head.extensions.insert(Paused::new(until));
    }
    if crowded {
        head.extensions.insert(Crowded);
    }
}

/// Whether tokens are what a 429 says were too many, wherever it says so. Where it does not, it may in
/// words, such as "due to request rate limiting" (github.com/bespokelabsai/curator/issues/205).
fn is_of_tokens(error: &ApiError) -> bool {
    let mut names = [error.kind(), error.code()].into_iter().flatten();
    names.any(|name| name.contains("token")) || error.message().contains("token rate limit")
}

fn not_now(status: StatusCode, headers: &HeaderMap, error: Option<&ApiError>) -> Option<NotNow> {
    match (status, error) {
        (StatusCode::TOO_MANY_REQUESTS, Some(error)) if !error.is_out_of_money() => {
            Some(NotNow::Throttled(error.retry_after()))
        }
        (StatusCode::SERVICE_UNAVAILABLE, Some(error)) => {
            error.retry_after().map(NotNow::Overloaded)
        }
        (StatusCode::OK, None) => not_now_in_grpc(headers),
        _ => None,
    }
}

fn not_now_in_grpc(headers: &HeaderMap) -> Option<NotNow> {
    let status = header::grpc_failure(headers)?;
    let wait = match header::pushback(headers) {
        Pushback::Wait(wait) => Some(wait),
        Pushback::None | Pushback::Never => None,
    };
    match (status, wait) {
        (RESOURCE_EXHAUSTED, wait) => Some(NotNow::Throttled(wait)),
        (UNAVAILABLE, Some(wait)) => Some(NotNow::Overloaded(wait)),
        _ => None,
    }
}

/// How long the server asks to wait, from the moment its answer's head comes.
pub(super) fn wait(head: &Parts) -> Option<Duration> {
    header::wait(&head.headers, clock::time_of_day)
}

/// What the error says of itself, in the answer's extensions.
pub(super) fn name(head: &mut Parts, wait: Option<Duration>, body: &[u8]) {
    let error = ApiError::told(head.status, &head.headers, body, wait);
    head.extensions.insert(error);
}

/// A body comes with its head, or is worth no more of this time.
const AT_ONCE: Duration = Duration::from_millis(100);
