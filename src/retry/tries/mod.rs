//! How often one request was tried, and whether to try again.

mod plan;

use std::{any::Any, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, StatusCode, header::AUTHORIZATION, response};
use http_body::Body;
use tokio::time::Instant;

use super::{
    hook::{Decision, Failed},
    hops::Hops,
    settings::Settings,
    verdict::Nature,
};
use crate::{
    body::{Bound, Peek},
    clock, observe, wire,
    words::{
        Endpoint, KeyId, Reason, Rejected,
        extension::{
            ApiKey, Attempt, Caller, Crowded, Deadline, Failure, Patience, Retries, RetryReport,
        },
        hash,
    },
};

/// One request, through all its attempts.
#[derive(Clone, Debug)]
pub(super) struct Tries {
    settings: Arc<Settings>,
    endpoint: Endpoint,
    nature: Nature,
    hops: Hops,
    /// When its caller will have it no more.
    deadline: Option<Instant>,
    max_retries: u32,
    /// With how many answers 503 it goes to another model.
    max_503s: Option<u32>,
    retries: u32,
    /// Retries after the client gave up waiting.
    timeouts: u32,
    /// Retries after "too many jobs" with no job known to run, and when the last of them was decided.
    blind: Option<(u32, Instant)>,
    waited: Duration,
    failures: Vec<Failure>,
}

/// What is said beside a body.
pub(super) type Head<'a> = (&'a HeaderMap, &'a Extensions);

/// How an attempt ended that failed.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) failure: Failure,
    /// Whether it would fail each time.
    lasts: bool,
    /// The client's error, if there is no response.
    error: Option<&'a dyn Any>,
}

impl From<Failure> for Ended<'_> {
    /// With a response.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            lasts: false,
            error: None,
        }
    }
}

/// When to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// At once: its lane is paused, and it waits there. Or at an instant that is later than the pause.
    InItsLane(Option<Instant>),
    At(Instant),
}

