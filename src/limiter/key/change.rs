//! A key under another table of limits.

use super::{Key, Limit};
use crate::{
    limiter::rules::Rules,
    words::{Each, Instant},
};

impl Key {
    /// Continues under another table.
    pub(in crate::limiter) fn rebase(&mut self, old: &Rules, new: &Rules, now: Instant) {
        self.places = None;
        self.forget_shared_limits();
        let before: Vec<_> = std::mem::take(&mut self.limits)
            .into_iter()
            .map(|limit| (limit.rule, limit.bucket))
            .collect();
        for index in self.lane_indices() {
            // The rates were learned under the old table.
            self.lanes[index].learned = Each::default();
            self.limit_lane(index, new);
            if let Some(queue) = &mut self.lanes[index].queue {
                queue.move_on();
            }
        }
        for (before, mut bucket) in before {
            let Some(rule) = new.index(old.id(before)) else {
                continue;
            };
            bucket.rebase(old.cap(before), new.cap(rule), now);
            // A limit is kept even if no lane is under it now, since its requests may still be in flight.
            match self.limits.iter_mut().find(|limit| limit.rule == rule) {
                Some(limit) => limit.bucket = bucket,
                None => self.limits.push(Limit::new(rule, bucket)),
            }
        }
        self.recount(new);
    }
}
