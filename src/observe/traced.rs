use std::{sync::Arc, time::Duration};

#[cfg(feature = "tracing")]
use tracing::{Level, Span};

use super::Repeats;
#[cfg(feature = "tracing")]
use super::{RATE_LIMIT, RETRY, lane::is_heard, millis};
use crate::words::{Endpoint, NotRetried, Rejected, extension::Failure};

/// A request, as its span and its events name it. Empty if there is no subscriber.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traced(#[cfg(feature = "tracing")] Option<Box<Named>>);

#[cfg(feature = "tracing")]
#[derive(Clone, Debug)]
struct Named {
    endpoint: Endpoint,
    model: Option<Arc<str>>,
    wait: Span,
}

impl Traced {
    /// `model` is called only if there is a subscriber.
    pub(crate) fn of(endpoint: Endpoint, model: impl FnOnce() -> Option<Arc<str>>) -> Self {
        #[cfg(feature = "tracing")]
        if is_heard() {
            return Self(Some(Box::new(Named {
                endpoint,
                model: model(),
                wait: Span::none(),
            })));
        }
        let _ = (endpoint, model);
        Self::default()
    }

    /// Opens the span of the wait, which lasts as long as this.
    pub(crate) fn wait(&mut self, attempt: u32) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &mut self.0 {
            of.wait = tracing::debug_span!(
                target: RATE_LIMIT,
                "wait",
                endpoint = of.endpoint.name(),
                model = of.model.as_deref(),
                attempt,
                wait_ms = tracing::field::Empty,
            );
        }
        let _ = attempt;
    }

    /// The request has waited for so long, and departs.
    pub(crate) fn departed(&self, waited: Duration) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &self.0 {
            of.wait.record("wait_ms", millis(waited));
        }
        let _ = waited;
    }

    /// The limiter rejected the request.
    pub(crate) fn rejected(&self, attempt: u32, rejected: &Rejected, repeats: &Repeats) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &self.0 {
            let (reason, waited) = (rejected.reason().name(), rejected.waited());
            self.departed(waited);
            log!(
                repeats.level(reason, Level::WARN),
                target: RATE_LIMIT,
                endpoint = of.endpoint.name(),
                model = of.model.as_deref(),
                attempt,
                wait_ms = millis(waited),
                reason,
                retry_after_ms = rejected.retry_after().map(millis),
                "request rejected"
            );
        }
        let _ = (attempt, rejected, repeats);
    }

    /// The deadline came before the request could be sent.
    pub(crate) fn expired(&self, attempt: u32, repeats: &Repeats) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &self.0 {
            log!(
                repeats.level("expired", Level::WARN),
                target: RETRY,
                endpoint = of.endpoint.name(),
                model = of.model.as_deref(),
                attempt,
                reason = "deadline",
                "request rejected"
            );
        }
        let _ = (attempt, repeats);
    }

    /// The request is retried after a wait.
    pub(crate) fn retried(&self, attempt: u32, failure: Failure, wait: Duration) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &self.0 {
            tracing::debug!(
                target: RETRY,
                endpoint = of.endpoint.name(),
                model = of.model.as_deref(),
                attempt,
                wait_ms = millis(wait),
                failure = %failure,
                "request retried"
            );
        }
        let _ = (attempt, failure, wait);
    }

    /// The request is not retried.
    pub(crate) fn not_retried(
        &self,
        attempt: u32,
        failure: Failure,
        why: NotRetried,
        repeats: &Repeats,
    ) {
        #[cfg(feature = "tracing")]
        if let Some(of) = &self.0 {
            let (level, kind, advice, wait) = match why {
                NotRetried::Permanent(advice) => (Level::ERROR, advice, Some(advice), None),
                // The caller, or the program's own code, decides on these.
                NotRetried::Final | NotRetried::Hook | NotRetried::NextModel => {
                    (Level::DEBUG, name(why), None, None)
                }
                NotRetried::LongestHint(wait) => (Level::WARN, name(why), None, Some(wait)),
                _ => (Level::WARN, name(why), None, None),
            };
            log!(
                repeats.level(kind, level),
                target: RETRY,
                endpoint = of.endpoint.name(),
                model = of.model.as_deref(),
                attempt,
                wait_ms = wait.map(millis),
                failure = %failure,
                reason = name(why),
                advice,
                "request not retried"
            );
        }
        let _ = (attempt, failure, why, repeats);
    }
}

#[cfg(feature = "tracing")]
fn name(why: NotRetried) -> &'static str {
    match why {
        NotRetried::Final => "final",
        NotRetried::Permanent(_) => "permanent",
        NotRetried::MayBeDone => "may_be_done",
        NotRetried::Redirected => "redirected",
        NotRetried::Paid => "paid",
        NotRetried::NoKnownJob => "no_known_job",
        NotRetried::MaxRetries => "max_retries",
        NotRetried::NextModel => "next_model",
        NotRetried::LongestHint(_) => "longest_hint",
        NotRetried::Deadline => "deadline",
        NotRetried::Budget => "budget",
        NotRetried::Body => "body",
        NotRetried::Hook => "hook",
    }
}
