//! The jobs that hold slots, and their watchers.

mod book;
mod slots;
mod watch;

use std::{collections::BTreeMap, ops::Bound, sync::Arc, task::Waker};

use slab::Slab;

use super::{KeyIndex, KeyRef, RuleId};
use crate::words::{Endpoint, hash};

pub(crate) use self::{book::JobBook, watch::Watcher};

/// Every job that holds a slot, by the hash of its id and its key. Two keys of one organization may see the
/// same job.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    held: BTreeMap<(u64, KeyIndex), JobSlot>,
    /// The wakers of the watchers, to be woken when a request begins to wait for a job to end.
    pub(super) watchers: Slab<Option<Waker>>,
}

/// The slot of a job, with its key and its rule.
#[derive(Clone, Debug)]
pub(super) struct JobSlot {
    pub(super) id: Arc<str>,
    /// The endpoint that creates such jobs.
    pub(super) creation: Endpoint,
    pub(super) key: KeyRef,
    pub(super) rule: RuleId,
}

impl Jobs {
    pub(super) fn insert(&mut self, held: JobSlot) {
        self.held.insert((hash(&&*held.id), held.key.index), held);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether this job of a key holds a slot.
    pub(super) fn has(&self, key: KeyIndex, id: &str) -> bool {
        self.held.contains_key(&(hash(&id), key))
    }

    pub(super) fn remove(&mut self, key: KeyIndex, id: &str) -> Option<JobSlot> {
        self.held.remove(&(hash(&id), key))
    }

    /// The keys under which a job of this id holds a slot.
    pub(super) fn keys_of(&self, id: &str) -> Vec<KeyIndex> {
        let hash = hash(&id);
        let keys = (hash, KeyIndex::MIN)..=(hash, KeyIndex::MAX);
        self.held.range(keys).map(|((_, key), _)| *key).collect()
    }

    pub(super) fn of(&self, key: KeyRef) -> impl Iterator<Item = &JobSlot> {
        self.iter().filter(move |held| held.key == key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &JobSlot> {
        self.held.values()
    }

    /// The jobs after the one in a place, or all of them, and the place of each.
    pub(super) fn after(
        &self,
        place: Option<(u64, KeyIndex)>,
    ) -> impl Iterator<Item = ((u64, KeyIndex), &JobSlot)> {
        let after = place.map_or(Bound::Unbounded, Bound::Excluded);
        let jobs = self.held.range((after, Bound::Unbounded));
        jobs.map(|(place, held)| (*place, held))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut JobSlot> {
        self.held.values_mut()
    }

    /// Whether there is room for another job, after those of forgotten keys are removed.
    pub(super) fn has_room(&mut self, lives: impl Fn(&JobSlot) -> bool) -> bool {
        if self.held.len() >= MOST {
            self.held.retain(|_, held| lives(held));
        }
        self.held.len() < MOST
    }
}

/// The most jobs that hold slots, over all keys. Callers choose the keys, and could make up responses too.
/// The slots of further jobs end with the responses that tell of them.
const MOST: usize = if cfg!(test) { 10 } else { 100_000 };

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::num::NonZeroU32;

    use super::MOST;
    use crate::{
        limiter::{Limiter, Permit},
        words::{Call, Endpoint, JobKind, Limits, extension::ApiKey},
    };

    const CREATE: Endpoint = Endpoint::FineTuneCreate;

    fn limits() -> Limits {
        let many = NonZeroU32::new(100).unwrap();
        Limits::none().jobs(CREATE, many)
    }

    fn permit(limiter: &Limiter, key: &str, endpoint: Endpoint) -> Permit {
        let call = Call::new(endpoint).with_key(ApiKey::new(key));
        limiter.try_acquire(&call).unwrap()
    }

    /// Creates a job, whose slot ends with the permit if there is no room for the job.
    fn create(limiter: &Limiter, key: &str, job: &str) {
        permit(limiter, key, CREATE).hold_for_job(job);
    }

    fn jobs(limiter: &Limiter) -> usize {
        limiter.snapshot().jobs.len()
    }

    #[test]
    fn a_job_that_is_one_too_many_holds_no_slot() {
        let limiter = Limiter::new(limits());
        for n in 0..MOST + 2 {
            create(&limiter, "a", &format!("ft-{n}"));
        }
        assert_eq!(jobs(&limiter), MOST);
        assert_eq!(
            limiter.snapshot().lanes[0].limits[0].left,
            100 - MOST as u64
        );
        assert!(limiter.job_ended("ft-0"));
        create(&limiter, "a", "ft-later");
        assert_eq!(jobs(&limiter), MOST);
    }

    #[test]
    fn jobs_of_a_forgotten_key_are_not_its_successor_s_and_make_room() {
        let limiter = Limiter::new(limits()).with_max_keys(1);
        for n in 0..MOST {
            create(&limiter, "a", &format!("ft-{n}"));
        }
        limiter.set_limits(Limits::none());
        let other = permit(&limiter, "b", CREATE);
        assert!(other.job_book().unwrap().held(JobKind::FineTune).is_empty());
        drop(other);
        limiter.set_limits(limits());
        create(&limiter, "b", "ft-b");
        assert_eq!(jobs(&limiter), 1);
        let book = permit(&limiter, "b", Endpoint::FineTuneList)
            .job_book()
            .unwrap();
        assert_eq!(
            book.held(JobKind::FineTune),
            [std::sync::Arc::<str>::from("ft-b")]
        );
        assert!(book.held(JobKind::Batch).is_empty());
    }
}
