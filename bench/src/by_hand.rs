//! A policy for `tower::retry`, written by hand after tower's documentation.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, Response, StatusCode, header::RETRY_AFTER};
use tokio::time::{Sleep, sleep};
use tower::retry::{
    Policy,
    budget::{Budget, TpsBudget},
};

/// Clones each request whole, and sends the clone after a 429 or 5xx.
#[derive(Clone)]
pub(crate) struct Cloning {
    left: u32,
    backoff: Duration,
    budget: Arc<TpsBudget>,
}

impl Default for Cloning {
    fn default() -> Self {
        Self {
            left: 4,
            backoff: Duration::from_secs(1),
            budget: Arc::default(),
        }
    }
}

impl<B: Clone, R, E> Policy<Request<B>, Response<R>, E> for Cloning {
    type Future = Sleep;

    fn retry(&mut self, _: &mut Request<B>, result: &mut Result<Response<R>, E>) -> Option<Sleep> {
        let asked = match result {
            Ok(response) if !is_transient(response.status()) => {
                self.budget.deposit();
                return None;
            }
            Ok(response) => retry_after(response.headers()),
            Err(_) => None,
        };
        if self.left == 0 || !self.budget.withdraw() {
            return None;
        }
        self.left -= 1;
        let backoff = self.backoff.mul_f64(fastrand::f64());
        self.backoff = (self.backoff * 2).min(LONGEST);
        Some(sleep(asked.unwrap_or(backoff)))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

const LONGEST: Duration = Duration::from_secs(30);
