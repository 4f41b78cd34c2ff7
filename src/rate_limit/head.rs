//! A response's head: its report for the limiter, and what the layer adds to it.

use std::time::Duration;

use http::response::Parts;
use tokio::time::Instant;

use crate::{
    body::Bound,
    clock,
    limiter::Permit,
    wire,
    words::{
        ApiError, Endpoint, JobKind, Present, Rejected, Report, Tokens,
        extension::{Alone, Crowded, Paused, Waited},
    },
};

/// Whether the response's body is to be read for an error. A rejection by another limiter beneath is not.
pub(super) fn is_error(head: &Parts) -> bool {
    let failed = head.status.is_client_error() || head.status.is_server_error();
    failed && head.extensions.get::<Rejected>().is_none()
}

/// Bounds the read. The body of a 429 or 503 may be slow, and its lane must pause soon.
pub(super) fn bounded(head: &Parts, bound: Bound) -> Bound {
    let not_now = matches!(head.status.as_u16(), 429 | 503);
    match not_now {
        true => bound.at_most(AT_ONCE),
        false => bound,
    }
}

/// The report on the response's head and the beginning of an error's body. A request rejected by another limiter
/// beneath was not sent, so it has cost nothing.
pub(super) fn report(head: &Parts, body: &[u8], endpoint: Endpoint) -> Report {
    if head.extensions.get::<Rejected>().is_some() {
        return Report::cost(Tokens::Exactly(0));
    }
    let error = head.extensions.get::<ApiError>();
    Report::of(endpoint, (head.status, &head.headers), error, body)
}

/// Adds the request's wait to the response.
pub(super) fn waited(head: &mut Parts, permit: &Permit) {
    let waited = permit.waited();
    if waited > Duration::ZERO {
        head.extensions.insert(Waited::new(waited));
    }
}

/// Reports to the limiter, and adds the consequences to the response.
pub(super) fn tell(head: &mut Parts, permit: &mut Permit, endpoint: Endpoint, report: &Report) {
    let not_before = report
        .wait()
        .and_then(|wait| clock::now().checked_add(wait));
    if report.jobs.rejected && permit.holds_job_slot() {
        let known = knows_jobs(permit, endpoint);
        head.extensions.insert(Crowded { not_before, known });
    }
    match permit.report(report) {
        Some(until) => drop(head.extensions.insert(Paused::new(until, not_before))),
        None if report.is_throttled() => drop(head.extensions.insert(Alone)),
        None => {}
    }
}

/// Whether a job of the request's key and kind is known to run.
fn knows_jobs(permit: &Permit, endpoint: Endpoint) -> bool {
    let held = JobKind::of(endpoint).zip(permit.job_book());
    held.is_some_and(|(kind, book)| !book.held(kind).is_empty())
}

/// The wait that the server asks for, from the arrival of its response's head, at `since`.
pub(super) fn wait(head: &Parts, since: Instant) -> Option<Duration> {
    wire::response::wait(&head.headers, || clock::time_of_day_at(since))
}

/// Adds the parsed error to the response's extensions.
pub(super) fn name(head: &mut Parts, wait: Option<Duration>, body: &[u8], permit: &Permit) {
    let error = ApiError::read(head.status, &head.headers, body, wait);
    insert(head, error, permit);
}

/// Adds an error to the response's extensions.
pub(super) fn insert(head: &mut Parts, error: ApiError, permit: &Permit) {
    let present = Present {
        limiter: true,
        jobs: permit.holds_job_slot(),
    };
    head.extensions.insert(error.past(present));
}

/// A body usually arrives with its head. A slower one is not worth more time.
const AT_ONCE: Duration = Duration::from_millis(100);
