use std::num::NonZeroU32;

use super::admission::Admission;
use crate::words::{Instant, Span};

/// Slots that are taken and given back, by requests in flight or by running jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    used: u32,
    /// The instant at which a slot last came free.
    freed: Instant,
    crowd: Option<Crowd>,
    /// For each slot that is kept for a job of unknown name, the instant since which it is kept, in order.
    /// These slots are among the used ones.
    unnamed: Vec<Instant>,
}

/// The server has rejected a request because there are too many jobs.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// The number of slots in use, without that of the rejected request.
    most: u32,
    since: Instant,
    /// The number of such rejections in a row while no other slot was in use.
    alone: u32,
}

impl Slots {
    pub(crate) fn ask(&self, max: NonZeroU32, now: Instant) -> Admission {
        let used = self.used(now);
        if used >= self.max(max, now) {
            let crowd = self.crowd.filter(|_| used < max.get());
            let until = crowd.map_or(Instant::NEVER, Crowd::doubted);
            let mut unnamed = self.unnamed.iter().map(|since| *since + BELIEVED);
            return Admission::Full(unnamed.find(|over| now < *over).unwrap_or(until).min(until));
        }
        match self.crowd {
            Some(crowd) if used == 0 && now < crowd.over() => Admission::At(crowd.over()),
            _ => Admission::Now,
        }
    }

    /// The number of slots: `max` as in the table, or fewer if the server was seen to allow fewer.
    pub(crate) fn max(&self, max: NonZeroU32, now: Instant) -> u32 {
        match self.crowd {
            // If only jobs of other programs run, one request at a time asks again.
            Some(crowd) if now < crowd.doubted() => max.get().min(crowd.most.max(1)),
            _ => max.get(),
        }
    }

    pub(crate) fn remaining(&self, max: NonZeroU32, now: Instant) -> u32 {
        self.max(max, now).saturating_sub(self.used(now))
    }

    /// The slots in use, without those kept for more than an hour for a job of unknown name.
    fn used(&self, now: Instant) -> u32 {
        let over = self
            .unnamed
            .iter()
            .filter(|since| **since + BELIEVED <= now);
        self.used.saturating_sub(over.count() as u32)
    }

    pub(crate) fn take(&mut self) {
        self.used = self.used.saturating_add(1);
    }

    pub(crate) fn release(&mut self, now: Instant) {
        self.used = self.used.saturating_sub(1);
        self.freed = now;
    }

    /// Keeps a slot for a job of unknown name, until the server has listed the running jobs, or for an hour.
    pub(crate) fn keep_unnamed(&mut self, now: Instant) {
        self.unnamed.push(now);
    }

    /// The server has listed the running jobs that were created by `until`. Each of these has a slot of its
    /// own now.
    pub(crate) fn listed(&mut self, until: Instant, now: Instant) {
        let listed = self.unnamed.partition_point(|since| *since <= until);
        for _ in self.unnamed.drain(..listed) {
            self.used = self.used.saturating_sub(1);
            self.freed = now;
        }
    }

    /// Gives back slots that were kept for an hour for a job of unknown name.
    fn doubt(&mut self, now: Instant) {
        let used = self.used(now);
        self.unnamed.retain(|since| now < *since + BELIEVED);
        self.used = used;
    }

    /// Sets the number of requests in flight.
    pub(crate) fn recount(&mut self, used: u32) {
        self.used = used;
    }

    /// Takes a slot for a job that only the server knew, even if none is free.
    pub(crate) fn adopt(&mut self, now: Instant) {
        self.doubt(now);
        self.take();
        if let Some(crowd) = &mut self.crowd {
            crowd.most = crowd.most.max(self.used);
        }
    }

    /// The server rejected a request, which still holds its slot. The other slots are as many as the server
    /// allows.
    pub(crate) fn crowded(&mut self, now: Instant) {
        self.doubt(now);
        let most = self.used.saturating_sub(1);
        let before = self.crowd.map_or(0, |crowd| crowd.alone);
        self.crowd = Some(Crowd {
            most,
            since: now,
            alone: if most == 0 {
                before.saturating_add(1)
            } else {
                0
            },
        });
    }

    /// The server accepted a request.
    pub(crate) fn accepted(&mut self, now: Instant) {
        self.doubt(now);
        // The server has room beside those other jobs after all.
        self.crowd = self.crowd.filter(|crowd| self.used <= crowd.most);
    }

    pub(crate) fn freed(&self) -> Instant {
        self.freed
    }

    /// The instant from which on this is no different from a new one; `None` while a slot is taken.
    pub(crate) fn fresh_at(&self) -> Option<Instant> {
        let unnamed = self
            .unnamed
            .last()
            .map_or(Instant::START, |since| *since + BELIEVED);
        let crowd = self.crowd.map_or(Instant::START, Crowd::over);
        (self.used as usize == self.unnamed.len()).then(|| crowd.max(unnamed))
    }
}

impl Crowd {
    /// The instant from which on the bound is no longer believed.
    fn doubted(self) -> Instant {
        self.since + BELIEVED
    }

    /// The instant of the next try, if no slot in use can be waited for.
    fn over(self) -> Instant {
        let wait = MINUTE * (1 << self.alone.saturating_sub(1).min(4));
        match self.most {
            0 => self.since + wait.min(LONGEST),
            _ => Instant::START,
        }
    }
}

