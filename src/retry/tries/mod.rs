//! The attempts of one request, and whether another follows.

mod plan;

use std::{any::Any, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, StatusCode, header::AUTHORIZATION, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    hook::{Decision, Failed},
    hops::Hops,
    settings::RetrySettings,
    verdict::Nature,
};
use crate::{
    body::{Bound, Peek},
    clock, observe, wire,
    words::{
        Endpoint, KeyId, NotRetried, Reason, Rejected,
        extension::{
            ApiKey, Attempt, Caller, Crowded, Deadline, Failure, Patience, Retries, RetryReport,
        },
        hash,
    },
};

/// One request and all its attempts.
#[derive(Debug)]
pub(super) struct Tries {
    settings: Arc<RetrySettings>,
    endpoint: Endpoint,
    traced: observe::Traced,
    nature: Nature,
    hops: Hops,
    /// The caller's deadline.
    deadline: Option<Instant>,
    max_retries: u32,
    /// Number of 503 responses after which another model is tried.
    max_503s: Option<u32>,
    retries: u32,
    /// Retries after the client timed out.
    timeouts: u32,
    /// Retries after "too many jobs" with no job known to run, and the instant of the last one's decision.
    blind: Option<(u32, Instant)>,
    waited: Duration,
    failures: Vec<Failure>,
}

/// Headers and extensions of a request or a response.
pub(super) type Head<'a> = (&'a HeaderMap, &'a Extensions);

/// The end of a failed attempt.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) failure: Failure,
    /// Advice about an error that is the same at each attempt.
    advice: Option<&'static str>,
    /// The client's error, if there is no response.
    error: Option<&'a dyn Any>,
}

impl From<Failure> for Ended<'_> {
    /// An attempt that failed with a response.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            advice: None,
            error: None,
        }
    }
}

/// The instant of a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Now, since the request waits in its paused lane; or at an instant after which its lane paces it.
    InItsLane(Option<Instant>),
    At(Instant),
}

impl Tries {
    /// Starts a request whose first attempt is made now.
    pub(super) fn begin<B>(
        request: &Request<B>,
        endpoint: Endpoint,
        traced: observe::Traced,
        settings: Arc<RetrySettings>,
        now: Instant,
    ) -> Self {
        let retries = request.extensions().get::<Retries>().copied();
        let retries = retries.unwrap_or_default();
        let patience = request.extensions().get::<Patience>();
        let nature = Nature::wanted(retries, endpoint, request.method());
        let stated = wire::request::Stated::of(request.headers());
        let deadline = stated.deadline(request.extensions());
        // A caller's SDK that retries the request itself has a budget of its own.
        if stated.retries == 0 {
            settings.budget.deposit(now);
        }
        Self {
            endpoint,
            traced,
            nature,
            hops: Hops::new(nature, request.uri(), settings.redirects),
            deadline: deadline.and_then(|deadline| deadline.counted_from(now)),
            max_503s: patience.map(|patience| patience.overloads),
            max_retries: retries.limit().unwrap_or(settings.max_retries),
            settings,
            retries: 0,
            timeouts: 0,
            blind: None,
            waited: Duration::ZERO,
            failures: Vec::new(),
        }
    }

    pub(super) fn settings(&self) -> &RetrySettings {
        &self.settings
    }

    /// Whether the request may be retried at all.
    pub(super) fn may_retry(&self) -> bool {
        self.max_retries > 0
    }

