//! The reply to a call, or its failure.

use super::{errand::Errand, lane::Said};
use crate::{
    limiter::{key::Key, rules::Rules},
    quota::shared::{Offset, Reply, Run, What},
    words::{Instant, Span},
};

impl Key {
    /// Takes a reply of the ledger.
    pub(in crate::limiter) fn take(
        &mut self,
        errand: &Errand,
        reply: &Reply,
        rules: &Rules,
        now: Instant,
    ) {
        let Some(share) = &mut self.share else { return };
        share.asked = None;
        let was_alone = share.alone.take().is_some();
        share.took(now - errand.made);
        share.processes = reply.members;
        let agrees = share.clock.heard(errand.made, now, reply.now);
        let clock = share.clock.clone();
        for lane in &mut self.lanes {
            if let Some(share) = &mut lane.share {
                share.lease.follow(&clock, agrees);
            }
        }
        if was_alone {
            self.return_from_alone();
        }
        self.take_reports(errand, reply, &clock, rules, now);
        if errand.table != rules.number {
            return;
        }
        for (index, due) in errand.limits.iter().zip(&reply.dues) {
            if let Some(limit) = self.limit_share_mut(*index) {
                // A server that was set back must be able to say so.
                limit.heard = if agrees { limit.heard.max(*due) } else { *due };
            }
        }
        self.take_lanes(errand, reply, &clock);
    }

    /// Gives the lanes the instants of a reply.
    pub(super) fn take_lanes(&mut self, errand: &Errand, reply: &Reply, clock: &Offset) {
        for (asked, reply_of) in errand.lanes.iter().zip(&reply.lanes) {
            let Some(share) = &mut self.lanes[asked.lane].share else {
                continue;
            };
            let late = reply.lateness.max((asked.window / 100).min(LATE)) + asked.margin;
            let first = reply_of.first.as_nanos();
            share.returns = (reply_of.n == 0).then_some(first);
            share.lease.follow(clock, true);
            share.lease.grant(Run {
                first,
                apart: reply_of.apart,
                n: reply_of.n,
                tokens: asked.tokens,
                late,
            });
        }
    }

    /// A call has no reply, and may have been executed or not.
    pub(in crate::limiter) fn take_failure(&mut self, errand: &Errand, rules: &Rules) {
        if let Some(share) = &mut self.share {
            share.asked = None;
        }
        if errand.table != rules.number {
            return;
        }
        for (index, term) in errand.limits.iter().zip(&errand.ask.terms) {
            if let Some(limit) = self.limit_share_mut(*index) {
                // Charged twice rather than not at all.
                limit.owed = limit.owed.saturating_add(term.owed.max(0));
            }
        }
        for (lane, report) in errand.reported.iter().zip(&errand.ask.reports) {
            let Some(share) = &mut self.lanes[*lane].share else {
                continue;
            };
            for event in report
                .events
                .iter()
                .filter(|event| event.what != What::Named)
            {
                share.says(Said {
                    what: event.what,
                    of: event.of,
                    since: event.since,
                    until: errand.made + event.wait,
                    at: errand.made,
                    amount: event.amount,
                });
            }
        }
    }
}

const LATE: Span = Span::millis(50);
