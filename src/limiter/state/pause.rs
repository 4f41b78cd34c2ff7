//! The server says "not now".

use super::State;
use crate::{
    limiter::{grant::Grant, lane::Lane, moment::Moment, rules::bit},
    quota::{News, Restart},
    words::{Count, Each, Instant, Said, Span, Unit, Weight},
};

impl State {
    /// The server answered 429, and said for how long if it did. Returns until when the lane is
    /// paused; nothing if its key is forgotten.
    pub(in crate::limiter) fn throttled(
        &mut self,
        grant: &Grant,
        wait: Option<Span>,
        of: Unit,
        moment: &mut Moment<'_>,
    ) -> Option<Instant> {
        self.totals.throttled += 1;
        let now = moment.now;
        if moment.settings.learning {
            self.watch(grant, of, now);
        }
        self.pause(grant, moment, |lane| {
            lane.counts.throttled += 1;
            let refused = lane.gate().refused(grant.passage, wait, now);
            // Too many tokens says nothing of how many requests there may be.
            if let Some(rate) = &mut lane.learned[of].rate {
                let wait = refused.until - now;
                let known = rate.refused(grant.at, grant.weight(of), wait, refused.news, now);
                if refused.news != News::Nothing {
                    // How many tokens went by is known too late for that.
                    let restart = if known && of == Unit::Requests {
                        Restart::Quick
                    } else {
                        Restart::Slow
                    };
                    lane.gate().restart(restart);
                }
            }
            refused.until
        })
    }

    /// The server said what it takes.
    pub(in crate::limiter) fn told(
        &mut self,
        grant: &Grant,
        said: Each<Said>,
        moment: &mut Moment<'_>,
    ) {
        let now = moment.now;
        let spoke = |unit: &Unit| said[*unit] != Said::default();
        for of in Unit::BOTH.into_iter().filter(spoke) {
            if moment.settings.learning {
                self.watch(grant, of, now);
                self.pause(grant, moment, |lane| lane.told(grant, of, said[of], now));
            }
        }
    }

    /// From now on the lane of a grant learns its pace, of requests or of tokens.
    fn watch(&mut self, grant: &Grant, of: Unit, now: Instant) {
        let key = self.registry.of(grant.key);
        let Some(key) = key.filter(|key| usize::from(grant.lane) < key.lanes.len()) else {
            return;
        };
        key.rate(grant.lane, of, &self.rules, now);
        if of == Unit::Tokens {
            self.metered |= bit(key.lanes[grant.lane].endpoint);
        }
    }

    /// The server is overloaded, and said for how long. Returns until when the lane is paused.
    pub(in crate::limiter) fn overloaded(
        &mut self,
        grant: &Grant,
        wait: Span,
        moment: &mut Moment<'_>,
    ) -> Option<Instant> {
        let now = moment.now;
        self.pause(grant, moment, |lane| {
            lane.gate().pause(wait, now);
            lane.gate().until()
        })
    }

    /// Changes what keeps a lane back, and lets those who wait in it know.
    fn pause<T>(
        &mut self,
        grant: &Grant,
        moment: &mut Moment<'_>,
        act: impl FnOnce(&mut Lane) -> T,
    ) -> Option<T> {
        let key = self.registry.of(grant.key);
        let lane = key?.lanes.get_mut(usize::from(grant.lane))?;
        let before = lane.held(Weight(1), Count(0), moment.now);
        let done = act(lane);
        if lane.waiting > 0 {
            let later = lane.held(Weight(1), Count(0), moment.now) > before;
            if later && !self.deadlines.is_empty() {
                self.refuse_hopeless(grant.key.index, moment);
            }
            self.pump(grant.key.index, None, moment);
        }
        Some(done)
    }
}
