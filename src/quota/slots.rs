use std::num::NonZeroU32;

use super::Verdict;
use crate::words::{Instant, Span};

/// Slots that are taken and given back: requests under way, or jobs that live.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    used: u32,
    /// When one last came free.
    freed: Instant,
    crowd: Option<Crowd>,
    /// When each of those was kept whose job is not known, in order. They are among the used.
    unnamed: Vec<Instant>,
}

/// The server said that there are too many.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// How many there were, but for the one refused.
    most: u32,
    since: Instant,
    /// How often in a row there was nobody to wait for.
    alone: u32,
}

impl Slots {
    pub(crate) fn ask(&self, max: NonZeroU32, now: Instant) -> Verdict {
        let used = self.used(now);
        if used >= self.max(max, now) {
            let crowd = self.crowd.filter(|_| used < max.get());
            let until = crowd.map_or(Instant::NEVER, Crowd::doubted);
            let mut unnamed = self.unnamed.iter().map(|since| *since + BELIEVED);
            return Verdict::Full(unnamed.find(|over| now < *over).unwrap_or(until).min(until));
        }
        match self.crowd {
            Some(crowd) if used == 0 && now < crowd.over() => Verdict::At(crowd.over()),
            _ => Verdict::Now,
        }
    }

    /// How many there may be: what the table says, or what the server was seen to allow.
    pub(crate) fn max(&self, max: NonZeroU32, now: Instant) -> u32 {
        match self.crowd {
            // Of jobs that only others know of one asks at a time.
            Some(crowd) if now < crowd.doubted() => max.get().min(crowd.most.max(1)),
            _ => max.get(),
        }
    }

    pub(crate) fn left(&self, max: NonZeroU32, now: Instant) -> u32 {
        self.max(max, now).saturating_sub(self.used(now))
    }

    /// Those in use, but for jobs that nobody has named for an hour.
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

    /// One is kept for a job of which nobody knows the name: until the server says which jobs run, or for an
    /// hour.
    pub(crate) fn keep_unnamed(&mut self, now: Instant) {
        self.unnamed.push(now);
    }

    /// The server has said which jobs run of those that were created by an instant, and each of these has a
    /// slot of its own now.
    pub(crate) fn named(&mut self, until: Instant, now: Instant) {
        let named = self.unnamed.partition_point(|since| *since <= until);
        for _ in self.unnamed.drain(..named) {
            self.used = self.used.saturating_sub(1);
            self.freed = now;
        }
    }

    /// Jobs that nobody has named for an hour are believed no longer.
    fn doubt(&mut self, now: Instant) {
        let used = self.used(now);
        self.unnamed.retain(|since| now < *since + BELIEVED);
        self.used = used;
    }

    /// So many are under way.
    pub(crate) fn recount(&mut self, used: u32) {
        self.used = used;
    }

    /// One of which only the server knew takes a slot, be there one or not.
    pub(crate) fn adopt(&mut self, now: Instant) {
        self.doubt(now);
        self.take();
        if let Some(crowd) = &mut self.crowd {
            crowd.most = crowd.most.max(self.used);
        }
    }

    /// The server refused one, which still has its slot: it has enough of the others.
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

    /// The server took one.
    pub(crate) fn accepted(&mut self, now: Instant) {
        self.doubt(now);
        // With those others there is room after all.
        self.crowd = self.crowd.filter(|crowd| self.used <= crowd.most);
    }

    pub(crate) fn freed(&self) -> Instant {
        self.freed
    }

    /// From when on nothing of it is worth remembering; `None` while one is taken.
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
    /// When it is believed no longer.
    fn doubted(self) -> Instant {
        self.since + BELIEVED
    }

    /// Where nobody is known to wait for, when to try again.
    fn over(self) -> Instant {
        let wait = MINUTE * (1 << self.alone.saturating_sub(1).min(4));
        match self.most {
            0 => self.since + wait.min(LONGEST),
            _ => Instant::START,
        }
    }
}

const MINUTE: Span = Span::secs(60);

