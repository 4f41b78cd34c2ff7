//! Errands to the ledger of a shared limiter, and their replies.

use super::{Dispatch, Errand, KeyShare, Unreached};
use crate::{
    limiter::{
        KeyIndex, LaneIndex, SharingSnapshot,
        key::World,
        moment::Moment,
        state::{LOOKED_UP, State},
    },
    quota::shared::Reply,
    words::{Call, Instant, Reason, Span},
};

impl State {
    /// Takes the news, and the task to start or wake, for when the lock is released.
    pub(crate) fn dispatch(&mut self) -> Option<Dispatch> {
        let sharing = self.sharing.as_mut()?;
        let news = std::mem::take(&mut sharing.news);
        let task = sharing.outbox.task();
        (task.is_some() || !news.is_empty()).then_some(Dispatch { news, task })
    }

    /// How limits are shared, without the number of processes, which each key knows.
    pub(crate) fn sharing_snapshot(&self, now: Instant) -> Option<SharingSnapshot> {
        let sharing = self.sharing.as_ref()?;
        let away = sharing
            .away
            .map(|away| ((now - away.since).as_duration(), away.why.text()));
        Some(SharingSnapshot { processes: 0, away })
    }

    /// Shares the limits of a key, if the limiter shares and the key is new.
    pub(in crate::limiter) fn share_key(&mut self, index: KeyIndex, call: &Call) {
        if self.sharing.is_none() {
            return;
        }
        let key = self.registry.get_mut(index).expect(LOOKED_UP);
        if key.share.is_none() {
            key.share = Some(Box::new(KeyShare::new(
                call.identity.digest(),
                self.settings.learning,
            )));
            key.share_lanes(&self.rules);
        }
    }

    /// Warns once if a new lane takes slots, which are not shared.
    pub(in crate::limiter) fn warn_of_slots(&mut self, index: KeyIndex, lane: LaneIndex) {
        let (Some(sharing), Some(key)) = (&mut self.sharing, self.registry.get(index)) else {
            return;
        };
        if key.lanes[lane].slots != [None; 2] {
            sharing.leaves_out();
        }
    }

    /// Before a pass over a key's lanes: gives them instants of their own if the ledger is away, or rejects
    /// their requests.
    pub(in crate::limiter) fn go_alone(&mut self, index: KeyIndex, moment: &mut Moment) {
        let (Some(sharing), Some(key)) = (&mut self.sharing, self.registry.get_mut(index)) else {
            return;
        };
        let now = moment.now;
        if !key.finds_it_away(sharing, now) {
            return;
        }
        if sharing.terms.closed && now >= sharing.retry_at && !key.is_unanswered(now) {
            // The next call may have a reply.
            return;
        }
        if !sharing.terms.closed {
            key.go_alone(index, sharing, &self.waiters, &self.rules, now);
            return;
        }
        let wait = (sharing.retry_at.max(now + Span::SECOND) - now).as_duration();
        let mut world = World {
            rules: &self.rules,
            waiters: &mut self.waiters,
            wakes: &mut moment.wakes,
            rejected: &mut self.totals.rejected,
            polled: None,
            now,
        };
        for waiter in key.without_instants(now) {
            key.reject(waiter, Reason::RedisAway, Some(wait), &mut world);
        }
    }

    /// After a pass: sends the errand that is due. Returns the instant of the next look.
    pub(in crate::limiter) fn send_errand(&mut self, index: KeyIndex, now: Instant) -> Instant {
        let (Some(sharing), Some(key)) = (&mut self.sharing, self.registry.get_mut(index)) else {
            return Instant::NEVER;
        };
        let (errand, next) = key.errand(index, sharing, &self.waiters, &self.rules, now);
        let Some(errand) = errand else { return next };
        sharing.outbox.push(errand);
        // The next look is when the errand has had no reply for too long.
        key.errand(index, sharing, &self.waiters, &self.rules, now)
            .1
    }

    /// An errand has a reply, or will have none.
    pub(crate) fn errand_done(
        &mut self,
        errand: &Errand,
        reply: Result<Reply, Unreached>,
        moment: &mut Moment,
    ) {
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        match &reply {
            Ok(reply) => sharing.is_back(reply.members),
            Err(why) => {
                sharing.goes_away(*why, errand.made);
                sharing.failed(*why, moment.now);
            }
        }
        let Some(key) = self.registry.of(errand.key) else {
            return;
        };
        match &reply {
            Ok(reply) => key.take(errand, reply, &self.rules, moment.now),
            Err(_) => key.take_failure(errand, &self.rules),
        }
        let index = errand.key.index;
        self.reject_hopeless(index, moment);
        self.changed(index, moment);
    }

    /// The task has ended, and with it every errand that it had.
    pub(crate) fn task_ended(&mut self, moment: &mut Moment) {
        let Some(sharing) = &mut self.sharing else {
            return;
        };
        sharing.outbox.ended();
        // A task that panics would panic again at once.
        let why = Unreached::Failed("the task that calls Redis has ended");
        sharing.goes_away(why, moment.now);
        sharing.failed(why, moment.now);
        let mut waiting = Vec::new();
        for (index, key) in self.registry.iter_mut() {
            key.lose_call();
            if key.waiting > 0 {
                waiting.push(index);
            }
        }
        for index in waiting {
            self.pump(index, None, moment);
        }
    }

    /// Errands that say goodbye for the keys that have needed nothing for 300 ms.
    pub(crate) fn goodbyes(&mut self, now: Instant) -> Vec<Errand> {
        let Some(sharing) = &self.sharing else {
            return Vec::new();
        };
        let (waiters, rules) = (&self.waiters, &self.rules);
        let keys = self.registry.iter_mut();
        keys.filter_map(|(index, key)| key.goodbye(index, sharing, waiters, rules, now))
            .collect()
    }
}
