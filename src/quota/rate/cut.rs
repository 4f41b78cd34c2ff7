use super::{FASTEST, LEAST_PART, Rate, SHARED};
use crate::words::{Instant, Span, Unit};

impl Rate {
    /// Requests were sent too fast: goes to the rate that the server took. The lane is paused for `wait`. Returns whether
    /// the rate that the server will take after that is known.
    pub(super) fn too_fast(&mut self, wait: Span, now: Instant) -> bool {
        self.keep(now);
        self.scattered.end();
        // The number that the user wrote is right, as a named one is, unless a server that counts by the minute says
        // otherwise.
        let written = self.of == Unit::Requests
            && !self.is_named(now)
            && !self.probe.is_by_minute(now)
            && self.is_near_ceiling();
        let fastest = self.sent.fastest(self.one.0, now);
        let rate = match fastest {
            // The lane sends less than its pace, and so that was too much.
            Some(fastest) if !written => self.rate.min(fastest),
            _ => self.rate,
        };
        // At the fastest rate there is no table, and too few requests were sent to tell.
        if self.is_noise(now) || rate >= FASTEST {
            return false;
        }
        if self.is_named(now) && rate < self.limit * LEAST_PART {
            (self.distrusts, self.named, self.trim) = (true, None, 1.0);
        }
        let named = self.is_named(now);
        let most = self.most(rate, now);
        // A few requests do not tell how fast is too fast.
        let once = (named || written) && (now - self.cut > AGAIN || self.of == Unit::Tokens);
        let cut = if once || fastest.is_none() {
            most
        } else {
            let taken = match self.probe.is_by_minute(now) {
                true => self.sent.mean(60, now),
                false => self.sent.taken(wait, self.cut, now),
            };
            let deepest = if written { SHARED_CUT } else { DEEPEST_CUT };
            (taken * BELOW).clamp((rate * deepest).min(most), most)
        };
        if named {
            // The named limit is right, apart from the network's effect on the pace, and from other programs
            // that send under the same limit.
            self.trim *= cut / self.rate;
        }
        if self.sent.mean(20, now) > cut * LONG_MEMORY {
            self.probe.counts_by_minute(now);
        }
        self.set(cut, now);
        (self.cut, self.known) = (now, now);
        self.probe.fell(rate, now + wait);
        self.leads = true;
        named || fastest.is_some()
    }

    /// Whether a rejection may mean nothing. The server counts a response's tokens in its own way, and so
    /// takes a little less than the tokens that the user wrote now and then.
    fn is_noise(&mut self, now: Instant) -> bool {
        let written = self.of == Unit::Tokens && self.ceiling.is_finite() && !self.leads;
        let least = self.rate * ENOUGH;
        written && self.sent.steady(60, now).is_none_or(|mean| mean > least)
    }

    /// The upper bound of the rate after a rejection. If others send under the same limit, a program with
    /// more gives up more.
    fn most(&self, rate: f64, now: Instant) -> f64 {
        match (self.share(now), self.is_named(now)) {
            (share, _) if share < SHARED => rate * SHARED_CUT,
            (share, _) if share < LESS => rate * LESS_CUT,
            (_, true) if self.of == Unit::Tokens => rate * TOKENS_TRIMMED,
            (_, true) => rate * TRIMMED,
            (_, false) => rate.min(self.probe.proven(rate).unwrap_or(rate * LEAST_CUT)),
        }
    }
}

/// The pace stays below the rate that the server took. Otherwise the next request is rejected too.
pub(super) const BELOW: f64 = 0.97;

/// One rejection is a cut by at least this, and by no more than half: one bad moment is no new limit.
const LEAST_CUT: f64 = 0.95;
const DEEPEST_CUT: f64 = 0.5;

/// A named limit is lowered by this factor when a request within it is rejected, and the rate to what the server took if
/// it is rejected again this soon.
pub(super) const TRIMMED: f64 = 0.985;
const AGAIN: Span = Span::secs(5);
/// Tokens are lowered much less at once, since the cost of a request is known only after its response.
pub(super) const TOKENS_TRIMMED: f64 = 0.995;
/// While the server took at least this part of the tokens that the user wrote in a minute, they are what it
/// allows.
const ENOUGH: f64 = 0.8;

/// A lane that shares its limit gives up a part of its rate, whatever the server took.
pub(super) const SHARED_CUT: f64 = 0.8;
/// A lane with a little less than its limit may share it too.
const LESS: f64 = 0.85;
const LESS_CUT: f64 = 0.93;

/// A server counts by the minute if it took this many times more in the last 20 s than it takes now.
const LONG_MEMORY: f64 = 2.2;