/// Others' jobs end unseen: asked for again after 1, 2, 4, 8, 10, 10, ... minutes.
const LONGEST: Span = Span::secs(600);

/// How long a number is believed that the server was seen to allow: others' jobs may have been part
/// of why. As long a job is believed to run whose name could not be read.
const BELIEVED: Span = Span::secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::START;
    const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

    #[test]
    fn what_the_server_refused_waits_until_one_of_those_before_has_ended() {
        let mut slots = Slots::default();
        (0..3).for_each(|_| slots.take());
        slots.crowded(START);
        slots.release(START);
        // It may be that the server allows one more by then.
        assert_eq!(slots.ask(THREE, START), Verdict::Full(START + BELIEVED));
        assert_eq!(slots.left(THREE, START), 0);
        let later = START + Span::SECOND;
        slots.release(later);
        assert_eq!(slots.ask(THREE, later), Verdict::Now);
        slots.take();
        slots.accepted(later);
        assert_eq!(slots.ask(THREE, later), Verdict::Full(START + BELIEVED));
        // An hour later there may be room for more.
        assert_eq!(slots.ask(THREE, START + BELIEVED), Verdict::Now);
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
            assert_eq!(slots.ask(THREE, now), Verdict::At(later));
            assert_eq!(slots.fresh_at(), Some(later));
            now = later;
            assert_eq!(slots.ask(THREE, now), Verdict::Now);
        }
        // Once they are known, until one of them ends.
        slots.crowded(now);
        slots.adopt(now);
        assert_eq!(slots.ask(THREE, now), Verdict::Full(now + BELIEVED));
        slots.release(now);
        assert_eq!(slots.ask(THREE, now + LONGEST), Verdict::Now);
    }

    #[test]
    fn a_job_without_a_name_keeps_its_slot_until_the_server_is_asked_or_for_an_hour() {
        let mut slots = Slots::default();
        (0..3).for_each(|_| slots.take());
        let later = START + MINUTE;
        slots.keep_unnamed(START);
        slots.keep_unnamed(later);
        let full = |until| Verdict::Full(until + BELIEVED);
        assert_eq!(slots.ask(THREE, later), full(START));
        assert_eq!(slots.ask(THREE, START + BELIEVED), Verdict::Now);
        assert_eq!(slots.left(THREE, START + BELIEVED), 1);
        assert_eq!(slots.left(THREE, later + BELIEVED), 2);
        assert_eq!(slots.fresh_at(), None);
        // The server was asked when the first was there: it is one of those that have a slot of their own.
        slots.named(START, later);
        assert_eq!(slots.left(THREE, later), 1);
        slots.release(later);
        assert_eq!(slots.fresh_at(), Some(later + BELIEVED));
        slots.named(later, later);
        assert_eq!(slots.left(THREE, later), 3);
        assert_eq!(slots.fresh_at(), Some(START));
    }

    #[test]
    fn the_next_to_be_doubted_is_a_job_without_a_name_or_the_server_s_word() {
        let later = START + MINUTE;
        let full = |until| Verdict::Full(until + BELIEVED);
        let mut slots = Slots::default();
        (0..4).for_each(|_| slots.take());
        slots.keep_unnamed(START);
        slots.keep_unnamed(later);
        // The first is believed no longer, and there are three still.
        assert_eq!(slots.ask(THREE, START + BELIEVED), full(later));
        let mut slots = Slots::default();
        (0..2).for_each(|_| slots.take());
        slots.crowded(START);
        slots.keep_unnamed(later);
        assert_eq!(slots.ask(THREE, later), full(START));
    }

    /// It was counted among those that the server had enough of, and the next request was sent at once.
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
        assert_eq!(slots.ask(THREE, later), Verdict::At(later + MINUTE));
        assert_eq!(slots.fresh_at(), Some(later + MINUTE));
        // Found in a list, one is waited for.
        slots.adopt(later);
        assert_eq!(slots.max(THREE, later), 1);
        // Nor is it one of those beside which the server took another.
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
        assert_eq!(slots.ask(THREE, START), Verdict::Now);
    }
}
