//! How often one request was tried, and whether to try again.

use std::{any::Any, mem, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap, Request, StatusCode, Uri, header::AUTHORIZATION};
use tokio::time::Instant;

use super::{
    hook::{Decision, Failed},
    settings::Settings,
    verdict::{Nature, Pace, Verdict, verdict},
};
use crate::{
    adapter,
    body::Bound,
    clock, header, observe,
    words::{
        ApiError, Endpoint, KeyId, Reason, Rejected,
        extension::{
            ApiKey, Attempt, Caller, Crowded, Deadline, Failure, Patience, Paused, Retries,
            RetryReport,
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
    /// Where it goes, if it must not be done twice.
    once_at: Option<Uri>,
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
            once_at: (nature == Nature::Once).then(|| request.uri().clone()),
            deadline: header::deadline(request.extensions(), request.headers(), now),
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
        let known = adapter::failure(error);
        let known = known.inspect_err(|why| observe::lasting(self.endpoint, why));
        let redirects = self.settings.redirects;
        let may_be_redirected = || redirects.unwrap_or_else(|| adapter::may_be_redirected(error));
        Ended {
            lasts: known.is_err(),
            failure: match known.unwrap_or(Failure::Interrupted) {
                // The second hop's connection, for all that is known, after the first has done its work.
                Failure::NotSent if self.once_at.is_some() && may_be_redirected() => {
                    Failure::Interrupted
                }
                failure => failure,
            },
            error: Some(error),
        }
    }

    /// Whether a response is not that of the request itself, if that must not be done twice.
    fn is_of_another_hop(&self, extensions: &Extensions) -> bool {
        let Some(uri) = &self.once_at else {
            return false;
        };
        let followed = self.settings.redirects;
        followed != Some(false)
            && adapter::is_redirected(extensions, uri).unwrap_or(followed == Some(true))
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
        if next.is_none() && ended.error.is_some() {
            observe::failed(self.endpoint, failure, self.retries + 1);
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

    /// Whether a failed response is to be read to its end, since the request may be sent again.
    pub(super) fn is_wanted(&self, failure: Failure, said: Head<'_>, now: Instant) -> bool {
        match self.settings.hook {
            Some(_) => self.is_allowed(failure, said.1),
            None => self.when(failure, said, now, || 0.0).is_some(),
        }
    }

    /// When to send again what failed so, if it is to be and the budget allows it.
    fn when(
        &self,
        failure: Failure,
        said: Head<'_>,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Option<When> {
        let pace = self.pace(failure, said, now)?;
        let allowed = self.is_allowed(failure, said.1);
        allowed.then(|| self.timing(pace, said, now, random))?
    }

    /// The same, of a retry that a hook adds.
    fn added(&self, failure: Failure, said: Head<'_>, now: Instant) -> Option<When> {
        let allowed = self.nature == Nature::Repeatable && self.is_allowed(failure, said.1);
        allowed.then(|| self.timing(Pace::Failed, said, now, fastrand::f64))?
    }

    /// How to choose the wait, if what failed so is to be sent again.
    fn pace(
        &self,
        failure: Failure,
        (headers, extensions): Head<'_>,
        now: Instant,
    ) -> Option<Pace> {
        let answered = matches!(failure, Failure::Status(_) | Failure::Grpc(_));
        if answered && self.is_of_another_hop(extensions) {
            return None;
        }
        let error = extensions.get::<ApiError>();
        let too_many = self.is_too_many_jobs(extensions);
        let blind = self.blind_after(extensions, now);
        if blind.is_some_and(|(times, _)| times >= MOST_BLIND) {
            return None;
        }
        let verdict = verdict(self.nature, failure, headers, error, too_many);
        let Verdict::Again(pace) = verdict else {
            return None;
        };
        // What was generated is paid for, though nobody has waited for it.
        let paid = failure == Failure::TimedOut
            && self.endpoint.generates()
            && self.timeouts >= self.settings.max_retries_after_timeout;
        (!paid).then_some(pace)
    }

    /// Whether the server says that it runs too many jobs.
    fn is_too_many_jobs(&self, extensions: &Extensions) -> bool {
        // In the error of a request that creates nothing such words are anybody's, a prompt's even.
        let error = extensions
            .get::<ApiError>()
            .filter(|_| self.endpoint.creates());
        error.is_some_and(ApiError::is_too_many_jobs)
    }

    /// How often in a row the server has said so by now, within an hour each, with no job known to run. One that
    /// is known ends, and there is room then; without one the words may be about anything.
    fn blind_after(&self, extensions: &Extensions, now: Instant) -> Option<(u32, Instant)> {
        let crowded = extensions.get::<Crowded>();
        if !self.is_too_many_jobs(extensions) || crowded.is_some_and(|crowded| crowded.known) {
            return None;
        }
        let recent = |(_, at): &(u32, Instant)| now.saturating_duration_since(*at) < HOUR;
        let before = self.blind.filter(recent).map_or(0, |(times, _)| times);
        Some((before + 1, now))
    }

    /// Whether another retry is allowed.
    fn is_allowed(&self, failure: Failure, extensions: &Extensions) -> bool {
        // What waits for a job to end may do so for hours, and again: only its deadline bounds it.
        let crowded = extensions.get::<Crowded>().is_some();
        let spent = self.retries >= self.max_retries && !crowded;
        // One answer 503 too many, where another model is to be asked.
        let given_up = is_overload(failure) && self.max_503s.is_some_and(|most| most <= 1);
        !spent && !given_up
    }

    /// When to send again, if that is in time.
    fn timing(
        &self,
        pace: Pace,
        (headers, extensions): Head<'_>,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Option<When> {
        if let Some(Crowded { told, .. }) = extensions.get() {
            return self.in_its_lane(now, told.unwrap_or(now), now);
        }
        match extensions.get::<Paused>() {
            Some(paused) => self.in_its_lane(paused.until(), paused.not_before(), now),
            None => {
                let error = extensions.get();
                self.at(pace, (headers, error), now, random).map(When::At)
            }
        }
    }

    /// When a request goes back to its lane, which lets nobody go `until` then, if it must not be sent before
    /// the instant that it was `told`. With its lane it waits for as long as all others there.
    fn in_its_lane(&self, until: Instant, told: Instant, now: Instant) -> Option<When> {
        let with_its_lane = told <= until;
        let wait = told.saturating_duration_since(now);
        let fits = with_its_lane || wait <= self.settings.max_wait;
        let at = (!with_its_lane).then_some(told);
        (fits && self.is_in_time(told)).then_some(When::InItsLane(at))
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

    /// When to send again by our own clock, if that is in time.
    fn at(
        &self,
        pace: Pace,
        (headers, error): (&HeaderMap, Option<&ApiError>),
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Option<Instant> {
        let hint = match error {
            Some(error) => error.retry_after(),
            None => header::wait(headers, clock::time_of_day),
        };
        let asked = match pace {
            Pace::Pushback(wait) => Some(wait),
            Pace::Throttled | Pace::Failed => hint,
        };
        if asked.is_some_and(|asked| asked > self.settings.max_wait) {
            return None;
        }
        let backoff = &self.settings.backoff;
        let wait = backoff.wait(pace, self.retries + 1, hint, random());
        let at = now.checked_add(wait)?;
        self.is_in_time(at).then_some(at)
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

    /// Whether an attempt of that instant, or of now if that has passed while an answer was read, is
    /// before the deadline.
    fn is_in_time(&self, at: Instant) -> bool {
        self.deadline
            .is_none_or(|deadline| at.max(clock::now()) < deadline)
    }
}

impl When {
    pub(super) fn after(self, now: Instant) -> Duration {
        match self {
            Self::InItsLane(None) => Duration::ZERO,
            Self::InItsLane(Some(at)) | Self::At(at) => at.saturating_duration_since(now),
        }
    }
}

fn is_overload(failure: Failure) -> bool {
    failure == Failure::Status(StatusCode::SERVICE_UNAVAILABLE)
}

/// Whether it is a caller's SDK that retries: Together's, OpenAI's and their like count their retries.
fn is_of_sdk(headers: &HeaderMap) -> bool {
    // A look at each of a request's few headers costs less than hashing the name.
    let mut headers = headers.iter();
    let counts = headers.find(|(name, _)| *name == "x-stainless-retry-count");
    let count = counts.and_then(|(_, count)| count.to_str().ok()?.parse().ok());
    count.unwrap_or(0u32) > 0
}

/// Whose share of the budget a request uses: that of a caller of a key.
fn share((headers, extensions): Head<'_>) -> u64 {
    let key = match (extensions.get::<ApiKey>(), headers.get(AUTHORIZATION)) {
        (Some(key), _) => key.id(),
        (None, Some(value)) => KeyId::of_secret(header::credentials(value.as_bytes())),
        (None, None) => KeyId::ANONYMOUS,
    };
    let caller = extensions.get::<Caller>().map(|caller| caller.id());
    hash(&(key, caller))
}

/// So many attempts in a row that are told so with no job known to run are enough.
const MOST_BLIND: u32 = 3;

/// After which there may be room, though nothing shows it.
const HOUR: Duration = Duration::from_secs(3_600);

/// Enough to see what went on; a request without a limit to its retries must not fill the memory.
const MOST_FAILURES: usize = 32;