const MINUTE: Span = Span::secs(60);

/// Jobs of other programs end unseen. The next tries come after 1, 2, 4, 8, 10, 10, ... minutes.
const LONGEST: Span = Span::secs(600);

/// A bound that the server was seen to apply is believed for this long, since jobs of other programs may have
/// been part of it. A job of unknown name is believed to run for as long.
const BELIEVED: Span = Span::secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::START;
    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

    #[test]
    fn what_the_server_rejected_waits_until_one_of_those_before_has_ended() {
        let mut slots = Slots::default();
        (0..3).for_each(|_| slots.take());
        slots.crowded(START);
        slots.release(START);
        // The server may allow one more by then.
        assert_eq!(slots.ask(THREE, START), Admission::Full(START + BELIEVED));
        assert_eq!(slots.remaining(THREE, START), 0);
        let later = START + Span::SECOND;
        slots.release(later);
        assert_eq!(slots.ask(THREE, later), Admission::Now);
        slots.take();
        slots.accepted(later);
        assert_eq!(slots.ask(THREE, later), Admission::Full(START + BELIEVED));
        // An hour later there may be room for more.
        assert_eq!(slots.ask(THREE, START + BELIEVED), Admission::Now);
    }

    #[test]
    fn where_the_server_counts_jobs_of_others_it_is_asked_ever_more_seldom() {
        let mut slots = Slots::default();
        let mut now = START;
        for minutes in [1, 2, 4, 8, 10, 10] {
            let later = now + MINUTE * minutes;
            slots.take();
            slots.crowded(now);
            assert_eq!(slots.fresh_at(), None);
            slots.release(now);
            assert_eq!(slots.ask(THREE, now), Admission::At(later));
            assert_eq!(slots.fresh_at(), Some(later));
            now = later;
            assert_eq!(slots.ask(THREE, now), Admission::Now);
        }
        // The server's jobs are known. The lane waits for one of them to end.
        slots.crowded(now);
        slots.adopt(now);
        assert_eq!(slots.ask(THREE, now), Admission::Full(now + BELIEVED));
        slots.release(now);
        assert_eq!(slots.ask(THREE, now + LONGEST), Admission::Now);
    }

    #[test]
    fn a_job_without_a_name_keeps_its_slot_until_the_server_is_asked_or_for_an_hour() {
        let mut slots = Slots::default();
        (0..3).for_each(|_| slots.take());
        let later = START + MINUTE;
        slots.keep_unnamed(START);
        slots.keep_unnamed(later);
        let full = |until| Admission::Full(until + BELIEVED);
        assert_eq!(slots.ask(THREE, later), full(START));
        assert_eq!(slots.ask(THREE, START + BELIEVED), Admission::Now);
        assert_eq!(slots.remaining(THREE, START + BELIEVED), 1);
        assert_eq!(slots.remaining(THREE, later + BELIEVED), 2);
        assert_eq!(slots.fresh_at(), None);
        // The list was requested when the first job ran, so that job has a slot of its own.
        slots.listed(START, later);
        assert_eq!(slots.remaining(THREE, later), 1);
        slots.release(later);
        assert_eq!(slots.fresh_at(), Some(later + BELIEVED));
        slots.listed(later, later);
        assert_eq!(slots.remaining(THREE, later), 3);
        assert_eq!(slots.fresh_at(), Some(START));
    }

    #[test]
    fn the_next_to_be_doubted_is_a_job_without_a_name_or_the_server_s_word() {
        let later = START + MINUTE;
        let full = |until| Admission::Full(until + BELIEVED);
        let mut slots = Slots::default();
        (0..4).for_each(|_| slots.take());
        slots.keep_unnamed(START);
        slots.keep_unnamed(later);
        // The first job is no longer believed to run, and three slots are still in use.
        assert_eq!(slots.ask(THREE, START + BELIEVED), full(later));
        let mut slots = Slots::default();
        (0..2).for_each(|_| slots.take());
        slots.crowded(START);
        slots.keep_unnamed(later);
        assert_eq!(slots.ask(THREE, later), full(START));
    }

    /// Regression: the job counted towards the server's bound, and the next request was sent at once.
    #[test]
    fn a_job_that_is_believed_no_longer_is_none_of_those_that_the_server_counts() {
        let later = START + BELIEVED;
        let believed = || {
            let mut slots = Slots::default();
            slots.take();
            slots.keep_unnamed(START);
            slots.take();
            slots
        };
        let mut slots = believed();
        slots.crowded(later);
        slots.release(later);
        assert_eq!(slots.ask(THREE, later), Admission::At(later + MINUTE));
        assert_eq!(slots.fresh_at(), Some(later + MINUTE));
        // A job found in a list is waited for.
        slots.adopt(later);
        assert_eq!(slots.max(THREE, later), 1);
        // The job does not count among those beside which the server accepted another.
        let mut slots = believed();
        slots.take();
        slots.crowded(START + MINUTE);
        slots.release(later);
        slots.take();
        slots.accepted(later);
        assert_eq!(slots.max(THREE, later), 2);
    }

    #[test]
    fn what_is_taken_again_was_no_limit() {
        let mut slots = Slots::default();
        (0..2).for_each(|_| slots.take());
        slots.crowded(START);
        slots.accepted(START);
        slots.release(START);
        assert_eq!(slots.ask(THREE, START), Admission::Now);
    }
}
