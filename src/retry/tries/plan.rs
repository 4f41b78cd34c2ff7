//! Decides whether a request is retried, and when.

use std::time::Duration;

use http::{Extensions, HeaderMap};
use tokio::time::Instant;

use super::{Head, Tries, When, is_overload};
use crate::{
    clock,
    retry::verdict::{Basis, Nature, verdict},
    wire,
    words::{
        ApiError, NotRetried,
        extension::{Alone, Crowded, Failure, Paused},
    },
};

impl Tries {
    /// Whether a failed response is to be read to its end, since the request may be retried.
    pub(in crate::retry) fn is_wanted(
        &self,
        failure: Failure,
        said: Head<'_>,
        now: Instant,
    ) -> bool {
        match self.settings.hook {
            Some(_) => self.allowed(failure, said.1).is_ok(),
            None => self.when(failure, said, now, || 0.0).is_ok(),
        }
    }

    /// The instant of the retry, or the reason why there is none. The budget is checked later.
    pub(super) fn when(
        &self,
        failure: Failure,
        said: Head<'_>,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Result<When, NotRetried> {
        let basis = self.basis(failure, said, now)?;
        self.allowed(failure, said.1)?;
        self.timing(basis, said, now, random)
    }

    /// The instant of a retry that a hook adds.
    pub(super) fn added(
        &self,
        failure: Failure,
        said: Head<'_>,
        now: Instant,
    ) -> Result<When, NotRetried> {
        if self.nature == Nature::Once {
            return Err(NotRetried::MayBeDone);
        }
        self.allowed(failure, said.1)?;
        self.timing(Basis::Failed, said, now, fastrand::f64)
    }

    /// The basis of the wait before the retry, or the reason why the failure is not retried.
    fn basis(
        &self,
        failure: Failure,
        (headers, extensions): Head<'_>,
        now: Instant,
    ) -> Result<Basis, NotRetried> {
        let responded = matches!(failure, Failure::Status(_) | Failure::Grpc(_));
        if responded && self.hops.is_another(extensions) {
            return Err(NotRetried::Redirected);
        }
        let error = extensions.get::<ApiError>();
        let too_many = self.is_too_many_jobs(extensions);
        let blind = self.blind_after(extensions, now);
        if blind.is_some_and(|(times, _)| times >= MOST_BLIND) {
            return Err(NotRetried::NoKnownJob);
        }
        let basis = verdict(self.nature, failure, headers, error, too_many)?;
        // The generated response is paid for, even though the client has not waited for it.
        let paid = failure == Failure::TimedOut
            && self.endpoint.generates()
            && self.timeouts >= self.settings.max_retries_after_timeout;
        if paid {
            Err(NotRetried::Paid)
        } else {
            Ok(basis)
        }
    }

    /// Whether the server rejects the request because too many jobs run.
    fn is_too_many_jobs(&self, extensions: &Extensions) -> bool {
        // For a request that creates nothing, these words may come from anywhere, such as a prompt.
        let error = extensions
            .get::<ApiError>()
            .filter(|_| self.endpoint.creates());
        error.is_some_and(ApiError::is_too_many_jobs)
    }

    /// The number of consecutive "too many jobs" responses, within an hour each, with no job known to run. A known
    /// job ends, and makes room. Without one, the words may mean anything.
    pub(super) fn blind_after(
        &self,
        extensions: &Extensions,
        now: Instant,
    ) -> Option<(u32, Instant)> {
        let crowded = extensions.get::<Crowded>();
        if !self.is_too_many_jobs(extensions) || crowded.is_some_and(|crowded| crowded.known) {
            return None;
        }
        let recent = |(_, at): &(u32, Instant)| now.saturating_duration_since(*at) < HOUR;
        let before = self.blind.filter(recent).map_or(0, |(times, _)| times);
        Some((before + 1, now))
    }

    /// Whether the number of retries allows another.
    fn allowed(&self, failure: Failure, extensions: &Extensions) -> Result<(), NotRetried> {
        // A wait for a job to end may take hours, and repeat: only its deadline bounds it.
        let crowded = extensions.get::<Crowded>().is_some();
        let spent = self.retries >= self.max_retries && !crowded;
        // This 503 is the last one allowed before another model is tried.
        let given_up = is_overload(failure) && self.max_503s.is_some_and(|most| most <= 1);
        match (spent, given_up) {
            (_, true) => Err(NotRetried::NextModel),
            (true, _) => Err(NotRetried::MaxRetries),
            _ => Ok(()),
        }
    }

    /// The instant of the retry, if it is before the deadline, and the server asks for no longer wait than is allowed.
    fn timing(
        &self,
        basis: Basis,
        (headers, extensions): Head<'_>,
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Result<When, NotRetried> {
        if let Some(Crowded { not_before, .. }) = extensions.get() {
            return self.in_its_lane(now, not_before.unwrap_or(now), now);
        }
        match extensions.get::<Paused>() {
            Some(paused) => self.in_its_lane(paused.until(), paused.not_before(), now),
            None => {
                let at = self.at(basis, (headers, extensions.get()), now, random)?;
                Ok(match extensions.get::<Alone>() {
                    Some(Alone) => When::InItsLane(Some(at)),
                    None => When::At(at),
                })
            }
        }
    }

    /// Sends a request back to its lane, which is paused `until` an instant. `not_before` is the instant before which the
    /// server does not want it. If that is within the pause, the request waits with its lane.
    fn in_its_lane(
        &self,
        until: Instant,
        not_before: Instant,
        now: Instant,
    ) -> Result<When, NotRetried> {
        let with_its_lane = not_before <= until;
        let wait = not_before.saturating_duration_since(now);
        if !with_its_lane && wait > self.settings.longest_hint {
            return Err(NotRetried::LongestHint(wait));
        }
        self.in_time(not_before)?;
        Ok(When::InItsLane((!with_its_lane).then_some(not_before)))
    }

    /// The instant of the retry by the backoff, if it is before the deadline.
    fn at(
        &self,
        basis: Basis,
        (headers, error): (&HeaderMap, Option<&ApiError>),
        now: Instant,
        random: impl FnOnce() -> f64,
    ) -> Result<Instant, NotRetried> {
        let hint = match error {
            Some(error) => error.retry_after(),
            None => wire::response::wait(headers, || clock::time_of_day_at(now)),
        };
        let asked = match basis {
            Basis::Pushback(wait) => Some(wait),
            Basis::Throttled | Basis::Failed => hint,
        };
        if let Some(asked) = asked.filter(|asked| *asked > self.settings.longest_hint) {
            return Err(NotRetried::LongestHint(asked));
        }
        let backoff = &self.settings.backoff;
        let wait = backoff.wait(basis, self.retries + 1, hint, random());
        let at = now.checked_add(wait).ok_or(NotRetried::Deadline)?;
        self.in_time(at)?;
        Ok(at)
    }

    /// Whether an attempt at this instant is before the deadline. If the instant has passed while a response was
    /// read, now counts.
    fn in_time(&self, at: Instant) -> Result<(), NotRetried> {
        let deadline = self.deadline;
        match deadline.is_none_or(|deadline| at.max(clock::now()) < deadline) {
            true => Ok(()),
            false => Err(NotRetried::Deadline),
        }
    }
}

/// Consecutive "too many jobs" responses with no job known to run, after which the request fails.
const MOST_BLIND: u32 = 3;

/// Time after which there may be room again, although nothing shows it.
const HOUR: Duration = Duration::from_secs(3_600);