    /// Prepares to read the beginning of a success. The wait for it ends at the deadline.
    pub(super) fn success<R>(&self, head: &response::Parts, body: R) -> Result<Peek<R>, R>
    where
        R: Body<Data = Bytes>,
    {
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(clock::now()));
        // Without a retry, here or by another model, nothing is worth a wait.
        let max_wait = match self.may_retry() || self.max_503s.is_some() {
            true => self.settings.first_frame.min(left.unwrap_or(Duration::MAX)),
            false => Duration::ZERO,
        };
        Peek::success(self.endpoint, head, body, max_wait)
    }

    /// The bound for an error's body, which ends at the deadline.
    pub(super) fn error_body(&self) -> Bound {
        self.settings.error_body.until(self.deadline, clock::now())
    }

    /// The bound for discarding a failed response. It leaves half of the time before the deadline for another
    /// attempt.
    pub(super) fn drain(&self) -> Bound {
        self.settings.drain.half_until(self.deadline, clock::now())
    }

    /// The end of an attempt that failed with the client's error.
    pub(super) fn ended<'a, E: 'static>(&self, error: &'a E) -> Ended<'a> {
        let known = self.hops.failure(error);
        Ended {
            advice: known.err(),
            failure: known.unwrap_or(Failure::Interrupted),
            error: Some(error),
        }
    }

    /// Decides on a retry after a failed attempt: when, and with which body. `asked` is the request's head, and
    /// `said` the response's, if there was one.
    ///
    /// `body` builds the body again. It is called only if nothing else prevents the retry.
    pub(super) fn again<B>(
        &mut self,
        ended: Ended<'_>,
        asked: Head<'_>,
        said: Option<Head<'_>>,
        now: Instant,
        body: impl Fn() -> Option<B>,
    ) -> Option<(When, B)> {
        let nothing = (HeaderMap::new(), Extensions::new());
        let headers = said.map(|(headers, _)| headers);
        let said = said.unwrap_or((&nothing.0, &nothing.1));
        let failure = ended.failure;
        let failed = Failed {
            endpoint: self.endpoint,
            failure,
            attempts: self.retries + 1,
            wait: None,
            request: asked.1,
            headers,
            api_error: said.1.get(),
            error: ended.error,
        };
        let next = self.next(&ended, failed, asked, said, now, body);
        let next = next.inspect_err(|reason| self.end(failure, *reason));
        let (when, body) = next.ok()?;
        let crowded = said.1.get::<Crowded>().is_some();
        self.blind = self.blind_after(said.1, now);
        self.retries = self.retries.saturating_add(1);
        self.max_retries = self.max_retries.saturating_add(u32::from(crowded));
        if is_overload(failure) {
            self.max_503s = self.max_503s.map(|most| most.saturating_sub(1));
        }
        self.timeouts += u32::from(failure == Failure::TimedOut);
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(failure);
        }
        let wait = when.after(now);
        self.waited = self.waited.saturating_add(wait);
        self.traced.retried(self.retries, failure, wait);
        Some((when, body))
    }

    /// Logs why a request of which nothing was kept is not retried.
    pub(super) fn end_unkept(&self, ended: Ended<'_>, said: Option<Head<'_>>, now: Instant) {
        let nothing = (HeaderMap::new(), Extensions::new());
        let said = said.unwrap_or((&nothing.0, &nothing.1));
        let planned = self.planned(&ended, said, now, || 0.0);
        let reason = planned.err().unwrap_or(NotRetried::MaxRetries);
        self.end(ended.failure, reason);
    }

    /// The instant of the retry after a failed attempt, or the reason why there is none.
    fn planned(
        &self,
        ended: &Ended<'_>,
        said: Head<'_>,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Result<When, NotRetried> {
        match ended.advice {
            Some(advice) => Err(NotRetried::Permanent(advice)),
            None => self.when(ended.failure, said, now, random),
        }
    }

    fn end(&self, failure: Failure, reason: NotRetried) {
        let attempt = self.retries + 1;
        self.traced
            .not_retried(attempt, failure, reason, &self.settings.repeats);
    }

    /// The planned retry after a failed attempt, or the hook's decision.
    fn next<B>(
        &self,
        ended: &Ended<'_>,
        failed: Failed<'_>,
        asked: Head<'_>,
        said: Head<'_>,
        now: Instant,
        body: impl Fn() -> Option<B>,
    ) -> Result<(When, B), NotRetried> {
        let failure = ended.failure;
        let afford = |when| self.afford(when, asked, now, &body);
        let planned = self.planned(ended, said, now, fastrand::f64);
        let planned = planned.and_then(afford);
        let Some(hook) = &self.settings.hook else {
            return planned;
        };
        let wait = planned.as_ref().ok().map(|(when, _)| when.after(now));
        match (hook.ask(&Failed { wait, ..failed }), planned) {
            (Decision::Retry, Err(_)) => afford(self.added(failure, said, now)?),
            (Decision::Reject, Ok((When::At(_), _))) => {
                self.settings.budget.refund(share(asked), now);
                Err(NotRetried::Hook)
            }
            (Decision::Reject, Ok(_)) => Err(NotRetried::Hook),
            (_, planned) => planned,
        }
    }

    /// Marks a request as the next attempt.
    pub(super) fn mark(&self, extensions: &mut Extensions) {
        extensions.insert(Attempt::new(self.retries + 1));
        if let Some(deadline) = self.deadline {
            // The deadline includes the time that has passed since the first attempt.
            extensions.insert(Deadline::at(deadline));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the next attempt may be sent now. The first attempt may also be sent exactly at its deadline.
    pub(super) fn may_leave(&self) -> bool {
        self.deadline.is_none_or(|deadline| match self.retries {
            0 => clock::now() <= deadline,
            _ => clock::now() < deadline,
        })
    }

    /// The rejection of a request that could not be sent before its deadline.
    pub(super) fn late(&self) -> Rejected {
        self.traced
            .expired(self.retries + 1, &self.settings.repeats);
        Rejected::new(Reason::Deadline, self.endpoint, None)
    }

    /// Adds the report to a response, if there were retries.
    pub(super) fn report(&mut self, extensions: &mut Extensions) {
        if self.retries > 0 {
            let failures = mem::take(&mut self.failures);
            // A rejected attempt has not been sent, whether it was rejected here or beneath.
            let unsent = u32::from(extensions.get::<Rejected>().is_some());
            let attempts = self.retries + 1 - unsent;
            extensions.insert(RetryReport::new(attempts, self.waited, failures));
        }
    }

    /// Charges the budget and builds the body. A request that its lane paces is not charged.
    fn afford<B>(
        &self,
        when: When,
        asked: Head<'_>,
        now: Instant,
        body: impl Fn() -> Option<B>,
    ) -> Result<(When, B), NotRetried> {
        let body = || body().ok_or(NotRetried::Body);
        if let When::InItsLane(_) = when {
            return Ok((when, body()?));
        }
        let (budget, share) = (&self.settings.budget, share(asked));
        if !budget.withdraw(share, now) {
            return Err(NotRetried::Budget);
        }
        let body = body().inspect_err(|_| budget.refund(share, now))?;
        Ok((when, body))
    }
}

impl When {
    /// `None` means now.
    pub(super) fn instant(self) -> Option<Instant> {
        match self {
            Self::InItsLane(at) => at,
            Self::At(at) => Some(at),
        }
    }

    pub(super) fn after(self, now: Instant) -> Duration {
        let wait = |at: Instant| at.saturating_duration_since(now);
        self.instant().map_or(Duration::ZERO, wait)
    }
}

fn is_overload(failure: Failure) -> bool {
    failure == Failure::Status(StatusCode::SERVICE_UNAVAILABLE)
}

/// The share of the budget that a request is charged to, which belongs to a caller and a key.
fn share((headers, extensions): Head<'_>) -> u64 {
    let key = match (extensions.get::<ApiKey>(), headers.get(AUTHORIZATION)) {
        (Some(key), _) => key.id(),
        (None, Some(value)) => KeyId::of_secret(wire::request::credentials(value.as_bytes())),
        (None, None) => KeyId::ANONYMOUS,
    };
    let caller = extensions.get::<Caller>().map(|caller| caller.id());
    hash(&(key, caller))
}

/// Enough for diagnosis; a request with unlimited retries must not fill the memory.
const MOST_FAILURES: usize = 32;