impl Tries {
    /// The first attempt is made now.
    pub(super) fn begin<B>(
        request: &Request<B>,
        endpoint: Endpoint,
        settings: Arc<Settings>,
        now: Instant,
    ) -> Self {
        let retries = request.extensions().get::<Retries>().copied();
        let retries = retries.unwrap_or_default();
        let patience = request.extensions().get::<Patience>();
        let nature = Nature::wanted(retries, endpoint, request.method());
        if !is_of_sdk(request.headers()) {
            settings.budget.deposit(now);
        }
        Self {
            endpoint,
            nature,
            hops: Hops::new(nature, request.uri(), settings.redirects),
            deadline: wire::request::deadline(request.extensions(), request.headers(), now),
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

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it may be sent again at all.
    pub(super) fn may_retry(&self) -> bool {
        self.max_retries > 0
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// The body of a success, to be read as far as its first frame. The wait for it, if there is to be one,
    /// does not go past the deadline.
    pub(super) fn first_frame<R>(&self, head: &response::Parts, body: R) -> Result<Peek<R>, R>
    where
        R: Body<Data = Bytes>,
    {
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(clock::now()));
        let max_wait = self.settings.first_frame.min(left.unwrap_or(Duration::MAX));
        Peek::first_frame(self.endpoint, head, body, max_wait)
    }

    /// How much of an error to read, and for how long: not past the deadline.
    pub(super) fn error_body(&self) -> Bound {
        self.settings.error_body.until(self.deadline, clock::now())
    }

    /// How much more of a failed answer to read, and for how long: not for more than half of what is left
    /// before the deadline, so that another attempt can still be made.
    pub(super) fn drain(&self) -> Bound {
        self.settings.drain.half_until(self.deadline, clock::now())
    }

    /// How an attempt ended that brought this error.
    pub(super) fn ended<'a, E: 'static>(&self, error: &'a E) -> Ended<'a> {
        let known = self.hops.failure(error);
        let known = known.inspect_err(|why| observe::lasting(self.endpoint, why));
        Ended {
            lasts: known.is_err(),
            failure: known.unwrap_or(Failure::Interrupted),
            error: Some(error),
        }
    }

    /// Tries again what failed so: when, and with which body. `asked` is the request's head, and `said` the
    /// answer's, if there was one.
    ///
    /// `body` makes the body again, once all else is well.
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
        if next.is_none() {
            self.left_at(&ended);
        }
        let (when, body) = next?;
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
        observe::retrying(self.endpoint, failure, self.retries, wait);
        Some((when, body))
    }

    /// It is left at an attempt that ended so.
    pub(super) fn left_at(&self, ended: &Ended<'_>) {
        if ended.error.is_some() {
            observe::failed(self.endpoint, ended.failure, self.retries + 1);
        }
    }

    /// What is planned after a failed attempt, or what the hook decides.
    fn next<B>(
        &self,
        ended: &Ended<'_>,
        failed: Failed<'_>,
        asked: Head<'_>,
        said: Head<'_>,
        now: Instant,
        body: impl Fn() -> Option<B>,
    ) -> Option<(When, B)> {
        let failure = ended.failure;
        let afford = |when| self.afford(when, failure, asked, now, &body);
        let planned = match ended.lasts {
            true => None,
            false => self.when(failure, said, now, fastrand::f64),
        };
        let planned = planned.and_then(afford);
        let Some(hook) = &self.settings.hook else {
            return planned;
        };
        let wait = planned.as_ref().map(|(when, _)| when.after(now));
        match (hook.ask(&Failed { wait, ..failed }), planned) {
            (Decision::Retry, None) => afford(self.added(failure, said, now)?),
            (Decision::Reject, Some((When::At(_), _))) => {
                self.settings.budget.refund(share(asked), now);
                None
            }
            (Decision::Reject, _) => None,
            (_, planned) => planned,
        }
    }

    /// Marks a request as the attempt that is to be made next.
    pub(super) fn mark(&self, extensions: &mut Extensions) {
        extensions.insert(Attempt::new(self.retries + 1));
        if let Some(deadline) = self.deadline {
            // The time that has passed since the first attempt is the caller's too.
            extensions.insert(Deadline::at(deadline));
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether the next attempt may be sent now: the first one at its deadline too.
    pub(super) fn may_leave(&self) -> bool {
        self.deadline.is_none_or(|deadline| match self.retries {
            0 => clock::now() <= deadline,
            _ => clock::now() < deadline,
        })
    }

    /// It could not be sent before its deadline.
    pub(super) fn late(&self) -> Rejected {
        Rejected::new(Reason::Deadline, self.endpoint, None)
    }

    /// Says in a response what was done, if it was anything.
    pub(super) fn report(&mut self, extensions: &mut Extensions) {
        if self.retries > 0 {
            let failures = mem::take(&mut self.failures);
            // What is rejected here or beneath has not been sent.
            let unsent = u32::from(extensions.get::<Rejected>().is_some());
            let attempts = self.retries + 1 - unsent;
            extensions.insert(RetryReport::new(attempts, self.waited, failures));
        }
    }

    /// The body, and a retry out of the budget; what waits in its lane is paced there, and costs nothing.
    fn afford<B>(
        &self,
        when: When,
        failure: Failure,
        asked: Head<'_>,
        now: Instant,
        body: impl Fn() -> Option<B>,
    ) -> Option<(When, B)> {
        if let When::InItsLane(_) = when {
            return Some((when, body()?));
        }
        let (budget, share) = (&self.settings.budget, share(asked));
        if !budget.withdraw(share, now) {
            observe::budget_spent(self.endpoint, failure);
            return None;
        }
        let body = body();
        if body.is_none() {
            budget.refund(share, now);
        }
        Some((when, body?))
    }
}

impl When {
    /// `None`: now.
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

/// Whether it is a caller's SDK that retries: Together's, OpenAI's and their like count their retries.
fn is_of_sdk(headers: &HeaderMap) -> bool {
    // A look at each of a request's few headers costs less than hashing the name.
    let mut headers = headers.iter();
    let counts = headers.find(|(name, _)| name.as_str() == "x-stainless-retry-count");
    let count = counts.and_then(|(_, count)| count.to_str().ok()?.parse().ok());
    count.unwrap_or(0u32) > 0
}

/// Whose share of the budget a request uses: that of a caller of a key.
fn share((headers, extensions): Head<'_>) -> u64 {
    let key = match (extensions.get::<ApiKey>(), headers.get(AUTHORIZATION)) {
        (Some(key), _) => key.id(),
        (None, Some(value)) => KeyId::of_secret(wire::request::credentials(value.as_bytes())),
        (None, None) => KeyId::ANONYMOUS,
    };
    let caller = extensions.get::<Caller>().map(|caller| caller.id());
    hash(&(key, caller))
}

/// Enough to see what went on; a request without a limit to its retries must not fill the memory.
const MOST_FAILURES: usize = 32;
